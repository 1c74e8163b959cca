"""What happens to calls and agents, in words: each verb is one transaction's worth of rows.

Verbs about calls are called under the call's lock (inbox and outbox take it); verbs about agents are
conditional updates of their own.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from conferences import services as mirror
from conferences import supervision
from conferences.models import CallLeg, Conference, Participant, Role, SupervisionSession
from queues import engine, permissions
from queues.engine import agents, settle, sticky
from queues.engine.facts import NOT_DIALLED
from queues.engine.preview import Preview, Standing
from queues.engine.why import KEPT_FOR
from queues.errors import NotThere, QueueError, WrongWords
from queues.models import Agent, Call, Number, Offer, Queue, QueueEntry, RoutingDecision, RoutingPass
from queues.routing.relaxation import OpenRing
from webhooks import journal, outbox, references
from webhooks.models import Command, WebhookEvent
from webhooks.nudge import nudge
from webhooks.telnyx.records import Queue as TelnyxQueue

# which call, and its lock ------------------------------------------------------------------------------------


class Calls:
    """How an event leads to a call, and how that call is locked: what webhooks.inbox asks of us."""

    def find(self, event: WebhookEvent) -> uuid.UUID | None:
        if event.call_control_id:
            leg = mirror.known_leg(event.call_control_id)
            if leg is not None and leg.call_id is not None:
                return leg.call_id
        if event.conference_id:
            conference = Conference.objects.filter(conference_id=event.conference_id).first()
            if conference is not None and conference.call_id is not None:
                return conference.call_id
        return call_of(event.payload.get("client_state") or "")

    def lock(self, call_id: uuid.UUID) -> None:
        Call.objects.lock(call_id)


def call_of(client_state: str) -> uuid.UUID | None:
    """The call a signed reference leads to."""
    reference = references.read(client_state) if client_state else None
    if reference is None:
        return None
    match reference.kind:
        case "call":
            return Call.objects.filter(pk=reference.id).values_list("pk", flat=True).first()
        case "entry":
            return QueueEntry.objects.filter(pk=reference.id).values_list("call_id", flat=True).first()
        case "offer":
            return Offer.objects.filter(pk=reference.id).values_list("call_id", flat=True).first()
        case "session":
            return SupervisionSession.objects.filter(pk=reference.id).values_list("call_id", flat=True).first()
    return None


# callers -----------------------------------------------------------------------------------------------------


def caller_arrived(leg: CallLeg, *, arrived_at: datetime, now: datetime, adopt_queue: str = "") -> uuid.UUID:
    """A call for the queue of the number that was rung; of no queue: a call all the same, to be refused.

    ``adopt_queue`` names the queue of a caller whom the reconciler found, if his number leads to none.
    """
    number = Number.objects.select_related("queue").filter(number=leg.to_number).first()
    queue = number.queue if number else Queue.objects.filter(name=adopt_queue).first()
    call = Call.objects.create(
        leg=leg,
        queue=queue,
        from_number=leg.from_number,
        to_number=leg.to_number,
        priority=number.priority if number else 0,
        arrived_at=arrived_at,
        next_deadline=now,
        closing_reason="" if queue else "unknown_number",
    )
    mirror.assign_leg(leg, call_id=call.pk, role=Role.CUSTOMER)
    journal.note(call.pk, "arrived", at=now, queue=queue.name if queue else "")
    return call.pk


def recognise(leg: CallLeg, client_state: str) -> None:
    """Whose leg this is, by the signed reference we gave it."""
    reference = references.read(client_state) if client_state else None
    if reference is None or leg.direction == CallLeg.Direction.INCOMING:
        return
    if reference.kind == "offer":
        offer = Offer.objects.filter(pk=reference.id).first()
        if offer is not None:
            agent_leg_known(offer, leg)
    elif reference.kind == "session":
        session = SupervisionSession.objects.filter(pk=reference.id).first()
        if session is not None:
            supervisor_leg_known(session, leg)


def agent_leg_known(offer: Offer, leg: CallLeg) -> None:
    mirror.assign_leg(leg, call_id=offer.call_id, role=Role.AGENT)
    Offer.objects.filter(pk=offer.pk, leg__isnull=True).update(leg=leg)


def supervisor_leg_known(session: SupervisionSession, leg: CallLeg) -> None:
    mirror.assign_leg(leg, call_id=session.call_id, role=Role.SUPERVISOR)
    SupervisionSession.objects.filter(pk=session.pk, leg__isnull=True).update(leg=leg)


def enqueued_at_telnyx(client_state: str, at: datetime) -> None:
    reference = references.read(client_state) if client_state else None
    if reference is not None and reference.kind == "entry":
        mirror.latest(QueueEntry.objects.filter(pk=reference.id), "telnyx_enqueued_at", at)


def dequeued_at_telnyx(client_state: str, at: datetime, reason: str) -> None:
    reference = references.read(client_state) if client_state else None
    if reference is not None and reference.kind == "entry":
        stay = QueueEntry.objects.filter(pk=reference.id)
        mirror.latest(stay, "telnyx_dequeued_at", at, dequeue_reason=reason)


def queue_seen(name: str, payload: Mapping[str, Any], now: datetime) -> None:
    """What ``call.enqueued`` says of Telnyx's queue."""
    size, wait = payload.get("current_position"), payload.get("queue_avg_wait_time_secs")
    seen = {"current_size": size, "average_wait_time_secs": wait}
    known = {field: value for field, value in seen.items() if isinstance(value, int) and value >= 0}
    if known:
        Queue.objects.filter(name=name).update(mirrored_at=now, **known)


