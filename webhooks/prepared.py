"""Statements of ours that are planned once for a connection, which those of Django's own cursor never are."""

from typing import Any

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper


def cursor() -> CursorWrapper:
    """On Postgres one that prepares what it executes; Django's own on SQLite, and for a test that counts statements."""
    if connection.vendor != "postgresql" or connection.force_debug_cursor:
        return connection.cursor()
    connection.validate_thread_sharing()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        prepared: Any = psycopg.Cursor(connection.connection)
    return connection.make_cursor(prepared)
