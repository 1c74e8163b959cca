"""The logs' own actions."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.callcenter import clients, furniture
from webhooks.models import WebhookEvent

pytestmark = pytest.mark.django_db

LIST = reverse("admin:webhooks_webhookevent_changelist")
VIEW, CHANGE = "webhooks.view_webhookevent", "webhooks.change_webhookevent"


def browser(*rights: str) -> Client:
    client = Client()
    client.force_login(clients.user(*rights, is_staff=True))
    return client


def replay(client: Client, *events: WebhookEvent) -> list[tuple[str, str]]:
    form = {"action": "replay", "_selected_action": [str(event.pk) for event in events]}
    answer = client.post(LIST, form, follow=True)
    return [(message.level_tag, message.message) for message in answer.context["messages"]]


def test_events_set_aside_are_replayed_and_reported_row_by_row() -> None:
    dead = furniture.event("one", status=WebhookEvent.Status.DEAD)
    done = furniture.event("two")
    assert replay(browser(VIEW, CHANGE), dead, done) == [
        ("success", "call.hangup one: waits to be applied again."),
        ("warning", "call.hangup two: nothing to replay, it is applied."),
    ]
    dead.refresh_from_db()
    done.refresh_from_db()
    assert (dead.status, dead.attempts) == (WebhookEvent.Status.NEW, 0)
    assert done.status == WebhookEvent.Status.DONE


def test_who_may_only_look_replays_nothing() -> None:
    dead = furniture.event("one", status=WebhookEvent.Status.DEAD)
    client = browser(VIEW)
    assert "replay" not in client.get(LIST).content.decode()
    replay(client, dead)
    dead.refresh_from_db()
    assert dead.status == WebhookEvent.Status.DEAD


def test_a_long_report_is_cut() -> None:
    events = [furniture.event(f"number {number}", status=WebhookEvent.Status.DEAD) for number in range(25)]
    said = replay(browser(VIEW, CHANGE), *events)
    assert len(said) == 21
    assert said[-1] == ("success", "… and 5 more.")


def test_what_went_wrong_is_in_the_list() -> None:
    furniture.event("one", status=WebhookEvent.Status.DEAD)
    html = browser(VIEW).get(LIST, {"status__exact": "dead"}).content.decode()
    assert "set aside" in html
    assert "ValueError: nonsense" in html


def test_rows_are_not_counted() -> None:
    furniture.event("one")
    answer = browser(VIEW).get(LIST)
    assert answer.context["cl"].full_result_count is None