def queues_seen(there: Iterable[TelnyxQueue], *, now: datetime) -> None:
    """What Telnyx's list says of its queues; one that is not in it is empty (CONTRACT §6)."""
    seen = {queue.name: queue for queue in there}
    for name, queue in seen.items():
        size, wait = queue.current_size, queue.average_wait_time_secs
        figures = {"telnyx_queue_id": queue.id, "current_size": size, "average_wait_time_secs": wait}
        Queue.objects.filter(name=name).update(mirrored_at=now, **figures)


def enqueue_with_another_size(command: Command, *, now: datetime) -> None:
    """Telnyx's queue has another size than ours: say ours, and enqueue again without a word about size."""
    arguments = {key: value for key, value in command.arguments.items() if key != "max_size"}
    name = arguments["queue_name"]
    outbox.issue(
        "resize_queue",
        operation="queues.update",
        target=name,
        arguments={"max_size": command.arguments["max_size"]},
        ordering_key=f"queue:{name}",
        dedupe_key=command.pk,
        now=now,
    )
    outbox.issue(
        "enqueue_caller",
        operation="calls.enqueue",
        target=command.target,
        arguments=arguments,
        ordering_key=command.ordering_key,
        dedupe_key=f"{command.dedupe_key}:unsized",
        call_id=command.call_id,
        subject_id=command.subject_id,
        now=now,
    )


def open_entry(call: Call) -> QueueEntry | None:
    """The stay that goes on, if the caller waits."""
    return call.entries.exclude(state=QueueEntry.State.ENDED).select_related("queue").first()


def set_priority(entry: QueueEntry, priority: int, *, now: datetime) -> None:
    """Another urgency for a caller who waits: the next pass sees him at another place. What his call is given later,
    another stay or the next queue, keeps it.
    """
    Call.objects.filter(pk=entry.call_id).update(priority=priority)
    QueueEntry.objects.filter(pk=entry.pk).update(priority=priority)
    journal.note(entry.call_id, "priority_set", at=now, priority=priority)
    nudge("queues.route", entry.queue_id)


