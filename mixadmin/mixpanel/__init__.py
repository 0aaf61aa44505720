"""Our Python for Mixpanel's HTTP APIs. Knows nothing of Django."""
