"""Agents as a pass sees them, each read at once with what he serves and can do; of those who are alike the first few.

The next kind is found from the one before it (a loose scan of the index ``agent_free``), as in ``fronts``.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Sum
from django.utils import timezone

from queues.engine.sql import array, asked, ident, instant
from queues.engine.states import secs, secs_up
from queues.models import Offer, Queue
from queues.routing.snapshot import AgentState, Membership
from queues.routing.strategies import STRATEGIES

_AGENT = """{array}(agent.profile, agent.id, agent.state, agent.available_since, agent.login_at,
    agent.last_handled_end, agent.ready_at,
    (SELECT {all_of}({array}(served.queue_id, served.penalty, served.position, served.delay_secs,
        served.queue_priority, served.paused)) FROM queues_queuemembership AS served WHERE served.agent_id = agent.id),
    (SELECT {all_of}({array}(skill.name, held.level)) FROM queues_agentskill AS held
        JOIN queues_skill AS skill ON skill.id = held.skill_id WHERE held.agent_id = agent.id))"""
_FREE = "agent.state = 'available' AND agent.live_offer_id IS NULL"
_READY = "(agent.ready_at IS NULL OR agent.ready_at <= %s)"

_FEW = f"""
SELECT {_AGENT} FROM queues_agent AS agent
WHERE {_FREE} AND (SELECT count(*) FROM (SELECT 1 FROM queues_agent AS agent WHERE {_FREE} LIMIT %s) AS free) <= %s
"""

_KINDS = f"""
WITH RECURSIVE kind (heads) AS (
    SELECT (SELECT {{all_of}}({_AGENT}) FROM (
        SELECT * FROM queues_agent AS agent WHERE {_FREE} AND {_READY}
        ORDER BY profile, available_since NULLS LAST, id LIMIT %s) AS agent)
    UNION ALL
    SELECT (SELECT {{all_of}}({_AGENT}) FROM (
        SELECT * FROM queues_agent AS agent WHERE {_FREE} AND {_READY} AND agent.profile > {{key}}
        ORDER BY profile, available_since NULLS LAST, id LIMIT %s) AS agent)
    FROM kind WHERE {{key}} IS NOT NULL
)
SELECT heads FROM kind WHERE {{key}} IS NOT NULL
"""

_OF_PROFILES = f"SELECT {_AGENT} FROM queues_agent AS agent WHERE {_FREE} AND agent.profile IN ({{profiles}})"

_MEMBERS = f"""
SELECT {_AGENT} FROM queues_agent AS agent
WHERE agent.id IN (SELECT agent_id FROM queues_queuemembership WHERE queue_id = %s)
"""

_BY_POSITION = f"""
SELECT asked.queue_id, asked.agent_id, (
    SELECT {{all_of}}({_AGENT}) FROM (
        SELECT agent.* FROM queues_queuemembership AS served JOIN queues_agent AS agent ON agent.id = served.agent_id
        WHERE {_FREE} AND {_READY} AND served.queue_id = asked.queue_id AND agent.profile = kind.profile
        ORDER BY served.position, served.agent_id LIMIT %s) AS agent)
FROM queues_queuemembership AS asked JOIN queues_agent AS kind ON kind.id = asked.agent_id
WHERE asked.queue_id IN ({{queues}}) AND asked.agent_id IN ({{agents}})
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """Free agents who are alike: the first few of them. ``goes_on``: there may be more."""

    profile: str
    heads: tuple[AgentState, ...]
    goes_on: bool

    @property
    def first(self) -> AgentState:
        return self.heads[0]


def everybody_free(most: int, *, now: datetime) -> list[AgentState]:
    """Nobody if there are more than ``most``."""
    return [_agent(array(said), now) for (said,) in asked(_FEW, [most + 1, most])]


def kinds(*, depth: int, now: datetime) -> list[Kind]:
    """Of each kind the first ``depth`` who are free and ready, longest idle first."""
    found: list[Kind] = []
    second = now.replace(microsecond=0)  # as a pass reckons
    for (said,) in asked(_KINDS, [second, depth, second, depth]):
        rows = array(said)
        profile = rows[0][0]
        heads = [_agent(each, now) for each in rows if each[0] == profile]  # the rest are of the next
        found += _kinds_among(profile, heads, goes_on=len(heads) == depth)
    return found


def _kinds_among(profile: str, heads: Sequence[AgentState], *, goes_on: bool) -> Iterator[Kind]:
    """One kind, unless what was noted of one of them is out of date: then he is of another."""
    terms: dict[str, list[AgentState]] = defaultdict(list)
    for agent in heads:
        serves = [(name, replace(served, position=0)) for name, served in sorted(agent.memberships.items())]
        terms[repr((serves, sorted(agent.skills.items())))].append(agent)
    for alike in terms.values():
        yield Kind(profile=profile, heads=tuple(alike), goes_on=goes_on)


