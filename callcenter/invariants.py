"""RELIABILITY §6.1 as questions to the database: each must answer nothing, at any instant unless it says "quiet".

I7, an event applied twice, has no question: ``event_id`` is unique, and its row says "done" in the transaction of its
effects.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Count, Exists, F, Max, OuterRef, Q

from conferences.models import Participant, SupervisionSession, SupervisorRole
from queues.engine.limits import length_of
from queues.models import Agent, Call, Offer, QueueEntry
from webhooks.models import AuditEntry, Command, WebhookEvent

TEN_SECONDS = timedelta(seconds=10)
FIVE_SECONDS = timedelta(seconds=5)
DAY = timedelta(days=1)
ONE_LOCK = timedelta(seconds=5)  # whoever waits for a call's lock reads the hour before, on a clock of his own
GIVES_A_ROLE = ("join_supervisor", "set_supervisor_role")
ROLES_BY_MODE: Mapping[str, tuple[str, ...]] = {
    "monitor": ("monitor",),
    "whisper": ("whisper", "monitor"),  # nobody to whisper to: he only listens
    "barge": ("barge",),
}


def double_booked_agents(now: datetime) -> Iterator[str]:
    """I1."""
    live = Offer.objects.live().values("agent_id").annotate(offers=Count("id")).filter(offers__gt=1)
    for row in live.order_by("agent_id"):
        yield f"agent {row['agent_id']} holds {row['offers']} live offers"


def callers_offered_twice(now: datetime) -> Iterator[str]:
    """I2."""
    exclusive = Offer.objects.live().filter(exclusive=True)
    for row in exclusive.values("entry_id").annotate(offers=Count("id")).filter(offers__gt=1).order_by("entry_id"):
        yield f"entry {row['entry_id']} has {row['offers']} exclusive live offers"
    won = Offer.objects.filter(state__in=Offer.WON)
    for row in won.values("entry_id").annotate(offers=Count("id")).filter(offers__gt=1).order_by("entry_id"):
        yield f"entry {row['entry_id']} has {row['offers']} winners"


def forgotten_callers(now: datetime) -> Iterator[str]:
    """I3: alive and routable, and nothing will ever look at them again."""
    routable = [Call.State.ARRIVING, Call.State.IN_FLOW, Call.State.QUEUED, Call.State.OFFERING]
    going_on = Call.objects.filter(ended_at__isnull=True, leg__hangup_at__isnull=True, state__in=routable)
    for call in going_on.filter(Q(next_deadline__isnull=True) | Q(next_deadline__lt=now - TEN_SECONDS)):
        yield f"call {call.pk} is {call.state} and overdue since {call.next_deadline}"


def live_offers_of_ended_calls(now: datetime) -> Iterator[str]:
    """I4, quiet 5 s."""
    for offer in Offer.objects.live().filter(call__leg__hangup_at__lt=now - FIVE_SECONDS):
        yield f"offer {offer.pk} is {offer.state}, its caller hung up"


def overdue_offers(now: datetime) -> Iterator[str]:
    """I5."""
    unconnected = Offer.objects.live().exclude(state=Offer.State.CONNECTED)
    for offer in unconnected.filter(expires_at__lt=now - FIVE_SECONDS):
        yield f"offer {offer.pk} is {offer.state} and overdue since {offer.expires_at}"


def agents_at_odds_with_offers(now: datetime) -> Iterator[str]:
    """I6: reserved or busy if and only if a live offer points at the agent."""
    live = Offer.objects.live().filter(agent_id=OuterRef("pk"))
    engaged = Q(state__in=[Agent.State.RESERVED, Agent.State.BUSY])
    for agent in Agent.objects.filter(engaged & ~Exists(live) | ~engaged & Exists(live)):
        yield f"agent {agent.pk} is {agent.state}, which his offers contradict"


def stuck_events(now: datetime) -> Iterator[str]:
    """I8."""
    new = WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW, received_at__lt=now - TEN_SECONDS)
    for event in new:
        yield f"event {event.event_id} {event.event_type} not applied since {event.received_at}: {event.error}"


def intents_done_twice(now: datetime) -> Iterator[str]:
    """I9."""
    done = Command.objects.filter(state=Command.State.ACCEPTED).values("kind", "dedupe_key")
    for row in done.annotate(times=Count("sequence")).filter(times__gt=1).order_by("kind"):
        yield f"command {row['kind']} {row['dedupe_key']} accepted {row['times']} times"


def commands_in_limbo(now: datetime) -> Iterator[str]:
    """I10."""
    since = now - timedelta(seconds=90)
    for command in Command.objects.filter(state__in=Command.OPEN, created_at__lt=since):
        yield f"command {command.pk} {command.kind} is {command.state} since {command.created_at}: {command.error}"
    for command in Command.objects.filter(closed_at__lt=since, applied_at__isnull=True):
        yield f"outcome of {command.pk} {command.kind} is not applied since {command.closed_at}: {command.error}"


def dead_events(now: datetime) -> Iterator[str]:
    """I11."""
    for event in WebhookEvent.objects.filter(status=WebhookEvent.Status.DEAD):
        yield f"event {event.event_id} {event.event_type} was set aside: {event.error}"


def listeners_without_authority(now: datetime, *, within: timedelta | None = None) -> Iterator[str]:
    """I12: a supervisor's role was given by a command of its holder's session, for which he had been allowed to ask.

    ``within``: of those who joined so lately.
    """
    joined = Participant.objects.exclude(supervisor_role=SupervisorRole.NONE).filter(joined_at__isnull=False)
    if within is not None:
        joined = joined.filter(joined_at__gte=now - within)
    # First the seats, then what had to be there before them: the house goes on meanwhile.
    seats = list(joined.select_related("conference", "leg__supervision_session"))
    commands = Command.objects.filter(kind__in=GIVES_A_ROLE).in_bulk([seat.role_version for seat in seats])
    asked = defaultdict(list)
    actions = AuditEntry.objects.filter(allowed=True, action__in=[*ROLES_BY_MODE, "switch"])
    for entry in actions.filter(call_id__in={seat.conference.call_id for seat in seats}):
        asked[entry.call_id, entry.user_id].append(entry)
    for seat in seats:
        session = getattr(seat.leg, "supervision_session", None)
        command = commands.get(seat.role_version)
        if session is None or command is None or not _gave(command, seat, session):
            yield f"participant {seat.pk} listens as {seat.supervisor_role}, and no command of his session made him"
        elif not any(_covers(entry, command, session) for entry in asked[session.call_id, session.supervisor_id]):
            yield f"participant {seat.pk} listens as {seat.supervisor_role} without authority"


def _gave(command: Command, seat: Participant, session: SupervisionSession) -> bool:
    told = command.arguments
    return (
        (command.subject_id, command.actor_id) == (session.pk, session.supervisor_id)
        and (command.call_id, command.target) == (seat.conference.call_id, seat.conference.conference_id)
        and (told["call_control_id"], told["supervisor_role"]) == (seat.leg.call_control_id, seat.supervisor_role)
    )


def _covers(asked: AuditEntry, command: Command, session: SupervisionSession) -> bool:
    """Was this role among what was asked for, in this session and before the command was written?"""
    mode = asked.detail.get("role") if asked.action == "switch" else asked.action
    in_time = session.requested_at <= asked.at <= command.created_at + ONE_LOCK
    return in_time and command.arguments["supervisor_role"] in ROLES_BY_MODE.get(mode, ())


def whispers_to_others(now: datetime) -> Iterator[str]:
    """I13: a whisper's targets are legs of agents."""
    whispering = list(Participant.objects.present().filter(supervisor_role="whisper"))
    if not whispering:
        return
    conferences = {seat.conference_id for seat in whispering}
    agents = Participant.objects.filter(conference__in=conferences, leg__role="agent")
    legs = set(agents.values_list("conference_id", "leg__call_control_id"))
    for seat in whispering:
        others = [leg for leg in seat.whisper_call_control_ids if (seat.conference_id, leg) not in legs]
        if others:
            yield f"participant {seat.pk} whispers to {len(others)} legs that are no agent's"


