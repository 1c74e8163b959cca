"""Recordings of legs and conferences: started, paused, stopped, saved. There is no sound in the files."""

from callcenter.simulator.model import Conference, Json, Leg, Recording
from callcenter.simulator.payloads import call_recording, conference_recording
from callcenter.simulator.world import World

FILE_HOST = "https://recordings.simulator.invalid"


def start(
    world: World,
    leg: Leg,
    *,
    conference: Conference | None = None,
    channels: str,
    format: str,
    initiated_by: str,
    custom_file_name: str | None = None,
    max_length: float = 0,
    recording_id: str | None = None,
) -> Recording:
    """Record a leg, or a conference in the name of its creator. ``max_length`` 0 is without end.

    ``recording_id`` is one that was promised before there was anything to record.
    """
    recording = Recording(
        id=recording_id or world.new_uuid(),
        leg=leg,
        conference=conference,
        channels=channels,
        format=format,
        initiated_by=initiated_by,
        custom_file_name=custom_file_name,
        started_at=world.now,
        updated_at=world.now,
    )
    world.recordings[recording.id] = recording
    if conference is None:
        leg.recording = recording
    else:
        conference.recording = recording
    if max_length > 0:
        recording.timer = world.after(max_length, lambda: stop(world, recording))
    return recording


def pause(world: World, recording: Recording) -> None:
    if recording.paused_at is None:
        recording.paused_at = recording.updated_at = world.now


def resume(world: World, recording: Recording) -> None:
    if recording.paused_at is not None:
        recording.paused_secs += world.now - recording.paused_at
        recording.paused_at = None
        recording.updated_at = world.now


def stop(world: World, recording: Recording) -> None:
    """End it and tell that it was saved."""
    if recording.ended_at is not None:
        return
    resume(world, recording)
    recording.ended_at = recording.updated_at = world.now
    if recording.timer is not None:
        recording.timer.cancel()
    if recording.conference is None:
        recording.leg.recording = None
        payload = call_recording(recording, urls(recording))
        world.emit("call.recording.saved", payload, leg=recording.leg)
    else:
        recording.conference.recording = None
        payload = conference_recording(recording, urls(recording))
        world.emit("conference.recording.saved", payload, leg=recording.conference.creator)


def length_secs(recording: Recording) -> float:
    """Without its pauses. Only for one that has ended."""
    ended_at = recording.ended_at if recording.ended_at is not None else recording.started_at
    return max(0.0, ended_at - recording.started_at - recording.paused_secs)


def urls(recording: Recording) -> Json:
    name = recording.custom_file_name or recording.id
    return {
        kind: f"{FILE_HOST}/{name}-{int(recording.started_at)}.{kind}" if kind == recording.format else None
        for kind in ("mp3", "wav")
    }
