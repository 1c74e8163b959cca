"""Bring one call in line with its facts: say what is true now, and order whatever is missing.

``settle`` is level triggered. It does not care which event woke it: under the call's lock it reads the facts,
derives the states (queues.engine.facts), writes what changed, and issues the commands the present state calls
for. Each command is one intent by its dedupe key, so asking again is free; run twice, late or never, it ends in
the same rows. Everything that is not over gets a deadline, at which the sweeper runs it again.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from conferences import supervision
from queues.engine import facts
from queues.engine.case import ask_again_at
from queues.engine.lead import Lead
from queues.engine.limits import ANSWER_WITHIN, HANG_UP_WITHIN, LEG_LIMIT_SECS, PARTING_GRACE, PROMPT_GRACE, length_of
from queues.models import Call, QueueEntry
from webhooks import journal


def settle(call_id: uuid.UUID, *, now: datetime) -> None:
    """Lock one call, derive its states, issue what is missing, set its next deadline."""
    with transaction.atomic(savepoint=False):  # in an event's transaction, it fails with the event
        call = Call.objects.locked(call_id)
        if call is not None:
            Settlement(call, now).run()


class Settlement(Lead):
    """One run over one call. The methods read as the order of work in ``run``."""

    def run(self) -> None:
        for offer in self.offers:
            self._settle_offer(offer)
        self._settle_entries()
        self._rescue()
        self._release_agents()
        if self.leg.hangup_at is None:
            self._lead_on()
        else:
            self._hang_up_the_rest()
        self._hang_up_exited_offers()
        self._settle_supervision()
        self._say_what_it_is()

    def _settle_supervision(self) -> None:
        conference = self._conference_of_caller()
        talking = self._talking()
        present = talking is not None and self._parted_at(talking) is None
        targets = [talking.leg.call_control_id] if talking and talking.leg and present else []
        nobody_talks = talking is None and self._owner() is None and self._open() is None
        for session in self.sessions:
            if session.is_live:
                supervision.settle(
                    session,
                    conference=conference,
                    targets=targets,
                    call_is_over=self.leg.hangup_at is not None or nobody_talks,
                    now=self.now,
                )
            elif session.leg is not None and session.leg.hangup_at is None:
                self._hang_up(session.leg)  # it was over before we heard of his leg

    def _say_what_it_is(self) -> None:
        call, leg = self.call, self.leg
        if leg.hangup_at is not None:
            call.ended_at = leg.hangup_at
            call.outcome = facts.call_outcome(self.entries)
            call.state = facts.ended_state(call.outcome, has_queue=call.queue is not None)
            last = self.entries[-1].end_reason if self.entries else ""
            call.end_reason = call.closing_reason or last or leg.hangup_cause
            call.next_deadline = None
        else:
            call.state = self._live_state()
            call.next_deadline = min(self._deadlines(), default=self.now + ANSWER_WITHIN)
        was = self.before[call.pk]
        self._save(call)
        if (call.state, call.outcome) != (was["state"], was["outcome"]):
            journal.note(
                call.pk,
                f"call_{call.state}",
                at=self.now,
                **({"outcome": call.outcome} if call.outcome else {}),
            )

    def _live_state(self) -> str:
        call, entry = self.call, self._open()
        if call.closing_at is not None:
            return Call.State.CLOSING
        if entry is not None:
            offering = entry.state == QueueEntry.State.OFFERING
            return Call.State.OFFERING if offering else Call.State.QUEUED
        if self.entries:
            seat = self._seat_of(self.leg)
            return Call.State.ON_HOLD if seat is not None and seat.on_hold else Call.State.CONNECTED
        return Call.State.IN_FLOW if self.leg.answered_at else Call.State.ARRIVING

    def _deadlines(self) -> Iterable[datetime]:
        """When this call must be looked at again though nothing is heard of it."""
        entry = self._open()
        if self.leg.answered_at is None:
            yield self.now + ANSWER_WITHIN
        elif self.call.closing_at is not None and self.call.queue is not None:
            closing = self.call.closing_at + length_of(self.call.queue.closing_text) + PROMPT_GRACE
            yield max(closing, self.now + HANG_UP_WITHIN)
        elif not self.entries:
            yield max(self._greeting_due, self.now + timedelta(seconds=1))
        elif entry is not None:
            longest = entry.entered_at + timedelta(seconds=entry.queue.max_wait_secs)
            yield max(longest, self.now + timedelta(seconds=1))
            if entry.music_until is not None:
                yield max(entry.music_until, self.now + timedelta(seconds=1))
        else:
            talking = self._talking()
            talks = talking is not None and self._parted_at(talking) is None
            owned = talking is None and self._owner() is not None
            yield self.now + (timedelta(seconds=LEG_LIMIT_SECS) if talks or owned else PARTING_GRACE)
        for offer in self.offers:
            if offer.expires_at is not None:
                yield max(offer.expires_at, self.now)
        for command in self.ordered.values():
            if (again := ask_again_at(command)) is not None and again > self.now:
                yield again
        for session in self.sessions:
            if session.is_live and session.expires_at is not None:
                yield max(session.expires_at, self.now + timedelta(seconds=1))
