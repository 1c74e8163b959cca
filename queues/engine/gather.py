"""What a pass decides on, gathered from the rows: who waits, who is free, how the queues are set."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db.models import Count, Max, Q
from django.utils import timezone

from queues.models import Agent, Offer, Queue, QueueEntry, QueueMembership
from queues.routing.snapshot import AgentState, Membership, PenaltyRule, QueueState, Ring, State, Sticky, WaitingCall

DECLINE_EXCLUSION = timedelta(seconds=60)  # who declined or missed it is not offered that call again until then
LINE_LIMIT = 1000  # calls looked at per pass and queue


def connected(queue_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """These queues and all that share members with them, directly or through others."""
    queues_of: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    agents_of: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    for queue_id, agent_id in QueueMembership.objects.values_list("queue_id", "agent_id"):
        queues_of[agent_id].add(queue_id)
        agents_of[queue_id].add(agent_id)
    found, fresh = set[uuid.UUID](), set(queue_ids)
    while fresh:
        found |= fresh
        fresh = {q for queue in fresh for agent in agents_of[queue] for q in queues_of[agent]} - found
    return found


def snapshot(queue_ids: Collection[uuid.UUID], now: datetime) -> State:
    """The frozen state a pass decides on: these queues, who waits there, who serves them.

    A call in the state is a waiting stay (its id is the entry's); times are whole seconds since 1970.
    """
    entries = [
        entry
        for queue_id in queue_ids
        for entry in QueueEntry.objects.waiting()
        .filter(queue_id=queue_id)
        .select_related("call")
        .order_by("-priority", "rank_at")[:LINE_LIMIT]
    ]
    if not entries:
        return State(now=_secs(now), queues=(), agents=(), calls=())
    free = list(
        Agent.objects.available()
        .filter(memberships__queue__in=queue_ids)
        .distinct()
        .prefetch_related("memberships", "agent_skills__skill")
    )
    handled = _handled_today(free, now)
    return State(
        now=_secs(now),
        queues=tuple(
            _queue_state(queue, queue.members)
            for queue in Queue.objects.filter(pk__in=queue_ids).annotate(members=Count("memberships"))
        ),
        agents=tuple(_agent_state(agent, queue_ids, handled) for agent in free),
        calls=tuple(_waiting_calls(entries, now)),
    )


def _queue_state(queue: Queue, members: int) -> QueueState:
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


def _ring(ring: Mapping[str, Any]) -> Ring:
    return Ring(after=ring["after"], drop=frozenset(ring.get("drop", ())), levels=ring.get("levels", {}))


def _penalty_rule(rule: Mapping[str, Any]) -> PenaltyRule:
    return PenaltyRule(after=rule["after"], sets={name: limit for name, limit in rule.items() if name != "after"})


Handled = dict[tuple[uuid.UUID, uuid.UUID], tuple[int, datetime]]


def _handled_today(free: Iterable[Agent], now: datetime) -> Handled:
    """Per agent and queue: calls connected since midnight, and the end of the last one. Counts are queries."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = (
        Offer.objects.filter(agent__in=[agent.pk for agent in free], state=Offer.State.ENDED)
        .filter(connected_at__isnull=False)
        .values_list("agent_id", "entry__queue_id")
        .annotate(count=Count("id", filter=Q(connected_at__gte=midnight)), last=Max("ended_at"))
    )
    return {(agent_id, queue_id): (count, last) for agent_id, queue_id, count, last in rows}


def _agent_state(agent: Agent, queue_ids: Collection[uuid.UUID], handled: Handled) -> AgentState:
    memberships = {}
    for membership in agent.memberships.all():
        if membership.queue_id in queue_ids:
            count, last = handled.get((agent.pk, membership.queue_id), (0, None))
            memberships[str(membership.queue_id)] = Membership(
                penalty=membership.penalty,
                position=membership.position,
                delay=membership.delay_secs,
                queue_priority=membership.queue_priority,
                paused=membership.paused,
                calls_handled=count,
                last_call_end=_secs(last) if last else None,
            )
    return AgentState(
        id=str(agent.pk),
        skills={held.skill.name: held.level for held in agent.agent_skills.all()},
        available_since=_secs(agent.available_since) if agent.available_since else 0,
        login_at=_secs(agent.login_at) if agent.login_at else 0,
        last_handled_end=_secs(agent.last_handled_end) if agent.last_handled_end else None,
        ready_at=_secs_up(agent.ready_at) if agent.ready_at else None,
        memberships=memberships,
    )


def _waiting_calls(entries: list[QueueEntry], now: datetime) -> Iterable[WaitingCall]:
    declined: dict[uuid.UUID, dict[str, int]] = defaultdict(dict)
    for call_id, agent_id, ended_at in Offer.objects.filter(
        call__in=[entry.call_id for entry in entries],
        state__in=[Offer.State.DECLINED, Offer.State.TIMED_OUT],
        ended_at__gt=now - DECLINE_EXCLUSION,
    ).values_list("call_id", "agent_id", "ended_at"):
        if ended_at is not None:
            declined[call_id][str(agent_id)] = _secs_up(ended_at + DECLINE_EXCLUSION)
    for entry in entries:
        yield WaitingCall(
            id=str(entry.pk),
            queue=str(entry.queue_id),
            enqueued_at=min(_secs(entry.rank_at), _secs(now)),
            priority=entry.priority,
            required_skills=entry.required_skills,
            declined=declined[entry.call_id],
        )


def _secs(moment: datetime) -> int:
    return int(moment.timestamp())


def _secs_up(moment: datetime) -> int:
    return -int(-moment.timestamp() // 1)
