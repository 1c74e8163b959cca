"""The truth: every leg, queue, conference and recording there is, its clock, its timers and its log of events.

Pure of I/O. Every change happens inside ``step()``: one lock, one instant, and at its end everyone touched listens
again (``audio``). What people do about it (``personas``) and who is told (``delivery``) hang on as callables.
"""

import base64
import random
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from callcenter.simulator import audio
from callcenter.simulator.clock import Clock, Timer, Timers, iso_micros, iso_millis
from callcenter.simulator.model import Conference, Event, Json, Leg, Queue, Recording
from callcenter.simulator.switches import Switches

LOG_SIZE = 100_000
LEG_LIMIT_SECS = 14_400
REMEMBERED_SECS = 600.0

# Where each event says when it happened: most at the data level, these in their payload, one nowhere.
_INSTANT_IN_PAYLOAD = frozenset(
    {
        "conference.created",
        "conference.ended",
        "conference.floor.changed",
        *(
            f"conference.{whose}{what}.{end}"
            for whose in ("", "participant.")
            for what in ("playback", "speak")
            for end in ("started", "ended")
        ),
    }
)
_INSTANT_NOWHERE = frozenset({"conference.recording.saved"})


def _own_url(leg: Leg | None, event_type: str) -> str | None:
    """Where a leg's commands want its events; what happens in conferences goes to the application."""
    if leg is None or not event_type.startswith("call."):
        return None
    return leg.webhook_urls.get(event_type) or leg.webhook_url


class People(Protocol):
    """Whoever is at the far ends."""

    def rings(self, leg: Leg) -> None: ...

    def answered(self, leg: Leg) -> None: ...

    def hears_someone(self, leg: Leg) -> None: ...

    def asked_for_digits(self, leg: Leg) -> None: ...


class Nobody:
    """A world without people: phones ring for ever."""

    def rings(self, leg: Leg) -> None: ...

    def answered(self, leg: Leg) -> None: ...

    def hears_someone(self, leg: Leg) -> None: ...

    def asked_for_digits(self, leg: Leg) -> None: ...


