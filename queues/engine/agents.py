"""What an agent is doing: each move is one conditional update, so two of them never both happen.

PRODUCT §2. ``reserved`` and ``busy`` hold if and only if a live offer points at the agent; the offer's id in the
condition makes every release happen exactly once.
"""

import uuid
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


def release(offer: Offer, queue: Queue, *, now: datetime, dropped: bool = False, dial_is_out: bool = False) -> bool:
    """Give the agent back once his offer has ended, to where the way it ended puts him. True if this did it.

    ``dropped``: his device or network failed in the middle of the call, so it is given a rest too.
    ``dial_is_out``: of an offer without a leg, that it may get one yet.
    """
    agent = Agent.objects.filter(pk=offer.agent_id, live_offer_id=offer.pk).first()
    if agent is None:
        return False
    after: dict[str, Any] = _after(offer, agent, queue, now)
    if dropped and offer.state == Offer.State.ENDED:
        after |= {"ready_at": now + COOL_DOWN}
    if quiet_at := _quiet_at(offer, dial_is_out=dial_is_out):
        after["ready_at"] = max(quiet_at, after.get("ready_at", quiet_at))
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
        case Offer.State.DECLINED | Offer.State.EXPIRED:
            return restored | {"ready_at": now + COOL_DOWN}
        case Offer.State.TIMED_OUT:
            if agent.misses + 1 >= MISSES_ALLOWED:
                return {"state": State.NOT_READY, "reason": "rona", "misses": agent.misses + 1}
            return restored | {"ready_at": now + COOL_DOWN, "misses": agent.misses + 1}
        case Offer.State.LEG_FAILED:
            if agent.device_failures + 1 >= DEVICE_FAILURES_ALLOWED:
                return {"state": State.NOT_READY, "reason": "connection_lost", "device_failures": 0}
            return restored | {"ready_at": now + COOL_DOWN, "device_failures": agent.device_failures + 1}
    return restored | {"ready_at": now + COOL_DOWN}  # not dialled: his phone is not to blame, and Telnyx needs a pause


def _was_taken_back(offer: Offer) -> bool:
    """Ended by others than its agent: the caller left, another won, or we did not bring the two together in time."""
    match offer.state:
        case Offer.State.EXPIRED:
            return offer.won_at is not None
        case Offer.State.RESCINDED:
            return offer.end_reason != NOT_DIALLED
    return offer.state in (Offer.State.CALLER_LEFT, Offer.State.SUPERSEDED)


def _quiet_at(offer: Offer, *, dial_is_out: bool) -> datetime | None:
    """Nobody is on two calls: how long an agent has no other whose phone is, or may be, up from this one."""
    if offer.ended_at is None:
        return None
    if offer.leg is None:
        return offer.ended_at + DIAL_CLEARS if dial_is_out else None
    return offer.ended_at + LINE_CLEARS if offer.leg.hangup_at is None else None


def line_cleared(offer: Offer, *, dial_is_out: bool) -> bool:
    """The phone is quiet, and its agent waits for nothing else. True if this told him so."""
    if offer.ended_at is None or _quiet_at(offer, dial_is_out=dial_is_out) is not None:
        return False
    told = [offer.ended_at + DIAL_CLEARS]
    if offer.state == Offer.State.ENDED or _was_taken_back(offer):
        told.append(offer.ended_at + LINE_CLEARS)
    return Agent.objects.filter(pk=offer.agent_id, ready_at__in=told).update(ready_at=None) == 1


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
        if not may_ring_yet(Offer.objects.filter(agent=agent), kind="dial_agent", now=now).exists():
            fields |= {"ready_at": None}  # his word ends a cool-down; it does not make his phone quiet
    return _move(agent, now, **fields)


def may_ring_yet(rows: QuerySet[Rung], *, kind: str, now: datetime) -> QuerySet[Rung]:
    """Those that are over, and whose phone is up, or may be by a dial of ``kind`` of which nobody has told us."""
    dial = Command.objects.filter(kind=kind, call_id=OuterRef("call_id"), subject_id=OuterRef("pk"))
    is_out = Exists(dial.exclude(state__in=[Command.State.NEW, Command.State.REJECTED, Command.State.CANCELLED]))
    is_up = Q(leg__isnull=False, leg__hangup_at__isnull=True)
    return rows.filter(is_up | Q(is_out, leg__isnull=True), ended_at__gt=now - DIAL_CLEARS)


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