def requeue(call: Call, *, now: datetime, queue: Queue | None = None) -> QueueEntry:
    """Back into line, in the same queue or another, at the place his waiting has earned him.

    A stay that goes on ends as moved, and whoever is being rung for it is let go. Raises QueueError where an
    agent is just taking the call.
    """
    last = call.entries.select_related("queue").order_by("-number").first()
    if last is None:
        raise QueueError("not_in_line_yet", "This caller has not entered a queue yet.")
    if call.offers.filter(state=Offer.State.CONNECTING).exists():
        raise QueueError("connecting", "An agent is just taking this call.")
    call.offers.filter(state__in=Offer.UNANSWERED).update(rescinded_at=now, rescind_reason="moved")
    if last.state != QueueEntry.State.ENDED:
        QueueEntry.objects.filter(pk=last.pk).update(
            moved_at=now,
            state=QueueEntry.State.ENDED,
            outcome=QueueEntry.Outcome.FLOW_OUT,
            end_reason="moved",
            ended_at=now,
        )
    goal = queue or last.queue
    entry = QueueEntry(
        call=call,
        queue=goal,
        number=last.number + 1,
        entered_at=now,
        rank_at=last.rank_at,
        priority=last.priority,
        required_skills=goal.required_skills,
    )
    sticky.prefer(entry, now=now)
    entry.save()
    journal.note(call.pk, "requeued", at=now, queue=goal.name)
    nudge("queues.route", goal.pk)
    return entry


def stays_in_conversation(call_id: uuid.UUID, *, now: datetime) -> None:
    """Undo a place in line that was opened for a caller who then could not be taken out of his conversation."""
    talks = Offer.objects.filter(call_id=call_id, state=Offer.State.CONNECTED)
    opened = QueueEntry.objects.waiting().filter(call_id=call_id, offers__isnull=True)
    if talks.exists() and opened.exists():
        opened.delete()
        journal.note(call_id, "not_requeued", at=now)


# offers ------------------------------------------------------------------------------------------------------


def refused(offer: Offer, *, at: datetime) -> None:
    Offer.objects.filter(pk=offer.pk, refused_at__isnull=True).update(refused_at=at)


def not_dialled(offer: Offer, *, at: datetime) -> None:
    """Telnyx was in no state to dial: the offer is taken back, and the agent's phone is not to blame."""
    Offer.objects.filter(pk=offer.pk, rescinded_at__isnull=True).update(rescinded_at=at, rescind_reason=NOT_DIALLED)


def conference_known(offer: Offer, conference: Mapping[str, Any], *, now: datetime) -> None:
    mirror.note_conference(
        conference["id"],
        call_id=offer.call_id,
        name=conference.get("name") or "",
        region=conference.get("region") or "",
        connection_id=conference.get("connection_id") or "",
    )


def conference_made_for_caller(command: Command, *, now: datetime) -> None:
    """He waits in a conference now, with its own music: what was played to his leg stops."""
    conference = command.result or {}
    mirror.note_conference(
        conference["id"],
        call_id=command.call_id,
        name=conference.get("name") or "",
        region=conference.get("region") or "",
        connection_id=conference.get("connection_id") or "",
    )
    outbox.issue(
        "stop_music",
        operation="calls.playback_stop",
        target=command.arguments["call_control_id"],
        arguments={"stop": "all"},
        ordering_key=command.ordering_key,
        dedupe_key=command.command_id,
        call_id=command.call_id,
        now=now,
    )


def find_conference(offer: Offer, command: Command, *, now: datetime) -> None:
    outbox.issue(
        "find_conference",
        operation="conferences.list",
        arguments={"name": command.arguments["name"]},
        ordering_key=command.ordering_key,
        dedupe_key=offer.pk,
        call_id=offer.call_id,
        subject_id=offer.pk,
        now=now,
    )


