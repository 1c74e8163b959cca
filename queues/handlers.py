"""Telnyx's words, and the outcomes of our commands → one service each.

``on_<event>`` runs after the mirror's handler has noted the facts; ``after_<command>`` applies an outcome. Both
end in ``settle``, which decides. All of them may come late, twice and in any order.
"""

from collections.abc import Callable
from datetime import datetime

from conferences import services as mirror
from conferences.models import CallLeg, Conference, SupervisionSession
from queues import services
from queues.engine import settle
from queues.models import Offer
from webhooks.models import Command, WebhookEvent

Closed = Callable[[Command, datetime], None]

# events ------------------------------------------------------------------------------------------------------


def on_call_initiated(event: WebhookEvent, now: datetime) -> None:
    """A caller rings one of our numbers, or a phone we dialled begins to ring."""
    leg = CallLeg.objects.get(call_control_id=event.call_control_id)
    if leg.direction == CallLeg.Direction.INCOMING and leg.call_id is None:
        found = event.source == WebhookEvent.Source.RECONCILE
        queue_name = str(event.payload.get("adopt_queue") or "") if found else ""
        event.call_id = services.caller_arrived(leg, arrived_at=event.occurred_at, adopt_queue=queue_name, now=now)
    on_leg_changed(event, now)


def on_leg_changed(event: WebhookEvent, now: datetime) -> None:
    leg = mirror.known_leg(event.call_control_id)
    assert leg is not None  # noqa: S101  the mirror has just noted it
    if leg.call_id is None:
        services.recognise(leg, event.payload.get("client_state") or "")
    if leg.call_id is not None:
        settle(leg.call_id, now=now)


def on_call_enqueued(event: WebhookEvent, now: datetime) -> None:
    services.enqueued_at_telnyx(event.payload.get("client_state") or "", event.occurred_at)
    services.queue_seen(event.payload.get("queue") or "", event.payload, now)


def on_call_dequeued(event: WebhookEvent, now: datetime) -> None:
    reason = str(event.payload.get("reason") or "")[:40]
    services.dequeued_at_telnyx(event.payload.get("client_state") or "", event.occurred_at, reason)


def on_conference_changed(event: WebhookEvent, now: datetime) -> None:
    if event.call_id is not None:
        settle(event.call_id, now=now)


# outcomes: the caller's way ----------------------------------------------------------------------------------


def after_command(command: Command, now: datetime) -> None:
    """Nothing of its own to write down; what comes next depends on whether it was accepted."""
    if command.call_id is not None and command.state == Command.State.REJECTED:
        settle(command.call_id, now=now)


def after_hang_up(command: Command, now: datetime) -> None:
    """An agent's phone will be quiet in a moment, whether Telnyx tells it or not."""
    agents_phone = Offer.objects.filter(leg__call_control_id=command.target, leg__hangup_at__isnull=True)
    if command.state == Command.State.REJECTED or agents_phone.exists():
        _settle(command, now)


def after_enqueue_caller(command: Command, now: datetime) -> None:
    """Telnyx's own limits never take a caller out of our line."""
    if command.code == "90037":
        services.enqueue_with_another_size(command, now=now)


def after_dial_agent(command: Command, now: datetime) -> None:
    offer = Offer.objects.select_related("call").get(pk=command.subject)
    if command.state == Command.State.ACCEPTED:
        services.agent_leg_known(offer, _dialled_leg(command))
    elif command.state == Command.State.REJECTED and command.says_unavailable:
        services.not_dialled(offer, at=command.closed_at or now)
    elif command.state == Command.State.REJECTED:
        services.refused(offer, at=command.closed_at or now)
    settle(offer.call_id, now=now)


def after_connecting(command: Command, now: datetime) -> None:
    """Conference made for an offer, or its agent's join: refused means this offer cannot connect.

    A leg that is gone (90018) is a fact whose event is on its way; already in (90044) is what we wanted; a
    conference of that name (90033) is the one we made when nobody answered us.
    """
    offer = Offer.objects.get(pk=command.subject)
    if command.state == Command.State.ACCEPTED and command.operation == "conferences.create":
        services.conference_known(offer, command.result or {}, now=now)
    elif command.state == Command.State.REJECTED:
        if command.code == "90033":
            services.find_conference(offer, command, now=now)
        elif command.code not in ("90018", "90044"):
            services.refused(offer, at=command.closed_at or now)
    settle(offer.call_id, now=now)


def after_leave(command: Command, now: datetime) -> None:
    """He was put back in line as we asked; where Telnyx would not let him go, he talks on and waits for nobody."""
    if command.call_id is not None and command.state != Command.State.ACCEPTED:
        services.stays_in_conversation(command.call_id, now=now)
    _settle(command, now)


