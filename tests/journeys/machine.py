"""The whole house under any sequence of what can happen to it (RELIABILITY §6.2 b), every invariant after each step.

One transaction holds an example, and is rolled back at its end; a commit of the product's is the release of a
savepoint in it, and what is nudged on commit is collected after each job. Time, the database's and that of leases
too, and what is random in ids belong to the machine, so that a failing example fails again.
"""

import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest import mock

import httpx
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callcenter import invariants, metrics, reconcile, sweep
from callcenter.simulator import endings
from callcenter.simulator.transport import SimulatorTransport
from conferences.models import CallLeg, Participant
from queues import services, supervision
from queues.errors import QueueError
from queues.models import Agent, Call, Offer, Queue
from tests.journeys import house as h
from tests.journeys.checkpoints import Worker, leaves_traces
from tests.journeys.clock import database_time
from tests.journeys.mirror import ours, truth
from webhooks import breaker, outbox
from webhooks.models import Command, WebhookEvent
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.signature import sign

AGENTS = ("anna", "ben", "mobile")
SUPERVISORS = ("sue", "tom")
CALLERS_AT_ONCE = 3
SWEEP_WITHIN_SECS = 4.0  # a second's tick, and what a standby needs to notice that its leader is gone
LEASE_SECS = 11  # and a tick
DEATHS_OF_A_JOB = 3  # of five attempts: what kills its worker every time is a poison, and set aside
QUIET = timedelta(seconds=30)  # the 20 s of sending again, and a lease
HEALED = timedelta(seconds=60)  # what was lost is found and made up for
AT_ONCE = ("I1", "I2", "I3", "I4", "I5", "I6", "I9", "I12", "I13", "I15")
WHEN_QUIET = ("I14",)  # "for more than 10 s": a command that Telnyx does not answer takes longer

REPLIES = ("api_5xx", "api_5xx_after_effect", "api_timeout", "api_timeout_after_effect", "api_429", "reset")
DISORDER = {"reorder": {"share": 0.5, "secs": 5}, "duplicate": 0.1, "duplicate_new_id": 0.1}
HABITS = ("answer", "answer", "answer", "no_answer", "busy", "decline", "unreachable", "voicemail")
DEATHS = st.integers(0, 14)
ANY = st.integers(0, 50)


@dataclass(slots=True)
class Letter:
    """One event on its way to us."""

    url: str
    body: bytes
    event_type: str