def unhold_whoever_is_held(command: Command, held: Iterable[CallLeg], *, now: datetime) -> None:
    """Agent and caller are both in: nobody of them is to hear music, unless the agent's own key asks for it."""
    offer = Offer.objects.select_related("leg").get(pk=command.subject)
    if offer.state != Offer.State.CONNECTED or (offer.leg is not None and offer.leg.is_held_by_phone):
        return
    talkers = [leg.call_control_id for leg in held if leg.role in (Role.CUSTOMER, Role.AGENT)]
    if talkers:
        outbox.issue(
            "unhold_caller",
            operation="conferences.unhold",
            target=command.target,
            arguments={"call_control_ids": sorted(talkers)},
            ordering_key=command.ordering_key,
            dedupe_key=f"connect:{offer.pk}",
            call_id=offer.call_id,
            now=now,
        )


def read_back(command: Command, *, now: datetime) -> None:
    """Telnyx says neither who is held nor who is muted: after each change, ask it for its own list."""
    outbox.issue(
        "read_back",
        operation="conferences.list_participants",
        target=command.target,
        ordering_key=command.ordering_key,
        dedupe_key=command.pk,
        call_id=command.call_id,
        now=now,
    )


def read_supervisor_back(command: Command, *, now: datetime) -> None:
    supervision.read_back(command, now=now)


def supervisor_seen(seen: Mapping[str, Any], *, call_id: uuid.UUID, before: int, now: datetime) -> bool:
    """Who whispers to others than he was told to, by a command older than ``before``, is taken off the call.

    True if that was done now; False too for a participant who is no supervisor.
    """
    sessions = SupervisionSession.objects.filter(call_id=call_id, leg__call_control_id=seen["call_control_id"])
    session = sessions.first()
    if session is None or supervision.whispers_as_told(session, seen, before=before):
        return False
    return _stop_listening(session.pk, "whisper_mismatch", now=now)


def supervision_refused(session: SupervisionSession, command: Command, *, now: datetime) -> None:
    """Telnyx or our own last look at the permission said no: whatever leg there is goes."""
    _stop_listening(session.pk, f"refused:{command.code or command.state}", now=now)


def end_listening(session_id: uuid.UUID, *, now: datetime) -> None:
    """The sweeper's: the supervisor's right has been taken away while he listens."""
    with transaction.atomic():
        session = SupervisionSession.objects.select_related("supervisor").get(pk=session_id)
        Call.objects.lock(session.call_id)
        if not permissions.may_listen(session.supervisor, session.role):
            _stop_listening(session_id, "not_allowed", now=now)
            settle(session.call_id, now=now)


def _stop_listening(session_id: uuid.UUID, reason: str, *, now: datetime) -> bool:
    going_on = SupervisionSession.objects.filter(pk=session_id, stopped_at__isnull=True, ended_at__isnull=True)
    return bool(going_on.update(stopped_at=now, end_reason=reason))


# agents ------------------------------------------------------------------------------------------------------

State = Agent.State


def log_in(agent_id: uuid.UUID, *, now: datetime, ready: bool = False) -> None:
    """offline → not ready(login), or available."""
    agent = _agent(agent_id)
    if agent.state != State.OFFLINE:
        raise QueueError("already_logged_in", f"{agent.name} is logged in already ({agent.state}).")
    Agent.objects.filter(pk=agent_id, state=State.OFFLINE).update(login_at=now)
    _change(agent, State.AVAILABLE if ready else State.NOT_READY, "" if ready else "login", now)


def is_offline(agent_id: uuid.UUID) -> bool:
    return _agent(agent_id).state == State.OFFLINE


def log_out(agent_id: uuid.UUID, *, now: datetime) -> None:
    """Any state but busy → offline; a ringing offer is taken back first."""
    agent = _agent(agent_id)
    if agent.state == State.BUSY:
        raise QueueError("agent_busy", f"{agent.name} is on a call; log out when it is over.")
    _leave(agent, State.OFFLINE, "", now)


