"""The pulse on every page: `{% load pulse %}{% pulse as beat %}`."""

from django import template
from django.template import Context
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from mixadmin.accounts.models import User
from mixadmin.dashboard.pulse import TONES, WORDS, Pulse, take
from mixadmin.projects.models import Project

register = template.Library()


@register.simple_tag(takes_context=True)
def pulse(context: Context) -> Pulse:
    """Of what the person may see, and of the page's project if there is one."""
    user, project = context.get("user"), context.get("project")
    if not isinstance(user, User):
        return Pulse()
    return take(
        user, project.pk if isinstance(project, Project) else None, timezone.now()
    )


@register.simple_tag
def tally(beat: Pulse, place: str) -> SafeString:
    """{% tally beat "imports" as t %}: the numbers of a place of the rail.

    keys.js writes newer ones into them, so those of 0 are there too, unseen.
    """
    counts = beat.all if place == "all" else beat.places[place]
    numbers = (
        (
            TONES[meaning],
            f"{place}.{meaning}",
            "" if counts[meaning] else SafeString(" hidden"),
            counts[meaning],
            words,
        )
        for meaning, words in WORDS.items()
    )
    return format_html(
        '<span class="pulses">{}</span>',
        format_html_join(
            "",
            '<span class="pulse is-{}" data-tally="{}"{}><b>{}</b>'
            '<span class="hidden-words"> {}</span></span>',
            numbers,
        ),
    )
