"""States for Hypothesis: small numbers, so that ties, thresholds and shortages are common.

Hypothesis chooses how many queues, agents and calls there are, and which features are in play; what each of
them looks like follows from its id and a seed. That is quick, and a failing state still shrinks: leaving out an
agent or a feature changes nothing about the rest.
"""

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from random import Random
from typing import Any

from hypothesis import strategies as st

from queues.routing.scoring import SCORINGS
from queues.routing.snapshot import (
    AgentState,
    Membership,
    PenaltyRule,
    QueueState,
    Ring,
    State,
    Sticky,
    WaitingCall,
)
from queues.routing.state_shape import STATUSES
from queues.routing.strategies import STRATEGIES

NOW = 1000
QUEUES = ("q1", "q2", "q3", "q4")
AGENTS = tuple(f"a{number}" for number in range(1, 9))
CALLS = tuple(f"c{number}" for number in range(1, 11))
SKILLS = ("tech", "fr")
LIMITS = ("min_penalty", "max_penalty", "raise_penalty")
FEATURES = (
    *("weights", "scorings", "idle_basis", "rings", "penalty_rules", "window", "few_members", "sticky", "pointer"),
    *("penalties", "positions", "delays", "queue_priority", "pauses", "records", "statuses", "slots", "skills"),
    *("cool_downs", "idle_times", "callbacks", "priorities", "required", "preferred", "declines", "hidden"),
)


