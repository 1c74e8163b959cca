"""Whatever happens, in whatever order: every invariant after every step, and the truth in the end.

An example of 60 steps takes a second. ``MACHINE_EXAMPLES`` says how many there are (5 000 for a night). What fails is
kept in Hypothesis's database and tried first; ``MACHINE_SHRINK`` then makes it as short as it gets, in minutes.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is in requirements-dev.txt")

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.journeys import machine, plants

pytestmark = [pytest.mark.django_db, pytest.mark.long]

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "304"))
ENOUGH = 200  # for a planted fault, each of which is found long before
STEPS = 60
PARTS = 8  # so that the work can be spread over processes


def machine_settings(examples: int, **words: Any) -> settings:
    shrink = [Phase.shrink] if "MACHINE_SHRINK" in os.environ else []
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **({"phases": [Phase.reuse, Phase.generate, *shrink]} | words),
    )


@pytest.fixture
def furnished(db: None) -> None:
    machine.furnish()


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.usefixtures("furnished")
def test_whatever_happens_the_house_is_in_order(part: int) -> None:
    run_state_machine_as_test(machine.CallCenter, settings=machine_settings(EXAMPLES // PARTS))


@pytest.mark.parametrize(
    "plant",
    [plants.new_id_for_each_try, plants.the_last_event_stands, plants.nobody_is_released, plants.exits_hang_up_nobody],
)
@pytest.mark.usefixtures("furnished")
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]) -> None:
    plant(monkeypatch)
    only_to_find_it = machine_settings(ENOUGH, phases=[Phase.generate], database=None, report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine.CallCenter, settings=only_to_find_it)
