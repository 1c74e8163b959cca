"""One house per journey."""

from collections.abc import Iterator

import pytest

pytest.importorskip("time_machine", reason="needs requirements-dev.txt")

from tests.journeys.house import House


@pytest.fixture
def house(transactional_db: None) -> Iterator[House]:
    with House() as house:
        yield house
