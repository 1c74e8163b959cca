"""A simulated day: every strategy on the same arrivals, decided by the product's own pass.

``python -m bench policies`` takes about ten minutes on a core of its own. A part of it, on fewer days:
``python -m bench.policies x-design erlang-a --days 2``.
"""

import argparse
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import sqrt
from statistics import fmean, pstdev, stdev

from bench.floor_day import Caller, Day, Decision, Floor
from bench.scenarios import HOUR, PROTECT, SAME_SETTINGS, SCENARIOS, Scenario, Setup, other_settings
from bench.theory import THEORIES, confirm
from queues.routing.snapshot import AgentState, Membership, QueueState

DAYS = 10
EQUAL_ABANDONMENT = 0.5  # points above
LEGEND = """\
Service level = answered within the promise / offered. Weighted: sum of w x service level / sum of w. ASA and p99 are
over answered callers, in seconds; abandoned / offered; idle spread: standard deviation / mean of the agents' idle time.
Offers are answered at once; talk 240 s, patience 180 s, both exponential. Same members and priorities for all; penalty
0 in the own team's queue, 1 and 2 elsewhere; strict_priority scoring, promise with its own. Below the line longest_idle
has what else products offer, and promise what of it applies. aged: scoring by wait + 60 s per priority. tiers: second
choices after half the promise, last resorts after all of it (a delay; a penalty window would do the same). own first:
queue_priority by penalty. flat: no penalties. ahead: that queue has a higher weight, also where it is worth no more
than the others."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a scenario's days under one setup."""

    setup: Setup
    scenario: Scenario
    days: Sequence[Day]

    def level(self, queue: str, promise: int) -> float:
        return _level(self.days, queue, promise)

    @property
    def weighted(self) -> float:
        return self._weighted(self.days)

    @property
    def weighted_by_day(self) -> list[float]:
        return [self._weighted([day]) for day in self.days]

    @property
    def abandoned(self) -> float:
        tallies = [tally for day in self.days for tally in day.tallies.values()]
        return sum(len(tally.abandoned) for tally in tallies) / sum(tally.offered for tally in tallies)

    @property
    def waits(self) -> list[int]:
        """Of everyone answered, ascending."""
        return sorted(chain.from_iterable(tally.answered for day in self.days for tally in day.tallies.values()))

    @property
    def idle_spread(self) -> float:
        idle = [sum(day.idle[agent] for day in self.days) for agent in self.days[0].idle]
        return pstdev(idle) / fmean(idle)

    def _weighted(self, days: Sequence[Day]) -> float:
        kinds = self.scenario.kinds
        total = sum(kind.worth * _level(days, kind.name, kind.promise) for kind in kinds)
        return total / sum(kind.worth for kind in kinds)


def _level(days: Sequence[Day], queue: str, promise: int) -> float:
    tallies = [day.tallies[queue] for day in days]
    return sum(tally.answered_within(promise) for tally in tallies) / sum(tally.offered for tally in tallies)


# A scenario


def compare(scenario: Scenario, *, days: int) -> str:
    """Its table and its verdicts."""
    arrivals = [scenario.callers(day) for day in range(days)]
    same = [play(setup, scenario, arrivals) for setup in SAME_SETTINGS]
    other = [play(setup, scenario, arrivals) for setup in other_settings(scenario)]
    return "\n".join(
        [
            _title(scenario, calls=sum(map(len, arrivals)), days=days),
            _heading(scenario),
            *map(_row, same),
            "  --",
            *map(_row, other),
            f"  {_verdict(same[0], same[1:], 'the same settings')}",
            f"  {_verdict(same[0], [row for row in other if row.setup.strategy != 'promise'], 'other settings')}",
            f"  {_best_verdict([*same, *other])}",
            f"  {_outsider_verdict(scenario, arrivals[0])}",
        ]
    )


def play(setup: Setup, scenario: Scenario, arrivals: Iterable[Sequence[Caller]]) -> Outcome:
    floor = setup.floor(scenario)
    return Outcome(setup, scenario, [Day(floor, closes=scenario.closes).run(callers) for callers in arrivals])


def _title(scenario: Scenario, *, calls: int, days: int) -> str:
    kinds = "; ".join(
        f"{kind.name}: w {kind.worth}, priority {kind.priority}, promise {kind.promise_secs} s, {kind.per_hour:.0f}/h"
        for kind in scenario.kinds
    )
    teams = "; ".join(
        f"{team.size} x " + ", ".join(f"{queue} {penalty}" for queue, penalty in team.penalties.items())
        for team in scenario.teams
    )
    return (
        f"{scenario.name}: {scenario.about}; {calls} calls in {days} days, {scenario.load:.2f} erlangs per agent\n"
        f"  {kinds}\n  agents x penalties: {teams}"
    )


