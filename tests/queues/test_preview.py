"""What lies ahead: who could take a call of a queue, and when a waiting call next asks for less."""

import re
from datetime import datetime, timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from queues.models import Call, Queue, QueueEntry
from tests.queues import scene

pytestmark = pytest.mark.django_db

RINGS = [{"after": 30, "levels": {"spanish": 2}}, {"after": 60, "drop": ["spanish"]}]


def words(client: Client, url: str, **sent: str) -> str:
    """A page as it is read."""
    answer = client.get(url, sent)
    assert answer.status_code in (200, 286), url
    return text(answer.content.decode())


def text(html: str) -> str:
    bare = re.sub(r"<(script|style).*?</\1>|<[^>]+>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+([,.;:)])", r"\1", re.sub(r"\s+", " ", unescape(bare)))


# a waiting call ----------------------------------------------------------------------------------------------


def waiting(line: Queue, *, since: int, **skills: int) -> Call:
    """In line for so many whole seconds, and some more milliseconds."""
    call = scene.waiting(line)
    rank_at = timezone.now().replace(microsecond=0) - timedelta(seconds=since)
    call.entries.update(rank_at=rank_at, required_skills=skills)
    return call


def now_of(client: Client, call: Call) -> str:
    return words(client, reverse("admin:queues_call_now", args=[call.pk]))


def at(call: Call, after: int) -> str:
    moment: datetime = call.entries.get().rank_at + timedelta(seconds=after)
    return f"{moment:%H:%M:%S}"


def test_a_waiting_call_shows_its_ring_and_when_the_next_opens(admin_client: Client) -> None:
    line = scene.queue(rings=RINGS)
    call = waiting(line, since=10, spanish=3)
    said = now_of(admin_client, call)
    assert re.search(
        rf"Ring 1 of 3 Asks for spanish 3; next ring opens at {at(call, 30)} \(in 0:(20|19)\): spanish 2\.", said
    ), said
    call.entries.update(rank_at=timezone.now() - timedelta(seconds=40))
    assert f"Ring 2 of 3 Asks for spanish 2; next ring opens at {at(call, 60)} (in 0:" in now_of(admin_client, call)
    assert "): no skill." in now_of(admin_client, call)
    call.entries.update(rank_at=timezone.now() - timedelta(seconds=90))
    assert "Ring 3 of 3 Asks for no skill; no ring is left to open." in now_of(admin_client, call)


def test_a_waiting_call_shows_its_penalty_window_and_the_next_rule(admin_client: Client) -> None:
    line = scene.queue(max_penalty=1, penalty_rules=[{"after": 60, "max_penalty": None, "raise_penalty": 1}])
    call = waiting(line, since=10, spanish=3)
    assert "Penalties" not in now_of(admin_client, call)  # no agents: as few as do not count
    scene.agent("anna", serves=line)
    said = now_of(admin_client, call)
    assert "Skills Asks for spanish 3, however long the wait." in said
    assert f"Admits 0 to 1; next rule counts from {at(call, 60)} (in 0:" in said
    assert "): any, those below 1 counting as 1." in said


def test_a_waiting_call_shows_its_promise_and_when_second_choices_may_take_it(admin_client: Client) -> None:
    line = scene.queue(strategy="promise", scoring="promise", promise_secs=60)
    scene.agent("anna", serves=line)
    ben = scene.agent("ben", serves=line)
    ben.memberships.update(penalty=1)
    call = waiting(line, since=10)
    said = now_of(admin_client, call)
    assert f"Kept until {at(call, 60)} (in 0:" in said
    assert f"second choices may take it from {at(call, 30)} (in 0:" in said
    call.entries.update(rank_at=timezone.now() - timedelta(seconds=90))
    assert f"Broken since {at(call, 60)}; no gate keeps anybody from it." in now_of(admin_client, call)


def test_a_call_that_does_not_wait_has_no_ring(admin_client: Client) -> None:
    line = scene.queue(rings=RINGS)
    call = scene.talking(line)
    assert "Ring 1 of 3" not in now_of(admin_client, call)


def test_the_list_of_stays_shows_the_rings_of_who_waits(admin_client: Client) -> None:
    line = scene.queue(rings=RINGS)
    call = waiting(line, since=40)
    ended = scene.waiting(line, name="ended").entries.get()
    QueueEntry.objects.filter(pk=ended.pk).update(state=QueueEntry.State.ENDED, ended_at=timezone.now())
    said = words(admin_client, reverse("admin:queues_queueentry_changelist"))
    assert f"2 of 3, next {at(call, 60)}" in said
    assert said.count(" of 3") == 1
