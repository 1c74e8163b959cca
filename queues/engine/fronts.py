"""The fronts of the lines, read off an index: the first few calls of every line, the first few free agents of every
kind. How many stand behind them costs nothing.

The next line is found from the one before it (a loose scan of the indexes ``queueentry_line`` and ``agent_free``),
which the ORM cannot say; hence the SQL. It is the same for SQLite and Postgres but for what makes and reads JSON
arrays.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from queues.models import Agent, Queue

_WORDS = {
    "postgresql": {"all_of": "json_agg", "array": "json_build_array", "key": "heads -> 0 ->> 0"},
    "sqlite": {"all_of": "json_group_array", "array": "json_array", "key": "json_extract(heads, '$[0][0]')"},
}

_LINES = """
WITH RECURSIVE stretch (queue_id, since, until, is_cut) AS (VALUES {stretches}),
front (queue_id, heads) AS (
    SELECT queue_id, (
        SELECT {all_of}({array}(head.line, head.id, head.call_id, head.rank_at)) FROM (
            SELECT entry.line, entry.id, entry.call_id, entry.rank_at FROM queues_queueentry AS entry
            WHERE entry.state = 'waiting' AND entry.queue_id = queue.queue_id
            ORDER BY entry.line, entry.rank_at, entry.id LIMIT %s) AS head)
    FROM (SELECT DISTINCT queue_id FROM stretch) AS queue
    UNION ALL
    SELECT queue_id, (
        SELECT {all_of}({array}(head.line, head.id, head.call_id, head.rank_at)) FROM (
            SELECT entry.line, entry.id, entry.call_id, entry.rank_at FROM queues_queueentry AS entry
            WHERE entry.state = 'waiting' AND entry.queue_id = front.queue_id AND entry.line > {key}
            ORDER BY entry.line, entry.rank_at, entry.id LIMIT %s) AS head)
    FROM front WHERE {key} IS NOT NULL
)
SELECT front.queue_id, CASE WHEN stretch.is_cut THEN (
    SELECT {all_of}({array}(head.line, head.id, head.call_id, head.rank_at)) FROM (
        SELECT entry.line, entry.id, entry.call_id, entry.rank_at FROM queues_queueentry AS entry
        WHERE entry.state = 'waiting' AND entry.queue_id = front.queue_id AND entry.line = {key}
        AND entry.rank_at >= stretch.since AND entry.rank_at < stretch.until
        ORDER BY entry.rank_at, entry.id LIMIT %s) AS head) ELSE heads END
FROM front JOIN stretch ON stretch.queue_id = front.queue_id WHERE {key} IS NOT NULL
"""

_FREE = "agent.state = 'available' AND agent.live_offer_id IS NULL"
_READY = "(agent.ready_at IS NULL OR agent.ready_at <= %s)"

_KINDS = f"""
WITH RECURSIVE kind (heads) AS (
    SELECT (
        SELECT {{all_of}}({{array}}(head.profile, head.id, head.available_since, head.login_at, head.last_handled_end))
        FROM (
            SELECT * FROM queues_agent AS agent WHERE {_FREE} AND {_READY}
            ORDER BY profile, available_since NULLS LAST, id LIMIT %s) AS head)
    UNION ALL
    SELECT (
        SELECT {{all_of}}({{array}}(head.profile, head.id, head.available_since, head.login_at, head.last_handled_end))
        FROM (
            SELECT * FROM queues_agent AS agent WHERE {_FREE} AND {_READY} AND agent.profile > {{key}}
            ORDER BY profile, available_since NULLS LAST, id LIMIT %s) AS head)
    FROM kind WHERE {{key}} IS NOT NULL
)
SELECT heads FROM kind WHERE {{key}} IS NOT NULL
"""

_BY_POSITION = f"""
SELECT asked.queue_id, asked.agent_id, (
    SELECT {{all_of}}(head.agent_id) FROM (
        SELECT served.agent_id FROM queues_queuemembership AS served
        JOIN queues_agent AS agent ON agent.id = served.agent_id
        WHERE {_FREE} AND {_READY} AND served.queue_id = asked.queue_id AND agent.profile = kind.profile
        ORDER BY served.position, served.agent_id LIMIT %s) AS head)
