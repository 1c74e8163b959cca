"""What an agent is doing: each move is one conditional update, so two of them never both happen.

PRODUCT §2. ``reserved`` and ``busy`` hold if and only if a live offer points at the agent; the offer's id in the
condition makes every release happen exactly once.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet

from conferences.models import SupervisionSession
from queues.engine.facts import NOT_DIALLED
from queues.models import Agent, Offer, Queue, QueueMembership
from webhooks.models import Command
from webhooks.outbox import RESEND_FOR

State = Agent.State
Rung = TypeVar("Rung", Offer, SupervisionSession)

COOL_DOWN = timedelta(seconds=10)  # after a reject, a miss or a failed leg
# A phone that is being hung up must not ring for the next caller: as long as we wait to hear that it is quiet.
LINE_CLEARS = timedelta(seconds=10)
# Nor one that a dial may ring of which nobody has told us: it was sent before, and is done or given up after so long.
DIAL_CLEARS = RESEND_FOR + LINE_CLEARS
MISSES_ALLOWED = 1
DEVICE_FAILURES_ALLOWED = 3


def reserve(agent_id: uuid.UUID, offer_id: uuid.UUID, *, queue_id: uuid.UUID, now: datetime) -> bool:
    """Move one agent from available to reserved; False if someone else did, he cools down, or serves the queue no more.

    The membership is a condition beside the agent's, not a join: joined, Django would ask for all of them in a
    subquery, and on Postgres the second of two who claim at once would not see that he is taken.
    """
    serves = QueueMembership.objects.filter(agent=OuterRef("pk"), queue=queue_id, paused=False)
    return (
        Agent.objects.available()
        .filter(Q(ready_at__isnull=True) | Q(ready_at__lte=now), Exists(serves), pk=agent_id)
        .update(state=State.RESERVED, reason="", live_offer_id=offer_id, state_since=now)
        == 1
    )


def busy(offer: Offer, *, now: datetime) -> bool:
    """Both legs are connected."""
    return (
        Agent.objects.filter(pk=offer.agent_id, state=State.RESERVED, live_offer_id=offer.pk).update(
            state=State.BUSY, state_since=now, misses=0, device_failures=0
        )
        == 1
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """What we know of an agent's phone after his offer. Nobody is on two calls.

    ``dial_is_out``: of an offer without a leg, that it may get one yet. ``hung_up_at``: when Telnyx took our word.
    """

    dial_is_out: bool = False
    hung_up_at: datetime | None = None

    def quiet_at(self, offer: Offer) -> datetime | None:
        """Until when he has no other call, since his phone is, or may be, up from this one. None: it is quiet."""
        if offer.leg is None:
            return self.guesses(offer)[0] if self.dial_is_out else None
        return self.guesses(offer)[-1] if offer.leg.hangup_at is None else None

    def guesses(self, offer: Offer) -> list[datetime]:
        """As long as Telnyx has not taken our word, and then."""
        assert offer.released_at is not None  # noqa: S101
        given_up = offer.released_at + DIAL_CLEARS
        if self.hung_up_at is None:
            return [given_up]
        return [given_up, min(given_up, max(offer.released_at, self.hung_up_at) + LINE_CLEARS)]


def release(offer: Offer, queue: Queue, phone: Phone, *, now: datetime, dropped: bool = False) -> bool:
    """Give the agent back once his offer has ended, to where the way it ended puts him. True if this did it.

    ``dropped``: his device or network failed in the middle of the call, so it is given a rest too.
    """
    agent = Agent.objects.filter(pk=offer.agent_id, live_offer_id=offer.pk).first()
    if agent is None:
        return False
    offer.released_at = now
    after = _after(offer, agent, queue, now) | {"ready_at": _ready_at(offer, phone.quiet_at(offer), dropped=dropped)}
    if agent.pending_state and after["state"] != State.WRAP_UP:
        after |= _pending(agent)
    return _move(agent, now, live_offer_id=None, **after)


def _after(offer: Offer, agent: Agent, queue: Queue, now: datetime) -> dict[str, Any]:
    restored: dict[str, Any] = {
        "state": State.AVAILABLE,
        "reason": "",
        "available_since": offer.agent_available_since or now,
    }
    match offer.state:
        case Offer.State.ENDED:
            handled = {"last_handled_end": offer.ended_at, "misses": 0, "device_failures": 0}
            if queue.wrap_up_secs:
                until = now + timedelta(seconds=queue.wrap_up_secs)
                return handled | {"state": State.WRAP_UP, "reason": "", "wrap_up_until": until}
            return handled | {"state": State.AVAILABLE, "reason": "", "available_since": now}
        case _ if _was_taken_back(offer):
            return restored  # as if it had not been
        case Offer.State.TIMED_OUT:
            if agent.misses + 1 >= MISSES_ALLOWED:
                return {"state": State.NOT_READY, "reason": "rona", "misses": agent.misses + 1}
            return restored | {"misses": agent.misses + 1}
        case Offer.State.LEG_FAILED:
            if agent.device_failures + 1 >= DEVICE_FAILURES_ALLOWED:
                return {"state": State.NOT_READY, "reason": "connection_lost", "device_failures": 0}
            return restored | {"device_failures": agent.device_failures + 1}
    return restored


def _was_taken_back(offer: Offer) -> bool:
    """Ended by others than its agent: the caller left, another won, or we did not bring the two together in time."""
    match offer.state:
        case Offer.State.EXPIRED:
            return offer.won_at is not None
        case Offer.State.RESCINDED:
            return offer.end_reason != NOT_DIALLED
    return offer.state in (Offer.State.CALLER_LEFT, Offer.State.SUPERSEDED)


def _ready_at(offer: Offer, quiet_at: datetime | None, *, dropped: bool) -> datetime | None:
    """Before which nobody rings him: he cools down, or his phone is not known to be quiet."""
    assert offer.released_at is not None  # noqa: S101
    # Not dialled: his phone is not to blame, and Telnyx needs a pause.
    rests = dropped if offer.state == Offer.State.ENDED else not _was_taken_back(offer)
    return max((at for at in (offer.released_at + COOL_DOWN if rests else None, quiet_at) if at), default=None)


def line_cleared(offer: Offer, phone: Phone, *, now: datetime, dropped: bool = False) -> bool:
    """Of an agent given back already: what has been heard of his phone since. True if he waits for nothing any more."""
    if offer.released_at is None or offer.released_at + DIAL_CLEARS <= now:
        return False
    ready_at = _ready_at(offer, phone.quiet_at(offer), dropped=dropped)
    told = {_ready_at(offer, guess, dropped=dropped) for guess in phone.guesses(offer)} - {ready_at}
    waits = Agent.objects.filter(pk=offer.agent_id, ready_at__in=told)
    return bool(told) and waits.update(ready_at=ready_at) == 1 and ready_at is None


def wrapped_up(agent_id: uuid.UUID, *, now: datetime, due: bool = False) -> bool:
    """Leave wrap-up, for the state asked for meanwhile or else for available; with ``due`` only past the deadline."""
    agents = Agent.objects.filter(pk=agent_id, state=State.WRAP_UP)
    if due:
        agents = agents.filter(wrap_up_until__lte=now)
    agent = agents.first()
    if agent is None:
        return False
    after = _pending(agent) if agent.pending_state else {"state": State.AVAILABLE, "reason": ""}
    return _move(agent, now, **({"available_since": now} | after))


def move(agent: Agent, state: str, *, reason: str = "", now: datetime) -> bool:
    """A move between offline, not ready and available; False if the agent is no longer where he was."""
    fields: dict[str, Any] = {"state": state, "reason": reason}
    if state == State.AVAILABLE:
        fields |= {"available_since": now, "misses": 0, "device_failures": 0}
        lately = Offer.objects.filter(agent=agent, released_at__gt=now - DIAL_CLEARS)
        if not may_ring_yet(lately, kind="dial_agent").exists():
            fields |= {"ready_at": None}  # his word ends a cool-down; it does not make his phone quiet
    return _move(agent, now, **fields)


def may_ring_yet(over: QuerySet[Rung], *, kind: str) -> QuerySet[Rung]:
    """Of those that are over, whose phone is up, or may be by a dial of ``kind`` of which nobody has told us."""
    dial = Command.objects.filter(kind=kind, call_id=OuterRef("call_id"), subject_id=OuterRef("pk"))
    is_out = Exists(dial.exclude(state__in=[Command.State.NEW, Command.State.REJECTED, Command.State.CANCELLED]))
    is_up = Q(leg__isnull=False, leg__hangup_at__isnull=True)
    return over.filter(is_up | Q(is_out, leg__isnull=True))


def _pending(agent: Agent) -> dict[str, Any]:
    return {"state": agent.pending_state, "reason": agent.pending_reason}


def _move(agent: Agent, now: datetime, **fields: Any) -> bool:
    if fields["state"] != State.WRAP_UP:
        fields |= {"wrap_up_until": None, "pending_state": "", "pending_reason": ""}
    return (
        Agent.objects.filter(pk=agent.pk, state=agent.state, live_offer_id=agent.live_offer_id).update(
            state_since=now, **fields
        )
        == 1
    )
