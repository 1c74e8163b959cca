"""Telnyx's conferences: who is in them, who hears whom.

Most commands take a conference's id or its name, some its id only: prefer ids. ``region`` must be the
conference's own, else it is not found; None means the account's.

Mute, hold, unhold and the change of a role are told by no webhook: read the participants back.
"""

from collections.abc import Iterator, Sequence

from webhooks.telnyx.conference_media import ConferenceMedia
from webhooks.telnyx.errors import InvalidRequest
from webhooks.telnyx.limits import check, leg_ids, legs_or_everyone, listeners
from webhooks.telnyx.records import Conference, Participant
from webhooks.telnyx.resource import LARGEST_PAGE, record_from
from webhooks.telnyx.vocabulary import BeepEnabled, ConferenceStatus, Region, SupervisorRole


class Conferences(ConferenceMedia):
    """The account's conferences."""

    def create(
        self,
        *,
        call_control_id: str,
        name: str,
        command_id: str,
        start_conference_on_create: bool | None = None,
        hold_audio_url: str | None = None,
        hold_media_name: str | None = None,
        max_participants: int | None = None,
        duration_minutes: int | None = None,
        beep_enabled: BeepEnabled | None = None,
        comfort_noise: bool | None = None,
        client_state: str | None = None,
        region: Region | None = None,
    ) -> Conference:
        """Open a conference and move an answered leg into it, out of its queue or bridge.

        The leg is bound to the conference: it is hung up when the conference is ended by force. Not started
        at once (``start_conference_on_create`` false), everyone is held with ``hold_audio_url`` or
        ``hold_media_name`` until someone joins with ``start_conference_on_enter``. ``max_participants`` is 2
        to 800 (Telnyx's default 250), ``duration_minutes`` minutes from 1; 4 hours are the end in any case.
        conference.created and conference.participant.joined follow.

        Raises ConferenceNameTaken while a conference of this name is in progress, CallEnded, CallNotAnswered,
        InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences
        """
        body = {
            "call_control_id": call_control_id,
            "name": name,
            "command_id": command_id,
            "start_conference_on_create": start_conference_on_create,
            "hold_audio_url": hold_audio_url,
            "hold_media_name": hold_media_name,
            "max_participants": max_participants,
            "duration_minutes": duration_minutes,
            "beep_enabled": beep_enabled,
            "comfort_noise": comfort_noise,
            "client_state": client_state,
            "region": region,
        }
        check(body)
        return record_from(Conference, self._send("POST", "/conferences", {}, body))

    def list(
        self,
        *,
        name: str | None = None,
        status: ConferenceStatus | None = None,
        region: Region | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[Conference]:
        """The conferences of exactly that name and status, the latest to expire first, all pages.

        ``page_size``, 1 to 250, are asked for by each request.

        Raises InvalidRequest at once; while iterating TelnyxRejected, TelnyxUnavailable.

        Source: GET /v2/conferences
        """
        query = {"filter[name]": name, "filter[status]": status, "region": region}
        return self._list(Conference, "/conferences", {}, query, page_size)

    def retrieve(self, conference_id: str, *, region: Region | None = None) -> Conference:
        """One conference; its instants are ISO 8601 text.

        Raises NotFound, TelnyxUnavailable.

        Source: GET /v2/conferences/{id}
        """
        return self._read(Conference, "/conferences/{id}", {"id": conference_id}, {"region": region})

    def end(self, conference_id: str, *, command_id: str) -> None:
        """End the conference and hang up everyone in it, and its creator wherever he is. By id, not by name.

        Raises ConferenceEnded, which is a success; NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/end
        """
        self._command(conference_id, "end", {"command_id": command_id})

    def join(
        self,
        conference_id: str,
        *,
        call_control_id: str,
        command_id: str,
        start_conference_on_enter: bool | None = None,
        end_conference_on_exit: bool | None = None,
        soft_end_conference_on_exit: bool | None = None,
        mute: bool | None = None,
        hold: bool | None = None,
        hold_audio_url: str | None = None,
        hold_media_name: str | None = None,
        supervisor_role: SupervisorRole | None = None,
        whisper_call_control_ids: Sequence[str] | None = None,
        beep_enabled: BeepEnabled | None = None,
        client_state: str | None = None,
        region: Region | None = None,
    ) -> None:
        """Move an answered leg into the conference; conference.participant.joined follows.

        ``end_conference_on_exit`` hangs up everyone else when this leg leaves; what
        ``soft_end_conference_on_exit`` does is told in two ways, avoid it. A monitor only hears; a whisperer
        is heard by ``whisper_call_control_ids`` only, of which there must be one at least; barge is none, an
        ordinary participant. The hold audio needs ``hold``.

        Raises AlreadyInConference, which is as good; ConferenceEnded, ConferenceFull, CallEnded,
        CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/join
        """
        listeners(supervisor_role, whisper_call_control_ids)
        body = {
            "call_control_id": call_control_id,
            "command_id": command_id,
            "start_conference_on_enter": start_conference_on_enter,
            "end_conference_on_exit": end_conference_on_exit,
            "soft_end_conference_on_exit": soft_end_conference_on_exit,
            "mute": mute,
            "hold": hold,
            "hold_audio_url": hold_audio_url,
            "hold_media_name": hold_media_name,
            "supervisor_role": supervisor_role,
            "whisper_call_control_ids": whisper_call_control_ids,
            "beep_enabled": beep_enabled,
            "client_state": client_state,
            "region": region,
        }
        self._command(conference_id, "join", body)

    def leave(
        self,
        conference_id: str,
        *,
        call_control_id: str,
        command_id: str,
        beep_enabled: BeepEnabled | None = None,
        region: Region | None = None,
    ) -> None:
        """Take a leg out of the conference; it stays alive, parked and silent.

        conference.participant.left follows.

        Raises ConferenceEnded, CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/leave
        """
        body = {
            "call_control_id": call_control_id,
            "command_id": command_id,
            "beep_enabled": beep_enabled,
            "region": region,
        }
        self._command(conference_id, "leave", body)

    def update(
        self,
        conference_id: str,
        *,
        call_control_id: str,
        supervisor_role: SupervisorRole,
        command_id: str,
        whisper_call_control_ids: Sequence[str] | None = None,
        region: Region | None = None,
    ) -> None:
        """Change the supervisor role of a leg in the conference, as in ``join``.

        A whisperer is heard by ``whisper_call_control_ids`` only, of which there must be one at least.

        Raises ConferenceEnded, CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/update
        """
        listeners(supervisor_role, whisper_call_control_ids)
        body = {
            "call_control_id": call_control_id,
            "supervisor_role": supervisor_role,
            "command_id": command_id,
            "whisper_call_control_ids": whisper_call_control_ids,
            "region": region,
        }
        self._command(conference_id, "update", body)

    def hold(
        self,
        conference_id: str,
        *,
        call_control_ids: Sequence[str] | None = None,
        everyone: bool = False,
        audio_url: str | None = None,
        media_name: str | None = None,
        region: Region | None = None,
    ) -> None:
        """Hold some legs or everyone: they hear the file, at most one of the two, and nobody hears them.

        Takes no command_id; repeating it is harmless.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/hold
        """
        body = {
            "call_control_ids": legs_or_everyone(call_control_ids, everyone=everyone),
            "audio_url": audio_url,
            "media_name": media_name,
            "region": region,
        }
        self._command(conference_id, "hold", body)

    def unhold(self, conference_id: str, *, call_control_ids: Sequence[str], region: Region | None = None) -> None:
        """Bring held legs back; Telnyx knows no "everyone" here.

        Takes no command_id; repeating it is harmless.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/unhold
        """
        leg_ids("call_control_ids", call_control_ids)
        self._command(conference_id, "unhold", {"call_control_ids": call_control_ids, "region": region})

    def mute(
        self,
        conference_id: str,
        *,
        call_control_ids: Sequence[str] | None = None,
        everyone: bool = False,
        region: Region | None = None,
    ) -> None:
        """Let nobody hear some legs, or anyone. Takes no command_id; repeating it is harmless.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/mute
        """
        legs = legs_or_everyone(call_control_ids, everyone=everyone)
        self._command(conference_id, "mute", {"call_control_ids": legs, "region": region})

    def unmute(
        self,
        conference_id: str,
        *,
        call_control_ids: Sequence[str] | None = None,
        everyone: bool = False,
        region: Region | None = None,
    ) -> None:
        """Let some legs be heard again, or everyone, which may open a monitor's microphone.

        Takes no command_id; repeating it is harmless.

        Raises ConferenceEnded, NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/conferences/{id}/actions/unmute
        """
        legs = legs_or_everyone(call_control_ids, everyone=everyone)
        self._command(conference_id, "unmute", {"call_control_ids": legs, "region": region})

    def list_participants(
        self,
        conference_id: str,
        *,
        muted: bool | None = None,
        on_hold: bool | None = None,
        whispering: bool | None = None,
        region: Region | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[Participant]:
        """The participants that match every filter given, all pages. Whom Telnyx lists as having left is passed over.

        ``page_size``, 1 to 250, are asked for by each request.

        Raises InvalidRequest at once; while iterating NotFound, TelnyxUnavailable.

        Source: GET /v2/conferences/{conference_id}/participants
        """
        query = {
            "filter[muted]": muted,
            "filter[on_hold]": on_hold,
            "filter[whispering]": whispering,
            "region": region,
        }
        template, ids = "/conferences/{conference_id}/participants", {"conference_id": conference_id}
        listed = self._list(Participant, template, ids, query, page_size)
        return (each for each in listed if each.status != "left")

    def retrieve_participant(self, conference_id: str, participant_id: str) -> Participant:
        """One participant by its id (not its call_control_id) or label. The conference by id, not by name.

        Raises NotFound, TelnyxUnavailable.

        Source: GET /v2/conferences/{id}/participants/{participant_id}
        """
        ids = {"id": conference_id, "participant_id": participant_id}
        return self._read(Participant, "/conferences/{id}/participants/{participant_id}", ids)

    def update_participant(
        self,
        conference_id: str,
        participant_id: str,
        *,
        beep_enabled: BeepEnabled | None = None,
        end_conference_on_exit: bool | None = None,
        soft_end_conference_on_exit: bool | None = None,
    ) -> Participant:
        """Change what a participant's exit does; at least one value. The conference by id, not by name.

        Takes no command_id; repeating it is harmless.

        Raises NotFound, InvalidRequest, TelnyxUnavailable.

        Source: PATCH /v2/conferences/{id}/participants/{participant_id}
        """
        body = {
            "beep_enabled": beep_enabled,
            "end_conference_on_exit": end_conference_on_exit,
            "soft_end_conference_on_exit": soft_end_conference_on_exit,
        }
        if all(value is None for value in body.values()):
            raise InvalidRequest(" or ".join(body), "must be given")
        ids = {"id": conference_id, "participant_id": participant_id}
        template = "/conferences/{id}/participants/{participant_id}"
        return record_from(Participant, self._send("PATCH", template, ids, body))
