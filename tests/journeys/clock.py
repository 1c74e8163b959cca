"""The database's clock, moved by the house's: leases, and pauses between two tries, pass as time does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.db.models.functions import Now
from django.utils import timezone

from webhooks import prepared


@contextmanager
def database_time() -> Iterator[None]:
    def now(self: Now, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        cast = "::timestamptz" if connection.vendor == "postgresql" else ""
        return "%s" + cast, [connection.ops.adapt_datetimefield_value(timezone.now())]

    def written_anew(select: prepared.Select[Any], ident: object) -> list[Any]:
        """What is written once would have the first instant for ever."""
        return select.written(ident).rows(ident)

    always = mock.patch.object(prepared.Select, "all", written_anew)
    with mock.patch.multiple(Now, as_sqlite=now, as_postgresql=now), always:
        yield
