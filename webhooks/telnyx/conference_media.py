"""What a conference hears and records: music, speech, digits, recordings.

At Telnyx a missing or empty list of legs means everyone, the supervisors too. Here it is an error;
``everyone=True`` says it in words.
"""

from collections.abc import Mapping, Sequence

from webhooks.telnyx.limits import check, exactly_one, legs_or_everyone, text
from webhooks.telnyx.resource import Resource
from webhooks.telnyx.vocabulary import (
    Loop,
    PayloadType,
    RecordChannels,
    RecordFormat,
    RecordTrim,
    Region,
    VoiceSettings,
)


class ConferenceMedia(Resource):
    """Commands about the sound of a conference. A success means accepted, not done."""

    def _command(self, conference_id: str, action: str, body: Mapping[str, object]) -> None:
        check(body)
        self._send("POST", "/conferences/{id}/actions/" + action, {"id": conference_id}, body)

    def play(
        self,
        conference_id: str,
        *,
        call_control_ids: Sequence[str] | None = None,
        everyone: bool = False,
        audio_url: str | None = None,
        media_name: str | None = None,
        loop: Loop | None = None,
        region: Region | None = None,
    ) -> None:
        """Play a WAV or MP3 file to some legs or to everyone.

        conference.playback.* follows for everyone, conference.participant.playback.* for legs. Exactly one of
        ``audio_url`` and ``media_name``; ``loop`` counts from 1, or is "infinity". Takes no command_id: not
        to be repeated once it may have been sent.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/play
        """
        exactly_one(audio_url=audio_url, media_name=media_name)
        body = {
            "call_control_ids": legs_or_everyone(call_control_ids, everyone=everyone),
            "audio_url": audio_url,
            "media_name": media_name,
            "loop": loop,
            "region": region,
        }
        self._command(conference_id, "play", body)

    def stop(
        self,
        conference_id: str,
        *,
        call_control_ids: Sequence[str] | None = None,
        everyone: bool = False,
        region: Region | None = None,
    ) -> None:
        """Stop what some legs or everyone hear. Takes no command_id; repeating it is harmless.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/stop
        """
        legs = legs_or_everyone(call_control_ids, everyone=everyone)
        self._command(conference_id, "stop", {"call_control_ids": legs, "region": region})

    def speak(
        self,
        conference_id: str,
        *,
        payload: str,
        voice: str,
        command_id: str,
        call_control_ids: Sequence[str] | None = None,
        everyone: bool = False,
        payload_type: PayloadType | None = None,
        language: str | None = None,
        voice_settings: VoiceSettings | None = None,
        region: Region | None = None,
    ) -> None:
        """Say a text of 1 to 3000 characters to some legs or to everyone.

        conference.speak.* follows for everyone, conference.participant.speak.* for legs.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/speak
        """
        body = {
            "payload": payload,
            "voice": voice,
            "command_id": command_id,
            "call_control_ids": legs_or_everyone(call_control_ids, everyone=everyone),
            "payload_type": payload_type,
            "language": language,
            "voice_settings": voice_settings,
            "region": region,
        }
        self._command(conference_id, "speak", body)

    def send_dtmf(
        self,
        conference_id: str,
        *,
        digits: str,
        call_control_ids: Sequence[str] | None = None,
        everyone: bool = False,
        duration_millis: int | None = None,
        client_state: str | None = None,
    ) -> None:
        """Press digits towards some legs or everyone. The conference by id, not by name.

        ``digits`` are 0-9, A-D, * and #, with w for a pause of 0.5 s and W for 1 s. Each sounds
        ``duration_millis``, 100 to 500 (Telnyx's default 250). Takes no command_id: not to be repeated once
        it may have been sent.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/send_dtmf
        """
        body = {
            "digits": digits,
            "call_control_ids": legs_or_everyone(call_control_ids, everyone=everyone),
            "duration_millis": duration_millis,
            "client_state": client_state,
        }
        self._command(conference_id, "send_dtmf", body)

    def gather_using_audio(
        self,
        conference_id: str,
        *,
        call_control_id: str,
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
        initial_timeout_millis: int | None = None,
        inter_digit_timeout_millis: int | None = None,
        stop_playback_on_dtmf: bool | None = None,
        gather_id: str | None = None,
        client_state: str | None = None,
    ) -> None:
        """Play a prompt to one leg and collect its digits. The conference by id, not by name.

        Exactly one of ``audio_url`` and ``media_name``. Digits: 1 to 128 (Telnyx's defaults 1 and 128).
        Timeouts are milliseconds: 60 000 for an input, 5000 between two digits. ``gather_id`` is at most 100
        characters. Takes no command_id: not to be repeated once it may have been sent.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/gather_using_audio
        """
        exactly_one(audio_url=audio_url, media_name=media_name)
        body = {
            "call_control_id": call_control_id,
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
            "initial_timeout_millis": initial_timeout_millis,
            "inter_digit_timeout_millis": inter_digit_timeout_millis,
            "stop_playback_on_dtmf": stop_playback_on_dtmf,
            "gather_id": gather_id,
            "client_state": client_state,
        }
        check(body, gather_id=text(1, 100))
        self._send("POST", "/conferences/{id}/actions/gather_using_audio", {"id": conference_id}, body)

    def record_start(
        self,
        conference_id: str,
        *,
        format: RecordFormat,
        command_id: str,
        channels: RecordChannels | None = None,
        custom_file_name: str | None = None,
        play_beep: bool | None = None,
        trim: RecordTrim | None = None,
        region: Region | None = None,
    ) -> None:
        """Record the conference until it ends or ``record_stop``; conference.recording.saved follows.

        ``channels`` dual puts the creator on the first channel and the rest on the second (Telnyx's default
        is single). ``custom_file_name`` is 1 to 40 characters.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/record_start
        """
        body = {
            "format": format,
            "command_id": command_id,
            "channels": channels,
            "custom_file_name": custom_file_name,
            "play_beep": play_beep,
            "trim": trim,
            "region": region,
        }
        self._command(conference_id, "record_start", body)

    def record_stop(
        self,
        conference_id: str,
        *,
        command_id: str,
        recording_id: str | None = None,
        client_state: str | None = None,
        region: Region | None = None,
    ) -> None:
        """End the recording of the conference, or the one of that id; conference.recording.saved follows.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/record_stop
        """
        body = {
            "command_id": command_id,
            "recording_id": recording_id,
            "client_state": client_state,
            "region": region,
        }
        self._command(conference_id, "record_stop", body)

    def record_pause(
        self,
        conference_id: str,
        *,
        command_id: str,
        recording_id: str | None = None,
        region: Region | None = None,
    ) -> None:
        """Pause the recording of the conference, or the one of that id. No webhook follows.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/record_pause
        """
        body = {"command_id": command_id, "recording_id": recording_id, "region": region}
        self._command(conference_id, "record_pause", body)

    def record_resume(
        self,
        conference_id: str,
        *,
        command_id: str,
        recording_id: str | None = None,
        region: Region | None = None,
    ) -> None:
        """Go on with a paused recording of the conference, or the one of that id. No webhook follows.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/record_resume
        """
        body = {"command_id": command_id, "recording_id": recording_id, "region": region}
        self._command(conference_id, "record_resume", body)
