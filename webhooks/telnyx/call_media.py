"""What a leg hears, says and records: speech, playback, digits, recordings."""

from collections.abc import Mapping
from typing import Any

from webhooks.telnyx.limits import Check, check, exactly_one, one_of, whole
from webhooks.telnyx.resource import Resource
from webhooks.telnyx.vocabulary import (
    Loop,
    PayloadType,
    RecordChannels,
    RecordFormat,
    RecordTrack,
    RecordTrim,
    ServiceLevel,
    Stop,
    TargetLegs,
    VoiceSettings,
)


class CallMedia(Resource):
    """Commands about the sound of one leg. A success means accepted, not done: the proof is a webhook."""

    def _command(
        self,
        call_control_id: str,
        action: str,
        body: Mapping[str, object],
        *,
        method: str = "POST",
        **own: Check,
    ) -> Mapping[str, Any]:
        check(body, **own)
        template = "/calls/{call_control_id}/actions/" + action
        return self._send(method, template, {"call_control_id": call_control_id}, body)

    def speak(
        self,
        call_control_id: str,
        *,
        payload: str,
        voice: str,
        command_id: str,
        payload_type: PayloadType | None = None,
        language: str | None = None,
        service_level: ServiceLevel | None = None,
        voice_settings: VoiceSettings | None = None,
        loop: Loop | None = None,
        target_legs: TargetLegs | None = None,
        stop: Stop | None = None,
        client_state: str | None = None,
    ) -> None:
        """Say a text of 1 to 3000 characters; call.speak.started and call.speak.ended follow.

        Speech and playback of a leg queue up: behind an endless loop this is never heard unless ``stop`` is
        "current" or "all", which ends what plays now or the whole line of it. ``service_level`` basic knows
        only en-US and plain text. ``loop`` counts from 1, or is "infinity".

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/speak
        """
        body = {
            "payload": payload,
            "voice": voice,
            "command_id": command_id,
            "payload_type": payload_type,
            "language": language,
            "service_level": service_level,
            "voice_settings": voice_settings,
            "loop": loop,
            "target_legs": target_legs,
            "stop": stop,
            "client_state": client_state,
        }
        self._command(call_control_id, "speak", body)

    def playback_start(
        self,
        call_control_id: str,
        *,
        command_id: str,
        audio_url: str | None = None,
        media_name: str | None = None,
        playback_content: str | None = None,
        audio_type: RecordFormat | None = None,
        loop: Loop | None = None,
        overlay: bool | None = None,
        target_legs: TargetLegs | None = None,
        cache_audio: bool | None = None,
        stop: Stop | None = None,
        client_state: str | None = None,
    ) -> None:
        """Play a WAV or MP3 file; call.playback.started and call.playback.ended follow.

        Exactly one of ``audio_url``, ``media_name`` (a file uploaded to Telnyx) and ``playback_content`` (the
        file itself as base64). Queued behind what plays, like ``speak``, unless ``stop`` says otherwise or
        ``overlay`` mixes it in, which reaches no other leg than this one. ``loop`` counts from 1, or is
        "infinity".

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/playback_start
        """
        exactly_one(audio_url=audio_url, media_name=media_name, playback_content=playback_content)
        if overlay:
            one_of("self")("target_legs, with overlay,", target_legs or "self")
        body = {
            "command_id": command_id,
            "audio_url": audio_url,
            "media_name": media_name,
            "playback_content": playback_content,
            "audio_type": audio_type,
            "loop": loop,
            "overlay": overlay,
            "target_legs": target_legs,
            "cache_audio": cache_audio,
            "stop": stop,
            "client_state": client_state,
        }
        self._command(call_control_id, "playback_start", body)

    def playback_stop(
        self,
        call_control_id: str,
        *,
        command_id: str,
        stop: Stop | None = None,
        overlay: bool | None = None,
        client_state: str | None = None,
    ) -> None:
        """Stop what a leg hears, speech included: "all" of the line (Telnyx's default) or the "current" one.

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/playback_stop
        """
        body = {"command_id": command_id, "stop": stop, "overlay": overlay, "client_state": client_state}
        self._command(call_control_id, "playback_stop", body)

    def gather(
        self,
        call_control_id: str,
        *,
        command_id: str,
        minimum_digits: int | None = None,
        maximum_digits: int | None = None,
        valid_digits: str | None = None,
        terminating_digit: str | None = None,
        timeout_millis: int | None = None,
        initial_timeout_millis: int | None = None,
        inter_digit_timeout_millis: int | None = None,
        gather_id: str | None = None,
        client_state: str | None = None,
    ) -> None:
        """Collect digits without a prompt; call.gather.ended brings them.

        Digits: 1 to 128 of them, Telnyx's defaults 1 and 128, ended early by ``terminating_digit`` ("#").
        Timeouts are milliseconds: 60 000 in all, 5000 to the first digit, 5000 between two. ``gather_id``, 1
        to 40 characters, comes back in the event. Not to be repeated once it may have been sent.

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/gather
        """
        body = {
            "command_id": command_id,
            "minimum_digits": minimum_digits,
            "maximum_digits": maximum_digits,
            "valid_digits": valid_digits,
            "terminating_digit": terminating_digit,
            "timeout_millis": timeout_millis,
            "initial_timeout_millis": initial_timeout_millis,
            "inter_digit_timeout_millis": inter_digit_timeout_millis,
            "gather_id": gather_id,
            "client_state": client_state,
        }
        self._command(call_control_id, "gather", body)

    def gather_using_speak(
        self,
        call_control_id: str,
        *,
        payload: str,
        voice: str,
        command_id: str,
        invalid_payload: str | None = None,
        payload_type: PayloadType | None = None,
        language: str | None = None,
        service_level: ServiceLevel | None = None,
        voice_settings: VoiceSettings | None = None,
        minimum_digits: int | None = None,
        maximum_digits: int | None = None,
        maximum_tries: int | None = None,
        valid_digits: str | None = None,
        terminating_digit: str | None = None,
        timeout_millis: int | None = None,
        inter_digit_timeout_millis: int | None = None,
        client_state: str | None = None,
    ) -> None:
        """Say a prompt of 1 to 3000 characters and collect digits; call.gather.ended brings them.

        ``invalid_payload``, as long, follows a wrong input. The prompt is said at most ``maximum_tries``
        times (Telnyx's default 3), each time waiting ``timeout_millis`` (60 000) after its end; a digit
        interrupts it. Digits as in ``gather``.

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/gather_using_speak
        """
        body = {
            "payload": payload,
            "voice": voice,
            "command_id": command_id,
            "invalid_payload": invalid_payload,
            "payload_type": payload_type,
            "language": language,
            "service_level": service_level,
            "voice_settings": voice_settings,
            "minimum_digits": minimum_digits,
            "maximum_digits": maximum_digits,
            "maximum_tries": maximum_tries,
            "valid_digits": valid_digits,
            "terminating_digit": terminating_digit,
            "timeout_millis": timeout_millis,
            "inter_digit_timeout_millis": inter_digit_timeout_millis,
            "client_state": client_state,
        }
        self._command(call_control_id, "gather_using_speak", body)

    def gather_using_audio(
        self,
        call_control_id: str,
        *,
        command_id: str,
        audio_url: str | None = None,
        media_name: str | None = None,
        invalid_audio_url: str | None = None,
        invalid_media_name: str | None = None,
        minimum_digits: int | None = None,
        maximum_digits: int | None = None,
        maximum_tries: int | None = None,
        valid_digits: str | None = None,
        terminating_digit: str | None = None,
        timeout_millis: int | None = None,
        inter_digit_timeout_millis: int | None = None,
        client_state: str | None = None,
    ) -> None:
        """Play a prompt and collect digits; call.gather.ended brings them.

        Exactly one of ``audio_url`` and ``media_name``, at most one of their ``invalid_`` twins. Tries,
        timeouts in milliseconds and digits as in ``gather_using_speak``.

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/gather_using_audio
        """
        exactly_one(audio_url=audio_url, media_name=media_name)
        body = {
            "command_id": command_id,
            "audio_url": audio_url,
            "media_name": media_name,
            "invalid_audio_url": invalid_audio_url,
            "invalid_media_name": invalid_media_name,
            "minimum_digits": minimum_digits,
            "maximum_digits": maximum_digits,
            "maximum_tries": maximum_tries,
            "valid_digits": valid_digits,
            "terminating_digit": terminating_digit,
            "timeout_millis": timeout_millis,
            "inter_digit_timeout_millis": inter_digit_timeout_millis,
            "client_state": client_state,
        }
        self._command(call_control_id, "gather_using_audio", body)

    def gather_stop(self, call_control_id: str, *, command_id: str, client_state: str | None = None) -> None:
        """End a gather early; call.gather.ended follows with what was pressed so far.

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/gather_stop
        """
        self._command(call_control_id, "gather_stop", {"command_id": command_id, "client_state": client_state})

    def send_dtmf(
        self,
        call_control_id: str,
        *,
        digits: str,
        command_id: str,
        duration_millis: int | None = None,
        client_state: str | None = None,
    ) -> None:
        """Press digits towards the other end of the leg; no webhook follows.

        ``digits`` are 0-9, A-D, * and #, with w for a pause of 0.5 s and W for 1 s. Each sounds
        ``duration_millis``, 100 to 500 (Telnyx's default 250). Not to be repeated once it may have been sent.

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/send_dtmf
        """
        body = {
            "digits": digits,
            "command_id": command_id,
            "duration_millis": duration_millis,
            "client_state": client_state,
        }
        self._command(call_control_id, "send_dtmf", body)

    def record_start(
        self,
        call_control_id: str,
        *,
        format: RecordFormat,
        channels: RecordChannels,
        command_id: str,
        custom_file_name: str | None = None,
        max_length: int | None = None,
        timeout_secs: int | None = None,
        recording_track: RecordTrack | None = None,
        play_beep: bool | None = None,
        trim: RecordTrim | None = None,
        client_state: str | None = None,
    ) -> None:
        """Record a leg until it ends or ``record_stop``; call.recording.saved follows.

        ``max_length`` is seconds, 0 (no end) to 14 400; ``timeout_secs`` ends the recording after that many
        seconds of silence, 0 never. ``custom_file_name`` is 1 to 40 characters.

        Raises MediaNotStarted before the answer, CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/record_start
        """
        body = {
            "format": format,
            "channels": channels,
            "command_id": command_id,
            "custom_file_name": custom_file_name,
            "max_length": max_length,
            "timeout_secs": timeout_secs,
            "recording_track": recording_track,
            "play_beep": play_beep,
            "trim": trim,
            "client_state": client_state,
        }
        self._command(call_control_id, "record_start", body, max_length=whole(0, 14_400), timeout_secs=whole(0))

    def record_stop(
        self,
        call_control_id: str,
        *,
        command_id: str,
        recording_id: str | None = None,
        client_state: str | None = None,
    ) -> None:
        """End the recording of a leg, or the one of that id; call.recording.saved follows.

        Raises CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/record_stop
        """
        body = {"command_id": command_id, "recording_id": recording_id, "client_state": client_state}
        self._command(call_control_id, "record_stop", body)

    def record_pause(
        self,
        call_control_id: str,
        *,
        command_id: str,
        recording_id: str | None = None,
        client_state: str | None = None,
    ) -> None:
        """Pause the recording of a leg, or the one of that id. No webhook follows.

        Raises CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/record_pause
        """
        body = {"command_id": command_id, "recording_id": recording_id, "client_state": client_state}
        self._command(call_control_id, "record_pause", body)

    def record_resume(
        self,
        call_control_id: str,
        *,
        command_id: str,
        recording_id: str | None = None,
        client_state: str | None = None,
    ) -> None:
        """Go on with a paused recording of a leg, or the one of that id. No webhook follows.

        Raises CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/record_resume
        """
        body = {"command_id": command_id, "recording_id": recording_id, "client_state": client_state}
        self._command(call_control_id, "record_resume", body)