def by_position(
    pairs: Collection[tuple[Kind, str]], *, depth: int, now: datetime
) -> dict[tuple[Kind, str], list[AgentState]]:
    """Of each kind, for a queue it serves: the first ``depth`` who are free and ready, by position there."""
    if not pairs:
        return {}
    queue_ids, firsts = {queue_id for _, queue_id in pairs}, {kind.first.id: kind for kind, _ in pairs}
    words = [now.replace(microsecond=0), depth, *map(uuid.UUID, queue_ids), *map(uuid.UUID, firsts)]
    return {
        (firsts[ident(first)], ident(queue_id)): [_agent(each, now) for each in array(said)]
        for queue_id, first, said in asked(_BY_POSITION, words, queues=_places(queue_ids), agents=_places(firsts))
    }


def of_kinds(kinds: Collection[Kind], *, now: datetime) -> list[AgentState]:
    """All of these who are free."""
    profiles = [kind.profile for kind in kinds]
    rows = asked(_OF_PROFILES, profiles, profiles=_places(profiles)) if profiles else ()
    return [_agent(array(said), now) for (said,) in rows]


def members(queue_id: uuid.UUID, *, now: datetime) -> list[AgentState]:
    """Of a queue, in whatever state."""
    return [_agent(array(said), now) for (said,) in asked(_MEMBERS, [queue_id])]


def within(agent: AgentState, queue_ids: Set[str]) -> AgentState:
    """Of what he serves only these queues."""
    if queue_ids >= agent.memberships.keys():
        return agent
    return replace(agent, memberships={name: terms for name, terms in agent.memberships.items() if name in queue_ids})


def _places(words: Collection[Any]) -> str:
    return ", ".join(["%s"] * len(words))


def _agent(said: list[Any], now: datetime) -> AgentState:
    _, agent_id, state, available_since, login_at, last_handled_end, ready_at, serves, holds = said
    return AgentState(
        id=ident(agent_id),
        status=state,
        skills=dict(array(holds)),
        available_since=secs(instant(available_since) if available_since else now),
        login_at=secs(instant(login_at)) if login_at else 0,
        last_handled_end=secs(instant(last_handled_end)) if last_handled_end else None,
        ready_at=secs_up(instant(ready_at)) if ready_at else None,
        memberships={
            ident(queue_id): Membership(
                penalty=penalty,
                position=position,
                delay=delay,
                queue_priority=queue_priority,
                paused=bool(paused),
            )
            for queue_id, penalty, position, delay, queue_priority, paused in array(serves)
        },
    )


# what they did before ----------------------------------------------------------------------------------------


def with_past(agents: Sequence[AgentState], busy: Iterable[Queue], *, now: datetime) -> Sequence[AgentState]:
    """The same agents with those figures of their past that the strategies of these queues need.

    Counts are queries, over offers that connected; a day begins at midnight of the business time zone.
    """
    reads = {name for queue in busy for name in STRATEGIES[queue.strategy].reads}
    if not reads or not agents:
        return agents
    ended = Offer.objects.filter(
        agent__in=[agent.id for agent in agents], state=Offer.State.ENDED, connected_at__isnull=False
    ).order_by()
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    today = ended.filter(connected_at__gte=midnight)
    memberships: dict[tuple[uuid.UUID, uuid.UUID], dict[str, Any]] = defaultdict(dict)
    talked: dict[uuid.UUID, timedelta] = {}
    here = ("agent_id", "entry__queue_id")
    if "calls_handled" in reads:
        for agent_id, queue_id, count in today.values_list(*here).annotate(Count("id")):
            memberships[agent_id, queue_id]["calls_handled"] = count
    if "last_call_end" in reads:
        for agent_id, queue_id, end in ended.values_list(*here).annotate(Max("ended_at")):
            memberships[agent_id, queue_id]["last_call_end"] = secs(end)
    if "talk_seconds" in reads:
        length = ExpressionWrapper(F("ended_at") - F("connected_at"), output_field=DurationField())
        talked = dict(today.values_list("agent_id").annotate(talked=Sum(length)))
    blank: dict[str, Any] = {"calls_handled": 0} if "calls_handled" in reads else {}
    return [_as_he_was(agent, memberships, talked, blank) for agent in agents]


def _as_he_was(
    agent: AgentState,
    memberships: Mapping[tuple[uuid.UUID, uuid.UUID], Mapping[str, Any]],
    talked: Mapping[uuid.UUID, timedelta],
    blank: Mapping[str, Any],
) -> AgentState:
    agent_id = uuid.UUID(agent.id)
    return replace(
        agent,
        talk_seconds=int(talked.get(agent_id, timedelta()).total_seconds()),
        memberships={
            queue_id: replace(membership, **{**blank, **memberships.get((agent_id, uuid.UUID(queue_id)), {})})
            for queue_id, membership in agent.memberships.items()
        },
    )
