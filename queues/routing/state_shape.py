"""What a document must look like to be a state (ROUTING §8): its shape, and what cannot be true of it.

Beside the documented fields a queue may carry ``member_count`` and ``main_available``, so that a state from
which agents were left out can be kept and decided again.
"""

from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from queues.routing.scoring import SCORINGS
from queues.routing.shapes import (
    ANYTHING,
    TEXT,
    TRUTH,
    Shape,
    is_whole,
    list_of,
    map_of,
    object_of,
    one_of,
    problem,
    shown,
    step,
    whole,
)
from queues.routing.strategies import STRATEGIES

MODES = ("assign", "rank_agents", "rank_calls")
STATUSES = ("available", "reserved", "busy", "wrap_up", "not_ready", "offline")
ANNOTATIONS = ("id", "group", "title", "why", "convention", "convention_note", "sources", "expected")
PROMISE_PRIORITIES = range(-10, 11)
LARGEST_PENALTY = 32_767  # as a row can hold; the forms take less. Promise counts with 4 to its power

NUMBER = whole("a whole number")
COUNT = whole("a whole number, 0 or more", minimum=0)
SECONDS = whole("whole seconds, 0 or more", minimum=0)
PROMISE_SECONDS = whole("whole seconds, 1 or more", minimum=1)
PENALTY = whole(f"a whole number, 0 to {LARGEST_PENALTY}", minimum=0, maximum=LARGEST_PENALTY)
BETA = Shape(
    accepted="a number above 0 and not above 1, of at most 30 decimals",
    fits=lambda value: (is_whole(value) or isinstance(value, Decimal)) and 0 < value <= 1 and _decimals(value) <= 30,
)

LIMITS = {"min_penalty": PENALTY.or_null(), "max_penalty": PENALTY.or_null(), "raise_penalty": PENALTY.or_null()}
RING = {"after": SECONDS, "drop": list_of(TEXT), "levels": map_of(COUNT)}
PENALTY_RULE = {"after": SECONDS, **LIMITS}
STICKY = {"hold_seconds": SECONDS, "max_age": SECONDS.or_null()}
QUEUE = {
    "id": TEXT,
    "strategy": one_of(STRATEGIES),
    "weight": NUMBER,
    "scoring": one_of(SCORINGS),
    "aging_seconds_per_point": SECONDS,
    "idle_basis": one_of(("available_since", "last_handled_end")),
    "rings": list_of(object_of(RING, required=["after"])),
    "penalty_rules": list_of(object_of(PENALTY_RULE, required=["after"])),
    **LIMITS,
    "penalty_members_limit": COUNT,
    "sticky": object_of(STICKY, required=["hold_seconds"]).or_null(),
    "last_offered_position": NUMBER.or_null(),
    "promise_secs": PROMISE_SECONDS,
    "beta": BETA,
    "member_count": COUNT.or_null(),
    "main_available": COUNT.or_null(),
}
MEMBERSHIP = {
    "penalty": PENALTY,
    "position": NUMBER,
    "delay": SECONDS,
    "queue_priority": NUMBER,
    "paused": TRUTH,
    "calls_handled": COUNT.or_null(),
    "last_call_end": SECONDS.or_null(),
}
AGENT = {
    "id": TEXT,
    "status": one_of(STATUSES),
    "capacity": COUNT,
    "active_calls": COUNT,
    "reserved": TRUTH,
    "skills": map_of(COUNT),
    "available_since": SECONDS,
    "login_at": SECONDS,
    "last_handled_end": SECONDS.or_null(),
    "ready_at": SECONDS.or_null(),
    "wrap_up_until": SECONDS.or_null(),
    "calls_handled": COUNT,
    "talk_seconds": SECONDS,
    "memberships": map_of(object_of(MEMBERSHIP)),
}
CALL = {
    "id": TEXT,
    "queue": TEXT,
    "enqueued_at": SECONDS,
    "kind": one_of(("live", "callback")),
    "priority": NUMBER,
    "required_skills": map_of(COUNT),
    "preferred_agent": TEXT.or_null(),
    "preferred_agent_at": SECONDS.or_null(),
    "declined": map_of(SECONDS),
    "hidden_until": SECONDS.or_null(),
}
STATE = object_of(
    {
        "now": SECONDS,
        "queues": list_of(object_of(QUEUE, required=["id"])),
        "agents": list_of(object_of(AGENT, required=["id"])),
        "calls": list_of(object_of(CALL, required=["id", "queue", "enqueued_at"])),
        "mode": one_of(MODES),
        "call": TEXT,
        "pass_number": NUMBER,
        **dict.fromkeys(ANNOTATIONS, ANYTHING),
    },
    required=["now", "queues", "agents", "calls"],
)