class World:
    """See the module. ``speed`` belongs to the people, not to the clock."""

    def __init__(
        self,
        *,
        clock: Clock,
        webhook_url: str,
        connection_id: str,
        seed: int | None = None,
        webhook_timeout_secs: float = 2.0,
    ) -> None:
        self.clock = clock
        self.webhook_url = webhook_url
        self.connection_id = connection_id
        self.seed = seed
        self.webhook_timeout_secs = webhook_timeout_secs
        self.lock = threading.RLock()
        # Woken whenever an earlier timer is set than the scheduler may be waiting for.
        self.sooner = threading.Condition(self.lock)
        self.people: People = Nobody()
        self.tell: Callable[[Event], None] = lambda event: None
        self._depth = 0
        self.reset()

    def reset(self) -> None:
        """An empty world again, with the ids a fresh one would give."""
        with self.lock:
            self.random = random.Random(self.seed)
            self.switches = Switches()
            self.timers = Timers()
            self.legs: dict[str, Leg] = {}
            self.legs_by_leg_id: dict[str, Leg] = {}
            self.queues: dict[str, Queue] = {}
            self.conferences: dict[str, Conference] = {}
            self.active_conferences: dict[str, Conference] = {}
            self.recordings: dict[str, Recording] = {}
            self.events: deque[Event] = deque(maxlen=LOG_SIZE)
            self.silence = audio.SilenceLog()
            self.application = self._application()
            self._event_seq = 0
            self._last_micros = 0
            self._touched: dict[Leg, None] = {}
            self._now = self.clock.now()

    # Time

    @property
    def now(self) -> float:
        """The instant of the current step; between steps, the clock's."""
        return self._now if self._depth else self.clock.now()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Everything inside happens at one instant; what it touched is heard when it ends."""
        with self.lock:
            if self._depth == 0:
                self._now = self.clock.now()
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._listen()
            finally:
                self._depth -= 1

    def after(self, secs: float, action: Callable[[], None]) -> Timer:
        """Call ``action`` in a step of its own, ``secs`` from now."""
        at = self.now + max(0.0, secs)
        soonest = self.timers.next_at()
        timer = self.timers.add(at, action)
        if soonest is None or at < soonest:
            self.sooner.notify_all()
        return timer

    def fire_due(self) -> None:
        """Run every timer whose instant has come, each in its own step."""
        while True:
            with self.step():
                timer = self.timers.pop_due(self._now)
                if timer is None or timer.action is None:
                    return
                timer.action()

    # Who hears what

    def touch(self, leg: Leg) -> None:
        """Something changed for this leg; whoever shares a bridge or conference with it listens again too."""
        self._touched[leg] = None
        for other in audio.company(leg):
            self._touched[other] = None

    def touch_conference(self, conference: Conference) -> None:
        for participant in conference.participants.values():
            self._touched[participant.leg] = None

    def _listen(self) -> None:
        while self._touched:
            touched, self._touched = list(self._touched), {}
            for leg in touched:
                if audio.listen(leg, now=self._now):
                    self.people.hears_someone(leg)

    # Names

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_token(self) -> str:
        """A call_control_id: opaque, not URL-safe, of no fixed length."""
        return "v3:" + base64.urlsafe_b64encode(self.random.randbytes(self.random.randint(38, 40))).decode()

    # Events

    def emit(self, event_type: str, payload: Json, *, leg: Leg | None) -> None:
        """Log an event and have it told; instants never repeat, so they order the log."""
        self._last_micros = max(int(self.now * 1_000_000), self._last_micros + 1)
        occurred_at = iso_micros(self._last_micros)
        data: Json = {"record_type": "event", "event_type": event_type, "id": self.new_uuid()}
        if event_type in _INSTANT_IN_PAYLOAD:
            payload = {**payload, "occurred_at": occurred_at}
        elif event_type not in _INSTANT_NOWHERE:
            data["occurred_at"] = occurred_at
        data["payload"] = payload
        self._event_seq += 1
        event = Event(
            seq=self._event_seq,
            id=data["id"],
            event_type=event_type,
            occurred_at=occurred_at,
            payload=payload,
            data=data,
            call_control_id=leg.call_control_id if leg is not None else "",
            call_leg_id=leg.call_leg_id if leg is not None else "",
            call_session_id=leg.call_session_id if leg is not None else payload["creator_call_session_id"],
            url=_own_url(leg, event_type),
            retry_delays=leg.webhook_retries.get(event_type) if leg is not None else None,
            flat=event_type == "conference.floor.changed" and not self.switches.floor_changed_enveloped,
        )
        self.events.append(event)
        self.tell(event)

    # The application

    def _application(self) -> Json:
        """The Call Control application as the command line describes it; PATCH changes it."""
        now = iso_millis(self.clock.now())
        timeout = self.webhook_timeout_secs
        application: dict[str, Any] = {
            "record_type": "call_control_application",
            "id": self.connection_id,
            "application_name": "simulator",
            "active": True,
            "anchorsite_override": "Latency",
            "call_cost_in_webhooks": False,
            "dtmf_type": "RFC 2833",
            "first_command_timeout": True,
            "first_command_timeout_secs": 30,
            "inbound": {"shaken_stir_enabled": False, "sip_subdomain_receive_settings": "from_anyone"},
            "outbound": {"outbound_voice_profile_id": "1293384261075731499"},
            "redact_dtmf_debug_logging": False,
            "tags": [],
            "webhook_api_version": "2",
            "webhook_event_url": self.webhook_url,
            "webhook_event_failover_url": "",
            "webhook_timeout_secs": int(timeout) if timeout == int(timeout) else None,
            "created_at": now,
            "updated_at": now,
        }
        return application
