"""What is true of one call now: its offers, stays and agents, derived from facts and written where they changed."""

import logging
import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q

from queues.engine import agents, facts, sticky
from queues.engine.case import Case, left_at
from queues.engine.limits import CONFIRM_WITHIN, CONNECT_WITHIN, PARTING_UNEXPLAINED
from queues.models import Offer, Queue, QueueEntry
from webhooks import journal, outbox
from webhooks.models import Command
from webhooks.nudge import nudge
from webhooks.telnyx.errors import CallEnded

logger = logging.getLogger(__name__)

RESCUES = uuid.UUID("6f1b0f3e-5f0c-5f7e-9a53-1d2a1c9a7c55")  # names the stay that follows a dropped agent


class Truth(Case):
    """The states that follow from the facts (queues.engine.facts)."""

    def _settle_offer(self, offer: Offer) -> None:
        was = offer.state
        self._note_confirmation(offer)
        known = self._facts(offer)
        verdict = facts.offer_verdict(known)
        if offer.state in Offer.UNANSWERED and (verdict.state in Offer.WON or facts.may_win(known)):
            self._win(offer)
            verdict = facts.offer_verdict(self._facts(offer))
        if verdict.state == was and offer.expires_at is not None and offer.expires_at <= self.now:
            offer.expired_at = self.now
            verdict = facts.offer_verdict(self._facts(offer))
        if not offer.is_live and verdict.state in Offer.LIVE:
            logger.error("an exited offer would live again offer=%s", offer.pk)
            return
        offer.state = verdict.state
        offer.connected_at, offer.ended_at = verdict.connected_at, _not_before(offer.offered_at, verdict.ended_at)
        offer.end_reason, offer.won_at = verdict.end_reason, verdict.won_at
        if offer.state != was or offer.state == Offer.State.CONNECTED:
            offer.expires_at = self._deadline(offer)
        if offer.state != was:
            journal.note(
                self.call.pk,
                f"offer_{offer.state}",
                at=self.now,
                agent=offer.agent.name,
                queue=offer.entry.queue.name,
                **({"reason": offer.end_reason} if offer.end_reason else {}),
            )
        self._save(offer)

    def _note_confirmation(self, offer: Offer) -> None:
        leg = offer.leg
        if offer.confirms and leg is not None and leg.gathered_at is not None:
            if leg.gathered_digits == "1":
                offer.confirmed_at = offer.confirmed_at or leg.gathered_at
            else:
                offer.unconfirmed_at = offer.unconfirmed_at or leg.gathered_at

    def _facts(self, offer: Offer) -> facts.OfferFacts:
        leg = offer.leg
        agent_seat = self._seat_of(leg) if leg else None
        caller_seat = self._seat_of(self.leg, in_conference=agent_seat.conference) if agent_seat else None
        return facts.OfferFacts(
            confirms=offer.confirms,
            exclusive=offer.exclusive,
            initiated_at=leg.initiated_at if leg else None,
            answered_at=leg.answered_at if leg else None,
            leg_end=self._leg_end(leg) if leg else None,
            caller_hangup_at=self.leg.hangup_at,
            caller_joined_at=caller_seat.joined_at if caller_seat else None,
            caller_left_at=left_at(caller_seat),
            agent_joined_at=agent_seat.joined_at if agent_seat else None,
            agent_left_at=left_at(agent_seat),
            refused_at=offer.refused_at,
            confirmed_at=offer.confirmed_at,
            unconfirmed_at=offer.unconfirmed_at,
            won_at=offer.won_at,
            rescinded_at=offer.rescinded_at,
            rescind_reason=offer.rescind_reason,
            expired_at=offer.expired_at,
        )

    def _win(self, offer: Offer) -> None:
        """One winner per entry: the first to be written; whoever comes second has lost to him."""
        try:
            with transaction.atomic():
                won = Offer.objects.filter(pk=offer.pk, state__in=Offer.UNANSWERED).update(
                    state=Offer.State.CONNECTING, won_at=self.now
                )
        except IntegrityError:
            won = 0
        if won:
            offer.won_at = self.now
            for other in self.offers:
                if other.entry_id == offer.entry_id and other.state in Offer.UNANSWERED and other != offer:
                    self._rescind(other, Offer.State.SUPERSEDED)
        else:
            self._rescind(offer, Offer.State.SUPERSEDED)

    def _rescind(self, offer: Offer, reason: str) -> None:
        if offer.rescinded_at is None:
            offer.rescinded_at, offer.rescind_reason = self.now, reason
            verdict = facts.offer_verdict(self._facts(offer))
            offer.state, offer.end_reason = verdict.state, verdict.end_reason
            offer.ended_at = _not_before(offer.offered_at, verdict.ended_at)
            offer.expires_at = None
            self._save(offer)

    def _deadline(self, offer: Offer) -> datetime | None:
        """Fresh on entering confirming and connecting; while it rings, the one it was made with.

        A conversation has one only once its agent has left it and nobody has said why.
        """
        match offer.state:
            case Offer.State.CONFIRMING:
                return self.now + CONFIRM_WITHIN
            case Offer.State.CONNECTING:
                return self.now + CONNECT_WITHIN
            case Offer.State.PENDING | Offer.State.RINGING:
                return offer.expires_at
            case Offer.State.CONNECTED:
                parted_at = self._parted_at(offer)
                return parted_at + PARTING_UNEXPLAINED if parted_at else None
        return None

    def _settle_entries(self) -> None:
        call = self.call
        for entry in self.entries:
            offers = [offer for offer in self.offers if offer.entry_id == entry.pk]
            connected = min((o.connected_at for o in offers if o.connected_at), default=None)
            verdict = facts.entry_verdict(
                connected_at=connected,
                caller_hangup_at=self.leg.hangup_at,
                closing_at=call.closing_at,
                closing_reason=call.closing_reason,
                released_at=call.released_at,
                moved_at=entry.moved_at,
            )
            was = entry.state, entry.outcome
            entry.connected_at, entry.outcome = connected, verdict.outcome
            entry.ended_at, entry.end_reason = _not_before(entry.entered_at, verdict.ended_at), verdict.end_reason
            if verdict.outcome:
                entry.state, entry.music_until = QueueEntry.State.ENDED, None
                for offer in offers:
                    if offer.state in Offer.UNANSWERED:
                        self._rescind(offer, verdict.end_reason or "stay_over")
            elif any(offer.is_live for offer in offers):
                entry.state = QueueEntry.State.OFFERING
            else:
                entry.state = QueueEntry.State.WAITING
            self._save(entry)
            if (entry.state, entry.outcome) != was:
                journal.note(
                    call.pk,
                    f"entry_{entry.outcome or entry.state}",
                    at=self.now,
                    queue=entry.queue.name,
                    **({"wait_secs": round(entry.wait_secs, 1)} if entry.wait_secs is not None else {}),
                )
                if entry.state == QueueEntry.State.WAITING:
                    nudge("queues.route", entry.queue_id)

    def _rescue(self) -> None:
        """An agent, or an owner, who was dropped leaves the caller to the next: a new stay, at his old place."""
        for offer in self.offers:
            if offer.state != Offer.State.ENDED or offer.ended_at is None:
                continue
            if not self._was_dropped(offer, offer.ended_at) or not self._is_alone_after(offer.ended_at):
                continue
            rescue_id = uuid.uuid5(RESCUES, str(offer.pk))
            if any(entry.pk == rescue_id for entry in self.entries):
                continue
            self._open_entry(
                offer.entry.queue, rescue_id, entered_at=offer.ended_at, after=offer.entry, rescued_from=offer
            )

        for session in self.sessions:
            end = self._leg_end(session.leg) if session.took_over_at and session.leg else None
            rescue_id = uuid.uuid5(RESCUES, str(session.pk))
            if end is None or not end.is_failure or not self._is_alone_after(end.at):
                continue
            if self.entries and all(entry.pk != rescue_id for entry in self.entries):
                last = self.entries[-1]
                self._open_entry(last.queue, rescue_id, entered_at=end.at, after=last)

    def _was_dropped(self, offer: Offer, ended_at: datetime) -> bool:
        """Network or device took the agent, or he has gone and nothing has told us why."""
        end = self._leg_end(offer.leg) if offer.leg else None
        if end is None or end.at > ended_at + facts.LEAVING:
            return offer.expired_at is not None
        return end.is_failure

    def _is_alone_after(self, at: datetime) -> bool:
        """Nobody of ours holds the caller once this agent is gone, and he has not gone first."""
        call = self.call
        gone = [self.leg.hangup_at, call.closing_at, call.released_at]
        if any(moment is not None and moment <= at for moment in gone):
            return False
        talked = [offer for offer in self.offers if offer.connected_at is not None and offer.connected_at <= at]
        if any(offer.ended_at is None or offer.ended_at > at for offer in talked):
            return False
        return self._owner(at) is None

    def _open_entry(
        self,
        queue: Queue,
        entry_id: uuid.UUID,
        *,
        entered_at: datetime,
        after: QueueEntry | None = None,
        rescued_from: Offer | None = None,
    ) -> QueueEntry:
        entry = QueueEntry(
            id=entry_id,
            call=self.call,
            queue=queue,
            number=len(self.entries) + 1,
            entered_at=entered_at,
            rank_at=after.rank_at if after else entered_at,
            priority=after.priority if after else self.call.priority,
            required_skills=after.required_skills if after else queue.required_skills,
            rescued_from=rescued_from,
        )
        sticky.prefer(entry, now=self.now)
        if self.leg.hangup_at is not None:  # it was over before we heard that it began
            verdict = facts.entry_verdict(
                connected_at=None,
                caller_hangup_at=self.leg.hangup_at,
                closing_at=self.call.closing_at,
                closing_reason=self.call.closing_reason,
                released_at=self.call.released_at,
            )
            entry.state, entry.outcome = QueueEntry.State.ENDED, verdict.outcome
            entry.ended_at, entry.end_reason = _not_before(entered_at, verdict.ended_at), verdict.end_reason
        entry.save()
        self.entries.append(entry)
        journal.note(
            self.call.pk,
            "rescued" if rescued_from else "entered",
            at=self.now,
            queue=queue.name,
            place_since=entry.rank_at.isoformat(),
        )
        if entry.state == QueueEntry.State.WAITING:
            nudge("queues.route", queue.pk)
        return entry

    def _release_agents(self) -> None:
        """In the order of their ids, so that two calls never wait for each other's agents.

        A dial that nobody has begun to send is withdrawn first: of one that is out, the phone may ring yet.
        """
        for offer in sorted(self.offers, key=lambda o: o.agent_id):
            if offer.state == Offer.State.CONNECTED:
                agents.busy(offer, now=self.now)
            elif not offer.is_live:
                dropped = offer.ended_at is not None and self._was_dropped(offer, offer.ended_at)
                phone = self._phone_of(offer)
                if agents.release(offer, offer.entry.queue, phone, dropped=dropped, now=self.now):
                    self._save(offer)
                elif not agents.line_cleared(offer, phone, dropped=dropped, now=self.now):
                    continue
                nudge("queues.agent_freed", offer.agent_id)

    def _phone_of(self, offer: Offer) -> agents.Phone:
        if offer.leg is None:
            return agents.Phone(dial_is_out=not self._withdraw_dial(offer))
        told = [
            each.closed_at
            for each in self.ordered.values()
            if each.kind == "hang_up"
            and each.target == offer.leg.call_control_id
            and (each.state == Command.State.ACCEPTED or each.code in CallEnded.codes)
        ]
        return agents.Phone(hung_up_at=max((at for at in told if at is not None), default=None))

    def _withdraw_dial(self, offer: Offer) -> bool:
        """True if it rings nobody: refused, given up, or not begun to be sent and never sent now."""
        dial = self.ordered.get(("dial_agent", str(offer.pk)))
        if dial is None or dial.state in (Command.State.REJECTED, Command.State.CANCELLED):
            return True
        if outbox.cancel(Q(pk=dial.pk), now=self.now):
            dial.state = Command.State.CANCELLED
        return dial.state == Command.State.CANCELLED


def _not_before(beginning: datetime, end: datetime | None) -> datetime | None:
    """A caller may have hung up, by Telnyx's word, before we have written down that he waits, or whom he is offered to:
    he waited for nothing."""
    return None if end is None else max(beginning, end)
