"""What the reconciler finds: a thing that differs, in a word and a sentence, with what mends it."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from conferences.models import CallLeg, Conference, Participant
from webhooks.telnyx.events import Event

_EVENTS = uuid.UUID("0d1f6a53-3a2b-5c55-9c3e-5b7f6a0b9a11")  # names the events that we tell in Telnyx's place


Kind = Literal[
    "adopted",
    "caller_lives_on",
    "conference_created",
    "conference_ended_here",
    "conference_gone",
    "dequeued",
    "enqueued",
    "foreign_leg",
    "joined",
    "left",
    "leg_ended_here",
    "leg_gone",
    "orphan_leg",
    "own_leg",
    "recording_missed",
    "stranger",
    "unannounced",
    "unknown_leg",
    "untold",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """An event that Telnyx did not tell us."""

    event: Event

    def __str__(self) -> str:
        return self.event.event_type


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """A leg that nobody owns any more; who does by the time it is done keeps it."""

    call_control_id: str

    def __str__(self) -> str:
        return "hang_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Out of a conference where he does not belong, and otherwise left alone."""

    conference_id: str
    call_control_id: str
    participant_id: str

    def __str__(self) -> str:
        return "remove_stranger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readmit:
    """A caller who is over here and lives on: in again, as a new leg of a new call. ``events`` tell of him."""

    leg: CallLeg
    events: tuple[Event, ...]

    def __str__(self) -> str:
        return "readmit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What Telnyx never announces, as its list of participants has it. ``version``: see ask.Snapshot."""

    conference: Conference
    participants: tuple[dict[str, Any], ...]
    version: int

    def __str__(self) -> str:
        return "participants_read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``remedies`` is empty where we only say so."""

    kind: Kind
    detail: str
    call_id: uuid.UUID | None = None
    remedies: tuple[Tell | HangUp | Remove | Readmit | Note, ...] = ()

    def __str__(self) -> str:
        call = f" call={self.call_id}" if self.call_id else ""
        mended_by = ", ".join(map(str, self.remedies)) or "nothing is done"
        return f"{self.kind}{call}: {self.detail} ({mended_by})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """Alive in our rows, and not in Telnyx's lists: perhaps. ``subject`` names the thing for the second look."""

    kind: str
    subject: str
    leg: CallLeg | None = None
    seat: Participant | None = None
    conference: Conference | None = None


class Undecided(Exception):
    """Nothing proves it one way or the other; the doubt stays."""


def subject_of(kind: str, *ids: str) -> str:
    return " ".join((kind, *ids))


def event_of(event_type: str, at: datetime, payload: dict[str, Any], *names: object) -> Event:
    """An event in Telnyx's shape. ``names`` is what makes it one: whoever finds the same writes the same event."""
    ident = uuid.uuid5(_EVENTS, " ".join(map(str, (event_type, *names))))
    return Event(id=f"reconcile:{ident}", event_type=event_type, occurred_at=at, payload=payload)
