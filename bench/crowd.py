"""A crowd of callers, agents and a supervisor around the engine.

What Telnyx would say of them is written as the mirror writes it, under the call's lock, and settled as a webhook's
handler settles: what becomes of offers and agents is the engine's own doing, and its commands lie unsent. A deed looks
again under the lock and does nothing where somebody else was there first, so several processes may do them at once.
"""

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from conferences import services as mirror
from conferences.models import CallLeg
from queues import engine, services
from queues.errors import QueueError
from queues.models import Agent, Call, Number, Offer, Queue, QueueEntry

AGENTS, WAITING = 60, 140
STRATEGIES = ("longest_idle", "linear", "round_robin", "promise", "fewest_calls")
PENALTIES = (0, 1, 2)  # in his own queue and in the next two: everyone helps out elsewhere
PROMISE_SECS = 4
MUSIC = "https://media.example.com/music.mp3"


def furnish() -> None:
    """Five queues, and every agent in three of them."""
    queues = []
    for number, strategy in enumerate(STRATEGIES):
        scoring = Queue.Scoring.PROMISE if strategy == "promise" else Queue.Scoring.STRICT_PRIORITY
        queue = Queue.objects.create(
            name=strategy, strategy=strategy, scoring=scoring, promise_secs=PROMISE_SECS, hold_music_url=MUSIC,
            greeting_text="", closing_text="", wrap_up_secs=0, max_size=10 * WAITING, max_wait_secs=3600,
        )  # fmt: skip
        Number.objects.create(number=f"+44207946000{number}", queue=queue)
        queues.append(queue)
    for number in range(AGENTS):
        agent = Agent.objects.create(name=f"agent {number}", address=f"sip:agent-{number}@phones.example.com")
        for penalty in PENALTIES:
            queue = queues[(number + penalty) % len(queues)]
            agent.memberships.create(queue=queue, penalty=penalty, position=number)
        services.log_in(agent.pk, now=timezone.now(), ready=True)


# callers -----------------------------------------------------------------------------------------------------


def rings_in() -> None:
    """One more caller, answered at once, in any of the queues."""
    now = timezone.now()
    number = Number.objects.order_by("?").first()
    assert number is not None
    with transaction.atomic():
        leg = mirror.note_leg(
            f"caller {uuid.uuid4()}", direction="incoming", from_number="+447700900001", to_number=number.number
        )
        mirror.leg_fact(leg, "initiated_at", now)
        mirror.leg_fact(leg, "answered_at", now)
        engine.settle(services.caller_arrived(leg, arrived_at=now, now=now), now=now)


def gives_up() -> None:
    """Somebody who waits has waited long enough."""
    entry = QueueEntry.objects.waiting().order_by("?").select_related("call__leg").first()
    if entry is not None:
        with _told_of(entry.call_id) as now:
            _hangs_up(entry.call.leg, now)


# agents ------------------------------------------------------------------------------------------------------


def takes_a_break() -> None:
    """A supervisor's word, to whomever it reaches: idle, ringing, or, refused, in a call."""
    agent = Agent.objects.order_by("?").first()
    assert agent is not None
    _asked(services.force_state, agent.pk, Agent.State.NOT_READY)


def comes_back() -> None:
    """Whoever was told to go, or missed a call; and whoever cools down is asked whether he may be rung again."""
    agent = Agent.objects.filter(state=Agent.State.NOT_READY).order_by("?").first()
    if agent is not None:
        _asked(services.go_ready, agent.pk)
        return
    cooling = Agent.objects.available().filter(ready_at__gt=timezone.now()).order_by("?").first()
    if cooling is not None:
        _asked(services.go_not_ready, cooling.pk, "break")


def _asked(verb: Callable[..., None], *words: object) -> None:
    with suppress(QueueError):  # he is in a call, or was given one in the same moment: look again and repeat
        verb(*words, now=timezone.now())


# offers ------------------------------------------------------------------------------------------------------


def somebody_acts() -> bool:
    """One of the offers that live goes on: its phone rings and something comes of that, or its conversation ends.

    False if there is none.
    """
    offer = Offer.objects.live().order_by("?").select_related("call__leg", "leg").first()
    if offer is None:
        return False
    with _told_of(offer.call_id) as now:
        if not Offer.objects.filter(pk=offer.pk, state=offer.state).exists():
            return True  # somebody was faster
        if offer.state == Offer.State.CONNECTED:
            _end(offer, now)
        else:
            _answer(offer, now)
    return True


def _answer(offer: Offer, now: datetime) -> None:
    """All that Telnyx says of one ringing, at once."""
    leg = mirror.note_leg(f"agent {offer.pk}", direction="outgoing")
    mirror.leg_fact(leg, "initiated_at", now)
    services.agent_leg_known(offer, leg)
    match random.choices(("talks", "declines", "misses", "caller leaves"), (4, 3, 2, 1))[0]:
        case "talks":
            conference = mirror.note_conference(
                f"conference {offer.pk}", call_id=offer.call_id, name=f"offer-{offer.pk}"
            )
            mirror.leg_fact(leg, "answered_at", now)
            for seated in (offer.call.leg, leg):
                mirror.participant_fact(mirror.note_participant(conference, seated), "joined_at", now)
        case "declines":
            _hangs_up(leg, now, cause="call_rejected")
        case "misses":
            _hangs_up(leg, now, cause="timeout")
        case "caller leaves":
            _hangs_up(offer.call.leg, now)


def _end(offer: Offer, now: datetime) -> None:
    """Either of them hangs up, and the other's leg goes as we order it."""
    assert offer.leg is not None
    legs = [offer.leg, offer.call.leg]
    random.shuffle(legs)
    for number, leg in enumerate(legs):
        _hangs_up(leg, now + number * timedelta(milliseconds=1))


@contextmanager
def _told_of(call_id: uuid.UUID) -> Iterator[datetime]:
    """Facts about one call, noted under its lock, then settled."""
    with transaction.atomic():
        Call.objects.lock(call_id)
        now = timezone.now()
        yield now
        engine.settle(call_id, now=now)


def _hangs_up(leg: CallLeg, now: datetime, *, cause: str = "normal_clearing") -> None:
    mirror.leg_fact(leg, "hangup_at", now, hangup_cause=cause)
