"""How an item stands: one sentence, and the one button that mends it."""

from dataclasses import dataclass

from .fixes import Fix
from .templatetags.ui import TONE_OF


@dataclass(frozen=True, slots=True)
class Standing:
    """For `_standing.html`: the state as a badge, the sentence, and the fix if any."""

    state: str
    label: str
    # As HTML where it holds a time or a link; then made by `format_html`.
    sentence: str
    fix: Fix | None = None

    @property
    def tone(self) -> str:
        return TONE_OF.get(self.state, "warn")


def many(count: int, one: str, more: str = "") -> str:
    """ "1 file", "3 files", "1,041 batches"."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
