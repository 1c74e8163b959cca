"""Closed forms of one queue with exponential gaps, talks and patience: Erlang C and Erlang A (Palm).

Rates are per second, waits in seconds; ``load`` is arrival rate × mean talk, in erlangs.
"""

from dataclasses import dataclass
from math import exp

NEGLIGIBLE = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What theory says of one queue. ``mean_wait`` is over every caller, also those who gave up (seconds)."""

    mean_wait: float
    share_beyond: float
    abandoned: float


def share_that_waits(agents: int, load: float) -> float:
    """Erlang C: the probability that a caller has to wait, from Erlang B's recursion."""
    blocked = 1.0
    for busy in range(1, agents + 1):
        blocked = load * blocked / (busy + load * blocked)
    return blocked / (1 - load / agents * (1 - blocked))


def erlang_c(agents: int, *, arrival_rate: float, talk_rate: float, beyond: float) -> Expectation:
    """Nobody gives up; the load must be below ``agents``. ``beyond`` is in seconds."""
    waits = share_that_waits(agents, arrival_rate / talk_rate)
    spare_rate = agents * talk_rate - arrival_rate
    return Expectation(mean_wait=waits / spare_rate, share_beyond=waits * exp(-spare_rate * beyond), abandoned=0.0)


def erlang_a(agents: int, *, arrival_rate: float, talk_rate: float, patience_rate: float, beyond: float) -> Expectation:
    """A caller who finds k others in line waits for k + 1 departures, the last k of them quicker by who gives up.

    With that, e**(-patience_rate × wait) is Beta(agents × talk_rate / patience_rate, k + 1) distributed: the share
    of such callers not yet served after a time is an incomplete beta function, which grows by one term with each k.
    """
    a, x = agents * talk_rate / patience_rate, exp(-patience_rate * beyond)
    state, total = 1.0, 1.0
    for busy in range(1, agents + 1):
        state *= arrival_rate / (busy * talk_rate)
        total += state
    in_line, still_waiting, unserved, term, k = 0.0, 0.0, 0.0, x**a, 0
    while state > NEGLIGIBLE * total:
        unserved += term
        still_waiting += state * unserved
        k += 1
        term *= (1 - x) * (a + k - 1) / k
        state *= arrival_rate / (agents * talk_rate + k * patience_rate)
        total += state
        in_line += k * state
    mean_wait = in_line / total / arrival_rate
    return Expectation(
        mean_wait=mean_wait,
        share_beyond=x * still_waiting / total,
        abandoned=patience_rate * mean_wait,
    )
