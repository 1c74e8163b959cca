"""Waiting calls as a pass sees them, read off indexes: of every line the first few, and those that prefer somebody
free. How many wait besides costs nothing.

The next line is found from the one before it (a loose scan of the index ``queueentry_line``).
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache, partial
from types import MappingProxyType
from typing import Any

from queues.engine.sql import Dialect, Question, asked, ceiling, floor, ident, or_empty, record
from queues.routing.snapshot import WaitingCall

DECLINE_EXCLUSION = timedelta(seconds=60)  # who declined or missed it is not offered that call again until then

Declined = Mapping[str, Mapping[str, int]]  # until when, by call and agent

NOBODY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The calls of a queue that were enqueued from ``since`` and before ``until``."""

    queue_id: str
    since: datetime
    until: datetime


class Line:
    """The first calls of a line, one at least, as many as were asked for; each is read when it is looked at."""

    def __init__(self, heads: Sequence[str], *, depth: int, read: Callable[[str], WaitingCall]) -> None:
        self._heads, self._behind, self._read = heads[:depth], heads[depth:], read
        self.first: WaitingCall = read(heads[0])

    @cached_property
    def calls(self) -> tuple[WaitingCall, ...]:
        return (self.first, *map(self._read, self._heads[1:]))

    @property
    def next_at(self) -> int | None:
        """When the first of the rest was enqueued, in seconds; None: there is no rest."""
        return self._read(self._behind[0]).enqueued_at if self._behind else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fronts:
    """``favourers``: of all queues, the calls that prefer a free agent who serves theirs."""

    lines: Sequence[Line]
    favourers: Sequence[WaitingCall]


def read(queue_ids: Collection[str], cuts: Collection[Stretch], *, depth: int, now: datetime) -> Fronts:
    """The first ``depth`` of each line of these queues, where anybody waits. ``cuts``: into what the lines of a queue
    fall; one that is not named is not cut.

    Who declined a call is asked in the same breath: a call may come back into line, declined, at any moment.
    """
    words: list[Any] = [*map(uuid.UUID, queue_ids)]
    words += [word for each in cuts for word in (uuid.UUID(each.queue_id), each.since, each.until)]
    second = now.replace(microsecond=0)  # as a pass reckons
    lines, favouring, turned_down = asked(
        Question(select=_lines, variants=(len(queue_ids), len(cuts), depth + 1), words=words),
        Question(select=_favouring),
        Question(select=_declined, words=[second - DECLINE_EXCLUSION]),
    )
    call = partial(_call, now=int(second.timestamp()), declined=_exclusions(turned_down))
    return Fronts(
        lines=[_line(told, depth=depth, call=call) for told in lines],
        favourers=[call(*told.split("\n", 1)) for told in favouring],
    )


def _line(told: str, *, depth: int, call: Callable[[str, str], WaitingCall]) -> Line:
    queue_id, *heads = told.split("\n")
    line = heads[0].split("\t", 1)[0]
    of_it = [head for head in heads if head.startswith(f"{line}\t")]  # the rest are of the next
    return Line(of_it, depth=depth, read=partial(call, queue_id))


def _exclusions(answer: Iterable[str]) -> Declined:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for told in answer:
        call_id, agent_id, ended_at = told.split("\t")
        found[ident(call_id)][ident(agent_id)] = ceiling(ended_at) + int(DECLINE_EXCLUSION.total_seconds())
    return found


def _call(queue_id: str, head: str, *, now: int, declined: Declined) -> WaitingCall:
    line, said, rank_at, preferred_agent, preferred_at = head.split("\t")
    priority, required_skills = _asks(line)
    call_id = ident(said)
    return WaitingCall(
        id=call_id,
        queue=ident(queue_id),
        enqueued_at=min(floor(rank_at), now),
        priority=priority,
        required_skills=required_skills,
        preferred_agent=ident(preferred_agent) if preferred_agent else None,
        preferred_agent_at=floor(preferred_at) if preferred_at else None,
        declined=declined.get(call_id, NOBODY),
    )


