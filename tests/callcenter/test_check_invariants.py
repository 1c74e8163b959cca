"""``manage.py check_invariants``: rows that may never be are planted, and each is found by its number."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from callcenter.invariants import INVARIANTS, counts
from conferences.models import CallLeg, Conference, Participant, SupervisionSession
from queues.models import Agent, Call, Offer, Queue, QueueEntry
from tests.callcenter import furniture
from tests.queues import scene
from webhooks import journal
from webhooks.models import Command, WebhookEvent

pytestmark = pytest.mark.django_db


def said() -> tuple[int, list[str]]:
    """Exit code and lines."""
    out = StringIO()
    try:
        call_command("check_invariants", stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def drop_index(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {name}")


def ago(secs: float) -> timedelta:
    return timedelta(seconds=secs)


def offer(call: Call, agent: Agent, **fields: object) -> Offer:
    made = Offer.objects.create(call=call, entry=call.entries.get(), agent=agent, offered_at=timezone.now(), **fields)
    if made.is_live:
        Agent.objects.filter(pk=agent.pk).update(state=Agent.State.RESERVED, live_offer_id=made.pk)
    return made


def double_booked(line: Queue) -> None:
    drop_index("offer_one_live_per_agent")
    anna = scene.agent()
    for name in ("one", "two"):
        offer(scene.waiting(line, name=name), anna)


def offered_twice(line: Queue) -> None:
    drop_index("offer_one_exclusive_per_entry")
    call = scene.waiting(line)
    for name in ("anna", "ben"):
        offer(call, scene.agent(name))


def won_twice(line: Queue) -> None:
    drop_index("offer_one_winner_per_entry")
    call = scene.waiting(line)
    for name in ("anna", "ben"):
        offer(call, scene.agent(name), state=Offer.State.CONNECTING, exclusive=False)


def forgotten(line: Queue) -> None:
    Call.objects.filter(pk=scene.waiting(line).pk).update(next_deadline=timezone.now() - ago(11))


def without_deadline(line: Queue) -> None:
    Call.objects.filter(pk=scene.waiting(line).pk).update(next_deadline=None)


def ringing_for_a_gone_caller(line: Queue) -> None:
    call = scene.waiting(line)
    offer(call, scene.agent())
    CallLeg.objects.filter(pk=call.leg.pk).update(hangup_at=timezone.now() - ago(6))


def overdue(line: Queue) -> None:
    offer(scene.waiting(line), scene.agent(), expires_at=timezone.now() - ago(6))


def reserved_for_nothing(line: Queue) -> None:
    Agent.objects.filter(pk=scene.agent().pk).update(state=Agent.State.RESERVED, live_offer_id=uuid.uuid4())


def available_with_an_offer(line: Queue) -> None:
    made = offer(scene.waiting(line), scene.agent())
    Agent.objects.filter(pk=made.agent_id).update(state=Agent.State.AVAILABLE, live_offer_id=None)


def stuck_event(line: Queue) -> None:
    event = furniture.event("stuck", status=WebhookEvent.Status.NEW)
    WebhookEvent.objects.filter(pk=event.pk).update(received_at=timezone.now() - ago(11))


def command(name: str, **fields: object) -> Command:
    words = {"kind": "hang_up", "dedupe_key": name, "operation": "calls.hangup", "created_at": timezone.now()}
    return Command.objects.create(**{**words, **fields})


def done_twice(line: Queue) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE webhooks_command DROP CONSTRAINT command_one_per_intent")
    for _ in range(2):
        command("leg", state=Command.State.ACCEPTED)


def in_limbo(line: Queue) -> None:
    command("leg", state=Command.State.UNKNOWN, created_at=timezone.now() - ago(91))


def without_effect(line: Queue) -> None:
    since = timezone.now() - ago(91)
    command("leg", state=Command.State.ACCEPTED, created_at=since, closed_at=since)


def dead_event(line: Queue) -> None:
    furniture.event("dead", status=WebhookEvent.Status.DEAD)


def listener(line: Queue) -> None:
    scene.listening(scene.talking(line), "monitor")


def whispering_to_the_caller(line: Queue) -> None:
    call = scene.talking(line)
    seat = scene.listening(call, "whisper")
    Participant.objects.filter(pk=seat.pk).update(whisper_call_control_ids=[call.leg.call_control_id])


def lonely(line: Queue) -> None:
    call = scene.talking(line)
    agent_seat = Participant.objects.get(conference__call_id=call.pk, leg__role="agent")
    Participant.objects.filter(conference__call_id=call.pk).update(joined_at=timezone.now() - ago(30))
    Participant.objects.filter(pk=agent_seat.pk).update(left_at=timezone.now() - ago(11))


def in_two_places(line: Queue) -> None:
    call = scene.talking(line)
    other = Conference.objects.create(conference_id="another", call_id=call.pk, created_at=timezone.now())
    Participant.objects.create(conference=other, leg=call.leg, joined_at=timezone.now())


def alive_after_its_end(line: Queue) -> None:
    offer(scene.waiting(line), scene.agent(), ended_at=timezone.now())


def ended_before_it_began(line: Queue) -> None:
    QueueEntry.objects.filter(call=scene.waiting(line)).update(ended_at=timezone.now() - ago(60))


def session_after_its_end(line: Queue) -> None:
    furniture.furnish("one")
    SupervisionSession.objects.update(ended_at=timezone.now())


@pytest.mark.parametrize(
    ("number", "plant"),
    [
        ("I1", double_booked),
        ("I2", offered_twice),
        ("I2", won_twice),
        ("I3", forgotten),
        ("I3", without_deadline),
        ("I4", ringing_for_a_gone_caller),
        ("I5", overdue),
        ("I6", reserved_for_nothing),
        ("I6", available_with_an_offer),
        ("I8", stuck_event),
        # SQLite keeps this constraint in its table, where a test cannot take it away.
        pytest.param("I9", done_twice, marks=pytest.mark.postgres),
        ("I10", in_limbo),
        ("I10", without_effect),
        ("I11", dead_event),
        ("I12", listener),
        ("I13", whispering_to_the_caller),
        ("I14", lonely),
        ("I15", in_two_places),
        ("I16", alive_after_its_end),
        ("I16", ended_before_it_began),
        ("I16", session_after_its_end),
    ],
)
def test_what_may_never_be_is_named_on_a_line_of_its_own(number: str, plant: Callable[[Queue], None]) -> None:
    plant(scene.queue())
    code, lines = said()
    assert code == 1
    assert number in {line.split()[0] for line in lines}
    assert counts(timezone.now())[number] >= 1


def test_every_invariant_is_planted_above() -> None:
    [mark] = [m for m in test_what_may_never_be_is_named_on_a_line_of_its_own.pytestmark if m.name == "parametrize"]
    planted = {case.values[0] if hasattr(case, "values") else case[0] for case in mark.args[1]}
    assert planted == set(INVARIANTS)


def test_a_house_at_work_violates_nothing() -> None:
    line = scene.queue()
    scene.waiting(line, name="waits")
    call = scene.talking(line, name="talks")
    journal.note(call.pk, "answered", at=timezone.now())
    assert said() == (0, [f"{len(INVARIANTS)} invariants hold."])
    assert set(counts(timezone.now()).values()) == {0}
