"""Rows as the house writes them: a queue, an agent, a caller who waits or talks. No simulator."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from conferences.models import CallLeg, Conference, Participant, Recording, Role
from queues.models import Agent, Call, Offer, Queue, QueueEntry, QueueMembership, RoutingDecision, RoutingPass

CALLER = "+447700900123"
OURS = "+442071838750"
PHONE = "+447700900456"
# Each of these stands for a token of Telnyx's: none of them may ever be seen outside.
TOKEN = "v3:telnyx-token"


def queue(name: str = "support", **fields: Any) -> Queue:
    return Queue.objects.create(name=name, hold_music_url="https://media.example.com/music.mp3", **fields)


def agent(name: str = "anna", *, serves: Queue | None = None, **fields: Any) -> Agent:
    made = Agent.objects.create(name=name, **({"address": PHONE, "state": Agent.State.AVAILABLE} | fields))
    if serves is not None:
        QueueMembership.objects.create(agent=made, queue=serves)
    return made


def leg(name: str, *, at: datetime, **fields: Any) -> CallLeg:
    return CallLeg.objects.create(
        call_control_id=f"{TOKEN}-{name}",
        call_leg_id=f"{TOKEN}-leg-{name}",
        call_session_id=f"{TOKEN}-session",
        connection_id=f"{TOKEN}-conn",
        initiated_at=at,
        answered_at=at,
        **fields,
    )


def waiting(line: Queue, *, name: str = "caller", since: float = 30) -> Call:
    """A caller in line for some seconds."""
    at = timezone.now() - timedelta(seconds=since)
    phone = leg(name, at=at, direction="incoming", role=Role.CUSTOMER, from_number=CALLER, to_number=OURS)
    call = Call.objects.create(
        leg=phone,
        queue=line,
        from_number=CALLER,
        to_number=OURS,
        state=Call.State.QUEUED,
        arrived_at=at,
        enqueued_at=at,
        next_deadline=timezone.now() + timedelta(minutes=5),
    )
    CallLeg.objects.filter(pk=phone.pk).update(call_id=call.pk)
    QueueEntry.objects.create(
        call=call,
        queue=line,
        number=1,
        entered_at=at,
        rank_at=at,
        music_until=timezone.now() + timedelta(minutes=5),
    )
    return Call.objects.get(pk=call.pk)


def talking(line: Queue, *, name: str = "caller", to: Agent | None = None) -> Call:
    """A caller who talks with an agent in a conference."""
    call = waiting(line, name=name)
    at = timezone.now() - timedelta(seconds=10)
    entry = call.entries.get()
    listener = to or agent(f"agent of {name}", serves=line)
    phone = leg(
        f"agent-{name}",
        at=at,
        direction="outgoing",
        role=Role.AGENT,
        call_id=call.pk,
        from_number=OURS,
        to_number=PHONE,
    )
    offer = Offer.objects.create(
        call=call,
        entry=entry,
        agent=listener,
        leg=phone,
        state=Offer.State.CONNECTED,
        offered_at=at,
        expires_at=at + timedelta(seconds=25),
        won_at=at,
        connected_at=at,
    )
    Agent.objects.filter(pk=listener.pk).update(state=Agent.State.BUSY, live_offer_id=offer.pk, state_since=at)
    QueueEntry.objects.filter(pk=entry.pk).update(
        state=QueueEntry.State.ENDED, outcome=QueueEntry.Outcome.ANSWERED, connected_at=at, ended_at=at
    )
    Call.objects.filter(pk=call.pk).update(state=Call.State.CONNECTED)
    conference = Conference.objects.create(
        conference_id=f"{TOKEN}-conference-{name}",
        name=f"offer-{offer.pk}",
        connection_id=f"{TOKEN}-conn",
        call_id=call.pk,
        created_at=at,
        floor_call_control_id=call.leg.call_control_id,
    )
    for seated in (call.leg, phone):
        Participant.objects.create(
            conference=conference, leg=seated, joined_at=at, participant_id=f"{TOKEN}-seat-{seated.role}"
        )
    return Call.objects.get(pk=call.pk)


def conference_of(call: Call) -> Conference:
    return Conference.objects.get(call_id=call.pk)


def seat(call: Call, role: str) -> Participant:
    return Participant.objects.select_related("leg").get(conference__call_id=call.pk, leg__role=role)


def listening(call: Call, role: str) -> Participant:
    """A supervisor's seat with that role."""
    at = timezone.now()
    ear = leg("supervisor", at=at, direction="outgoing", role=Role.SUPERVISOR, call_id=call.pk, to_number=PHONE)
    return Participant.objects.create(
        conference=conference_of(call),
        leg=ear,
        joined_at=at,
        supervisor_role=role,
        whisper_call_control_ids=[seat(call, Role.AGENT).leg.call_control_id] if role == "whisper" else [],
    )


def recording(call: Call) -> Recording:
    began = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    return Recording.objects.create(
        key=f"{TOKEN}-recording",
        recording_id=f"{TOKEN}-recording",
        source=Recording.Source.CONFERENCE,
        conference=conference_of(call),
        call_id=call.pk,
        call_leg_id=f"{TOKEN}-leg",
        channels="dual",
        recording_started_at=began,
        recording_ended_at=began + timedelta(seconds=61),
        recording_urls={"mp3": f"https://{TOKEN}.example.com/a.mp3"},
    )


def decided(call: Call) -> RoutingDecision:
    """A pass left the call waiting."""
    now, entry = timezone.now(), call.entries.get()
    state = {"now": int(now.timestamp()), "queues": [{"id": "q"}], "agents": [], "calls": []}
    return RoutingDecision.objects.create(
        routing_pass=RoutingPass.objects.create(decided_at=now, state=state),
        call=call,
        entry=entry,
        decided_at=now,
        strategy="longest_idle",
        explanation={"call": str(entry.pk), "strategy": "longest_idle", "runners_up": [], "excluded": {}},
        facts=["longest_idle"],
    )
