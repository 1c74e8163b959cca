"""``Idempotency-Key``: the same key again gives the same answer and changes nothing."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.response import Response

from callcenter.access.once import ANSWERED_WITHIN, KEPT_FOR
from callcenter.models import IdempotencyKey
from queues.models import Agent, QueueEntry
from tests.callcenter import clients
from tests.queues import scene
from webhooks import nudge
from webhooks.models import AuditEntry, Command

pytestmark = pytest.mark.django_db
AGAIN = {"headers": {"Idempotency-Key": "order-66"}}


def test_the_same_key_again_changes_nothing_and_says_the_same() -> None:
    call = scene.waiting(scene.queue())
    client, path = clients.key(), f"/api/v1/calls/{call.pk}/leave_queue"
    first, again = (client.post(path, {"then": "requeue"}, **AGAIN) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.status_code == 202
    assert ("Idempotency-Replayed" in first, again["Idempotency-Replayed"]) == (False, "true")
    assert call.entries.count() == 2  # the one he left and the one he waits in now
    assert Command.objects.filter(kind="leave_queue").count() == 1
    assert AuditEntry.objects.filter(action="leave_queue").count() == 1


def test_without_a_key_each_request_is_one() -> None:
    call = scene.waiting(scene.queue())
    client, path = clients.key(), f"/api/v1/calls/{call.pk}/leave_queue"
    client.post(path, {"then": "requeue"})
    client.post(path, {"then": "requeue"})
    assert call.entries.count() == 3


def test_agents_too() -> None:
    agent = scene.agent(state=Agent.State.WRAP_UP)
    client, path = clients.key(), f"/api/v1/agents/{agent.pk}/end_wrap_up"
    assert [client.post(path, **AGAIN).status_code for _ in range(2)] == [200, 200]
    assert client.post(path).status_code == 409


def test_a_key_is_its_owners() -> None:
    """Another program may happen to choose the same one."""
    call = scene.talking(scene.queue())
    path = f"/api/v1/conferences/{scene.conference_of(call).pk}/hold"
    for _ in range(2):
        assert clients.key().post(path, {"everyone": True}, **AGAIN).status_code == 202
    assert Command.objects.filter(kind="hold").count() == 2


@pytest.mark.parametrize("body", [{"then": "hangup"}, {"then": "requeue", "reason": "he asked"}])
def test_a_key_that_came_with_something_else_is_refused(body: dict[str, str]) -> None:
    call = scene.waiting(scene.queue())
    client, path = clients.key(), f"/api/v1/calls/{call.pk}/leave_queue"
    client.post(path, {"then": "requeue"}, **AGAIN)
    answer = client.post(path, body, **AGAIN)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    call.refresh_from_db()
    assert call.released_at is None


def test_what_was_refused_may_be_tried_again() -> None:
    agent = scene.agent(state=Agent.State.BUSY, live_offer_id="0" * 32)
    client, path = clients.key(), f"/api/v1/agents/{agent.pk}/state"
    assert client.post(path, {"state": "offline"}, **AGAIN).status_code == 409
    Agent.objects.update(state=Agent.State.AVAILABLE, live_offer_id=None)
    assert client.post(path, {"state": "offline"}, **AGAIN).json()["state"] == "offline"


def test_what_broke_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = scene.agent(state=Agent.State.WRAP_UP)
    client, path = clients.key(), f"/api/v1/agents/{agent.pk}/end_wrap_up"
    client.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr("queues.api.views.asked", None)
        assert client.post(path, **AGAIN).status_code == 500
    assert client.post(path, **AGAIN).status_code == 200


def test_what_was_done_before_it_broke_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    call = scene.talking(scene.queue())
    client, path = clients.key(), f"/api/v1/conferences/{scene.conference_of(call).pk}/speak"
    client.raise_request_exception = False
    words = {"text": "One moment.", "everyone": True}
    with monkeypatch.context() as broken:
        broken.setattr("queues.api.verbs._command_of", None)  # it is asked after the command is written
        assert client.post(path, words, **AGAIN).status_code == 500
    assert Command.objects.filter(kind="speak").count() == 1
    answers = [client.post(path, words, **AGAIN) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert Command.objects.get(kind="speak").command_id == uuid.UUID(answers[0].json()["command"])
    assert answers[1]["Idempotency-Replayed"] == "true"
    other = client.post(path, words | {"text": "Hello."}, **AGAIN)
    assert other.json()["code"] == "idempotency_key_reused"


def test_while_the_first_is_being_answered_the_second_waits() -> None:
    agent = scene.agent(state=Agent.State.WRAP_UP)
    client, path = clients.key(), f"/api/v1/agents/{agent.pk}/end_wrap_up"
    client.post(path, **AGAIN)
    IdempotencyKey.objects.update(status=None, body=None)
    answer = client.post(path, **AGAIN)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_use")


def test_a_claim_whose_process_died_is_taken_over_with_its_token() -> None:
    """So that what it has written already is not written again."""
    call = scene.talking(scene.queue())
    client, path = clients.key(), f"/api/v1/conferences/{scene.conference_of(call).pk}/mute"
    first = client.post(path, {"everyone": True}, **AGAIN)
    long_ago = timezone.now() - ANSWERED_WITHIN
    IdempotencyKey.objects.update(status=None, body=None, claimed_at=long_ago)
    again = client.post(path, {"everyone": True}, **AGAIN)
    assert (again.status_code, again.json()) == (202, first.json())
    assert Command.objects.filter(kind="mute").count() == 1


def test_keys_are_forgotten_after_a_day() -> None:
    agent = scene.agent(state=Agent.State.WRAP_UP)
    client, path = clients.key(), f"/api/v1/agents/{agent.pk}/end_wrap_up"
    client.post(path, **AGAIN)
    IdempotencyKey.objects.update(claimed_at=timezone.now() - KEPT_FOR - timedelta(seconds=1))
    assert client.post(path, **AGAIN).status_code == 409  # not in wrap-up: it was really asked
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
def test_a_key_that_is_none(key: str) -> None:
    call = scene.waiting(scene.queue())
    answer = clients.key().post(
        f"/api/v1/calls/{call.pk}/leave_queue", {"then": "requeue"}, headers={"Idempotency-Key": key}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key")
    assert QueueEntry.objects.count() == 1


def test_a_key_does_not_open_doors() -> None:
    """The answer is kept for who may ask, not for whoever knows the key."""
    call = scene.waiting(scene.queue())
    client, path = clients.key(), f"/api/v1/calls/{call.pk}/leave_queue"
    client.post(path, {"then": "requeue"}, **AGAIN)
    client.credentials()
    assert client.post(path, {"then": "requeue"}, **AGAIN).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_one(request: pytest.FixtureRequest) -> None:
    before = nudge.set_sink(lambda *_: None)
    request.addfinalizer(lambda: nudge.set_sink(before))
    call = scene.talking(scene.queue())
    client, path = clients.key(), f"/api/v1/conferences/{scene.conference_of(call).pk}/speak"
    answers: list[Response] = []

    def ask() -> None:
        answers.append(client.post(path, {"text": "One moment.", "everyone": True}, **AGAIN))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Command.objects.filter(kind="speak").count() == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert 202 in {answer.status_code for answer in answers}
