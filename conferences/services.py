"""Facts into rows: each is the earliest or the latest instant of its kind, whatever order they arrive in."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Case, F, Model, Q, QuerySet, Value, When

from conferences.models import CallLeg, Conference, Participant, Recording, Role
from webhooks.prepared import Select
from webhooks.telnyx.events import parse_instant

M = TypeVar("M", bound=Model)


def earliest(rows: QuerySet[M], field: str, at: datetime, **beside: Any) -> bool:
    """Note a fact that can only move earlier; ``beside`` is what came with it. True if this was news."""
    news = Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__gt": at})
    return bool(rows.filter(news).update(**{field: at}, **beside))


def latest(rows: QuerySet[M], field: str, at: datetime, **beside: Any) -> bool:
    """Note a fact that can only move later; ``beside`` is what came with it. True if this was news."""
    news = Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__lt": at})
    return bool(rows.filter(news).update(**{field: at}, **beside))


# legs --------------------------------------------------------------------------------------------------------


def known_leg(call_control_id: str) -> CallLeg | None:
    """The leg of this id of Telnyx's, if we have heard of it."""
    return _KNOWN.first(call_control_id)


_KNOWN = Select(lambda call_control_id: CallLeg.objects.filter(call_control_id=call_control_id))


def note_leg(call_control_id: str, **known: str) -> CallLeg:
    """The leg of this id, created or with its blanks filled: ids, direction, numbers. Nothing is overwritten."""
    known = {field: text for field, text in known.items() if text}
    leg = known_leg(call_control_id)
    if leg is None:
        leg, _ = CallLeg.objects.get_or_create(call_control_id=call_control_id, defaults=known)
    blanks = {field: text for field, text in known.items() if not getattr(leg, field)}
    if blanks:
        CallLeg.objects.filter(pk=leg.pk).update(**blanks)
        for field, text in blanks.items():
            setattr(leg, field, text)
    return leg


def assign_leg(leg: CallLeg, *, call_id: uuid.UUID, role: Role) -> None:
    """Say whose leg it is; the first word stands."""
    if leg.call_id is None:
        CallLeg.objects.filter(pk=leg.pk, call_id__isnull=True).update(call_id=call_id, role=role)
        leg.call_id, leg.role = call_id, role


def leg_fact(leg: CallLeg, field: str, at: datetime, **beside: Any) -> bool:
    """``initiated_at``, ``answered_at`` and ``hangup_at`` move earlier only, every other instant later only."""
    note = earliest if field in ("initiated_at", "answered_at", "hangup_at") else latest
    return note(CallLeg.objects.filter(pk=leg.pk), field, at, **beside)


def suspect(call_control_id: str, at: datetime) -> None:
    """Have Telnyx asked what became of a leg that we take to be alive. The first suspicion stands until it is."""
    believed = CallLeg.objects.live().filter(call_control_id=call_control_id, suspected_at__isnull=True)
    believed.update(suspected_at=at)


def suspect_all(row: CallLeg | Conference, at: datetime) -> bool:
    """The same of a leg, or of everybody in a conference, and with that of the conference. False if there is nobody."""
    legs = CallLeg.objects.live().filter(suspected_at__isnull=True)
    if isinstance(row, CallLeg):
        return bool(legs.filter(pk=row.pk).update(suspected_at=at))
    present = Participant.objects.present().filter(conference=row)
    return bool(legs.filter(pk__in=present.values("leg")).update(suspected_at=at))


def begin_anew(leg: CallLeg) -> bool:
    """Free Telnyx's id of a leg that is over for another row: whoever lives on all the same is met for the first time,
    for what has ended stays so. False if that has been done.
    """
    over = CallLeg.objects.filter(pk=leg.pk, call_control_id=leg.call_control_id, hangup_at__isnull=False)
    return bool(over.update(call_control_id=f"{leg.call_control_id[:200]}#{leg.pk}"))


# conferences -------------------------------------------------------------------------------------------------


def note_conference(conference_id: str, *, call_id: uuid.UUID | None = None, **known: Any) -> Conference:
    """The conference of Telnyx's id, created or with its blanks filled."""
    known = {field: value for field, value in known.items() if value}
    if call_id is not None:
        known["call_id"] = call_id
    conference, created = Conference.objects.get_or_create(conference_id=conference_id, defaults=known)
    if not created:
        blanks = {field: value for field, value in known.items() if not getattr(conference, field)}
        if blanks:
            Conference.objects.filter(pk=conference.pk).update(**blanks)
            for field, value in blanks.items():
                setattr(conference, field, value)
    return conference


def conference_created(conference: Conference, at: datetime) -> None:
    earliest(Conference.objects.filter(pk=conference.pk), "created_at", at)


def conference_ended(conference: Conference, at: datetime, reason: str) -> None:
    rows = Conference.objects.filter(pk=conference.pk)
    earliest(rows, "ended_at", at, end_reason=reason)
    rows.update(recording_state=Conference.RecordingState.OFF)


