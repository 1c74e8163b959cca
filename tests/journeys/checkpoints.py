"""A worker dies between any two of its durable steps, without a line in the product that knows of it.

Each statement that changes rows or commits, and each request to Telnyx both before and after its effect, is a
checkpoint. At the one that was chosen the worker is gone, as under SIGKILL: nothing is caught, what was not committed
is rolled back, what was nudged is lost.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

_LEAVES_NO_TRACE = ("SELECT", "SAVEPOINT", "ROLLBACK", "WITH")


def leaves_traces(sql: str) -> bool:
    """Changes rows, or commits what did."""
    return not sql.lstrip().upper().startswith(_LEAVES_NO_TRACE)


class Killed(BaseException):
    """No ``except Exception`` sees it."""


class Worker:
    """Who runs one job, and dies at the checkpoint of this number, from 0; with None he lives."""

    def __init__(self, dies_at: int | None = None) -> None:
        self._left = dies_at
        self.died = False

    def checkpoint(self) -> None:
        if self._left is None or self.died:
            return
        if self._left == 0:
            self.died = True
            raise Killed
        self._left -= 1

    @contextmanager
    def works(self) -> Iterator[None]:
        """His statements are checkpoints; his death ends with the block."""
        with connection.execute_wrapper(self._statement):
            try:
                yield
            except Killed:
                assert self.died
                if connection.in_atomic_block:  # a test's: what died in a write of its own has undone nothing else
                    transaction.set_rollback(False)

    def _statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if leaves_traces(sql):
            self.checkpoint()
        return execute(sql, params, many, context)
