"""A state read from JSON and written to it; ``state_shape`` says what it must look like."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

from queues.routing.shapes import problem, step
from queues.routing.snapshot import AgentState, Membership, PenaltyRule, QueueState, Ring, State, Sticky, WaitingCall
from queues.routing.strategies import STRATEGIES

MOST_DIGITS = 100  # enough for any unit of time; what is reckoned from them can still be written


class InvalidState(ValueError):
    """A document that is no state; ``problems`` has one line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse(text: bytes, path: str = "") -> Any:
    """JSON with its decimals exact. Raises InvalidState unless it is JSON and no key is repeated.

    ``path`` is where it stands, if it is a part of something.
    """
    try:
        document = json.loads(
            text.decode("utf-8-sig"),
            parse_int=_whole,
            parse_float=Decimal,
            parse_constant=_no_number,
            object_pairs_hook=_Object,
        )
        problems = list(_repeated_keys(document, path))
    except (ValueError, RecursionError) as error:
        raise InvalidState([f"{path}{': ' if path else ''}not JSON: {error}"]) from None
    if problems:
        raise InvalidState(problems)
    return document


def state_from(document: Mapping[str, Any]) -> State:
    """The state of a document without problems."""
    return State(
        now=document["now"],
        pass_number=document.get("pass_number", 0),
        queues=tuple(_queue(queue) for queue in document["queues"]),
        agents=tuple(_agent(agent) for agent in document["agents"]),
        calls=tuple(WaitingCall(**call) for call in document["calls"]),
    )


def _queue(queue: Mapping[str, Any]) -> QueueState:
    known = dict(queue)
    if "strategy" in known:
        known.setdefault("scoring", STRATEGIES[known["strategy"]].scoring)
    if "beta" in known:
        known["beta"] = Fraction(known["beta"])
    if known.get("sticky") is not None:
        known["sticky"] = Sticky(**known["sticky"])
    known["rings"] = tuple(Ring(**{**ring, "drop": frozenset(ring.get("drop", ()))}) for ring in queue.get("rings", ()))
    known["penalty_rules"] = tuple(
        PenaltyRule(after=rule["after"], sets={name: limit for name, limit in rule.items() if name != "after"})
        for rule in queue.get("penalty_rules", ())
    )
    return QueueState(**known)


def _agent(agent: Mapping[str, Any]) -> AgentState:
    last = agent.get("last_handled_end")
    memberships = {
        queue_id: Membership(**{"last_call_end": last, **membership})
        for queue_id, membership in agent.get("memberships", {}).items()
    }
    return AgentState(**{**agent, "memberships": memberships})


def document_from(state: State) -> dict[str, Any]:
    """The document ``state_from`` reads back as the same state; fields at their default are left out."""
    return {
        "now": state.now,
        "pass_number": state.pass_number,
        "queues": [_queue_document(queue) for queue in state.queues],
        "agents": [_agent_document(agent) for agent in state.agents],
        "calls": [_told(call) for call in state.calls],
    }


def _queue_document(queue: QueueState) -> dict[str, Any]:
    document = _told(queue)
    document |= {"scoring": queue.scoring}
    if queue.rings:
        document["rings"] = [
            {"after": ring.after, "drop": sorted(ring.drop), "levels": dict(ring.levels)} for ring in queue.rings
        ]
    if queue.penalty_rules:
        document["penalty_rules"] = [{"after": rule.after, **rule.sets} for rule in queue.penalty_rules]
    if queue.sticky is not None:
        document["sticky"] = _told(queue.sticky)
    if "beta" in document:
        document["beta"] = float(queue.beta)
    return document


def _agent_document(agent: AgentState) -> dict[str, Any]:
    document = _told(agent)
    if agent.memberships:
        document["memberships"] = {
            queue_id: {**_told(membership), "last_call_end": membership.last_call_end}
            for queue_id, membership in agent.memberships.items()
        }
    return document


def _told(record: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their default."""
    told = {}
    for field in fields(record):
        value = getattr(record, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if value != default:
            told[field.name] = value
    return told


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys came more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.repeated = [name for name, count in counts.items() if count > 1]


def _repeated_keys(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Object):
        for name in value.repeated:
            yield problem(step(path, name), "given more than once", "each key once")
        for name, item in value.items():
            yield from _repeated_keys(item, step(path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _repeated_keys(item, f"{path}[{number}]")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits; at most {MOST_DIGITS} are read")
    return int(digits)
