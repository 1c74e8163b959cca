"""What is refused before it is sent. Nothing may reach the wire in any of these."""

from typing import Any

import httpx
import pytest

from tests.webhooks.telnyx.cases import COMMAND, LEG, STATE, URL, UUID
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import InvalidRequest, TelnyxError

DIAL = {"connection_id": "1", "to": "+15550101", "from_": "+15550100", **COMMAND}
SPEAK = {"payload": "Hello.", "voice": "AWS.Polly.Joanna", **COMMAND}
CREATE = {"call_control_id": LEG, "name": "offer-1", **COMMAND}
RECORD = {"format": "wav", "channels": "dual", **COMMAND}
JOIN = {"call_control_id": LEG, **COMMAND}


def refuse(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"{request.method} {request.url.path} was sent")


def attempt(method: str, ids: tuple[Any, ...], arguments: dict[str, Any]) -> str:
    resource, name = method.split(".")
    client = TelnyxClient(api_key="KEY0123", transport=httpx.MockTransport(refuse))
    with pytest.raises(InvalidRequest) as refusal:
        getattr(getattr(client, resource), name)(*ids, **arguments)
    assert isinstance(refusal.value, (ValueError, TelnyxError))
    return str(refusal.value)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("calls.dial", {**DIAL, "timeout_secs": 4}, "timeout_secs must be a whole number from 5 to 600; found 4"),
        ("calls.dial", {**DIAL, "timeout_secs": 601}, "timeout_secs must be a whole number from 5 to 600"),
        ("calls.dial", {**DIAL, "timeout_secs": "30"}, "timeout_secs must be a whole number from 5 to 600"),
        ("calls.dial", {**DIAL, "timeout_secs": True}, "timeout_secs must be a whole number from 5 to 600"),
        ("calls.dial", {**DIAL, "time_limit_secs": 29}, "time_limit_secs must be a whole number from 30 to 14400"),
        ("calls.dial", {**DIAL, "time_limit_secs": 14_401}, "time_limit_secs must be a whole number from 30"),
        ("calls.dial", {**DIAL, "record_max_length": 43_201}, "record_max_length must be a whole number from 0"),
        ("calls.dial", {**DIAL, "record_timeout_secs": -1}, "record_timeout_secs must be a whole number from 0 up"),
        ("calls.dial", {**DIAL, "record_custom_file_name": "a" * 41}, "record_custom_file_name must be text of 1"),
        ("calls.dial", {**DIAL, "from_display_name": "a" * 129}, "from_display_name must be text of 1 to 128"),
        ("calls.dial", {**DIAL, "from_display_name": "R&D"}, "from_display_name must be letters, numbers"),
        ("calls.dial", {**DIAL, "send_digits_on_answer": "1" * 65}, "send_digits_on_answer must be text of 1"),
        ("calls.dial", {**DIAL, "send_digits_on_answer": "1x"}, "send_digits_on_answer must be text"),
        ("calls.dial", {**DIAL, "to": []}, "to must be a number or SIP address, or a list"),
        ("calls.dial", {**DIAL, "to": ""}, "to must be a number or SIP address, or a list"),
        ("calls.dial", {**DIAL, "from_": ""}, "from must be text of 1 characters or more"),
        ("calls.dial", {**DIAL, "command_id": ""}, "command_id must be text of 1 characters or more"),
        ("calls.dial", {**DIAL, "client_state": "not base64"}, "client_state must be base64 text"),
        ("calls.dial", {**DIAL, "client_state": "ü"}, "client_state must be base64 text"),
        ("calls.dial", {**DIAL, "audio_url": URL, "media_name": "a"}, "audio_url and media_name cannot be used"),
        ("calls.dial", {**DIAL, "bridge_intent": True}, "link_to must be given with bridge_intent"),
        ("calls.dial", {**DIAL, "bridge_on_answer": True}, "link_to must be given with bridge_on_answer"),
        ("calls.dial", {**DIAL, "park_after_unbridge": "self"}, "link_to must be given with park_after_unbridge"),
        ("calls.dial", {**DIAL, "conference_config": {}}, "id or conference_name must be given"),
        (
            "calls.dial",
            {**DIAL, "conference_config": {"id": UUID, "conference_name": "a"}},
            "id and conference_name cannot be used together",
        ),
        (
            "calls.dial",
            {**DIAL, "conference_config": {"id": UUID, "supervisor_role": "whisper"}},
            "whisper_call_control_ids must be given with supervisor_role whisper",
        ),
        (
            "calls.dial",
            {**DIAL, "conference_config": {"id": UUID, "hold_audio_url": URL, "hold_media_name": "a"}},
            "hold_audio_url and hold_media_name cannot be used together",
        ),
        (
            "calls.dial",
            {**DIAL, "webhook_retries_policies": {"call.hangup": {"retries_ms": [1] * 6}}},
            "webhook_retries_policies must give each event retries_ms: at most 5",
        ),
        (
            "calls.dial",
            {**DIAL, "webhook_retries_policies": {"call.hangup": {"retries_ms": [30_000, 30_001]}}},
            "webhook_retries_policies must give each event retries_ms: at most 5",
        ),
        ("calls.dial", {**DIAL, "webhook_retries_policies": {"call.hangup": 1}}, "webhook_retries_policies must"),
        ("conferences.create", {**CREATE, "max_participants": 1}, "max_participants must be a whole number from 2"),
        ("conferences.create", {**CREATE, "max_participants": 801}, "max_participants must be a whole number"),
        ("conferences.create", {**CREATE, "duration_minutes": 0}, "duration_minutes must be a whole number from 1"),
        (
            "conferences.create",
            {**CREATE, "hold_audio_url": URL, "hold_media_name": "music"},
            "hold_audio_url and hold_media_name cannot be used together",
        ),
        ("conferences.create", {**CREATE, "name": ""}, "name must be text of 1 characters or more"),
        ("queues.create", {"queue_name": ""}, "queue_name must be text of 1 to 255 characters"),
        ("queues.create", {"queue_name": "q" * 256}, "queue_name must be text of 1 to 255 characters; found 256"),
        ("queues.create", {"queue_name": "q", "max_size": 0}, "max_size must be a whole number from 1 up; found 0"),
        ("queues.list", {"page_size": 251}, "page_size must be a whole number from 1 to 250; found 251"),
        ("recordings.list", {"page_size": 0}, "page_size must be a whole number from 1 to 250; found 0"),
        (
            "calls.events",
            {"occurred_at_gt": "a", "occurred_at_lt": "b"},
            "occurred_at_gt and occurred_at_lt cannot be used together",
        ),
    ],
)
def test_a_value_out_of_range_names_the_field_and_the_range(
    method: str, arguments: dict[str, Any], message: str
) -> None:
    assert attempt(method, (), arguments).startswith(message)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("calls.transfer", {"to": "+15550101", "timeout_secs": 4, **COMMAND}, "timeout_secs must be a whole"),
        ("calls.transfer", {"to": "+15550101", "target_leg_client_state": "?", **COMMAND}, "target_leg_client_state"),
        ("calls.speak", {**SPEAK, "payload": "a" * 3001}, "payload must be text of 1 to 3000 characters; found 3001"),
        ("calls.speak", {**SPEAK, "payload": ""}, "payload must be text of 1 to 3000 characters; found 0"),
        ("calls.speak", {**SPEAK, "stop": "everything"}, "stop must be one of current, all; found 'everything'"),
        ("calls.speak", {**SPEAK, "loop": 0}, 'loop must be a whole number from 1 up, or "infinity"; found 0'),
        ("calls.speak", {**SPEAK, "target_legs": "all"}, "target_legs must be one of self, opposite, both"),
        ("calls.speak", {**SPEAK, "service_level": "basic", "language": "de-DE"}, "language must be en-US with"),
        ("calls.speak", {**SPEAK, "service_level": "basic", "payload_type": "ssml"}, "payload_type must be text"),
        (
            "calls.speak",
            {**SPEAK, "voice_settings": {"type": "telnyx", "voice_speed": 2.1}},
            "voice_settings.voice_speed must be a number from 0.1 to 2.0; found 2.1",
        ),
        ("calls.playback_start", COMMAND, "audio_url or media_name or playback_content must be given"),
        ("calls.playback_start", {"audio_url": URL, "media_name": "a", **COMMAND}, "audio_url and media_name cannot"),
        (
            "calls.playback_start",
            {"audio_url": URL, "overlay": True, "target_legs": "both", **COMMAND},
            "target_legs, with overlay, must be one of self",
        ),
        ("calls.playback_stop", {"stop": "now", **COMMAND}, "stop must be one of current, all"),
        ("calls.gather", {"minimum_digits": 0, **COMMAND}, "minimum_digits must be a whole number from 1 to 128"),
        ("calls.gather", {"maximum_digits": 129, **COMMAND}, "maximum_digits must be a whole number from 1 to 128"),
        (
            "calls.gather",
            {"minimum_digits": 4, "maximum_digits": 3, **COMMAND},
            "minimum_digits must not exceed maximum_digits; found 4 and 3",
        ),
        ("calls.gather", {"gather_id": "g" * 41, **COMMAND}, "gather_id must be text of 1 to 40 characters"),
        ("calls.gather", {"valid_digits": "1-9", **COMMAND}, "valid_digits must be text of 1 characters or more"),
        ("calls.gather", {"terminating_digit": "##", **COMMAND}, "terminating_digit must be text of 0 to 1"),
        ("calls.gather_using_speak", {**SPEAK, "invalid_payload": "a" * 3001}, "invalid_payload must be text of 1"),
        ("calls.gather_using_speak", {**SPEAK, "maximum_tries": 0}, "maximum_tries must be a whole number from 1"),
        ("calls.gather_using_audio", COMMAND, "audio_url or media_name must be given"),
        (
            "calls.gather_using_audio",
            {"audio_url": URL, "invalid_audio_url": URL, "invalid_media_name": "a", **COMMAND},
            "invalid_audio_url and invalid_media_name cannot be used together",
        ),
        ("calls.send_dtmf", {"digits": "", **COMMAND}, "digits must be text of 1 characters or more"),
        ("calls.send_dtmf", {"digits": "12 3", **COMMAND}, "digits must be text of 1 characters or more"),
        ("calls.send_dtmf", {"digits": "1", "duration_millis": 99, **COMMAND}, "duration_millis must be a whole"),
        ("calls.send_dtmf", {"digits": "1", "duration_millis": 501, **COMMAND}, "duration_millis must be a whole"),
        ("calls.record_start", {**RECORD, "custom_file_name": ""}, "custom_file_name must be text of 1 to 40"),
        ("calls.record_start", {**RECORD, "custom_file_name": "c" * 41}, "custom_file_name must be text of 1 to 40"),
        ("calls.record_start", {**RECORD, "max_length": 14_401}, "max_length must be a whole number from 0 to 14400"),
        ("calls.record_start", {**RECORD, "timeout_secs": -1}, "timeout_secs must be a whole number from 0 up"),
        ("calls.bridge", COMMAND, "call_control_id_to_bridge_with or queue must be given"),
        (
            "calls.bridge",
            {"call_control_id_to_bridge_with": LEG, "queue": "support", **COMMAND},
            "call_control_id_to_bridge_with and queue cannot be used together",
        ),
        ("calls.enqueue", {"queue_name": "", **COMMAND}, "queue_name must be text of 1 to 255 characters"),
        ("calls.enqueue", {"queue_name": "q", "max_wait_time_secs": 0, **COMMAND}, "max_wait_time_secs must be a"),
        ("calls.enqueue", {"queue_name": "q", "max_size": 0, **COMMAND}, "max_size must be a whole number from 1"),
        ("calls.client_state_update", {"client_state": "="}, "client_state must be base64 text"),
        ("queues.update", {"max_size": 0}, "max_size must be a whole number from 1 up"),
        ("conferences.play", {"everyone": True}, "audio_url or media_name must be given"),
        ("conferences.play", {"everyone": True, "audio_url": URL, "loop": "ever"}, "loop must be a whole number"),
        ("conferences.hold", {"everyone": True, "audio_url": URL, "media_name": "a"}, "audio_url and media_name"),
        ("conferences.speak", {**SPEAK, "everyone": True, "payload": "a" * 3001}, "payload must be text of 1 to 3000"),
        ("conferences.send_dtmf", {"digits": "x", "everyone": True}, "digits must be text"),
        ("conferences.record_start", {"format": "wav", "custom_file_name": "c" * 41, **COMMAND}, "custom_file_name"),
        (
            "conferences.gather_using_audio",
            {"call_control_id": LEG, "audio_url": URL, "gather_id": "g" * 101},
            "gather_id must be text of 1 to 100 characters",
        ),
        ("conferences.join", {**JOIN, "supervisor_role": "whisper"}, "whisper_call_control_ids must be given with"),
        (
            "conferences.join",
            {**JOIN, "supervisor_role": "whisper", "whisper_call_control_ids": []},
            "whisper_call_control_ids must be given with",
        ),
        ("conferences.join", {**JOIN, "whisper_call_control_ids": LEG}, "whisper_call_control_ids must be a list"),
        ("conferences.join", {**JOIN, "hold_audio_url": URL, "hold_media_name": "a"}, "hold_audio_url and"),
        ("conferences.update", {**JOIN, "supervisor_role": "whisper"}, "whisper_call_control_ids must be given with"),
    ],
)
def test_a_value_out_of_range_is_refused_for_what_has_an_id(
    method: str, arguments: dict[str, Any], message: str
) -> None:
    assert attempt(method, (UUID,), arguments).startswith(message)


