"""The mechanics of listening in: the supervisor's leg, his role in the conference, the end of it.

Who may listen is decided above (queues.supervision); here is how. Like everything in the house it is level
triggered: ``settle`` looks at what is and orders what is missing.
"""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from conferences.models import CallLeg, Conference, Participant, Role, SupervisionSession, SupervisorRole
from webhooks import journal, outbox
from webhooks.models import Command

Mode = SupervisionSession.Mode
State = SupervisionSession.State

RING_SECS = 20
CONFIRM_WITHIN = timedelta(seconds=10)
JOIN_WITHIN = timedelta(seconds=10)
FOLLOW_WITHIN = timedelta(seconds=5)


def supervisor_role(session: SupervisionSession, targets: Collection[str]) -> tuple[str, list[str]]:
    """The role Telnyx is to give the leg, and whom it whispers to. Nobody to whisper to: he only listens."""
    match session.role:
        case Mode.WHISPER:
            return ("whisper", sorted(targets)) if targets else ("monitor", [])
        case Mode.TAKEOVER:
            return "none", []
    return session.role, []


def only_listens(leg: CallLeg) -> bool:
    """A supervisor who is not to be heard by everybody, or of whom Telnyx does not know yet that he may be."""
    if leg.role != Role.SUPERVISOR:
        return False
    speaks = SupervisionSession.objects.filter(leg=leg, role__in=[Mode.BARGE, Mode.TAKEOVER])
    told = Participant.objects.present().filter(
        leg=leg, role_version__gt=0, supervisor_role__in=[SupervisorRole.BARGE, SupervisorRole.NONE]
    )
    return not (speaks.exists() and told.exists())


def settle(
    session: SupervisionSession,
    *,
    conference: Conference | None,
    targets: Collection[str],
    call_is_over: bool,
    now: datetime,
) -> None:
    """Bring one session in line: join once the supervisor has answered, keep role and targets, hang up at the end.

    ``conference`` is where the caller is now, ``targets`` the agents' legs in it. Saves the session.
    """
    leg = session.leg
    if leg is not None and leg.hangup_at is not None:
        _end(session, leg.hangup_at, leg.hangup_cause or "hung_up")
    elif call_is_over:
        _end(session, now, "call_over")
    elif session.stopped_at is not None:
        _end(session, session.stopped_at, session.end_reason or "stopped")
    elif leg is not None and leg.answered_at is not None:
        if session.confirms and leg.gathered_digits != "1":
            _confirm(session, leg, now)
        elif conference is None:
            # He would be alone where the caller was: he is let go unless the caller soon talks again.
            session.expires_at = session.expires_at or now + FOLLOW_WITHIN
            if session.expires_at <= now:
                _end(session, now, "conversation_over")
        else:
            _join(session, conference, targets, now)
    elif session.expires_at is not None and session.expires_at <= now:
        _end(session, now, "no_answer")
    session.save()
    if not session.is_live:
        _hang_up(session, now)


def _confirm(session: SupervisionSession, leg: CallLeg, now: datetime) -> None:
    """Nobody is joined before a human has pressed the key: a voicemail would hear, and keep, the conversation."""
    if leg.gathered_at is not None:
        _end(session, leg.gathered_at, "not_confirmed")
    elif session.state == State.DIALING:
        session.state, session.expires_at = State.CONFIRMING, now + CONFIRM_WITHIN
        outbox.issue(
            "confirm_supervisor",
            operation="calls.gather_using_speak",
            target=leg.call_control_id,
            arguments=key_press("Press 1 to join the call.", voice="female", language="en-GB"),
            dedupe_key=session.pk,
            call_id=session.call_id,
            subject_id=session.pk,
            actor_id=session.supervisor_id,
            now=now,
        )
    elif session.expires_at is not None and session.expires_at <= now:
        _end(session, now, "not_confirmed")


def key_press(payload: str, *, voice: str, language: str) -> dict[str, object]:
    """Arguments of a gather that waits once for one key."""
    return {
        "payload": payload,
        "voice": voice,
        "language": language,
        "maximum_digits": 1,
        "minimum_digits": 1,
        "maximum_tries": 1,
        "timeout_millis": 5000,
    }


