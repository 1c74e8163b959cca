"""Agents as a pass sees them, each read at once with what he serves and can do; of those who are alike the first few.

The next kind is found from the one before it (a loose scan of the index ``agent_free``), as in ``fronts``.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Sum
from django.utils import timezone

from queues.engine.sql import Dialect, Question, asked, ceiling, floor, ident, or_empty, places, record
from queues.engine.states import secs
from queues.models import Offer
from queues.routing.eligibility import broken_by_agent
from queues.routing.snapshot import AgentState, Membership, QueueState
from queues.routing.strategies import STRATEGIES

MANY = "many"
Terms = tuple[tuple[str, ...], ...]  # what is the same for those who are alike


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """Free agents who are alike: the first few of them. ``goes_on``: there may be more, of this ``profile``."""

    heads: tuple[AgentState, ...]
    goes_on: bool = False
    profile: str = ""

    @property
    def first(self) -> AgentState:
        return self.heads[0]


def who_is_free(most: int, *, depth: int, now: datetime) -> Question:
    """Everybody who is; if they are more than ``most``, of each kind the first ``depth`` who are ready too, longest
    idle first."""
    second = now.replace(microsecond=0)  # as a pass reckons
    return Question(select=_free, variants=(most, depth), words=[second, second])


def free(answer: Collection[str], *, depth: int, now: datetime) -> tuple[list[Kind], bool]:
    """To ``who_is_free``, and whether that is everybody."""
    if MANY not in answer:
        return [Kind(heads=alike) for alike in _alike(answer, secs(now))], True
    found: list[Kind] = []
    for told in answer:
        if told == MANY:
            continue
        rows = told.split("\n")
        profile = rows[0].split("\t", 1)[0]
        heads = [row for row in rows if row.startswith(f"{profile}\t")]  # the rest are of the next
        goes_on = len(heads) == depth
        found += [Kind(heads=alike, goes_on=goes_on, profile=profile) for alike in _alike(heads, secs(now))]
    return found, False


def _alike(rows: Iterable[str], now: int) -> Iterator[tuple[AgentState, ...]]:
    """What was noted of an agent may be out of date: then he is not like the others of his profile."""
    groups: dict[tuple[Terms, bool], list[AgentState]] = defaultdict(list)
    for row in rows:
        agent, terms = _agent(row, now)
        groups[terms, broken_by_agent(agent, active_calls=0, now=now) is None].append(agent)
    yield from map(tuple, groups.values())


def by_position(
    pairs: Collection[tuple[Kind, str]], *, depth: int, now: datetime
) -> dict[tuple[Kind, str], list[AgentState]]:
    """Of each kind, for a queue it serves: the first ``depth`` who are free and ready, by position there."""
    if not pairs:
        return {}
    queue_ids, firsts = {queue_id for _, queue_id in pairs}, {kind.first.id: kind for kind, _ in pairs}
    words = [now.replace(microsecond=0), *map(uuid.UUID, queue_ids), *map(uuid.UUID, firsts)]
    [answer] = asked(Question(select=_by_position, variants=(len(queue_ids), len(firsts), depth), words=words))
    found: dict[tuple[Kind, str], list[AgentState]] = {}
    for told in answer:
        queue_id, first, *rows = told.split("\n")
        agents = [_agent(row, secs(now))[0] for row in rows if row]
        found[firsts[ident(first)], ident(queue_id)] = agents
    return found


def of_kinds(kinds: Collection[Kind], *, now: datetime) -> list[AgentState]:
    """All of these who are free."""
    return _found(_of_profiles, [kind.profile for kind in kinds], now)


def named(agent_ids: Collection[str], *, now: datetime) -> list[AgentState]:
    """In whatever state."""
    return _found(_named, [uuid.UUID(agent_id) for agent_id in agent_ids], now)


def members(queue_id: uuid.UUID, *, now: datetime) -> list[AgentState]:
    """Of a queue, in whatever state."""
    return _found(_members, [queue_id], now)


def _found(select: Callable[[Dialect, int], str], words: Sequence[str | uuid.UUID], now: datetime) -> list[AgentState]:
    if not words:
        return []
    [answer] = asked(Question(select=select, variants=(len(words),), words=words))
    return [_agent(row, secs(now))[0] for row in answer]


def within(agent: AgentState, queue_ids: Set[str]) -> AgentState:
    """Of what he serves only these queues."""
    if queue_ids >= agent.memberships.keys():
        return agent
    return replace(agent, memberships={name: terms for name, terms in agent.memberships.items() if name in queue_ids})


def _agent(row: str, now: int) -> tuple[AgentState, Terms]:
    _, agent_id, state, available_since, login_at, last_handled_end, ready_at, serves, holds = row.split("\t")
    memberships, skills, terms = _serves_and_holds(serves, holds)
    agent = AgentState(
        id=ident(agent_id),
        status=state,
        skills=skills,
        available_since=floor(available_since) if available_since else now,
        login_at=floor(login_at) if login_at else 0,
        last_handled_end=floor(last_handled_end) if last_handled_end else None,
        ready_at=ceiling(ready_at) if ready_at else None,
        memberships=memberships,
    )
    return agent, terms


@lru_cache(maxsize=10_000)
def _serves_and_holds(serves: str, holds: str) -> tuple[Mapping[str, Membership], Mapping[str, int], Terms]:
    memberships, skills, terms = dict[str, Membership](), dict[str, int](), list[tuple[str, ...]]()
    for each in filter(None, serves.split(",")):
        queue_id, position, *rest = each.split(" ")
        penalty, delay, queue_priority, paused = rest
        memberships[ident(queue_id)] = Membership(
            penalty=int(penalty),
            position=int(position),
            delay=int(delay),
            queue_priority=int(queue_priority),
            paused=paused in ("1", "true"),
        )
        terms.append((queue_id, *rest))
    for each in filter(None, holds.split(",")):
        level, skill = each.split(" ")
        skills[skill] = int(level)
        terms.append((skill, level))
    return memberships, skills, tuple(sorted(terms))


# the questions -----------------------------------------------------------------------------------------------

_FREE = "agent.state = 'available' AND agent.live_offer_id IS NULL"
_READY = "(agent.ready_at IS NULL OR agent.ready_at <= %s)"


_INSTANTS = ("available_since", "login_at", "last_handled_end", "ready_at")
_TERMS = ("queue_id", "position", "penalty", "delay_secs", "queue_priority", "paused")


def _row(dialect: Dialect) -> str:
    """What he serves and holds is split at spaces and commas: ids, numbers, names of skills, which are slugs."""
    serves = dialect.listed(" || ' ' || ".join(f"served.{name}" for name in _TERMS), ",")
    skill = "(SELECT skill.name FROM queues_skill AS skill WHERE skill.id = held.skill_id)"
    holds = dialect.listed(f"held.level || ' ' || {skill}", ",")
    return record(
        "agent.profile",
        "agent.id",
        "agent.state",
        *(or_empty(dialect.epoch(f"agent.{name}")) for name in _INSTANTS),
        or_empty(f"(SELECT {serves} FROM queues_queuemembership AS served WHERE served.agent_id = agent.id)"),
        or_empty(f"(SELECT {holds} FROM queues_agentskill AS held WHERE held.agent_id = agent.id)"),
    )


def _heads(dialect: Dialect, which: str, limit: int) -> str:
    return f"""(
        SELECT {dialect.listed(_row(dialect))} FROM (
            SELECT profile, id, state, {", ".join(_INSTANTS)} FROM queues_agent AS agent
            WHERE {_FREE} AND {_READY} AND {which}
            ORDER BY profile, available_since NULLS LAST, id LIMIT {limit}) AS agent)"""


def _free(dialect: Dialect, most: int, depth: int) -> str:
    profile = dialect.first_field("heads")
    return f"""
