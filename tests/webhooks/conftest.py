"""The door knows the tests' key; a line of the outbox to the simulator."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.webhooks import sender
from tests.webhooks.line import Line, lined


@pytest.fixture
def door(settings: Settings) -> None:
    settings.TELNYX_PUBLIC_KEY = sender.public(sender.KEY)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    with lined(monkeypatch) as line:
        yield line
