"""The simulated day: what it leaves out to be quick changes nothing, nor does who has no part in it."""

import pytest

from bench.floor_day import Day, looks_after
from bench.policies import decisions_of, with_outsider
from bench.scenarios import FAIR, HOUR, PROTECT, SAME_SETTINGS, SCENARIOS, Setup, other_settings

SCENARIO = {scenario.name: scenario for scenario in SCENARIOS}
BUSIEST = SCENARIO["x-priorities"]
CALLERS = [caller for caller in BUSIEST.callers(0) if caller.call.enqueued_at < HOUR // 2]
under_every_setup = pytest.mark.parametrize("setup", [*SAME_SETTINGS, *other_settings(BUSIEST)], ids=str)


@under_every_setup
def test_who_is_free_and_the_first_in_line_are_all_that_a_pass_needs(setup):
    floor = setup.floor(BUSIEST)
    assert decisions_of(floor, CALLERS) == decisions_of(floor, CALLERS, whole=True)


@pytest.mark.parametrize("setup", [PROTECT, FAIR], ids=str)
def test_nor_does_it_need_more_where_agents_serve_three_queues(setup):
    floor = setup.floor(SCENARIO["levels"])
    callers = SCENARIO["levels"].callers(0)[:200]
    assert decisions_of(floor, callers) == decisions_of(floor, callers, whole=True)


@under_every_setup
def test_an_idle_agent_of_another_queue_changes_no_decision(setup):
    floor = setup.floor(BUSIEST)
    assert decisions_of(floor, CALLERS) == decisions_of(with_outsider(floor), CALLERS)


def test_the_line_of_these_tests_is_long_enough_to_break_promises():
    day = Day(PROTECT.floor(BUSIEST), closes=HOUR // 2).run(CALLERS)
    tally = day.tallies["standard"]
    assert tally.abandoned
    assert 0 < tally.answered_within(BUSIEST.kinds[1].promise) < len(tally.answered) * 3 / 4


def test_everyone_is_answered_or_gives_up_under_every_setup():
    for setup in SAME_SETTINGS:
        day = Day(setup.floor(BUSIEST), closes=HOUR // 2).run(CALLERS)
        assert sum(tally.offered for tally in day.tallies.values()) == len(CALLERS)


@pytest.mark.parametrize(
    ("setup", "queue", "expected"),
    [
        pytest.param(PROTECT, "first", [10_000, 20_000], id="promise: half of it, then all"),
        pytest.param(PROTECT, "third", [], id="promise: nobody's second choice"),
        pytest.param(Setup(strategy="longest_idle", tiers=True), "first", [10_000, 20_000], id="delays"),
        pytest.param(Setup(strategy="longest_idle"), "first", [], id="nothing to wait for"),
    ],
)
def test_a_caller_is_looked_at_again_when_something_opens(setup, queue, expected):
    floor = setup.floor(SCENARIO["levels"])
    state = next(state for state in floor.queues if state.id == queue)
    assert list(looks_after(state, floor.agents)) == expected
