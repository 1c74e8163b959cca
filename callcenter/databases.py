"""What differs between Postgres and SQLite in the settings: the vendor-switched place.

Both run the same code. Connection options differ; statements, leases and constraints are ORM, but for the inbox's
insert, a journal line's, and the questions of a routing pass (queues.engine.sql); a few are written by the ORM once for
a process (webhooks.prepared).
And what is said to people, and counted, when the database cannot be used.
"""

import select
import sys
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from django.core.signals import got_request_exception
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.utils import ConnectionHandler
from django.dispatch import receiver
from psycopg.abc import Query

from webhooks import meters


class Connection(psycopg.Connection[Any]):
    """One of the pool's, which asks each that it gives away whether it lives, by an empty query: a round trip more for
    every request. Whoever ends a connection says so on it, so while nothing is there to be read the answer is yes."""

    def execute(self, query: Query, *args: Any, **words: Any) -> psycopg.Cursor[Any]:
        if query == "" and not self.closed and not self._has_something_to_say():
            return self.cursor()
        return super().execute(query, *args, **words)

    def _has_something_to_say(self) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))


POSTGRES = {
    # The pool keeps connections; Django refuses it together with CONN_MAX_AGE.
    "CONN_MAX_AGE": 0,
    # Without it, the first requests after a database restart fail (6 of 24 measured, with it 0).
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        # psycopg's default timeout of 30 s would hang every web thread while the database is down. The pool opens what
        # is used at once, most by a sweeper: 8 hands, 3 that compare us with Telnyx, and its tick (callcenter.sweep).
        "pool": {"min_size": 1, "max_size": 14, "timeout": 2, "connection_class": Connection},
        "connect_timeout": 3,
        # A server whose machine vanishes says nothing: without these a statement under way waits for about 15 minutes
        # until the kernel gives the connection up, and one that only listens for two hours.
        "tcp_user_timeout": 5000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        # Django's own cursor prepares nothing. What a routing decision and a call's handling ask is planned once for a
        # connection, at its first use (webhooks.prepared): half of what a decision's statements cost was their
        # planning. Left to itself, Postgres plans some of them each time, for the words that go with them.
        "prepare_threshold": 0,
        # A statement, a lock or a forgotten transaction may not hold up the call path for longer than this. Compiling
        # a statement (jit) takes longer than any of ours runs: 17 ms of a routing decision's 28, measured.
        "options": (
            "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000 -c jit=off "
            "-c plan_cache_mode=force_generic_plan"
        ),
    },
}

SQLITE = {
    "CONN_MAX_AGE": 0,
    "OPTIONS": {
        # A transaction that reads first and writes later fails at once with "database is locked" when another
        # wrote in between, whatever the timeout. IMMEDIATE takes the write lock at BEGIN, and waits for it.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # WAL lets readers read while one writes. NORMAL may lose the last commits at a power cut, never at a
        # process crash; this database is not for production (callcenter.E006).
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    },
}


def connection(parsed: dict[str, Any]) -> dict[str, Any]:
    """The dictionary of ``Environment.database`` with its vendor's options; those of the URL go first."""
    vendor = SQLITE if parsed["ENGINE"].endswith("sqlite3") else POSTGRES
    options = {**vendor["OPTIONS"], **parsed.get("OPTIONS", {})}  # type: ignore[dict-item]
    return {**parsed, **vendor, "OPTIONS": options}


def count(error: BaseException | None) -> None:
    """Count that the database failed us: once, however many places the error passes. Other errors are none of its."""
    if isinstance(error, OperationalError | InterfaceError) and "is_counted" not in vars(error):
        vars(error)["is_counted"] = True
        meters.db_errors_total.inc()


@receiver(connection_created)
def _watch(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _counting not in connection.execute_wrappers:
        connection.execute_wrappers.append(_counting)


def _counting(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    try:
        return execute(sql, params, many, context)
    except Error as error:
        count(error)
        raise


@receiver(got_request_exception)
def _of_a_request(**_: Any) -> None:
    """Where there was no connection, no statement failed."""
    count(sys.exc_info()[1])


def failure(error: Error) -> str:
    """One line about our database after it failed us."""
    count(error)
    ours = connections[DEFAULT_DB_ALIAS].settings_dict
    return f"DATABASE_URL: {address(ours)} cannot be used ({refusal(ours) or _one_line(error)})."


def refusal(database: Mapping[str, Any]) -> str:
    """Why a connection to it cannot be made, empty if it can. Past the pool, which knows only that none came."""
    options = {name: value for name, value in database["OPTIONS"].items() if name != "pool"}
    probe = ConnectionHandler({DEFAULT_DB_ALIAS: {**database, "OPTIONS": options}})[DEFAULT_DB_ALIAS]
    try:
        with probe.wrap_database_errors:
            probe.connect()
    except Error as error:
        return _one_line(error)
    finally:
        probe.close()
    return ""


def address(database: Mapping[str, Any]) -> str:
    """Its URL without user and password."""
    if database["ENGINE"].endswith("sqlite3"):
        return f"sqlite:///{database['NAME']}"
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"postgres://{database['HOST']}{port}/{database['NAME']}"


def _one_line(error: Error) -> str:
    return " ".join(str(error).split())
