"""Errors of the API, in one shape."""

from drf_standardized_errors.handler import ExceptionHandler as StandardHandler


class ExceptionHandler(StandardHandler):  # type: ignore[misc]
    pass
