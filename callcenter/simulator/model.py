"""What there is in the world: legs, bridges, queues, conferences, recordings, and what plays on them. State only.

Objects refer to each other directly; ``world.World`` finds them by id. Instants are unix seconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from callcenter.simulator.clock import Timer

Json = dict[str, Any]
Direction = Literal["incoming", "outgoing"]
Loop = int | Literal["infinity"]


@dataclass(slots=True, kw_only=True, eq=False)
class Media:
    """One playback or speech, waiting or playing."""

    kind: Literal["playback", "speak"]
    source: str
    secs: float
    loop: Loop = 1
    media_url: str | None = None
    media_name: str | None = None
    overlay: bool = False
    # Not announced: the speech of a gather's prompt has no webhooks of its own.
    silent: bool = False
    on_end: Callable[[], None] | None = None
    timer: Timer | None = None


Announce = Callable[[str, Media, str], None]


@dataclass(slots=True, kw_only=True, eq=False)
class Channel:
    """What plays to one leg, one participant or one whole conference: one thing at a time, the rest in line.

    ``announce`` tells the webhook: "started" or "ended", the media, and the status of an end.
    """

    announce: Announce
    changed: Callable[[], None]
    current: Media | None = None
    overlay: Media | None = None
    waiting: deque[Media] = field(default_factory=deque)

    @property
    def audible(self) -> list[Media]:
        return [media for media in (self.current, self.overlay) if media is not None]


@dataclass(slots=True, kw_only=True, eq=False)
class Gather:
    """Digits being collected from one leg."""

    valid_digits: str
    terminating_digit: str
    minimum_digits: int
    maximum_digits: int
    initial_timeout: float | None
    inter_digit_timeout: float
    timeout: float
    tries_left: int = 1
    prompt: Callable[[bool], Media | None] | None = None
    digits: str = ""
    prompting: Media | None = None
    timer: Timer | None = None
    digit_timer: Timer | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Ear:
    """What one leg has heard so far, for ``/_sim/silence``."""

    silent_since: float | None = None
    longest_silence: float = 0.0
    first_sound_at: float | None = None
    first_human_at: float | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Persona:
    """The person or machine at a leg's far end; seconds are already divided by the speed."""

    patience: float | None = None
    talk: float | None = None
    drop: float | None = None
    dtmf: str | None = None
    press_delay: float = 0.5
    is_machine: bool = False
    patience_timer: Timer | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Leg:
    """One call_control_id."""

    call_control_id: str
    call_leg_id: str
    call_session_id: str
    connection_id: str
    direction: Direction
    from_: str
    to: str
    started_at: float
    caller_id_name: str = ""
    client_state: str | None = None
    custom_headers: list[Json] = field(default_factory=list)
    sip_headers: list[Json] = field(default_factory=list)
    webhook_url: str | None = None
    webhook_urls: dict[str, str] = field(default_factory=dict)
    webhook_retries: dict[str, tuple[float, ...]] = field(default_factory=dict)
    answered_at: float | None = None
    ended_at: float | None = None
    hangup_cause: str = ""
    commanded: bool = False
    # Whether its own phone has put us on hold.
    phone_hold: bool = False
    ear: Ear = field(default_factory=Ear)
    persona: Persona = field(default_factory=Persona)
    # Where it is: at most one of these.
    slot: "QueueSlot | None" = None
    bridge: "Bridge | None" = None
    participant: "Participant | None" = None
    # Supervised dial: whom this leg supervises, how, and who supervises it.
    supervises: "Leg | None" = None
    supervisor_role: str = ""
    supervisors: list["Leg"] = field(default_factory=list)
    # A leg that rings and is to be bridged with this one once it answers; and the other way round.
    bridging_to: "Leg | None" = None
    bridging_from: "Leg | None" = None
    bridging_ringtone: bool = False
    # A transfer's new leg: it is cancelled when the leg it rings for ends.
    rings_for_transfer: bool = False
    parks_after_unbridge: bool = False
    # The caller whose call_leg_id the dial named in X-Caller-Leg-Id.
    caller_leg_id: str = ""
    channel: Channel = field(init=False)
    gather: Gather | None = None
    recording: "Recording | None" = None
    timers: list[Timer] = field(default_factory=list)
    # What the dial asked for at the moment of answer, in order.
    on_answer: list[Callable[[], None]] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return self.ended_at is None

    @property
    def is_answered(self) -> bool:
        return self.answered_at is not None

    @property
    def is_talking(self) -> bool:
        """Answered and not over: it can hear and be heard."""
        return self.answered_at is not None and self.ended_at is None

    @property
    def is_human(self) -> bool:
        return not self.persona.is_machine


