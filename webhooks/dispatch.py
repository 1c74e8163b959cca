"""May anybody be dialled? Not after a time in which nobody compared our rows with Telnyx, until that has been done.

The leading sweeper, who has them compared, moves the gate's hour on. Once it has passed, that is a lapse, and ``dark
since`` says when it was noticed: only a comparison (callcenter.reconcile) that began after that opens the gate again.
Events are applied and legs hung up meanwhile.
"""

from datetime import datetime, timedelta

from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now

from webhooks.clock import from_now
from webhooks.models import DispatchGate

DARK_AFTER = timedelta(seconds=20)  # Telnyx sends an event again for a minute: what is shorter loses none


def is_open() -> bool:
    """One look by primary key. Without the row, which the first sweeper writes, nothing was ever dispatched."""
    opened = When(open_until__gt=Now(), dark_since__isnull=True, then=True)
    row = _gate().values_list(Case(opened, default=False)).first()
    return row is None or bool(row[0])


def keep_open() -> None:
    """Somebody who has our rows compared is alive. If there was nobody for a while, that is noted as a new lapse."""
    lapsed = When(open_until__lte=Now(), then=Now())
    _gate().update(open_until=from_now(DARK_AFTER), dark_since=Case(lapsed, default=F("dark_since")))


def dark_since() -> datetime | None:
    """The lapse that stands; None while the gate is open. What begins now may end this one, and no later one;
    whoever begins is alive himself.
    """
    keep_open()
    return _gate().values_list("dark_since", flat=True).first()


def install() -> None:
    """A sweeper starts where there never was one. Open: these rows have never dispatched anybody."""
    DispatchGate.objects.get_or_create(pk=DispatchGate.ONLY, defaults={"open_until": from_now(DARK_AFTER)})


def reopen(lapse: datetime) -> bool:
    """Our rows say what Telnyx says, by a comparison that began in the dark since ``lapse``. False, and nothing done,
    if there was another one meanwhile.
    """
    return bool(_gate().filter(dark_since__lte=lapse, open_until__gt=Now()).update(dark_since=None))


def _gate() -> "QuerySet[DispatchGate]":
    return DispatchGate.objects.filter(pk=DispatchGate.ONLY)
