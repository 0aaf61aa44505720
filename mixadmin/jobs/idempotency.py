"""One effect and one answer for a POST that is sent twice with the same key.

The key, a digest of the body and the answer are kept in the transaction of the effect:
either all of it is there or nothing is. What a repetition meets is therefore the first
answer, or nothing at all.
"""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from mixadmin.common.api_errors import CONVERT, ApiError
from mixadmin.common.clock import db_now
from mixadmin.common.errors import Wait

from .models import Intent
from .times import TIMES

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_HEADERS = ("Location",)
# Answers that say nothing about the request itself: a repetition may do better.
NOT_KEPT = (401, 403)
KEEP_DAYS = 7

Handler = Callable[..., Response]


def once(
    view: Any, handler: Handler, request: Request, *args: Any, **kwargs: Any
) -> Response:
    """Answer with `handler`, or as it was answered before under the same key."""
    key = request.headers.get(HEADER)
    if key is None or not request.user.is_authenticated:
        return handler(request, *args, **kwargs)
    if not re.fullmatch(r"[\x20-\x7e]{1,200}", key):
        raise ApiError(
            400,
            "invalid_idempotency_key",
            f"{HEADER} must have 1 to 200 characters of plain ASCII.",
        )
    wanted = {
        "user": request.user,
        "key": key,
        "route": request.path[:200],
        "body_hash": digest(request.body),
    }
    keep = view.action not in view.secret_answers
    if view.action in view.asks_mixpanel:
        return _in_two_steps(wanted, view, handler, request, *args, **kwargs)
    with transaction.atomic():
        intent, old = _claim(wanted)
        if old is not None:
            return _replay(old, wanted)
        # An error undoes what the handler wrote, and is kept as the answer.
        response = _answer(view, transaction.atomic(handler), request, *args, **kwargs)
        if is_kept(response):
            _store(intent, response, keep=keep)
        else:
            transaction.set_rollback(True)
    return response


def _in_two_steps(
    wanted: dict[str, Any], view: Any, handler: Handler, *args: Any, **kwargs: Any
) -> Response:
    """The same for what asks Mixpanel first, while which no transaction may be open.

    The key is taken before and answered after. Who dies in between leaves it taken;
    after the time that a call can last somebody else may have it, which is harmless:
    these actions may all be done twice.
    """
    intent, old = _claim(wanted)
    if old is not None and old.status is None and _same(old, wanted):
        lapsed = db_now() - timedelta(seconds=2 * TIMES.total)
        mine = Intent.objects.filter(pk=old.pk, status=None, created_at__lt=lapsed)
        if not mine.update(created_at=db_now()):
            raise ApiError(
                409,
                "idempotency_key_in_use",
                "The first request with this key is still being answered.",
                retry_after=1,
            )
        intent, old = old, None
    if old is not None:
        return _replay(old, wanted)
    stored = False
    try:
        response = _answer(view, handler, *args, **kwargs)
        if is_kept(response):
            _store(intent, response, keep=True)
            stored = True
    finally:
        if not stored:
            intent.delete()
    return response


def _claim(wanted: dict[str, Any]) -> tuple[Intent, Intent | None]:
    """(the new row, None), or (the old one, the old one) if the key was used before."""
    try:
        with transaction.atomic():
            return Intent.objects.create(**wanted), None
    except IntegrityError:
        old = Intent.objects.get(
            user=wanted["user"], key=wanted["key"], route=wanted["route"]
        )
        return old, old


def _same(old: Intent, wanted: dict[str, Any]) -> bool:
    return constant_time_compare(old.body_hash, wanted["body_hash"])


def _replay(old: Intent, wanted: dict[str, Any]) -> Response:
    if not _same(old, wanted):
        raise ApiError(
            409,
            "idempotency_key_reused",
            "This key was sent before with another body. Use a new one.",
        )
    if old.answer is None:
        raise ApiError(
            409,
            "idempotency_secret_shown",
            "This was done before, and its answer showed a secret that is not kept. "
            "Look at what exists; if the secret is lost, make another one.",
        )
    headers = {**old.answer["headers"], REPLAYED: "true"}
    body = json.loads(old.answer["body"])
    return Response(body, status=old.status, headers=headers)


def _answer(view: Any, handler: Handler, *args: Any, **kwargs: Any) -> Response:
    """What the handler answers, also where it raises."""
    try:
        return handler(*args, **kwargs)
    except Exception as error:
        response: Response = view.handle_exception(error)
        return response


def is_kept(response: Response) -> bool:
    return response.status_code < 500 and response.status_code not in NOT_KEPT


def _store(intent: Intent, response: Response, *, keep: bool) -> None:
    intent.status = response.status_code
    if keep or response.status_code >= 400:
        # As text: a database may put the keys of an object into another order, and the
        # repetition is to have the same bytes.
        body = JSONRenderer().render(response.data).decode() or "null"
        headers = {name: response[name] for name in KEPT_HEADERS if name in response}
        intent.answer = {"body": body, "headers": headers}
    intent.save(update_fields=["status", "answer"])


def digest(body: bytes) -> str:
    """Tells bodies apart. Keyed, since a body may hold a password."""
    return salted_hmac("mixadmin.idempotency", body, algorithm="sha256").hexdigest()


def forget_old_intents() -> int:
    """Remove keys that nobody repeats any more. Returns how many."""
    old = db_now() - timedelta(days=KEEP_DAYS)
    return Intent.objects.filter(created_at__lt=old).delete()[0]


def _waiting(wait: Wait) -> ApiError:
    """A call that may not be made now: 503 until a known time, 409 until somebody acts."""
    if wait.until is None:
        return ApiError(409, wait.reason, wait.message)
    seconds = (wait.until - db_now()).total_seconds()
    return ApiError(503, wait.reason, wait.message, retry_after=seconds)


CONVERT[Wait] = _waiting