@lru_cache(maxsize=1000)
def _asks(line: str) -> tuple[int, Mapping[str, int]]:
    """Priority and required skills, of which ``QueueEntry.line`` is made."""
    priority, skills = line.split(" ", 1)
    return int(priority), json.loads(skills)


# the questions -----------------------------------------------------------------------------------------------


def _head(dialect: Dialect) -> str:
    return record(
        "entry.line",
        "entry.id",
        dialect.epoch("entry.rank_at"),
        or_empty("entry.preferred_agent_id"),
        or_empty(dialect.epoch("entry.preferred_agent_at")),
    )


def _heads(dialect: Dialect, which: str, limit: int) -> str:
    return f"""(
        SELECT {dialect.listed(_head(dialect))} FROM (
            SELECT entry.line, entry.id, entry.rank_at, entry.preferred_agent_id, entry.preferred_agent_at
            FROM queues_queueentry AS entry WHERE entry.state = 'waiting' AND {which}
            ORDER BY entry.line, entry.rank_at, entry.id LIMIT {limit}) AS entry)"""


def _lines(dialect: Dialect, queues: int, cuts: int, limit: int) -> str:
    """Each line of these queues, or of one that is cut each stretch of each line."""
    line = dialect.first_field("heads")
    front = f"""
WITH RECURSIVE queue (id) AS (VALUES {", ".join(["(%s)"] * queues)}),
front (queue_id, heads) AS (
    SELECT queue.id, {_heads(dialect, "entry.queue_id = queue.id", limit)} FROM queue
    UNION ALL
    SELECT queue_id, {_heads(dialect, f"entry.queue_id = front.queue_id AND entry.line > {line}", limit)}
    FROM front WHERE heads IS NOT NULL
)"""
    if not cuts:
        return f"{front} SELECT queue_id || '\n' || heads AS answer FROM front WHERE heads IS NOT NULL"
    within = "entry.rank_at >= stretch.since AND entry.rank_at < stretch.until"
    stretch = _heads(dialect, f"entry.queue_id = front.queue_id AND entry.line = {line} AND {within}", limit)
    return f"""{front},
stretch (queue_id, since, until) AS (VALUES {", ".join(["(%s, %s, %s)"] * cuts)}),
cut (queue_id, heads) AS (
    SELECT front.queue_id, CASE WHEN stretch.queue_id IS NULL THEN heads ELSE {stretch} END
    FROM front LEFT JOIN stretch ON stretch.queue_id = front.queue_id WHERE heads IS NOT NULL
)
SELECT queue_id || '\n' || heads AS answer FROM cut WHERE heads IS NOT NULL
"""


def _declined(dialect: Dialect) -> str:
    return f"""
SELECT {record("entry.id", "offer.agent_id", dialect.epoch("offer.ended_at"))} AS answer
FROM queues_offer AS offer
JOIN queues_queueentry AS entry ON entry.call_id = offer.call_id AND entry.state = 'waiting'
WHERE offer.state IN ('declined', 'timed_out') AND offer.ended_at > %s
"""


def _favouring(dialect: Dialect) -> str:
    return f"""
SELECT entry.queue_id || '\n' || {_head(dialect)} AS answer
FROM queues_queueentry AS entry
JOIN queues_agent AS agent ON agent.id = entry.preferred_agent_id
JOIN queues_queue AS queue ON queue.id = entry.queue_id AND queue.sticky IS NOT NULL
JOIN queues_queuemembership AS served ON served.queue_id = queue.id AND served.agent_id = agent.id
WHERE entry.state = 'waiting' AND entry.preferred_agent_id IS NOT NULL
    AND agent.state = 'available' AND agent.live_offer_id IS NULL AND NOT served.paused
"""
