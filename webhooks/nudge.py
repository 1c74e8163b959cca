"""Telling a worker that a row is due: a hint that may be lost, and that can neither fail nor delay its sender.

The rows say what is due; the sweeper finds whatever a lost nudge would have started. So nothing here is
retried, and a full queue drops (ARCHITECTURE rule 8).
"""

import logging
import os
import queue
import threading
from collections.abc import Callable

from celery import current_app
from django.db import transaction

logger = logging.getLogger(__name__)

Sink = Callable[[str, str], None]


class Publisher:
    """A bounded queue drained by one daemon thread, started lazily so that it survives a fork."""

    def __init__(self, *, size: int = 10_000) -> None:
        self._size = size
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
            logger.warning("nudge dropped, queue full task=%s id=%s", task, ident)
            return
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._drain, name="nudge", daemon=True)
                    self._thread.start()

    def _drain(self) -> None:
        while True:
            task, ident = self._queue.get()
            try:
                current_app.send_task(task, args=[ident], ignore_result=True)
            except Exception as error:  # noqa: BLE001  a nudge may be lost for any reason; the sweeper has the row
                logger.warning("nudge lost task=%s id=%s error=%s", task, ident, type(error).__name__)


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
