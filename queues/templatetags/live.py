"""How seconds, shares and states are written on the live pages."""

from datetime import timedelta

from django import template

from queues.tones import TONES

register = template.Library()
NOTHING = "–"


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
def percent(share: float | None) -> str:
    """0.8571 → ``85.7 %``; a ratio without a denominator is a dash, never 0."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


@register.filter
def tone(word: str) -> str:
    """The colour class of a state: ``cc-success`` …; '' for a word without one."""
    return f"cc-{TONES[word]}" if word in TONES else ""
