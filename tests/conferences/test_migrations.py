"""What a migration makes of rows that the house has had before."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection

from conferences.models import SupervisionSession

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@contextmanager
def as_it_was_before() -> Iterator[None]:
    """Without the constraint that the migration makes."""
    [one_live] = [each for each in SupervisionSession._meta.constraints if each.name == "supervisionsession_one_live"]
    with connection.schema_editor() as editor:
        editor.remove_constraint(SupervisionSession, one_live)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.add_constraint(SupervisionSession, one_live)


@pytest.mark.parametrize(
    ("took_over", "kept"), [(None, "three"), ("one", "one")], ids=["all listen", "one has been taken over"]
)
def test_a_supervisor_who_is_on_several_calls_stays_on_one(took_over: str | None, kept: str) -> None:
    anna, bert = (User.objects.create(username=name) for name in ("anna", "bert"))
    migration = import_module("conferences.migrations.0005_one_phone_one_call")

    def session(user: User, secs: float, **words: object) -> SupervisionSession:
        at = NOON + timedelta(seconds=secs)
        known = {"role": "monitor", "requested_at": at, "expires_at": at} | words
        return SupervisionSession.objects.create(call_id=uuid4(), supervisor=user, **known)

    try:
        with as_it_was_before():
            for number, name in enumerate(("one", "two", "three")):
                session(anna, number, reason=name, took_over_at=NOON if name == took_over else None)
            others = [session(bert, 0, state="active"), session(anna, 9, state="ended")]
            migration.end_the_earlier_ones(apps, None)
            hers = SupervisionSession.objects.filter(supervisor=anna).exclude(reason="")
            assert [each.reason for each in hers.exclude(state="ended")] == [kept]
            ended = {(each.end_reason, each.expires_at) for each in hers.filter(state="ended")}
            assert ended == {("on_another_call", None)}
            assert [each.state for each in others if each.refresh_from_db() is None] == ["active", "ended"]
    finally:
        SupervisionSession.objects.all().delete()
