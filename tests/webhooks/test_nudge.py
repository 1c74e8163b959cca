"""A nudge may be lost; it can neither fail nor delay whoever gives it."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import current_app
from django.db import transaction
from django.test import Client

from tests.webhooks.sender import event, post
from webhooks import inbox, nudge
from webhooks.models import WebhookEvent
from webhooks.nudge import Publisher

SOON = 10.0


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> "list[tuple[str, str]]":
    """What a worker would have been sent."""
    sent: list[tuple[str, str]] = []

    def send_task(name: str, args: list[str], **_: Any) -> None:
        sent.extend((name, ident) for ident in args)

    monkeypatch.setattr(current_app, "send_task", send_task)
    return sent


@pytest.fixture
def sink() -> "Iterator[Callable[[nudge.Sink], None]]":
    before = nudge.set_sink(lambda task, ident: None)
    yield lambda sink: nudge.set_sink(sink) and None
    nudge.set_sink(before)


def eventually(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_nudges_are_published_by_a_thread_in_their_order(published: "list[tuple[str, str]]") -> None:
    publish = Publisher()
    for number in range(100):
        publish("webhooks.apply", str(number))
    assert eventually(lambda: len(published) == 100)
    assert published == [("webhooks.apply", str(number)) for number in range(100)]


def test_a_full_queue_drops_and_returns(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The broker takes nothing: one nudge is on its way, ten wait, the rest is the sweeper's."""
    gate, taken = threading.Event(), threading.Event()
    sent = []

    def never(name: str, args: list[str], **_: Any) -> None:
        taken.set()
        gate.wait(SOON)
        sent.extend(args)

    monkeypatch.setattr(current_app, "send_task", never)
    publish = Publisher(size=10)
    publish("webhooks.apply", "0")
    assert taken.wait(SOON)
    for number in range(1, 16):
        publish("webhooks.apply", str(number))
    gate.set()
    assert eventually(lambda: sent == [str(number) for number in range(11)])
    dropped = [record.getMessage() for record in caplog.records]
    assert dropped == [f"nudge dropped, queue full task=webhooks.apply id={number}" for number in range(11, 16)]


def test_a_broker_that_fails_loses_the_nudge_and_not_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = []

    def send_task(name: str, args: list[str], **_: Any) -> None:
        told.append(args[0])
        if args == ["bad"]:
            raise ConnectionError("with redis://:password@host in it")

    monkeypatch.setattr(current_app, "send_task", send_task)
    publish = Publisher(away_secs=0.0)
    for ident in ("bad", "good"):
        publish("webhooks.send", ident)
    assert eventually(lambda: told == ["bad", "good"])
    assert [record.getMessage() for record in caplog.records] == [
        "nudge lost task=webhooks.send id=bad error=ConnectionError"
    ]


def test_events_that_wait_go_in_one_message_and_commands_in_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, taken = threading.Event(), threading.Event()
    sent = []

    def slowly(name: str, args: list[str], **_: Any) -> None:
        taken.set()
        gate.wait(SOON)
        sent.append((name, args))

    monkeypatch.setattr(current_app, "send_task", slowly)
    publish = Publisher()
    publish("webhooks.apply", "0")
    assert taken.wait(SOON)
    for number in range(1, 13):
        publish("webhooks.apply", str(number))
    for ident in ("a", "b"):
        publish("webhooks.send", ident)
    publish("webhooks.apply", "13")
    gate.set()
    assert eventually(lambda: len(sent) == 6)
    assert sent == [
        ("webhooks.apply", ["0"]),
        ("webhooks.apply", [str(number) for number in range(1, 11)]),
        ("webhooks.apply", ["11", "12"]),
        ("webhooks.send", ["a"]),
        ("webhooks.send", ["b"]),
        ("webhooks.apply", ["13"]),
    ]


