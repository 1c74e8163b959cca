"""The buttons: POST with CSRF and a right, one verb of queues.supervision each, the answer in words."""

import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from conferences.models import Conference, Role, SupervisionSession
from queues.admin.actions import VERBS
from queues.models import Agent, Call, Queue, SupervisorPhone
from tests.callcenter import clients
from tests.queues import scene
from webhooks.models import AuditEntry, Command

pytestmark = pytest.mark.django_db

LISTENING = tuple(f"conferences.{mode}_conference" for mode in ("monitor", "whisper", "barge", "take_over"))
CONTROL = "conferences.control_conference"
VIEW = "queues.view_call"


@pytest.fixture
def call() -> Call:
    return scene.talking(scene.queue("sales", record=Queue.Record.ON_DEMAND))


def browser(*rights: str, name: str = "sue") -> Client:
    """Signed in, on the staff, CSRF checked as in a browser."""
    client = Client(enforce_csrf_checks=True)
    user = clients.user(VIEW, *rights, name=name, is_staff=True)
    SupervisorPhone.objects.create(user=user, address=scene.PHONE)
    client.force_login(user)
    client.cookies["csrftoken"] = "c" * 32
    return client


def press(client: Client, call: Call, verb: str, **fields: str) -> HttpResponse:
    form = {"verb": verb, "token": str(uuid.uuid4()), "csrfmiddlewaretoken": "c" * 32} | fields
    return client.post(reverse("admin:queues_call_act", args=[call.pk]), form, follow=True)


def said(answer: HttpResponse) -> list[tuple[str, str]]:
    return [(message.level_tag, message.message) for message in answer.context["messages"]]


def seat(call: Call, role: str = Role.CUSTOMER) -> str:
    return str(scene.seat(call, role).pk)


def test_a_link_does_nothing(call: Call) -> None:
    url = reverse("admin:queues_call_act", args=[call.pk])
    assert browser(CONTROL).get(url, {"verb": "end", "token": str(uuid.uuid4())}).status_code == 405
    assert not AuditEntry.objects.exists()


def test_a_form_of_somebody_elses_does_nothing(call: Call) -> None:
    client = browser(CONTROL)
    for forged in ({"csrfmiddlewaretoken": ""}, {"csrfmiddlewaretoken": "d" * 32}):
        assert press(client, call, "end", **forged).status_code == 403
    assert not AuditEntry.objects.exists()


def test_without_a_login_nothing_is_done(call: Call) -> None:
    client = Client()
    answer = client.post(reverse("admin:queues_call_act", args=[call.pk]), {"verb": "end"})
    assert answer["Location"].startswith(reverse("admin:login"))
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"stop"}))  # stopping one's own session takes no right
def test_without_the_right_the_refusal_is_said_and_audited(call: Call, verb: str) -> None:
    answer = press(
        browser(), call, verb, text="hello", audio_url="https://media.example.com/a.mp3", leg=seat(call), priority="1"
    )
    [(level, words)] = said(answer)
    assert level == "error"
    assert words.startswith("You may not")
    assert not AuditEntry.objects.get().allowed
    assert not Command.objects.exists()


def everyone(call: Call) -> list[str]:
    return sorted(each.leg.call_control_id for each in scene.Participant.objects.all())


TO_ALL = {"everyone": "1"}
WANTED: dict[str, tuple[dict[str, str], str, Callable[[Call], dict[str, object]]]] = {
    "hold": (TO_ALL, "conferences.hold", lambda call: {"call_control_ids": everyone(call)}),
    "unhold": (TO_ALL, "conferences.unhold", lambda call: {"call_control_ids": everyone(call)}),
    "mute": (TO_ALL, "conferences.mute", lambda call: {"call_control_ids": everyone(call)}),
    "unmute": (TO_ALL, "conferences.unmute", lambda call: {"call_control_ids": everyone(call)}),
    "record_start": ({}, "conferences.record_start", lambda call: {}),
    "speak": ({"text": "Hello."}, "conferences.speak", lambda call: {"payload": "Hello.", "everyone": True}),
    "play": (
        {"audio_url": "https://media.example.com/a.mp3"},
        "conferences.play",
        lambda call: {"audio_url": "https://media.example.com/a.mp3", "everyone": True},
    ),
    "stop_audio": ({}, "conferences.stop", lambda call: {"everyone": True}),
    "end": ({}, "conferences.end", lambda call: {}),
}


@pytest.mark.parametrize("verb", sorted(WANTED))
def test_a_verb_becomes_a_command(call: Call, verb: str) -> None:
    fields, operation, arguments = WANTED[verb]
    [(level, _)] = said(press(browser(CONTROL), call, verb, **fields))
    assert level == "success"
    command = Command.objects.get(operation=operation)
    assert arguments(call).items() <= command.arguments.items()
    assert command.actor == User.objects.get(username="sue")
    assert AuditEntry.objects.get().allowed


