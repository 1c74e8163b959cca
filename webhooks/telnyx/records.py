"""What Telnyx answers, as frozen records in Telnyx's own field names.

Every record comes from JSON by ``from_json`` and goes back by ``dataclasses.asdict``: instants stay the text
that Telnyx sent. Only what makes the record worth having is required; a value that is missing or of another
type is None, and unknown values of a closed set are kept, since Telnyx adds some without telling.

Tokens, phone numbers and download links stay out of ``repr``, which ends up in logs.

Source: the response schemas of Telnyx's OpenAPI description; CONTRACT appendix B.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

Json = Mapping[str, Any]


class MalformedRecord(ValueError):
    """A reply that lacks what its record is worth having for. The message names the field."""


class Record(Protocol):
    """Anything that can be read from a JSON object."""

    @classmethod
    def from_json(cls, data: Json) -> Self: ...


def _required(data: Json, key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise MalformedRecord(f"{key} is missing or not text")
    return value


def _text(data: Json, key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) else None


def _whole(data: Json, key: str) -> int | None:
    value = data.get(key)
    return value if type(value) is int else None


def _flag(data: Json, key: str) -> bool | None:
    value = data.get(key)
    return value if isinstance(value, bool) else None


def _texts(data: Json, key: str) -> tuple[str, ...]:
    value = data.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _object(data: Json, key: str) -> Json:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """The x-ratelimit-* headers of the last reply that had any.

    ``reset`` is seconds until the window ends.
    """

    limit: int | None
    remaining: int | None
    reset: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DialedCall:
    """The leg a dial has created. It does not ring yet, and may never: call.hangup would say so."""

    call_control_id: str = field(repr=False)
    call_leg_id: str
    call_session_id: str
    is_alive: bool | None
    client_state: str | None = field(repr=False)
    recording_id: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        return cls(
            call_control_id=_required(data, "call_control_id"),
            call_leg_id=_required(data, "call_leg_id"),
            call_session_id=_required(data, "call_session_id"),
            is_alive=_flag(data, "is_alive"),
            client_state=_text(data, "client_state"),
            recording_id=_text(data, "recording_id"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredCall:
    """``recording_id`` is there when the answer also started a recording."""

    recording_id: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        return cls(recording_id=_text(data, "recording_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStatus:
    """A leg as Telnyx sees it; kept about 10 minutes after its end.

    ``is_alive`` False proves an end only for a leg that has been up: after a dial it is False at first.
    ``call_duration`` is whole seconds.
    """

    call_control_id: str = field(repr=False)
    call_leg_id: str
    call_session_id: str
    is_alive: bool
    client_state: str | None = field(repr=False)
    call_duration: int | None
    start_time: str | None
    end_time: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        is_alive = _flag(data, "is_alive")
        if is_alive is None:
            # Only an explicit false may end a call.
            raise MalformedRecord("is_alive is missing or not a boolean")
        return cls(
            call_control_id=_required(data, "call_control_id"),
            call_leg_id=_required(data, "call_leg_id"),
            call_session_id=_required(data, "call_session_id"),
            is_alive=is_alive,
            client_state=_text(data, "client_state"),
            call_duration=_whole(data, "call_duration"),
            start_time=_text(data, "start_time"),
            end_time=_text(data, "end_time"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveCall:
    """A live leg of a connection. ``call_duration`` is whole seconds."""

    call_control_id: str = field(repr=False)
    call_leg_id: str
    call_session_id: str
    client_state: str | None = field(repr=False)
    call_duration: int | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        return cls(
            call_control_id=_required(data, "call_control_id"),
            call_leg_id=_required(data, "call_leg_id"),
            call_session_id=_required(data, "call_session_id"),
            client_state=_text(data, "client_state"),
            call_duration=_whole(data, "call_duration"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEventRecord:
    """One line of Telnyx's own log of a leg: a command it took or a webhook it sent.

    ``metadata`` holds the raw event, in a shape of its own that is not the shape of a webhook.
    """

    name: str
    type: str | None
    call_leg_id: str | None
    call_session_id: str | None
    event_timestamp: str | None
    metadata: dict[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, data: Json) -> Self:
        return cls(
            name=_required(data, "name"),
            type=_text(data, "type"),
            call_leg_id=_text(data, "call_leg_id"),
            call_session_id=_text(data, "call_session_id"),
            event_timestamp=_text(data, "event_timestamp"),
            metadata=dict(_object(data, "metadata")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A Telnyx queue. ``average_wait_time_secs`` is over the calls that wait now, in whole seconds."""

    id: str
    name: str
    current_size: int | None
    max_size: int | None
    average_wait_time_secs: int | None
    created_at: str | None
    updated_at: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        return cls(
            id=_required(data, "id"),
            name=_required(data, "name"),
            current_size=_whole(data, "current_size"),
            max_size=_whole(data, "max_size"),
            average_wait_time_secs=_whole(data, "average_wait_time_secs"),
            created_at=_text(data, "created_at"),
            updated_at=_text(data, "updated_at"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCall:
    """A call in a Telnyx queue. ``queue_position`` counts from 1, ``wait_time_secs`` is whole seconds.

    ``is_alive`` False is a call that hung up and was kept.
    """

    call_control_id: str = field(repr=False)
    call_leg_id: str | None
    call_session_id: str | None
    connection_id: str | None
    from_: str | None = field(repr=False)
    to: str | None = field(repr=False)
    queue_id: str | None
    queue_position: int | None
    enqueued_at: str | None
    wait_time_secs: int | None
    is_alive: bool | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        return cls(
            call_control_id=_required(data, "call_control_id"),
            call_leg_id=_text(data, "call_leg_id"),
            call_session_id=_text(data, "call_session_id"),
            connection_id=_text(data, "connection_id"),
            from_=_text(data, "from"),
            to=_text(data, "to"),
            queue_id=_text(data, "queue_id"),
            queue_position=_whole(data, "queue_position"),
            enqueued_at=_text(data, "enqueued_at"),
            wait_time_secs=_whole(data, "wait_time_secs"),
            is_alive=_flag(data, "is_alive"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedBy:
    """The leg that ended a conference; both None when it ended by itself."""

    call_control_id: str | None = field(repr=False)
    call_session_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conference:
    """A conference: ``status`` is init, in_progress or completed."""

    id: str
    name: str
    status: str | None
    region: str | None
    connection_id: str | None
    end_reason: str | None
    ended_by: EndedBy
    created_at: str | None
    updated_at: str | None
    expires_at: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        ended_by = _object(data, "ended_by")
        return cls(
            id=_required(data, "id"),
            name=_required(data, "name"),
            status=_text(data, "status"),
            region=_text(data, "region"),
            connection_id=_text(data, "connection_id"),
            end_reason=_text(data, "end_reason"),
            ended_by=EndedBy(
                call_control_id=_text(ended_by, "call_control_id"),
                call_session_id=_text(ended_by, "call_session_id"),
            ),
            created_at=_text(data, "created_at"),
            updated_at=_text(data, "updated_at"),
            expires_at=_text(data, "expires_at"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A leg in a conference, from either of Telnyx's two schemas for it: the list's and the single one's.

    ``conference_name`` comes only with a list, ``label`` only with a single one. No endpoint tells the
    supervisor role. ``status`` is joining, joined or left.
    """

    id: str
    call_control_id: str = field(repr=False)
    call_leg_id: str | None
    conference_id: str | None
    conference_name: str | None
    label: str | None
    status: str | None
    muted: bool | None
    on_hold: bool | None
    whisper_call_control_ids: tuple[str, ...] = field(repr=False)
    end_conference_on_exit: bool | None
    soft_end_conference_on_exit: bool | None
    created_at: str | None
    updated_at: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        conference = _object(data, "conference")
        return cls(
            id=_required(data, "id"),
            call_control_id=_required(data, "call_control_id"),
            call_leg_id=_text(data, "call_leg_id"),
            conference_id=_text(data, "conference_id") or _text(conference, "id"),
            conference_name=_text(conference, "name"),
            label=_text(data, "label"),
            status=_text(data, "status"),
            muted=_flag(data, "muted"),
            on_hold=_flag(data, "on_hold"),
            whisper_call_control_ids=_texts(data, "whisper_call_control_ids"),
            end_conference_on_exit=_flag(data, "end_conference_on_exit"),
            soft_end_conference_on_exit=_flag(data, "soft_end_conference_on_exit"),
            created_at=_text(data, "created_at"),
            updated_at=_text(data, "updated_at"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadUrls:
    """Signed links, good for about 10 minutes and for anyone who has them."""

    mp3: str | None = field(repr=False)
    wav: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A finished recording. ``duration_millis`` is milliseconds; ``source`` is call or conference."""

    id: str
    status: str | None
    source: str | None
    initiated_by: str | None
    channels: str | None
    duration_millis: int | None
    call_control_id: str | None = field(repr=False)
    call_leg_id: str | None
    call_session_id: str | None
    conference_id: str | None
    connection_id: str | None
    from_: str | None = field(repr=False)
    to: str | None = field(repr=False)
    download_urls: DownloadUrls
    recording_started_at: str | None
    recording_ended_at: str | None
    created_at: str | None
    updated_at: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        urls = _object(data, "download_urls")
        return cls(
            id=_required(data, "id"),
            status=_text(data, "status"),
            source=_text(data, "source"),
            initiated_by=_text(data, "initiated_by"),
            channels=_text(data, "channels"),
            duration_millis=_whole(data, "duration_millis"),
            call_control_id=_text(data, "call_control_id"),
            call_leg_id=_text(data, "call_leg_id"),
            call_session_id=_text(data, "call_session_id"),
            conference_id=_text(data, "conference_id"),
            connection_id=_text(data, "connection_id"),
            from_=_text(data, "from"),
            to=_text(data, "to"),
            download_urls=DownloadUrls(mp3=_text(urls, "mp3"), wav=_text(urls, "wav")),
            recording_started_at=_text(data, "recording_started_at"),
            recording_ended_at=_text(data, "recording_ended_at"),
            created_at=_text(data, "created_at"),
            updated_at=_text(data, "updated_at"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A call control application: where its webhooks go and what limits its calls.

    ``first_command_timeout_secs`` and ``webhook_timeout_secs`` are whole seconds. A channel limit of None is
    no limit of the application's own; the account's still holds.
    """

    id: str
    application_name: str | None
    active: bool | None
    webhook_api_version: str | None
    webhook_event_url: str | None
    webhook_event_failover_url: str | None
    webhook_timeout_secs: int | None
    first_command_timeout: bool | None
    first_command_timeout_secs: int | None
    inbound_channel_limit: int | None
    outbound_channel_limit: int | None
    outbound_voice_profile_id: str | None
    created_at: str | None
    updated_at: str | None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        inbound, outbound = _object(data, "inbound"), _object(data, "outbound")
        return cls(
            id=_required(data, "id"),
            application_name=_text(data, "application_name"),
            active=_flag(data, "active"),
            webhook_api_version=_text(data, "webhook_api_version"),
            webhook_event_url=_text(data, "webhook_event_url"),
            webhook_event_failover_url=_text(data, "webhook_event_failover_url"),
            webhook_timeout_secs=_whole(data, "webhook_timeout_secs"),
            first_command_timeout=_flag(data, "first_command_timeout"),
            first_command_timeout_secs=_whole(data, "first_command_timeout_secs"),
            inbound_channel_limit=_whole(inbound, "channel_limit"),
            outbound_channel_limit=_whole(outbound, "channel_limit"),
            outbound_voice_profile_id=_text(outbound, "outbound_voice_profile_id"),
            created_at=_text(data, "created_at"),
            updated_at=_text(data, "updated_at"),
        )