class Maker:
    """Makes one queue, agent or call."""

    def __init__(self, seed: int, features: Collection[str], name: str) -> None:
        self.rng = Random(f"{seed} {name}")
        self.features = features

    def fields(self, chance: float, feature: str, **makers: Callable[[], Any]) -> dict[str, Any]:
        """Values for these fields, or none; the same draws are made either way."""
        applies = self.rng.random() < chance
        values = {name: make() for name, make in makers.items()}
        return values if applies and feature in self.features else {}

    def few(self) -> int:
        return self.rng.randint(0, 3)

    def few_or_none(self) -> int | None:
        return self.rng.choice([None, 0, 1, 2, 3])

    def wait(self) -> int:
        return self.rng.choice([0, 1, 9, 10, 11, 15, 20, 21, 30, 40, 45])

    def near_now(self) -> int:
        return NOW + self.rng.choice([-5, 0, 1, 10])

    def levels(self) -> dict[str, int]:
        return {skill: self.few() for skill in self.rng.sample(SKILLS, self.rng.randint(0, 2))}

    def several(self, make: Callable[[], Any]) -> tuple[Any, ...]:
        return tuple(make() for _ in range(self.rng.randint(1, 3)))

    def queue(self, queue_id: str) -> QueueState:
        rng = self.rng
        strategy = rng.choice([*STRATEGIES, "promise", "promise", "promise", "promise"])
        return QueueState(
            id=queue_id,
            strategy=strategy,
            promise_secs=rng.choice([20, 21, 30, 60]),
            beta=rng.choice([Fraction(1), Fraction(1, 4)]),
            aging_seconds_per_point=rng.choice([60, 10]),
            **{
                "scoring": STRATEGIES[strategy].scoring,
                **self.fields(0.4, "scorings", scoring=lambda: rng.choice(list(SCORINGS))),
            },
            **self.fields(0.4, "weights", weight=lambda: rng.randint(-1, 1)),
            **self.fields(0.5, "idle_basis", idle_basis=lambda: "last_handled_end"),
            **self.fields(0.5, "rings", rings=lambda: self.several(self.ring)),
            **self.fields(0.5, "penalty_rules", penalty_rules=lambda: self.several(self.penalty_rule)),
            **self.fields(0.5, "window", **dict.fromkeys(LIMITS, self.few_or_none)),
            **self.fields(0.5, "few_members", penalty_members_limit=lambda: rng.randint(0, 5)),
            **self.fields(0.7, "sticky", sticky=self.sticky),
            **self.fields(0.7, "pointer", last_offered_position=self.few),
        )

    def ring(self) -> Ring:
        drop = frozenset(self.rng.sample(SKILLS, self.rng.randint(0, 1)))
        return Ring(after=self.wait(), drop=drop, levels=self.levels())

    def penalty_rule(self) -> PenaltyRule:
        named = self.rng.sample(LIMITS, self.rng.randint(0, 3))
        return PenaltyRule(after=self.wait(), sets={limit: self.few_or_none() for limit in named})

    def sticky(self) -> Sticky:
        return Sticky(hold_seconds=self.wait(), max_age=self.rng.choice([None, 10, 20]))

    def agent(self, agent_id: str, queue_ids: Sequence[str]) -> AgentState:
        rng = self.rng
        membership_of = {queue_id: self.membership() for queue_id in QUEUES}
        served = rng.sample(QUEUES, rng.randint(1, 4))
        return AgentState(
            id=agent_id,
            memberships={queue_id: membership_of[queue_id] for queue_id in served if queue_id in queue_ids},
            capacity=rng.choice([1, 1, 1, 2, 3]),
            **self.fields(0.3, "statuses", status=lambda: rng.choice(STATUSES), reserved=lambda: rng.random() < 0.3),
            **self.fields(0.4, "slots", active_calls=lambda: rng.randint(0, 2)),
            **self.fields(0.8, "skills", skills=self.levels),
            **self.fields(0.3, "cool_downs", ready_at=self.near_now, wrap_up_until=self.near_now),
            **self.fields(
                0.9, "idle_times", available_since=self.few, login_at=self.few, last_handled_end=self.few_or_none
            ),
            **self.fields(0.9, "records", calls_handled=self.few, talk_seconds=self.few),
        )

    def membership(self) -> Membership:
        rng = self.rng
        return Membership(
            **self.fields(0.6, "penalties", penalty=lambda: rng.choice([0, 1, 1, 2, 3])),
            **self.fields(0.8, "positions", position=self.few),
            **self.fields(0.3, "delays", delay=self.wait),
            **self.fields(0.8, "queue_priority", queue_priority=self.few),
            **self.fields(0.2, "pauses", paused=lambda: True),
            **self.fields(0.8, "records", calls_handled=self.few_or_none, last_call_end=self.few_or_none),
        )

    def call(self, call_id: str, queue_ids: Sequence[str]) -> WaitingCall:
        rng = self.rng
        return WaitingCall(
            id=call_id,
            queue=queue_ids[rng.randrange(12) % len(queue_ids)],
            enqueued_at=NOW - self.wait(),
            **self.fields(0.3, "callbacks", kind=lambda: "callback"),
            **self.fields(0.4, "priorities", priority=lambda: rng.randint(-2, 2)),
            **self.fields(0.4, "required", required_skills=self.levels),
            **self.fields(
                0.6,
                "preferred",
                preferred_agent=lambda: rng.choice(AGENTS),
                preferred_agent_at=lambda: rng.choice([None, NOW - 10, NOW - 15, NOW - 21]),
            ),
            **self.fields(0.4, "declines", declined=lambda: {rng.choice(AGENTS): self.near_now()}),
            **self.fields(0.2, "hidden", hidden_until=self.near_now),
        )


def make_state(seed: int, features: Collection[str], *, queues: int, agents: int, calls: int) -> State:
    queue_ids = QUEUES[:queues]
    return State(
        now=NOW,
        pass_number=seed % 3,
        queues=tuple(Maker(seed, features, name).queue(name) for name in queue_ids),
        agents=tuple(Maker(seed, features, name).agent(name, queue_ids) for name in AGENTS[:agents]),
        calls=tuple(Maker(seed, features, name).call(name, queue_ids) for name in CALLS[:calls]),
    )


def _all_but(features: frozenset[str]) -> frozenset[str]:
    return frozenset(FEATURES) - features


def states() -> st.SearchStrategy[State]:
    """Up to four queues of mixed strategies, eight agents in any of them, ten calls."""
    return st.builds(
        make_state,
        seed=st.integers(0, 2**32),
        features=st.frozensets(st.sampled_from(FEATURES))
        | st.builds(_all_but, st.frozensets(st.sampled_from(FEATURES))),
        queues=st.sampled_from(range(1, len(QUEUES) + 1)),
        agents=st.sampled_from([0, 1, 2, 3, 4, *[5, 6, 7, 8] * 2]),
        calls=st.sampled_from([0, 1, 2, 3, 4, *[5, 6, 7, 8, 9, 10] * 2]),
    )
