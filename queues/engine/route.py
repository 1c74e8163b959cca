"""One pass: gather (queues.engine.gather), decide purely (queues.routing), claim rows, order the dials.

A claim is a conditional update of the stay and of the agent, under the call's lock, with the partial unique indexes
behind it: two passes at once give one offer.
"""

import logging
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, Q

from queues.engine import agents
from queues.engine.fronts import DECLINE_EXCLUSION
from queues.engine.gather import DEEPER, Gathered, Start, gather
from queues.engine.limits import LEG_LIMIT_SECS, RING_GRACE
from queues.engine.why import Reasons
from queues.models import Agent, Call, Offer, Queue, QueueEntry
from queues.routing import one_pass
from queues.routing.snapshot import State
from webhooks import breaker, dispatch, journal, meters, outbox, references
from webhooks.models import Command

logger = logging.getLogger(__name__)

TRIES = 5


def route(queue_id: uuid.UUID, *, now: datetime) -> int:
    """Run a pass over this queue and all that free agents connect it with. Returns the offers made."""
    return _run(Start(queue_id=queue_id), now)


def route_for_agent(agent_id: uuid.UUID, *, now: datetime) -> int:
    """An agent is free: run a pass over the queues he serves and those connected with them."""
    return _run(Start(agent_id=agent_id), now)


def route_all(*, now: datetime) -> int:
    """The sweeper's: every queue, whatever nudge was lost, and whatever opens by the mere passing of time."""
    return _run(Start(), now) if QueueEntry.objects.waiting().exists() else 0


def decide(start: Start, *, now: datetime, without: Collection[str] = ()) -> tuple[Gathered, one_pass.PassResult]:
    """What a pass would do now, and on what: as it would be if everything were looked at."""
    times = 1
    while True:
        gathered = gather(start, now=now, times=times, without=without)
        result = one_pass.assign(gathered.state)
        if gathered.suffices(result):
            return gathered, result
        times *= DEEPER


def live_state(queue_id: uuid.UUID, *, now: datetime) -> State:
    """The state that ``route`` would decide on now."""
    gathered, _ = decide(Start(queue_id=queue_id), now=now)
    return gathered.state


def _run(start: Start, now: datetime) -> int:
    """Decide and claim; where something was taken meanwhile, or a call cannot be offered, once more on the rest.

    Nothing is offered while Telnyx does not answer, or before our rows have been compared with it after a time of
    darkness: callers wait where they are, with their music, and the sweeper's pass finds them in the rows.
    """
    if breaker.is_open() or not dispatch.is_open():
        return 0
    made, without = 0, set[str]()
    for _ in range(TRIES):
        gathered, result = decide(start, now=now, without=without)
        if not gathered.state.calls:
            break
        claims = _Claims(gathered, result, now)
        claims.run()
        made += claims.made
        without |= claims.not_to_be_offered
        if not claims.was_late and not claims.not_to_be_offered:
            break
    return made


class _Claims:
    """The offers of one pass, made as far as the rows still allow.

    ``was_late``: somebody else has taken a call or an agent, and with that probably of the rest too, so it stopped
    there. ``not_to_be_offered``: stays that nobody may be offered just now; it went on without them.
    """

    def __init__(self, gathered: Gathered, result: one_pass.PassResult, now: datetime) -> None:
        self._result, self._now = result, now
        self._reasons = Reasons(gathered, result, now=now)
        self._agents = {agent.id: agent for agent in gathered.state.agents}
        self._pointers = {
            queue.id: queue.last_offered_position for queue in gathered.state.queues if queue.id in result.pointers
        }
        self.made = 0
        self.was_late = False
        self.not_to_be_offered: set[str] = set()

    def run(self) -> None:
        for assignment in self._result.assignments:
            exclusive = len(assignment.agent_ids) == 1
            for agent_id in sorted(assignment.agent_ids):
                turn = self._turn(assignment.queue_id, agent_id)
                try:
                    _offer(assignment.call_id, agent_id, self._reasons, exclusive=exclusive, turn=turn, now=self._now)
                except _NotToBeOffered:
                    self.not_to_be_offered.add(assignment.call_id)
                    break
                except _CallTaken:
                    self.was_late = True
                    break
                except _AgentTaken:
                    self.was_late = True
                else:
                    self.made += 1
                    if turn is not None:
                        self._pointers[assignment.queue_id] = turn.position
            if self.was_late:
                break
        self._reasons.keep()

    def _turn(self, queue_id: str, agent_id: str) -> "_Turn | None":
        if queue_id not in self._pointers:
            return None
        position = self._agents[agent_id].memberships[queue_id].position
        return _Turn(after=self._pointers[queue_id], position=position)


# claim -------------------------------------------------------------------------------------------------------


class _CallTaken(Exception):
    """Somebody else was faster with the call; nothing of this offer stays."""


class _AgentTaken(Exception):
    """Somebody else was faster with the agent, or he may not get this call any more; nothing of this offer stays."""


