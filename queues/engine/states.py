"""Queues and waiting calls as a pass sees them. Times are whole seconds since 1970."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from queues.engine.fronts import Stay
from queues.models import Offer, Queue, QueueEntry
from queues.routing.snapshot import PenaltyRule, QueueState, Ring, Sticky, WaitingCall

DECLINE_EXCLUSION = timedelta(seconds=60)  # who declined or missed it is not offered that call again until then

NOBODY: Mapping[str, int] = MappingProxyType({})

_SETTINGS = (
    "strategy",
    "weight",
    "scoring",
    "aging_seconds_per_point",
    "idle_basis",
    "rings",
    "penalty_rules",
    "min_penalty",
    "max_penalty",
    "raise_penalty",
    "penalty_members_limit",
    "sticky",
    "last_offered_position",
    "promise_secs",
    "beta",
)


def routing_settings(queue_ids: Collection[str] | None) -> dict[str, Queue]:
    """The queues by id, or with None all there are, with what a pass asks of them."""
    rows = Queue.objects.only(*_SETTINGS).order_by()
    return {str(queue.pk): queue for queue in (rows if queue_ids is None else rows.filter(pk__in=queue_ids))}


def queue_state(queue: Queue, *, members: int | None = None) -> QueueState:
    """``members``: how many it has, in whatever state; None if all of them will be in the state."""
    return QueueState(
        id=str(queue.pk),
        strategy=queue.strategy,
        weight=queue.weight,
        scoring=queue.scoring,
        aging_seconds_per_point=queue.aging_seconds_per_point,
        idle_basis=queue.idle_basis,
        rings=tuple(_ring(ring) for ring in queue.rings),
        penalty_rules=tuple(_penalty_rule(rule) for rule in queue.penalty_rules),
        min_penalty=queue.min_penalty,
        max_penalty=queue.max_penalty,
        raise_penalty=queue.raise_penalty,
        penalty_members_limit=queue.penalty_members_limit,
        sticky=Sticky(**queue.sticky) if queue.sticky else None,
        last_offered_position=queue.last_offered_position,
        promise_secs=queue.promise_secs,
        beta=Fraction(queue.beta),
        member_count=members,
    )


def count_members(queue: Queue) -> int | None:
    """As far as ``penalty_members_limit`` asks; None where it asks nothing."""
    most = queue.penalty_members_limit + 1
    return len(queue.memberships.order_by().values_list("pk")[:most]) if queue.penalty_members_limit else None


def _ring(ring: Mapping[str, Any]) -> Ring:
    return Ring(after=ring["after"], drop=frozenset(ring.get("drop", ())), levels=ring.get("levels", {}))


def _penalty_rule(rule: Mapping[str, Any]) -> PenaltyRule:
    return PenaltyRule(after=rule["after"], sets={name: limit for name, limit in rule.items() if name != "after"})


def waiting_calls(stays: Sequence[Stay | QueueEntry], now: datetime) -> Iterator[WaitingCall]:
    declined: dict[str, dict[str, int]] = defaultdict(dict)
    recent = Offer.objects.filter(state__in=Offer.TURNED_DOWN, ended_at__gt=now - DECLINE_EXCLUSION).order_by()
    for call_id, agent_id, ended_at in recent.values_list("call_id", "agent_id", "ended_at"):
        if ended_at is not None:
            declined[str(call_id)][str(agent_id)] = secs_up(ended_at + DECLINE_EXCLUSION)
    for stay in stays:
        yield waiting_call(stay, now, declined=declined.get(str(stay.call_id), NOBODY))


def waiting_call(stay: Stay | QueueEntry, now: datetime, *, declined: Mapping[str, int] = NOBODY) -> WaitingCall:
    return WaitingCall(
        id=str(stay.id),
        queue=str(stay.queue_id),
        enqueued_at=min(secs(stay.rank_at), secs(now)),
        priority=stay.priority,
        required_skills=stay.required_skills,
        declined=declined,
    )


def secs(moment: datetime) -> int:
    return int(moment.timestamp())


def secs_up(moment: datetime) -> int:
    return -int(-moment.timestamp() // 1)
