"""Saved recordings and the log of call events."""

from collections.abc import Mapping

from callcenter.simulator import errors, paging, resources
from callcenter.simulator.clock import iso_millis
from callcenter.simulator.model import Event, Json, Recording
from callcenter.simulator.operation import Arguments, Operation
from callcenter.simulator.params import needed, tokens
from callcenter.simulator.world import World

_DAY_SECS = 86_400


def list_recordings(world: World, args: Arguments) -> Json:
    """The newest first; only those that have ended."""
    ended = [found for found in world.recordings.values() if found.ended_at is not None]
    shown = [resources.recording(found) for found in reversed(ended)]
    wanted = {
        name.removeprefix("filter[").removesuffix("]"): value
        for name, value in args.query.items()
        if name.startswith("filter[")
    }
    return paging.numbered([each for each in shown if _matches(each, wanted)], args.query, world.switches)


def _matches(recording: Json, wanted: Mapping[str, str]) -> bool:
    for name, value in wanted.items():
        field, _, bound = name.partition("][")
        if field in {"conference_region", "sip_call_id"}:
            continue
        found = str(recording.get(_STORED_AS.get(field, field), ""))
        if (bound == "gte" and found < value) or (bound == "lte" and found > value):
            return False
        if not bound and found != value:
            return False
    return True


_STORED_AS = {"start_time": "recording_started_at", "end_time": "recording_ended_at"}


def retrieve(world: World, args: Arguments) -> Json:
    return {"data": resources.recording(_ended(world, args.path["recording_id"]))}


def delete(world: World, args: Arguments) -> Json:
    found = _ended(world, args.path["recording_id"])
    del world.recordings[found.id]
    return {"data": resources.recording(found)}


def delete_many(world: World, args: Arguments) -> Json:
    found = [_ended(world, recording_id) for recording_id in args.tokens("ids")]
    for recording in found:
        world.recordings.pop(recording.id, None)
    return {"status": "ok"}


def _ended(world: World, recording_id: str) -> Recording:
    found = world.recordings.get(recording_id)
    if found is None or found.ended_at is None:
        raise errors.refusal("10005", detail="The recording could not be found.", pointer="/recording_id")
    return found


def list_events(world: World, args: Arguments) -> Json:
    """Newest first; a day's worth, or a leg's or session's whole story. ``metadata`` is the raw payload."""
    leg_id, session_id = args.query.get("filter[leg_id]"), args.query.get("filter[application_session_id]")
    since = "" if leg_id or session_id else iso_millis(world.now - _DAY_SECS)
    shown = [
        _as_call_event(event)
        for event in reversed(world.events)
        if event.occurred_at >= since and _selected(event, leg_id, session_id, args.query)
    ]
    return paging.numbered(shown, args.query, world.switches)


def _selected(event: Event, leg_id: str | None, session_id: str | None, query: Mapping[str, str]) -> bool:
    payload = event.payload
    exact = {
        "filter[connection_id]": payload.get("connection_id"),
        "filter[from]": payload.get("from"),
        "filter[to]": payload.get("to"),
        "filter[name]": event.event_type,
        "filter[type]": "webhook",
        "filter[occurred_at][eq]": event.occurred_at,
    }
    bounds = (
        (query.get("filter[occurred_at][gt]", "") < event.occurred_at)
        and (query.get("filter[occurred_at][gte]", "") <= event.occurred_at)
        and (query.get("filter[occurred_at][lt]", "~") > event.occurred_at)
        and (query.get("filter[occurred_at][lte]", "~") >= event.occurred_at)
    )
    return (
        bounds
        and (leg_id is None or event.call_leg_id == leg_id)
        and (session_id is None or event.call_session_id == session_id)
        and all(query.get(name) in (None, value) for name, value in exact.items())
    )


def _as_call_event(event: Event) -> Json:
    return {
        "record_type": "call_event",
        "type": "webhook",
        "name": event.event_type,
        "call_leg_id": event.call_leg_id,
        "call_session_id": event.call_session_id,
        "event_timestamp": event.occurred_at,
        "metadata": event.payload,
    }


OPERATIONS = (
    Operation(name="recordings.list", method="GET", path="/recordings", handler=list_recordings),
    Operation(name="recordings.retrieve", method="GET", path="/recordings/{recording_id}", handler=retrieve),
    Operation(name="recordings.delete", method="DELETE", path="/recordings/{recording_id}", handler=delete),
    Operation(
        name="recordings.delete_many",
        method="POST",
        path="/recordings/actions/delete",
        handler=delete_many,
        fields={"ids": needed(tokens)},
    ),
    Operation(name="calls.events", method="GET", path="/call_events", handler=list_events),
)
