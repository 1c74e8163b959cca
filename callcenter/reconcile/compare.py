"""What differs between a snapshot of Telnyx and our rows, read after it.

What there has been news of within five seconds of the snapshot is left out: its events may be on their way. Nothing
here revives what has ended. That Telnyx lists it still is said, and no more, if Telnyx had told us of its end itself.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any

from django.conf import settings
from django.db.models import DateTimeField, Q

from callcenter.reconcile.ask import Snapshot
from callcenter.reconcile.findings import Absent, Finding, HangUp, Note, Remove, Tell, event_of, subject_of
from conferences.models import CallLeg, Conference, Participant, Recording, Role, SupervisionSession
from queues import services
from queues.models import Offer
from webhooks import references
from webhooks.models import Command, WebhookEvent
from webhooks.telnyx import records
from webhooks.telnyx.events import parse_instant

NEWS = timedelta(seconds=5)
OWNERLESS_FOR = timedelta(seconds=10)  # the hang-up is on its way

_INSTANTS = [
    field.attname
    for field in CallLeg._meta.concrete_fields
    if isinstance(field, DateTimeField) and field.attname != "suspected_at"
]


_TOLD_OF_RECORDINGS = (
    "call_control_id",
    "call_session_id",
    "connection_id",
    "conference_id",
    "channels",
    "recording_started_at",
    "recording_ended_at",
)


def heard_at(leg: CallLeg) -> datetime | None:
    """The latest that we know of a leg."""
    return max((at for name in _INSTANTS if (at := getattr(leg, name)) is not None), default=None)


def _heard_of(conference: Conference) -> datetime | None:
    joined = Participant.objects.filter(conference=conference, joined_at__isnull=False).order_by("-joined_at")
    last = joined.values_list("joined_at", flat=True).first()
    return max((at for at in (conference.created_at, last) if at is not None), default=None)


def _not_queued(leg: CallLeg) -> Absent:
    return Absent(kind="queued", subject=subject_of("queued", leg.call_control_id), leg=leg)


class Comparison:
    """One snapshot beside our rows. ``certain``: subjects that are looked at though there was news of them."""

    def __init__(self, snapshot: Snapshot, *, certain: Collection[str] = ()) -> None:
        self.snapshot = snapshot
        self._certain = certain
        self.quiet_before = snapshot.started_at - NEWS
        ours = Q(connection_id__in=("", settings.TELNYX_CONNECTION_ID))
        self.live = {leg.call_control_id: leg for leg in CallLeg.objects.live().filter(ours)}
        unlisted = snapshot.legs.keys() - self.live.keys()
        self.over = {leg.call_control_id: leg for leg in CallLeg.objects.filter(call_control_id__in=unlisted)}
        self.conferences = {
            conference.conference_id: conference
            for conference in Conference.objects.filter(
                Q(ended_at__isnull=True) | Q(conference_id__in=snapshot.conferences)
            ).filter(ours)
        }
        self.seats: dict[str, dict[str, Participant]] = {ident: {} for ident in snapshot.participants}
        for seat in Participant.objects.filter(conference__conference_id__in=snapshot.participants).select_related(
            "conference", "leg"
        ):
            self.seats[seat.conference.conference_id][seat.leg.call_control_id] = seat

    @cached_property
    def unknown(self) -> list[records.ActiveCall]:
        """Legs that we have never heard of, though their first event should have come by now."""
        return [
            leg
            for ident, leg in self.snapshot.legs.items()
            if ident not in self.live
            and ident not in self.over
            and (leg.call_duration is None or leg.call_duration >= NEWS.total_seconds())
        ]

    @cached_property
    def ended_untold(self) -> list[CallLeg]:
        """Callers who are over here, by what was concluded from lists and logs and not by a webhook, and are listed."""
        callers = {
            ident: leg
            for ident, leg in self.over.items()
            if leg.role == Role.CUSTOMER and leg.hangup_at is not None and not self._is_news(leg.hangup_at)
        }
        theirs = WebhookEvent.objects.filter(call_id__in=[leg.call_id for leg in callers.values()])
        told = theirs.filter(event_type="call.hangup", source=WebhookEvent.Source.TELNYX)
        by_telnyx = set(told.values_list("call_control_id", flat=True))
        return [leg for ident, leg in callers.items() if ident not in by_telnyx]

    def _is_news(self, at: datetime | None) -> bool:
        return at is not None and at > self.quiet_before

    # gone? -------------------------------------------------------------------------------------------------

    def absent(self) -> Iterator[Absent]:
        """What our rows have and this snapshot has not."""
        for absent, news_at in self._absent():
            if absent.subject in self._certain or not self._is_news(news_at):
                yield absent

    def _absent(self) -> Iterator[tuple[Absent, datetime | None]]:
        snapshot = self.snapshot
        for ident, leg in self.live.items():
            if ident not in snapshot.legs:
                yield Absent(kind="leg", subject=subject_of("leg", ident), leg=leg), heard_at(leg)
            elif snapshot.is_whole and leg.state == "queued" and ident not in snapshot.queued:
                yield _not_queued(leg), leg.enqueued_at
        for ident, conference in self.conferences.items():
            missed = snapshot.is_whole and ident not in snapshot.conferences
            if conference.ended_at is None and (missed or ident in snapshot.ended_conferences):
                subject = subject_of("conference", ident)
                yield Absent(kind="conference", subject=subject, conference=conference), _heard_of(conference)
        for ident, seats in self.seats.items():
            seen = {each.call_control_id for each in self._present(ident)}
            for token, seat in seats.items():
                if seat.is_present and token in snapshot.legs and token not in seen:
                    subject = subject_of("seat", ident, token)
                    yield Absent(kind="seat", subject=subject, seat=seat, leg=seat.leg), seat.joined_at

    def still_queued(self, subjects: Collection[str]) -> Iterator[Absent]:
        """Of callers missed in Telnyx's queues before, those of whom our rows say that they are there."""
        for leg in self.live.values():
            absent = _not_queued(leg)
            if absent.subject in subjects and leg.state == "queued" and leg.call_control_id in self.snapshot.legs:
                yield absent

    def _present(self, conference_id: str) -> list[records.Participant]:
        return [each for each in self.snapshot.participants.get(conference_id, ()) if each.status in (None, "joined")]

    # there! ------------------------------------------------------------------------------------------------

    def differences(self) -> Iterator[tuple[str, Callable[[], Iterator[Finding]]]]:
        """What this snapshot shows and our rows lack, thing by thing, so that an odd record spoils no other."""
        yield "legs over", self._ended_here
        yield "legs that nobody owns", self._ownerless
        for ident in self.snapshot.conferences:
            yield subject_of("conference", ident), partial(self._in_conference, ident)
        for ident, (name, call) in self.snapshot.queued.items():
            leg = self.live.get(ident)
            if leg is not None and leg.state != "queued":
                yield subject_of("queued", ident), partial(self._in_queue, leg, name, call)

        yield "recordings", self._recorded

    def _recorded(self) -> Iterator[Finding]:
        """Telnyx tells once that a conference's recording is there; who was not told has no other way to it."""
        found = {each.id: each for each in self.snapshot.recordings if each.conference_id}
        known = set(Recording.objects.filter(recording_id__in=found).values_list("recording_id", flat=True))
        for ident in found.keys() - known:
            recording = found[ident]
            ended_at = parse_instant(recording.recording_ended_at)
            if ended_at is None or self._is_news(ended_at):
                continue
            payload = {name: getattr(recording, name) for name in _TOLD_OF_RECORDINGS}
            payload |= {"recording_id": ident, "recording_urls": asdict(recording.download_urls)}
            event = event_of("conference.recording.saved", ended_at, payload, ident)
            yield Finding(
                kind="recording_missed",
                detail=f"recording {ident} is there, and nobody told us",
                remedies=(Tell(event=event),),
            )

    def weighed(self) -> Iterator[tuple[str, Finding]]:
        """What one list alone is not believed, as lists may lag: each with what to remember it by."""
        yield from self._strangers()
        yield from self._back()
        for ident, leg in self.over.items():
            if leg.role in (Role.AGENT, Role.SUPERVISOR) and not self._is_news(leg.hangup_at):
                yield (
                    subject_of("over", ident),
                    Finding(
                        kind="orphan_leg",
                        call_id=leg.call_id,
                        detail=f"leg {leg.call_leg_id} of the {leg.role} lives on, though it is over here",
                        remedies=(HangUp(call_control_id=ident),),
                    ),
                )

    def _ended_here(self) -> Iterator[Finding]:
        for leg in self.over.values():
            if leg.role in (Role.AGENT, Role.SUPERVISOR) or leg in self.ended_untold:
                continue  # weighed
            if leg.hangup_at is not None and not self._is_news(leg.hangup_at):
                yield Finding(
                    kind="leg_ended_here",
                    call_id=leg.call_id,
                    detail=f"leg {leg.call_leg_id} is alive at Telnyx and over here; what has ended stays so",
                )

    def _ownerless(self) -> Iterator[Finding]:
        """Legs that we dialled, whose offer or session is over, and that nobody has hung up, or to no effect."""
        since = self.snapshot.started_at - OWNERLESS_FOR
        live = [leg.pk for ident, leg in self.live.items() if ident in self.snapshot.legs]
        over = {
            offer.leg_id: ("offer", offer.pk)
            for offer in Offer.objects.filter(leg__in=live, ended_at__lte=since).exclude(state__in=Offer.LIVE)
        } | {
            session.leg_id: ("session", session.pk)
            for session in SupervisionSession.objects.filter(leg__in=live, state="ended", ended_at__lte=since)
        }
        for leg in self.live.values():
            if leg.pk not in over:
                continue
            what, ident = over[leg.pk]
            yield Finding(
                kind="orphan_leg",
                call_id=leg.call_id,
                detail=f"leg {leg.call_leg_id} lives on, though its {what} {ident} is over",
                remedies=(HangUp(call_control_id=leg.call_control_id),),
            )

    def _in_queue(self, leg: CallLeg, name: str, call: records.QueueCall) -> Iterator[Finding]:
        at = parse_instant(call.enqueued_at)
        if at is None or self._is_news(at) or self._is_news(leg.dequeued_at):
            return
        if leg.dequeued_at is not None and leg.dequeued_at >= at:
            return
        active = self.snapshot.legs.get(leg.call_control_id)
        payload = ids_of(leg) | {"queue": name, "client_state": active.client_state if active is not None else None}
        yield Finding(
            kind="enqueued",
            call_id=leg.call_id,
            detail=f"leg {leg.call_leg_id} is in Telnyx's queue {name}",
            remedies=(Tell(event=event_of("call.enqueued", at, payload, leg.call_leg_id, call.enqueued_at)),),
        )

    # conferences -------------------------------------------------------------------------------------------

    def _in_conference(self, ident: str) -> Iterator[Finding]:
        conference, there = self.conferences.get(ident), self.snapshot.conferences[ident]
        if conference is not None and conference.ended_at is not None:
            if not self._is_news(conference.ended_at):
                yield Finding(
                    kind="conference_ended_here",
                    call_id=conference.call_id,
                    detail=f"conference {ident} is alive at Telnyx and over here; what has ended stays so",
                )
            return
        present = self._present(ident)
        call_id = conference.call_id if conference is not None else None
        if call_id is None:
            callers = [self.live[each.call_control_id] for each in present if each.call_control_id in self.live]
            call_id = next((leg.call_id for leg in callers if leg.role == Role.CUSTOMER and leg.call_id), None)
        if call_id is None:
            return  # nobody of ours is in it
        created_at = parse_instant(there.created_at)
        if (conference is None or conference.created_at is None) and created_at and not self._is_news(created_at):
            first = next((each for each in present if each.call_control_id in self.live), None)
            payload = {"conference_id": ident, "connection_id": settings.TELNYX_CONNECTION_ID, "name": there.name}
            if first is not None:
                payload |= ids_of(self.live[first.call_control_id])
            yield Finding(
                kind="conference_created",
                call_id=call_id,
                detail=f"conference {ident} goes on",
                remedies=(Tell(event=event_of("conference.created", created_at, payload, ident)),),
            )
        seats = self.seats.get(ident, {})
        for each in present:
            leg = self.live.get(each.call_control_id)
            seat = seats.get(each.call_control_id)
            if leg is not None and leg.call_id == call_id and (seat is None or seat.left_at is None):
                yield from self._joined(ident, each, leg, seat)
        if conference is not None:
            yield from self._unannounced(conference, present, seats)

    def _back(self) -> Iterator[tuple[str, Finding]]:
        """Who left a conference, by our rows, and sits in it."""
        for ident in self.snapshot.conferences:
            conference = self.conferences.get(ident)
            if conference is None or conference.ended_at is not None:
                continue
            for each in self._present(ident):
                leg, seat = self.live.get(each.call_control_id), self.seats.get(ident, {}).get(each.call_control_id)
                if leg is None or seat is None or seat.left_at is None or leg.call_id != conference.call_id:
                    continue
                for finding in self._joined(ident, each, leg, seat):
                    yield subject_of("back", ident, each.call_control_id), finding

    def _strangers(self) -> Iterator[tuple[str, Finding]]:
        """Who sits in a conference of ours and does not belong to its call, each with what to remember him by."""
        for ident in self.snapshot.conferences:
            conference = self.conferences.get(ident)
            if conference is None or conference.call_id is None or conference.ended_at is not None:
                continue
            for each in self._present(ident):
                token = each.call_control_id
                leg = self.live.get(token) or self.over.get(token)
                active = self.snapshot.legs.get(token)
                client_state = (active.client_state if active is not None else None) or ""
                belongs = leg.call_id if leg is not None and leg.call_id else services.call_of(client_state)
                if belongs == conference.call_id:
                    continue
                dialled_by_us = (
                    leg.role in (Role.AGENT, Role.SUPERVISOR) if leg is not None else _is_dialled(client_state)
                )
                remedy: HangUp | Remove = Remove(conference_id=ident, call_control_id=token, participant_id=each.id)
                if dialled_by_us:
                    remedy = HangUp(call_control_id=token)
                finding = Finding(
                    kind="stranger",
                    call_id=conference.call_id,
                    detail=f"participant {each.id} of conference {ident} does not belong to its call",
                    remedies=(remedy,),
                )
                yield subject_of("stranger", ident, token), finding

    def _joined(
        self, ident: str, there: records.Participant, leg: CallLeg, seat: Participant | None
    ) -> Iterator[Finding]:
        if seat is not None and seat.is_present:
            return
        joined_at = parse_instant(there.created_at)
        left_at = seat.left_at if seat is not None else None
        if self._is_news(joined_at) or self._is_news(left_at):
            return
        if joined_at is None or (left_at is not None and joined_at <= left_at):
            joined_at = self.snapshot.started_at
        payload = ids_of(leg) | {"conference_id": ident}
        event = event_of("conference.participant.joined", joined_at, payload, there.id, left_at)
        yield Finding(
            kind="joined",
            call_id=leg.call_id,
            detail=f"leg {leg.call_leg_id} is in conference {ident}",
            remedies=(Tell(event=event),),
        )

    def _unannounced(
        self, conference: Conference, present: list[records.Participant], seats: dict[str, Participant]
    ) -> Iterator[Finding]:
        """Hold, mute and whisper targets, once no command about them is under way."""
        differ = [
            each
            for each in present
            if (seat := seats.get(each.call_control_id)) is not None
            and seat.is_present
            and not self._is_news(seat.joined_at)
            and (bool(each.on_hold), bool(each.muted), sorted(each.whisper_call_control_ids))
            != (seat.on_hold, seat.muted, sorted(seat.whisper_call_control_ids))
        ]
        if not differ:
            return
        ours = Command.objects.filter(call_id=conference.call_id, target=conference.conference_id)
        if ours.filter(Q(closed_at__isnull=True) | Q(closed_at__gt=self.quiet_before)).exists():
            return
        seen: tuple[dict[str, Any], ...] = tuple(asdict(each) for each in differ)
        yield Finding(
            kind="unannounced",
            call_id=conference.call_id,
            detail=f"hold, mute or whisper targets of {len(differ)} in conference {conference.conference_id}",
            remedies=(Note(conference=conference, participants=seen, version=self.snapshot.version),),
        )


def _is_dialled(client_state: str) -> bool:
    """By us: no incoming leg bears the reference of an offer or a session."""
    reference = references.read(client_state) if client_state else None
    return reference is not None and reference.kind in ("offer", "session")


def ids_of(leg: CallLeg) -> dict[str, Any]:
    """The ids that every event of a leg bears."""
    return {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
        "connection_id": settings.TELNYX_CONNECTION_ID,
    }
