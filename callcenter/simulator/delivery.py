"""Telling what happened: events become signed posts, sent concurrently and retried (CONTRACT §9).

``accept`` is called inside the world's step and only puts parcels on their way; faults multiply, delay or lose them,
gates hold them. Posting happens outside the lock: on a pool of threads, or, for deterministic tests, inside
``drain``.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
from nacl.signing import SigningKey

from callcenter.simulator.clock import iso_millis
from callcenter.simulator.faults import Faults
from callcenter.simulator.model import Event, Json
from callcenter.simulator.world import LOG_SIZE, World
from webhooks.telnyx.signature import sign

logger = logging.getLogger(__name__)

CONCURRENT_POSTS = 32
STALE_SECS = 600
_LONGEST_DRAIN = 100_000

# Posts a body to a URL and returns the HTTP status. Raises OSError or httpx.TransportError for no answer.
Post = Callable[[str, bytes, Mapping[str, str]], int]


class HttpPost:
    """Posts over kept-alive connections; ``timeout`` is asked anew for each post.

    The bare transport: cookies, redirects and proxies are none of a webhook sender's business, and cost as much
    as the post itself.
    """

    def __init__(self, timeout: Callable[[], float]) -> None:
        self._timeout = timeout
        limits = httpx.Limits(max_connections=CONCURRENT_POSTS, max_keepalive_connections=CONCURRENT_POSTS)
        self._transport = httpx.HTTPTransport(trust_env=False, limits=limits)

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        timeout = httpx.Timeout(self._timeout()).as_dict()
        try:
            request = httpx.Request("POST", url, headers=headers, content=body, extensions={"timeout": timeout})
            response = self._transport.handle_request(request)
            try:
                response.read()
            finally:
                response.close()
        except (httpx.InvalidURL, RuntimeError) as wrong:
            # No URL at all, or closed under our feet: as good as nobody there.
            raise httpx.ConnectError(str(wrong)) from None
        return response.status_code

    def close(self) -> None:
        self._transport.close()


@dataclass(slots=True, eq=False)
class Gate:
    """Holds what matches until it is opened."""

    id: str
    event_type: str
    leg: str | None
    held: list["Parcel"] = field(default_factory=list)

    def stops(self, event: Event) -> bool:
        return event.event_type == self.event_type and self.leg in (None, event.call_control_id)

    def as_json(self) -> Json:
        return {"id": self.id, "event_type": self.event_type, "leg": self.leg, "held": len(self.held)}


@dataclass(slots=True, eq=False)
class Parcel:
    """One copy of one event on its way, with every attempt made."""

    event: Event
    event_id: str
    kind: str
    retry_delays: deque[float]
    status: str = "waiting"
    to_failover: bool = False
    timestamp: str = ""
    attempts: list[Json] = field(default_factory=list)

    def as_json(self) -> Json:
        return {
            "event_id": self.event_id,
            "event_type": self.event.event_type,
            "seq": self.event.seq,
            "call_control_id": self.event.call_control_id,
            "kind": self.kind,
            "status": self.status,
            "attempts": self.attempts,
        }


class Delivery:
    """See the module. With ``inline`` nothing is posted but by ``drain``."""

    def __init__(self, world: World, faults: Faults, *, key: SigningKey, post: Post, inline: bool = False) -> None:
        self.world = world
        self.faults = faults
        self.key = key
        self.post = post
        self._inline = inline
        self._pool = ThreadPoolExecutor(CONCURRENT_POSTS, "delivery") if not inline else None
        self._idle = threading.Condition(world.lock)
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; what is on its way arrives, and nothing comes of it."""
        with self.world.lock:
            self.parcels: deque[Parcel] = deque(maxlen=LOG_SIZE)
            self.gates: dict[str, Gate] = {}
            self._due: deque[Parcel] = deque()
            self._current: set[Parcel] = set()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    # Gates

    def add_gate(self, event_type: str, leg: str | None) -> Gate:
        gate = Gate(self.world.new_uuid(), event_type, leg)
        self.gates[gate.id] = gate
        return gate

    def open_gates(self, *ids: str) -> int:
        """Let go of what these gates held, oldest event first; returns how many that were."""
        opened = [self.gates.pop(gate_id) for gate_id in ids]
        held = sorted((parcel for gate in opened for parcel in gate.held), key=lambda each: each.event.seq)
        for parcel in held:
            self._dispatch(parcel)
        return len(held)

    # On their way

    def accept(self, event: Event) -> None:
        """Make the parcels of one event, as the faults will have it."""
        original = self._parcel(event, event.id, "original")
        if self.faults.active:
            if self.faults.strikes_delivery("drop", event) is not None:
                self._done(original, "dropped")
                return
            held_back = 0.0
            delay = self.faults.strikes_delivery("delay", event)
            if delay is not None and delay.secs is not None:
                held_back += delay.secs
            reorder = self.faults.strikes_delivery("reorder", event)
            if reorder is not None and reorder.secs is not None:
                held_back += self.faults.random.uniform(0, reorder.secs)
            self._send_later(original, held_back)
            self._send_copies(event)
        else:
            self._dispatch(original)

    def _send_copies(self, event: Event) -> None:
        """What comes beside the original: repeats, and forgeries that have to be refused."""
        for kind in ("duplicate", "duplicate_new_id", "tamper", "stale_timestamp"):
            if self.faults.strikes_delivery(kind, event) is not None:
                event_id = event.id if kind in {"duplicate", "stale_timestamp"} else self.world.new_uuid()
                self._dispatch(self._parcel(event, event_id, kind))

    def _parcel(self, event: Event, event_id: str, kind: str) -> Parcel:
        delays = event.retry_delays
        if delays is None:
            delays = self.world.switches.webhook_retry_delays_secs
        parcel = Parcel(event, event_id, kind, deque(delays))
        self.parcels.append(parcel)
        self._current.add(parcel)
        return parcel

    def _send_later(self, parcel: Parcel, secs: float) -> None:
        if secs > 0:
            self.world.after(secs, lambda: self._dispatch(parcel))
        else:
            self._dispatch(parcel)

    def _dispatch(self, parcel: Parcel) -> None:
        for gate in self.gates.values():
            if gate.stops(parcel.event):
                parcel.status = "held"
                gate.held.append(parcel)
                return
        parcel.status = "sending"
        if self._pool is None:
            self._due.append(parcel)
        else:
            self._in_flight += 1
            self._pool.submit(self._attempt_on_pool, parcel)

    def drain(self, *, timeout: float = 30.0) -> int:
        """Post everything due now and what that brings about; returns how many posts were made.

        With a pool: wait until nothing is in flight.
        """
        if self._pool is not None:
            with self.world.lock:
                self._idle.wait_for(lambda: self._in_flight == 0, timeout)
            return 0
        posts = 0
        while self._due:
            posts += 1
            if posts > _LONGEST_DRAIN:
                raise RuntimeError(f"{_LONGEST_DRAIN} posts and still more to come")
            self._attempt(self._due.popleft())
        return posts

    def _attempt_on_pool(self, parcel: Parcel) -> None:
        try:
            self._attempt(parcel)
        except Exception:
            # A receiver inside this process may raise anything; the parcel then simply has no answer.
            logger.exception("Delivery failed, event_type=%s", parcel.event.event_type)
            with self.world.step():
                self._settle(parcel, "", None, "exception", took_secs=0.0)
        finally:
            with self.world.lock:
                self._in_flight -= 1
                if self._in_flight == 0:
                    self._idle.notify_all()

    def _attempt(self, parcel: Parcel) -> None:
        url, body, headers = self._compose(parcel)
        error = ""
        status: int | None = None
        began = time.monotonic()
        try:
            status = self.post(url, body, headers)
        except (OSError, httpx.TransportError) as failed:
            error = type(failed).__name__
        with self.world.step():
            self._settle(parcel, url, status, error, took_secs=time.monotonic() - began)

    def _compose(self, parcel: Parcel) -> tuple[str, bytes, dict[str, str]]:
        url = self._url(parcel)
        number = len(parcel.attempts) + 1
        data = {**parcel.event.data, "id": parcel.event_id}
        body = _body(data, number, url, flat=parcel.event.flat)
        if not parcel.timestamp or self.world.switches.retry_timestamp == "refreshed":
            parcel.timestamp = str(int(time.time()) - (STALE_SECS if parcel.kind == "stale_timestamp" else 0))
        signed = body
        if parcel.kind == "tamper":
            signed = _body(parcel.event.data, number, url, flat=parcel.event.flat)
        headers = {
            "content-type": "application/json",
            "user-agent": "telnyx-webhooks",
            **sign(signed, timestamp=parcel.timestamp, key=self.key),
        }
        return url, body, headers

    def _url(self, parcel: Parcel) -> str:
        """The failover URL, the leg's own, or the application's."""
        application = self.world.application
        if parcel.to_failover:
            return str(application["webhook_event_failover_url"])
        return parcel.event.url or str(application["webhook_event_url"])

    def _settle(self, parcel: Parcel, url: str, status: int | None, error: str, *, took_secs: float) -> None:
        """Delivered, to be tried again, or given up. A failure goes to the failover URL at once, if there is one."""
        if parcel not in self._current:
            return
        attempt: Json = {
            "attempt": len(parcel.attempts) + 1,
            "url": url,
            "status": status,
            "at": iso_millis(self.world.now),
            "took_secs": round(took_secs, 4),
        }
        parcel.attempts.append(attempt | ({"error": error} if error else {}))
        failover = self.world.application["webhook_event_failover_url"]
        if status is not None and 200 <= status < 300:
            self._done(parcel, "delivered")
        elif failover and not parcel.to_failover:
            parcel.to_failover = True
            self._dispatch(parcel)
        elif parcel.retry_delays and _is_worth_retrying(status):
            parcel.to_failover = False
            parcel.status = "waiting"
            self._send_later(parcel, parcel.retry_delays.popleft())
        else:
            self._done(parcel, "failed")

    def _done(self, parcel: Parcel, status: str) -> None:
        parcel.status = status
        self._current.discard(parcel)


def _is_worth_retrying(status: int | None) -> bool:
    return status is None or status >= 500 or status in {408, 429}


def _body(data: Json, attempt: int, url: str, *, flat: bool) -> bytes:
    if flat:
        return json.dumps(data, separators=(",", ":")).encode()
    envelope = {"data": data, "meta": {"attempt": attempt, "delivered_to": url}}
    return json.dumps(envelope, separators=(",", ":")).encode()