def test_a_participants_update_must_change_something() -> None:
    assert "must be given" in attempt("conferences.update_participant", (UUID, UUID), {})


EVERYONE = [
    ("hold", {}),
    ("mute", {}),
    ("unmute", {}),
    ("play", {"audio_url": URL}),
    ("stop", {}),
    ("speak", SPEAK),
    ("send_dtmf", {"digits": "1"}),
]


@pytest.mark.parametrize(("action", "arguments"), EVERYONE)
@pytest.mark.parametrize(
    ("legs", "message"),
    [
        pytest.param({}, "call_control_ids must name at least one leg", id="missing"),
        pytest.param({"call_control_ids": None}, "call_control_ids must name at least one leg", id="none"),
        pytest.param({"call_control_ids": []}, "call_control_ids must name at least one leg", id="empty"),
        pytest.param({"call_control_ids": [""]}, "call_control_ids must hold call_control_ids only", id="blank"),
        pytest.param({"call_control_ids": LEG}, "call_control_ids must be a list", id="one string"),
        pytest.param({"everyone": 1}, "call_control_ids must name at least one leg", id="nearly everyone"),
        pytest.param(
            {"call_control_ids": [LEG], "everyone": True},
            "call_control_ids and everyone cannot be used together",
            id="both",
        ),
        pytest.param(
            {"call_control_ids": [], "everyone": True},
            "call_control_ids and everyone cannot be used together",
            id="empty and everyone",
        ),
    ],
)
def test_nobody_is_never_taken_for_everybody(
    action: str, arguments: dict[str, Any], legs: dict[str, Any], message: str
) -> None:
    assert attempt(f"conferences.{action}", (UUID,), {**arguments, **legs}).startswith(message)


