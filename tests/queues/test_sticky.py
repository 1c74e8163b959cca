"""Whom a call is kept for: noted as its stay opens, for sticky queues, and shown while it waits."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conferences.models import Role
from queues import engine, services
from queues.engine import sticky
from queues.models import Agent, Call, Offer, Queue, QueueEntry
from tests.queues import scene
from tests.queues.reading import words

pytestmark = pytest.mark.django_db

HOLDS = {"hold_seconds": 60, "max_age": 86_400}


@pytest.fixture
def line() -> Queue:
    return scene.queue(sticky=HOLDS, greeting_text="")


@pytest.fixture
def anna(line: Queue) -> Agent:
    return scene.agent("anna", serves=line)


def ago(**time: float) -> datetime:
    return timezone.now() - timedelta(**time)


def arrived(line: Queue, *, number: str = scene.CALLER, at: datetime | None = None) -> Call:
    """Answered, and not in line yet."""
    at, name = at or timezone.now(), f"call {Call.objects.count()}"
    phone = scene.leg(name, at=at, direction="incoming", role=Role.CUSTOMER, from_number=number, to_number=scene.OURS)
    return Call.objects.create(
        leg=phone, queue=line, from_number=number, to_number=scene.OURS, arrived_at=at, next_deadline=at
    )


def enters(line: Queue, *, number: str = scene.CALLER) -> QueueEntry:
    """A caller rings and is put in line."""
    call = arrived(line, number=number)
    engine.settle(call.pk, now=timezone.now())
    return call.entries.get()


def talked(
    line: Queue, to: Agent, *, began: datetime, ended: datetime | None, number: str = scene.CALLER, **fields: Any
) -> Offer:
    """A call with its conversation; without an end it still goes on."""
    call = arrived(line, number=number, at=began)
    stay = QueueEntry.objects.create(
        call=call, queue=line, number=1, entered_at=began, rank_at=began, state=QueueEntry.State.ENDED
    )
    state = Offer.State.ENDED if ended else Offer.State.CONNECTED
    known = {"state": state, "offered_at": began, "connected_at": began, "ended_at": ended}
    return Offer.objects.create(call=call, entry=stay, agent=to, **known | fields)


# who it is ---------------------------------------------------------------------------------------------------


def test_the_second_call_of_a_number_is_kept_for_the_agent_of_the_first(line: Queue, anna: Agent) -> None:
    assert enters(line).preferred_agent is None
    talk = talked(line, anna, began=ago(hours=2), ended=ago(hours=1))
    stay = enters(line)
    assert (stay.preferred_agent, stay.preferred_agent_at) == (anna, talk.ended_at)
    assert enters(line, number="+447700900124").preferred_agent is None


@pytest.mark.parametrize("number", ["anonymous", "Restricted", "+anonymous", "", "sip:bob@example.com", "0", "+0"])
def test_whoever_withholds_his_number_prefers_nobody(line: Queue, anna: Agent, number: str) -> None:
    talked(line, anna, began=ago(hours=2), ended=ago(hours=1), number=number)
    stay = enters(line, number=number)
    assert (stay.preferred_agent, stay.preferred_agent_at) == (None, None)


@pytest.mark.parametrize("setting", [None, {}])
def test_a_queue_that_is_not_sticky_does_not_even_ask(line: Queue, anna: Agent, setting: Any) -> None:
    talked(line, anna, began=ago(hours=2), ended=ago(hours=1))
    line.sticky = setting
    stay = QueueEntry(call=arrived(line), queue=line)
    with CaptureQueriesContext(connection) as asked:
        sticky.prefer(stay, now=timezone.now())
    assert not asked.captured_queries
    assert stay.preferred_agent is None


def test_a_sticky_queue_asks_once(line: Queue, anna: Agent) -> None:
    talked(line, anna, began=ago(hours=2), ended=ago(hours=1))
    stay = QueueEntry(call=arrived(line), queue=line)
    with CaptureQueriesContext(connection) as asked:
        sticky.prefer(stay, now=timezone.now())
    assert len(asked) == 1
    assert stay.preferred_agent == anna


def test_the_agent_who_talked_last_is_preferred(line: Queue, anna: Agent) -> None:
    ben = scene.agent("ben")
    talked(line, anna, began=ago(hours=9), ended=ago(hours=1))  # began first and ended last
    talked(line, ben, began=ago(hours=3), ended=ago(hours=2))
    assert enters(line).preferred_agent == anna
    talk = talked(line, ben, began=ago(hours=4), ended=None)
    stay = enters(line)
    assert (stay.preferred_agent, stay.preferred_agent_at) == (ben, talk.connected_at)


def test_only_who_was_connected_has_talked(line: Queue, anna: Agent) -> None:
    ben = scene.agent("ben")
    talked(line, anna, began=ago(hours=3), ended=ago(hours=2))
    talked(line, ben, began=ago(hours=1), ended=ago(minutes=1), connected_at=None, state=Offer.State.DECLINED)
    assert enters(line).preferred_agent == anna


def test_a_later_call_is_not_an_earlier_one(line: Queue, anna: Agent) -> None:
    stay = QueueEntry(call=arrived(line, at=ago(minutes=10)), queue=line)
    talked(line, anna, began=ago(minutes=5), ended=ago(minutes=1))
    sticky.prefer(stay, now=timezone.now())
    assert stay.preferred_agent is None


@pytest.mark.parametrize(("age", "counts"), [(86_399, True), (86_402, False)])
def test_what_is_older_than_max_age_is_not_noted(line: Queue, anna: Agent, age: int, counts: bool) -> None:
    talked(line, anna, began=ago(days=3), ended=ago(seconds=age))
    stay = enters(line)
    assert (stay.preferred_agent is not None, stay.preferred_agent_at is not None) == (counts, counts)
    Queue.objects.update(sticky={"hold_seconds": 60})
    assert enters(line).preferred_agent == anna


def test_of_a_number_the_latest_calls_are_looked_at(line: Queue, anna: Agent) -> None:
    talked(line, anna, began=ago(hours=2), ended=ago(hours=1))
    for _ in range(sticky.CALLS_LOOKED_AT - 1):
        arrived(line, at=ago(minutes=1))
    assert enters(line).preferred_agent == anna  # and this is one more
    assert enters(line).preferred_agent is None


# other stays of a call ---------------------------------------------------------------------------------------


def test_another_queue_asks_for_itself(line: Queue, anna: Agent) -> None:
    talked(line, anna, began=ago(hours=2), ended=ago(hours=1))
    stay = enters(line)
    plain = services.requeue(stay.call, now=timezone.now(), queue=scene.queue("plain"))
    plain.refresh_from_db()
    assert (plain.preferred_agent, plain.preferred_agent_at) == (None, None)
    back = services.requeue(stay.call, now=timezone.now(), queue=line)
    back.refresh_from_db()
    assert (back.preferred_agent, back.preferred_agent_at) == (anna, stay.preferred_agent_at)
    brief = services.requeue(stay.call, now=timezone.now(), queue=scene.queue("brief", sticky=HOLDS | {"max_age": 9}))
    assert brief.preferred_agent is None


def test_the_agent_who_sends_a_caller_back_is_not_waited_for(line: Queue, anna: Agent) -> None:
    call = scene.talking(line, to=anna)
    assert services.requeue(call, now=timezone.now()).preferred_agent is None
    ben = scene.agent("ben")
    talked(line, ben, began=ago(hours=3), ended=ago(hours=2))
    talked(line, anna, began=ago(hours=2), ended=ago(hours=1))
    assert services.requeue(call, now=timezone.now()).preferred_agent == ben  # in an earlier call, before her


def test_nor_is_one_who_was_dropped(line: Queue, anna: Agent) -> None:
    ben = scene.agent("ben")
    talked(line, ben, began=ago(hours=3), ended=ago(hours=2))
    talked(line, anna, began=ago(hours=2), ended=ago(hours=1))
    call = scene.talking(line, to=anna)
    talk = call.offers.get()
    seat = scene.seat(call, Role.AGENT)
    seat.left_at = talk.leg.hangup_at = timezone.now()
    talk.leg.hangup_cause = "timeout"
    talk.leg.save()
    seat.save()
    engine.settle(call.pk, now=timezone.now())
    rescue = call.entries.get(rescued_from=talk)
    assert rescue.preferred_agent == ben


# while it waits ----------------------------------------------------------------------------------------------


def test_a_preferred_agent_may_be_deleted(line: Queue, anna: Agent) -> None:
    gone = scene.agent("gone")
    stay = enters(line)
    QueueEntry.objects.filter(pk=stay.pk).update(preferred_agent=gone, preferred_agent_at=timezone.now())
    gone.delete()
    stay.refresh_from_db()
    assert stay.preferred_agent is None


def prefers(line: Queue, agent: Agent, *, waited: int = 10, **talk: float) -> Call:
    """A call in line for so many whole seconds."""
    call = scene.waiting(line)
    rank_at = timezone.now().replace(microsecond=0) - timedelta(seconds=waited)
    talked_at = rank_at - timedelta(**talk or {"hours": 1})
    call.entries.update(rank_at=rank_at, preferred_agent=agent, preferred_agent_at=talked_at)
    return call


def said(client: Client, call: Call) -> str:
    return words(client, reverse("admin:queues_call_now", args=[call.pk]))


def test_a_calls_page_says_whom_it_waits_for(line: Queue, anna: Agent, admin_client: Client) -> None:
    call = prefers(line, anna)
    stay = call.entries.get()
    talk, until = stay.preferred_agent_at, stay.rank_at + timedelta(seconds=60)
    assert talk is not None
    assert (
        f"Prefers anna, last talked {talk:%Y-%m-%d %H:%M}; waits for anna, if back soon, until {until:%H:%M:%S} (in 0:"
        in said(admin_client, call)
    )
    Queue.objects.update(sticky={"hold_seconds": 60, "max_age": 3_630})
    assert f"until {stay.rank_at + timedelta(seconds=31):%H:%M:%S} (in 0:" in said(admin_client, call)


def test_a_calls_page_says_when_nobody_is_waited_for(line: Queue, anna: Agent, admin_client: Client) -> None:
    call = prefers(line, anna, waited=60)
    assert "; is asked first if free, and no longer waited for." in said(admin_client, call)
    anna.memberships.update(paused=True)
    assert "; does not serve this queue, so nobody is waited for." in said(admin_client, call)


def test_a_preference_that_does_not_count_is_not_shown(line: Queue, anna: Agent, admin_client: Client) -> None:
    old = prefers(line, anna, hours=24)
    assert "In line" in said(admin_client, old)
    assert "Prefers" not in said(admin_client, old)
    Queue.objects.update(sticky=None)
    assert "Prefers" not in said(admin_client, old)


def test_a_stays_page_shows_the_agent(line: Queue, anna: Agent, admin_client: Client) -> None:
    stay = prefers(line, anna).entries.get()
    shown = words(admin_client, reverse("admin:queues_queueentry_change", args=[stay.pk]))
    assert "Preferred agent anna" in shown
