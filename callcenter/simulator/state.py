"""The truth as ``/_sim/state`` shows it: Telnyx's field names, plus what Telnyx never tells."""

from callcenter.simulator import audio, resources
from callcenter.simulator.model import Bridge, Conference, Event, Json, Leg, Queue, Recording
from callcenter.simulator.world import World


def everything(world: World) -> Json:
    """Five lists; legs and conferences that are over are in them for as long as Telnyx remembers them."""
    bridges = {leg.bridge: None for leg in world.legs.values() if leg.bridge is not None}
    return {
        "legs": [_leg(leg, now=world.now) for leg in world.legs.values()],
        "bridges": [_bridge(bridge) for bridge in bridges],
        "queues": [_queue(queue, now=world.now) for queue in world.queues.values()],
        "conferences": [_conference(conference) for conference in world.conferences.values()],
        "recordings": [_recording(recording) for recording in world.recordings.values()],
    }


def _leg(leg: Leg, *, now: float) -> Json:
    """``is_alive`` is the truth here, not what a retrieve says of a leg that still rings."""
    participant = leg.participant
    role = participant.supervisor_role if participant is not None else leg.supervisor_role
    return resources.call(leg, now=now) | {
        "is_alive": leg.is_live,
        "state": leg_state(leg),
        "direction": leg.direction,
        "from": leg.from_,
        "to": leg.to,
        "connection_id": leg.connection_id,
        "custom_headers": leg.custom_headers,
        "hangup_cause": leg.hangup_cause or None,
        "queue": leg.slot.queue.name if leg.slot is not None else None,
        "conference_id": participant.conference.id if participant is not None else None,
        "bridged_with": leg.bridge.other(leg).call_control_id if leg.bridge is not None else None,
        "supervises": leg.supervises.call_control_id if leg.supervises is not None else None,
        "supervisor_role": role or "none",
        "phone_hold": leg.phone_hold,
        "gathering": leg.gather is not None,
        "recording_id": leg.recording.id if leg.recording is not None else None,
    }


def leg_state(leg: Leg) -> str:
    if not leg.is_live:
        return "hangup"
    if leg.is_answered:
        return "answered"
    return "parked" if leg.direction == "incoming" else "bridging"


def _bridge(bridge: Bridge) -> Json:
    return {
        "call_control_ids": [leg.call_control_id for leg in bridge.legs],
        "park_after_unbridge": [leg.call_control_id for leg in bridge.legs if leg in bridge.parked],
    }


def _queue(queue: Queue, *, now: float) -> Json:
    slots = enumerate(queue.slots.values(), start=1)
    calls = [resources.queue_call(slot, position, now=now) for position, slot in slots]
    return resources.queue(queue, now=now) | {"calls": calls}


def _conference(conference: Conference) -> Json:
    participants = [
        resources.listed_participant(each) | {"supervisor_role": each.supervisor_role}
        for each in conference.participants.values()
    ]
    return resources.conference(conference) | {
        "participants": participants,
        "creator_call_control_id": conference.creator.call_control_id,
        "floor_call_control_id": conference.floor.call_control_id if conference.floor is not None else None,
        "recording_id": conference.recording.id if conference.recording is not None else None,
    }


def _recording(recording: Recording) -> Json:
    shown = resources.recording(recording) | {"status": recording.status}
    if recording.ended_at is None:
        del shown["recording_ended_at"]
    return shown


def hearing(world: World) -> Json:
    """Every live leg: whom it hears, and what plays to it."""
    return {
        leg.call_control_id: {
            "hears": [other.call_control_id for other in audio.hears(leg)],
            "media": audio.media(leg, now=world.now),
        }
        for leg in world.legs.values()
        if leg.is_live
    }


def event(found: Event) -> Json:
    return {
        "seq": found.seq,
        "id": found.id,
        "event_type": found.event_type,
        "occurred_at": found.occurred_at,
        "call_control_id": found.call_control_id or None,
        "payload": found.payload,
    }