def after_create_conference_for_caller(command: Command, now: datetime) -> None:
    """Refused: he waits where he was."""
    if command.state == Command.State.ACCEPTED:
        services.conference_made_for_caller(command, now=now)
    _settle(command, now)


def after_find_conference(command: Command, now: datetime) -> None:
    offer = Offer.objects.get(pk=command.subject)
    for conference in command.result or []:
        if conference.get("status") != "completed":  # its name may be taken again
            services.conference_known(offer, conference, now=now)
    settle(offer.call_id, now=now)


def after_read_participants(command: Command, now: datetime) -> None:
    if command.state == Command.State.ACCEPTED:
        conference = _conference(command)
        held = mirror.participants_read(conference, command.result or [], version=command.sequence)
        services.unhold_whoever_is_held(command, held, now=now)
    _settle(command, now)


def after_read_back(command: Command, now: datetime) -> None:
    if command.state == Command.State.ACCEPTED:
        mirror.participants_read(_conference(command), command.result or [], version=command.sequence)
    _settle(command, now)


# outcomes: what Telnyx never announces -----------------------------------------------------------------------


def after_hold(command: Command, now: datetime) -> None:
    if command.state == Command.State.ACCEPTED:
        on_hold = command.operation == "conferences.hold"
        mirror.hold_set(_conference(command), _legs(command), on_hold=on_hold, version=command.sequence)
        services.read_back(command, now=now)
    _settle(command, now)


def after_mute(command: Command, now: datetime) -> None:
    if command.state == Command.State.ACCEPTED:
        muted = command.operation == "conferences.mute"
        mirror.mute_set(_conference(command), _legs(command), muted=muted, version=command.sequence)
        services.read_back(command, now=now)


RECORDING_AFTER = {
    "conferences.record_start": Conference.RecordingState.RECORDING,
    "conferences.record_resume": Conference.RecordingState.RECORDING,
    "conferences.record_pause": Conference.RecordingState.PAUSED,
    "conferences.record_stop": Conference.RecordingState.OFF,
}


def after_record(command: Command, now: datetime) -> None:
    if command.state == Command.State.ACCEPTED:
        state = RECORDING_AFTER[command.operation]
        mirror.recording_set(_conference(command), state, version=command.sequence)


# outcomes: supervision ---------------------------------------------------------------------------------------


def after_dial_supervisor(command: Command, now: datetime) -> None:
    session = SupervisionSession.objects.get(pk=command.subject)
    if command.state == Command.State.ACCEPTED:
        services.supervisor_leg_known(session, _dialled_leg(command))
    else:
        services.supervision_refused(session, command, now=now)
    _settle(command, now)


def after_supervisor_role(command: Command, now: datetime) -> None:
    """A role Telnyx refused is a role nobody may rely on: the supervisor's leg goes."""
    session = SupervisionSession.objects.get(pk=command.subject)
    if command.state == Command.State.ACCEPTED:
        mirror.role_set(
            _conference(command),
            mirror.note_leg(command.arguments["call_control_id"]),
            role=command.arguments["supervisor_role"],
            targets=command.arguments.get("whisper_call_control_ids", []),
            version=command.sequence,
        )
        services.read_supervisor_back(command, now=now)
    elif command.code != "90044":
        services.supervision_refused(session, command, now=now)
    _settle(command, now)


def after_read_supervisor(command: Command, now: datetime) -> None:
    if command.state == Command.State.ACCEPTED:
        his = [seen for seen in command.result or [] if seen["call_control_id"] == command.ordering_key]
        mirror.participants_read(_conference(command), his, version=command.sequence)
        for seen in his:
            services.supervisor_seen(seen, call_id=command.call, before=command.sequence, now=now)
    _settle(command, now)


# -------------------------------------------------------------------------------------------------------------


def _settle(command: Command, now: datetime) -> None:
    if command.call_id is not None:
        settle(command.call_id, now=now)


def _conference(command: Command) -> Conference:
    return mirror.note_conference(command.target, call_id=command.call_id)


def _legs(command: Command) -> list[CallLeg]:
    return [mirror.note_leg(ident) for ident in command.arguments.get("call_control_ids", [])]


def _dialled_leg(command: Command) -> CallLeg:
    result = command.result or {}
    return mirror.note_leg(
        result["call_control_id"],
        call_leg_id=result.get("call_leg_id") or "",
        call_session_id=result.get("call_session_id") or "",
        connection_id=command.arguments["connection_id"],
        direction=CallLeg.Direction.OUTGOING,
        from_number=command.arguments["from_"],
        to_number=command.arguments["to"],
    )
