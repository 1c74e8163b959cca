"""Questions that the ORM cannot ask, or not in one go: several in one round trip, each answered in texts.

The two databases differ in a few words, which are a ``Dialect``'s. An answer's row is one text, of fields with tabs
between them or of such rows with newlines between them; none of our values holds either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection

from webhooks import prepared


class Dialect:
    """The words in which databases differ: Postgres's, unless overridden."""

    @staticmethod
    def epoch(instant: str) -> str:
        """Seconds since 1970, with their fraction."""
        return f"extract(epoch FROM {instant})"

    @staticmethod
    def listed(record: str, between: str = "\n") -> str:
        return f"string_agg({record}, '{between}')"

    @staticmethod
    def first_field(records: str) -> str:
        return f"split_part({records}, '\t', 1)"


class _SQLite(Dialect):
    @staticmethod
    def epoch(instant: str) -> str:
        return f"(strftime('%%s', substr({instant}, 1, 19)) || substr({instant}, 20))"

    @staticmethod
    def listed(record: str, between: str = "\n") -> str:
        return f"group_concat({record}, '{between}')"

    @staticmethod
    def first_field(records: str) -> str:
        return f"substr({records}, 1, instr({records}, '\t') - 1)"


def record(*fields: str) -> str:
    return " || '\t' || ".join(fields)


def or_empty(field: str) -> str:
    return f"coalesce(CAST({field} AS text), '')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``select`` writes a query of one column, ``answer``, for a dialect and ``variants``; ``words`` go beside it."""

    select: Callable[..., str]
    words: Sequence[Any] = ()
    variants: tuple[int, ...] = ()


def asked(*questions: Question) -> list[list[str]]:
    """The rows that answer each of them, in one round trip."""
    answers: list[list[str]] = [[] for _ in questions]
    statement = _statement(connection.vendor, tuple((each.select, each.variants) for each in questions))
    with prepared.cursor() as cursor:
        cursor.execute(statement, [prepared.word(word) for each in questions for word in each.words])
        for number, row in cursor.fetchall():
            answers[number].append(row)
    return answers


@lru_cache(maxsize=500)
def _statement(vendor: str, selects: Sequence[tuple[Callable[..., str], tuple[int, ...]]]) -> str:
    dialect = _SQLite() if vendor == "sqlite" else Dialect()
    parts = (
        f"SELECT {number}, answer FROM ({select(dialect, *variants)}) AS question_{number}"
        for number, (select, variants) in enumerate(selects)
    )
    return "\nUNION ALL\n".join(parts)


def places(count: int) -> str:
    """Where so many words go."""
    return ", ".join(["%s"] * count)


def ident(said: str) -> str:
    """An id, as a state has it."""
    return said if len(said) == 36 else str(UUID(said))


def floor(said: str) -> int:
    """Whole seconds of an ``epoch``, the last that was over."""
    return int(said.partition(".")[0])


def ceiling(said: str) -> int:
    whole, _, fraction = said.partition(".")
    return int(whole) + bool(fraction.strip("0"))