@pytest.mark.parametrize("verb", ["hold", "mute"])
def test_one_participant_alone(call: Call, verb: str) -> None:
    press(browser(CONTROL), call, verb, leg=seat(call, Role.AGENT))
    command = Command.objects.get(kind=verb)
    assert command.arguments["call_control_ids"] == [scene.seat(call, Role.AGENT).leg.call_control_id]


def test_a_participant_is_removed(call: Call) -> None:
    press(browser(CONTROL), call, "remove", leg=seat(call, Role.AGENT))
    assert Command.objects.get(kind="hang_up").target == scene.seat(call, Role.AGENT).leg.call_control_id


@pytest.mark.parametrize(
    ("state", "verbs"),
    [
        (Conference.RecordingState.RECORDING, {"record_pause", "record_stop"}),
        (Conference.RecordingState.PAUSED, {"record_resume", "record_stop"}),
    ],
)
def test_recording_goes_from_state_to_state(call: Call, state: str, verbs: set[str]) -> None:
    Conference.objects.update(recording_state=state)
    client = browser(CONTROL)
    every = ("record_start", "record_pause", "record_resume", "record_stop")
    worked = {verb for verb in every if said(press(client, call, verb))[0][0] == "success"}
    assert worked == verbs


@pytest.mark.parametrize("mode", ["monitor", "whisper", "barge"])
def test_one_click_rings_the_supervisor(call: Call, mode: str) -> None:
    [(level, words)] = said(press(browser(*LISTENING), call, mode, reason="training"))
    assert (level, words[:19]) == ("success", "Your phone is rung;")
    session = SupervisionSession.objects.get()
    assert (session.role, session.reason, session.call_id) == (mode, "training", call.pk)
    assert Command.objects.get(kind="dial_supervisor").arguments["to"] == scene.PHONE
    assert AuditEntry.objects.get().reason == "training"


def test_another_role_a_take_over_and_a_stop(call: Call) -> None:
    client = browser(*LISTENING)
    press(client, call, "monitor")
    ear = scene.listening(call, "monitor")
    SupervisionSession.objects.update(leg=ear.leg, state=SupervisionSession.State.ACTIVE)
    assert said(press(client, call, "whisper")) == [("success", "Your role is being switched to whisper.")]
    assert said(press(client, call, "take_over")) == [("success", "The call is yours; the agent leaves it.")]
    assert SupervisionSession.objects.get().took_over_at is not None
    assert said(press(client, call, "stop")) == [("success", "You have left the conversation.")]
    assert SupervisionSession.objects.get().stopped_at is not None


def test_a_double_click_is_one_action(call: Call) -> None:
    client, token = browser(CONTROL), str(uuid.uuid4())
    for _ in range(2):
        press(client, call, "speak", text="Hello.", token=token)
    assert Command.objects.filter(kind="speak").count() == 1
    press(client, call, "speak", text="Hello.")
    assert Command.objects.filter(kind="speak").count() == 2


@pytest.mark.parametrize(
    ("verb", "fields", "words"),
    [
        ("nonsense", {}, "There is no such action."),
        ("", {}, "There is no such action."),
        ("hold", {"token": ""}, "This form is incomplete; load the page again and repeat."),
        ("hold", {"token": "x" * 300}, "This form is incomplete; load the page again and repeat."),
        ("hold", {}, "Name participants, or say everyone: one of the two."),
        ("unmute", {"leg": ""}, "Name participants, or say everyone: one of the two."),
        ("mute", {"everyone": "0"}, "Name participants, or say everyone: one of the two."),
        ("hold", {"everyone": "1", "leg": str(uuid.uuid4())}, "Name participants, or say everyone: one of the two."),
        ("hold", {"leg": "nonsense"}, "There is no such participant."),
        ("hold", {"leg": str(uuid.uuid4())}, "Nobody with that id is in the conference."),
        ("remove", {}, "There is no such participant."),
        ("speak", {"text": "  "}, "Write what is to be spoken, 1 to 3000 characters."),
        ("speak", {"text": "x" * 3001}, "Write what is to be spoken, 1 to 3000 characters."),
        ("play", {"audio_url": "ftp://example.com/a"}, "Give the address of an audio file, http or https."),
        ("take_over", {}, "Monitor, whisper or barge first; then take over."),
        ("stop", {}, "You are not listening to this call."),
        ("record_stop", {}, "The recording is off."),
    ],
)
def test_nonsense_is_answered_in_words(call: Call, verb: str, fields: dict[str, str], words: str) -> None:
    assert said(press(browser(CONTROL, *LISTENING), call, verb, **fields)) == [("error", words)]
    assert not Command.objects.exists()


@pytest.fixture
def waiting() -> Call:
    return scene.waiting(scene.queue("support"), name="waiting")


