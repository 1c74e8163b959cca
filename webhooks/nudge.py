"""Telling a worker that a row is due: a hint that may be lost, and that can neither fail nor delay its sender.

The rows say what is due; the sweeper finds whatever a lost nudge would have started. So nothing here is
retried, a full queue drops, and so does a broker that was away a moment ago.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import current_app
from django.db import transaction

from webhooks import meters

logger = logging.getLogger(__name__)

Sink = Callable[[str, str], None]

# A publisher waits for no message, as a worker does: a broker that takes connections and never answers costs it 2.1 s
# instead of 5.1 (measured) ...
SOCKET_SECS = 1.0
# ... and that once: what is due in the seconds after is dropped, rather than told late, one wait after the other.
AWAY_SECS = 5.0
# Telling it costs a webhook's process as much as storing the event does, so under load several go in one message.
SEVERAL_AT_ONCE = frozenset({"webhooks.apply"})
MOST_AT_ONCE = 10


class Publisher:
    """A bounded queue drained by one daemon thread, started lazily so that it survives a fork."""

    def __init__(self, *, size: int = 10_000, away_secs: float = AWAY_SECS) -> None:
        self._size = size
        self._away_secs = away_secs
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._queue: queue.Queue[tuple[str, str]] = queue.Queue(self._size)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __call__(self, task: str, ident: str) -> None:
        if self._pid != os.getpid():
            self._start()
        try:
            self._queue.put_nowait((task, ident))
        except queue.Full:
            meters.nudge_failed_total.inc("queue_full")
            logger.warning("nudge dropped, queue full task=%s id=%s", task, ident)
            return
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._drain, name="nudge", daemon=True)
                    self._thread.start()

    def _drain(self) -> None:
        producer: Any = None
        away_until = 0.0
        held: tuple[str, str] | None = None
        while True:
            task, ident = held or self._queue.get()
            idents, held = self._with_those_behind(task, ident)
            if time.monotonic() < away_until:
                meters.nudge_failed_total.inc("broker_away")
                continue
            try:
                producer = producer or _producer()
                current_app.send_task(task, args=idents, ignore_result=True, producer=producer)
            except Exception as error:  # noqa: BLE001  a nudge may be lost for any reason; the sweeper has the row
                producer, away_until = None, time.monotonic() + self._away_secs
                meters.nudge_failed_total.inc("not_published")
                logger.warning("nudge lost task=%s id=%s error=%s", task, ",".join(idents), type(error).__name__)

    def _with_those_behind(self, task: str, ident: str) -> tuple[list[str], tuple[str, str] | None]:
        """What goes in one message, and the first nudge behind it if that had to be taken to see that it does not."""
        idents = [ident]
        while task in SEVERAL_AT_ONCE and len(idents) < MOST_AT_ONCE:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following[0] != task:
                return idents, following
            idents.append(following[1])
        return idents, None


def _producer() -> Any:
    """On a connection of its own, which is made with the first message."""
    return current_app.amqp.Producer(
        current_app.connection_for_write(transport_options={"socket_timeout": SOCKET_SECS})
    )


_sink: Sink = Publisher()


def set_sink(sink: Sink) -> Sink:
    """Send nudges elsewhere (the sweeper's own pool, a test's list); returns the sink that was."""
    global _sink
    previous, _sink = _sink, sink
    return previous


def nudge(task: str, ident: object) -> None:
    """On commit, tell the worker lane of ``task`` (its Celery name) that the row ``ident`` is due."""

    def send() -> None:  # a function, not a partial: Django reports a failed robust hook by its __qualname__
        _sink(task, str(ident))

    transaction.on_commit(send, robust=True)
