"""What differs between Postgres and SQLite in the settings: the one vendor-switched place.

Both run the same code. Only connection options differ; statements, leases and constraints are ORM everywhere.
"""

from typing import Any

POSTGRES = {
    # The pool keeps connections; Django refuses it together with CONN_MAX_AGE.
    "CONN_MAX_AGE": 0,
    # Without it, the first requests after a database restart fail (6 of 24 measured, with it 0).
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        # psycopg's default timeout of 30 s would hang every web thread while the database is down.
        "pool": {"min_size": 1, "max_size": 8, "timeout": 2},
        "connect_timeout": 3,
        # A statement, a lock or a forgotten transaction may not hold up the call path for longer than this.
        "options": ("-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"),
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
