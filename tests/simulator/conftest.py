"""Fixtures for the simulator's tests."""

from collections.abc import Iterator

import pytest

from tests.simulator.rig import Rig, rigged


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rigged() as made:
        yield made
