"""One call with everything that belongs to it, read once under its lock: what is asked of it, and how a row
or a command of it is written."""

import uuid
from datetime import datetime
from itertools import count
from typing import Any

from conferences import services as mirror
from conferences.models import CallLeg, Conference, Participant, SupervisionSession
from queues.engine import facts
from queues.engine.limits import ASK_AGAIN_AFTER
from queues.models import Call, Offer, QueueEntry
from webhooks import outbox
from webhooks.models import Command
from webhooks.prepared import Select

_ENTRIES = Select(lambda call_id: QueueEntry.objects.filter(call=call_id).select_related("queue").order_by("number"))
_OFFERS = Select(
    lambda call_id: (
        Offer.objects.filter(call=call_id).select_related("agent", "leg", "entry__queue").order_by("offered_at", "id")
    )
)
_SESSIONS = Select(
    lambda call_id: SupervisionSession.objects.filter(call_id=call_id).select_related("leg").order_by("requested_at")
)
_COMMANDS = Select(
    lambda call_id: Command.objects.filter(call_id=call_id).only(
        "kind", "dedupe_key", "target", "state", "status", "code", "closed_at"
    )
)
_MAY_HAPPEN_TWICE = frozenset(
    {
        "answer_caller",
        "play_music",
        "enqueue_caller",
        "stop_music",
        "hold_caller",
        "unhold_caller",
        "read_participants",
        "record_conference",
        "hang_up",
    }
)


class Case:
    """The rows of one call. Commands that stand already are known, so asking for them again costs nothing."""

    def __init__(self, call: Call, now: datetime) -> None:
        self.call = call
        self.now = now
        self.leg = call.leg
        self.entries = _ENTRIES.all(call.pk)
        self.offers = _OFFERS.all(call.pk)
        self.seats = mirror.seats(call.pk)
        self.sessions = _SESSIONS.all(call.pk)
        self.ordered = {(command.kind, command.dedupe_key): command for command in _COMMANDS.all(call.pk)}
        rows: list[Call | QueueEntry | Offer] = [call, *self.entries, *self.offers]
        self.before = {row.pk: _values(row) for row in rows}

    def _open(self) -> QueueEntry | None:
        return next((e for e in self.entries if e.state != QueueEntry.State.ENDED), None)

    def _winner(self, entry: QueueEntry) -> Offer | None:
        return next((o for o in self.offers if o.entry_id == entry.pk and o.state in Offer.WON), None)

    def _talking(self) -> Offer | None:
        return next((o for o in self.offers if o.state == Offer.State.CONNECTED), None)

    def _owner(self, at: datetime | None = None) -> SupervisionSession | None:
        """The supervisor who has taken the call over and holds it now; or who held it at an instant."""
        for session in self.sessions:
            ends = [session.ended_at, session.stopped_at, session.leg.hangup_at if session.leg else None]
            end = min((known for known in ends if known is not None), default=None)
            if session.took_over_at is not None and (end is None or (at is not None and end > at)):
                return session
        return None

    def _parted_at(self, offer: Offer) -> datetime | None:
        """When the agent left the conference, though nothing has told us yet why."""
        return left_at(self._seat_of(offer.leg)) if offer.leg else None

    def _seat_of(self, leg: CallLeg, *, in_conference: Conference | None = None) -> Participant | None:
        """The newest seat of a leg, in one conference or in any."""
        found = [
            seat
            for seat in self.seats
            if seat.leg_id == leg.pk
            and seat.joined_at is not None
            and (in_conference is None or seat.conference_id == in_conference.pk)
        ]
        return max(found, key=lambda seat: (seat.joined_at, seat.pk), default=None)

    def _conference_of_caller(self) -> Conference | None:
        seat = self._seat_of(self.leg)
        return seat.conference if seat is not None and seat.is_present else None

    def _conference_made_for(self, offer: Offer) -> Conference | None:
        """Created by command, though its participant.joined has not come yet."""
        return Conference.objects.filter(call_id=self.call.pk, name=f"offer-{offer.pk}", ended_at__isnull=True).first()

    def _leg_end(self, leg: CallLeg) -> facts.LegEnd | None:
        if leg.hangup_at is None:
            return None
        ours = any(
            command.kind == "hang_up"
            and command.target == leg.call_control_id
            and command.state == Command.State.ACCEPTED
            for command in self.ordered.values()
        )
        return facts.LegEnd(at=leg.hangup_at, cause=leg.hangup_cause, sip_cause=leg.sip_hangup_cause, ours=ours)

    def _save(self, row: Call | QueueEntry | Offer) -> None:
        """Write a row if anything about it has changed."""
        values = _values(row)
        if self.before.get(row.pk) != values:
            row.save()
            self.before[row.pk] = values

    def _order(
        self,
        kind: str,
        operation: str,
        leg: CallLeg,
        *,
        dedupe_key: object,
        arguments: dict[str, object],
        target: str | None = None,
        takes_target: bool = True,
        subject_id: uuid.UUID | None = None,
        priority: int = Command.Priority.REST,
    ) -> None:
        """A command about one leg, in that leg's order."""
        self._issue(
            kind,
            operation=operation,
            target=(target or leg.call_control_id) if takes_target else "",
            arguments=arguments,
            ordering_key=leg.call_control_id,
            dedupe_key=dedupe_key,
            subject_id=subject_id,
            priority=priority,
        )

    def _issue(self, kind: str, *, dedupe_key: object, **words: Any) -> None:
        """Issue a command of this call, unless this very intent stands already."""
        key = str(dedupe_key)
        for attempt in count(2):
            standing = self.ordered.get((kind, key))
            if standing is None:
                break
            if not self._is_to_be_asked_again(standing):
                return
            key = f"{dedupe_key}:{attempt}"
        command = outbox.issue(kind, dedupe_key=key, call_id=self.call.pk, now=self.now, **words)
        if command is not None:
            self.ordered[kind, key] = command

    def _hang_up(self, leg: CallLeg) -> None:
        self._issue(
            "hang_up",
            operation="calls.hangup",
            target=leg.call_control_id,
            priority=Command.Priority.HANG_UP,
            dedupe_key=leg.call_control_id,
        )

    def _is_to_be_asked_again(self, command: Command) -> bool:
        due = ask_again_at(command)
        return due is not None and due <= self.now


def ask_again_at(command: Command) -> datetime | None:
    """When a command that Telnyx was in no state to take, or never answered, is to be written again; None if not.

    Only what may happen twice: a second greeting would be heard, a second dial would ring.
    """
    if command.state != Command.State.REJECTED or command.closed_at is None or command.kind not in _MAY_HAPPEN_TWICE:
        return None
    return command.closed_at + ASK_AGAIN_AFTER if command.says_unavailable else None


def _values(row: Call | QueueEntry | Offer) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def left_at(seat: Participant | None) -> datetime | None:
    """When a leg left for good; a later join means it came back."""
    if seat is None or seat.left_at is None or seat.joined_at is None or seat.left_at < seat.joined_at:
        return None
    return seat.left_at
