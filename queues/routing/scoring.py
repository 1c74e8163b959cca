"""The order of calls (ROUTING §3): three ways to say how urgent a waiting call is, more first.

A score is a ratio of whole numbers. They are compared as multiples of their common denominator, which is as
exact as fractions and quick.
"""

from collections.abc import Callable, Iterable, Mapping
from math import lcm

from queues.routing.eligibility import Demand

Ratio = tuple[int, int]
CallRank = tuple[int, int, int, bool, str]

PRIORITY_STEP = 8  # one step of priority makes the promise's clock run so much faster
PENALTY_STEP = 4  # one step of penalty makes an agent so much less suitable under promise


def strict_priority(demand: Demand) -> Ratio:
    return demand.call.priority, 1


def aged(demand: Demand) -> Ratio:
    return demand.wait + demand.call.priority * demand.queue.aging_seconds_per_point, 1


def promise(demand: Demand) -> Ratio:
    """The share of the promised wait that is used up; once the promise is broken, ``beta`` of it."""
    queue, priority = demand.queue, demand.call.priority
    numerator = demand.wait * PRIORITY_STEP ** max(priority, 0)
    denominator = queue.promise_secs * PRIORITY_STEP ** max(-priority, 0)
    if demand.wait <= queue.promise_secs:
        return numerator, denominator
    return numerator * queue.beta.numerator, denominator * queue.beta.denominator


SCORINGS: Mapping[str, Callable[[Demand], Ratio]] = {
    "strict_priority": strict_priority,
    "aged": aged,
    "promise": promise,
}


def whole_scores(demands: Iterable[Demand]) -> tuple[Mapping[str, int], int]:
    """Each call's score in units of their common denominator, and that denominator."""
    ratios = {demand.call.id: SCORINGS[demand.queue.scoring](demand) for demand in demands}
    unit = lcm(*{denominator for _, denominator in ratios.values()})
    return {call_id: numerator * (unit // denominator) for call_id, (numerator, denominator) in ratios.items()}, unit


def call_rank(demand: Demand, score: int) -> CallRank:
    """A call's place in line; its id ends all ties."""
    call = demand.call
    return -demand.queue.weight, -score, call.enqueued_at, call.kind == "callback", call.id
