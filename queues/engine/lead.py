"""What one call needs next: whatever its present state calls for and nobody has ordered yet."""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from conferences import supervision
from conferences.models import CallLeg, Conference, SupervisionSession, SupervisorRole
from queues.engine import facts
from queues.engine.limits import (
    MUSIC_LOOPS,
    MUSIC_PAUSE,
    MUSIC_SECS,
    PARTING_GRACE,
    PROMPT_GRACE,
    TELNYX_WAIT_GRACE_SECS,
    length_of,
)
from queues.engine.truth import Truth
from queues.models import Offer, Queue, QueueEntry
from webhooks import journal, references
from webhooks.models import Command


class Lead(Truth):
    """The caller's way through the house, step by step; each step orders what is missing and nothing else."""

    def _is_heard(self, owner: SupervisionSession) -> bool:
        """Telnyx has taken his new role: he and the caller talk."""
        seat = self._seat_of(owner.leg) if owner.leg else None
        return (
            seat is not None
            and seat.is_present
            and seat.role_version > 0
            and seat.supervisor_role == SupervisorRole.NONE
        )

    def _lead_on(self) -> None:
        """The caller is there: whatever his way through the house needs next."""
        call = self.call
        if call.queue is None:
            self._order(
                "reject_caller",
                "calls.reject",
                self.leg,
                dedupe_key=call.pk,
                arguments={"cause": "USER_BUSY"},
            )
            return
        if self.leg.answered_at is None:
            self._order(
                "answer_caller",
                "calls.answer",
                self.leg,
                dedupe_key=call.pk,
                arguments={"client_state": references.write("call", call.pk)},
                priority=Command.Priority.ANSWER,
            )
            return
        if call.released_at is not None:
            self._hang_up_caller()
        elif call.closing_at is not None:
            self._close(call.queue)
        elif not self.entries:
            self._greet(call.queue)
        elif (entry := self._open()) is not None:
            self._keep_waiting(entry)
        else:
            self._accompany()

    def _greet(self, queue: Queue) -> None:
        """Greeting, with the music already in line behind it; then into the queue, if there is room."""
        greeting = queue.spoken_greeting
        if greeting:
            self._order(
                "greet_caller",
                "calls.speak",
                self.leg,
                dedupe_key=self.call.pk,
                arguments={"payload": greeting, "voice": queue.voice, "language": queue.language},
            )
        self._play_music(queue, f"{self.call.pk}:0")
        if not self._greeting_is_over(greeting):
            return
        waiting = QueueEntry.objects.filter(queue=queue).exclude(state=QueueEntry.State.ENDED).count()
        if waiting >= queue.max_size:
            self._send_away(queue, "queue_full")
            return
        entry = self._open_entry(queue, uuid.uuid4(), entered_at=self.now)
        entry.music_until = self.now + timedelta(seconds=MUSIC_SECS)
        self._save(entry)
        self.call.enqueued_at = self.now
        self._enqueue(entry)

    def _greeting_is_over(self, greeting: str) -> bool:
        answered, spoken = self.leg.answered_at, self.leg.speak_ended_at
        if not greeting or (spoken and answered and spoken >= answered):
            return True
        if self._greeting_due <= self.now:
            return True
        return Command.objects.filter(
            kind="greet_caller", dedupe_key=str(self.call.pk), state=Command.State.REJECTED
        ).exists()

    @property
    def _greeting_due(self) -> datetime:
        assert self.leg.answered_at is not None  # noqa: S101
        text = self.call.queue.spoken_greeting if self.call.queue else ""
        return self.leg.answered_at + length_of(text) + PROMPT_GRACE

    def _enqueue(self, entry: QueueEntry) -> None:
        queue = entry.queue
        self._order(
            "enqueue_caller",
            "calls.enqueue",
            self.leg,
            dedupe_key=entry.pk,
            subject_id=entry.pk,
            arguments={
                "queue_name": queue.name,
                "max_wait_time_secs": queue.max_wait_secs + TELNYX_WAIT_GRACE_SECS,
                "max_size": queue.max_size,
                "client_state": references.write("entry", entry.pk),
            },
        )

    def _play_music(self, queue: Queue, dedupe_key: str) -> None:
        self._order(
            "play_music",
            "calls.playback_start",
            self.leg,
            dedupe_key=dedupe_key,
            arguments={"audio_url": queue.hold_music_url, "loop": MUSIC_LOOPS},
        )

    def _keep_waiting(self, entry: QueueEntry) -> None:
        """In line: a place to wait with music, until an agent takes him or the wait runs out."""
        if self._talking() is not None:
            return  # he is on his way back into line, and has not left the conversation yet
        winner = self._winner(entry)
        if winner is not None:
            self._connect(entry, winner)
            return
        if entry.entered_at + timedelta(seconds=entry.queue.max_wait_secs) <= self.now:
            self._send_away(entry.queue, "timeout")
            return
        for offer in self.offers:
            if offer.state == Offer.State.CONFIRMING and offer.leg is not None:
                self._ask_for_key(offer)
        conference = self._conference_of_caller()
        if conference is not None:
            self._hold(conference, entry.queue, f"alone:{entry.pk}:{self._times_alone(entry)}")
        else:
            self._enqueue(entry)
            self._renew_music(entry)

    def _times_alone(self, entry: QueueEntry) -> int:
        """How often connecting has failed in this stay: each time he is put on hold anew."""
        return sum(1 for o in self.offers if o.entry_id == entry.pk and o.won_at and not o.is_live)

    def _renew_music(self, entry: QueueEntry) -> None:
        """A finite loop, so that a caller we lost does not hear it for ever; renewed while he waits."""
        leg = self.leg
        stopped = (
            leg.playback_ended_at is not None
            and leg.playback_started_at is not None
            and leg.playback_ended_at >= leg.playback_started_at
        )
        if stopped and self.now < (again_at := self._music_again_at()):
            entry.music_until = again_at
            self._save(entry)
            return
        if stopped:
            self._play_music(entry.queue, f"{entry.pk}:after:{leg.playback_ended_at}")
        elif entry.music_until is None or entry.music_until <= self.now:
            self._play_music(entry.queue, f"{entry.pk}:at:{self.now}")
        else:
            return
        entry.music_until = self.now + timedelta(seconds=MUSIC_SECS)
        self._save(entry)

    def _music_again_at(self) -> datetime:
        """At once; after music that broke off as soon as it began, in a while, or a bad file would be a storm."""
        began, ended = self.leg.playback_started_at, self.leg.playback_ended_at
        assert began is not None  # noqa: S101
        assert ended is not None  # noqa: S101
        return ended if ended - began >= MUSIC_PAUSE else ended + MUSIC_PAUSE

    def _ask_for_key(self, offer: Offer) -> None:
        assert offer.leg is not None  # noqa: S101
        queue = offer.entry.queue
        self._order(
            "confirm_agent",
            "calls.gather_using_speak",
            offer.leg,
            dedupe_key=offer.pk,
            subject_id=offer.pk,
            arguments=supervision.key_press(
                f"Call for {queue.name}. Press 1 to take it.", voice=queue.voice, language=queue.language
            ),
        )

    def _connect(self, entry: QueueEntry, offer: Offer) -> None:
        """The agent is won: caller into a conference of his own, then the agent to him."""
        assert offer.leg is not None  # noqa: S101
        queue, conference = entry.queue, self._conference_of_caller()
        if settings.CONNECT_AUDIO == "stop_first":
            self._stop_music(offer)
        if conference is None:
            conference = self._conference_made_for(offer)
        if conference is None:
            self._order(
                "create_conference",
                "conferences.create",
                self.leg,
                dedupe_key=offer.pk,
                subject_id=offer.pk,
                takes_target=False,
                arguments={
                    "call_control_id": self.leg.call_control_id,
                    "name": f"offer-{offer.pk}",
                    "start_conference_on_create": False,
                    "hold_audio_url": queue.hold_music_url,
                    "max_participants": 10,
                },
            )
            return
        self._order(
            "join_agent",
            "conferences.join",
            offer.leg,
            target=conference.conference_id,
            dedupe_key=offer.pk,
            subject_id=offer.pk,
            arguments={
                "call_control_id": offer.leg.call_control_id,
                "start_conference_on_enter": True,
                "end_conference_on_exit": False,
                "supervisor_role": "none",
            },
        )
        self._stop_music(offer)

    def _stop_music(self, offer: Offer) -> None:
        self._order(
            "stop_music",
            "calls.playback_stop",
            self.leg,
            dedupe_key=offer.pk,
            subject_id=offer.pk,
            arguments={"stop": "all"},
        )

    def _hold(self, conference: Conference, queue: Queue, dedupe_key: str) -> None:
        self._issue(
            "hold_caller",
            operation="conferences.hold",
            target=conference.conference_id,
            arguments={
                "call_control_ids": [self.leg.call_control_id],
                "audio_url": queue.hold_music_url,
            },
            ordering_key=conference.conference_id,
            dedupe_key=dedupe_key,
        )

    def _unhold(self, conference: Conference, dedupe_key: str) -> None:
        self._issue(
            "unhold_caller",
            operation="conferences.unhold",
            target=conference.conference_id,
            arguments={"call_control_ids": [self.leg.call_control_id]},
            ordering_key=conference.conference_id,
            dedupe_key=dedupe_key,
        )

    def _accompany(self) -> None:
        """Nobody waits any more: he talks, or his conversation has ended and he is hung up."""
        talking, owner = self._talking(), self._owner()
        conference = self._conference_of_caller()
        if owner is not None and conference is not None and self._is_heard(owner):
            self._hand_over(owner, conference)
        elif talking is not None and conference is not None:
            parted_at = self._parted_at(talking)
            if parted_at is None:
                self._look_after(talking, conference)
            elif parted_at + PARTING_GRACE <= self.now:
                self._see_off(talking, conference)
        elif talking is None and owner is None:
            self._hang_up_caller()

    def _see_off(self, offer: Offer, conference: Conference) -> None:
        """Still not told: make sure that the agent's leg is gone, and let the caller hear music meanwhile."""
        if offer.leg is not None:
            self._hang_up(offer.leg)
        self._hold(conference, offer.entry.queue, f"parting:{offer.pk}")

    def _hand_over(self, owner: SupervisionSession, conference: Conference) -> None:
        """The owner talks with the caller: the agent goes, and so does a hold that was the agent's."""
        last = max((o for o in self.offers if o.connected_at), key=lambda o: (o.connected_at, o.pk), default=None)
        if last is None or last.leg is None:
            return
        held = Q(dedupe_key__startswith=f"phone:{last.leg.pk}:") | Q(dedupe_key=f"parting:{last.pk}")
        if Command.objects.filter(held, kind="hold_caller").exists():
            self._unhold(conference, f"owner:{owner.pk}")
        if last.leg.hangup_at is None:
            self._hang_up(last.leg)

    def _look_after(self, offer: Offer, conference: Conference) -> None:
        """Once both are in: read who is held, record if the queue says so, follow the agent's own hold key."""
        assert offer.leg is not None  # noqa: S101
        self._issue(
            "read_participants",
            operation="conferences.list_participants",
            target=conference.conference_id,
            ordering_key=conference.conference_id,
            dedupe_key=offer.pk,
            subject_id=offer.pk,
        )
        queue = offer.entry.queue
        if queue.record == Queue.Record.ALWAYS:
            self._issue(
                "record_conference",
                operation="conferences.record_start",
                target=conference.conference_id,
                arguments={"format": "mp3", "channels": "dual"},
                ordering_key=conference.conference_id,
                dedupe_key=conference.pk,
                subject_id=offer.pk,
            )
        leg = offer.leg
        if leg.is_held_by_phone:
            self._hold(conference, queue, f"phone:{leg.pk}:{leg.held_at}")
        elif leg.unheld_at is not None and leg.held_at is not None:
            self._unhold(conference, f"phone:{leg.pk}:{leg.unheld_at}")

    def _send_away(self, queue: Queue, reason: str) -> None:
        """Closing text, hang-up, the reason kept. Decided once; offers nobody has answered are taken back."""
        self.call.closing_at, self.call.closing_reason = self.now, reason
        journal.note(self.call.pk, "sent_away", at=self.now, queue=queue.name, reason=reason)
        for offer in self.offers:
            if offer.state in Offer.UNANSWERED:
                self._rescind(offer, "flow_out")
        self._settle_entries()
        self._release_agents()
        self._close(queue)

    def _close(self, queue: Queue) -> None:
        assert self.call.closing_at is not None  # noqa: S101
        spoken = self.leg.speak_ended_at
        due = self.call.closing_at + length_of(queue.closing_text) + PROMPT_GRACE
        if not queue.closing_text or (spoken and spoken >= self.call.closing_at) or due <= self.now:
            self._hang_up_caller()
            return
        self._order(
            "say_goodbye",
            "calls.speak",
            self.leg,
            dedupe_key=self.call.pk,
            arguments={
                "payload": queue.closing_text,
                "voice": queue.voice,
                "language": queue.language,
                "stop": "all",
            },
        )

    def _hang_up_caller(self) -> None:
        if self.leg.hangup_at is None:
            self._hang_up(self.leg)

    def _hang_up_the_rest(self) -> None:
        """The caller is gone: every other leg of the call goes too."""
        for leg in CallLeg.objects.live().filter(call_id=self.call.pk).exclude(pk=self.leg.pk):
            self._hang_up(leg)

    def _hang_up_exited_offers(self) -> None:
        """Every exit before the connection hangs the agent's leg up, ringing or answered, as soon as it is known.

        So does the caller's going elsewhere: nobody is left alone in a conference.
        """
        for offer in self.offers:
            if offer.is_live or offer.leg is None or offer.leg.hangup_at is not None:
                continue
            if offer.connected_at is None or offer.end_reason == facts.CALLER_MOVED:
                self._hang_up(offer.leg)
