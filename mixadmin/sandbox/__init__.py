"""A Mixpanel that runs on a laptop and in tests. See docs/sandbox.md."""
