"""Who guesses too often is told to wait; without a cache nobody is."""

import logging
from types import SimpleNamespace

import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from callcenter.access import throttles
from tests.callcenter import clients

pytestmark = pytest.mark.django_db
QUEUES = "/api/v1/queues"
MOST = throttles.MOST_WRONG_TRIES


def it_is(second: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many seconds into some minute of the clock."""
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 1_800_000_000.0 + second))


@pytest.fixture(autouse=True)
def _a_quarter_past(monkeypatch: pytest.MonkeyPatch) -> None:
    it_is(15, monkeypatch)


def guess(address: str = "203.0.113.7", **more: str) -> APIClient:
    client = APIClient(REMOTE_ADDR=address, **more)
    client.credentials(HTTP_AUTHORIZATION="Bearer cc_12345678_" + "a" * 43)
    return client


@pytest.mark.usefixtures("cache_away")
def test_without_the_cache_the_api_answers_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, throttles.__name__):
        assert clients.key("queues:read").get(QUEUES).status_code == 200
    [warned] = [record for record in caplog.records if record.name == throttles.__name__]
    assert warned.getMessage() == "The cache was away, so a request was not counted."


@pytest.mark.usefixtures("cache_away")
def test_without_the_cache_wrong_keys_are_only_wrong() -> None:
    assert [guess().get(QUEUES).status_code for _ in range(MOST + 1)] == [401] * (MOST + 1)


def test_too_many_wrong_keys_are_told_to_wait() -> None:
    assert [guess().get(QUEUES).status_code for _ in range(MOST + 1)] == [401] * MOST + [429]
    answer = guess(HTTP_X_FORWARDED_FOR="198.51.100.1").get(QUEUES)  # what the client wrote himself
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "throttled", "45")
    assert answer["Content-Type"] == "application/problem+json"
    assert guess("203.0.113.8").get(QUEUES).status_code == 401  # another address


def test_a_good_key_is_let_in_from_where_wrong_ones_came() -> None:
    for _ in range(MOST + 1):
        guess("127.0.0.1").get(QUEUES)
    assert clients.key("queues:read").get(QUEUES).status_code == 200


def test_behind_a_proxy_of_ours_the_client_is_counted(settings: Settings) -> None:
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    seen = [guess(HTTP_X_FORWARDED_FOR=f"10.0.0.{n}, 198.51.100.1").get(QUEUES).status_code for n in range(MOST + 1)]
    assert seen[-1] == 429
    assert guess(HTTP_X_FORWARDED_FOR="10.0.0.1, 198.51.100.2").get(QUEUES).status_code == 401


def test_in_the_next_minute_one_may_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [guess().get(QUEUES).status_code for _ in range(MOST + 1)][-1] == 429
    it_is(60, monkeypatch)
    assert guess().get(QUEUES).status_code == 401
