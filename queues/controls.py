"""Which buttons a person finds beside a conversation or an agent: what he may do, and what the state allows.

A courtesy only: queues.supervision checks it all again when a button is pressed.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.auth.models import User

from conferences.models import Conference, Participant, Role, SupervisionSession
from queues import permissions
from queues.models import Agent, Queue
from queues.wallboard import Conversation

Mode = SupervisionSession.Mode
RecordingState = Conference.RecordingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One verb of ``queues.admin.actions``. ``confirm`` is asked before it is sent."""

    verb: str
    label: str
    leg: uuid.UUID | None = None
    tone: str = ""
    confirm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatControls:
    seat: Participant
    name: str
    session: SupervisionSession | None
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """``listening`` about the supervisor's own role, ``talk`` about the conversation, one line per seat.

    ``may_prioritise``: while the caller waits.
    """

    listening: tuple[Button, ...]
    talk: tuple[Button, ...]
    seats: tuple[SeatControls, ...]
    may_speak: bool
    may_prioritise: bool


def call_he_is_on(user: User) -> uuid.UUID | None:
    """The one whose conversation this user listens to, or is just being rung for."""
    live = SupervisionSession.objects.filter(supervisor=user).exclude(state=SupervisionSession.State.ENDED)
    return live.values_list("call_id", flat=True).first()


def of_conversation(user: User, conversation: Conversation, *, he_is_on: uuid.UUID | None) -> Controls:
    """``he_is_on``: ``call_he_is_on``, asked once for a page."""
    may_control = permissions.may_control(user) and not conversation.call.is_over
    controls = may_control and conversation.conference is not None
    return Controls(
        listening=() if he_is_on not in (None, conversation.call.pk) else tuple(_listening(user, conversation)),
        talk=tuple(_talk(conversation)) if controls else (),
        seats=tuple(
            SeatControls(
                seat=seat,
                name=_name(seat, conversation),
                session=_session(seat, conversation),
                buttons=tuple(_about(seat)) if controls else (),
            )
            for seat in conversation.seats
        ),
        may_speak=controls,
        may_prioritise=may_control,
    )


LABELS = {Mode.MONITOR: "Listen", Mode.WHISPER: "Whisper", Mode.BARGE: "Barge"}


def _listening(user: User, conversation: Conversation) -> Iterator[Button]:
    if conversation.call.is_over:
        return
    mine = conversation.session_of(user.pk)
    there_is_something = conversation.conference is not None and conversation.offer is not None
    owns = mine is not None and mine.took_over_at is not None
    if not owns and (there_is_something or mine):
        for mode, label in LABELS.items():
            if permissions.may_listen(user, mode) and (mine is None or mine.role != mode):
                yield Button(verb=mode, label=label, tone="primary")
    in_it = mine is not None and mine.state == SupervisionSession.State.ACTIVE
    if in_it and there_is_something and not conversation.taken_over and permissions.may_listen(user, Mode.TAKEOVER):
        yield Button(
            verb="take_over",
            label="Take over",
            tone="danger",
            confirm="Take this call over? The agent leaves it and you talk to the caller.",
        )
    if mine is not None and mine.stopped_at is None:
        yield Button(verb="stop", label="Hang up" if owns else "Stop listening")


def _talk(conversation: Conversation) -> Iterator[Button]:
    talkers = [seat for seat in conversation.seats if seat.leg.role != Role.SUPERVISOR]
    if any(not seat.on_hold for seat in talkers):
        yield Button(verb="hold", label="Hold everyone")
    if any(seat.on_hold for seat in talkers):
        yield Button(verb="unhold", label="Unhold everyone")
    if any(not seat.muted for seat in talkers):
        yield Button(verb="mute", label="Mute everyone")
    if any(seat.muted for seat in talkers):
        yield Button(verb="unmute", label="Unmute everyone")
    yield from _recording(conversation)
    if conversation.conference is not None and _is_heard(conversation.conference):
        yield Button(verb="stop_audio", label="Stop playing")
    yield Button(verb="end", label="End", tone="danger", confirm="End the conversation? Everybody in it is hung up.")


def _is_heard(conference: Conference) -> bool:
    """Something is being played or spoken to the whole conference."""
    heard = (
        (conference.playback_started_at, conference.playback_ended_at),
        (conference.speak_started_at, conference.speak_ended_at),
    )
    return any(started and not (ended and ended >= started) for started, ended in heard)


def _recording(conversation: Conversation) -> Iterator[Button]:
    conference, queue = conversation.conference, conversation.call.queue
    match conference.recording_state if conference else None:
        case RecordingState.OFF if queue is None or queue.record != Queue.Record.NEVER:
            yield Button(verb="record_start", label="Record")
        case RecordingState.RECORDING:
            yield Button(verb="record_pause", label="Pause recording")
            yield Button(verb="record_stop", label="Stop recording")
        case RecordingState.PAUSED:
            yield Button(verb="record_resume", label="Resume recording")
            yield Button(verb="record_stop", label="Stop recording")


def _about(seat: Participant) -> Iterator[Button]:
    """A supervisor is neither held nor muted by others: his role says what is heard of him."""
    if seat.leg.role != Role.SUPERVISOR:
        hold, mute = ("unhold" if seat.on_hold else "hold"), ("unmute" if seat.muted else "mute")
        yield Button(verb=hold, label=hold.capitalize(), leg=seat.pk)
        yield Button(verb=mute, label=mute.capitalize(), leg=seat.pk)
    yield Button(verb="remove", label="Remove", leg=seat.pk, tone="danger", confirm="Hang this participant up?")


def _session(seat: Participant, conversation: Conversation) -> SupervisionSession | None:
    return next((session for session in conversation.sessions if session.leg_id == seat.leg_id), None)


def _name(seat: Participant, conversation: Conversation) -> str:
    """Who sits there, as a supervisor would say it."""
    if session := _session(seat, conversation):
        return session.supervisor.get_username()
    if conversation.offer is not None and seat.leg_id == conversation.offer.leg_id:
        return conversation.offer.agent.name
    if seat.leg_id == conversation.call.leg_id:
        return conversation.call.from_number
    return seat.leg.to_number


def of_agent(user: User, agent: Agent) -> tuple[Button, ...]:
    """What a supervisor may set; nothing on a call."""
    if not permissions.may_force(user):
        return ()
    ready = Button(verb=Agent.State.AVAILABLE, label="Set ready")
    not_ready = Button(verb=Agent.State.NOT_READY, label="Set not ready")
    log_out = Button(verb=Agent.State.OFFLINE, label="Log out", tone="danger", confirm=f"Log {agent.name} out?")
    match agent.state:
        case Agent.State.OFFLINE:
            return (Button(verb=Agent.State.AVAILABLE, label="Log in"),)
        case Agent.State.NOT_READY:
            return ready, log_out
        case Agent.State.AVAILABLE | Agent.State.RESERVED:
            return not_ready, log_out
        case Agent.State.WRAP_UP:
            return Button(verb="end_wrap_up", label="End wrap-up"), not_ready, log_out
    return ()
