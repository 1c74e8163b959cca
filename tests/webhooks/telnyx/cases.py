"""Every method of the client, called with every parameter it has: the table of the contract test."""

from dataclasses import dataclass, field
from typing import Any

from webhooks.telnyx import records

LEG = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"
OTHER_LEG = "v3:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ=="
UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
STATE = "aGF2ZSBhIG5pY2UgZGF5ID1d"
COMMAND = {"command_id": "891510ac-f3e4-11e8-af5b-de00688a4901"}
INSTANT = "2019-03-29T11:10:00Z"
URL = "https://media.example.com/music.mp3"

RECORD = {
    "record": "record-from-answer",
    "record_channels": "dual",
    "record_format": "wav",
    "record_track": "both",
    "record_trim": "trim-silence",
    "record_max_length": 43_200,
    "record_timeout_secs": 0,
    "record_custom_file_name": "a" * 40,
}
WEBHOOKS = {
    "webhook_url": "https://example.com/leg",
    "webhook_urls": {"call.hangup": "https://example.com/hangup"},
    "webhook_retries_policies": {"call.hangup": {"retries_ms": [1000, 2000, 57_000]}},
}
HEADERS = {
    "custom_headers": [{"name": "X-Call-Id", "value": "1"}],
    "sip_headers": [{"name": "User-to-User", "value": "2"}],
}
DETECTION = {
    "answering_machine_detection": "premium",
    "answering_machine_detection_config": {"total_analysis_time_millis": 3500, "silence_threshold": 256},
}
NEW_LEG = {
    **DETECTION,
    **HEADERS,
    **RECORD,
    **WEBHOOKS,
    "from_display_name": "Sales +1 ~no. 2!",
    "timeout_secs": 5,
    "time_limit_secs": 14_400,
    "client_state": STATE,
    "park_after_unbridge": "self",
    "send_digits_on_answer": "1wW*#D",
    "media_encryption": "SRTP",
    "privacy": "none",
    "sip_region": "Europe",
    "sip_transport_protocol": "TLS",
}
DIGITS = {
    "minimum_digits": 1,
    "maximum_digits": 128,
    "valid_digits": "0123456789",
    "terminating_digit": "#",
    "timeout_millis": 60_000,
    "inter_digit_timeout_millis": 5000,
    "client_state": STATE,
}
SPEECH = {
    "payload": "p" * 3000,
    "voice": "AWS.Polly.Joanna-Neural",
    "payload_type": "text",
    "language": "en-US",
    "voice_settings": {"type": "telnyx", "voice_speed": 1.5},
}
CONFERENCE_CONFIG = {
    "id": UUID,
    "early_media": False,
    "mute": False,
    "hold": True,
    "hold_audio_url": URL,
    "beep_enabled": "on_enter",
    "supervisor_role": "whisper",
    "whisper_call_control_ids": [LEG],
    "start_conference_on_create": False,
    "start_conference_on_enter": True,
    "end_conference_on_exit": False,
    "soft_end_conference_on_exit": False,
}
LEGS = {"call_control_ids": [LEG, OTHER_LEG]}
EVERYONE = {"everyone": True}
REGION = {"region": "Middle East"}
PAGE = {"page_size": 250}


@dataclass(frozen=True)
class Case:
    method: str
    operation: str
    ids: tuple[str, ...] = ()
    arguments: dict[str, Any] = field(default_factory=dict)
    record: type | None = None
    is_list: bool = False

    def __str__(self) -> str:
        return f"{self.method}({', '.join(sorted(self.arguments))})"[:80]


def leg(action: str, /, **arguments: Any) -> Case:
    return Case(f"calls.{action}", f"POST /calls/{{call_control_id}}/actions/{action}", (LEG,), arguments)


def room(action: str, /, **arguments: Any) -> Case:
    return Case(f"conferences.{action}", f"POST /conferences/{{id}}/actions/{action}", (UUID,), arguments)


def one(method: str, operation: str, record: type, /, *ids: str, **arguments: Any) -> Case:
    return Case(method, operation, ids, arguments, record)