@dataclass(slots=True, kw_only=True, eq=False)
class Bridge:
    """Two legs joined directly. ``parked`` are those that survive the other's leaving."""

    legs: tuple[Leg, Leg]
    parked: set[Leg] = field(default_factory=set)

    def other(self, leg: Leg) -> Leg:
        return self.legs[1] if leg is self.legs[0] else self.legs[0]


@dataclass(slots=True, kw_only=True, eq=False)
class QueueSlot:
    """One call's place in a queue. A kept call stays after its leg has ended."""

    queue: "Queue"
    leg: Leg
    enqueued_at: float
    keep_after_hangup: bool
    timer: Timer | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Queue:
    id: str
    name: str
    max_size: int
    created_at: float
    updated_at: float
    slots: dict[str, QueueSlot] = field(default_factory=dict)
    idle_timer: Timer | None = None

    def position(self, slot: QueueSlot) -> int:
        """1 for the head of the line."""
        return next(place for place, each in enumerate(self.slots.values(), start=1) if each is slot)


@dataclass(slots=True, kw_only=True, eq=False)
class Participant:
    """One leg's stay in one conference."""

    id: str
    conference: "Conference"
    leg: Leg
    created_at: float
    updated_at: float
    end_conference_on_exit: bool = False
    soft_end_conference_on_exit: bool = False
    muted_by_command: bool = False
    # A monitor is mute by its role; "unmute" can open it nevertheless.
    opened: bool = False
    on_hold: bool = False
    hold_media: str | None = None
    supervisor_role: str = "none"
    whisper_call_control_ids: list[str] = field(default_factory=list)
    beep_enabled: str | None = None
    left_at: float | None = None
    channel: Channel = field(init=False)

    @property
    def only_listens(self) -> bool:
        """A monitor; a whisperer without targets is one too."""
        return self.supervisor_role == "monitor" or (
            self.supervisor_role == "whisper" and not self.whisper_call_control_ids
        )

    @property
    def muted(self) -> bool:
        return self.muted_by_command or (self.only_listens and not self.opened)

    @property
    def held(self) -> bool:
        """On hold by a command, or because the conference has not started."""
        return self.on_hold or not self.conference.started


@dataclass(slots=True, kw_only=True, eq=False)
class Conference:
    id: str
    name: str
    creator: Leg
    client_state: str | None
    region: str
    max_participants: int
    beep_enabled: str
    started: bool
    hold_media: str | None
    created_at: float
    updated_at: float
    expires_at: float
    participants: dict[str, Participant] = field(default_factory=dict)
    former: list[Participant] = field(default_factory=list)
    ended_at: float | None = None
    end_reason: str = ""
    ended_by: Leg | None = None
    closed_to_joins: bool = False
    floor: Leg | None = None
    beep_until: float = 0.0
    recording: "Recording | None" = None
    timer: Timer | None = None
    channel: Channel = field(init=False)

    @property
    def is_live(self) -> bool:
        return self.ended_at is None

    @property
    def status(self) -> str:
        if self.ended_at is not None:
            return "completed"
        return "in_progress" if self.started else "init"


@dataclass(slots=True, kw_only=True, eq=False)
class Recording:
    """Of a leg or of a conference. ``paused_secs`` are not in its length."""

    id: str
    leg: Leg
    conference: Conference | None
    channels: str
    format: str
    initiated_by: str
    custom_file_name: str | None
    started_at: float
    updated_at: float
    paused_at: float | None = None
    paused_secs: float = 0.0
    ended_at: float | None = None
    timer: Timer | None = None

    @property
    def status(self) -> str:
        if self.ended_at is not None:
            return "completed"
        return "recording" if self.paused_at is None else "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, in the order of truth."""

    seq: int
    id: str
    event_type: str
    occurred_at: str
    payload: Json
    # What the wire shows beside the payload: some events carry no occurred_at there (CONTRACT §8.2).
    data: Json
    # Of the leg it is about, or '' when it is about a whole conference; no leg, so that the log keeps none alive.
    call_control_id: str
    call_leg_id: str
    call_session_id: str
    # Where the leg's own commands want it, and how often it is tried again; None for the application's way.
    url: str | None
    retry_delays: tuple[float, ...] | None
    flat: bool = False