@pytest.mark.parametrize("legs", [[], None, LEG, [LEG, ""]])
def test_unhold_always_needs_its_legs(legs: Any) -> None:
    assert "call_control_ids must" in attempt("conferences.unhold", (UUID,), {"call_control_ids": legs})


@pytest.mark.parametrize("value", ["", ".", "..", None, 7, "\ud800"])
@pytest.mark.parametrize(
    ("method", "arguments", "name"),
    [
        ("calls.retrieve", {}, "call_control_id"),
        ("calls.hangup", COMMAND, "call_control_id"),
        ("calls.active", {}, "connection_id"),
        ("queues.delete", {}, "queue_name"),
        ("queues.list_calls", {}, "queue_name"),
        ("conferences.end", COMMAND, "id"),
        ("conferences.list_participants", {}, "conference_id"),
        ("recordings.delete", {}, "recording_id"),
        ("applications.retrieve", {}, "id"),
    ],
)
def test_an_id_that_would_lead_to_another_path_is_refused(
    method: str, arguments: dict[str, Any], name: str, value: Any
) -> None:
    assert attempt(method, (value,), arguments).startswith(f"{name} must be an identifier")


def test_what_json_cannot_say_is_refused() -> None:
    arguments = {**DIAL, "conference_config": {"id": UUID, "mute": {1, 2}}}
    assert attempt("calls.dial", (), arguments) == "the body must be values that JSON has"


