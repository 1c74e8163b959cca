"""Statements of ours that are written once for a process, and planned once for a connection until something is rolled
back there.

Django writes each anew, and has Postgres plan it anew: for most of those that a call is made of that is more work than
carrying them out.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.backends.utils import CursorWrapper
from django.db.models import query
from django.db.models.sql import UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

_internal: Any = query  # get_related_populators, which is Django's own and not documented
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


def word(value: Any) -> Any:
    """As this database takes it, among a statement's words."""
    match value:
        case uuid.UUID():
            return _UUID.get_db_prep_value(value, connection)
        case datetime():
            return connection.ops.adapt_datetimefield_value(value)
    return value


_UUID = models.UUIDField()


class Select(Generic[M]):
    """A query of the ORM's that differs by one id only.

    ``write`` is asked for it once, with any id, so whatever else may differ (the time) is the database's to say. It may
    join, and defer fields, but has no annotations.
    """

    def __init__(self, write: Callable[[Ident], models.QuerySet[M]]) -> None:
        self._write = write
        self._plan: _Plan[M] | None = None

    def all(self, ident: Ident) -> list[M]:
        if self._plan is None:
            self._plan = self.written(_stand_in(ident))
        return self._plan.rows(ident)

    def first(self, ident: Ident) -> M | None:
        """Of a query that brings one row at most."""
        return next(iter(self.all(ident)), None)

    def written(self, stand_in: Ident) -> "_Plan[M]":
        return _Plan(*self._statement(self._write(stand_in)), stand_in)

    def _statement(self, rows: models.QuerySet[M]) -> tuple[str, Sequence[Any], "_Shape[M]"]:
        compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
        sql, words = compiler.as_sql()
        return sql, words, _Shape(compiler)


class Update(Select[M]):
    """The same for a conditional update: ``write`` says of which rows, ``values`` what they become. Brings those it
    has changed, as they are now.
    """

    def __init__(self, write: Callable[[Ident], models.QuerySet[M]], values: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(write)
        self._values = values

    def _statement(self, rows: models.QuerySet[M]) -> tuple[str, Sequence[Any], "_Shape[M]"]:
        update: Any = rows.query.chain(UpdateQuery)
        update.add_update_values(self._values())
        sql, words = update.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        _, _, shape = super()._statement(rows.model._base_manager.all())
        return f"{sql} RETURNING {_columns(rows.model._meta.concrete_fields)}", words, shape


def insert(row: models.Model, *, one_per: Sequence[str] = ()) -> bool:
    """Write a new row, and take its number from the database. False, and nothing is written, if there is one already
    with the same ``one_per``, the fields of a unique constraint."""
    fields, statement = _insertion(type(row), tuple(one_per))
    words = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    with cursor() as executing:
        executing.execute(statement, words)
        written = executing.fetchone()
    if written is None:
        return False
    row.pk, row._state.adding, row._state.db = written[0], False, DEFAULT_DB_ALIAS
    return True


@lru_cache
def _insertion(model: type[models.Model], one_per: tuple[str, ...]) -> tuple[Sequence[Any], str]:
    """What it writes, and how. A number of its own is the database's to give."""
    table = model._meta
    fields = [field for field in table.concrete_fields if not isinstance(field, models.AutoField | models.BigAutoField)]
    places = ", ".join(["%s"] * len(fields))
    unless = f" ON CONFLICT ({_columns(map(table.get_field, one_per))}) DO NOTHING" if one_per else ""
    return fields, (
        f"INSERT INTO {connection.ops.quote_name(table.db_table)} ({_columns(fields)}) VALUES ({places})"  # noqa: S608
        f"{unless} RETURNING {_columns([table.pk])}"
    )


def _columns(fields: Iterable[Any]) -> str:
    return ", ".join(connection.ops.quote_name(field.column) for field in fields)


# -------------------------------------------------------------------------------------------------------------

_ASKED: Any = object()  # where the id goes, among a statement's words


def _stand_in(ident: Ident) -> Ident:
    """An id of the same kind that no row has."""
    match ident:
        case uuid.UUID():
            return uuid.UUID("0d1f4c1e-9a27-4b7c-8c53-5e6f2a8b9d31")
        case int():
            return 2**62 - 57
        case _:
            return "stands in for an id"


class _Plan(Generic[M]):
    """A statement, and the words that go with it, ``_ASKED`` among them.

    On Postgres the id is the only one: what is the same each time stands in the statement itself, as a plan that is
    made once and does not know it can use no partial index.
    """

    def __init__(self, sql: str, words: Sequence[Any], shape: "_Shape[M]", stand_in: Ident) -> None:
        asked = word(stand_in)
        self._kind = type(stand_in)
        self._shape = shape
        self._sql = sql
        self._words = tuple(_ASKED if each == asked else each for each in words)
        assert _ASKED in self._words, "the query does not ask for the id"  # noqa: S101
        if connection.vendor == "postgresql":
            postgres: Any = connection.ops
            written, place = postgres.compose_sql(sql, words), postgres.compose_sql("%s", [asked])
            self._sql = written.replace("%", "%%").replace(place, "%s")
            self._words = (_ASKED,) * self._words.count(_ASKED)

    def rows(self, ident: Ident) -> list[M]:
        assert isinstance(ident, self._kind), f"{ident!r} is no {self._kind.__name__}"  # noqa: S101
        asked = word(ident)
        with cursor() as executing:
            executing.execute(self._sql, [asked if each is _ASKED else each for each in self._words])
            found = executing.fetchall()
        return list(self._shape.instances(found))


class _Shape(Generic[M]):
    """How rows of a compiled query become instances: what ``ModelIterable`` finds out anew for each."""

    def __init__(self, compiler: SQLCompiler) -> None:
        assert not compiler.annotation_col_map  # noqa: S101
        described: Any = compiler.klass_info
        fields = described["select_fields"]
        self._model: type[M] = described["model"]
        self._span = slice(fields[0], fields[-1] + 1)
        self._names = [column[0].target.attname for column in compiler.select[self._span]]
        self._related = _internal.get_related_populators(described, compiler.select, DEFAULT_DB_ALIAS)
        self._converters = list(compiler.get_converters([column[0] for column in compiler.select]).items())

    def instances(self, rows: Iterable[Sequence[Any]]) -> Iterator[M]:
        for row in map(list, rows):
            for place, (converters, expression) in self._converters:
                for converter in converters:
                    row[place] = converter(row[place], expression, connection)
            instance = self._model.from_db(DEFAULT_DB_ALIAS, self._names, row[self._span])
            for each in self._related:
                each.populate(row, instance)
            yield instance
