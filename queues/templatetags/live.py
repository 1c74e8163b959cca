"""How seconds, shares, states, skills and penalties are written on the live pages."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from queues.routing.eligibility import Window
from queues.tones import TONES

register = template.Library()
NOTHING = "–"
CHOICES = ("the main choice", "second choices", "last resorts")


@register.filter
def clock(secs: float | timedelta | None) -> str:
    """65 → ``1:05``, 3665 → ``1:01:05``; nothing is a dash."""
    if secs is None:
        return NOTHING
    whole = int(secs.total_seconds() if isinstance(secs, timedelta) else secs)
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@register.filter
def instant(secs: int) -> SafeString:
    """Seconds since 1970 → ``12:00:30``, as a time; a dash for what no calendar reaches."""
    try:
        at = datetime.fromtimestamp(secs, UTC)
    except (OverflowError, OSError, ValueError):
        return format_html("{}", NOTHING)
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), at.strftime("%H:%M:%S"))


@register.simple_tag
def opening(secs: int, now: datetime) -> SafeString:
    """What is to come, in seconds since 1970 → ``12:00:30 (in 0:14)``."""
    return format_html("{} (in {})", instant(secs), clock(max(0, secs - int(now.timestamp()))))


@register.filter
def percent(share: float | None) -> str:
    """0.8571 → ``85.7 %``; a ratio without a denominator is a dash, never 0."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


@register.filter
def tone(word: str) -> str:
    """The colour class of a state: ``cc-success`` …; '' for a word without one."""
    return f"cc-{TONES[word]}" if word in TONES else ""


@register.filter("levels")
def levels_as_text(levels: Mapping[str, int]) -> str:
    """``billing 2, spanish 3``, as it is typed in the forms."""
    return ", ".join(f"{name} {level}" for name, level in sorted(levels.items()))


@register.filter
def penalties(window: Window) -> str:
    """Which penalties a window admits: ``0 only``, ``0 to 2``, ``any``, ``any, those below 1 counting as 1``."""
    least, most = window.min_penalty or 0, window.max_penalty
    if most is None:
        admitted = f"{least} and above" if least else "any"
    else:
        admitted = f"{least} only" if least == most else f"{least} to {most}"
    raised = f", those below {window.raise_penalty} counting as {window.raise_penalty}" if window.raise_penalty else ""
    return admitted + raised


@register.filter
def choices(penalty: int) -> str:
    """Who has that penalty, as promise ranks them."""
    return CHOICES[penalty] if penalty < len(CHOICES) else f"agents of penalty {penalty}"
