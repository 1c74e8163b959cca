"""The fronts of the lines, read off an index: the first few calls of every line, the first few free agents of every
kind. How many stand behind them costs nothing.

A line's key is found from the one before it (a loose scan), which the ORM cannot say; hence the SQL. It is the same
for SQLite and Postgres but for the name of what makes a JSON array.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from queues.models import Queue

_ARRAYS = {"postgresql": ("json_agg", "json_build_array"), "sqlite": ("json_group_array", "json_array")}

_LINES = """
WITH RECURSIVE stretch (queue_id, since, until) AS (VALUES {stretches}),
line (id, queue_id, priority, required_skills) AS (
    SELECT entry.id, entry.queue_id, entry.priority, entry.required_skills
    FROM (SELECT DISTINCT queue_id FROM stretch) AS queue JOIN queues_queueentry AS entry ON entry.id = (
        SELECT id FROM queues_queueentry AS first
        WHERE first.state = 'waiting' AND first.queue_id = queue.queue_id
        ORDER BY first.priority, first.required_skills, first.rank_at LIMIT 1)
    UNION ALL
    SELECT entry.id, entry.queue_id, entry.priority, entry.required_skills
    FROM line JOIN queues_queueentry AS entry ON entry.id = (
        SELECT id FROM queues_queueentry AS next
        WHERE next.state = 'waiting' AND next.queue_id = line.queue_id
        AND (next.priority, next.required_skills) > (line.priority, line.required_skills)
        ORDER BY next.priority, next.required_skills, next.rank_at LIMIT 1)
)
SELECT line.queue_id, line.priority, line.required_skills, (
    SELECT {all_of}({pair}(head.id, head.rank_at)) FROM (
        SELECT entry.id, entry.rank_at FROM queues_queueentry AS entry
        WHERE entry.state = 'waiting' AND entry.queue_id = line.queue_id AND entry.priority = line.priority
        AND entry.required_skills = line.required_skills
        AND entry.rank_at >= stretch.since AND entry.rank_at < stretch.until
        ORDER BY entry.rank_at, entry.id LIMIT %s) AS head)
FROM line JOIN stretch ON stretch.queue_id = line.queue_id
"""

_FREE = "state = 'available' AND live_offer_id IS NULL"

_KINDS = f"""
WITH RECURSIVE kind (profile) AS (
    SELECT min(profile) FROM queues_agent WHERE {_FREE}
    UNION ALL
    SELECT (SELECT min(agent.profile) FROM queues_agent AS agent WHERE {_FREE} AND agent.profile > kind.profile)
    FROM kind WHERE kind.profile IS NOT NULL
)
SELECT (
    SELECT {{all_of}}(head.id) FROM (
        SELECT id FROM queues_agent
        WHERE {_FREE} AND profile = kind.profile AND (ready_at IS NULL OR ready_at <= %s)
        ORDER BY available_since NULLS LAST, id LIMIT %s) AS head)
FROM kind WHERE kind.profile IS NOT NULL
"""

_BY_POSITION = f"""
SELECT asked.queue_id, asked.agent_id, (
    SELECT {{all_of}}(head.agent_id) FROM (
        SELECT served.agent_id FROM queues_queuemembership AS served
        JOIN queues_agent AS agent ON agent.id = served.agent_id
        WHERE {_FREE} AND served.queue_id = asked.queue_id AND agent.profile = kind.profile
        AND (agent.ready_at IS NULL OR agent.ready_at <= %s)
        ORDER BY served.position, served.agent_id LIMIT %s) AS head)
FROM queues_queuemembership AS asked JOIN queues_agent AS kind ON kind.id = asked.agent_id
WHERE asked.queue_id IN ({{queues}}) AND asked.agent_id IN ({{agents}})
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Front:
    """The first calls of a line by the id of their stay, in their order; since when the first and the last of them
    wait."""

    queue_id: UUID
    required_skills: Mapping[str, int]
    priority: int
    entries: tuple[UUID, ...]
    rank_at: datetime
    last_rank_at: datetime


def of_lines(stretches: Collection[tuple[UUID, datetime, datetime]], *, depth: int) -> Iterator[Front]:
    """The first ``depth`` calls of each line, where anybody waits. ``stretches``: queues, each with the instants
    from which and until which a call is of the same line."""
    if not stretches:
        return
    values = ", ".join(["(%s, %s, %s)"] * len(stretches))
    words = [_word(value) for stretch in stretches for value in stretch]
    for queue_id, priority, skills, said in _asked(_LINES, [*words, depth], stretches=values):
        if heads := _array(said):
            yield Front(
                queue_id=_uuid(queue_id),
                required_skills=json.loads(skills),
                priority=priority,
                entries=tuple(UUID(entry_id) for entry_id, _ in heads),
                rank_at=_instant(heads[0][1]),
                last_rank_at=_instant(heads[-1][1]),
            )


def of_free_agents(*, depth: int, now: datetime) -> list[list[UUID]]:
    """For each kind of agents who are alike the first ``depth`` who are free now, longest idle first."""
    found = (_array(said) for (said,) in _asked(_KINDS, [_word(now), depth]))
    return [[UUID(agent_id) for agent_id in heads] for heads in found if heads]


def of_positions(
    queue_ids: Collection[UUID], agent_ids: Collection[UUID], *, depth: int, now: datetime
) -> dict[tuple[UUID, UUID], list[UUID]]:
    """For each of the queues that each of the agents serves: the first ``depth`` free agents like him, by position."""
    if not queue_ids or not agent_ids:
        return {}
    queues, agents = (", ".join(["%s"] * len(ids)) for ids in (queue_ids, agent_ids))
    words = [_word(now), depth, *map(_word, queue_ids), *map(_word, agent_ids)]
    return {
        (_uuid(queue_id), _uuid(agent_id)): [UUID(head) for head in _array(said)]
        for queue_id, agent_id, said in _asked(_BY_POSITION, words, queues=queues, agents=agents)
    }


def _asked(sql: str, words: Iterable[Any], **parts: str) -> list[tuple[Any, ...]]:
    all_of, pair = _ARRAYS[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(sql.format(all_of=all_of, pair=pair, **parts), list(words))
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _word(value: UUID | datetime) -> Any:
    """As this database takes it."""
    if isinstance(value, UUID):
        return Queue._meta.pk.get_db_prep_value(value, connection)
    return connection.ops.adapt_datetimefield_value(value)


def _array(said: Any) -> list[Any]:
    array: list[Any] = json.loads(said or "[]") if said is None or isinstance(said, str) else said
    return array


def _instant(said: str) -> datetime:
    return datetime.fromisoformat(said).replace(tzinfo=UTC)


def _uuid(said: Any) -> UUID:
    return said if isinstance(said, UUID) else UUID(said)
