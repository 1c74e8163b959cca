"""One queue of alike agents through the product's pass, against Erlang's closed forms."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from bench.erlang import Expectation, erlang_a, erlang_c
from bench.floor_day import Caller, Day, Floor
from bench.scenarios import exponential
from queues.routing.snapshot import AgentState, Membership, QueueState, WaitingCall

TOLERANCE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Theory:
    """One queue of alike agents under ``promise``, beta 1. ``load`` in erlangs; ``patience_secs`` None: for ever."""

    name: str
    agents: int
    load: float
    patience_secs: float | None
    arrivals: int
    talk_secs: float = 180
    beyond_secs: int = 20

    def callers(self) -> Iterator[Caller]:
        dice, instant = random.Random(self.name), 0.0
        for number in range(self.arrivals):
            instant += dice.expovariate(self.load / self.talk_secs)
            yield Caller(
                call=WaitingCall(id=f"{number:08d}", queue="one", enqueued_at=round(instant * 1000)),
                talk=exponential(self.talk_secs, dice),
                patience=None if self.patience_secs is None else exponential(self.patience_secs, dice),
            )

    def floor(self) -> Floor:
        names = [f"agent {number:02d}" for number in range(self.agents)]
        return Floor(
            queues=(QueueState(id="one", strategy="promise", scoring="promise", promise_secs=self.beyond_secs * 1000),),
            agents=tuple(AgentState(id=name, memberships={"one": Membership()}) for name in names),
        )

    def expects(self) -> Expectation:
        rates = {"arrival_rate": self.load / self.talk_secs, "talk_rate": 1 / self.talk_secs}
        if self.patience_secs is None:
            return erlang_c(self.agents, beyond=self.beyond_secs, **rates)
        return erlang_a(self.agents, beyond=self.beyond_secs, patience_rate=1 / self.patience_secs, **rates)


THEORIES = (
    Theory(name="erlang-c", agents=5, load=3.5, patience_secs=None, arrivals=2_000_000),
    Theory(name="erlang-a", agents=10, load=10, patience_secs=120, arrivals=1_000_000),
)


def measure(theory: Theory) -> Expectation:
    """What the same quantities were in a run."""
    tally = Day(theory.floor(), closes=0).run(theory.callers()).tallies["one"]
    waits = tally.answered + tally.abandoned
    return Expectation(
        mean_wait=fmean(waits) / 1000,
        share_beyond=sum(wait > theory.beyond_secs * 1000 for wait in waits) / len(waits),
        abandoned=len(tally.abandoned) / len(waits),
    )


def confirm(theory: Theory) -> str:
    found, expected = measure(theory), theory.expects()
    compared = {
        "mean wait": (found.mean_wait, expected.mean_wait, ".2f"),
        f"waiting beyond {theory.beyond_secs} s": (found.share_beyond, expected.share_beyond, ".2%"),
        "abandoned": (found.abandoned, expected.abandoned, ".2%"),
    }
    off = {what: mine / its - 1 for what, (mine, its, _) in compared.items() if its}
    figures = "; ".join(
        f"{what} {mine:{shape}} for {its:{shape}} ({off[what]:+.1%})"
        for what, (mine, its, shape) in compared.items()
        if what in off
    )
    verdict = "all within" if all(abs(by) <= TOLERANCE for by in off.values()) else "NOT all within"
    patience = "" if theory.patience_secs is None else f", patience {theory.patience_secs:.0f} s"
    return (
        f"{theory.name}: {theory.agents} agents, {theory.load} erlangs, talk {theory.talk_secs:.0f} s{patience}, "
        f"{theory.arrivals} arrivals: {figures}; {verdict} {TOLERANCE:.0%}."
    )