def go_ready(agent_id: uuid.UUID, *, now: datetime) -> None:
    """not ready → available; during a call or wrap-up it is remembered and happens at the end."""
    agent = _agent(agent_id)
    match agent.state:
        case State.OFFLINE:
            raise QueueError("agent_offline", f"{agent.name} is offline; log in first.")
        case State.AVAILABLE | State.RESERVED:
            _pend(agent, "", "")
        case State.BUSY | State.WRAP_UP:
            _pend(agent, State.AVAILABLE, "")
        case _:
            _change(agent, State.AVAILABLE, "", now)


def go_not_ready(agent_id: uuid.UUID, reason: str, *, now: datetime) -> None:
    """available → not ready; from reserved the offer is taken back first; during a call it is remembered."""
    agent = _agent(agent_id)
    if not reason or len(reason) > 40:
        raise WrongWords("reason_required", "Give a reason of 1 to 40 characters: break, lunch, training, …")
    match agent.state:
        case State.OFFLINE:
            raise QueueError("agent_offline", f"{agent.name} is offline; log in first.")
        case State.BUSY | State.WRAP_UP:
            _pend(agent, State.NOT_READY, reason)
        case _:
            _leave(agent, State.NOT_READY, reason, now)


def end_wrap_up(agent_id: uuid.UUID, *, now: datetime) -> None:
    agent = _agent(agent_id)
    if not agents.wrapped_up(agent_id, now=now):
        raise QueueError("not_in_wrap_up", f"{agent.name} is {agent.get_state_display()}, not in wrap-up.")
    nudge("queues.agent_freed", agent_id)


def wrap_up_due(agent_id: uuid.UUID, *, now: datetime) -> None:
    """The sweeper's: the deadline has passed."""
    if agents.wrapped_up(agent_id, now=now, due=True):
        nudge("queues.agent_freed", agent_id)


def force_state(agent_id: uuid.UUID, state: str, *, now: datetime) -> None:
    """A supervisor's word: refused on busy, except to end wrap-up."""
    agent = _agent(agent_id)
    if agent.state == State.BUSY:
        raise QueueError("agent_busy", f"{agent.name} is on a call; a state cannot be forced on him now.")
    match state:
        case State.AVAILABLE if agent.state == State.WRAP_UP:
            end_wrap_up(agent_id, now=now)
        case State.AVAILABLE if agent.state == State.OFFLINE:
            log_in(agent_id, now=now, ready=True)
        case State.AVAILABLE if agent.state == State.NOT_READY:
            _change(agent, State.AVAILABLE, "", now)
        case State.AVAILABLE:
            _pend(agent, "", "")  # he is, or is being rung as such; what he had asked for after that is off
        case State.NOT_READY if agent.state == State.OFFLINE:
            log_in(agent_id, now=now)
        case State.NOT_READY:
            _leave(agent, State.NOT_READY, "forced", now)
        case State.OFFLINE:
            _leave(agent, State.OFFLINE, "forced", now)
        case _:
            raise WrongWords("state_not_settable", "Settable states are available, not_ready and offline.")


def _leave(agent: Agent, state: str, reason: str, now: datetime) -> None:
    """To not ready or offline, from anywhere but a call; a live offer is taken back, the call keeps its place."""
    if agent.state == State.RESERVED and agent.live_offer_id is not None:
        with transaction.atomic():
            offer = Offer.objects.filter(pk=agent.live_offer_id)
            call_id = offer.get().call_id
            Call.objects.lock(call_id)  # the call before the agent, as everywhere
            _pend(agent, state, reason)
            ringing = offer.filter(state__in=Offer.UNANSWERED)
            ringing.update(rescinded_at=now, rescind_reason=f"agent_{state}")
            settle(call_id, now=now)
    else:
        _change(agent, state, reason, now)


def _agent(agent_id: uuid.UUID) -> Agent:
    agent = Agent.objects.filter(pk=agent_id).first()
    if agent is None:
        raise NotThere("agent_not_found", "There is no such agent.")
    return agent


