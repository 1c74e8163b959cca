"""Does our mirror say what is true? Both sides in the same words, compared as a whole."""

from collections.abc import Iterator
from typing import Any

from conferences.models import CallLeg, Conference, Participant, Recording
from queues.models import QueueEntry

Words = dict[str, Any]


def ours() -> Words:
    """What our rows say."""
    present = list(Participant.objects.present().select_related("leg", "conference"))
    waiting = {
        entry.call.leg.call_control_id: entry.queue.name
        for entry in QueueEntry.objects.select_related("call__leg", "queue")
        if entry.telnyx_enqueued_at
        and not (entry.telnyx_dequeued_at and entry.telnyx_dequeued_at >= entry.telnyx_enqueued_at)
    }
    conferences = {seat.leg.call_control_id: seat.conference.conference_id for seat in present}
    return {
        "legs": {
            leg.call_control_id: "over"
            if leg.hangup_at
            else {
                "answered": leg.answered_at is not None,
                "queue": waiting.get(leg.call_control_id) if leg.state == "queued" else None,
                "conference": conferences.get(leg.call_control_id),
                "phone_hold": leg.is_held_by_phone,
            }
            for leg in CallLeg.objects.all()
        },
        "conferences": {
            conference.conference_id: {"over": bool(conference.ended_at), "recording": str(conference.recording_state)}
            for conference in Conference.objects.all()
        },
        "participants": {
            seat.leg.call_control_id: {
                "conference": seat.conference.conference_id,
                "role": str(seat.supervisor_role),
                "whispers_to": sorted(seat.whisper_call_control_ids),
                "muted": seat.muted,
                "on_hold": seat.on_hold,
            }
            for seat in present
        },
        "recordings": {recording.recording_id: recording.channels for recording in Recording.objects.all()},
    }


def truth(state: Words) -> Words:
    """The same of ``/_sim/state``."""
    recordings = {recording["id"]: recording for recording in state["recordings"]}
    return {
        "legs": {
            leg["call_control_id"]: {
                "answered": leg["state"] == "answered",
                "queue": leg["queue"],
                "conference": leg["conference_id"],
                "phone_hold": leg["phone_hold"],
            }
            if leg["is_alive"]
            else "over"
            for leg in state["legs"]
        },
        "conferences": {
            conference["id"]: {
                "over": conference["status"] == "completed",
                "recording": recordings[conference["recording_id"]]["status"] if conference["recording_id"] else "off",
            }
            for conference in state["conferences"]
        },
        "participants": {
            seat["call_control_id"]: {
                "conference": conference["id"],
                "role": seat["supervisor_role"],
                "whispers_to": sorted(seat["whisper_call_control_ids"]),
                "muted": seat["muted"],
                "on_hold": seat["on_hold"],
            }
            for conference in state["conferences"]
            for seat in conference["participants"]
        },
        "recordings": {
            ident: recording["channels"]
            for ident, recording in recordings.items()
            if recording["status"] == "completed"
        },
    }


def differences(ours: Words, truth: Words) -> list[str]:
    """One line for each leg, conference, participant and recording that both sides do not tell alike.

    Told alike is what ended so long ago that Telnyx has forgotten it, and what had ended before we heard of it.
    """
    return [line for section in truth for line in _differences(section, ours[section], truth[section])]


def _differences(section: str, ours: Words, truth: Words) -> Iterator[str]:
    for key in {**ours, **truth}:
        here, there = ours.get(key), truth.get(key)
        if here != there and not (_is_over(here) and _is_over(there)):
            yield f"{section} {key}: here {_told(here)}, at Telnyx {_told(there)}"


def _is_over(told: Any) -> bool:
    """Over, or not known at all."""
    return told is None or told == "over" or (isinstance(told, dict) and bool(told.get("over")))


def _told(told: Any) -> str:
    return "nothing" if told is None else str(told)