FROM queues_queuemembership AS asked JOIN queues_agent AS kind ON kind.id = asked.agent_id
WHERE asked.queue_id IN ({{queues}}) AND asked.agent_id IN ({{agents}})
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stay:
    """As much of a waiting ``QueueEntry`` as a pass asks for, under the names of its fields."""

    id: UUID
    call_id: UUID
    queue_id: UUID
    rank_at: datetime
    priority: int
    required_skills: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The calls of a queue that were enqueued from ``since`` and before ``until``: those that may stand in one line.
    ``is_cut``: others of the queue were not."""

    queue_id: UUID
    since: datetime
    until: datetime
    is_cut: bool


def of_lines(stretches: Collection[Stretch], *, depth: int) -> Iterator[tuple[Stay, ...]]:
    """The first ``depth`` of each line of these queues, where anybody waits."""
    if not stretches:
        return
    values = ", ".join(["(%s, %s, %s, %s)"] * len(stretches))
    words = [word for each in stretches for word in (each.queue_id, each.since, each.until, each.is_cut)]
    for queue_id, said in _asked(_LINES, [*words, depth, depth, depth], stretches=values):
        heads = _array(said)
        if not heads:
            continue
        line = heads[0][0]
        priority, skills = line.split(" ", 1)
        required_skills = json.loads(skills)
        yield tuple(
            Stay(
                id=UUID(entry_id),
                call_id=UUID(call_id),
                queue_id=_uuid(queue_id),
                rank_at=_instant(rank_at),
                priority=int(priority),
                required_skills=required_skills,
            )
            for name, entry_id, call_id, rank_at in heads
            if name == line  # the rest are of the next
        )


def of_free_agents(*, depth: int, now: datetime) -> list[list[Agent]]:
    """Of each kind of agents who are alike the first ``depth`` who are free and ready, longest idle first: as much of
    them as a pass asks for."""
    return [
        [
            Agent(
                id=UUID(agent_id),
                state=Agent.State.AVAILABLE,
                profile=profile,
                available_since=_instant(available_since),
                login_at=_instant(login_at),
                last_handled_end=_instant(last_handled_end),
            )
            for profile, agent_id, available_since, login_at, last_handled_end in heads
            if profile == heads[0][0]
        ]
        for (said,) in _asked(_KINDS, [now, depth, now, depth])
        if (heads := _array(said))
    ]


def of_positions(
    queue_ids: Collection[UUID], agent_ids: Collection[UUID], *, depth: int, now: datetime
) -> dict[tuple[UUID, UUID], list[UUID]]:
    """For each of the queues that each of the agents serves: the first ``depth`` free agents like him, by position."""
    if not queue_ids or not agent_ids:
        return {}
    queues, agents = (", ".join(["%s"] * len(ids)) for ids in (queue_ids, agent_ids))
    words = [now, depth, *queue_ids, *agent_ids]
    return {
        (_uuid(queue_id), _uuid(agent_id)): [UUID(head) for head in _array(said)]
        for queue_id, agent_id, said in _asked(_BY_POSITION, words, queues=queues, agents=agents)
    }


def _asked(sql: str, words: Iterable[Any], **parts: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.format(**_WORDS[connection.vendor], **parts), [_word(word) for word in words])
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _word(value: Any) -> Any:
    """As this database takes it."""
    match value:
        case UUID():
            return Queue._meta.pk.get_db_prep_value(value, connection)
        case datetime():
            return connection.ops.adapt_datetimefield_value(value)
    return value


def _array(said: Any) -> list[Any]:
    array: list[Any] = json.loads(said or "[]") if said is None or isinstance(said, str) else said
    return array


def _instant(said: str | None) -> Any:
    return None if said is None else datetime.fromisoformat(said).replace(tzinfo=UTC)


def _uuid(said: Any) -> UUID:
    return said if isinstance(said, UUID) else UUID(said)