def lonely_participants(now: datetime) -> Iterator[str]:
    """I14."""
    for seat, since in alone_since():
        if since < now - TEN_SECONDS:
            yield f"{seat.leg.role or 'leg'} of call {seat.conference.call_id} is alone in a conference since {since}"


def alone_since() -> Iterator[tuple[Participant, datetime]]:
    """Whoever is the only one in a live conference and not both held with music and in a waiting entry; since when.

    That begins as the other leaves, and for a caller as his wait ends or the closing text has been said.
    """
    others = Participant.objects.present().filter(conference=OuterRef("conference")).exclude(pk=OuterRef("pk"))
    waits = QueueEntry.objects.filter(call__leg=OuterRef("leg")).exclude(state=QueueEntry.State.ENDED)
    alone = Participant.objects.present().exclude(Exists(others)).exclude(Q(Exists(waits), on_hold=True))
    seats = {seat.conference_id: seat for seat in alone.select_related("leg", "conference")}
    company = Participant.objects.filter(conference__in=seats).exclude(pk__in=[seat.pk for seat in seats.values()])
    left = company.values("conference_id").annotate(left=Max("left_at"), hung_up=Max("leg__hangup_at"))
    parted = {row["conference_id"]: (row["left"], row["hung_up"]) for row in left}
    calls = Call.objects.filter(leg__in=[seat.leg_id for seat in seats.values()]).annotate(
        waited_until=Max("entries__ended_at")
    )
    excused = {
        leg: (waited_until, closing_at and closing_at + length_of(text or ""))
        for leg, waited_until, closing_at, text in calls.values_list(
            "leg_id", "waited_until", "closing_at", "queue__closing_text"
        )
    }
    for ident, seat in seats.items():
        known = (seat.joined_at, *parted.get(ident, ()), *excused.get(seat.leg_id, ()))
        yield seat, max(filter(None, known))


