"""May anybody be dialled? Not after a time in which nothing of ours lived, until our rows have been compared with
Telnyx.

Every living process moves the gate's hour on, as long as it has not passed; once it has, for all of us were down, only
a finished comparison (callcenter.reconcile) opens the gate again. Events are applied and legs hung up meanwhile.
"""

from datetime import timedelta

from django.db.models import Case, When
from django.db.models.functions import Now

from webhooks.clock import from_now
from webhooks.models import DispatchGate

DARK_AFTER = timedelta(seconds=20)  # Telnyx sends an event again for a minute: what is shorter loses none


def is_open() -> bool:
    """One look by primary key. Without the row, which the first sweeper writes, nothing was ever dispatched."""
    asked = DispatchGate.objects.filter(pk=DispatchGate.ONLY)
    row = asked.values_list(Case(When(open_until__gt=Now(), then=True), default=False)).first()
    return row is None or bool(row[0])


def keep_open() -> None:
    """A process is alive, and so the mirror has not been left alone. What is closed stays closed."""
    open_still = DispatchGate.objects.filter(pk=DispatchGate.ONLY, open_until__gt=Now())
    open_still.update(open_until=from_now(DARK_AFTER))


def install() -> None:
    """A sweeper starts where there never was one. Open: these rows have never dispatched anybody."""
    DispatchGate.objects.get_or_create(pk=DispatchGate.ONLY, defaults={"open_until": from_now(DARK_AFTER)})


def reopen() -> None:
    """Our rows say what Telnyx says."""
    DispatchGate.objects.update_or_create(pk=DispatchGate.ONLY, defaults={"open_until": from_now(DARK_AFTER)})
