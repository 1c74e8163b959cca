"""The fronts of the lines, read off an index: the first few calls of every line. How many wait behind them costs
nothing.

The next line is found from the one before it (a loose scan of the index ``queueentry_line``).
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from queues.engine.sql import array, asked, ident, instant

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stay:
    """As much of a waiting ``QueueEntry`` as a pass asks for, under the names of its fields."""

    id: str
    call_id: str
    queue_id: str
    rank_at: datetime
    priority: int
    required_skills: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The calls of a queue that were enqueued from ``since`` and before ``until``: those that may stand in one line.
    ``is_cut``: others of the queue were not."""

    queue_id: str
    since: datetime
    until: datetime
    is_cut: bool


def of_lines(stretches: Collection[Stretch], *, depth: int) -> Iterator[tuple[Stay, ...]]:
    """The first ``depth`` of each line of these queues, where anybody waits."""
    if not stretches:
        return
    values = ", ".join(["(%s, %s, %s, %s)"] * len(stretches))
    words = [word for each in stretches for word in (UUID(each.queue_id), each.since, each.until, each.is_cut)]
    for found, said in asked(_LINES, [*words, depth, depth, depth], stretches=values):
        if not (heads := array(said)):
            continue
        queue_id, line = ident(found), heads[0][0]
        priority, skills = line.split(" ", 1)
        required_skills = json.loads(skills)
        yield tuple(
            Stay(
                id=ident(entry_id),
                call_id=ident(call_id),
                queue_id=queue_id,
                rank_at=instant(rank_at),
                priority=int(priority),
                required_skills=required_skills,
            )
            for name, entry_id, call_id, rank_at in heads
            if name == line  # the rest are of the next
        )
