"""Queues and waiting calls as a pass sees them. Times are whole seconds since 1970."""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

from queues.engine.sql import Dialect, Question, ident, or_empty, record
from queues.models import Queue, QueueEntry, QueueMembership
from queues.routing.snapshot import PenaltyRule, QueueState, Ring, Sticky, WaitingCall


def _number(said: str) -> int | None:
    return int(said) if said else None


def _json(said: str) -> Any:
    return json.loads(said) if said else None


_SETTINGS: Mapping[str, Callable[[str], Any]] = {
    "strategy": str,
    "weight": int,
    "scoring": str,
    "aging_seconds_per_point": int,
    "idle_basis": str,
    "rings": _json,
    "penalty_rules": _json,
    "min_penalty": _number,
    "max_penalty": _number,
    "raise_penalty": _number,
    "penalty_members_limit": int,
    "sticky": _json,
    "last_offered_position": _number,
    "promise_secs": int,
    "beta": Fraction,
}


def every_queue() -> Question:
    """How all of them are set: they are few, and which of them matter is known only then."""
    return Question(select=_queues)


def queue_states(answer: Iterable[str]) -> dict[str, QueueState]:
    """To ``every_queue``, without their members: see ``with_members``."""
    return {state.id: state for state in map(_read, answer)}


def queue_state(queue: Queue) -> QueueState:
    """All its members will be in the state."""
    return _state(str(queue.pk), {name: getattr(queue, name) for name in _SETTINGS})


@lru_cache(maxsize=1000)
def _read(told: str) -> QueueState:
    queue_id, *said = told.split("\t")
    return _state(
        ident(queue_id), {name: read(word) for (name, read), word in zip(_SETTINGS.items(), said, strict=True)}
    )


def _state(queue_id: str, settings: Mapping[str, Any]) -> QueueState:
    rings, rules, sticky = settings["rings"], settings["penalty_rules"], settings["sticky"]
    return QueueState(
        id=queue_id,
        **{
            **settings,
            "rings": tuple(_ring(ring) for ring in rings),
            "penalty_rules": tuple(_penalty_rule(rule) for rule in rules),
            "sticky": Sticky(**sticky) if sticky else None,
            "beta": Fraction(settings["beta"]),
        },
    )


def _queues(_: Dialect) -> str:
    told = record("queue.id", *(or_empty(f"queue.{name}") for name in _SETTINGS))
    return f"SELECT {told} AS answer FROM queues_queue AS queue"


def with_members(queue: QueueState) -> QueueState:
    """The same with how many it has, as far as ``penalty_members_limit`` asks."""
    if not queue.penalty_members_limit:
        return queue
    members = QueueMembership.objects.filter(queue=uuid.UUID(queue.id)).order_by()
    return replace(queue, member_count=len(members.values_list("pk")[: queue.penalty_members_limit + 1]))


def _ring(ring: Mapping[str, Any]) -> Ring:
    return Ring(after=ring["after"], drop=frozenset(ring.get("drop", ())), levels=ring.get("levels", {}))


def _penalty_rule(rule: Mapping[str, Any]) -> PenaltyRule:
    return PenaltyRule(after=rule["after"], sets={name: limit for name, limit in rule.items() if name != "after"})


def waiting_call(entry: QueueEntry, now: datetime) -> WaitingCall:
    """Without those who declined it: for questions about one stay."""
    return WaitingCall(
        id=str(entry.pk),
        queue=str(entry.queue_id),
        enqueued_at=min(secs(entry.rank_at), secs(now)),
        priority=entry.priority,
        required_skills=entry.required_skills,
        preferred_agent=str(entry.preferred_agent_id) if entry.preferred_agent_id else None,
        preferred_agent_at=secs(entry.preferred_agent_at) if entry.preferred_agent_at else None,
    )


def secs(moment: datetime) -> int:
    return int(moment.timestamp())