def in_two_conferences(now: datetime) -> Iterator[str]:
    """I15."""
    seats = Participant.objects.present().values("leg_id").annotate(places=Count("id")).filter(places__gt=1)
    for row in seats.order_by("leg_id"):
        yield f"leg {row['leg_id']} is in {row['places']} conferences"


def ends_before_beginnings(now: datetime) -> Iterator[str]:
    """I16, as far as rows can show it: what has ended is not live, and ended after it began."""
    for offer in Offer.objects.live().filter(ended_at__isnull=False):
        yield f"offer {offer.pk} is {offer.state} with an end"
    for entry in QueueEntry.objects.filter(ended_at__lt=F("entered_at")):
        yield f"entry {entry.pk} ended before it began"
    for session in SupervisionSession.objects.exclude(state="ended").filter(ended_at__isnull=False):
        yield f"session {session.pk} is {session.state} with an end"


INVARIANTS: Mapping[str, Callable[[datetime], Iterator[str]]] = {
    "I1": double_booked_agents,
    "I2": callers_offered_twice,
    "I3": forgotten_callers,
    "I4": live_offers_of_ended_calls,
    "I5": overdue_offers,
    "I6": agents_at_odds_with_offers,
    "I8": stuck_events,
    "I9": intents_done_twice,
    "I10": commands_in_limbo,
    "I11": dead_events,
    "I12": listeners_without_authority,
    "I13": whispers_to_others,
    "I14": lonely_participants,
    "I15": in_two_conferences,
    "I16": ends_before_beginnings,
}


def violations(now: datetime, *, of: Collection[str] = INVARIANTS) -> list[str]:
    """One line per violation, its number first; ``of`` the invariants of these numbers."""
    return [f"{name} {line}" for name in of for line in INVARIANTS[name](now)]


def counts(now: datetime, *, of: Collection[str] = INVARIANTS) -> dict[str, int]:
    """How many violations of each there are, for a gauge that must be nothing but zeros.

    Asked every few seconds: who listened before yesterday is left to ``violations``.
    """
    recent = {"I12": partial(listeners_without_authority, within=DAY)}
    return {name: sum(1 for _ in recent.get(name, INVARIANTS[name])(now)) for name in of}
