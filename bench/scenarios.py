"""The floors and days on which ``policies`` compares the strategies, and the settings each of them runs with."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain

from bench.floor_day import Caller, Floor
from queues.routing.snapshot import AgentState, Membership, QueueState, WaitingCall
from queues.routing.strategies import STRATEGIES

HOUR = 3_600_000
EVEN = (1.0,) * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One queue's callers; they ask for the skill that has the queue's name. Talk and patience are exponential.

    ``worth``: the queue's w in the weighted service level. ``per_hour``: arrivals where the day's factor is 1.
    """

    name: str
    per_hour: float
    worth: int = 1
    priority: int = 0
    promise_secs: int = 20
    talk_secs: float = 240
    patience_secs: float = 180

    @property
    def promise(self) -> int:
        """Milliseconds."""
        return self.promise_secs * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """So many agents with the same penalty in each of their queues: 0 main, 1 second choice, 2 last resort."""

    size: int
    penalties: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``profile``: the factor on the arrivals, hour by hour."""

    name: str
    about: str
    kinds: tuple[Kind, ...]
    teams: tuple[Team, ...]
    profile: Sequence[float] = EVEN

    @property
    def closes(self) -> int:
        """When the last caller may arrive, in milliseconds of the day."""
        return len(self.profile) * HOUR

    @property
    def load(self) -> float:
        """Erlangs offered per agent at factor 1."""
        return sum(kind.per_hour * kind.talk_secs / 3600 for kind in self.kinds) / sum(team.size for team in self.teams)

    def callers(self, day: int) -> list[Caller]:
        """The same whoever serves them: talk and patience are the caller's own."""
        dice = random.Random(f"{self.name}, day {day}")
        kinds = {kind.name: kind for kind in self.kinds}
        arrivals = sorted((at, name) for name, kind in kinds.items() for at in self._arrivals(kind, dice))
        return [_caller(number, at, kinds[name], dice) for number, (at, name) in enumerate(arrivals)]

    def _arrivals(self, kind: Kind, dice: random.Random) -> Iterator[int]:
        """A Poisson stream at the day's highest rate, thinned to each hour's."""
        highest, instant = max(self.profile), 0.0
        while (instant := instant + dice.expovariate(kind.per_hour * highest / HOUR)) < self.closes:
            if dice.random() * highest < self.profile[int(instant // HOUR)]:
                yield int(instant)


def _caller(number: int, at: int, kind: Kind, dice: random.Random) -> Caller:
    return Caller(
        call=WaitingCall(
            id=f"{number:07d}", queue=kind.name, enqueued_at=at, priority=kind.priority, required_skills={kind.name: 1}
        ),
        talk=exponential(kind.talk_secs, dice),
        patience=exponential(kind.patience_secs, dice),
    )


def exponential(mean_secs: float, dice: random.Random) -> int:
    """Milliseconds."""
    return round(dice.expovariate(1 / mean_secs) * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A strategy and its settings.

    ``ahead``: the queue that alone has a higher weight. ``tiers``: a delay keeps second choices for half the
    promise, last resorts for all of it. ``own_first``: ``queue_priority`` by penalty. ``flat``: no penalties.
    """

    strategy: str
    scoring: str = "strict_priority"
    beta: Fraction = Fraction(1)
    ahead: str = ""
    tiers: bool = False
    own_first: bool = False
    flat: bool = False

    def __str__(self) -> str:
        said = {
            f"beta {self.beta}": self.scoring == "promise",
            "aged": self.scoring == "aged",
            f"{self.ahead} ahead": self.ahead,
            "tiers": self.tiers,
            "own first": self.own_first,
            "flat": self.flat,
        }
        return ", ".join([self.strategy, *(words for words, on in said.items() if on)])

    def floor(self, scenario: Scenario) -> Floor:
        teams = chain.from_iterable([team] * team.size for team in scenario.teams)
        return Floor(
            queues=tuple(self._queue(kind) for kind in scenario.kinds),
            agents=tuple(self._agent(number, team, scenario) for number, team in enumerate(teams)),
        )

    def _queue(self, kind: Kind) -> QueueState:
        return QueueState(
            id=kind.name,
            strategy=self.strategy,
            weight=int(kind.name == self.ahead),
            scoring=self.scoring,
            aging_seconds_per_point=60_000,
            promise_secs=kind.promise,
            beta=self.beta,
        )

    def _agent(self, number: int, team: Team, scenario: Scenario) -> AgentState:
        """His level falls with his penalty, and differs a little from his colleagues'."""
        promises = {kind.name: kind.promise for kind in scenario.kinds}
        return AgentState(
            id=f"agent {number:02d}",
            skills={name: 9 - 3 * penalty - number % 3 for name, penalty in team.penalties.items()},
            memberships={
                name: Membership(
                    penalty=0 if self.flat else penalty,
                    position=number,
                    delay=penalty * promises[name] // 2 if self.tiers else 0,
                    queue_priority=1 + penalty if self.own_first else 1,
                )
                for name, penalty in team.penalties.items()
            },
        )


PROTECT = Setup(strategy="promise", scoring="promise", beta=Fraction(1, 4))
FAIR = Setup(strategy="promise", scoring="promise")
SAME_SETTINGS = (PROTECT, FAIR, *(Setup(strategy=name) for name in STRATEGIES if name != "promise"))


def other_settings(scenario: Scenario) -> tuple[Setup, ...]:
    """What else the usual products offer to help a strategy along, as far as it changes something here.

    Only a queue of the highest worth is put ahead of the others; where all are worth the same, each in turn.
    """
    highest = max(kind.worth for kind in scenario.kinds)
    of_highest_worth = [kind.name for kind in scenario.kinds if kind.worth == highest]
    offered = [
        Setup(strategy="longest_idle", tiers=True),
        Setup(strategy="longest_idle", own_first=True),
        Setup(strategy="longest_idle", own_first=True, tiers=True),
        Setup(strategy="longest_idle", flat=True),
        *(Setup(strategy="longest_idle", ahead=name) for name in of_highest_worth),
    ]
    if len({kind.priority for kind in scenario.kinds}) > 1:
        offered += [Setup(strategy="longest_idle", scoring="aged", tiers=tiers) for tiers in (False, True)]
    offered += [replace(PROTECT, flat=True), *(replace(PROTECT, ahead=name) for name in of_highest_worth)]
    seen = [setup.floor(scenario) for setup in SAME_SETTINGS]
    changed = []
    for setup in offered:
        if (floor := setup.floor(scenario)) not in seen:
            seen.append(floor)
            changed.append(setup)
    return tuple(changed)


BOTH_SKILLS = (
    Team(size=11, penalties={"sales": 0, "service": 1}),
    Team(size=9, penalties={"service": 0, "sales": 1}),
)
SCENARIOS = (
    Scenario(
        name="priorities",
        about="two priorities, one team for both",
        kinds=(Kind(name="gold", worth=3, priority=1, per_hour=70), Kind(name="standard", per_hour=220)),
        teams=(Team(size=20, penalties={"gold": 0, "standard": 0}),),
    ),
    Scenario(
        name="n-design",
        about="two skills, one of two teams has both",
        kinds=(Kind(name="sales", per_hour=160), Kind(name="service", per_hour=130)),
        teams=(Team(size=11, penalties={"sales": 0}), Team(size=9, penalties={"service": 0, "sales": 1})),
    ),
    Scenario(
        name="x-design",
        about="two skills, both teams have both",
        kinds=(Kind(name="sales", per_hour=160), Kind(name="service", per_hour=130)),
        teams=BOTH_SKILLS,
    ),
    Scenario(
        name="levels",
        about="three levels, each helps those below it",
        kinds=(Kind(name="first", per_hour=160), Kind(name="second", per_hour=90), Kind(name="third", per_hour=40)),
        teams=(
            Team(size=10, penalties={"first": 0}),
            Team(size=6, penalties={"second": 0, "first": 1}),
            Team(size=4, penalties={"third": 0, "second": 1, "first": 2}),
        ),
    ),
    Scenario(
        name="overload",
        about="two priorities, one team for both, more calls than it can take",
        kinds=(Kind(name="gold", worth=3, priority=1, per_hour=85), Kind(name="standard", per_hour=260)),
        teams=(Team(size=20, penalties={"gold": 0, "standard": 0}),),
    ),
    Scenario(
        name="x-overload",
        about="two skills, both teams have both, more calls than they can take",
        kinds=(Kind(name="sales", per_hour=190), Kind(name="service", per_hour=155)),
        teams=BOTH_SKILLS,
    ),
    Scenario(
        name="x-priorities",
        about="two priorities, a team for each that helps the other, more calls than they can take",
        kinds=(Kind(name="gold", worth=3, priority=1, per_hour=85), Kind(name="standard", per_hour=260)),
        teams=(
            Team(size=5, penalties={"gold": 0, "standard": 1}),
            Team(size=15, penalties={"standard": 0, "gold": 1}),
        ),
    ),
    Scenario(
        name="profile",
        about="two skills, both teams have both, a day of two peaks",
        kinds=(Kind(name="sales", per_hour=165), Kind(name="service", per_hour=135)),
        teams=BOTH_SKILLS,
        profile=(0.4, 0.7, 1.0, 1.15, 1.05, 0.8, 0.9, 1.1, 1.0, 0.7, 0.5, 0.3),
    ),
)