class _NotToBeOffered(Exception):
    """Whoever is free: the caller is going, or still talks, or is won, or its rows contradict each other."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """In a queue that goes round: the place ``after`` which an agent was chosen, and the ``position`` he has."""

    after: int | None
    position: int


def _offer(
    entry_id: str, agent_id: str, reasons: Reasons, *, exclusive: bool, turn: _Turn | None, now: datetime
) -> None:
    """Claim stay and agent and write the offer with its dial, all or nothing.

    Raises _CallTaken, _AgentTaken or _NotToBeOffered.
    """
    try:
        with transaction.atomic():
            offer = _claim_and_dial(uuid.UUID(entry_id), uuid.UUID(agent_id), exclusive=exclusive, turn=turn, now=now)
    except IntegrityError:
        raise _NotToBeOffered from None
    reasons.of_offer(offer)
    free_since = max(offer.entry.entered_at, offer.agent_available_since or offer.entry.entered_at)
    meters.offer_delay_seconds.observe(max(0.0, (now - free_since).total_seconds()))


def _claim_and_dial(
    entry_id: uuid.UUID, agent_id: uuid.UUID, *, exclusive: bool, turn: _Turn | None, now: datetime
) -> Offer:
    entry = QueueEntry.objects.select_related("queue").filter(pk=entry_id).first()
    if entry is None:
        raise _CallTaken
    call = Call.objects.locked(entry.call_id)
    claimable = [QueueEntry.State.WAITING] if exclusive else [QueueEntry.State.WAITING, QueueEntry.State.OFFERING]
    claimed = QueueEntry.objects.filter(pk=entry_id, state__in=claimable).update(state=QueueEntry.State.OFFERING)
    if not claimed:
        raise _CallTaken
    if call is None or call.leg.hangup_at is not None or call.closing_at is not None:
        raise _NotToBeOffered
    _check_other_offers(call, entry, agent_id, exclusive=exclusive, now=now)
    queue, agent = entry.queue, Agent.objects.filter(pk=agent_id).first()
    if agent is None:
        raise _AgentTaken
    # This pass may have begun before an offer had ended that this one follows, and then waited for the call's lock.
    now = max(now, agent.state_since or now)
    before = entry.offers.aggregate(ended_at=Max("ended_at"))["ended_at"]  # Telnyx's word, of a clock of its own
    rings_until = now + timedelta(seconds=queue.ring_secs) + RING_GRACE
    offer = Offer(
        call=call,
        entry=entry,
        agent=agent,
        exclusive=exclusive,
        offered_at=max(now, before or now),
        expires_at=rings_until,
        agent_available_since=agent.available_since,
        confirms=agent.must_confirm,
    )
    if not agents.reserve(agent_id, offer.pk, queue_id=queue.pk, now=now):
        raise _AgentTaken
    if turn is not None and not _take(turn, queue):
        raise _AgentTaken
    offer.save(force_insert=True)
    deadline = min(call.next_deadline or rings_until, rings_until)
    Call.objects.filter(pk=call.pk).update(state=Call.State.OFFERING, next_deadline=deadline)
    outbox.issue(
        "dial_agent",
        operation="calls.dial",
        arguments={
            "connection_id": settings.TELNYX_CONNECTION_ID,
            "to": agent.address,
            "from_": call.to_number,
            "from_display_name": queue.name[:128],
            "timeout_secs": queue.ring_secs,
            "time_limit_secs": LEG_LIMIT_SECS,
            "retry_on_timeout": False,
            "custom_headers": [
                {"name": "X-Call-Id", "value": str(call.pk)},
                {"name": "X-Caller-Leg-Id", "value": call.leg.call_leg_id},
            ],
            "client_state": references.write("offer", offer.pk),
        },
        ordering_key=f"offer:{offer.pk}",
        priority=Command.Priority.DIAL,
        dedupe_key=offer.pk,
        call_id=call.pk,
        subject_id=offer.pk,
        now=now,
    )
    journal.note(call.pk, "offered", at=now, agent=agent.name, queue=queue.name)
    return offer


def _check_other_offers(call: Call, entry: QueueEntry, agent_id: uuid.UUID, *, exclusive: bool, now: datetime) -> None:
    """Whoever writes an offer of the call has its lock, so what is found here stays so.

    A call that is won is nobody else's: its agent is being connected, or talks on while the caller is on his way back
    into line. Nor does it ring one phone alone and several at once. And who has turned it down, since this pass looked,
    is left alone.
    """
    second = now.replace(microsecond=0)  # as a pass reckons
    rings = Q(entry=entry, state__in=Offer.UNANSWERED)
    turned_down = Q(agent=agent_id, state__in=Offer.TURNED_DOWN, ended_at__gt=second - DECLINE_EXCLUSION)
    hinders = Q(state__in=Offer.WON) | (rings if exclusive else rings & Q(exclusive=True)) | turned_down
    found = set(call.offers.filter(hinders).values_list("state", flat=True))
    if found.difference(Offer.TURNED_DOWN):
        raise _NotToBeOffered
    if found:
        raise _AgentTaken


def _take(turn: _Turn, queue: Queue) -> bool:
    """Move the pointer of a queue that goes round; False if an offer of another pass has moved it meanwhile."""
    stands = Queue.objects.filter(pk=queue.pk, last_offered_position=turn.after)
    return stands.update(last_offered_position=turn.position) == 1