WITH RECURSIVE few (are_free) AS (
    SELECT count(*) <= {most} FROM (
        SELECT 1 FROM queues_agent AS agent WHERE {_FREE} ORDER BY profile LIMIT {most + 1}) AS free
),
kind (heads) AS (
    SELECT {_heads(dialect, "NOT (SELECT are_free FROM few)", depth)}
    UNION ALL
    SELECT {_heads(dialect, f"agent.profile > {profile}", depth)} FROM kind WHERE heads IS NOT NULL
)
SELECT '{MANY}' AS answer FROM few WHERE NOT are_free
UNION ALL
SELECT heads FROM kind WHERE heads IS NOT NULL
UNION ALL
SELECT {_row(dialect)} FROM queues_agent AS agent WHERE {_FREE} AND (SELECT are_free FROM few)
"""


def _of_profiles(dialect: Dialect, count: int) -> str:
    return f"""
SELECT {_row(dialect)} AS answer FROM queues_agent AS agent WHERE {_FREE} AND agent.profile IN ({places(count)})
"""


def _named(dialect: Dialect, count: int) -> str:
    return f"SELECT {_row(dialect)} AS answer FROM queues_agent AS agent WHERE agent.id IN ({places(count)})"


def _members(dialect: Dialect, _: int) -> str:
    return f"""
SELECT {_row(dialect)} AS answer FROM queues_agent AS agent
WHERE agent.id IN (SELECT agent_id FROM queues_queuemembership WHERE queue_id = %s)
"""


def _by_position(dialect: Dialect, queues: int, firsts: int, depth: int) -> str:
    heads = f"""(
    SELECT {dialect.listed(_row(dialect))} FROM (
        SELECT agent.* FROM queues_queuemembership AS served JOIN queues_agent AS agent ON agent.id = served.agent_id
        WHERE {_FREE} AND {_READY} AND served.queue_id = asked.queue_id AND agent.profile = kind.profile
        ORDER BY served.position, served.agent_id LIMIT {depth}) AS agent)"""
    return f"""
SELECT asked.queue_id || '\n' || asked.agent_id || '\n' || {or_empty(heads)} AS answer
FROM queues_queuemembership AS asked JOIN queues_agent AS kind ON kind.id = asked.agent_id
WHERE asked.queue_id IN ({places(queues)}) AND asked.agent_id IN ({places(firsts)})
"""


# what they did before ----------------------------------------------------------------------------------------


def with_past(agents: Sequence[AgentState], busy: Iterable[QueueState], *, now: datetime) -> Sequence[AgentState]:
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
