"""The whole simulator: world, people, API, control, delivery, faults, and the thread that fires timers."""

import logging
import threading
import time
from types import TracebackType
from typing import Literal, Self

from nacl.signing import SigningKey

from callcenter.simulator.api import OPERATION_NAMES, Api
from callcenter.simulator.clock import ManualClock, RealClock
from callcenter.simulator.control import Control
from callcenter.simulator.delivery import Delivery, HttpPost, Post
from callcenter.simulator.faults import Faults
from callcenter.simulator.personas import Personas
from callcenter.simulator.wire import Request, Response
from callcenter.simulator.world import World

logger = logging.getLogger(__name__)

DEFAULT_CONNECTION_ID = "1684641123236054244"


class Simulator:
    """A local Telnyx inside this process.

    With ``clock="manual"`` nothing happens but by ``advance``; if ``post`` is given too, deliveries are posted one
    after the other inside ``advance`` and ``drain``, so that a test sees one order only. Otherwise timers fire on a
    thread (``start`` … ``close``, or ``with``) and posts go out on a pool.
    """

    def __init__(
        self,
        *,
        webhook_url: str = "http://testserver/webhooks/telnyx",
        api_key: str | None = None,
        connection_id: str = DEFAULT_CONNECTION_ID,
        seed: int | None = None,
        speed: float = 1.0,
        clock: Literal["real", "manual"] = "real",
        post: Post | None = None,
        key: SigningKey | None = None,
        webhook_timeout_secs: float = 2.0,
        starts_at: float | None = None,
    ) -> None:
        """``starts_at`` (unix seconds) is where a manual clock begins; without it, now."""
        self.clock = ManualClock(time.time() if starts_at is None else starts_at) if clock == "manual" else RealClock()
        self.key = SigningKey.generate() if key is None else key
        self.world = World(
            clock=self.clock,
            webhook_url=webhook_url,
            connection_id=connection_id,
            seed=seed,
            webhook_timeout_secs=webhook_timeout_secs,
        )
        self.people = Personas(self.world, speed=speed)
        self.world.people = self.people
        self.faults = Faults(seed=seed, operations=OPERATION_NAMES)
        self._http = HttpPost(self._webhook_timeout) if post is None else None
        self.delivery = Delivery(
            self.world,
            self.faults,
            key=self.key,
            post=post or self._http or _nowhere,
            inline=clock == "manual" and post is not None,
        )
        self.world.tell = self.delivery.accept
        self.api = Api(self.world, self.faults, api_key=api_key)
        self.control = Control(self)
        self._stopping = False
        self._scheduler: threading.Thread | None = None

    def handle(self, request: Request) -> Response:
        """Answer one request, of Telnyx's API or of ``/_sim/``."""
        if request.path == "/_sim" or request.path.startswith("/_sim/"):
            return self.control.handle(request)
        return self.api.handle(request)

    def advance(self, secs: float) -> None:
        """Let a manual clock run: each timer fires at its instant, and its posts go out before the next one."""
        if not isinstance(self.clock, ManualClock):
            raise TypeError("only a manual clock can be advanced")
        until = self.clock.now() + secs
        self.drain()
        while True:
            with self.world.lock:
                soonest = self.world.timers.next_at()
                if soonest is None or soonest > until:
                    break
                self.clock.move_to(soonest)
                self.world.fire_due()
            self.drain()
        self.clock.move_to(until)

    def drain(self) -> int:
        """Post what is due now (inline), or wait until nothing is in flight; returns how many were posted inline."""
        return self.delivery.drain()

    def reset(self) -> None:
        """An empty world, no faults, gates, phones or logs; the key, the flags and the clock stay."""
        with self.world.lock:
            self.delivery.reset()
            self.faults.reset()
            self.people.reset()
            self.world.reset()
            self.api.reset()

    # The thread that fires timers

    def start(self) -> None:
        """Fire timers as they come due. A manual clock needs no thread."""
        if isinstance(self.clock, ManualClock) or self._scheduler is not None:
            return
        self._stopping = False
        self._scheduler = threading.Thread(target=self._fire, name="simulator timers", daemon=True)
        self._scheduler.start()

    def close(self) -> None:
        """Stop firing and posting; what has not been delivered never will be."""
        with self.world.lock:
            self._stopping = True
            self.world.sooner.notify_all()
        if self._scheduler is not None:
            self._scheduler.join(timeout=5)
            self._scheduler = None
        self.delivery.close()
        if self._http is not None:
            self._http.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fire(self) -> None:
        with self.world.lock:
            while not self._stopping:
                try:
                    self.world.fire_due()
                except Exception:
                    # One timer's fault must not stop all the others for good.
                    logger.exception("A timer failed")
                soonest = self.world.timers.next_at()
                self.world.sooner.wait(None if soonest is None else soonest - self.clock.now())

    def _webhook_timeout(self) -> float:
        configured = self.world.application["webhook_timeout_secs"]
        return float(configured) if configured else self.world.webhook_timeout_secs


def _nowhere(url: str, body: bytes, headers: object) -> int:
    return 204