def test_a_waiting_caller_is_given_a_priority(waiting: Call) -> None:
    client, page = browser(CONTROL), reverse("admin:queues_call_change", args=[waiting.pk])
    assert 'value="set_priority"' in client.get(page).content.decode()
    answer = press(client, waiting, "set_priority", priority=" -3", reason="he can wait")
    assert said(answer) == [("success", "The caller's priority is -3 now.")]
    waiting.refresh_from_db()
    assert (waiting.priority, waiting.entries.get().priority) == (-3, -3)
    assert AuditEntry.objects.get().reason == "he can wait"
    assert "His priority is now -3." in answer.content.decode()


def test_a_priority_that_is_asked_for_twice_takes_no_later_one_back(waiting: Call) -> None:
    client, token = browser(CONTROL), str(uuid.uuid4())
    for priority, sent_as in (("5", token), ("0", str(uuid.uuid4())), ("5", token)):
        press(client, waiting, "set_priority", priority=priority, token=sent_as)
    waiting.refresh_from_db()
    assert (waiting.priority, waiting.entries.get().priority) == (0, 0)


@pytest.mark.parametrize(
    ("priority", "words"),
    [
        ("", "Give a whole number; larger is more urgent."),
        ("high", "Give a whole number; larger is more urgent."),
        ("9" * 5000, "Give a whole number; larger is more urgent."),
        ("11", "A priority goes from -10 to 10."),
    ],
    ids=lambda text: text[:10],
)
def test_a_priority_of_nonsense(waiting: Call, priority: str, words: str) -> None:
    assert said(press(browser(CONTROL), waiting, "set_priority", priority=priority)) == [("error", words)]
    assert waiting.entries.get().priority == 0


def test_only_who_waits_is_offered_a_priority_and_only_by_who_may_give_it(call: Call, waiting: Call) -> None:
    page = reverse("admin:queues_call_change", args=[waiting.pk])
    assert 'value="set_priority"' not in browser(name="bob").get(page).content.decode()
    client = browser(CONTROL)
    page = reverse("admin:queues_call_change", args=[call.pk])
    assert 'value="set_priority"' not in client.get(page).content.decode()
    refused = said(press(client, call, "set_priority", priority="1"))
    assert refused == [("error", "This caller waits in no queue.")]


def test_a_call_that_is_over_is_left_alone(call: Call) -> None:
    Call.objects.filter(pk=call.pk).update(ended_at=call.arrived_at, state=Call.State.CLOSED)
    assert said(press(browser(CONTROL), call, "end")) == [("error", "This call is over.")]


def test_afterwards_one_is_where_one_was(call: Call) -> None:
    client, here = browser(CONTROL), reverse("admin:queues_call_change", args=[call.pk])
    assert press(client, call, "hold").redirect_chain == [(here, 302)]
    live = reverse("admin:live")
    assert press(client, call, "hold", next=live).redirect_chain == [(live, 302)]
    for elsewhere in ("https://evil.example.com/", "//evil.example.com", "javascript:alert(1)"):
        assert press(client, call, "hold", next=elsewhere).redirect_chain == [(here, 302)]


# agents ------------------------------------------------------------------------------------------------------


def set_state(client: Client, agent: Agent, verb: str) -> list[tuple[str, str]]:
    form = {"verb": verb, "token": str(uuid.uuid4()), "csrfmiddlewaretoken": "c" * 32, "next": reverse("admin:live")}
    return said(client.post(reverse("admin:queues_agent_set_state", args=[agent.pk]), form, follow=True))


@pytest.mark.parametrize(
    ("state", "verb", "after"),
    [
        ("offline", "available", "available"),
        ("not_ready", "available", "available"),
        ("available", "not_ready", "not_ready"),
        ("available", "offline", "offline"),
        ("wrap_up", "end_wrap_up", "available"),
        ("wrap_up", "not_ready", "not_ready"),
        ("not_ready", "offline", "offline"),
    ],
)
def test_a_supervisor_sets_an_agents_state(state: str, verb: str, after: str) -> None:
    agent = scene.agent(state=state)
    [(level, words)] = set_state(browser("queues.force_agent_state"), agent, verb)
    agent.refresh_from_db()
    assert (level, agent.state) == ("success", after)
    assert words == f"anna is {agent.get_state_display()}."
    assert AuditEntry.objects.get().allowed


def test_nobody_is_taken_off_a_call(call: Call) -> None:
    agent = Agent.objects.get()
    [(level, words)] = set_state(browser("queues.force_agent_state"), agent, "not_ready")
    assert (level, words.endswith("a state cannot be forced on him now.")) == ("error", True)


def test_an_agents_state_takes_the_right() -> None:
    agent = scene.agent()
    assert set_state(browser(), agent, "offline") == [("error", "You may not set an agent's state.")]
    assert not AuditEntry.objects.get().allowed
    url = reverse("admin:queues_agent_set_state", args=[agent.pk])
    assert browser("queues.force_agent_state", name="bob").get(url).status_code == 405
    assert set_state(browser("queues.force_agent_state", name="eve"), agent, "nonsense")[0][0] == "error"
