"""gunicorn's threads, which nobody holds by sending slowly (``--worker-class callcenter.threads.Worker``).

gthread reads headers and body in the thread that answers, and waits for the next byte for ever: as many clients as
there are threads, each sending a byte now and then, would keep everybody else out.
"""

import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]  # it ships none

READING_SECS = 5.0


class Worker(ThreadWorker):  # type: ignore[misc]
    """Of a request that has not been answered after 5 s nothing more is read: what it lacks is taken for its end.

    The answer is written all the same, and the connection closed after it.
    """

    def __init__(self, *args: Any, **words: Any) -> None:
        super().__init__(*args, **words)
        self._read_until: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """Gunicorn's, in a thread, for each request of a connection."""
        self._read_until[conn] = time.monotonic() + READING_SECS
        try:
            goes_on = super().handle(conn)
        finally:
            in_time = self._read_until.pop(conn, None) is not None
        return goes_on if in_time else False

    def notify(self) -> None:
        """Gunicorn's, once a second at least, in the thread that also closes connections."""
        super().notify()
        for conn, until in list(self._read_until.items()):
            if until < time.monotonic() and self._read_until.pop(conn, None) is not None:
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
