"""The table of strategies, and the two that draw lots: even, weighted as promised, and always the same."""

from collections import Counter
from itertools import permutations

import pytest

from queues.routing.one_pass import rank_agents
from queues.routing.snapshot import AgentState, Membership, QueueState, State, WaitingCall
from queues.routing.strategies import STRATEGIES

CALLS = 6000


def test_the_table_has_the_strategies_of_the_design():
    assert list(STRATEGIES) == [
        *("longest_idle", "least_recent", "fewest_calls", "least_talk_time", "round_robin", "linear"),
        *("ring_all", "best_skill", "least_skilled", "random", "weighted_random", "promise"),
    ]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=lambda strategy: strategy.name)
def test_a_strategy_can_be_shown_to_people(strategy):
    assert STRATEGIES[strategy.name] is strategy
    assert strategy.label
    assert strategy.description.endswith(".")
    assert "\n" not in strategy.description


def test_only_promise_changes_how_calls_are_scored():
    others = [strategy for strategy in STRATEGIES.values() if strategy.scoring != "strict_priority"]
    assert [(strategy.name, strategy.scoring) for strategy in others] == [("promise", "promise")]


def rankings(strategy, penalties, *, calls=CALLS, pass_number=0):
    """How often each order of the agents a0, a1, … comes up, over that many calls."""
    queue = QueueState(id="q", strategy=strategy)
    agents = tuple(
        AgentState(id=f"a{number}", memberships={"q": Membership(penalty=penalty)})
        for number, penalty in enumerate(penalties)
    )
    counts = Counter[str]()
    for number in range(calls):
        call = WaitingCall(id=f"call-{number}", queue="q", enqueued_at=990)
        state = State(now=1000, pass_number=pass_number, queues=(queue,), agents=agents, calls=(call,))
        counts["".join(rank_agents(state, call.id))] += 1
    return counts


def share(counts, first):
    return sum(count for ranking, count in counts.items() if ranking.startswith(first)) / counts.total()


@pytest.mark.parametrize("strategy", ["random", "weighted_random"])
def test_equal_agents_come_in_every_order_equally_often(strategy):
    counts = rankings(strategy, [0, 0, 0])
    expected = CALLS / 6
    assert set(counts) == {"".join(order) for order in permutations(["a0", "a1", "a2"])}
    # Chi-square with 5 degrees of freedom: 20.5 is the 0.1 % point.
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 20.5


def test_random_never_lets_a_higher_penalty_go_first():
    counts = rankings("random", [0, 1, 0])
    assert {ranking[-2:] for ranking in counts} == {"a1"}
    assert share(counts, "a0") == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("penalties", "expected"), [([0, 1], 3 / 4), ([0, 2], 5 / 6), ([0, 9], 19 / 20), ([1, 2], 2 / 3)]
)
def test_weighted_random_lets_a_higher_penalty_lose_as_often_as_its_weight_says(penalties, expected):
    """With even draws x and y, x·v < y·w for weights v <= w happens in 1 - v/(2·w) of all cases."""
    assert share(rankings("weighted_random", penalties), "a0") == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("strategy", ["random", "weighted_random"])
def test_the_same_pass_always_draws_the_same(strategy):
    assert rankings(strategy, [0, 1, 2], calls=50) == rankings(strategy, [0, 1, 2], calls=50)


@pytest.mark.parametrize("strategy", ["random", "weighted_random"])
def test_the_next_pass_draws_anew(strategy):
    firsts = [rankings(strategy, [0, 0, 0], calls=1, pass_number=number) for number in range(40)]
    assert len({next(iter(first)) for first in firsts}) > 3
