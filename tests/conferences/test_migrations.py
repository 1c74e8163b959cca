"""What a migration makes of rows that the house has had before."""

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


@pytest.mark.parametrize(
    ("took_over", "kept"), [(None, "three"), ("one", "one")], ids=["all listen", "one has been taken over"]
)
def test_a_supervisor_who_is_on_several_calls_stays_on_one(took_over: str | None, kept: str) -> None:
    anna, bert = (User.objects.create(username=name) for name in ("anna", "bert"))
    [one_live] = [each for each in SupervisionSession._meta.constraints if each.name == "supervisionsession_one_live"]
    with connection.schema_editor() as editor:
        editor.remove_constraint(SupervisionSession, one_live)
    for number, name in enumerate(("one", "two", "three")):
        SupervisionSession.objects.create(
            call_id=uuid4(),
            supervisor=anna,
            role="monitor",
            reason=name,
            requested_at=NOON + timedelta(seconds=number),
            expires_at=NOON,
            took_over_at=NOON if name == took_over else None,
        )
    others = [
        SupervisionSession.objects.create(
            call_id=uuid4(), supervisor=user, role="monitor", requested_at=NOON, state=state
        )
        for user, state in ((bert, "active"), (anna, "ended"))
    ]
    import_module("conferences.migrations.0005_one_phone_one_call").end_the_earlier_ones(apps, None)
    with connection.schema_editor() as editor:
        editor.add_constraint(SupervisionSession, one_live)
    hers = SupervisionSession.objects.filter(supervisor=anna).exclude(reason="")
    assert [each.reason for each in hers.exclude(state="ended")] == [kept]
    assert {(each.end_reason, each.expires_at) for each in hers.filter(state="ended")} == {("on_another_call", None)}
    assert [each.state for each in others if each.refresh_from_db() is None] == ["active", "ended"]