def _heading(scenario: Scenario) -> str:
    queues = " ".join(f"{kind.name:>9}" for kind in scenario.kinds)
    return f"  {'':34}{'weighted':>8} {queues} {'ASA':>6} {'p99':>5} {'abandoned':>9} {'idle spread':>11}"


def _row(outcome: Outcome) -> str:
    levels = " ".join(f"{outcome.level(kind.name, kind.promise):9.1%}" for kind in outcome.scenario.kinds)
    waits = outcome.waits
    return (
        f"  {outcome.setup!s:34}{outcome.weighted:8.1%} {levels} {fmean(waits) / 1000:6.1f} "
        f"{waits[len(waits) * 99 // 100] / 1000:5.0f} {outcome.abandoned:9.1%} {outcome.idle_spread:11.2f}"
    )


def _verdict(protect: Outcome, others: Sequence[Outcome], settings: str) -> str:
    """Against the best of the others first, then whom it is not ahead of at equal abandonment."""
    best = max(others, key=lambda other: other.weighted)
    behind = [str(other.setup) for other in others if not _is_ahead(protect, other)]
    return (
        f"Against {settings}: {protect.setup} is ahead of {len(others) - len(behind)} of {len(others)} at equal "
        f"abandonment; the best of them: {_difference(protect, best)}."
        + (f" NOT AHEAD of {'; '.join(behind)}." if behind else "")
    )


def _best_verdict(outcomes: Sequence[Outcome]) -> str:
    """Both sides with the settings that suit them here."""
    promise = [outcome for outcome in outcomes if outcome.setup.beta == PROTECT.beta]
    best = max(promise, key=lambda outcome: outcome.weighted)
    other = max((outcome for outcome in outcomes if outcome not in promise), key=lambda other: other.weighted)
    return f"Each with its best settings: {best.setup} against {_difference(best, other)}."


def _is_ahead(protect: Outcome, other: Outcome) -> bool:
    return protect.weighted > other.weighted and 100 * (protect.abandoned - other.abandoned) <= EQUAL_ABANDONMENT


def _difference(protect: Outcome, other: Outcome) -> str:
    """In points, with the standard error over the days, which are the same for both."""
    by_day = [100 * (mine - its) for mine, its in zip(protect.weighted_by_day, other.weighted_by_day, strict=True)]
    error = f" ± {stdev(by_day) / sqrt(len(by_day)):.1f}" if len(by_day) > 1 else ""
    return (
        f"{other.setup} ({100 * (protect.weighted - other.weighted):+.1f}{error} points weighted, "
        f"{100 * (protect.abandoned - other.abandoned):+.2f} abandoned)"
    )


# The outsider: always idle, and a member of none of these queues


def _outsider_verdict(scenario: Scenario, callers: Sequence[Caller]) -> str:
    """Over the first two hours of a day, under every setup."""
    callers = [caller for caller in callers if caller.call.enqueued_at < 2 * HOUR]
    decided, changed = 0, []
    for setup in (*SAME_SETTINGS, *other_settings(scenario)):
        floor = setup.floor(scenario)
        decisions = decisions_of(floor, callers)
        decided += len(decisions)
        if decisions != decisions_of(with_outsider(floor), callers):
            changed.append(str(setup))
    return f"An idle outsider changes, of {decided} decisions under all of these: {'; '.join(changed) or 'none'}."


def decisions_of(floor: Floor, callers: Iterable[Caller], *, whole: bool = False) -> list[Decision]:
    decisions: list[Decision] = []
    Day(floor, closes=0, whole=whole, decisions=decisions).run(callers)
    return decisions


def with_outsider(floor: Floor) -> Floor:
    elsewhere = QueueState(id="elsewhere", strategy=floor.queues[0].strategy, scoring=floor.queues[0].scoring)
    outsider = AgentState(id="an outsider", memberships={elsewhere.id: Membership()})
    return Floor(queues=(*floor.queues, elsewhere), agents=(outsider, *floor.agents))


def parts(names: Collection[str], *, days: int) -> Iterator[str]:
    """The legend, then what was found, one text for each."""
    yield LEGEND
    for scenario in SCENARIOS:
        if scenario.name in names:
            yield compare(scenario, days=days)
    for theory in THEORIES:
        if theory.name in names:
            yield confirm(theory)


NAMES = tuple(part.name for part in (*SCENARIOS, *THEORIES))


def run() -> str:
    return "\n\n".join(("", *parts(NAMES, days=DAYS)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.policies", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--days", type=int, default=DAYS)
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"found {', '.join(sorted(unknown))}; accepted: {', '.join(NAMES)}")
    for part in parts(options.names or NAMES, days=options.days):
        print(part, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
