"""Rejected records as a file, for pages and tools alike."""

import re
from collections.abc import Iterable, Iterator, Sequence

from django.core.exceptions import ValidationError
from django.http import StreamingHttpResponse

from . import spools
from .models import Ingestion, RejectedGroup

FORMS = {
    "ndjson": (spools.as_ndjson, "application/x-ndjson"),
    "csv": (spools.as_csv, "text/csv; charset=utf-8"),
}
# So many bytes go out at a time.
PIECE = 64 * 1024


def chosen_groups(
    ingestion: Ingestion, ids: Sequence[str]
) -> list[RejectedGroup] | None:
    """The groups with these ids, None for none given. ValidationError of groups."""
    if not ids:
        return None
    numbers = [int(text) for text in ids if re.fullmatch("[0-9]{1,18}", text, re.ASCII)]
    found = list(RejectedGroup.objects.filter(ingestion=ingestion, pk__in=numbers))
    if len(found) < len(set(ids)):
        message = "There is no such group of rejected records."
        raise ValidationError({"groups": ValidationError(message, code="unknown")})
    return found


def rejected_file(
    ingestion: Ingestion, groups: Sequence[RejectedGroup] | None, form: str
) -> StreamingHttpResponse:
    """The records of these groups, or all of them, one after the other."""
    write, content_type = FORMS[form]
    found = spools.rejected(ingestion, groups)
    name = f"rejected-{ingestion.pk}.{form}"
    return StreamingHttpResponse(
        _pieces(write(found)),
        content_type=content_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
