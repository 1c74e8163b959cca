"""What Telnyx's resources look like (CONTRACT Appendix B)."""

from callcenter.simulator import recording as recordings
from callcenter.simulator.clock import iso_millis
from callcenter.simulator.model import Conference, Json, Leg, Participant, Queue, QueueSlot, Recording
from callcenter.simulator.queueing import average_wait


def _ids(leg: Leg) -> Json:
    return {
        "call_control_id": leg.call_control_id,
        "call_leg_id": leg.call_leg_id,
        "call_session_id": leg.call_session_id,
    }


def _duration(leg: Leg, now: float) -> int:
    return int((now if leg.ended_at is None else leg.ended_at) - leg.started_at)


def call(leg: Leg, *, now: float) -> Json:
    """``is_alive`` is false after the end, but also for a dialled leg until it is up (CONTRACT §7)."""
    up = leg.is_answered or leg.direction == "incoming"
    found = _ids(leg) | {
        "record_type": "call",
        "is_alive": leg.is_live and up,
        "call_duration": _duration(leg, now),
        "start_time": iso_millis(leg.started_at),
    }
    if leg.client_state is not None:
        found["client_state"] = leg.client_state
    if leg.ended_at is not None:
        found["end_time"] = iso_millis(leg.ended_at)
    return found


def dialled(leg: Leg, recording_id: str | None) -> Json:
    """The answer to a dial never knows more than the ids."""
    found = _ids(leg) | {"record_type": "call", "is_alive": False}
    return found if recording_id is None else found | {"recording_id": recording_id}


def active_call(leg: Leg, *, now: float) -> Json:
    return _ids(leg) | {
        "record_type": "call",
        "client_state": leg.client_state or "",
        "call_duration": _duration(leg, now),
    }


def queue(found: Queue, *, now: float) -> Json:
    return {
        "record_type": "queue",
        "id": found.id,
        "name": found.name,
        "current_size": len(found.slots),
        "max_size": found.max_size,
        "average_wait_time_secs": average_wait(found, now=now),
        "created_at": iso_millis(found.created_at),
        "updated_at": iso_millis(found.updated_at),
    }


def queue_call(slot: QueueSlot, position: int, *, now: float) -> Json:
    leg = slot.leg
    until = now if leg.ended_at is None else leg.ended_at
    return _ids(leg) | {
        "record_type": "queue_call",
        "connection_id": leg.connection_id,
        "queue_id": slot.queue.id,
        "queue_position": position,
        "from": leg.from_,
        "to": leg.to,
        "enqueued_at": iso_millis(slot.enqueued_at),
        "wait_time_secs": int(until - slot.enqueued_at),
        "is_alive": leg.is_live,
    }


def conference(found: Conference) -> Json:
    resource: Json = {
        "record_type": "conference",
        "id": found.id,
        "name": found.name,
        "connection_id": found.creator.connection_id,
        "region": found.region,
        "status": found.status,
        "created_at": iso_millis(found.created_at),
        "updated_at": iso_millis(found.updated_at),
        "expires_at": iso_millis(found.expires_at),
    }
    if found.ended_at is not None:
        resource["end_reason"] = found.end_reason
        if found.ended_by is not None:
            resource["ended_by"] = {
                "call_control_id": found.ended_by.call_control_id,
                "call_session_id": found.ended_by.call_session_id,
            }
    return resource


def listed_participant(found: Participant) -> Json:
    """As the list of participants shows one (CONTRACT §10.7: the single one looks different)."""
    return {
        "record_type": "participant",
        "conference": {"id": found.conference.id, "name": found.conference.name},
        **_participant(found),
    }


def participant(found: Participant) -> Json:
    return {"conference_id": found.conference.id, "label": "", **_participant(found)}


def _participant(found: Participant) -> Json:
    return {
        "id": found.id,
        "call_control_id": found.leg.call_control_id,
        "call_leg_id": found.leg.call_leg_id,
        "muted": found.muted,
        "on_hold": found.held,
        "status": "joined" if found.left_at is None else "left",
        "whisper_call_control_ids": list(found.whisper_call_control_ids),
        "end_conference_on_exit": found.end_conference_on_exit,
        "soft_end_conference_on_exit": found.soft_end_conference_on_exit,
        "created_at": iso_millis(found.created_at),
        "updated_at": iso_millis(found.updated_at),
    }


def recording(found: Recording) -> Json:
    """Only for one that has ended."""
    leg = found.leg
    ended_at = found.ended_at if found.ended_at is not None else found.started_at
    resource = _ids(leg) | {
        "record_type": "recording",
        "id": found.id,
        "connection_id": leg.connection_id,
        "channels": found.channels,
        "source": "call" if found.conference is None else "conference",
        "initiated_by": found.initiated_by,
        "status": "completed",
        "from": leg.from_,
        "to": leg.to,
        "duration_millis": int(recordings.length_secs(found) * 1000),
        "download_urls": {kind: url for kind, url in recordings.urls(found).items() if url is not None},
        "recording_started_at": iso_millis(found.started_at),
        "recording_ended_at": iso_millis(ended_at),
        "created_at": iso_millis(found.started_at),
        "updated_at": iso_millis(found.updated_at),
    }
    if found.conference is not None:
        resource["conference_id"] = found.conference.id
    return resource