def problems(document: Any, path: str = "") -> list[str]:
    """Everything that keeps a parsed document from being a state."""
    found = list(STATE.problems(document, path))
    return found if not isinstance(document, dict) else [*found, *_contradictions(document, path)]


def _contradictions(document: Mapping[str, Any], path: str) -> Iterator[str]:
    """What is wrong between fields of the right shape. What only follows from a wrong shape is not repeated."""
    for name in ("queues", "agents", "calls"):
        yield from used_twice(document, name, path)
    queue_ids, call_ids = _ids(document, "queues"), _ids(document, "calls")
    if queue_ids is not None:
        yield from _strays(document, queue_ids, path)
    if call_ids is not None:
        yield from _unclear_wish(document, call_ids, path)
    scorings = {
        queue["id"]: _scoring(queue) for _, queue in _items(document, "queues", path) if TEXT.fits(queue.get("id"))
    }
    for place, call in _items(document, "calls", path):
        yield from _wrong_with_call(call, place, scorings, document.get("now"))


def used_twice(document: Mapping[str, Any], name: str, path: str = "") -> Iterator[str]:
    """The ids of a list that are not one item's own."""
    seen = set()
    for place, item in _items(document, name, path):
        if TEXT.fits(ident := item.get("id")):
            if ident in seen:
                yield problem(step(place, "id"), f"{shown(ident)} is used twice", "an id of its own")
            seen.add(ident)


def _strays(document: Mapping[str, Any], queue_ids: Collection[str], path: str) -> Iterator[str]:
    """Memberships and calls in no queue."""
    for place, agent in _items(document, "agents", path):
        memberships = agent.get("memberships")
        for queue_id in memberships if isinstance(memberships, dict) else ():
            if queue_id not in queue_ids:
                yield problem(step(step(place, "memberships"), queue_id), "unknown queue", "the id of a queue")
    for place, call in _items(document, "calls", path):
        if TEXT.fits(queue_id := call.get("queue")) and queue_id not in queue_ids:
            yield problem(step(place, "queue"), f"found {shown(queue_id)}", "the id of a queue")


def _unclear_wish(document: Mapping[str, Any], call_ids: Collection[str], path: str) -> Iterator[str]:
    """A ranking of agents for no call, or for one that is not there."""
    if "call" not in document and document.get("mode") == "rank_agents":
        yield problem(step(path, "call"), "missing", "the id of a call, in this mode")
    if TEXT.fits(wanted := document.get("call")) and wanted not in call_ids:
        yield problem(step(path, "call"), f"found {shown(wanted)}", "the id of a call")


def _wrong_with_call(call: Mapping[str, Any], place: str, scorings: Mapping[Any, Any], now: Any) -> Iterator[str]:
    enqueued_at, priority = call.get("enqueued_at"), call.get("priority", 0)
    if SECONDS.fits(now) and SECONDS.fits(enqueued_at) and enqueued_at > now:
        yield problem(step(place, "enqueued_at"), f"found {shown(enqueued_at)}", f"up to now, which is {shown(now)}")
    weighed = TEXT.fits(queue_id := call.get("queue")) and scorings.get(queue_id) == "promise"
    if weighed and NUMBER.fits(priority) and priority not in PROMISE_PRIORITIES:
        yield problem(step(place, "priority"), f"found {shown(priority)}", "-10 to 10 under promise scoring")


def _scoring(queue: Mapping[str, Any]) -> Any:
    """What the queue names, else what its strategy brings along."""
    strategy = queue.get("strategy")
    default = STRATEGIES[strategy].scoring if isinstance(strategy, str) and strategy in STRATEGIES else None
    return queue.get("scoring", default)


def _ids(document: Mapping[str, Any], name: str) -> Collection[str] | None:
    """The ids of a list; None if the list or one of its ids is broken."""
    items = document.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) and TEXT.fits(item.get("id")) for item in items):
        return None
    return {item["id"] for item in items}


def _items(document: Mapping[str, Any], name: str, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a list, each with its path."""
    items = document.get(name)
    for number, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield f"{step(path, name)}[{number}]", item


def _decimals(number: int | Decimal) -> int:
    return -min(0, int(Decimal(number).as_tuple().exponent))
