"""The whole house in one process: the product, the simulator on a manual clock, nudges and the sweep by hand.

A test rings, advances time, and asks what a supervisor would see. Nothing we own is mocked: webhooks come signed
through the view, commands leave through the outbox and the real client.
"""

import base64
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import time_machine
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings

from callcenter import invariants, reconcile, sweep
from callcenter.simulator.simulator import Simulator
from callcenter.simulator.transport import SimulatorTransport
from callcenter.simulator.wire import Request
from conferences.models import CallLeg
from queues import supervision
from queues.models import Agent, Call, Number, Offer, Queue, QueueMembership, SupervisorPhone
from webhooks import breaker, nudge, outbox
from webhooks.models import Command, DispatchGate
from webhooks.telnyx.client import TelnyxClient

STARTS_AT = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)
STEP_SECS = 0.25
SWEEP_EVERY = 4  # steps: once a second
ROUTE_ALL: sweep.Job = ("queues.route_all", "")
NUMBER = "+442071838750"
CALLER = "+447700900001"
MUSIC = "https://media.example.com/music.mp3?secs=30"


class House:
    """See the module."""

    def __init__(self, *, nudges: bool = True, reconciles: bool = False) -> None:
        """Without ``nudges`` (as in a test that never commits) the sweep alone finds the work.

        With ``reconciles`` the sweep also compares the house with the world outside, as often as in production.
        """
        self._has_nudges = nudges
        self.reconciles = reconciles
        self._is_dark = False
        self._web = Client()
        self.simulator = Simulator(
            connection_id=settings.TELNYX_CONNECTION_ID,
            api_key=settings.TELNYX_API_KEY,
            clock="manual",
            starts_at=STARTS_AT.timestamp(),
            post=self._post,
            seed=1,
        )
        self.client = TelnyxClient(
            api_key=settings.TELNYX_API_KEY,
            base_url="http://simulator/v2",
            transport=_Line(self.simulator, self._look),
        )
        self.line = reconcile.Line(self.client, wait=lambda secs: None)
        self._watchers: list[Callable[[], None]] = []
        self._nudges: dict[sweep.Job, None] = {}
        self._steps = 0
        self._jobs: Mapping[str, Callable[[str], object]] = {
            **sweep.JOBS,
            "webhooks.send": lambda ident: outbox.send(int(ident), self.client),
            "webhooks.probe": lambda ident: breaker.probe(self.client),
            "reconcile.full": lambda ident: reconcile.full(self.line, reason=ident, clock=lambda: self.now),
            "reconcile.legs": lambda ident: reconcile.legs(self.line, clock=lambda: self.now),
            "reconcile.look": lambda ident: reconcile.look(self.line, clock=lambda: self.now),
        }
        key = base64.b64encode(bytes(self.simulator.key.verify_key)).decode("ascii")
        self._settings = override_settings(TELNYX_PUBLIC_KEY=key)
        self._time = time_machine.travel(STARTS_AT, tick=False)

    def __enter__(self) -> "House":
        self._settings.enable()
        self._traveller = self._time.start()
        self._sink = nudge.set_sink(self._nudged)
        return self

    def __exit__(self, *_: object) -> None:
        nudge.set_sink(self._sink)
        self._time.stop()
        self._settings.disable()
        self.client.close()
        self.simulator.close()

    # time and work -----------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.clock.now(), UTC)

    def work(self, *, sweeping: bool = False) -> None:
        """Deliver, apply and send until nothing is left to do at this instant."""
        sweeping = sweeping or not self._has_nudges
        for _ in range(10_000):
            posted = self.simulator.drain()
            jobs = self.jobs()
            if sweeping and not jobs and not posted:
                jobs = sweep.due(self.now)
                sweeping = not self._has_nudges and jobs != [ROUTE_ALL]
                if self.reconciles:
                    jobs = [*((f"reconcile.{what}", "") for what in reconcile.due(self.now)), *jobs]
            for job in jobs:
                self.run(job)
            if not jobs and not posted and not self._nudges:
                return
        raise AssertionError("the house never comes to rest")

    def jobs(self) -> list[sweep.Job]:
        """Take what has been nudged out of the house's hands."""
        jobs = list(self._nudges)
        self._nudges.clear()
        return jobs

    def run(self, job: sweep.Job) -> None:
        self._jobs[job[0]](job[1])

    def step(self) -> None:
        """Deliver what is due, and do one thing of what there is to do."""
        self.simulator.drain()
        job = next(iter(self._nudges), None)
        if job is not None:
            del self._nudges[job]
            self.run(job)

    def advance(self, secs: float) -> None:
        """Let time pass in small steps, with a sweep every second."""
        self.work()
        for _ in range(round(secs / STEP_SECS)):
            self.simulator.advance(STEP_SECS)
            self._traveller.move_to(self.now)
            self._steps += 1
            self.work(sweeping=self._steps % SWEEP_EVERY == 0)
        self.work()

    @contextmanager
    def darkness(self) -> Iterator[Callable[[float], None]]:
        """Everything of ours is down: nothing is heard, done or sent. Yields what lets time pass meanwhile."""

        def wait(secs: float) -> None:
            for _ in range(round(secs / STEP_SECS)):
                self.simulator.advance(STEP_SECS)
                self._traveller.move_to(self.now)

        self.work()
        self._is_dark = True
        yield wait
        self.simulator.drain()
        self._is_dark = False
        DispatchGate.objects.update_or_create(defaults={"open_until": STARTS_AT})

    def until(self, true: Callable[[], object], *, within: float = 60) -> None:
        """Let time pass until something is so."""
        for _ in range(round(within / STEP_SECS)):
            self.work()
            if true():
                return
            self.advance(STEP_SECS)
        raise AssertionError(f"not so within {within} s")

    def _nudged(self, task: str, ident: str) -> None:
        self._nudges[(task, ident)] = None

    def watch(self, look: Callable[[], None]) -> None:
        """Have ``look`` called whenever the world outside may have changed: after each command and each event."""
        self._watchers.append(look)

    def _look(self) -> None:
        for look in self._watchers:
            look()

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self._look()
        if self._is_dark:
            raise ConnectionRefusedError
        plain = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        return self._web.post("/webhooks/telnyx", data=body, content_type="application/json", headers=plain).status_code

    # the world outside -------------------------------------------------------------------------------------

    def sim(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the simulator's control face."""
        answer = self.ask(method, path, body)
        self._look()
        return answer

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The same for a watcher, who is not to be watched himself."""
        path, _, query = path.partition("?")
        answer = self.simulator.handle(
            Request(
                method=method,
                path="/_sim/" + quote(path),
                query=query,
                headers={"content-type": "application/json"},
                body=b"" if body is None else json.dumps(body).encode(),
            )
        )
        assert answer.status < 300, answer.json
        return answer.json

    def ring(self, *, to: str = NUMBER, from_: str = CALLER, **habits: float) -> Call:
        """A caller rings one of our numbers; returns our call once it is known."""
        leg = self.sim("POST", "calls", {"from": from_, "to": to, **habits})["call_control_id"]
        self.work()
        return Call.objects.get(leg__call_control_id=leg)

    def phone(self, address: str, **habits: Any) -> None:
        self.sim("PUT", f"phones/{address}", habits)

    def hang_up(self, leg: CallLeg) -> None:
        self.sim("POST", f"calls/{leg.call_control_id}/hangup")
        if not self._is_dark:
            self.work()

    def audio(self) -> dict[str, Any]:
        audio: dict[str, Any] = self.sim("GET", "audio")
        return audio

    def hears(self, leg: CallLeg) -> set[str]:
        return set(self.audio()[leg.call_control_id]["hears"])

    def media(self, leg: CallLeg) -> list[str]:
        return [each["kind"] for each in self.audio()[leg.call_control_id]["media"]]

    # what we see -------------------------------------------------------------------------------------------

    def check(self) -> None:
        """No invariant is violated, no event failed, no command was refused as nonsense."""
        assert invariants.violations(self.now) == []
        broken = Command.objects.filter(code="invalid")
        assert [f"{c.kind}: {c.error}" for c in broken] == []


class _Line(SimulatorTransport):
    """The way to the simulator, with an ear on it."""

    def __init__(self, simulator: Simulator, look: Callable[[], None]) -> None:
        super().__init__(simulator)
        self._look = look

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return super().handle_request(request)
        finally:
            self._look()


def queue(name: str = "support", *, number: str | None = NUMBER, **fields: Any) -> Queue:
    """A queue with a number that leads to it."""
    made = Queue.objects.create(
        name=name, hold_music_url=MUSIC, **({"greeting_text": "Welcome.", "wrap_up_secs": 0} | fields)
    )
    if number:
        Number.objects.create(number=number, queue=made)
    return made


def agent(name: str, *queues: Queue, ready: bool = True, penalty: int = 0, **fields: Any) -> Agent:
    """An agent on a SIP phone, available unless told otherwise."""
    since = STARTS_AT
    made = Agent.objects.create(
        name=name,
        **(
            {
                "address": f"sip:{name}@agents.example.com",
                "state": Agent.State.AVAILABLE if ready else Agent.State.OFFLINE,
                "available_since": since,
                "login_at": since,
            }
            | fields
        ),
    )
    for served in queues:
        QueueMembership.objects.create(agent=made, queue=served, penalty=penalty)
    return made


def only_offer(call: Call) -> Offer:
    return call.offers.select_related("leg", "agent", "entry").get()


def supervisor(name: str, *verbs: str) -> User:
    """A user with a phone and, unless verbs are named, every permission a supervisor can have."""
    user = User.objects.create_user(name, is_staff=True)
    chosen = verbs or ("monitor", "whisper", "barge", "take_over", "control")
    wanted = [f"{verb}_conference" for verb in chosen]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    SupervisorPhone.objects.create(user=user, address=f"sip:{name}@supervisors.example.com")
    return user


def request(user: User, house: House, *, reason: str = "coaching") -> supervision.Request:
    """What a click on a button becomes."""
    fresh = User.objects.get(pk=user.pk)
    actor = supervision.Actor(name=user.username, user=fresh)
    return supervision.Request(actor=actor, token=str(uuid.uuid4()), now=house.now, reason=reason)