def test_messages_do_not_quote_what_may_be_private() -> None:
    secret = "4929123412341234"
    messages = [
        attempt("calls.send_dtmf", (LEG,), {"digits": f"{secret}!", **COMMAND}),
        attempt("calls.speak", (LEG,), {**SPEAK, "payload": secret * 200}),
        attempt("calls.client_state_update", (LEG,), {"client_state": f"{secret}!"}),
        attempt("calls.dial", (), {**DIAL, "to": [secret, ""]}),
        attempt("conferences.hold", (UUID,), {"call_control_ids": secret}),
    ]
    assert not any(secret in message for message in messages)


def test_a_limit_is_a_limit_at_both_of_its_ends() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"data": {"result": "ok", "id": "1", "name": "n"}})

    client = TelnyxClient(api_key="KEY0123", transport=httpx.MockTransport(answer))
    for payload in ("a", "a" * 3000):
        client.calls.speak(LEG, payload=payload, voice="AWS.Polly.Joanna", command_id="1", client_state=STATE)
    for most in (2, 800):
        client.conferences.create(call_control_id=LEG, name="n", max_participants=most, command_id="1")
    for millis in (100, 500):
        client.calls.send_dtmf(LEG, digits="1", duration_millis=millis, command_id="1")
    for size in (1, 255):
        client.calls.enqueue(LEG, queue_name="q" * size, command_id="1")
    assert len(sent) == 8