def many(method: str, operation: str, record: type, /, *ids: str, **arguments: Any) -> Case:
    return Case(method, operation, ids, {**PAGE, **arguments}, record, is_list=True)


DIAL = {"connection_id": "7267000000000000000", "from_": "+15550100", **COMMAND}
JOIN = {"call_control_id": LEG, "hold": True, "mute": False, "beep_enabled": "never", "client_state": STATE}
PARTICIPANT = "/conferences/{id}/participants/{participant_id}"
QUEUED = "/queues/{queue_name}/calls/{call_control_id}"

CASES = [
    one("calls.dial", "POST /calls", records.DialedCall, to="+15550101", **DIAL),
    one(
        "calls.dial",
        "POST /calls",
        records.DialedCall,
        to=["+15550101", "sip:agent@sip.telnyx.com"],
        retry_on_timeout=False,
        link_to=LEG,
        bridge_intent=True,
        bridge_on_answer=True,
        prevent_double_bridge=True,
        conference_config=CONFERENCE_CONFIG,
        audio_url=URL,
        send_silence_when_idle=True,
        billing_group_id=UUID,
        **DIAL,
        **NEW_LEG,
    ),
    one(
        "calls.dial",
        "POST /calls",
        records.DialedCall,
        to="sip:supervisor@sip.telnyx.com",
        supervise_call_control_id=LEG,
        supervisor_role="whisper",
        media_name="welcome",
        conference_config={"conference_name": "offer-1", "hold_media_name": "music"},
        **DIAL,
    ),
    one("calls.retrieve", "GET /calls/{call_control_id}", records.CallStatus, LEG),
    one(
        "calls.answer",
        "POST /calls/{call_control_id}/actions/answer",
        records.AnsweredCall,
        LEG,
        client_state=STATE,
        send_silence_when_idle=True,
        billing_group_id=UUID,
        **COMMAND,
        **HEADERS,
        **RECORD,
        **WEBHOOKS,
    ),
    leg("reject", cause="USER_BUSY", client_state=STATE, **COMMAND),
    leg(
        "hangup",
        reason="over",
        custom_headers=HEADERS["custom_headers"],
        client_state=STATE,
        **COMMAND,
    ),
    leg(
        "bridge",
        call_control_id_to_bridge_with=OTHER_LEG,
        park_after_unbridge="self",
        hold_after_unbridge=True,
        prevent_double_bridge=True,
        play_ringtone=True,
        ringtone="uk",
        mute_dtmf="both",
        client_state=STATE,
        **COMMAND,
        **RECORD,
    ),
    # CONTRACT §10.2: some descriptions require call_control_id here, though a queue in its place is
    # documented; newer ones say "one of", as the client does.
    leg("bridge", queue="support", **COMMAND),
    leg(
        "transfer",
        to="+15550101",
        from_="+15550100",
        target_leg_client_state=STATE,
        early_media=False,
        mute_dtmf="none",
        audio_url=URL,
        **COMMAND,
        **NEW_LEG,
    ),
    leg("transfer", to="sip:agent@sip.telnyx.com", media_name="welcome", **COMMAND),
    leg(
        "speak",
        service_level="premium",
        loop=2,
        target_legs="both",
        stop="all",
        client_state=STATE,
        **COMMAND,
        **SPEECH,
    ),
    leg(
        "playback_start",
        audio_url=URL,
        audio_type="mp3",
        loop="infinity",
        overlay=True,
        target_legs="self",
        cache_audio=True,
        stop="current",
        client_state=STATE,
        **COMMAND,
    ),
    leg("playback_start", media_name="music", loop=3, target_legs="opposite", **COMMAND),
    leg("playback_start", playback_content="UklGRg==", audio_type="wav", **COMMAND),
    leg("playback_stop", stop="all", overlay=False, client_state=STATE, **COMMAND),
    leg("gather", initial_timeout_millis=5000, gather_id="g" * 40, **COMMAND, **DIGITS),
    leg(
        "gather_using_speak",
        invalid_payload="Again, please.",
        service_level="premium",
        maximum_tries=3,
        **COMMAND,
        **SPEECH,
        **DIGITS,
    ),
    leg("gather_using_audio", audio_url=URL, invalid_media_name="again", maximum_tries=3, **COMMAND, **DIGITS),
    leg("gather_using_audio", media_name="prompt", invalid_audio_url=URL, **COMMAND),
    leg("gather_stop", client_state=STATE, **COMMAND),
    leg("send_dtmf", digits="12wW*#AD", duration_millis=100, client_state=STATE, **COMMAND),
    leg(
        "record_start",
        format="mp3",
        channels="dual",
        custom_file_name="call-1",
        max_length=14_400,
        timeout_secs=0,
        recording_track="both",
        play_beep=True,
        trim="trim-silence",
        client_state=STATE,
        **COMMAND,
    ),
    leg("record_stop", recording_id=UUID, client_state=STATE, **COMMAND),
    leg("record_pause", recording_id=UUID, client_state=STATE, **COMMAND),
    leg("record_resume", recording_id=UUID, client_state=STATE, **COMMAND),
    leg(
        "enqueue",
        queue_name="support",
        max_wait_time_secs=360,
        max_size=100,
        keep_after_hangup=False,
        client_state=STATE,
        **COMMAND,
    ),
    leg("leave_queue", client_state=STATE, **COMMAND),
    leg("switch_supervisor_role", role="barge"),
    Case(
        "calls.client_state_update",
        "PUT /calls/{call_control_id}/actions/client_state_update",
        (LEG,),
        {"client_state": STATE},
    ),
    many("calls.active", "GET /connections/{connection_id}/active_calls", records.ActiveCall, "7267000000"),
    *(
        many(
            "calls.events",
            "GET /call_events",
            records.CallEventRecord,
            call_leg_id=UUID,
            call_session_id=UUID,
            connection_id="7267000000",
            type="webhook",
            failed=False,
            from_="+15550100",
            to="+15550101",
            **{f"occurred_at_{bound}": INSTANT},
        )
        for bound in ("eq", "gt", "gte", "lt", "lte")
    ),
    one("queues.create", "POST /queues", records.Queue, queue_name="support", max_size=1),
    many("queues.list", "GET /queues", records.Queue),
    one("queues.retrieve", "GET /queues/{queue_name}", records.Queue, "support/tier 1"),
    one("queues.update", "POST /queues/{queue_name}", records.Queue, "support", max_size=300),
    Case("queues.delete", "DELETE /queues/{queue_name}", ("support",)),
    many("queues.list_calls", "GET /queues/{queue_name}/calls", records.QueueCall, "support"),
    one("queues.retrieve_call", f"GET {QUEUED}", records.QueueCall, "support", LEG),
    Case("queues.update_call", f"PATCH {QUEUED}", ("support", LEG), {"keep_after_hangup": True}),
    Case("queues.remove_call", f"DELETE {QUEUED}", ("support", LEG)),
    one(
        "conferences.create",
        "POST /conferences",
        records.Conference,
        call_control_id=LEG,
        name="offer-1",
        start_conference_on_create=False,
        hold_audio_url=URL,
        max_participants=2,
        duration_minutes=240,
        beep_enabled="always",
        comfort_noise=False,
        client_state=STATE,
        **COMMAND,
        **REGION,
    ),
    one(
        "conferences.create",
        "POST /conferences",
        records.Conference,
        call_control_id=LEG,
        name="offer-2",
        hold_media_name="music",
        max_participants=800,
        **COMMAND,
    ),
    many(
        "conferences.list",
        "GET /conferences",
        records.Conference,
        name="offer-1",
        status="in_progress",
        **REGION,
    ),
    one("conferences.retrieve", "GET /conferences/{id}", records.Conference, UUID, **REGION),
    room("end", **COMMAND),
    room(
        "join",
        start_conference_on_enter=True,
        end_conference_on_exit=False,
        soft_end_conference_on_exit=False,
        hold_audio_url=URL,
        supervisor_role="whisper",
        whisper_call_control_ids=[OTHER_LEG],
        **JOIN,
        **COMMAND,
        **REGION,
    ),
    room("join", hold_media_name="music", supervisor_role="monitor", **JOIN, **COMMAND),
    room("leave", call_control_id=LEG, beep_enabled="on_exit", **COMMAND, **REGION),
    room(
        "update",
        call_control_id=LEG,
        supervisor_role="whisper",
        whisper_call_control_ids=[OTHER_LEG],
        **COMMAND,
        **REGION,
    ),
    room("update", call_control_id=LEG, supervisor_role="none", **COMMAND),
    room("hold", audio_url=URL, **LEGS, **REGION),
    room("hold", media_name="music", **EVERYONE),
    room("unhold", **LEGS, **REGION),
    room("mute", **LEGS, **REGION),
    room("mute", **EVERYONE),
    room("unmute", **LEGS, **REGION),
    room("unmute", **EVERYONE),
    room("play", audio_url=URL, loop="infinity", **LEGS, **REGION),
    room("play", media_name="music", loop=1, **EVERYONE),
    room("stop", **LEGS, **REGION),
    room("stop", **EVERYONE),
    room("speak", **SPEECH, **LEGS, **COMMAND, **REGION),
    room("speak", payload="Hello.", voice="AWS.Polly.Joanna", **EVERYONE, **COMMAND),
    room("send_dtmf", digits="1#", duration_millis=500, client_state=STATE, **LEGS),
    room("send_dtmf", digits="1#", **EVERYONE),
    room(
        "gather_using_audio",
        call_control_id=LEG,
        audio_url=URL,
        invalid_media_name="again",
        maximum_tries=3,
        initial_timeout_millis=5000,
        stop_playback_on_dtmf=True,
        gather_id="g" * 100,
        **DIGITS,
    ),
    room("gather_using_audio", call_control_id=LEG, media_name="prompt", invalid_audio_url=URL),
    room(
        "record_start",
        format="wav",
        channels="dual",
        custom_file_name="c",
        play_beep=False,
        trim="trim-silence",
        **COMMAND,
        **REGION,
    ),
    room("record_stop", recording_id=UUID, client_state=STATE, **COMMAND, **REGION),
    room("record_pause", recording_id=UUID, **COMMAND, **REGION),
    room("record_resume", recording_id=UUID, **COMMAND, **REGION),
    many(
        "conferences.list_participants",
        "GET /conferences/{conference_id}/participants",
        records.Participant,
        UUID,
        muted=True,
        on_hold=False,
        whispering=True,
        **REGION,
    ),
    one("conferences.retrieve_participant", f"GET {PARTICIPANT}", records.Participant, UUID, "supervisor/1"),
    one(
        "conferences.update_participant",
        f"PATCH {PARTICIPANT}",
        records.Participant,
        UUID,
        UUID,
        beep_enabled="never",
        end_conference_on_exit=False,
        soft_end_conference_on_exit=True,
    ),
    many(
        "recordings.list",
        "GET /recordings",
        records.Recording,
        call_control_id=LEG,
        call_leg_id=UUID,
        call_session_id=UUID,
        conference_id=UUID,
        conference_region="us",
        connection_id="7267000000",
        sip_call_id="1@example.com",
        from_="+15550100",
        to="+15550101",
        created_at_gte=INSTANT,
        created_at_lte=INSTANT,
        start_time_gte=INSTANT,
        start_time_lte=INSTANT,
        end_time_gte=INSTANT,
        end_time_lte=INSTANT,
    ),
    one("recordings.retrieve", "GET /recordings/{recording_id}", records.Recording, UUID),
    Case("recordings.delete", "DELETE /recordings/{recording_id}", (UUID,)),
    one(
        "applications.retrieve",
        "GET /call_control_applications/{id}",
        records.Application,
        "1494404757140276705",
    ),
]