@pytest.fixture
def black_hole(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A broker that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(current_app.conf, "broker_url", f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        yield


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is not there."""
    monkeypatch.setattr(current_app.conf, "broker_url", "redis://127.0.0.1:1/0")


def drained_after(publish: Publisher, count: int) -> float:
    began = time.monotonic()
    for number in range(count):
        publish("webhooks.apply", str(number))
    told = time.monotonic() - began
    assert told < 0.5  # whoever nudges waits for nothing
    assert eventually(publish._queue.empty)
    return time.monotonic() - began


def lost(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "nudge" in record.getMessage()]


@pytest.mark.usefixtures("refused")
def test_a_broker_that_is_not_there_is_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    """Measured: 0.13 s. The rest of the second is this machine's."""
    assert drained_after(Publisher(), 1000) < 1.3
    assert lost(caplog) == ["nudge lost task=webhooks.apply id=0 error=OperationalError"]


@pytest.mark.usefixtures("black_hole")
def test_a_broker_that_never_answers_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    """Measured: 2.1 s, of which the queue behind it costs nothing."""
    assert 1.0 <= drained_after(Publisher(), 1000) < 3.5
    assert lost(caplog) == ["nudge lost task=webhooks.apply id=0 error=OperationalError"]


def test_a_broker_that_is_back_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, told = threading.Event(), []

    def send_task(name: str, args: list[str], **_: Any) -> None:
        if not tried.is_set():
            tried.set()
            raise ConnectionError
        told.append(args[0])

    monkeypatch.setattr(current_app, "send_task", send_task)
    publish = Publisher(away_secs=1.0)
    publish("webhooks.apply", "lost")
    assert tried.wait(SOON)
    time.sleep(0.1)
    publish("webhooks.apply", "dropped")
    assert eventually(publish._queue.empty)
    assert told == []
    time.sleep(1.2)
    publish("webhooks.apply", "told")
    assert eventually(lambda: told == ["told"])


@pytest.mark.django_db
@pytest.mark.usefixtures("door", "black_hole")
def test_a_broker_that_never_answers_delays_no_webhook(sink: "Callable[[nudge.Sink], None]") -> None:
    """All of them are answered while the first nudge still hangs."""
    publish = Publisher()
    sink(publish)
    with transaction.atomic():
        for _ in range(20):
            assert post(event()).status_code == 200
    assert WebhookEvent.objects.count() == 20
    while not publish._queue.empty():  # its thread outlives this test, and would publish in another's
        publish._queue.get_nowait()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("door")
def test_whatever_a_nudge_does_the_webhook_is_acknowledged(
    sink: "Callable[[nudge.Sink], None]", caplog: pytest.LogCaptureFixture
) -> None:
    def broken(task: str, ident: str) -> None:
        raise RuntimeError("can't start new thread")

    sink(broken)
    assert post(event(), client=Client()).status_code == 200
    assert WebhookEvent.objects.count() == 1
    assert "can't start new thread" in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("door")
def test_only_what_is_committed_is_nudged(sink: "Callable[[nudge.Sink], None]") -> None:
    nudged: list[tuple[str, str]] = []
    sink(lambda task, ident: nudged.append((task, ident)))

    class Undone(Exception):
        pass

    def undone() -> None:
        with transaction.atomic():
            post(event())
            assert nudged == []
            raise Undone

    with pytest.raises(Undone):
        undone()
    assert nudged == []
    post(event())
    assert nudged == [("webhooks.apply", str(WebhookEvent.objects.get().pk))]
    post(event(connection_id="another"))
    assert len(nudged) == 1  # nobody is told of what is ignored


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("door")
def test_a_lost_nudge_is_found_in_the_rows(sink: "Callable[[nudge.Sink], None]") -> None:
    post(event(event_id="lost"))
    row = WebhookEvent.objects.get()
    assert inbox.due(received_before=row.received_at) == [row.pk]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_starts_a_thread_of_its_own(published: "list[tuple[str, str]]") -> None:
    publish = Publisher()
    publish("webhooks.apply", "parent")
    assert eventually(lambda: published)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            published.clear()
            publish("webhooks.apply", "child")
            os.write(writing, b"1" if eventually(lambda: published == [("webhooks.apply", "child")]) else b"0")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"
    os.close(reading)
    os.close(writing)
