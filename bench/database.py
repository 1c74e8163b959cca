"""A database of a bench's own, on the server that ``DATABASE_URL`` names (default: Postgres on this machine)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

SERVER = os.environ.get("DATABASE_URL") or "postgres://postgres@127.0.0.1:5432/postgres"


@contextmanager
def own_database(prefix: str = "bench") -> Iterator[str]:
    """Make a new database; yields its URL, and drops it in the end."""
    name = f"{prefix}_{os.getpid()}"
    named = sql.Identifier(name)
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(named))
        try:
            yield urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(named))
