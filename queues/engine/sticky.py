"""Whom a call is kept for (ROUTING §5): the agent who last talked with this caller. Noted once, as a stay opens."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db.models import F

from queues.engine.states import secs
from queues.models import Call, Offer, QueueEntry
from queues.models.queue import e164
from queues.routing.snapshot import Sticky

CALLS_LOOKED_AT = 20  # of one number, the latest: some numbers are a whole company's


def prefer(entry: QueueEntry, *, now: datetime) -> None:
    """Note on a stay that is about to be written which agent its caller prefers; nobody unless its queue is sticky.

    Whether he serves the queue, and may have the call, is for each pass to say.
    """
    if not entry.queue.sticky or not _is_somebodys(entry.call.from_number):
        return
    talk = _last_talk(entry.call)
    if talk is None or talk.connected_at is None:
        return
    talked_at = talk.ended_at or talk.connected_at
    if Sticky(**entry.queue.sticky).is_recent(secs(talked_at), now=secs(now)):
        entry.preferred_agent, entry.preferred_agent_at = talk.agent, talked_at


def _is_somebodys(number: str) -> bool:
    """Whoever withholds his number calls as anonymous, restricted, or nothing, like all others who do."""
    try:
        e164(number)
    except ValidationError:
        return False
    return True


def _last_talk(call: Call) -> Offer | None:
    """Of the number's earlier calls, the conversation that goes on or ended last.

    Agents who have talked in this very call are passed over: they have sent the caller on, or dropped him.
    """
    # As a range, in the order of call_from: by equality, Postgres may go back through everybody's calls (call_newest)
    # in search of those of a number that used to call often.
    his = Call.objects.filter(from_number__range=(call.from_number, call.from_number), arrived_at__lt=call.arrived_at)
    latest = his.order_by("from_number", "-arrived_at").values("pk")[:CALLS_LOOKED_AT]
    had_it = Offer.objects.filter(call=call, connected_at__isnull=False)
    return (
        Offer.objects.filter(call__in=latest, connected_at__isnull=False)
        .exclude(agent__in=had_it.values("agent"))
        .select_related("agent")
        .order_by(F("ended_at").desc(nulls_first=True), "-connected_at", "pk")
        .first()
    )