def floor_changed(conference_id: str, call_control_id: str, at: datetime) -> bool:
    """One conditional update, by Telnyx's id: it comes at every change of speaker. False if it was no news."""
    known = Conference.objects.filter(conference_id=conference_id)
    return latest(known, "floor_changed_at", at, floor_call_control_id=call_control_id)


def note_participant(conference: Conference, leg: CallLeg) -> Participant:
    return Participant.objects.get_or_create(conference=conference, leg=leg)[0]


def participant_fact(participant: Participant, field: str, at: datetime) -> bool:
    return latest(Participant.objects.filter(pk=participant.pk), field, at)


# what Telnyx never announces: the outcome of the command that caused it, versioned by its sequence -------------


def role_set(conference: Conference, leg: CallLeg, *, role: str, targets: Iterable[str], version: int) -> None:
    participant = note_participant(conference, leg)
    Participant.objects.filter(pk=participant.pk, role_version__lt=version).update(
        supervisor_role=role, whisper_call_control_ids=sorted(targets), role_version=version
    )


def hold_set(conference: Conference, legs: Iterable[CallLeg], *, on_hold: bool, version: int) -> None:
    for leg in legs:
        participant = note_participant(conference, leg)
        Participant.objects.filter(pk=participant.pk, hold_version__lt=version).update(
            on_hold=on_hold, hold_version=version
        )


def mute_set(conference: Conference, legs: Iterable[CallLeg], *, muted: bool, version: int) -> None:
    for leg in legs:
        participant = note_participant(conference, leg)
        Participant.objects.filter(pk=participant.pk, muted_version__lt=version).update(
            muted=muted, muted_version=version
        )


def recording_set(conference: Conference, state: str, *, version: int) -> None:
    """Its end ends the recording, and nobody announces that: of one that is over, whatever was accepted, it is off."""
    over = When(ended_at__isnull=False, then=Value(Conference.RecordingState.OFF))
    Conference.objects.filter(pk=conference.pk, recording_version__lt=version).update(
        recording_state=Case(over, default=Value(state)), recording_version=version
    )


def participants_read(
    conference: Conference, participants: Iterable[Mapping[str, Any]], *, version: int
) -> list[CallLeg]:
    """A look at Telnyx's own list confirms hold, mute and whisper targets. Returns the legs it found held.

    ``version`` is the newest command whose effect it can show: a later look at the same version counts too.
    """
    held = []
    for seen in participants:
        leg = note_leg(seen["call_control_id"], call_leg_id=seen.get("call_leg_id") or "")
        row = note_participant(conference, leg)
        rows = Participant.objects.filter(pk=row.pk)
        rows.filter(participant_id="").update(participant_id=seen.get("id") or "")
        rows.filter(hold_version__lte=version).update(on_hold=bool(seen.get("on_hold")), hold_version=version)
        rows.filter(muted_version__lte=version).update(muted=bool(seen.get("muted")), muted_version=version)
        if seen.get("on_hold"):
            held.append(leg)
    return held


# recordings --------------------------------------------------------------------------------------------------


def recording_saved(
    payload: Mapping[str, Any], *, conference: Conference | None, call_id: uuid.UUID | None
) -> Recording:
    """Keep a saved recording, known by Telnyx's id, or by leg and start where the event bears no id."""
    recording_id = payload.get("recording_id") or ""
    started = parse_instant(payload.get("recording_started_at"))
    key = recording_id or f"{payload.get('call_leg_id', '')}@{payload.get('recording_started_at', '')}"
    recording, _ = Recording.objects.get_or_create(
        key=key,
        defaults={
            "recording_id": recording_id,
            "source": Recording.Source.CONFERENCE if payload.get("conference_id") else Recording.Source.CALL,
            "conference": conference,
            "call_id": call_id,
            "call_leg_id": payload.get("call_leg_id") or "",
            "channels": payload.get("channels") or "",
            "recording_started_at": started,
            "recording_ended_at": parse_instant(payload.get("recording_ended_at")),
            "recording_urls": payload.get("recording_urls") or {},
        },
    )
    return recording


# questions ---------------------------------------------------------------------------------------------------


def live_conference(call_id: uuid.UUID, leg: CallLeg) -> Conference | None:
    """The conference this leg is in now, if any."""
    seat = (
        Participant.objects.present()
        .filter(leg=leg, conference__call_id=call_id)
        .select_related("conference")
        .order_by(F("joined_at").desc())
        .first()
    )
    return seat.conference if seat else None


def seats(call_id: uuid.UUID) -> list[Participant]:
    """Every participation there was in this call's conferences."""
    return _SEATS.all(call_id)


_SEATS = Select(
    lambda call_id: Participant.objects.filter(conference__call_id=call_id).select_related("conference", "leg")
)
