"""Telnyx's closed sets and nested parameters, in Telnyx's own words.

Source: the request schemas of Telnyx's OpenAPI description.
"""

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

Region = Literal["Australia", "Europe", "Middle East", "US"]
BeepEnabled = Literal["always", "never", "on_enter", "on_exit"]
SupervisorRole = Literal["barge", "monitor", "none", "whisper"]
SupervisedCallRole = Literal["barge", "whisper", "monitor"]
RejectCause = Literal["CALL_REJECTED", "NOT_FOUND", "TEMPORARILY_UNAVAILABLE", "USER_BUSY"]
AnsweringMachineDetection = Literal["premium", "detect", "detect_beep", "detect_words", "greeting_end", "disabled"]
Stop = Literal["current", "all"]
TargetLegs = Literal["self", "opposite", "both"]
PayloadType = Literal["text", "ssml"]
ServiceLevel = Literal["basic", "premium"]
MuteDtmf = Literal["none", "both", "self", "opposite"]
MediaEncryption = Literal["disabled", "SRTP", "DTLS"]
SipRegion = Literal["US", "Europe", "Canada", "Australia", "Middle East"]
SipTransportProtocol = Literal["UDP", "TCP", "TLS"]
Privacy = Literal["id", "none"]
RecordWhen = Literal["record-from-answer"]
RecordChannels = Literal["single", "dual"]
RecordFormat = Literal["wav", "mp3"]
RecordTrack = Literal["both", "inbound", "outbound"]
RecordTrim = Literal["trim-silence"]
ConferenceStatus = Literal["init", "in_progress", "completed"]

#: How often: a count from 1, or "infinity" until it is stopped.
Loop = int | Literal["infinity"]


class CustomHeader(TypedDict):
    """A SIP header of ours."""

    name: str
    value: str


class SipHeader(TypedDict):
    """The one standard SIP header Telnyx passes on."""

    name: Literal["User-to-User"]
    value: str


class AnsweringMachineDetectionConfig(TypedDict, total=False):
    """Thresholds in milliseconds, except ``silence_threshold`` (a noise level) and the number of words."""

    after_greeting_silence_millis: int
    between_words_silence_millis: int
    greeting_duration_millis: int
    greeting_silence_duration_millis: int
    greeting_total_analysis_time_millis: int
    initial_silence_millis: int
    maximum_number_of_words: int
    maximum_word_length_millis: int
    silence_threshold: int
    total_analysis_time_millis: int


class ConferenceConfig(TypedDict, total=False):
    """A dialled leg's way into a conference, by ``id`` or by ``conference_name``.

    With ``early_media`` true, Telnyx's default, the leg joins while it still rings: send false for agents.
    """

    id: str
    conference_name: str
    early_media: bool
    mute: bool
    hold: bool
    hold_audio_url: str
    hold_media_name: str
    beep_enabled: BeepEnabled
    supervisor_role: SupervisorRole
    whisper_call_control_ids: Sequence[str]
    start_conference_on_create: bool
    start_conference_on_enter: bool
    end_conference_on_exit: bool
    soft_end_conference_on_exit: bool


class WebhookRetries(TypedDict):
    """Delays in milliseconds between the deliveries of one event: at most 5, at most 60 000 together."""

    retries_ms: Sequence[int]


class VoiceSettings(TypedDict):
    """Settings of the voice's provider, named by ``type``; more keys than these are passed on as they are."""

    type: Literal["elevenlabs", "telnyx", "aws", "minimax", "azure", "rime", "resemble", "inworld", "xai"]
    voice_speed: NotRequired[float]
    api_key_ref: NotRequired[str]
