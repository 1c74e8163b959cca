"""Statements of ours that are written once for a process and planned once for a connection.

Django writes each anew, and has Postgres plan it anew: for most of those that a call is made of that is more work than
carrying them out.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.backends.utils import CursorWrapper
from django.db.models import query
from django.db.models.sql import UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

orm: Any = query  # what it does for a row of its own; its types are a later version's
M = TypeVar("M", bound=models.Model)
Ident = Any  # a UUID, a whole number or a text


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


class Question(Generic[M]):
    """A query of the ORM's that differs by one id only.

    ``write`` is asked for it once, with any id; it may join, and defer fields, but has no annotations.
    """

    def __init__(self, write: Callable[[Ident], models.QuerySet[M]]) -> None:
        self._write = write
        self._plan: _Plan[M] | None = None

    def all(self, ident: Ident) -> list[M]:
        if self._plan is None:
            self._plan = self._written(_stand_in(ident))
        return self._plan.rows(ident)

    def first(self, ident: Ident) -> M | None:
        """Of a query that brings one row at most."""
        return next(iter(self.all(ident)), None)

    def _written(self, stand_in: Ident) -> "_Plan[M]":
        compiler = self._write(stand_in).query.get_compiler(DEFAULT_DB_ALIAS)
        sql, words = compiler.as_sql()
        return _Plan(*_with_a_place(sql, words, stand_in), _Shape(compiler))


class Change(Question[M]):
    """The same for a conditional update: ``write`` says of which rows, ``values`` what they become. Brings those it
    has changed, as they are now.
    """

    def __init__(self, write: Callable[[Ident], models.QuerySet[M]], values: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(write)
        self._values = values

    def _written(self, stand_in: Ident) -> "_Plan[M]":
        rows = self._write(stand_in)
        update: Any = rows.query.chain(UpdateQuery)
        update.add_update_values(self._values())
        sql, words = update.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        compiler = rows.model._base_manager.all().query.get_compiler(DEFAULT_DB_ALIAS)
        compiler.as_sql()
        every = _columns(rows.model._meta.concrete_fields)
        return _Plan(*_with_a_place(f"{sql} RETURNING {every}", words, stand_in), _Shape(compiler))


def insert(row: models.Model) -> bool:
    """Write a new row, and take its number from the database; False if a unique constraint of its table has one like it
    already, and nothing is written."""
    fields, statement = _insertion(type(row), connection.vendor)
    words = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    with cursor() as executing:
        executing.execute(statement, words)
        written = executing.fetchone()
    if written is None:
        return False
    row.pk, row._state.adding, row._state.db = written[0], False, DEFAULT_DB_ALIAS
    return True


@lru_cache
def _insertion(model: type[models.Model], vendor: str) -> tuple[Sequence[Any], str]:
    """What it writes, and how. A number of its own is the database's to give."""
    table = model._meta
    fields = [field for field in table.concrete_fields if not isinstance(field, models.AutoField | models.BigAutoField)]
    places = ", ".join(["%s"] * len(fields))
    return fields, (
        f"INSERT INTO {table.db_table} ({_columns(fields)}) VALUES ({places})"  # noqa: S608
        f" ON CONFLICT DO NOTHING RETURNING {table.pk.column}"
    )


def _columns(fields: Iterable[Any]) -> str:
    return ", ".join(connection.ops.quote_name(field.column) for field in fields)


_ASKED = object()  # where the id goes, among a statement's words
_UUID = models.UUIDField()


def _stand_in(ident: Any) -> Any:
    """An id of the same kind that no row has."""
    match ident:
        case uuid.UUID():
            return uuid.UUID("0d1f4c1e-9a27-4b7c-8c53-5e6f2a8b9d31")
        case int():
            return 2**62 - 57
        case _:
            return "stands in for an id"


def _word(ident: Any) -> Any:
    """As this database takes it."""
    return _UUID.get_db_prep_value(ident, connection) if isinstance(ident, uuid.UUID) else ident


def _with_a_place(sql: str, words: Sequence[Any], stand_in: Any) -> tuple[str, tuple[Any, ...]]:
    """The statement, and the words that go with it, ``_ASKED`` among them.

    On Postgres the id is the only one: what is the same each time stands in the statement itself, as a plan that is
    made once and does not know it can use no partial index.
    """
    asked = _word(stand_in)
    marked = tuple(_ASKED if word == asked else word for word in words)
    assert _ASKED in marked, "the query does not ask for the id"  # noqa: S101
    if connection.vendor != "postgresql":
        return sql, marked
    postgres: Any = connection.ops
    written, place = postgres.compose_sql(sql, words), postgres.compose_sql("%s", [asked])
    return written.replace("%", "%%").replace(place, "%s"), (_ASKED,) * marked.count(_ASKED)


class _Shape(Generic[M]):
    """How rows of a compiled query become instances: what ``ModelIterable`` finds out anew for each."""

    def __init__(self, compiler: SQLCompiler) -> None:
        assert not compiler.annotation_col_map  # noqa: S101
        described: Any = compiler.klass_info
        fields = described["select_fields"]
        self.model: type[M] = described["model"]
        self.span = slice(fields[0], fields[-1] + 1)
        self.names = [column[0].target.attname for column in compiler.select[self.span]]
        self.related = orm.get_related_populators(described, compiler.select, DEFAULT_DB_ALIAS)
        self.converters = list(compiler.get_converters([column[0] for column in compiler.select]).items())

    def instances(self, rows: Sequence[Sequence[Any]]) -> Iterator[M]:
        for row in map(list, rows):
            for place, (converters, expression) in self.converters:
                for converter in converters:
                    row[place] = converter(row[place], expression, connection)
            instance = self.model.from_db(DEFAULT_DB_ALIAS, self.names, row[self.span])
            for each in self.related:
                each.populate(row, instance)
            yield instance


@dataclass(frozen=True, slots=True)
class _Plan(Generic[M]):
    sql: str
    words: tuple[Any, ...]
    shape: _Shape[M]

    def rows(self, ident: Any) -> list[M]:
        asked = _word(ident)
        with cursor() as executing:
            executing.execute(self.sql, [asked if word is _ASKED else word for word in self.words])
            found = executing.fetchall()
        return list(self.shape.instances(found))
