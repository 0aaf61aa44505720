"""How something stands: one word, one sentence, and the one button that mends it."""

from dataclasses import dataclass
from datetime import datetime

from . import zones


@dataclass(frozen=True, slots=True)
class Fix:
    """What to press. post: the click itself does it; otherwise it leads to a page.

    The label names what it is done to, where that is known: "Retry 3 of 14 files".
    """

    label: str
    url: str
    icon: str = "arrow-right"
    post: bool = False
    # Whoever may only look is shown what leads somewhere to look at.
    needs_editor: bool = True


@dataclass(frozen=True, slots=True)
class Status:
    """tone: good, bad, warn, busy or idle. words: what follows the label; as HTML where
    it holds a time or a link, then made by `format_html`."""

    tone: str
    label: str
    words: str
    fix: Fix | None = None

    @property
    def sentence(self) -> str:
        """The whole, for tooltips and tools."""
        return f"{self.label}. {self.words}".strip()


def at(moment: datetime | None) -> str:
    """A time as sentences write it: to the minute, in the person's zone."""
    if moment is None:
        return "at a time that is not known"
    local = zones.local(moment)
    return f"{local:%Y-%m-%d %H:%M} {zones.label(local)}"


def many(number: int, word: str, words: str = "") -> str:
    """1 event, 30,112 events; words: where the plural has more than an s."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def brought(events: int | None) -> str:
    """What a run brought. Not known is not 0."""
    if events is None:
        return "ended; how many events it brought is unknown"
    return f"brought {many(events, 'event')}"
