"""What people do to a live conversation: the one entry for admin and API.

Each verb checks the permission of its mode, keeps an audit row (also of what it refused), and writes the command or
the session; what follows is settled like everything else. Listening needs a signed-in user.
"""

import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from conferences import supervision as mechanics
from conferences.models import CallLeg, Conference, Participant, Role, SupervisionSession
from queues import permissions, services
from queues.engine import agents, settle
from queues.errors import NotAllowed, NotThere, QueueError, WrongWords
from queues.models import Agent, Call, Offer, Queue, SupervisorPhone
from queues.models.queue import PRIORITIES
from webhooks import journal, outbox, references
from webhooks.models import AuditEntry

Mode = SupervisionSession.Mode
ANSWER_WITHIN = timedelta(seconds=mechanics.RING_SECS + 5)
THEN = ("requeue", "speak_and_hangup", "hangup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: a signed-in user, or an API key (``user`` None), which never listens."""

    name: str
    user: User | None = None

    @property
    def user_id(self) -> int | None:
        return self.user.pk if self.user else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One action as it was asked for. ``token`` makes it one: the same token again changes nothing.

    ``conference_id`` is the conference it was asked of, if it was: refused once the caller is in it no more.
    """

    actor: Actor
    token: str
    now: datetime
    reason: str = ""
    conference_id: uuid.UUID | None = None


# listening ---------------------------------------------------------------------------------------------------


def supervise(call_id: uuid.UUID, mode: str, request: Request) -> SupervisionSession:
    """Monitor, whisper or barge: rings the supervisor's phone and joins him with that role once he answers.

    With a session of his own on this call running, the role is switched instead. Raises NotAllowed, NotThere,
    QueueError (no_conversation, no_phone, on_another_call, phone_busy).
    """
    if mode not in (Mode.MONITOR, Mode.WHISPER, Mode.BARGE):
        raise WrongWords("unknown_role", "The role is monitor, whisper or barge.")
    with _acting(mode, call_id, request) as call:
        user = _listener(request.actor, mode)
        if (followed := _followed(call, user, mode, request)) is not None:
            return followed
        session = _session_of(call, user)
        if session is None:
            session = _dial(call, user, mode, request)
        else:
            _switch(session, mode, request)
        settle(call.pk, now=request.now)
        return session


def switch_role(call_id: uuid.UUID, mode: str, request: Request) -> SupervisionSession:
    """Another role for a supervisor who listens already; nobody is rung."""
    if mode not in (Mode.MONITOR, Mode.WHISPER, Mode.BARGE):
        raise WrongWords("unknown_role", "The role is monitor, whisper or barge.")
    with _acting("switch", call_id, request, detail={"role": mode}) as call:
        user = _listener(request.actor, mode)
        if (followed := _followed(call, user, mode, request)) is not None:
            return followed
        session = _session_of(call, user)
        if session is None:
            raise QueueError("no_session", "You are not listening to this call; monitor, whisper or barge first.")
        _switch(session, mode, request)
        settle(call.pk, now=request.now)
        return session


def take_over(call_id: uuid.UUID, request: Request) -> SupervisionSession:
    """The supervisor becomes an ordinary participant and the call's owner; the agent's leg leaves.

    He must be in the conversation already: nobody is taken off a call before somebody else is on it.
    """
    with _acting(Mode.TAKEOVER, call_id, request) as call:
        user = _listener(request.actor, Mode.TAKEOVER)
        if (followed := _followed(call, user, Mode.TAKEOVER, request)) is not None:
            return followed
        session = _session_of(call, user)
        if session is None or session.state != SupervisionSession.State.ACTIVE:
            raise QueueError("not_in_conversation", "Monitor, whisper or barge first; then take over.")
        if (
            owned := _live_sessions(call).filter(took_over_at__isnull=False).select_related("supervisor").first()
        ) is not None:
            raise QueueError("taken_over", f"{owned.supervisor} has taken this call over already.")
        if services.connected_offer(call) is None:
            raise QueueError("no_conversation", "No agent talks with this caller; there is nothing to take over.")
        session.role, session.took_over_at = Mode.TAKEOVER, request.now
        session.role_changes += 1
        session.heard.append(_click(Mode.TAKEOVER, request))
        session.save()
        journal.note(call.pk, "taken_over", at=request.now, supervisor=request.actor.name)
        settle(call.pk, now=request.now)
        return session


def stop_supervising(call_id: uuid.UUID, request: Request) -> SupervisionSession:
    """End the actor's own session: his leg is hung up."""
    with _acting("stop", call_id, request) as call:
        user = _signed_in(request.actor)
        if (followed := _followed(call, user, "stop", request)) is not None:
            return followed
        session = _session_of(call, user)
        if session is None:
            raise NotThere("no_session", "You are not listening to this call.")
        session.stopped_at = request.now
        session.heard.append(_click("stop", request))
        session.save()
        settle(call.pk, now=request.now)
        session.refresh_from_db()
        return session


def _listener(actor: Actor, mode: str) -> User:
    user = _signed_in(actor)
    if not permissions.may_listen(user, mode):
        raise NotAllowed("permission_denied", f"You may not {Mode(mode).label} conversations.")
    return user


def _signed_in(actor: Actor) -> User:
    if actor.user is None:
        raise NotAllowed("user_required", "Only a signed-in user may listen; an API key never can.")
    return actor.user


def _click(action: str, request: Request) -> str:
    return f"{action}:{request.token}"


def _followed(call: Call, user: User, action: str, request: Request) -> SupervisionSession | None:
    """The session that has followed this very click already: a repeat takes no later one back."""
    his = SupervisionSession.objects.filter(call_id=call.pk, supervisor=user)
    return next((session for session in his if _click(action, request) in session.heard), None)


def _live_sessions(call: Call) -> QuerySet[SupervisionSession]:
    return SupervisionSession.objects.filter(call_id=call.pk).exclude(state=SupervisionSession.State.ENDED)


def _session_of(call: Call, user: User) -> SupervisionSession | None:
    return _live_sessions(call).filter(supervisor=user).first()


def _dial(call: Call, user: User, mode: str, request: Request) -> SupervisionSession:
    phone = _free_phone(user, now=request.now)
    if services.customer_seat(call) is None or services.connected_offer(call) is None:
        raise QueueError(
            "no_conversation", "There is no conversation to listen to: caller and agent are not connected."
        )
    session = SupervisionSession.objects.create(
        call_id=call.pk,
        supervisor=user,
        role=mode,
        reason=request.reason,
        requested_at=request.now,
        expires_at=request.now + ANSWER_WITHIN,
        confirms=not phone.address.startswith("sip:"),
        heard=[_click(mode, request)],
    )
    mechanics.dial(
        session,
        connection_id=settings.TELNYX_CONNECTION_ID,
        to=phone.address,
        from_=call.to_number,
        state=references.write("session", session.pk),
        now=request.now,
    )
    journal.note(call.pk, "supervision_asked", at=request.now, supervisor=request.actor.name, role=mode)
    return session


def _free_phone(user: User, *, now: datetime) -> SupervisorPhone:
    """The supervisor's phone, which is on one call at a time, locked: of two clicks on two calls one rings it."""
    phone = SupervisorPhone.objects.select_for_update().filter(user=user).first()
    if phone is None:
        raise QueueError("no_phone", "You have no supervisor phone; add its address in the admin first.")
    his = SupervisionSession.objects.filter(supervisor=user)
    if (elsewhere := his.exclude(state=SupervisionSession.State.ENDED).first()) is not None:
        other = Call.objects.get(pk=elsewhere.call_id)
        raise QueueError(
            "on_another_call", f"You are on the call of {other.from_number} already; stop there first, or hang up."
        )
    over = his.filter(ended_at__gt=now - agents.DIAL_CLEARS)
    if agents.may_ring_yet(over, kind="dial_supervisor").exists():
        raise QueueError("phone_busy", "Your phone is still busy with the call before; try again in a few seconds.")
    return phone


def _switch(session: SupervisionSession, mode: str, request: Request) -> None:
    if session.took_over_at is not None:
        raise QueueError("taken_over", "You own this call; there is no role to switch.")
    session.heard.append(_click(mode, request))
    changed = session.role != mode
    if changed:
        session.role, session.role_changes = mode, session.role_changes + 1
    session.save()
    if changed:
        journal.note(session.call_id, "role_switched", at=request.now, role=mode)


# the conversation --------------------------------------------------------------------------------------------


def hold(call_id: uuid.UUID, request: Request, *, legs: Collection[uuid.UUID] = (), everyone: bool = False) -> None:
    """Put participants on hold with the queue's music; ``everyone`` means everyone who is no supervisor."""
    with _controlling("hold", call_id, request) as (call, conference):
        chosen = _talkers(conference, legs, everyone)
        music = {"audio_url": call.queue.hold_music_url} if call.queue else {}
        _order("hold", "conferences.hold", call, conference, request, call_control_ids=_ids(chosen), **music)


def unhold(call_id: uuid.UUID, request: Request, *, legs: Collection[uuid.UUID] = (), everyone: bool = False) -> None:
    with _controlling("unhold", call_id, request) as (call, conference):
        chosen = _talkers(conference, legs, everyone)
        _order("unhold", "conferences.unhold", call, conference, request, call_control_ids=_ids(chosen))


def mute(call_id: uuid.UUID, request: Request, *, legs: Collection[uuid.UUID] = (), everyone: bool = False) -> None:
    with _controlling("mute", call_id, request) as (call, conference):
        chosen = _talkers(conference, legs, everyone)
        _order("mute", "conferences.mute", call, conference, request, call_control_ids=_ids(chosen))


def unmute(call_id: uuid.UUID, request: Request, *, legs: Collection[uuid.UUID] = (), everyone: bool = False) -> None:
    """Never a monitoring or whispering leg: unmuting one would open his microphone to everybody."""
    with _controlling("unmute", call_id, request) as (call, conference):
        chosen = _talkers(conference, legs, everyone)
        if any(mechanics.only_listens(seat.leg) for seat in chosen):
            raise QueueError("supervisor_leg", "A monitoring or whispering supervisor cannot be unmuted.")
        _order("unmute", "conferences.unmute", call, conference, request, call_control_ids=_ids(chosen))


def play(
    call_id: uuid.UUID,
    request: Request,
    *,
    audio_url: str,
    legs: Collection[uuid.UUID] = (),
    everyone: bool = False,
    loop: int = 1,
) -> None:
    """Play a file to some participants, or to the whole conference."""
    with _controlling("play", call_id, request) as (call, conference):
        _ours(audio_url)
        to = _audience(conference, legs, everyone)
        _order("play", "conferences.play", call, conference, request, audio_url=audio_url, loop=loop, **to)


def speak(
    call_id: uuid.UUID,
    request: Request,
    *,
    text: str,
    legs: Collection[uuid.UUID] = (),
    everyone: bool = False,
) -> None:
    """Speak a text to some participants, or to the whole conference, in the queue's voice."""
    with _controlling("speak", call_id, request) as (call, conference):
        to = _audience(conference, legs, everyone)
        voice = {"voice": call.queue.voice, "language": call.queue.language} if call.queue else {"voice": "female"}
        _order("speak", "conferences.speak", call, conference, request, payload=text, **voice, **to)


def stop_audio(
    call_id: uuid.UUID, request: Request, *, legs: Collection[uuid.UUID] = (), everyone: bool = False
) -> None:
    """Stop what is being played or spoken in the conference."""
    with _controlling("stop_audio", call_id, request) as (call, conference):
        to = _audience(conference, legs, everyone)
        _order("stop_audio", "conferences.stop", call, conference, request, **to)


def record_start(call_id: uuid.UUID, request: Request) -> None:
    """Start recording, both channels; refused where the queue says never, or while one runs."""
    with _controlling("record_start", call_id, request) as (call, conference):
        if call.queue is not None and call.queue.record == call.queue.Record.NEVER:
            raise QueueError("recording_forbidden", f"Calls of {call.queue.name} are never recorded.")
        _needs(conference, Conference.RecordingState.OFF)
        _order("record", "conferences.record_start", call, conference, request, format="mp3", channels="dual")


def record_pause(call_id: uuid.UUID, request: Request) -> None:
    with _controlling("record_pause", call_id, request) as (call, conference):
        _needs(conference, Conference.RecordingState.RECORDING)
        _order("record", "conferences.record_pause", call, conference, request)


def record_resume(call_id: uuid.UUID, request: Request) -> None:
    with _controlling("record_resume", call_id, request) as (call, conference):
        _needs(conference, Conference.RecordingState.PAUSED)
        _order("record", "conferences.record_resume", call, conference, request)


def record_stop(call_id: uuid.UUID, request: Request) -> None:
    with _controlling("record_stop", call_id, request) as (call, conference):
        _needs(conference, Conference.RecordingState.RECORDING, Conference.RecordingState.PAUSED)
        _order("record", "conferences.record_stop", call, conference, request)


def end_conference(call_id: uuid.UUID, request: Request) -> None:
    """End the conversation for everybody: Telnyx hangs every leg up."""
    with _controlling("end_conference", call_id, request) as (call, conference):
        _released(call, request)
        _order("end_conference", "conferences.end", call, conference, request)


def remove_participant(call_id: uuid.UUID, leg_id: uuid.UUID, request: Request) -> None:
    """Take one leg off the call: it is hung up. An agent's going ends the call as if he had hung up."""
    with _controlling("remove_participant", call_id, request) as (call, conference):
        seat = _seat(conference, leg_id)
        if seat.leg_id == call.leg_id:
            _released(call, request)
        mechanics.hang_up(seat.leg.call_control_id, call_id=call.pk, now=request.now)


def leave(call_id: uuid.UUID, request: Request, *, then: str) -> None:
    """Take the caller out of his conference, and say what becomes of him: a parked leg would hear nothing.

    ``requeue`` puts him back in line at his old place, ``speak_and_hangup`` reads the closing text first.
    """
    _known(then)
    with _controlling("leave", call_id, request) as (call, conference):
        command = outbox.issue(
            "leave",
            operation="conferences.leave",
            target=conference.conference_id,
            arguments={"call_control_id": call.leg.call_control_id},
            ordering_key=call.leg.call_control_id,
            dedupe_key=request.token,
            call_id=call.pk,
            actor_id=request.actor.user_id,
            now=request.now,
        )
        if command is not None:
            _then(call, then, request)


def leave_queue(call_id: uuid.UUID, request: Request, *, then: str) -> None:
    """Take a waiting caller out of Telnyx's queue, and say what becomes of him.

    ``requeue`` opens a new stay in the same queue, at his old place.
    """
    _known(then)
    with _acting("leave_queue", call_id, request) as call:
        _controller(request.actor)
        if services.open_entry(call) is None:
            raise QueueError("not_waiting", "This caller waits in no queue.")
        if call.offers.filter(state=Offer.State.CONNECTING).exists():
            raise QueueError("connecting", "An agent is just taking this call.")
        if _leave_queue(call, request):
            _then(call, then, request)


def enqueue(call_id: uuid.UUID, request: Request, *, queue_id: uuid.UUID) -> None:
    """Move a waiting caller to another queue, at the place his waiting has earned him."""
    with _acting("enqueue", call_id, request) as call:
        _controller(request.actor)
        queue = Queue.objects.filter(pk=queue_id).first()
        if queue is None:
            raise NotThere("queue_not_found", "There is no such queue.")
        if services.open_entry(call) is None:
            raise QueueError("not_waiting", "This caller waits in no queue; take him out of his conversation first.")
        if _leave_queue(call, request):
            services.requeue(call, queue=queue, now=request.now)
            settle(call.pk, now=request.now)


def set_priority(call_id: uuid.UUID, request: Request, *, priority: int) -> None:
    """Another priority for a waiting caller: his place is another from the next pass on."""
    said = {"priority": priority, "token": request.token}
    with _acting("set_priority", call_id, request, detail=said) as call:
        _controller(request.actor)
        if priority not in PRIORITIES:
            raise WrongWords("priority", f"A priority goes from {PRIORITIES[0]} to {PRIORITIES[-1]}.")
        entry = services.open_entry(call)
        if entry is None:
            raise QueueError("not_waiting", "This caller waits in no queue.")
        if not _was_heard("set_priority", call, request):
            services.set_priority(entry, priority, now=request.now)


def create_conference(call_id: uuid.UUID, request: Request) -> None:
    """Move a waiting caller into a conference of his own, ahead of any agent.

    It has not started: he hears the queue's music there, keeps his place in line, and the next agent joins it.
    """
    with _acting("create_conference", call_id, request) as call:
        _controller(request.actor)
        entry = services.open_entry(call)
        if entry is None:
            raise QueueError("not_waiting", "This caller waits in no queue.")
        if services.customer_seat(call) is not None:
            raise QueueError("in_conference", "This caller is in a conference already.")
        if call.offers.filter(state__in=Offer.WON).exists():
            raise QueueError("connecting", "An agent is just taking this call.")
        outbox.issue(
            "create_conference_for_caller",
            operation="conferences.create",
            arguments={
                "call_control_id": call.leg.call_control_id,
                "name": f"waiting-{request.token}",
                "start_conference_on_create": False,
                "hold_audio_url": entry.queue.hold_music_url,
                "max_participants": 10,
            },
            ordering_key=call.leg.call_control_id,
            dedupe_key=request.token,
            call_id=call.pk,
            subject_id=entry.pk,
            actor_id=request.actor.user_id,
            now=request.now,
        )


def join(call_id: uuid.UUID, leg_id: uuid.UUID, request: Request) -> None:
    """Bring a leg that belongs to this call already (and to nobody listening) into its conference."""
    with _controlling("join", call_id, request) as (call, conference):
        leg = CallLeg.objects.live().filter(pk=leg_id, call_id=call.pk).first()
        if leg is None:
            raise NotThere("leg_not_found", "No live leg of this call has that id.")
        if leg.role == Role.SUPERVISOR:
            raise NotAllowed("supervisor_leg", "A supervisor joins by monitor, whisper or barge only.")
        _order(
            "join",
            "conferences.join",
            call,
            conference,
            request,
            call_control_id=leg.call_control_id,
            start_conference_on_enter=True,
            end_conference_on_exit=False,
            supervisor_role="none",
        )


# agents ------------------------------------------------------------------------------------------------------


def set_agent_state(agent_id: uuid.UUID, state: str, request: Request) -> Agent:
    """An agent's own word (or his program's, by key), else a supervisor's who may force it.

    For ``not_ready`` the request's reason is the reason code. On a call or in wrap-up the agent's own word is
    remembered and happens at the end; from offline it logs him in.
    """
    if not _speaks_for(request.actor, agent_id):
        return force_agent_state(agent_id, state, request)
    with _audited("set_agent_state", request, subject_id=agent_id, detail={"state": state}):
        if state in (Agent.State.AVAILABLE, Agent.State.NOT_READY) and services.is_offline(agent_id):
            services.log_in(agent_id, now=request.now, ready=state == Agent.State.AVAILABLE)
            if state == Agent.State.NOT_READY and request.reason:
                services.go_not_ready(agent_id, request.reason, now=request.now)
        elif state == Agent.State.AVAILABLE:
            services.go_ready(agent_id, now=request.now)
        elif state == Agent.State.NOT_READY:
            services.go_not_ready(agent_id, request.reason, now=request.now)
        elif state == Agent.State.OFFLINE:
            services.log_out(agent_id, now=request.now)
        else:
            raise WrongWords("state_not_settable", "Settable states are available, not_ready and offline.")
    return Agent.objects.get(pk=agent_id)


def end_wrap_up(agent_id: uuid.UUID, request: Request) -> Agent:
    """Out of wrap-up before its deadline: by the agent, his program, or a supervisor who may force it."""
    with _audited("end_wrap_up", request, subject_id=agent_id):
        if not _speaks_for(request.actor, agent_id):
            _forcer(request.actor)
        services.end_wrap_up(agent_id, now=request.now)
    return Agent.objects.get(pk=agent_id)


def _speaks_for(actor: Actor, agent_id: uuid.UUID) -> bool:
    """A key's right is its scope, checked at the door; a user speaks for the agent he is."""
    return actor.user is None or Agent.objects.filter(pk=agent_id, user=actor.user).exists()


def _forcer(actor: Actor) -> None:
    if actor.user is not None and not permissions.may_force(actor.user):
        raise NotAllowed("permission_denied", "You may not set an agent's state.")


def force_agent_state(agent_id: uuid.UUID, state: str, request: Request) -> Agent:
    """Set an agent's state for him; audited, refused on a call."""
    with _audited("force_agent_state", request, subject_id=agent_id, detail={"state": state}):
        _forcer(request.actor)
        services.force_state(agent_id, state, now=request.now)
    return Agent.objects.get(pk=agent_id)


# -------------------------------------------------------------------------------------------------------------


@contextmanager
def _acting(
    action: str, call_id: uuid.UUID, request: Request, *, detail: dict[str, Any] | None = None
) -> Iterator[Call]:
    """Lock the call, run one verb, keep the audit row; a refusal is audited too, outside what it undid."""
    with _audited(action, request, call_id=call_id, detail=detail), transaction.atomic():
        call = Call.objects.locked(call_id)
        if call is None:
            raise NotThere("call_not_found", "There is no such call.")
        if call.is_over:
            raise QueueError("call_over", "This call is over.")
        if request.conference_id is not None:
            seat = services.customer_seat(call)
            if seat is None or seat.conference_id != request.conference_id:
                raise QueueError("conference_over", "The caller is not in this conference any more.")
        yield call


@contextmanager
def _controlling(action: str, call_id: uuid.UUID, request: Request) -> Iterator[tuple[Call, Conference]]:
    with _acting(action, call_id, request) as call:
        _controller(request.actor)
        seat = services.customer_seat(call)
        if seat is None:
            raise QueueError("no_conference", "The caller is in no conference.")
        yield call, seat.conference
        settle(call.pk, now=request.now)


@contextmanager
def _audited(
    action: str,
    request: Request,
    *,
    call_id: uuid.UUID | None = None,
    subject_id: uuid.UUID | None = None,
    detail: dict[str, Any] | None = None,
) -> Iterator[None]:
    def keep(allowed: bool, words: dict[str, Any]) -> None:
        journal.audit(
            action,
            at=request.now,
            actor=request.actor.name,
            user=request.actor.user,
            allowed=allowed,
            call_id=call_id,
            subject_id=subject_id,
            reason=request.reason,
            detail=(detail or {}) | words,
        )

    try:
        with transaction.atomic():
            yield
            keep(True, {})
    except QueueError as refusal:
        keep(False, {"code": refusal.code})
        raise


def _was_heard(action: str, call: Call, request: Request) -> bool:
    """Whether this very request was followed before, where no command of ours is to tell it: a repeat takes no later
    one back.
    """
    allowed = AuditEntry.objects.filter(call_id=call.pk, action=action, allowed=True)
    return allowed.filter(detail__token=request.token).exists()


def _controller(actor: Actor) -> None:
    """A key's right is its scope, checked at the door; a user's is a permission."""
    if actor.user is not None and not permissions.may_control(actor.user):
        raise NotAllowed("permission_denied", "You may not control conversations.")


def _order(kind: str, operation: str, call: Call, conference: Conference, request: Request, **arguments: Any) -> None:
    outbox.issue(
        kind,
        operation=operation,
        target=conference.conference_id,
        arguments=arguments,
        ordering_key=conference.conference_id,
        dedupe_key=request.token,
        call_id=call.pk,
        actor_id=request.actor.user_id,
        now=request.now,
    )


def _talkers(conference: Conference, legs: Collection[uuid.UUID], everyone: bool) -> list[Participant]:
    """The chosen participants; everyone is everyone but supervisors, spelt out (ARCHITECTURE rule 11)."""
    if everyone == bool(legs):
        raise WrongWords("who", "Name participants, or say everyone: one of the two.")
    present = Participant.objects.present().filter(conference=conference).select_related("leg")
    if everyone:
        return [seat for seat in present if seat.leg.role != Role.SUPERVISOR]
    return [_seat(conference, leg_id) for leg_id in legs]


def _audience(conference: Conference, legs: Collection[uuid.UUID], everyone: bool) -> dict[str, Any]:
    if everyone == bool(legs):
        raise WrongWords("who", "Name participants, or say everyone: one of the two.")
    return {"everyone": True} if everyone else {"call_control_ids": _ids(_talkers(conference, legs, everyone))}


def _seat(conference: Conference, leg_id: uuid.UUID) -> Participant:
    """A participant by his own id or his leg's."""
    present = Participant.objects.present().filter(conference=conference).select_related("leg")
    seat = present.filter(pk=leg_id).first() or present.filter(leg_id=leg_id).first()
    if seat is None:
        raise NotThere("participant_not_found", "Nobody with that id is in the conference.")
    return seat


def _ids(seats: Collection[Participant]) -> list[str]:
    return sorted(seat.leg.call_control_id for seat in seats)


def _needs(conference: Conference, *states: str) -> None:
    if conference.recording_state not in states:
        raise QueueError("recording_state", f"The recording is {conference.recording_state}.")


def _known(then: str) -> None:
    if then not in THEN:
        raise WrongWords("then_required", f"Say what becomes of the caller: then is one of {', '.join(THEN)}.")


def _leave_queue(call: Call, request: Request) -> bool:
    """False if this very request has been heard before: then what follows has happened too."""
    command = outbox.issue(
        "leave_queue",
        operation="calls.leave_queue",
        target=call.leg.call_control_id,
        dedupe_key=request.token,
        call_id=call.pk,
        actor_id=request.actor.user_id,
        now=request.now,
    )
    return command is not None


def _ours(audio_url: str) -> None:
    """Telnyx fetches what it is told to play, so "public" is not enough: only hosts the settings name."""
    try:
        parts = urlsplit(audio_url)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        raise WrongWords("audio_url", "audio_url: accepted are http:// and https:// URLs.")
    if host not in settings.MEDIA_HOSTS and not (settings.DEBUG and not settings.MEDIA_HOSTS):
        accepted = ", ".join(settings.MEDIA_HOSTS) or "none; name them in MEDIA_HOSTS"
        raise WrongWords("media_host", f"audio_url: found host {host!r:.100}; accepted: {accepted}.")


def _then(call: Call, then: str, request: Request) -> None:
    match then:
        case "requeue":
            services.requeue(call, now=request.now)
        case "speak_and_hangup":
            Call.objects.filter(pk=call.pk).update(closing_at=request.now, closing_reason="removed")
        case "hangup":
            _released(call, request)
    settle(call.pk, now=request.now)


def _released(call: Call, request: Request) -> None:
    Call.objects.filter(pk=call.pk, released_at__isnull=True).update(released_at=request.now)
