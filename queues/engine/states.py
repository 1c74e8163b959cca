"""Rows as a pass sees them. Times are whole seconds since 1970."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Prefetch, Sum, prefetch_related_objects
from django.utils import timezone

from queues.engine.fronts import Stay
from queues.models import Agent, AgentSkill, Offer, Queue, QueueEntry, QueueMembership
from queues.routing.snapshot import AgentState, Membership, PenaltyRule, QueueState, Ring, Sticky, WaitingCall
from queues.routing.strategies import STRATEGIES

DECLINE_EXCLUSION = timedelta(seconds=60)  # who declined or missed it is not offered that call again until then

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

AgentInQueue = tuple[uuid.UUID, uuid.UUID]


def routing_settings(queue_ids: Collection[uuid.UUID] | None) -> dict[uuid.UUID, Queue]:
    """The queues, or with None all there are, with what a pass asks of them."""
    rows = Queue.objects.only(*_SETTINGS).order_by()
    return {queue.pk: queue for queue in (rows if queue_ids is None else rows.filter(pk__in=queue_ids))}


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


def with_terms(agents: Sequence[Agent]) -> Sequence[Agent]:
    """The same agents, with what they serve and can do."""
    prefetch_related_objects(
        agents,
        Prefetch("memberships", QueueMembership.objects.order_by()),
        Prefetch("agent_skills", AgentSkill.objects.select_related("skill")),
    )
    return agents


def agent_states(
    agents: Sequence[Agent], *, within: Collection[uuid.UUID], busy: Iterable[Queue], now: datetime
) -> Mapping[uuid.UUID, AgentState]:
    """By id. ``agents`` come ``with_terms``; of those only the queues ``within`` are told. ``busy``: the queues
    where somebody waits, whose strategies say which figures of the past are needed."""
    past = _past(agents, {name for queue in busy for name in STRATEGIES[queue.strategy].reads}, now)
    return {agent.pk: _agent_state(agent, within, past, now) for agent in agents}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """Figures by agent and queue, and by agent. What nobody asked for is empty."""

    calls_handled: Mapping[AgentInQueue, int] | None = None
    last_call_end: Mapping[AgentInQueue, datetime] = field(default_factory=dict)
    talked: Mapping[uuid.UUID, timedelta] = field(default_factory=dict)


def _past(agents: Sequence[Agent], reads: Collection[str], now: datetime) -> _Past:
    """Counts are queries, over offers that connected; a day begins at midnight of the business time zone."""
    if not reads:
        return _Past()
    ended = Offer.objects.filter(
        agent__in=[agent.pk for agent in agents], state=Offer.State.ENDED, connected_at__isnull=False
    ).order_by()
    today = ended.filter(connected_at__gte=timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0))
    by_queue = ("agent_id", "entry__queue_id")
    handled, last, talked = None, {}, {}
    if "calls_handled" in reads:
        handled = {(agent, queue): n for agent, queue, n in today.values_list(*by_queue).annotate(Count("id"))}
    if "last_call_end" in reads:
        last = {(agent, queue): end for agent, queue, end in ended.values_list(*by_queue).annotate(Max("ended_at"))}
    if "talk_seconds" in reads:
        length = ExpressionWrapper(F("ended_at") - F("connected_at"), output_field=DurationField())
        talked = dict(today.values_list("agent_id").annotate(talked=Sum(length)))
    return _Past(calls_handled=handled, last_call_end=last, talked=talked)


def _agent_state(agent: Agent, within: Collection[uuid.UUID], past: _Past, now: datetime) -> AgentState:
    memberships = {}
    for served in agent.memberships.all():
        if served.queue_id in within:
            here = agent.pk, served.queue_id
            last = past.last_call_end.get(here)
            memberships[str(served.queue_id)] = Membership(
                penalty=served.penalty,
                position=served.position,
                delay=served.delay_secs,
                queue_priority=served.queue_priority,
                paused=served.paused,
                calls_handled=None if past.calls_handled is None else past.calls_handled.get(here, 0),
                last_call_end=secs(last) if last else None,
            )
    return AgentState(
        id=str(agent.pk),
        status=agent.state,
        skills={held.skill.name: held.level for held in agent.agent_skills.all()},
        available_since=secs(agent.available_since or now),
        login_at=secs(agent.login_at) if agent.login_at else 0,
        last_handled_end=secs(agent.last_handled_end) if agent.last_handled_end else None,
        ready_at=secs_up(agent.ready_at) if agent.ready_at else None,
        talk_seconds=int(past.talked.get(agent.pk, timedelta()).total_seconds()),
        memberships=memberships,
    )


def waiting_calls(stays: Sequence[Stay | QueueEntry], now: datetime) -> Iterator[WaitingCall]:
    declined: dict[uuid.UUID, dict[str, int]] = defaultdict(dict)
    for call_id, agent_id, ended_at in Offer.objects.filter(
        call__in={stay.call_id for stay in stays},
        state__in=[Offer.State.DECLINED, Offer.State.TIMED_OUT],
        ended_at__gt=now - DECLINE_EXCLUSION,
    ).values_list("call_id", "agent_id", "ended_at"):
        if ended_at is not None:
            declined[call_id][str(agent_id)] = secs_up(ended_at + DECLINE_EXCLUSION)
    for stay in stays:
        yield replace(waiting_call(stay, now), declined=declined[stay.call_id])


def waiting_call(stay: Stay | QueueEntry, now: datetime) -> WaitingCall:
    """As if nobody had declined it."""
    return WaitingCall(
        id=str(stay.id),
        queue=str(stay.queue_id),
        enqueued_at=min(secs(stay.rank_at), secs(now)),
        priority=stay.priority,
        required_skills=stay.required_skills,
    )


def secs(moment: datetime) -> int:
    return int(moment.timestamp())


def secs_up(moment: datetime) -> int:
    return -int(-moment.timestamp() // 1)
