"""The events Telnyx tells us: their wire names, and one parsed shape for all of them.

Source: CONTRACT §8 and §9. Dispatch is on the ``event_type`` string only.
"""

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

CALL_EVENTS = (
    "call.initiated",
    "call.answered",
    "call.bridged",
    "call.hangup",
    "call.hold",
    "call.unhold",
    "call.enqueued",
    "call.dequeued",
    "call.playback.started",
    "call.playback.ended",
    "call.speak.started",
    "call.speak.ended",
    "call.gather.ended",
    "call.dtmf.received",
    "call.recording.saved",
    "call.machine.detection.ended",
)
CONFERENCE_EVENTS = (
    "conference.created",
    "conference.ended",
    "conference.floor.changed",
    "conference.participant.joined",
    "conference.participant.left",
    "conference.participant.playback.started",
    "conference.participant.playback.ended",
    "conference.participant.speak.started",
    "conference.participant.speak.ended",
    "conference.playback.started",
    "conference.playback.ended",
    "conference.speak.started",
    "conference.speak.ended",
    "conference.recording.saved",
)
KNOWN_EVENTS = frozenset(CALL_EVENTS + CONFERENCE_EVENTS)
MAX_DEPTH = 50  # Telnyx nests five deep
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class MalformedEvent(ValueError):
    """A validly signed body that is not an event: not JSON, without the parts every event has, or not to be stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One delivered event. ``occurred_at`` is None where Telnyx put it nowhere; ``payload`` is as received."""

    id: str
    event_type: str
    occurred_at: datetime | None
    payload: Mapping[str, Any]

    def text(self, field: str) -> str:
        """A payload field as text, '' when absent or not text."""
        value = self.payload.get(field)
        return value if isinstance(value, str) else ""


def parse_event(body: bytes) -> Event:
    """Read a webhook body, with or without its ``data`` envelope.

    An event without an id (only floor.changed has been documented so loosely) gets one derived from its bytes,
    so that its repeats still meet. Raises MalformedEvent.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedEvent("the body is not JSON") from None
    _refuse_the_unstorable(document)
    data = document.get("data", document) if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise MalformedEvent("the body is not an object with an event in it")
    event_type, payload = data.get("event_type"), data.get("payload")
    if not isinstance(event_type, str) or not 0 < len(event_type) <= 100:
        raise MalformedEvent("event_type is missing or not text of 1 to 100 characters")
    if not isinstance(payload, dict):
        raise MalformedEvent("payload is missing or not an object")
    event_id = data.get("id")
    if event_id is None:
        event_id = str(uuid.UUID(bytes=hashlib.sha256(body).digest()[:16]))
    if not isinstance(event_id, str) or not 0 < len(event_id) <= 100:
        raise MalformedEvent("id is not text of 1 to 100 characters")
    return Event(
        id=event_id,
        event_type=event_type,
        occurred_at=occurred_at(data, payload),
        payload=payload,
    )


def _refuse_the_unstorable(document: object) -> None:
    """What Python's JSON lets through and a database does not: NUL, half characters, infinity, wild nesting."""
    level = [document]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        if not all(map(_is_storable, level)):
            raise MalformedEvent("the body holds a NUL, half a character or a number without end")
        level = [inner for value in level for inner in _inside(value)]
    raise MalformedEvent(f"the body is nested more than {MAX_DEPTH} deep")


def _is_storable(value: object) -> bool:
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is None
    return not isinstance(value, float) or math.isfinite(value)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    return value if isinstance(value, list) else ()


def occurred_at(data: Mapping[str, Any], payload: Mapping[str, Any]) -> datetime | None:
    """When it happened, wherever Telnyx put it: envelope, payload, its misspelling, or a recording's end."""
    candidates = (
        data.get("occurred_at"),
        payload.get("occurred_at"),
        payload.get("occured_at"),
        payload.get("recording_ended_at"),
    )
    return next((found for found in map(parse_instant, candidates) if found), None)


def parse_instant(text: object) -> datetime | None:
    """An ISO-8601 instant as aware UTC; None for anything else. A naive one is taken as UTC."""
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