def _pend(agent: Agent, state: str, reason: str) -> None:
    as_seen = Agent.objects.filter(pk=agent.pk, state=agent.state, live_offer_id=agent.live_offer_id)
    if not as_seen.update(pending_state=state, pending_reason=reason):
        raise _moved_on(agent)


def _change(agent: Agent, state: str, reason: str, now: datetime) -> None:
    if not agents.move(agent, state, reason=reason, now=now):
        raise _moved_on(agent)
    if state == State.AVAILABLE:
        nudge("queues.agent_freed", agent.pk)


def _moved_on(agent: Agent) -> QueueError:
    return QueueError("agent_moved_on", f"{agent.name} changed state meanwhile; look again and repeat.")


# questions ---------------------------------------------------------------------------------------------------


def customer_seat(call: Call) -> Participant | None:
    """Where the caller sits now."""
    return (
        Participant.objects.present()
        .filter(leg=call.leg, conference__call_id=call.pk)
        .select_related("conference", "leg")
        .order_by("-joined_at")
        .first()
    )


def connected_offer(call: Call) -> Offer | None:
    return call.offers.filter(state=Offer.State.CONNECTED).select_related("leg", "agent", "entry__queue").first()


def due_agents(now: datetime) -> list[uuid.UUID]:
    """Agents whose wrap-up is over."""
    return list(Agent.objects.filter(state=State.WRAP_UP, wrap_up_until__lte=now).values_list("pk", flat=True)[:500])


def listening_without_right() -> list[uuid.UUID]:
    """Sessions that go on though their supervisor may not do any more what he does."""
    live = SupervisionSession.objects.exclude(state=SupervisionSession.State.ENDED).select_related("supervisor")
    return [session.pk for session in live if not permissions.may_listen(session.supervisor, session.role)]


def due_calls(now: datetime) -> list[uuid.UUID]:
    """Calls whose deadline has come."""
    return list(
        Call.objects.filter(ended_at__isnull=True)
        .filter(Q(next_deadline__isnull=True) | Q(next_deadline__lte=now))
        .order_by("next_deadline")
        .values_list("pk", flat=True)[:500]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """``decisions``: what the passes of the last 30 days said of a call, oldest first.

    ``ahead``: the call behind which it waits now, at the head of its line; passes look at the heads, and what they said
    of that one last, ``of_ahead``, holds for those behind it.
    """

    decisions: QuerySet[RoutingDecision]
    ahead: Call | None
    of_ahead: QuerySet[RoutingDecision]


def why(call: Call, *, now: datetime) -> Why:
    entry = open_entry(call)
    first = None if entry is None else engine.ahead_of(entry, now=now)
    decisions = RoutingDecision.objects.select_related("entry__queue", "routing_pass").defer("routing_pass__state")
    return Why(
        decisions=decisions.filter(call=call).order_by("decided_at"),
        ahead=None if first is None else first.call,
        of_ahead=decisions.filter(entry=first).order_by("-decided_at")[:1] if first else decisions.none(),
    )


def preview(queue: Queue, required_skills: Mapping[str, int], *, now: datetime) -> Preview:
    """Who could take a call with these skills now, and after 30 and 60 s of waiting, by the queue's saved settings."""
    return engine.preview(queue, required_skills, now=now)


def standing(call: Call, *, now: datetime) -> Standing | None:
    """What the call asks for now and when it next asks for less; None if it does not wait in a queue."""
    entry = open_entry(call)
    return None if entry is None else engine.standing(entry, now=now)


def ring(entry: QueueEntry, *, now: datetime) -> OpenRing | None:
    """The ring of a stay; None if it is over."""
    return None if entry.state == QueueEntry.State.ENDED else engine.ring(entry, now=now)


def has_old_decisions(now: datetime) -> bool:
    return RoutingPass.objects.filter(decided_at__lt=now - KEPT_FOR).exists()
