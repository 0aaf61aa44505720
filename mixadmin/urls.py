"""Every URL of the product."""

urlpatterns: list = []  # type: ignore[type-arg]
