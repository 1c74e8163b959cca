"""Asking further: is it really gone, what became of it, whose is it? No row is written here.

What Telnyx's own log of a leg says is told as it says it, so that a lost hang-up keeps its cause; where the log is
silent, an event of ours says the least that must be true.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q

from callcenter.models import ReconcileRun
from callcenter.reconcile.ask import Line, Snapshot
from callcenter.reconcile.compare import NEWS, heard_at, ids_of
from callcenter.reconcile.findings import Absent, Finding, HangUp, Readmit, Remove, Tell, Undecided, event_of
from conferences.models import CallLeg, Participant, SupervisionSession
from queues import services
from queues.models import Call, Number, Offer, Queue, QueueEntry
from webhooks import references
from webhooks.models import Command, WebhookEvent
from webhooks.telnyx.events import Event, parse_instant
from webhooks.telnyx.records import ActiveCall, CallEventRecord, CallStatus

KEPT_FOR = timedelta(minutes=10)  # a leg that has ended, by Telnyx
LONGEST_RING = timedelta(seconds=600)  # after a dial Telnyx says "not alive" until the leg is up
SAME = timedelta(seconds=2)  # between the instants of one event in its webhook and in the log
LOST_ANSWER = timedelta(seconds=10)  # after our answer was accepted

# The facts of the mirror. Recordings are left out: their links live for ten minutes.
TOLD = frozenset(
    {
        "call.initiated",
        "call.answered",
        "call.bridged",
        "call.hangup",
        "call.hold",
        "call.unhold",
        "call.enqueued",
        "call.dequeued",
        "call.playback.started",
        "call.playback.ended",
        "call.speak.started",
        "call.speak.ended",
        "call.gather.ended",
        "conference.created",
        "conference.ended",
        "conference.participant.joined",
        "conference.participant.left",
    }
)


# gone? -------------------------------------------------------------------------------------------------------


def confirm(line: Line, absent: Absent, snapshot: Snapshot, missed_at: datetime) -> Finding | None:
    """Two looks did not show it, of which the first was at ``missed_at``. None if a third, at the thing itself, says
    that it is there all the same.

    Raises Undecided, TelnyxError.
    """
    match absent.kind:
        case "leg":
            assert absent.leg is not None  # noqa: S101
            return _leg_gone(line, absent.leg, snapshot, missed_at)
        case "conference":
            return _conference_gone(line, absent, snapshot)
        case "seat":
            return _seat_left(line, absent, snapshot)
    assert absent.leg is not None  # noqa: S101
    return _dequeued(line, absent.leg, snapshot)


def _leg_gone(line: Line, leg: CallLeg, snapshot: Snapshot, missed_at: datetime) -> Finding | None:
    status = line.leg(leg.call_control_id)
    if status is not None and not _is_over(leg, status, snapshot.started_at):
        return None
    ended_at = parse_instant(status.end_time) if status is not None else None
    call_leg_id = leg.call_leg_id or (status.call_leg_id if status is not None else "")
    told = _untold(line, leg, call_leg_id, before=None)
    if not any(event.event_type == "call.hangup" for event in told):
        if status is None and (told or _was_there_at(leg, missed_at) >= snapshot.started_at - KEPT_FOR):
            raise Undecided
        # Dropped, for all we know: an agent's caller goes back into line rather than being hung up.
        payload = ids_of(leg) | {"hangup_cause": "unspecified", "hangup_source": "unknown", "state": "hangup"}
        told.append(event_of("call.hangup", ended_at or snapshot.started_at, payload, leg.call_control_id))
    return Finding(
        kind="leg_gone",
        call_id=leg.call_id,
        detail=f"leg {call_leg_id} of the {leg.role or 'unknown'} is over",
        remedies=tuple(Tell(event=event) for event in told),
    )


def _is_over(leg: CallLeg, status: CallStatus, now: datetime) -> bool:
    """``is_alive`` False is no proof for a leg that was dialled and may not have been up yet (CONTRACT §7)."""
    if status.is_alive:
        return False
    was_up = leg.direction == CallLeg.Direction.INCOMING or leg.answered_at is not None or status.end_time is not None
    return was_up or (leg.initiated_at is not None and leg.initiated_at + LONGEST_RING < now)


def _was_there_at(leg: CallLeg, missed_at: datetime) -> datetime:
    """The latest that a leg, first missed at ``missed_at``, may have lived: that Telnyx does not know it proves nothing
    before the time that it keeps one that has ended (CONTRACT §7).

    It stood in the lists of the look before that. One that we know from the answer to its dial alone may never have.
    """
    heard = heard_at(leg)
    if heard is None:
        return missed_at
    before = ReconcileRun.objects.filter(started_at__lt=missed_at, state__in=ReconcileRun.HAD_LISTS)
    listed = before.order_by("-started_at").values_list("started_at", flat=True).first()
    return max(heard, listed or heard)


def _conference_gone(line: Line, absent: Absent, snapshot: Snapshot) -> Finding | None:
    conference = absent.conference
    assert conference is not None  # noqa: S101
    there = line.conference(conference.conference_id)
    if there is not None and there.status != "completed":
        return None
    payload = {
        "conference_id": conference.conference_id,
        "connection_id": settings.TELNYX_CONNECTION_ID,
        "reason": (there.end_reason if there is not None else None) or "",
    }
    event = event_of("conference.ended", snapshot.started_at, payload, conference.conference_id)
    return Finding(
        kind="conference_gone",
        call_id=conference.call_id,
        detail=f"conference {conference.conference_id} is over",
        remedies=(Tell(event=event),),
    )


def _seat_left(line: Line, absent: Absent, snapshot: Snapshot) -> Finding | None:
    seat, leg = absent.seat, absent.leg
    assert seat is not None  # noqa: S101
    assert leg is not None  # noqa: S101
    conference_id = seat.conference.conference_id
    if any(each.call_control_id == leg.call_control_id for each in line.participants(conference_id)):
        return None
    told = _untold(line, leg, leg.call_leg_id, before=None)
    if not any(_is_exit(event, conference_id) for event in told):
        payload = ids_of(leg) | {"conference_id": conference_id}
        names = (conference_id, leg.call_control_id, seat.joined_at)
        told.append(event_of("conference.participant.left", snapshot.started_at, payload, *names))
    return Finding(
        kind="left",
        call_id=leg.call_id,
        detail=f"leg {leg.call_leg_id} is no longer in conference {conference_id}",
        remedies=tuple(Tell(event=event) for event in told),
    )


def _is_exit(event: Event, conference_id: str) -> bool:
    return event.event_type == "conference.participant.left" and event.text("conference_id") == conference_id


def _dequeued(line: Line, leg: CallLeg, snapshot: Snapshot) -> Finding | None:
    stays = QueueEntry.objects.filter(call__leg=leg, telnyx_enqueued_at__isnull=False).select_related("queue")
    stay = stays.order_by("-telnyx_enqueued_at").first()
    if stay is not None and line.is_queued(stay.queue.name, leg.call_control_id):
        return None
    told = _untold(line, leg, leg.call_leg_id, before=None)
    if not any(event.event_type == "call.dequeued" for event in told):
        payload = ids_of(leg) | {"queue": stay.queue.name if stay is not None else "", "reason": ""}
        if stay is not None:
            payload["client_state"] = references.write("entry", stay.pk)
        names = (leg.call_control_id, leg.enqueued_at)
        told.append(event_of("call.dequeued", snapshot.started_at, payload, *names))
    return Finding(
        kind="dequeued",
        call_id=leg.call_id,
        detail=f"leg {leg.call_leg_id} is in none of Telnyx's queues any more",
        remedies=tuple(Tell(event=event) for event in told),
    )


# there after all! ---------------------------------------------------------------------------------------------


def readmit(line: Line, leg: CallLeg, snapshot: Snapshot, missed_at: datetime) -> Finding | None:
    """A caller who is over here, as we concluded, and whom two lists show. His call stays ended, and he begins another;
    only whom we had sent away is hung up. None if he is not alive when asked about.
    """
    token = leg.call_control_id
    status = line.leg(token)
    if status is None or not status.is_alive:
        return None
    call = Call.objects.select_related("queue").get(leg=leg)
    sent_away = call.closing_at is not None or Command.objects.filter(kind="hang_up", target=token).exists()
    remedies: list[HangUp | Remove | Readmit] = [HangUp(call_control_id=token)]
    if not sent_away and call.queue is not None:
        seats = Participant.objects.seated().filter(leg=leg, conference__ended_at__isnull=True)
        remedies = [
            Remove(
                conference_id=seat.conference.conference_id,
                call_control_id=token,
                participant_id=seat.participant_id or str(seat.pk),
            )
            for seat in seats.select_related("conference")
        ]
        payload = ids_of(leg) | {"direction": "incoming", "from": leg.from_number, "to": leg.to_number}
        arrived = payload | {"state": "parked", "adopt_queue": call.queue.name}
        events = [event_of("call.initiated", snapshot.started_at, arrived, token, leg.pk)]
        if leg.answered_at is not None or snapshot.has_answered(token):
            up = payload | {"state": "answered"}
            events.append(event_of("call.answered", snapshot.started_at, up, token, leg.pk))
        remedies.append(Readmit(leg=leg, events=tuple(events)))
    return Finding(
        kind="caller_lives_on",
        call_id=call.pk,
        detail=f"leg {leg.call_leg_id} of the caller is alive at Telnyx, though we took it to be over",
        remedies=tuple(remedies),
    )


# whose? ------------------------------------------------------------------------------------------------------


def orphan(active: ActiveCall) -> Finding | None:
    """A leg that is alive at Telnyx and unknown here, if it is none of ours any more."""
    if _owner(active) != "nobody":
        return None
    return Finding(
        kind="orphan_leg",
        call_id=services.call_of(active.client_state or ""),
        detail=f"leg {active.call_leg_id} bears a reference of ours that leads to nothing it could serve",
        remedies=(HangUp(call_control_id=active.call_control_id),),
    )


def adopt(line: Line, active: ActiveCall, snapshot: Snapshot) -> Finding | None:
    """A leg that is alive at Telnyx and unknown here. A caller is taken in and never hung up."""
    owner = _owner(active)
    if owner == "nobody":
        return None
    story = _events(line.story(active.call_leg_id), active)
    began = next((event for event in story if event.event_type == "call.initiated"), None)
    if began is None and not owner and not snapshot.is_whole:
        return None  # a whole look has the queues, which may say what it is
    direction = "outgoing" if owner else began.text("direction") if began is not None else ""
    if direction == "outgoing" and not owner:
        return Finding(
            kind="foreign_leg", detail=f"leg {active.call_leg_id} was dialled by somebody else; it is left alone"
        )
    queue_name = settings.ADOPT_QUEUE
    numbers: dict[str, Any] = {}
    if active.call_control_id in snapshot.queued:
        queue_name, waiting = snapshot.queued[active.call_control_id]
        numbers, direction = {"from": waiting.from_, "to": waiting.to}, direction or "incoming"
    to = began.text("to") if began is not None else numbers.get("to")
    leads = Number.objects.filter(number=to or "").exists() or Queue.objects.filter(name=queue_name).exists()
    if direction != "outgoing" and not leads:
        return Finding(
            kind="unknown_leg",
            detail=f"nothing tells what leg {active.call_leg_id} waits for; ADOPT_QUEUE would say where it goes",
        )
    direction = direction or "incoming"
    known = {"direction": direction, "adopt_queue": queue_name if direction == "incoming" else ""}
    if began is not None:
        story = [_with(event, known) if event is began else event for event in story]
    else:
        payload = _ids(active) | numbers | known
        story.insert(0, event_of("call.initiated", _began_at(active, snapshot), payload, active.call_leg_id))
    answered = any(event.event_type == "call.answered" for event in story)
    if not answered and snapshot.has_answered(active.call_control_id):
        payload = _ids(active) | numbers | {"state": "answered"}
        story.append(event_of("call.answered", snapshot.started_at, payload, active.call_control_id))
    return Finding(
        kind="adopted" if direction == "incoming" else "own_leg",
        detail=f"leg {active.call_leg_id} ({direction}) was unknown here",
        remedies=tuple(Tell(event=event) for event in story),
    )


def _owner(active: ActiveCall) -> str:
    """For which of our rows we dialled it; '' if it bears no such reference, "nobody" if it serves none of them."""
    reference = references.read(active.client_state) if active.client_state else None
    if reference is None or reference.kind not in ("offer", "session"):
        return ""
    rows = Offer.objects if reference.kind == "offer" else SupervisionSession.objects
    its_own = Q(leg__isnull=True) | Q(leg__call_control_id=active.call_control_id)
    return reference.kind if rows.filter(its_own, pk=reference.id).exists() else "nobody"


def _began_at(active: ActiveCall, snapshot: Snapshot) -> datetime:
    return snapshot.started_at - timedelta(seconds=active.call_duration or 0)


# what became of it? ------------------------------------------------------------------------------------------


def examine(line: Line, leg: CallLeg, snapshot: Snapshot) -> Finding | None:
    """A leg that Telnyx lists, and of which we have not heard what we should have: what did it say?"""
    told = _untold(line, leg, leg.call_leg_id, before=snapshot.started_at - NEWS)
    if leg.answered_at is None and not any(event.event_type == "call.answered" for event in told):
        told += _answered(leg, snapshot)
    if not told:
        return None
    return Finding(
        kind="untold",
        call_id=leg.call_id,
        detail=f"leg {leg.call_leg_id}: " + ", ".join(event.event_type for event in told)[:120],
        remedies=tuple(Tell(event=event) for event in told),
    )


def _answered(leg: CallLeg, snapshot: Snapshot) -> Iterator[Event]:
    """The log is silent. An incoming leg is up once our answer was accepted; what has been put into a queue or a
    conference is up. That a dialled leg is alive says nothing: it may be while it rings (CONTRACT §12).
    """
    up = snapshot.has_answered(leg.call_control_id)
    if not up and leg.direction == CallLeg.Direction.INCOMING:
        long_ago = snapshot.started_at - LOST_ANSWER
        ours = Command.objects.filter(kind="answer_caller", target=leg.call_control_id, call_id=leg.call_id)
        up = ours.filter(state=Command.State.ACCEPTED, closed_at__lte=long_ago).exists()
    if up:
        payload = ids_of(leg) | {"from": leg.from_number, "to": leg.to_number, "state": "answered"}
        yield event_of("call.answered", snapshot.started_at, payload, leg.call_control_id)


# Telnyx's log ------------------------------------------------------------------------------------------------


def _untold(line: Line, leg: CallLeg, call_leg_id: str, *, before: datetime | None) -> list[Event]:
    """What the log has and our inbox has not; ``before``: not what may be on its way. What was before the leg began is
    of a call that we took to be over (``readmit``).
    """
    if not call_leg_id:
        return []
    had: dict[str, list[datetime]] = {}
    if leg.call_id is not None:
        ours = WebhookEvent.objects.filter(call_id=leg.call_id, call_control_id=leg.call_control_id)
        for event_type, at in ours.values_list("event_type", "occurred_at"):
            had.setdefault(event_type, []).append(at)
    found = []
    for event in _events(line.story(call_leg_id), leg):
        assert event.occurred_at is not None  # noqa: S101
        if before is not None and event.occurred_at > before:
            continue
        if leg.initiated_at is not None and event.occurred_at < leg.initiated_at - SAME:
            continue
        near = [at for at in had.get(event.event_type, ()) if abs(at - event.occurred_at) <= SAME]
        if near:
            moment = event.occurred_at
            had[event.event_type].remove(min(near, key=lambda at: abs(at - moment)))
        else:
            found.append(event)
    return found


def _events(records: list[CallEventRecord], leg: CallLeg | ActiveCall) -> list[Event]:
    """The log's lines as events. A line that bears no payload that could be one is left out."""
    events = []
    for record in records:
        at, payload = parse_instant(record.event_timestamp), payload_of(record)
        if record.type == "webhook" and record.name in TOLD and at is not None and payload is not None:
            whole = _ids(leg) | {key: value for key, value in payload.items() if value not in (None, "")}
            events.append(event_of(record.name, at, whole, leg.call_control_id, record.event_timestamp))
    return events


def payload_of(record: CallEventRecord) -> dict[str, Any] | None:
    """Where the raw event stands in ``metadata`` is written nowhere: as such, or in what webhooks wrap it in."""
    metadata = record.metadata
    for wrapped in (metadata.get("payload"), (metadata.get("event") or {}), (metadata.get("data") or {}), metadata):
        inner = wrapped.get("payload", wrapped) if isinstance(wrapped, dict) else None
        if isinstance(inner, dict) and ("call_leg_id" in inner or "call_control_id" in inner):
            return inner
    return None


def _with(event: Event, known: dict[str, Any]) -> Event:
    return Event(
        id=event.id,
        event_type=event.event_type,
        occurred_at=event.occurred_at,
        payload={**event.payload, **known},
    )


def _ids(leg: CallLeg | ActiveCall) -> dict[str, Any]:
    if isinstance(leg, CallLeg):
        return ids_of(leg)
    return {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "connection_id": settings.TELNYX_CONNECTION_ID,
        "client_state": leg.client_state,
    }
