"""The live page: who sees it, what he may press, and what it costs."""

import re

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from callcenter import roles
from conferences.models import SupervisionSession
from queues.models import Agent, Call
from tests.callcenter import clients, furniture
from tests.queues import scene

pytestmark = pytest.mark.django_db

LIVE, BOARD = reverse("admin:live"), reverse("admin:live_board")
MOST_QUERIES = 16


def browser(*rights: str, name: str = "sue") -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(clients.user(*rights, name=name, is_staff=True))
    return client


def supervisor() -> Client:
    client = Client(enforce_csrf_checks=True)
    user = User.objects.create_user("boss", is_staff=True)
    user.groups.add(roles.Group.objects.get(name=roles.SUPERVISORS))
    client.force_login(user)
    return client


def seen(client: Client, url: str = LIVE) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode())


def verbs(html: str) -> set[str]:
    return set(re.findall(r'name="verb" value="(\w+)"', html))


@pytest.mark.parametrize("url", [LIVE, BOARD])
def test_without_a_login_there_is_only_the_login(url: str) -> None:
    answer = Client().get(url)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("admin:login"))
    client = Client()
    client.force_login(clients.user(*(f"conferences.{right}" for right in ("monitor_conference",))))
    assert client.get(url).status_code == 302  # not of the staff


def test_an_empty_house_is_shown() -> None:
    html = seen(browser())
    assert "There is no queue yet." in html
    assert "Nobody is talking." in html
    assert "There is no agent yet." in html


def test_the_staff_see_everything_and_no_buttons() -> None:
    furniture.furnish("a")
    html = seen(browser())
    for text in ("queue a", "agent a", scene.CALLER, "supervisor a", "monitor", "busy", "connected"):
        assert text in html
    assert verbs(html) == set()
    assert "<form" not in html.split('id="board"')[1].split("</section> </div>")[0]


def test_a_supervisor_finds_what_the_state_allows() -> None:
    call = furniture.furnish("a")
    scene.agent("idle")
    scene.agent("away", state=Agent.State.OFFLINE)
    html = seen(supervisor())
    talk = {"hold", "mute", "record_start", "end", "remove"}
    assert verbs(html) == {"monitor", "whisper", "barge"} | talk | {"not_ready", "offline", "available"}
    Call.objects.filter(pk=call.pk).update(state=Call.State.ON_HOLD)
    scene.Participant.objects.update(on_hold=True, muted=True)
    assert {"unhold", "unmute"} <= verbs(seen(supervisor_again()))


def test_the_form_for_everyone_says_so_and_those_for_one_do_not() -> None:
    call = furniture.furnish("a")
    client = supervisor()
    for url in (LIVE, reverse("admin:queues_call_change", args=[call.pk])):
        forms = {tuple(sorted(verbs(form))): form for form in seen(client, url).split("<form")}
        everyone = {shown for shown, form in forms.items() if 'name="everyone" value="1"' in form}
        assert everyone == {("end", "hold", "mute", "record_start")}
        assert 'name="leg"' in forms["hold", "mute", "remove"]


def supervisor_again() -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(username="boss"))
    return client


def test_each_right_brings_its_own_button() -> None:
    furniture.furnish("a")
    for right, verb in (
        ("conferences.monitor_conference", "monitor"),
        ("conferences.whisper_conference", "whisper"),
        ("conferences.barge_conference", "barge"),
    ):
        assert verbs(seen(browser(right, name=verb))) == {verb}
    scene.agent("idle")
    assert verbs(seen(browser("queues.force_agent_state", name="force"))) == {"not_ready", "offline"}


def test_a_supervisor_who_listens_may_change_his_role_take_over_or_stop() -> None:
    call = furniture.furnish("a")
    client = supervisor()
    SupervisionSession.objects.filter(call_id=call.pk).update(supervisor=User.objects.get(username="boss"))
    assert {"whisper", "barge", "take_over", "stop"} <= verbs(seen(client))
    assert "monitor" not in verbs(seen(client))


def test_the_numbers_of_a_queue() -> None:
    line = scene.queue("sales")
    scene.talking(line)
    scene.waiting(line, name="second", since=75)
    scene.agent("idle", serves=line)
    html = seen(browser(), BOARD)
    row = html.split("sales", 1)[1].split("</tr>")[0]
    cells = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row)]
    assert cells[:5] == ["1", "1:15", "1", "1", "0"]  # waiting, longest wait, available, busy, wrap-up
    assert cells[-1].startswith(("100.0 %", "0.0 %"))


def test_no_calls_today_is_no_service_level() -> None:
    scene.queue("sales")
    assert "– <span" in seen(browser(), BOARD)


@pytest.mark.parametrize("url", [LIVE, BOARD])
def test_the_page_asks_as_often_for_many_rows_as_for_few(url: str) -> None:
    furniture.furnish("a")
    client = supervisor()
    seen(client, url)
    counts = []
    for more in ("bc", "defg"):
        for name in more:
            furniture.furnish(name)
        with CaptureQueriesContext(connection) as queries:
            seen(client, url)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= MOST_QUERIES


def test_the_page_fetches_itself_and_each_form_has_a_token_of_its_own() -> None:
    furniture.furnish("a")
    html = seen(supervisor())
    assert f'hx-get="{BOARD}" hx-trigger="every 2s"' in html
    tokens = re.findall(r'name="token" value="([0-9a-f-]{36})"', html)
    assert len(tokens) == len(set(tokens)) >= 4
    assert html.count("csrfmiddlewaretoken") >= len(tokens)


def test_a_calls_page_asks_no_more_once_it_is_over() -> None:
    call = furniture.furnish("a")
    client, url = supervisor(), reverse("admin:queues_call_now", args=[call.pk])
    assert client.get(url).status_code == 200
    Call.objects.filter(pk=call.pk).update(state=Call.State.CLOSED, ended_at=call.arrived_at)
    last = client.get(url)
    assert last.status_code == 286  # htmx shows it and stops
    assert "closed" in last.content.decode()
