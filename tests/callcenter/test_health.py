"""What a load balancer is told, and by whose heartbeats."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from callcenter import heartbeat
from callcenter.models import ProcessHeartbeat
from webhooks.clock import from_now


def asked(path: str = "/readyz") -> tuple[int, bytes]:
    answer = Client().get(path)
    return answer.status_code, answer.content


def silent_for(name: str, secs: float) -> None:
    ProcessHeartbeat.objects.update_or_create(name=name, defaults={"at": from_now(-timedelta(seconds=secs))})


def test_alive_needs_nobody_else() -> None:
    assert asked("/healthz") == (200, b"ok\n")


@pytest.mark.django_db
def test_ready_while_a_sweeper_is_at_work() -> None:
    heartbeat.beat("sweep")
    assert asked() == (200, b"ok\n")


@pytest.mark.django_db
@pytest.mark.parametrize(("secs", "status"), [(8, 200), (11, 503)])
def test_ready_no_longer_than_ten_seconds_after_the_last_sweep(secs: float, status: int) -> None:
    silent_for("sweep:here:1", secs)
    heartbeat.beat("worker")
    assert asked()[0] == status


@pytest.mark.django_db
def test_one_of_two_sweepers_is_enough() -> None:
    silent_for("sweep:here:1", 60)
    silent_for("sweep:there:1", 1)
    assert asked() == (200, b"ok\n")


@pytest.mark.django_db
def test_it_says_in_one_line_that_nobody_sweeps() -> None:
    assert asked() == (503, b"no sweeper has been heard of for 10 s\n")


def test_it_says_in_one_line_that_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", away)
    assert asked() == (503, b"the database does not answer\n")


@pytest.mark.django_db
def test_a_new_process_clears_away_those_of_yesterday() -> None:
    silent_for("web:here:1", 90_000)
    silent_for("web:here:2", 3_600)
    heartbeat.beat("sweep")
    heartbeat.beat("sweep")
    left = ProcessHeartbeat.objects.exclude(name__startswith="sweep:")
    assert list(left.values_list("name", flat=True)) == ["web:here:2"]
    assert ProcessHeartbeat.objects.count() == 2


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What has been started, instead of a thread that would outlive its test."""
    started: list[str] = []

    def start(kind: str) -> threading.Event:
        started.append(kind)
        return threading.Event()

    monkeypatch.setattr(heartbeat, "start", start)
    yield started
    request_started.disconnect(dispatch_uid="web")


@pytest.mark.django_db
def test_a_web_process_beats_from_its_first_request_on(begun: list[str]) -> None:
    heartbeat.start_with_first_request("web")
    assert begun == []
    application = WSGIHandler()
    for _ in range(3):
        request = RequestFactory().get("/healthz").environ
        application(request, lambda *_: None).close()
    assert begun == ["web"]


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_goes_on_until_it_is_stopped() -> None:
    stop = heartbeat.start("web")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not heartbeat.anyone("web"):
        time.sleep(0.02)
    assert heartbeat.anyone("web")
    stop.set()
    for thread in threading.enumerate():
        if thread.name == "heartbeat-web":
            thread.join(10)
            assert not thread.is_alive()
