"""Fixtures for every test."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from pytest_django import DjangoDbBlocker
from redis import RedisError

from webhooks import breaker, nudge

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the database runs on both backends; what means something on Postgres only, there only.

    What takes minutes goes first: at the end one process would work on it while the others have nothing left.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    on_sqlite = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
    skip = pytest.mark.skip(reason="means something on Postgres only: name one in DATABASE_URL")
    for item in items:
        if item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("backend")
        if on_sqlite and item.get_closest_marker("postgres"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A test's thread may leave its connection open, and Postgres drops no database that somebody is in."""
    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "postgresql":
            patch.setattr(connection.ops, "sql_flush", _emptied)
        yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            with connection.cursor() as cursor:
                cursor.execute(others + "AND pid <> pg_backend_pid()")


def _emptied(style: object, tables: Iterable[str], **_: Any) -> list[str]:
    """After a test that commits: truncating makes new files of every table and index, deleting its few rows none."""
    return [f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables]


@pytest.fixture(scope="session")
def telnyx_spec_dir() -> Path:
    """Telnyx's own specification, read in place."""
    folder = os.environ.get("TELNYX_SPEC_DIR")
    if not folder:
        pytest.skip("needs Telnyx's specification: name its folder in TELNYX_SPEC_DIR")
    return Path(folder)


@pytest.fixture(autouse=True)
def _nobody_is_nudged() -> Iterator[None]:
    """Hints go nowhere unless a test says where: the thread that publishes them would outlive its test."""
    before = nudge.set_sink(lambda task, ident: None)
    yield
    nudge.set_sink(before)


@pytest.fixture(autouse=True)
def _telnyx_is_not_known_yet() -> None:
    """What the test before saw of it was of other rows, and is believed for a second."""
    breaker._Copy.seen, breaker._Copy.redis_from = None, 0.0
    with contextlib.suppress(RedisError):
        cache.delete(breaker.KEY)
