"""Questions that the ORM cannot ask, the same for SQLite and Postgres but for what makes and reads JSON arrays."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from queues.models import Queue

_WORDS = {
    "postgresql": {"all_of": "json_agg", "array": "json_build_array", "key": "heads -> 0 ->> 0"},
    "sqlite": {"all_of": "json_group_array", "array": "json_array", "key": "json_extract(heads, '$[0][0]')"},
}


def asked(sql: str, words: Iterable[Any], **parts: str) -> list[tuple[Any, ...]]:
    """The rows of a query. ``parts`` are written into it, ``words`` go beside it."""
    with connection.cursor() as cursor:
        cursor.execute(sql.format(**_WORDS[connection.vendor], **parts), [_word(word) for word in words])
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _word(value: Any) -> Any:
    """As this database takes it."""
    match value:
        case UUID():
            return Queue._meta.pk.get_db_prep_value(value, connection)
        case datetime():
            return connection.ops.adapt_datetimefield_value(value)
    return value


def array(said: Any) -> list[Any]:
    """A JSON array of the query's; an empty one may be NULL."""
    found: list[Any] = json.loads(said or "[]") if said is None or isinstance(said, str) else said
    return found


def instant(said: str) -> datetime:
    """An instant in JSON; SQLite writes UTC and does not say so."""
    moment = datetime.fromisoformat(said)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def ident(said: Any) -> str:
    """An id, as a state has it. Postgres writes it so in JSON."""
    return said if isinstance(said, str) and len(said) == 36 else str(said if isinstance(said, UUID) else UUID(said))
