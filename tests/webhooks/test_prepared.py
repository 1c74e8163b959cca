"""Statements written once: they bring what the ORM brings, for the id that is asked for."""

import contextlib
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, models, transaction
from django.db.models import F
from django.forms.models import model_to_dict

from conferences.models import CallLeg, Conference, Participant
from webhooks import outbox
from webhooks.models import Command, JournalEntry
from webhooks.prepared import Select, Update, insert

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def seat(name: str) -> Participant:
    leg = CallLeg.objects.create(call_control_id=f"leg-{name}", answered_at=NOON)
    call_id = uuid.uuid5(uuid.NAMESPACE_OID, name)
    conference = Conference.objects.create(conference_id=f"conference-{name}", call_id=call_id)
    return Participant.objects.create(
        conference=conference, leg=leg, joined_at=NOON + timedelta(seconds=1), whisper_call_control_ids=["one", "two"]
    )


def command(name: str, **words: object) -> Command:
    return Command(
        kind="deed", dedupe_key=name, operation="calls.speak", created_at=NOON, arguments={"payload": name}, **words
    )


def fields(row: models.Model) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_question_brings_what_the_query_brings_for_each_id() -> None:
    def seats(call_id: uuid.UUID) -> "models.QuerySet[Participant]":
        return Participant.objects.filter(conference__call_id=call_id).select_related("conference", "leg")

    question = Select(seats)
    for one in (seat("anna"), seat("bert")):
        call_id = one.conference.call_id
        assert call_id is not None
        (found,) = question.all(call_id)
        assert fields(found) == fields(seats(call_id).get())
        assert (found.whisper_call_control_ids, found.joined_at) == (["one", "two"], one.joined_at)
        assert "leg" in found._state.fields_cache
        assert fields(found.leg) == fields(one.leg)
        assert fields(found.conference) == fields(one.conference)
        found.muted = True
        found.save()
        assert Participant.objects.get(pk=one.pk).muted
    assert question.all(uuid.uuid4()) == []


def test_a_question_of_a_few_fields_leaves_the_rest_to_be_fetched() -> None:
    first, second = command("first", call_id=uuid.uuid4()), command("second", call_id=uuid.uuid4())
    assert insert(first)
    assert insert(second)
    question = Select(lambda call_id: Command.objects.filter(call_id=call_id).only("kind", "dedupe_key"))
    for each in (first, second):
        found = question.first(each.call_id)
        assert found is not None
        assert (found.pk, found.dedupe_key) == (each.pk, each.dedupe_key)
        assert "arguments" in found.get_deferred_fields()
        assert found.arguments == each.arguments


def test_where_nothing_is_pointed_to_there_is_none() -> None:
    written = command("nobody's")
    assert insert(written)
    found = Select(lambda pk: Command.objects.filter(pk=pk).select_related("actor")).first(written.pk)
    assert found is not None
    assert found.actor is None


def test_a_question_may_be_asked_by_a_text() -> None:
    question = Select(lambda name: CallLeg.objects.filter(call_control_id=name))
    for name in ("anna", "it's 100 %"):
        seat(name)
        found = question.first(f"leg-{name}")
        assert found is not None
        assert found.call_control_id == f"leg-{name}"
    assert question.first("leg-nobody") is None


def test_a_question_by_one_kind_of_id_is_none_by_another() -> None:
    """On SQLite a UUID's text is another than Django keeps."""
    written = seat("anna").conference
    question = Select(lambda pk: Conference.objects.filter(pk=pk))
    assert question.first(written.pk) == written
    with pytest.raises(AssertionError, match="is no UUID"):
        question.first(str(written.pk))


def test_a_question_is_asked_again_after_something_was_rolled_back() -> None:
    """Postgres's client forgets then what it has prepared."""
    row = command("one")
    assert insert(row)
    question = Select(lambda pk: Command.objects.filter(pk=pk))
    for _ in range(2):
        assert question.first(row.pk) == row
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            assert question.first(row.pk) == row
            assert 1 / 0


def test_a_question_that_does_not_ask_for_the_id_is_none() -> None:
    with pytest.raises(AssertionError, match="does not ask for the id"):
        Select(lambda call_id: Command.objects.filter(kind="deed")).all(uuid.uuid4())


def test_a_change_changes_those_it_is_about_and_brings_them_as_they_are_now() -> None:
    rows = [command("one"), command("two"), command("three", state=Command.State.ACCEPTED)]
    assert all(map(insert, rows))
    change = Update(
        lambda pk: Command.objects.filter(pk=pk, state=Command.State.NEW),
        lambda: {"fence": F("fence") + 1, "state": Command.State.SENT},
    )
    for row in rows[:2]:
        (found,) = change.all(row.pk)
        assert (found.fence, found.state, found.arguments) == (1, Command.State.SENT, row.arguments)
        assert fields(found) == fields(Command.objects.get(pk=row.pk))
        assert change.first(row.pk) is None
    assert change.first(rows[2].pk) is None
    assert model_to_dict(Command.objects.get(pk=rows[2].pk)) == model_to_dict(rows[2])


def test_an_insert_writes_the_row_as_the_orm_would_and_numbers_it() -> None:
    line = JournalEntry(call_id=uuid.uuid4(), number=1, at=NOON, kind="arrived", facts={"queue": "support"})
    assert insert(line)
    assert fields(JournalEntry.objects.get()) == fields(line)
    line.kind = "entered"
    line.save()
    assert JournalEntry.objects.get().kind == "entered"


def test_an_insert_of_what_is_there_writes_nothing_and_breaks_nothing() -> None:
    with transaction.atomic():
        assert insert(command("one"), one_per=("kind", "dedupe_key"))
        assert not insert(command("one"), one_per=("kind", "dedupe_key"))
        assert insert(command("two"), one_per=("kind", "dedupe_key"))
    assert Command.objects.count() == 2


@pytest.mark.postgres
def test_each_is_planned_once_for_a_connection_with_all_that_is_the_same_each_time() -> None:
    question = Select(lambda call: Command.objects.filter(call_id=call, kind="100 % planned", state=Command.State.NEW))
    for _ in range(3):
        question.all(uuid.uuid4())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans, custom_plans, parameter_types::text FROM pg_prepared_statements"
            " WHERE statement LIKE %s AND statement LIKE %s",
            ["%= '100 \\% planned'%", "%= 'new'%"],
        )
        assert cursor.fetchall() == [(3, 0, "{uuid}")]


@pytest.mark.postgres
@pytest.mark.parametrize(("question", "ident"), [(outbox._FOLLOWING, "leg"), (outbox._LEASED, 1)])
def test_a_plan_made_once_finds_open_commands_by_their_index(question: Select[Command], ident: str | int) -> None:
    """It would not, if it did not know which states are meant."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        question.all(ident)
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%webhooks_command%'")
        [(name,)] = cursor.fetchall()
        cursor.execute(f'EXPLAIN EXECUTE "{name}" (%s)', [ident])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "command_open" in plan, plan
