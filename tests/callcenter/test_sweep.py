"""Of the sweepers one leads, and another when that one is gone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("time_machine", reason="needs requirements-dev.txt")

import time_machine

from callcenter.sweep import LEASE, Sweeper
from tests.journeys.clock import database_time

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(BEGAN, tick=False) as clock, database_time():
        yield clock


@pytest.fixture
def two() -> tuple[Sweeper, Sweeper]:
    one, other = Sweeper(), Sweeper()
    one.name, other.name = "one", "other"
    return one, other


def test_one_of_two_leads(clock: time_machine.Traveller, two: tuple[Sweeper, Sweeper]) -> None:
    one, other = two
    for _ in range(30):
        assert one.leads()
        assert not other.leads()
        clock.shift(1)


def test_when_the_leader_is_gone_the_other_leads_within_five_seconds(
    clock: time_machine.Traveller, two: tuple[Sweeper, Sweeper]
) -> None:
    one, other = two
    assert one.leads()
    clock.shift(LEASE - timedelta(seconds=0.1))
    assert not other.leads()
    clock.shift(0.2)
    assert other.leads()
    assert not one.leads()
    assert timedelta(seconds=5) >= LEASE