def _join(session: SupervisionSession, conference: Conference, targets: Collection[str], now: datetime) -> None:
    leg = session.leg
    assert leg is not None  # noqa: S101
    role, whisper_to = supervisor_role(session, targets)
    seat = Participant.objects.filter(conference=conference, leg=leg).first()
    if session.state in (State.DIALING, State.CONFIRMING):
        session.state, session.expires_at = State.JOINING, now + JOIN_WITHIN
    elif session.state == State.ACTIVE:
        session.expires_at = None
    arguments = {"call_control_id": leg.call_control_id, "supervisor_role": role}
    if whisper_to:
        arguments["whisper_call_control_ids"] = whisper_to  # type: ignore[assignment]
    if seat is None or not seat.is_present:
        outbox.issue(
            "join_supervisor",
            operation="conferences.join",
            target=conference.conference_id,
            arguments=arguments | {"end_conference_on_exit": False, "start_conference_on_enter": False},
            ordering_key=leg.call_control_id,
            dedupe_key=f"{session.pk}:{conference.pk}",
            call_id=session.call_id,
            subject_id=session.pk,
            actor_id=session.supervisor_id,
            now=now,
        )
        if session.state == State.JOINING and session.expires_at and session.expires_at <= now:
            _end(session, now, "join_failed")
    elif session.state == State.JOINING:
        session.state, session.active_at, session.expires_at = State.ACTIVE, seat.joined_at, None
        journal.note(session.call_id, "supervisor_joined", at=now, role=session.role)
    wanted = _role_told(session, leg.call_control_id)
    if wanted is not None and wanted != (role, whisper_to):
        set_role(session, conference, role, whisper_to, now)


def set_role(
    session: SupervisionSession, conference: Conference, role: str, whisper_to: list[str], now: datetime
) -> None:
    """Tell Telnyx another role or other targets, after whatever it has been told before."""
    leg = session.leg
    assert leg is not None  # noqa: S101
    arguments: dict[str, object] = {"call_control_id": leg.call_control_id, "supervisor_role": role}
    if whisper_to:
        arguments["whisper_call_control_ids"] = whisper_to
    told = Command.objects.filter(subject_id=session.pk, kind="set_supervisor_role").count()
    outbox.issue(
        "set_supervisor_role",
        operation="conferences.update",
        target=conference.conference_id,
        arguments=arguments,
        ordering_key=leg.call_control_id,
        dedupe_key=f"{session.pk}:{told + 1}",
        call_id=session.call_id,
        subject_id=session.pk,
        actor_id=session.supervisor_id,
        now=now,
    )


def read_back(command: Command, *, now: datetime) -> None:
    """A change of role is accepted without a word on its effect: look at whom he whispers to."""
    outbox.issue(
        "read_supervisor",
        operation="conferences.list_participants",
        target=command.target,
        ordering_key=command.ordering_key,
        dedupe_key=command.pk,
        call_id=command.call_id,
        subject_id=command.subject_id,
        now=now,
    )


def whispers_as_told(session: SupervisionSession, seen: Mapping[str, Any], *, before: int) -> bool:
    """Are the targets Telnyx lists those it was told last, before it was asked?"""
    told = _role_told(session, seen["call_control_id"], before=before)
    return told is None or sorted(seen.get("whisper_call_control_ids") or []) == told[1]


def _role_told(
    session: SupervisionSession, call_control_id: str, *, before: int | None = None
) -> tuple[str, list[str]] | None:
    """The newest role and targets Telnyx has been or is about to be told; None before the join."""
    told = Command.objects.filter(
        subject_id=session.pk,
        kind__in=["join_supervisor", "set_supervisor_role"],
        ordering_key=call_control_id,
    ).exclude(state__in=[Command.State.CANCELLED, Command.State.REJECTED])
    if before is not None:
        told = told.filter(sequence__lt=before)
    last = told.order_by("-sequence").first()
    if last is None:
        return None
    return last.arguments["supervisor_role"], sorted(last.arguments.get("whisper_call_control_ids", []))


def _end(session: SupervisionSession, at: datetime, reason: str) -> None:
    if session.is_live:
        session.ended(at, reason)
        session.expires_at = None
        journal.note(session.call_id, "supervision_ended", at=at, role=session.role, reason=reason)


def _hang_up(session: SupervisionSession, now: datetime) -> None:
    if session.leg is not None and session.leg.hangup_at is None:
        hang_up(session.leg.call_control_id, call_id=session.call_id, subject_id=session.pk, now=now)


def dial(session: SupervisionSession, *, connection_id: str, to: str, from_: str, state: str, now: datetime) -> None:
    """Ring the supervisor; his leg is known by the reference it carries."""
    outbox.issue(
        "dial_supervisor",
        operation="calls.dial",
        arguments={
            "connection_id": connection_id,
            "to": to,
            "from_": from_,
            "timeout_secs": RING_SECS,
            "time_limit_secs": 14_400,
            "retry_on_timeout": False,
            "client_state": state,
        },
        ordering_key=f"session:{session.pk}",
        priority=Command.Priority.DIAL,
        dedupe_key=session.pk,
        call_id=session.call_id,
        subject_id=session.pk,
        actor_id=session.supervisor_id,
        now=now,
    )


def hang_up(call_control_id: str, *, call_id: uuid.UUID, now: datetime, subject_id: uuid.UUID | None = None) -> None:
    """Hang a leg up, once."""
    outbox.issue(
        "hang_up",
        operation="calls.hangup",
        target=call_control_id,
        priority=Command.Priority.HANG_UP,
        dedupe_key=call_control_id,
        call_id=call_id,
        subject_id=subject_id,
        now=now,
    )