class FrailHouse(h.House):
    """Events wait in a bag, answers of Telnyx can be spoilt, and workers die."""

    def __enter__(self) -> "FrailHouse":
        super().__enter__()
        return self

    def __init__(self) -> None:
        self.bag: list[Letter] = []
        self.replies: deque[str] = deque()
        self.post_office: Mapping[str, Any] = {}
        self.worker = Worker()
        self.disturbed_at = h.STARTS_AT
        self.swept_at = h.STARTS_AT
        self.is_changed = True
        self._deaths: Counter[sweep.Job] = Counter()
        super().__init__()
        self.client.close()
        self.client = TelnyxClient(
            api_key=self.simulator.api.api_key or "", base_url="http://simulator/v2", transport=_SpoiltLine(self)
        )
        self.line = reconcile.Line(self.client, wait=lambda secs: None)

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        event_type = body.partition(b'"event_type":"')[2].partition(b'"')[0].decode()
        self.bag.append(Letter(url, body, event_type))
        return 200

    def deliver(self, letter: Letter) -> None:
        """As Telnyx delivers it, now, signed now."""
        headers = sign(letter.body, timestamp=str(int(self.now.timestamp())), key=self.simulator.key)
        assert super()._post(letter.url, letter.body, headers) == 200
        self.committed()

    def committed(self) -> None:
        """What was nudged by what has been committed since it was last asked."""
        hooks, connection.run_on_commit = connection.run_on_commit, []
        for _, hook, _ in hooks:
            hook()

    def nudged(self) -> list[sweep.Job]:
        return list(self._nudges)

    def forget(self, job: sweep.Job) -> None:
        self._nudges.pop(job, None)

    def run(self, job: sweep.Job, *, dies_at: int | None = None) -> None:
        """One job, by a worker who may die of it; what he nudged then is lost."""
        if dies_at is not None and self._deaths[job] < DEATHS_OF_A_JOB:
            self.worker = Worker(dies_at)
        with self.worker.works():
            super().run(job)
        if self.worker.died:
            self._deaths[job] += 1
            connection.run_on_commit = []
            self.disturbed()
            self.worker = Worker()
        elif dies_at is not None:
            self.worker = Worker()
        self.committed()

    def sweep(self, *, dies_at: int | None = None, victim: int = 0) -> None:
        """One tick of the sweeper. One of its jobs may die; the others do not mind."""
        self.swept_at = self.now
        jobs = sweep.due(self.now)
        if self.reconciles:
            jobs += [(f"reconcile.{what}", "") for what in reconcile.due(self.now)]
        for number, job in enumerate(jobs):
            self.run(job, dies_at=dies_at if number == victim % len(jobs) else None)

    def pass_time(self, secs: float) -> None:
        """The world goes on, and of us only the sweeper, as seldom as it can be."""
        while secs > 0:
            step = min(secs, 1.0)
            secs -= step
            if (self.now - self.swept_at).total_seconds() + step > SWEEP_WITHIN_SECS:
                self.sweep()
            self._tick(step)

    def serve(self, secs: float) -> None:
        """Everything is well, for so long."""
        self.rest()
        for _ in range(round(secs)):
            self._tick(1)
            self.sweep()
            self.rest()

    def _tick(self, secs: float) -> None:
        self.simulator.advance(secs)
        self._traveller.move_to(self.now)
        self.is_changed = True

    def rest(self) -> None:
        """Deliver in order, apply and send until nothing is left to do at this instant."""
        for _ in range(10_000):
            self.simulator.drain()
            letters, self.bag = self.bag, []
            for letter in letters:
                self.deliver(letter)
            jobs = self.jobs()
            for job in jobs:
                self.run(job)
            if not letters and not jobs and not self.nudged() and not self.bag:
                return
        raise AssertionError("the house never comes to rest")

    def disturbed(self) -> None:
        self.disturbed_at = self.now

    def has_changed(self) -> bool:
        """Have rows or the hour, since it was last asked?"""
        was, self.is_changed = self.is_changed, False
        return was

    def note(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        """Every statement of the example."""
        self.is_changed = self.is_changed or leaves_traces(sql)
        return execute(sql, params, many, context)

    @property
    def is_quiet(self) -> bool:
        return (
            not self.bag
            and not self.post_office
            and self.now - self.disturbed_at > (HEALED if self.reconciles else QUIET)
        )


class _SpoiltLine(SimulatorTransport):
    """The way to the simulator: a checkpoint before and after each request, and the replies that were chosen."""

    def __init__(self, house: FrailHouse) -> None:
        super().__init__(house.simulator)
        self._house = house

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        house = self._house
        house.worker.checkpoint()
        if house.replies:
            house.disturbed()
            self.simulator.faults.replace({**house.post_office, house.replies.popleft(): 1.0})
        try:
            answer = super().handle_request(request)
        finally:
            self.simulator.faults.replace(house.post_office)
        house.worker.checkpoint()
        return answer


Deed = Callable[[Call, supervision.Request], object]


def _hang_up_the_agent(call: Call, request: supervision.Request) -> None:
    seat = Participant.objects.present().filter(conference__call_id=call.pk, leg__role="agent").first()
    if seat is not None:
        supervision.remove_participant(call.pk, seat.leg_id, request)


def _everyone(verb: Callable[..., object]) -> Deed:
    return lambda call, request: verb(call.pk, request, everyone=True)


def _plainly(verb: Callable[..., object], *words: Any, **named: Any) -> Deed:
    return lambda call, request: verb(call.pk, *words, request, **named)


DEEDS: Mapping[str, Deed] = {
    "monitor": _plainly(supervision.supervise, "monitor"),
    "whisper": _plainly(supervision.supervise, "whisper"),
    "barge": _plainly(supervision.supervise, "barge"),
    "take over": _plainly(supervision.take_over),
    "stop": _plainly(supervision.stop_supervising),
    "hold": _everyone(supervision.hold),
    "unhold": _everyone(supervision.unhold),
    "mute": _everyone(supervision.mute),
    "unmute": _everyone(supervision.unmute),
    "record": _plainly(supervision.record_start),
    "pause": _plainly(supervision.record_pause),
    "resume": _plainly(supervision.record_resume),
    "requeue": _plainly(supervision.leave, then="requeue"),
    "leave": _plainly(supervision.leave, then="hangup"),
    "leave the queue": _plainly(supervision.leave_queue, then="speak_and_hangup"),
    "move in the queue": _plainly(supervision.leave_queue, then="requeue"),
    "conference": _plainly(supervision.create_conference),
    "remove the agent": _hang_up_the_agent,
    "end": _plainly(supervision.end_conference),
}
AGENT_DEEDS: Mapping[str, Callable[[Agent, FrailHouse], object]] = {
    "login": lambda agent, house: services.log_in(agent.pk, now=house.now, ready=True),
    "ready": lambda agent, house: services.go_ready(agent.pk, now=house.now),
    "pause": lambda agent, house: services.go_not_ready(agent.pk, "break", now=house.now),
    "logout": lambda agent, house: services.log_out(agent.pk, now=house.now),
    "end wrap-up": lambda agent, house: services.end_wrap_up(agent.pk, now=house.now),
}


def furnish() -> None:
    """What every example begins with."""
    support = h.queue(ring_secs=8, max_wait_secs=120, closing_text="Bye.")
    for name in AGENTS:
        h.agent(name, support, **({"address": "+447700900100"} if name == "mobile" else {}))
    for name in SUPERVISORS:
        h.supervisor(name)


@contextmanager
def example() -> Iterator[FrailHouse]:
    """A house whose rows are taken back, and whose ids and instants are the same every time."""
    ids = mock.patch("uuid.os.urandom", random.Random("ids").randbytes)
    breaker._Copy.seen = None  # of the example before
    cache.delete(breaker.KEY)
    with transaction.atomic(), ids, database_time(), FrailHouse() as house:
        try:
            with connection.execute_wrapper(house.note):
                yield house
        finally:
            transaction.set_rollback(True)


class CallCenter(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._effects: Counter[tuple[str, ...]] = Counter()
        self._commands_seen = 0
        self._stack = ExitStack()
        self.house = self._stack.enter_context(example())

    @initialize(
        strategy=st.sampled_from(["longest_idle", "ring_all"]),
        wrap_up=st.sampled_from([0, 5]),
        record=st.sampled_from(["always", "on_demand"]),
        greeting=st.sampled_from(["", "Welcome."]),
        loses=st.sampled_from([False] * 7 + [True]),
        post_office=st.sampled_from([{}, DISORDER]),
    )
    def opens(
        self, strategy: str, wrap_up: int, record: str, greeting: str, loses: bool, post_office: Mapping[str, Any]
    ) -> None:
        """With ``loses`` events may never come, and the house is compared with the world, which costs most."""
        self.house.reconciles = loses
        self.house.post_office = post_office
        self.house.simulator.faults.replace(post_office)
        Queue.objects.update(strategy=strategy, wrap_up_secs=wrap_up, record=record, greeting_text=greeting)

    # people ------------------------------------------------------------------------------------------------

    @rule(patience=st.sampled_from([None, 15, 40]), talk=st.sampled_from([None, 5, 30]))
    def caller_in(self, patience: int | None, talk: int | None) -> None:
        world = self.house.simulator.world
        if sum(1 for leg in world.legs.values() if leg.is_live and leg.direction == "incoming") < CALLERS_AT_ONCE:
            words: dict[str, Any] = {"from": f"+44770090{len(world.legs):04}", "to": h.NUMBER}
            self.house.sim("POST", "calls", words | {"patience_secs": patience, "talk_secs": talk})
            self.house.simulator.drain()

    @rule(which=ANY, how=st.sampled_from(["hangup", "hangup", "drop", "hold", "unhold", "talk"]))
    def somebody_at_the_far_end(self, which: int, how: str) -> None:
        """Whoever is on the line; we hear of it later, and Telnyx refuses meanwhile what we ask of a leg that ended."""
        world = self.house.simulator.world
        if not (legs := [leg for leg in world.legs.values() if leg.is_live]):
            return
        leg = legs[which % len(legs)]
        if how == "drop":
            with world.step():
                endings.hang_up(world, leg, "unspecified")
        elif how == "hangup" or leg.is_answered:
            words = {"secs": 1} if how == "talk" else None
            self.house.sim("POST", f"calls/{leg.call_control_id}/{how}", words)
        self.house.simulator.drain()

    @rule(name=st.sampled_from(AGENTS), deed=st.sampled_from(sorted(AGENT_DEEDS)))
    def agent_action(self, name: str, deed: str) -> None:
        with suppress(QueueError):
            AGENT_DEEDS[deed](Agent.objects.get(name=name), self.house)
        self.house.committed()

    @rule(name=st.sampled_from(AGENTS), habit=st.sampled_from(HABITS), after=st.sampled_from([0.5, 2, 6]))
    def agent_phone(self, name: str, habit: str, after: float) -> None:
        self.house.phone(Agent.objects.get(name=name).address, on_ring=habit, after_secs=after)

    @rule(
        name=st.sampled_from(SUPERVISORS),
        deed=st.sampled_from(sorted(DEEDS)),
        which=ANY,
        other=st.none() | st.sampled_from(sorted(DEEDS)),
    )
    def supervisor_action(self, name: str, deed: str, which: int, other: str | None) -> None:
        """One of them, or both of them at once."""
        if not (calls := list(Call.objects.filter(ended_at=None).order_by("arrived_at", "pk"))):
            return
        call = calls[which % len(calls)]
        second = next(each for each in SUPERVISORS if each != name)
        for who, what in ((name, deed), (second, other)):
            if what is not None:
                with suppress(QueueError):
                    DEEDS[what](call, h.request(User.objects.get(username=who), self.house))
                self.house.committed()

    # events ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.house.bag)
    @rule(which=st.lists(ANY, min_size=1, max_size=6), twice=st.booleans())
    def deliver(self, which: list[int], twice: bool) -> None:
        """Some that are pending, in any order, perhaps each a second time."""
        for index in which:
            if self.house.bag:
                letter = self.house.bag.pop(index % len(self.house.bag))
                self.house.disturbed()
                self.house.deliver(letter)
                if twice:
                    self.house.deliver(letter)

    @precondition(lambda self: self.house.reconciles and self.house.bag)
    @rule(which=ANY)
    def drop(self, which: int) -> None:
        self.house.bag.pop(which % len(self.house.bag))
        self.house.disturbed()

    # our own processes -------------------------------------------------------------------------------------

    @precondition(lambda self: self.house.nudged())
    @rule(which=ANY, dies_at=st.none() | DEATHS)
    def run_a_nudged_job(self, which: int, dies_at: int | None) -> None:
        nudged = self.house.nudged()
        job = nudged[which % len(nudged)]
        self.house.forget(job)
        self.house.run(job, dies_at=dies_at)

    @precondition(lambda self: self.house.nudged())
    @rule()
    def run_all_that_is_nudged(self) -> None:
        for job in self.house.nudged():
            self.house.forget(job)
            self.house.run(job)

    @rule(dies_at=st.none() | DEATHS, victim=ANY)
    def run_sweeper(self, dies_at: int | None, victim: int) -> None:
        self.house.sweep(dies_at=dies_at, victim=victim)

    @precondition(lambda self: self.house.reconciles)
    @rule(dies_at=st.none() | DEATHS, what=st.sampled_from(["full", "legs", "look"]))
    def reconcile(self, dies_at: int | None, what: str) -> None:
        self.house.run((f"reconcile.{what}", ""), dies_at=dies_at)

    @rule()
    def flush_redis(self) -> None:
        self.house.jobs()

    @rule(kind=st.sampled_from(REPLIES), times=st.sampled_from([1, 1, 2, 10]))
    def api_reply(self, kind: str, times: int) -> None:
        self.house.replies.extend([kind] * times)

    # time --------------------------------------------------------------------------------------------------

    @rule(secs=st.sampled_from([0.25, 1, 3, 6]))
    def tick(self, secs: float) -> None:
        self.house.pass_time(secs)

    @rule(secs=st.sampled_from([1, 2, 4]))
    def all_is_well(self, secs: int) -> None:
        self.house.serve(secs)

    # what must be so ---------------------------------------------------------------------------------------

    @invariant()
    def in_order(self) -> None:
        if self.house.has_changed():
            self._nothing_is_violated()
            self._nothing_has_happened_twice()

    def _nothing_is_violated(self) -> None:
        names = AT_ONCE + (WHEN_QUIET if self.house.is_quiet else ())
        found = [f"{name} {line}" for name in names for line in invariants.INVARIANTS[name](self.house.now)]
        assert not found, found

    def _nothing_has_happened_twice(self) -> None:
        """In Telnyx's own log: what a person would notice."""
        log = self.house.simulator.api.commands
        for number in range(self._commands_seen, len(log)):
            command = log[number]
            if command["effect"] == "done" and (deed := intent(command)) is not None:
                self._effects[deed] += 1
                assert self._effects[deed] == 1, f"done twice: {deed}"
        self._commands_seen = len(log)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._end_well()
        finally:
            self._stack.close()

    def _end_well(self) -> None:
        """The faults stop: within a minute the mirror is true; everybody hangs up: nothing is left behind."""
        house = self.house
        house.replies.clear()
        house.post_office = {}
        house.simulator.faults.replace({})
        for name in AGENTS:
            house.phone(Agent.objects.get(name=name).address)
        house.rest()
        house.serve(LEASE_SECS)
        for _ in range(int(HEALED.total_seconds())):
            if not differences(house):
                break
            house.serve(1)
        assert not (parted := differences(house)), parted
        self._nothing_is_violated()
        self._nothing_has_happened_twice()
        assert not (left := list(metrics.orphan_legs(before=house.now))), left
        world = house.simulator.world
        for leg in list(world.legs.values()):
            if leg.is_live and leg.direction == "incoming":
                house.sim("POST", f"calls/{leg.call_control_id}/hangup")
        house.rest()
        house.serve(5)
        assert not (up := [leg.to for leg in world.legs.values() if leg.is_live]), up
        house.serve(7)  # wrap-up
        looked_for = Command.objects.filter(state=Command.State.UNKNOWN)  # unwanted, it may still take effect for 20 s
        for _ in range(int(outbox.RESEND_FOR.total_seconds())):
            if not looked_for.exists():
                break
            house.serve(1)
        for kept in (
            CallLeg.objects.live(),
            Call.objects.filter(ended_at=None),
            Offer.objects.live(),
            Agent.objects.filter(state__in=["reserved", "busy", "wrap_up"]),
            Command.objects.filter(applied_at=None).exclude(state=Command.State.CANCELLED),
            WebhookEvent.objects.exclude(status__in=["done", "ignored"]),
        ):
            assert not (rows := list(kept.values())), rows
        house.check()


def differences(house: h.House) -> list[str]:
    """Where our rows and the truth part, one line each.

    Where events may be lost, nobody can tell us of a leg that was gone before anything was heard of it.
    """
    said, true = ours(), truth(house.ask("GET", "state"))
    for ident in true["legs"].keys() - said["legs"].keys():
        leg = house.simulator.world.legs[ident]
        if WebhookEvent.objects.filter(call_control_id=ident).exists():
            continue
        if house.reconciles and leg.ended_at is not None and leg.ended_at - leg.started_at < HEALED.total_seconds():
            del true["legs"][ident]
    return [
        f"{kind} {ident}: {said[kind].get(ident)} is {true[kind].get(ident)}"
        for kind in said
        for ident in sorted({*said[kind], *true[kind]})
        if said[kind].get(ident) != true[kind].get(ident)
    ]


def intent(command: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What must not happen twice, whatever its command_id: a phone that rings, a sentence that is said."""
    body, leg = command["body"], str(command.get("call_control_id"))
    match command["operation"]:
        case "calls.dial":
            return "dial", body["client_state"]
        case "calls.answer":
            return "answer", leg
        case "calls.speak":
            return "speak", leg, body["payload"]
        case "calls.gather_using_speak":
            return "gather", leg
        case "conferences.create":
            return "conference", body["name"]
    return None
