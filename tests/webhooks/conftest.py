"""The door knows the tests' key."""

import pytest
from pytest_django.fixtures import Settings

from tests.webhooks import sender


@pytest.fixture
def door(settings: Settings) -> None:
    settings.TELNYX_PUBLIC_KEY = sender.public(sender.KEY)
