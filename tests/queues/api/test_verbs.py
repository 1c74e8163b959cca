"""Every verb on calls and conferences: words in, one Command row out, for who may and nobody else."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from callcenter.access.scopes import SCOPES
from conferences.models import Conference, Participant, Role, SupervisionSession
from queues import engine
from queues.models import Call, Queue, QueueEntry, SupervisorPhone
from tests.callcenter import clients
from tests.queues import scene
from webhooks import nudge
from webhooks.models import AuditEntry, Command

pytestmark = pytest.mark.django_db

EVERYONE = {"everyone": True}
FILE = "https://media.example.com/a.mp3"


@pytest.fixture
def support() -> Queue:
    return scene.queue(record=Queue.Record.ON_DEMAND, voice="female", language="en-GB")


@pytest.fixture
def call(support: Queue) -> Call:
    return scene.talking(support)


@pytest.fixture
def nudged() -> Iterator[list[tuple[str, str]]]:
    """Which tasks were asked for, and about which rows."""
    told: list[tuple[str, str]] = []
    before = nudge.set_sink(lambda task, ident: told.append((task, ident)))
    yield told
    nudge.set_sink(before)


def ask(client: APIClient, call: Call, verb: str, words: Any = None) -> Any:
    return client.post(f"/api/v1/conferences/{scene.conference_of(call).pk}/{verb}", words or {})


def token(call: Call, role: str) -> str:
    return scene.seat(call, role).leg.call_control_id


# conferences -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["hold", "unhold", "mute", "unmute"])
@pytest.mark.parametrize("who", ["participant", "leg", "everyone"])
def test_who_hears_and_is_heard(call: Call, verb: str, who: str) -> None:
    scene.listening(call, "monitor")
    caller = scene.seat(call, Role.CUSTOMER)
    words = {
        "participant": {"participants": [str(caller.pk)]},
        "leg": {"participants": [str(caller.leg_id)]},
        "everyone": EVERYONE,
    }[who]
    answer = ask(clients.key("conferences:write"), call, verb, words)
    command = Command.objects.get(kind=verb)
    assert answer.status_code == 202
    assert answer.json() == {
        "call": str(call.pk),
        "conference": str(scene.conference_of(call).pk),
        "command": str(command.command_id),
    }
    assert (command.operation, command.target) == (f"conferences.{verb}", scene.conference_of(call).conference_id)
    talkers = [token(call, Role.CUSTOMER)] + ([token(call, Role.AGENT)] if who == "everyone" else [])
    assert command.arguments["call_control_ids"] == sorted(talkers)  # never the supervisor's
    assert command.arguments.get("audio_url") == (call.queue.hold_music_url if verb == "hold" else None)  # type: ignore[union-attr]


@pytest.mark.parametrize("role", ["monitor", "whisper"])
def test_a_listener_is_never_unmuted(call: Call, role: str) -> None:
    ear = scene.listening(call, role)
    answer = ask(clients.key("conferences:write"), call, "unmute", {"participants": [str(ear.pk)]})
    assert (answer.status_code, answer.json()["code"]) == (409, "supervisor_leg")
    assert not Command.objects.filter(kind="unmute").exists()


@pytest.mark.parametrize(
    ("verb", "words", "operation", "arguments"),
    [
        ("play", {"audio_url": FILE}, "conferences.play", {"audio_url": FILE, "loop": 1, "everyone": True}),
        ("play", {"audio_url": FILE, "loop": 3}, "conferences.play", {"audio_url": FILE, "loop": 3, "everyone": True}),
        (
            "speak",
            {"text": "One moment."},
            "conferences.speak",
            {"payload": "One moment.", "voice": "female", "language": "en-GB", "everyone": True},
        ),
        ("stop", {}, "conferences.stop", {"everyone": True}),
        ("record_start", None, "conferences.record_start", {"format": "mp3", "channels": "dual"}),
        ("end", None, "conferences.end", {}),
    ],
)  # fmt: skip
def test_sound_and_the_end(call: Call, verb: str, words: Any, operation: str, arguments: Any) -> None:
    said = {} if words is None else EVERYONE | words
    answer = ask(clients.key("conferences:write"), call, verb, said)
    assert answer.status_code == 202
    command = Command.objects.get(command_id=answer.json()["command"])
    assert (command.operation, command.arguments) == (operation, arguments)
    assert command.target == scene.conference_of(call).conference_id


def test_sound_for_one_of_them(call: Call) -> None:
    agent = scene.seat(call, Role.AGENT)
    words = {"participants": [str(agent.pk)], "text": "Two minutes left."}
    assert ask(clients.key("conferences:write"), call, "speak", words).status_code == 202
    assert Command.objects.get(kind="speak").arguments["call_control_ids"] == [agent.leg.call_control_id]


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("record_pause", "recording"),
        ("record_resume", "paused"),
        ("record_stop", "recording"),
        ("record_stop", "paused"),
    ],
)
def test_a_recording_goes_on_from_where_it_is(call: Call, verb: str, state: str) -> None:
    client = clients.key("conferences:write")
    refused = ask(client, call, verb)
    assert (refused.status_code, refused.json()["code"]) == (409, "recording_state")
    Conference.objects.update(recording_state=state)
    assert ask(client, call, verb).status_code == 202
    assert Command.objects.get(kind="record").operation == f"conferences.{verb}"


def test_what_is_never_recorded_is_not_recorded_on_demand(call: Call) -> None:
    Queue.objects.update(record=Queue.Record.NEVER)
    answer = ask(clients.key("conferences:write"), call, "record_start")
    assert (answer.status_code, answer.json()["code"]) == (409, "recording_forbidden")


def test_only_a_leg_of_this_call_may_join(call: Call, support: Queue) -> None:
    client = clients.key("conferences:write")
    own = scene.leg("second phone", at=timezone.now(), role=Role.EXTERNAL, call_id=call.pk)
    foreign = scene.talking(support, name="another").leg
    ear = scene.listening(call, "monitor").leg
    assert ask(client, call, "join", {"leg": str(own.pk)}).status_code == 202
    assert Command.objects.get(kind="join").arguments["call_control_id"] == own.call_control_id
    assert ask(client, call, "join", {"leg": str(foreign.pk)}).json()["code"] == "leg_not_found"
    assert ask(client, call, "join", {"leg": str(ear.pk)}).json()["code"] == "supervisor_leg"
    assert ask(client, call, "join", {"leg": str(uuid.uuid4())}).status_code == 404


@pytest.mark.parametrize("then", ["requeue", "speak_and_hangup", "hangup"])
def test_the_caller_leaves(call: Call, then: str) -> None:
    answer = ask(clients.key("conferences:write"), call, "leave", {"then": then})
    assert answer.status_code == 202
    command = Command.objects.get(command_id=answer.json()["command"])
    assert (command.kind, command.arguments) == ("leave", {"call_control_id": call.leg.call_control_id})
    call.refresh_from_db()
    assert (call.entries.count() == 2, call.closing_at is not None, call.released_at is not None) == (
        then == "requeue",
        then == "speak_and_hangup",
        then == "hangup",
    )


def test_one_of_them_is_removed(call: Call) -> None:
    agent = scene.seat(call, Role.AGENT)
    answer = ask(clients.key("conferences:write"), call, "remove", {"participant": str(agent.pk)})
    assert (answer.status_code, answer.json()["command"]) == (202, None)
    assert Command.objects.get(kind="hang_up").target == agent.leg.call_control_id


def test_what_is_asked_of_a_conference_he_has_left_is_not_done_to_the_next(call: Call) -> None:
    old = scene.conference_of(call)
    Participant.objects.filter(conference=old).update(left_at=timezone.now())
    new = Conference.objects.create(conference_id="another", call_id=call.pk, created_at=timezone.now())
    Participant.objects.create(conference=new, leg=call.leg, joined_at=timezone.now())
    client = clients.key("conferences:write")
    answer = client.post(f"/api/v1/conferences/{old.pk}/hold", EVERYONE)
    assert (answer.status_code, answer.json()["code"]) == (409, "conference_over")
    assert client.post(f"/api/v1/conferences/{new.pk}/hold", EVERYONE).status_code == 202


def test_a_call_that_is_over_is_over(call: Call) -> None:
    Call.objects.filter(pk=call.pk).update(ended_at=timezone.now())
    answer = ask(clients.key("conferences:write"), call, "hold", EVERYONE)
    assert (answer.status_code, answer.json()["code"]) == (409, "call_over")


def test_a_conference_of_no_call(call: Call) -> None:
    Conference.objects.filter(call_id=call.pk).update(call_id=None)
    conference = Conference.objects.get()
    answer = clients.key().post(f"/api/v1/conferences/{conference.pk}/hold", EVERYONE)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_call")


# bad input ---------------------------------------------------------------------------------------------------

SOMEBODY = str(uuid.uuid4())


@pytest.mark.parametrize(
    ("verb", "words", "status", "code"),
    [
        pytest.param("hold", {}, 400, "who", id="nobody"),
        pytest.param("hold", {"everyone": False}, 400, "who", id="not everyone"),
        pytest.param("hold", {"participants": []}, 400, "invalid_input", id="an empty list is not everyone"),
        pytest.param("hold", {"participants": [SOMEBODY], "everyone": True}, 400, "who", id="both"),
        pytest.param("hold", {"participants": [SOMEBODY]}, 404, "participant_not_found", id="a stranger"),
        pytest.param("hold", {"participants": ["anna"]}, 400, "invalid_input", id="a name"),
        pytest.param("hold", {"participants": "everyone"}, 400, "invalid_input", id="no list"),
        pytest.param("hold", {"participants": [SOMEBODY] * 21}, 400, "invalid_input", id="a crowd"),
        pytest.param("hold", EVERYONE | {"call_control_ids": []}, 400, "invalid_input", id="Telnyx's words"),
        pytest.param("hold", EVERYONE | {"audio_url": FILE}, 400, "invalid_input", id="another verb's words"),
        pytest.param("play", EVERYONE, 400, "invalid_input", id="play nothing"),
        pytest.param("play", EVERYONE | {"audio_url": "file:///etc/passwd"}, 400, "invalid_input", id="a file"),
        pytest.param("play", EVERYONE | {"audio_url": "ftp://media.example.com/a"}, 400, "invalid_input", id="ftp"),
        pytest.param("play", EVERYONE | {"audio_url": FILE, "loop": 0}, 400, "invalid_input", id="no times"),
        pytest.param("play", EVERYONE | {"audio_url": FILE, "loop": "infinity"}, 400, "invalid_input", id="for ever"),
        pytest.param("speak", EVERYONE, 400, "invalid_input", id="say nothing"),
        pytest.param("speak", EVERYONE | {"text": " "}, 400, "invalid_input", id="say a blank"),
        pytest.param("speak", EVERYONE | {"text": "x" * 3001}, 400, "invalid_input", id="say too much"),
        pytest.param("leave", {}, 400, "invalid_input", id="leave, and then?"),
        pytest.param("leave", {"then": "park"}, 400, "invalid_input", id="leave for nowhere"),
        pytest.param("join", {}, 400, "invalid_input", id="join nobody"),
        pytest.param("join", {"to": "+442071838750"}, 400, "invalid_input", id="join a number"),
        pytest.param("join", {"leg": SOMEBODY, "supervisor_role": "monitor"}, 400, "invalid_input", id="to listen"),
        pytest.param("remove", {"participant": SOMEBODY}, 404, "participant_not_found", id="remove a stranger"),
        pytest.param("end", {"reason": "x" * 501}, 400, "invalid_input", id="a long reason"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_nothing_written(call: Call, verb: str, words: Any, status: int, code: str) -> None:
    answer = ask(clients.key(), call, verb, words)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.json()
    assert not Command.objects.filter(kind=verb).exists()


def test_an_unknown_field_is_named_with_those_there_are(call: Call) -> None:
    problem = ask(clients.key(), call, "leave", {"than": "hangup"}).json()
    assert problem["errors"] == {"than": ["Unknown field. Accepted: reason, then."]}
    assert problem["detail"] == "than: Unknown field. Accepted: reason, then."


@override_settings(MEDIA_HOSTS=["media.example.com"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/a.mp3",
        "https://media.example.com@evil.example.com/a.mp3",
        "https://media.example.com.evil.example.com/a.mp3",
        "https://169.254.169.254/latest/meta-data",
        "https://evil.example.com/?media.example.com",
    ],
)
def test_media_come_from_our_hosts_only(call: Call, url: str) -> None:
    """Telnyx does the fetching."""
    client = clients.key("conferences:write")
    answer = ask(client, call, "play", EVERYONE | {"audio_url": url})
    assert (answer.status_code, answer.json()["code"]) == (400, "media_host")
    assert ask(client, call, "play", EVERYONE | {"audio_url": FILE}).status_code == 202


@override_settings(DEBUG=False, MEDIA_HOSTS=[])
def test_in_production_no_host_is_ours_until_it_is_named(call: Call) -> None:
    answer = ask(clients.key(), call, "play", EVERYONE | {"audio_url": FILE})
    assert (answer.status_code, answer.json()["code"]) == (400, "media_host")
    assert "MEDIA_HOSTS" in answer.json()["detail"]


# who may -----------------------------------------------------------------------------------------------------

CONTROLS: dict[str, Any] = {
    "hold": EVERYONE,
    "unhold": EVERYONE,
    "mute": EVERYONE,
    "unmute": EVERYONE,
    "play": EVERYONE | {"audio_url": FILE},
    "stop": EVERYONE,
    "speak": EVERYONE | {"text": "One moment."},
    "leave": {"then": "requeue"},
    "record_start": {},
    "end": {},
}
LISTENING: dict[str, Any] = {
    "monitor": {},
    "whisper": {},
    "barge": {},
    "update": {"supervisor_role": "barge"},
    "take_over": {},
    "stop_supervising": {},
}


@pytest.mark.parametrize("verb", CONTROLS)
@pytest.mark.parametrize("scope", SCOPES)
def test_each_control_needs_its_one_scope(call: Call, verb: str, scope: str) -> None:
    answer = ask(clients.key(scope), call, verb, CONTROLS[verb])
    if scope == "conferences:write":
        assert answer.status_code == 202
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
        assert not Command.objects.filter(kind=verb).exists()


@pytest.mark.parametrize("verb", LISTENING)
@pytest.mark.parametrize("scopes", [(), ("calls:read",)], ids=["every scope", "one scope"])
def test_a_key_never_listens(call: Call, verb: str, scopes: tuple[str, ...]) -> None:
    client = clients.key(*scopes)
    for words in (LISTENING[verb], {"nonsense": 1}):
        answer = ask(client, call, verb, words)
        assert (answer.status_code, answer.json()["code"]) == (403, "user_required")
    assert client.post(f"/api/v1/conferences/{uuid.uuid4()}/{verb}").status_code == 403
    assert not SupervisionSession.objects.exists()
    assert not Command.objects.exists()
    kept = AuditEntry.objects.filter(allowed=False)
    assert {entry.detail["code"] for entry in kept} == {"user_required"}
    assert len(kept) == 3


RIGHTS = {
    "monitor": "conferences.monitor_conference",
    "whisper": "conferences.whisper_conference",
    "barge": "conferences.barge_conference",
}


@pytest.mark.parametrize("verb", RIGHTS)
def test_a_person_listens_with_the_right_of_that_mode(call: Call, verb: str) -> None:
    others = [right for mode, right in RIGHTS.items() if mode != verb]
    refused = ask(clients.session(clients.user(*others, "conferences.control_conference")), call, verb)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    ann = clients.user(RIGHTS[verb], name="ann")
    assert ask(clients.session(ann), call, verb).json()["code"] == "no_phone"
    SupervisorPhone.objects.create(user=ann, address="+447700900789")
    answer = ask(clients.session(ann), call, verb, {"reason": "training"})
    assert answer.status_code == 202
    session = SupervisionSession.objects.get()
    assert (session.role, session.supervisor, session.reason) == (verb, ann, "training")
    dial = Command.objects.get(command_id=answer.json()["command"])
    assert (dial.kind, dial.subject_id, dial.arguments["to"]) == ("dial_supervisor", session.pk, "+447700900789")


def test_a_role_is_switched_without_ringing_anybody(call: Call) -> None:
    ann = clients.user(*RIGHTS.values(), name="ann")
    SupervisorPhone.objects.create(user=ann, address="+447700900789")
    client = clients.session(ann)
    refused = ask(client, call, "update", {"supervisor_role": "barge"})
    assert (refused.status_code, refused.json()["code"]) == (409, "no_session")
    assert not Command.objects.filter(kind="dial_supervisor").exists()
    ask(client, call, "monitor")
    assert ask(client, call, "update", {"supervisor_role": "whisper"}).status_code == 202
    assert SupervisionSession.objects.get().role == "whisper"
    assert Command.objects.filter(kind="dial_supervisor").count() == 1
    assert ask(client, call, "update", {"supervisor_role": "none"}).status_code == 400
    assert ask(client, call, "update", {}).status_code == 400


def test_nobody_is_taken_off_a_call_by_who_is_not_in_it(call: Call) -> None:
    ann = clients.user("conferences.take_over_conference", name="ann")
    answer = ask(clients.session(ann), call, "take_over")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_in_conversation")


def test_stopping_is_for_who_listens(call: Call) -> None:
    ann = clients.user(RIGHTS["monitor"], name="ann")
    SupervisorPhone.objects.create(user=ann, address="+447700900789")
    client = clients.session(ann)
    assert ask(client, call, "stop_supervising").json()["code"] == "no_session"
    ask(client, call, "monitor")
    assert ask(client, call, "stop_supervising").status_code == 202
    session = SupervisionSession.objects.get()
    assert session.stopped_at is not None


@pytest.mark.parametrize("verb", CONTROLS)
def test_a_person_controls_with_the_right_to(call: Call, verb: str) -> None:
    refused = ask(clients.session(clients.user(*RIGHTS.values())), call, verb, CONTROLS[verb])
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert AuditEntry.objects.filter(allowed=False, call_id=call.pk).exists()
    ann = clients.user("conferences.control_conference", name="ann")
    answer = ask(clients.session(ann), call, verb, CONTROLS[verb])
    assert answer.status_code == 202
    assert Command.objects.get(command_id=answer.json()["command"]).actor == ann
    assert AuditEntry.objects.filter(allowed=True, user=ann, call_id=call.pk).exists()


def test_an_agent_controls_nothing(call: Call) -> None:
    anna = clients.user(name="anna")
    call.offers.get().agent.__class__.objects.update(user=anna)
    client = clients.session(anna)
    for verb, words in (CONTROLS | LISTENING).items():
        assert ask(client, call, verb, words).status_code == 403


# waiting callers ---------------------------------------------------------------------------------------------


def test_a_waiting_caller_moves_to_another_queue_and_keeps_his_place(support: Queue) -> None:
    call, sales = scene.waiting(support), scene.queue("sales")
    before = call.entries.get()
    answer = clients.key("calls:write").post(f"/api/v1/calls/{call.pk}/enqueue", {"queue": str(sales.pk)})
    assert answer.status_code == 202
    assert answer.json()["conference"] is None
    assert Command.objects.get(command_id=answer.json()["command"]).operation == "calls.leave_queue"
    old, new = call.entries.order_by("number")
    assert (old.end_reason, new.queue, new.rank_at) == ("moved", sales, before.rank_at)
    assert Command.objects.get(kind="enqueue_caller").arguments["queue_name"] == "sales"


@pytest.mark.parametrize("then", ["requeue", "speak_and_hangup", "hangup"])
def test_a_waiting_caller_is_taken_out(support: Queue, then: str) -> None:
    call = scene.waiting(support)
    answer = clients.key("calls:write").post(f"/api/v1/calls/{call.pk}/leave_queue", {"then": then})
    assert answer.status_code == 202
    call.refresh_from_db()
    assert (call.entries.count() == 2, call.closing_at is not None, call.released_at is not None) == (
        then == "requeue",
        then == "speak_and_hangup",
        then == "hangup",
    )


@pytest.mark.parametrize("scoring", ["strict_priority", "aged", "promise"])
def test_who_is_given_a_higher_priority_is_next_whoever_came_before(scoring: str) -> None:
    line = scene.queue(scoring=scoring, strategy="promise" if scoring == "promise" else "longest_idle")
    scene.agent(serves=line)
    first, later = scene.waiting(line, name="first", since=12), scene.waiting(line, name="later", since=10)
    answer = clients.key("calls:write").post(
        f"/api/v1/calls/{later.pk}/set_priority", {"priority": 1, "reason": "a doctor"}
    )
    assert answer.status_code == 202
    assert answer.json() == {"call": str(later.pk), "conference": None, "command": None}
    kept = AuditEntry.objects.get()
    assert (kept.action, kept.reason, kept.detail["priority"], kept.allowed) == ("set_priority", "a doctor", 1, True)
    engine.route(line.pk, now=timezone.now())
    assert (first.offers.count(), later.offers.count()) == (0, 1)


def test_a_pass_is_asked_for_as_a_priority_changes(
    support: Queue, django_capture_on_commit_callbacks: Any, nudged: list[tuple[str, str]]
) -> None:
    call = scene.waiting(support)
    with django_capture_on_commit_callbacks(execute=True):
        clients.key("calls:write").post(f"/api/v1/calls/{call.pk}/set_priority", {"priority": -10})
    assert nudged == [("queues.route", str(support.pk))]


def test_a_priority_goes_with_the_caller(support: Queue) -> None:
    call, sales, client = scene.waiting(support), scene.queue("sales"), clients.key("calls:write")
    for verb, words in (
        ("set_priority", {"priority": 4}),
        ("leave_queue", {"then": "requeue"}),
        ("enqueue", {"queue": str(sales.pk)}),
        ("set_priority", {"priority": -2}),
    ):
        assert client.post(f"/api/v1/calls/{call.pk}/{verb}", words).status_code == 202
    shown = clients.key("calls:read").get(f"/api/v1/calls/{call.pk}").json()
    assert shown["priority"] == -2
    assert [entry["priority"] for entry in shown["entries"]] == [4, 4, -2]


def test_who_waits_in_no_queue_has_no_place_to_change(call: Call) -> None:
    answer = clients.key("calls:write").post(f"/api/v1/calls/{call.pk}/set_priority", {"priority": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_waiting")
    call.refresh_from_db()
    assert call.priority == 0


@pytest.mark.parametrize(
    ("verb", "words", "status", "code"),
    [
        ("set_priority", {}, 400, "invalid_input"),
        ("set_priority", {"priority": 11}, 400, "invalid_input"),
        ("set_priority", {"priority": -11}, 400, "invalid_input"),
        ("set_priority", {"priority": "high"}, 400, "invalid_input"),
        ("set_priority", {"priority": 1, "weight": 2}, 400, "invalid_input"),
        ("enqueue", {}, 400, "invalid_input"),
        ("enqueue", {"queue": "sales"}, 400, "invalid_input"),
        ("enqueue", {"queue": SOMEBODY}, 404, "queue_not_found"),
        ("enqueue", {"queue_name": "sales"}, 400, "invalid_input"),
        ("leave_queue", {}, 400, "invalid_input"),
        ("leave_queue", {"then": "nothing"}, 400, "invalid_input"),
    ],
)
def test_nonsense_moves_nobody(support: Queue, verb: str, words: Any, status: int, code: str) -> None:
    call = scene.waiting(support)
    answer = clients.key().post(f"/api/v1/calls/{call.pk}/{verb}", words)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert QueueEntry.objects.get().state == QueueEntry.State.WAITING
    assert not Command.objects.exists()


@pytest.mark.parametrize("verb", ["enqueue", "leave_queue", "set_priority"])
def test_reading_calls_is_not_moving_them(support: Queue, verb: str) -> None:
    call = scene.waiting(support)
    client = clients.key(*(scope for scope in SCOPES if scope != "calls:write"))
    answer = client.post(f"/api/v1/calls/{call.pk}/{verb}", {"then": "hangup"})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


def test_a_waiting_caller_is_given_a_conference(support: Queue) -> None:
    call = scene.waiting(support)
    answer = clients.key("conferences:write").post("/api/v1/conferences", {"call": str(call.pk)})
    assert answer.status_code == 202
    command = Command.objects.get(command_id=answer.json()["command"])
    assert (command.kind, command.operation) == ("create_conference_for_caller", "conferences.create")
    assert command.arguments["start_conference_on_create"] is False
    assert command.arguments["hold_audio_url"] == support.hold_music_url
    assert call.entries.get().state == QueueEntry.State.WAITING


def test_who_talks_already_is_given_none(call: Call) -> None:
    client = clients.key("conferences:write")
    assert client.post("/api/v1/conferences", {"call": str(call.pk)}).json()["code"] == "not_waiting"
    assert client.post("/api/v1/conferences", {"call": SOMEBODY}).json()["code"] == "call_not_found"
    assert client.post("/api/v1/conferences", {"call": "x"}).status_code == 400
    assert client.post("/api/v1/conferences", {}).status_code == 400


# what became of it -------------------------------------------------------------------------------------------


def test_a_command_says_what_became_of_it(call: Call) -> None:
    client = clients.key("conferences:write", "calls:read")
    ident = ask(client, call, "mute", EVERYONE).json()["command"]
    seen = client.get(f"/api/v1/commands/{ident}").json()
    assert (seen["id"], seen["call"], seen["kind"], seen["state"]) == (ident, str(call.pk), "mute", "new")
    Command.objects.filter(command_id=ident).update(state="rejected", code="90019", error="secret v3:telnyx-token")
    seen = client.get(f"/api/v1/commands/{ident}").json()
    assert (seen["state"], seen["code"]) == ("rejected", "90019")
    assert "secret" not in str(seen)
