"""Legs: from the dial or the answer to the hang-up, and what they are connected to in between.

Left out of every operation: AI assistants and relays, media streaming and forking, transcription, deepfake
detection, Dialogflow, sound effects, video rooms, SIP passwords, codec lists, and the method of webhook URLs
(GET would put payloads into access logs).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from webhooks.telnyx.call_media import CallMedia
from webhooks.telnyx.limits import PAGE_SIZE, RING_SECS, at_most_one, check, exactly_one, listeners, needs
from webhooks.telnyx.records import ActiveCall, AnsweredCall, CallEventRecord, CallStatus, DialedCall
from webhooks.telnyx.resource import LARGEST_PAGE, record_from, record_of_each
from webhooks.telnyx.transport import path
from webhooks.telnyx.vocabulary import (
    AnsweringMachineDetection,
    AnsweringMachineDetectionConfig,
    ConferenceConfig,
    CustomHeader,
    MediaEncryption,
    MuteDtmf,
    Privacy,
    RecordChannels,
    RecordFormat,
    RecordTrack,
    RecordTrim,
    RecordWhen,
    RejectCause,
    SipHeader,
    SipRegion,
    SipTransportProtocol,
    SupervisedCallRole,
    WebhookRetries,
)


class Calls(CallMedia):
    """The legs of the account's calls, each addressed by its call_control_id."""

    def dial(
        self,
        *,
        connection_id: str,
        to: str | Sequence[str],
        from_: str,
        command_id: str,
        from_display_name: str | None = None,
        timeout_secs: int | None = None,
        retry_on_timeout: bool | None = None,
        time_limit_secs: int | None = None,
        client_state: str | None = None,
        custom_headers: Sequence[CustomHeader] | None = None,
        sip_headers: Sequence[SipHeader] | None = None,
        link_to: str | None = None,
        bridge_intent: bool | None = None,
        bridge_on_answer: bool | None = None,
        park_after_unbridge: Literal["self"] | None = None,
        prevent_double_bridge: bool | None = None,
        supervise_call_control_id: str | None = None,
        supervisor_role: SupervisedCallRole | None = None,
        conference_config: ConferenceConfig | None = None,
        answering_machine_detection: AnsweringMachineDetection | None = None,
        answering_machine_detection_config: AnsweringMachineDetectionConfig | None = None,
        audio_url: str | None = None,
        media_name: str | None = None,
        send_digits_on_answer: str | None = None,
        record: RecordWhen | None = None,
        record_channels: RecordChannels | None = None,
        record_format: RecordFormat | None = None,
        record_track: RecordTrack | None = None,
        record_trim: RecordTrim | None = None,
        record_max_length: int | None = None,
        record_timeout_secs: int | None = None,
        record_custom_file_name: str | None = None,
        media_encryption: MediaEncryption | None = None,
        privacy: Privacy | None = None,
        sip_region: SipRegion | None = None,
        sip_transport_protocol: SipTransportProtocol | None = None,
        send_silence_when_idle: bool | None = None,
        billing_group_id: str | None = None,
        webhook_url: str | None = None,
        webhook_urls: Mapping[str, str] | None = None,
        webhook_retries_policies: Mapping[str, WebhookRetries] | None = None,
    ) -> DialedCall:
        """Ring a number (+E.164) or a SIP address, or a list of them, on a new leg.

        Accepted is not ringing: call.initiated, then call.answered or call.hangup follow, possibly before
        this returns. The phone rings ``timeout_secs``, 5 to 600 (Telnyx's default 30), and with
        ``retry_on_timeout``, true by default, longer by other routes: send false for agents. The leg ends
        ``time_limit_secs``, 30 to 14 400, after its answer.

        ``from_display_name`` is at most 128 letters, numbers, spaces and -_~!.+; ``send_digits_on_answer`` at
        most 64 digits and pauses; ``record_max_length`` seconds, 0 (no end) to 43 200;
        ``record_timeout_secs`` seconds of silence; ``record_custom_file_name`` 1 to 40 characters.
        ``bridge_intent``, ``bridge_on_answer`` and ``park_after_unbridge`` need ``link_to``, another leg
        whose session this one joins. With ``supervise_call_control_id`` the new leg listens to that one in
        ``supervisor_role`` (default barge) and takes no commands itself.

        Raises ChannelLimitReached, InvalidRequest, another TelnyxRejected, or TelnyxUnavailable if it may
        ring.

        Source: POST /v2/calls
        """
        needs("bridge_intent", bridge_intent, link_to=link_to)
        needs("bridge_on_answer", bridge_on_answer, link_to=link_to)
        needs("park_after_unbridge", park_after_unbridge, link_to=link_to)
        if conference_config is not None:
            _check_conference(conference_config)
        body = {
            "connection_id": connection_id,
            "to": to,
            "from": from_,
            "command_id": command_id,
            "from_display_name": from_display_name,
            "timeout_secs": timeout_secs,
            "retry_on_timeout": retry_on_timeout,
            "time_limit_secs": time_limit_secs,
            "client_state": client_state,
            "custom_headers": custom_headers,
            "sip_headers": sip_headers,
            "link_to": link_to,
            "bridge_intent": bridge_intent,
            "bridge_on_answer": bridge_on_answer,
            "park_after_unbridge": park_after_unbridge,
            "prevent_double_bridge": prevent_double_bridge,
            "supervise_call_control_id": supervise_call_control_id,
            "supervisor_role": supervisor_role,
            "conference_config": conference_config,
            "answering_machine_detection": answering_machine_detection,
            "answering_machine_detection_config": answering_machine_detection_config,
            "audio_url": audio_url,
            "media_name": media_name,
            "send_digits_on_answer": send_digits_on_answer,
            "record": record,
            "record_channels": record_channels,
            "record_format": record_format,
            "record_track": record_track,
            "record_trim": record_trim,
            "record_max_length": record_max_length,
            "record_timeout_secs": record_timeout_secs,
            "record_custom_file_name": record_custom_file_name,
            "media_encryption": media_encryption,
            "privacy": privacy,
            "sip_region": sip_region,
            "sip_transport_protocol": sip_transport_protocol,
            "send_silence_when_idle": send_silence_when_idle,
            "billing_group_id": billing_group_id,
            "webhook_url": webhook_url,
            "webhook_urls": webhook_urls,
            "webhook_retries_policies": webhook_retries_policies,
        }
        check(body, timeout_secs=RING_SECS)
        return record_from(DialedCall, self._send("POST", "/calls", {}, body))

    def retrieve(self, call_control_id: str) -> CallStatus:
        """Whether a leg lives; known until about 10 minutes after its end.

        Raises NotFound or CallUnknown for a leg that Telnyx does not know (any more), TelnyxUnavailable.

        Source: GET /v2/calls/{call_control_id}
        """
        return self._read(CallStatus, "/calls/{call_control_id}", {"call_control_id": call_control_id})

    def answer(
        self,
        call_control_id: str,
        *,
        command_id: str,
        client_state: str | None = None,
        custom_headers: Sequence[CustomHeader] | None = None,
        sip_headers: Sequence[SipHeader] | None = None,
        record: RecordWhen | None = None,
        record_channels: RecordChannels | None = None,
        record_format: RecordFormat | None = None,
        record_track: RecordTrack | None = None,
        record_trim: RecordTrim | None = None,
        record_max_length: int | None = None,
        record_timeout_secs: int | None = None,
        record_custom_file_name: str | None = None,
        send_silence_when_idle: bool | None = None,
        billing_group_id: str | None = None,
        webhook_url: str | None = None,
        webhook_urls: Mapping[str, str] | None = None,
        webhook_retries_policies: Mapping[str, WebhookRetries] | None = None,
    ) -> AnsweredCall:
        """Answer an incoming leg, the first command of any; call.answered follows.

        ``record_max_length`` is seconds, 0 (no end) to 43 200; ``record_timeout_secs`` seconds of silence;
        ``record_custom_file_name`` 1 to 40 characters.

        Raises CallEnded if the caller hung up first, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/answer
        """
        body = {
            "command_id": command_id,
            "client_state": client_state,
            "custom_headers": custom_headers,
            "sip_headers": sip_headers,
            "record": record,
            "record_channels": record_channels,
            "record_format": record_format,
            "record_track": record_track,
            "record_trim": record_trim,
            "record_max_length": record_max_length,
            "record_timeout_secs": record_timeout_secs,
            "record_custom_file_name": record_custom_file_name,
            "send_silence_when_idle": send_silence_when_idle,
            "billing_group_id": billing_group_id,
            "webhook_url": webhook_url,
            "webhook_urls": webhook_urls,
            "webhook_retries_policies": webhook_retries_policies,
        }
        return record_from(AnsweredCall, self._command(call_control_id, "answer", body))

    def reject(
        self, call_control_id: str, *, cause: RejectCause, command_id: str, client_state: str | None = None
    ) -> None:
        """Turn an incoming leg away unanswered; call.hangup follows.

        Raises CallEnded if the caller hung up first, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/reject
        """
        body = {"cause": cause, "command_id": command_id, "client_state": client_state}
        self._command(call_control_id, "reject", body)

    def hangup(
        self,
        call_control_id: str,
        *,
        command_id: str,
        reason: str | None = None,
        custom_headers: Sequence[CustomHeader] | None = None,
        client_state: str | None = None,
    ) -> None:
        """End a leg, ringing or answered; call.hangup follows.

        Raises CallEnded if it is over, which is a success; InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/hangup
        """
        body = {
            "command_id": command_id,
            "reason": reason,
            "custom_headers": custom_headers,
            "client_state": client_state,
        }
        self._command(call_control_id, "hangup", body)

    def bridge(
        self,
        call_control_id: str,
        *,
        command_id: str,
        call_control_id_to_bridge_with: str | None = None,
        queue: str | None = None,
        park_after_unbridge: Literal["self"] | None = None,
        hold_after_unbridge: bool | None = None,
        prevent_double_bridge: bool | None = None,
        play_ringtone: bool | None = None,
        ringtone: str | None = None,
        mute_dtmf: MuteDtmf | None = None,
        record: RecordWhen | None = None,
        record_channels: RecordChannels | None = None,
        record_format: RecordFormat | None = None,
        record_track: RecordTrack | None = None,
        record_trim: RecordTrim | None = None,
        record_max_length: int | None = None,
        record_timeout_secs: int | None = None,
        record_custom_file_name: str | None = None,
        client_state: str | None = None,
    ) -> None:
        """Connect a leg with another one; call.bridged follows for each of the two.

        Exactly one of ``call_control_id_to_bridge_with`` (on the wire ``call_control_id``) and ``queue``,
        whose first call is taken out even if the bridge then fails. When one side leaves, the other is hung
        up unless ``park_after_unbridge`` was sent on it. Recording as in ``dial``.

        Raises CallEnded, CallNotAnswered, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/bridge
        """
        exactly_one(call_control_id_to_bridge_with=call_control_id_to_bridge_with, queue=queue)
        body = {
            "command_id": command_id,
            "call_control_id": call_control_id_to_bridge_with,
            "queue": queue,
            "park_after_unbridge": park_after_unbridge,
            "hold_after_unbridge": hold_after_unbridge,
            "prevent_double_bridge": prevent_double_bridge,
            "play_ringtone": play_ringtone,
            "ringtone": ringtone,
            "mute_dtmf": mute_dtmf,
            "record": record,
            "record_channels": record_channels,
            "record_format": record_format,
            "record_track": record_track,
            "record_trim": record_trim,
            "record_max_length": record_max_length,
            "record_timeout_secs": record_timeout_secs,
            "record_custom_file_name": record_custom_file_name,
            "client_state": client_state,
        }
        self._command(call_control_id, "bridge", body)

    def transfer(
        self,
        call_control_id: str,
        *,
        to: str,
        command_id: str,
        from_: str | None = None,
        from_display_name: str | None = None,
        timeout_secs: int | None = None,
        time_limit_secs: int | None = None,
        client_state: str | None = None,
        target_leg_client_state: str | None = None,
        custom_headers: Sequence[CustomHeader] | None = None,
        sip_headers: Sequence[SipHeader] | None = None,
        park_after_unbridge: Literal["self"] | None = None,
        early_media: bool | None = None,
        mute_dtmf: MuteDtmf | None = None,
        answering_machine_detection: AnsweringMachineDetection | None = None,
        answering_machine_detection_config: AnsweringMachineDetectionConfig | None = None,
        audio_url: str | None = None,
        media_name: str | None = None,
        send_digits_on_answer: str | None = None,
        record: RecordWhen | None = None,
        record_channels: RecordChannels | None = None,
        record_format: RecordFormat | None = None,
        record_track: RecordTrack | None = None,
        record_trim: RecordTrim | None = None,
        record_max_length: int | None = None,
        record_timeout_secs: int | None = None,
        record_custom_file_name: str | None = None,
        media_encryption: MediaEncryption | None = None,
        privacy: Privacy | None = None,
        sip_region: SipRegion | None = None,
        sip_transport_protocol: SipTransportProtocol | None = None,
        webhook_url: str | None = None,
        webhook_urls: Mapping[str, str] | None = None,
        webhook_retries_policies: Mapping[str, WebhookRetries] | None = None,
    ) -> None:
        """Ring another number or SIP address and bridge the leg with it on answer.

        The new leg's id comes with its call.initiated only. If it fails, call.hangup tells for the new leg
        and this one lives on. ``timeout_secs`` is the ring time, 5 to 600 s (Telnyx's default 30); the other
        values are as in ``dial``.

        Raises CallEnded, CallNotAnswered, ChannelLimitReached, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/transfer
        """
        body = {
            "to": to,
            "command_id": command_id,
            "from": from_,
            "from_display_name": from_display_name,
            "timeout_secs": timeout_secs,
            "time_limit_secs": time_limit_secs,
            "client_state": client_state,
            "target_leg_client_state": target_leg_client_state,
            "custom_headers": custom_headers,
            "sip_headers": sip_headers,
            "park_after_unbridge": park_after_unbridge,
            "early_media": early_media,
            "mute_dtmf": mute_dtmf,
            "answering_machine_detection": answering_machine_detection,
            "answering_machine_detection_config": answering_machine_detection_config,
            "audio_url": audio_url,
            "media_name": media_name,
            "send_digits_on_answer": send_digits_on_answer,
            "record": record,
            "record_channels": record_channels,
            "record_format": record_format,
            "record_track": record_track,
            "record_trim": record_trim,
            "record_max_length": record_max_length,
            "record_timeout_secs": record_timeout_secs,
            "record_custom_file_name": record_custom_file_name,
            "media_encryption": media_encryption,
            "privacy": privacy,
            "sip_region": sip_region,
            "sip_transport_protocol": sip_transport_protocol,
            "webhook_url": webhook_url,
            "webhook_urls": webhook_urls,
            "webhook_retries_policies": webhook_retries_policies,
        }
        self._command(call_control_id, "transfer", body, timeout_secs=RING_SECS)

    def enqueue(
        self,
        call_control_id: str,
        *,
        queue_name: str,
        command_id: str,
        max_wait_time_secs: int | None = None,
        max_size: int | None = None,
        keep_after_hangup: bool | None = None,
        client_state: str | None = None,
    ) -> None:
        """Park an answered leg at the tail of a Telnyx queue, which is made if it does not exist.

        It hears nothing there but its own playback. call.enqueued follows, and call.dequeued when it leaves.
        ``max_wait_time_secs`` is whole seconds from 1; None leaves the limit to Telnyx. ``max_size`` (from 1,
        Telnyx's default 100) counts only for a new queue. Repeating a ``command_id`` within 60 s is a no-op
        at Telnyx, which makes an early retry safe.

        Raises QueueFull, MaxSizeFixed, AlreadyQueued, CallEnded if the caller hung up first, CallNotAnswered,
        InvalidRequest, TelnyxUnavailable if the command may or may not have arrived.

        Source: POST /v2/calls/{call_control_id}/actions/enqueue
        """
        body = {
            "queue_name": queue_name,
            "command_id": command_id,
            "max_wait_time_secs": max_wait_time_secs,
            "max_size": max_size,
            "keep_after_hangup": keep_after_hangup,
            "client_state": client_state,
        }
        self._command(call_control_id, "enqueue", body)

    def leave_queue(self, call_control_id: str, *, command_id: str, client_state: str | None = None) -> None:
        """Take a leg out of its queue; it stays alive, parked and silent. call.dequeued follows.

        Raises NotQueued if it is in none, which is as good; CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/leave_queue
        """
        self._command(call_control_id, "leave_queue", {"command_id": command_id, "client_state": client_state})

    def switch_supervisor_role(self, call_control_id: str, *, role: SupervisedCallRole) -> None:
        """Change what a supervising leg, dialled with ``supervise_call_control_id``, may hear and say.

        Takes no command_id; setting the same role twice is harmless. Not for conferences, see their
        ``update``.

        Raises CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/calls/{call_control_id}/actions/switch_supervisor_role
        """
        self._command(call_control_id, "switch_supervisor_role", {"role": role})

    def client_state_update(self, call_control_id: str, *, client_state: str) -> None:
        """Replace the base64 text that every later webhook of the leg carries; the last writer wins.

        Takes no command_id; repeating it is harmless.

        Raises CallEnded, InvalidRequest, TelnyxUnavailable.

        Source: PUT /v2/calls/{call_control_id}/actions/client_state_update
        """
        self._command(call_control_id, "client_state_update", {"client_state": client_state}, method="PUT")

    def active(self, connection_id: str, *, page_size: int = LARGEST_PAGE) -> Iterator[ActiveCall]:
        """The live legs of a connection, all pages, ``page_size`` (1 to 250) by each request.

        A leg that is missing here may have come or gone between two pages: only ``retrieve`` proves an end.

        Raises InvalidRequest at once; while iterating NotFound, TelnyxUnavailable.

        Source: GET /v2/connections/{connection_id}/active_calls
        """
        PAGE_SIZE("page_size", page_size)
        template, ids = "/connections/{connection_id}/active_calls", {"connection_id": connection_id}
        path(template, ids)
        return record_of_each(ActiveCall, self._wire.cursor_pages(template, ids, page_size=page_size))

    def events(
        self,
        *,
        call_leg_id: str | None = None,
        call_session_id: str | None = None,
        connection_id: str | None = None,
        type: Literal["command", "webhook"] | None = None,
        failed: bool | None = None,
        from_: str | None = None,
        to: str | None = None,
        occurred_at_eq: str | None = None,
        occurred_at_gt: str | None = None,
        occurred_at_gte: str | None = None,
        occurred_at_lt: str | None = None,
        occurred_at_lte: str | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[CallEventRecord]:
        """Telnyx's log of commands and webhooks by ``occurred_at``, all pages: what a lost webhook said.

        Of the last 24 hours only, unless a leg (Telnyx's filter ``leg_id``) or a session (its filter
        ``application_session_id``) is given. At most one bound, an ISO 8601 instant. ``page_size`` is 1 to
        250.

        Raises InvalidRequest at once; while iterating TelnyxRejected, TelnyxUnavailable.

        Source: GET /v2/call_events
        """
        at_most_one(
            occurred_at_eq=occurred_at_eq,
            occurred_at_gt=occurred_at_gt,
            occurred_at_gte=occurred_at_gte,
            occurred_at_lt=occurred_at_lt,
            occurred_at_lte=occurred_at_lte,
        )
        query = {
            "filter[leg_id]": call_leg_id,
            "filter[application_session_id]": call_session_id,
            "filter[connection_id]": connection_id,
            "filter[type]": type,
            "filter[failed]": failed,
            "filter[from]": from_,
            "filter[to]": to,
            "filter[occurred_at][eq]": occurred_at_eq,
            "filter[occurred_at][gt]": occurred_at_gt,
            "filter[occurred_at][gte]": occurred_at_gte,
            "filter[occurred_at][lt]": occurred_at_lt,
            "filter[occurred_at][lte]": occurred_at_lte,
        }
        return self._list(CallEventRecord, "/call_events", {}, query, page_size)


def _check_conference(config: ConferenceConfig) -> None:
    exactly_one(id=config.get("id"), conference_name=config.get("conference_name"))
    check(config)
    listeners(config.get("supervisor_role"), config.get("whisper_call_control_ids"))
