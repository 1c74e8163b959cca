"""The heads of the lines decide as the whole state would: proven against it on random databases."""

import contextlib
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from conferences.models import CallLeg, Role
from queues.engine import Start, decide, fronts, roll
from queues.engine import gather as gathering
from queues.engine.states import queue_state, secs, waiting_call
from queues.models import Agent, AgentSkill, Call, Offer, Queue, QueueEntry, QueueMembership, Skill
from queues.models.agent import note_profile
from queues.routing import one_pass
from queues.routing.snapshot import AgentState, Membership, State
from queues.routing.strategies import STRATEGIES
from tests.queues import scene

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 2, 10, 0, 0, 400_000, tzinfo=UTC)
SKILLS = ("billing", "spanish")


class World:
    """A random center: some queues, agents of a few kinds, calls of a few lines; ties are frequent.

    Every other one is narrow: one or two long lines, many of whose calls were declined by those who are free, or
    prefer somebody who is not.
    """

    def __init__(self, seed: int, *, agents: int = 24, calls: int = 40) -> None:
        self.random = random.Random(seed)
        self.is_narrow = seed % 2 == 0
        self.span = self.random.choice([0, 6, 60])  # seconds
        self.sticks, self.works = self.random.choice([(0, 0.9), (0.1, 0.9), (0.5, 0.7), (0.8, 0.3)])
        self.declines = 0.3 if not self.is_narrow else self.random.choice([0.8, 0.8, 0.1])
        self.skills = {name: Skill.objects.create(name=name) for name in SKILLS}
        self.queues = [self._queue(number) for number in range(self.random.randint(1, 2 if self.is_narrow else 4))]
        self.agents = list(self._agents(self.random.randint(0, agents)))
        for number in range(self.random.choice([2, 4, calls // 2, calls])):
            self._call(number)

    def _queue(self, number: int) -> Queue:
        pick = self.random
        strategy = pick.choice([*STRATEGIES, "longest_idle", "linear", "promise"])
        scoring = "promise" if strategy == "promise" else pick.choice(["strict_priority", "aged", "promise"])
        rules = [
            {"after": after, pick.choice(["min_penalty", "max_penalty", "raise_penalty"]): pick.choice([0, 1, 2, None])}
            for after in pick.sample([10, 30, 60], pick.choice([0, 0, 1, 2]))
        ]
        rings = [
            {"after": after, "drop": [], "levels": {pick.choice(SKILLS): 1}}
            if pick.random() < 0.5
            else {"after": after, "drop": [pick.choice(SKILLS)], "levels": {}}
            for after in pick.sample([20, 40], pick.choice([0, 0, 1, 2]))
        ]
        return Queue.objects.create(
            name=f"queue {number}",
            hold_music_url="https://media.example.com/music.mp3",
            strategy=strategy,
            scoring=scoring,
            weight=pick.choice([0, 0, 1]),
            idle_basis=pick.choice(["available_since", "available_since", "last_handled_end"]),
            penalty_rules=rules,
            rings=rings,
            max_penalty=pick.choice([None, None, 1]),
            penalty_members_limit=pick.choice([0, 0, 0, 3]),
            last_offered_position=pick.choice([None, 3]),
            sticky=pick.choice(
                [None, None, {"hold_seconds": 0}, {"hold_seconds": 30}, {"hold_seconds": 30, "max_age": 40}]
            ),
            promise_secs=pick.choice([5, 20, 40]),
            beta=pick.choice([1, "0.25", "0.05"]),
        )

    def _agents(self, count: int) -> Iterator[Agent]:
        pick = self.random
        kinds = [self._terms() for _ in range(pick.randint(1, 2 if self.is_narrow else 4))]
        for number in range(count):
            serves, holds = pick.choice(kinds)
            agent = Agent.objects.create(
                name=f"agent {number}",
                address="+447700900456",
                state="available" if pick.random() < self.works else pick.choice(["not_ready", "wrap_up"]),
                available_since=self._before(self.span) if pick.random() < 0.95 else None,
                login_at=self._before(20),
                last_handled_end=pick.choice([None, self._before(20)]),
                ready_at=pick.choice(
                    [None, None, None, NOW + timedelta(seconds=pick.choice([-1, -0.3, -0.1, 0.3, 5]))]
                ),
            )
            QueueMembership.objects.bulk_create(
                QueueMembership(agent=agent, queue=queue, position=pick.randint(0, 6), **terms)
                for queue, terms in serves
            )
            AgentSkill.objects.bulk_create(
                AgentSkill(agent=agent, skill=self.skills[name], level=level) for name, level in holds
            )
            note_profile(agent.pk)
            yield agent

    def _terms(self) -> tuple[list[tuple[Queue, dict[str, Any]]], list[tuple[str, int]]]:
        pick = self.random
        serves = [
            (
                queue,
                {
                    "penalty": pick.choice([0, 0, 1, 2]),
                    "delay_secs": pick.choice([0, 0, 15]),
                    "queue_priority": pick.choice([1, 1, 2]),
                    "paused": pick.random() < 0.1,
                },
            )
            for queue in pick.sample(self.queues, pick.randint(1, len(self.queues)))
        ]
        return serves, [(name, pick.randint(1, 3)) for name in SKILLS if pick.random() < 0.5]

    def _call(self, number: int) -> None:
        pick = self.random
        queue, since = pick.choice(self.queues), self._before(self.span)
        leg = CallLeg.objects.create(
            call_control_id=f"leg-{number}", call_leg_id=f"leg-{number}", call_session_id=f"{number}",
            connection_id="1", initiated_at=since, role=Role.CUSTOMER,
        )  # fmt: skip
        call = Call.objects.create(leg=leg, queue=queue, from_number="+1", to_number="+2", arrived_at=since)
        ended = pick.random() < 0.2
        entry = QueueEntry.objects.create(
            call=call,
            queue=queue,
            number=1,
            entered_at=since,
            rank_at=since,
            priority=0 if self.is_narrow else pick.choice([0, 0, 0, 1]),
            required_skills={}
            if self.is_narrow
            else pick.choice([{}, {}, {"billing": 1}, {"billing": 2, "spanish": 1}]),
            state="ended" if ended else "waiting",
            preferred_agent=pick.choice(self.agents) if self.agents and pick.random() < self.sticks else None,
            preferred_agent_at=pick.choice([None, self._before(60)]),
        )
        if self.agents and pick.random() < self.declines:
            handled = {"state": "ended", "connected_at": since, "ended_at": since + timedelta(seconds=1)}
            missed = {"state": "declined", "ended_at": NOW - timedelta(seconds=pick.choice([1, 30, 59.5, 60, 61]))}
            for agent in pick.sample(self.agents, pick.choice([1, len(self.agents) // 2, len(self.agents) - 1])):
                words = handled if ended else missed
                Offer.objects.create(call=call, entry=entry, agent=agent, offered_at=since, **words)

    def _before(self, most: int) -> datetime:
        return NOW - timedelta(
            seconds=self.random.randint(0, most),
            microseconds=self.random.choice([0, 100_000, 600_000, 400_400, 400_600]),
        )


def whole_state() -> State:
    """Everybody who waits, every agent in whatever state, every queue; read by other means."""
    queues = [
        replace(queue_state(queue), member_count=queue.memberships.count() or None) for queue in Queue.objects.all()
    ]
    return State(
        now=secs(NOW),
        queues=tuple(queues),
        agents=tuple(roll.with_past([state_of(agent) for agent in Agent.objects.all()], queues, now=NOW)),
        calls=tuple(
            replace(waiting_call(entry, NOW), declined=declined(entry)) for entry in QueueEntry.objects.waiting()
        ),
    )


def state_of(agent: Agent) -> AgentState:
    return AgentState(
        id=str(agent.pk),
        status=agent.state,
        skills={held.skill.name: held.level for held in agent.agent_skills.all()},
        available_since=secs(agent.available_since or NOW),
        login_at=secs(agent.login_at) if agent.login_at else 0,
        last_handled_end=secs(agent.last_handled_end) if agent.last_handled_end else None,
        ready_at=math.ceil(agent.ready_at.timestamp()) if agent.ready_at else None,
        memberships={
            str(served.queue_id): Membership(
                penalty=served.penalty,
                position=served.position,
                delay=served.delay_secs,
                queue_priority=served.queue_priority,
                paused=served.paused,
            )
            for served in agent.memberships.all()
        },
    )


def declined(entry: QueueEntry) -> Mapping[str, int]:
    until: dict[str, int] = defaultdict(int)
    for offer in entry.call.offers.filter(state__in=["declined", "timed_out"]):
        assert offer.ended_at is not None
        ends = offer.ended_at + timedelta(seconds=60)
        until[str(offer.agent_id)] = secs(ends) + bool(ends.microsecond)
    return until


@pytest.mark.parametrize("seed", range(200))
def test_the_heads_decide_as_the_whole_state_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ALL_FREE", seed % 3 * 5)
    World(seed)
    expected = one_pass.assign(whole_state())
    gathered, result = decide(Start(), now=NOW)
    assert result.assignments == expected.assignments
    assert result.pointers == expected.pointers
    there = {call.id for call in gathered.state.calls}
    assert result.waiting == tuple(call for call in expected.waiting if call in there)


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_a_pass_from_one_queue_decides_all_that_has_to_do_with_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ALL_FREE", seed % 3 * 5)
    world = World(seed, agents=5)
    expected = one_pass.assign(whole_state())
    gathered, result = decide(Start(queue_id=world.queues[0].pk), now=NOW)
    reached = {queue.id for queue in gathered.state.queues}
    assert result.assignments == tuple(offer for offer in expected.assignments if offer.queue_id in reached)


def test_a_state_of_heads_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty free agents of one kind, three hundred callers: the few that matter are read."""
    monkeypatch.setattr(gathering, "ALL_FREE", 50)
    queue = Queue.objects.create(name="queue", hold_music_url="https://media.example.com/music.mp3")
    wanted = {"spanish": 1}
    queue_with_skill = {"queue": queue, "number": 1, "required_skills": wanted}
    Agent.objects.bulk_create(
        Agent(name=f"agent {number}", address="+447700900456", state="available", available_since=_ago(number))
        for number in range(60)
    )
    QueueMembership.objects.bulk_create(QueueMembership(agent=agent, queue=queue) for agent in Agent.objects.all())
    spanish = Skill.objects.create(name="spanish")
    for agent in Agent.objects.all():
        note_profile(agent.pk)
    able = Agent.objects.get(name="agent 7")
    AgentSkill.objects.create(agent=able, skill=spanish)
    note_profile(able.pk)
    CallLeg.objects.bulk_create(
        CallLeg(
            call_control_id=f"leg-{number}", call_leg_id=f"leg-{number}", call_session_id="1",
            connection_id="1", initiated_at=_ago(number), role=Role.CUSTOMER,
        )
        for number in range(200)
    )  # fmt: skip
    Call.objects.bulk_create(
        Call(leg=leg, queue=queue, from_number="+1", to_number="+2", arrived_at=leg.initiated_at)
        for leg in CallLeg.objects.all()
    )
    QueueEntry.objects.bulk_create(
        QueueEntry(call=call, entered_at=call.arrived_at, rank_at=call.arrived_at, **queue_with_skill)
        for call in Call.objects.all()
    )
    gathered, result = decide(Start(queue_id=queue.pk), now=NOW)
    assert [offer.agent_ids for offer in result.assignments] == [(str(able.pk),)]
    assert len(gathered.state.calls) == gathering.OF_A_LINE
    assert len(gathered.state.agents) == 2  # one of each kind
    assert not gathered.is_whole


def all_by_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "ALL_FREE", 0)


def test_who_is_ready_within_this_second_does_not_hide_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    all_by_heads(monkeypatch)
    line = scene.queue()
    cooling = scene.agent("anna", serves=line, available_since=_ago(100), ready_at=NOW - timedelta(seconds=0.1))
    ready = scene.agent("bert", serves=line, available_since=_ago(50))
    for agent in (cooling, ready):
        note_profile(agent.pk)
    scene.waiting(line)
    QueueEntry.objects.update(rank_at=_ago(30))
    _, result = decide(Start(), now=NOW)
    assert [offer.agent_ids for offer in result.assignments] == [(str(ready.pk),)]


def test_a_profile_out_of_date_hides_nobody_among_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    all_by_heads(monkeypatch)
    line = scene.queue()
    first, second = (scene.agent(name, serves=line, available_since=_ago(50)) for name in ("anna", "bert"))
    Agent.objects.update(profile="the same")
    QueueMembership.objects.filter(agent=first).update(paused=True)
    scene.waiting(line)
    QueueEntry.objects.update(rank_at=_ago(30))
    _, result = decide(Start(), now=NOW)
    assert [offer.agent_ids for offer in result.assignments] == [(str(second.pk),)]


def test_places_of_the_future_are_places_of_now() -> None:
    """Another clock's: they tie, and ties fall to the id."""
    line = scene.queue()
    scene.agent("anna", serves=line, available_since=NOW)
    for number in range(12):
        scene.waiting(line, name=f"caller {number}")
    for number, entry in enumerate(QueueEntry.objects.order_by("-pk")):
        QueueEntry.objects.filter(pk=entry.pk).update(rank_at=NOW + timedelta(seconds=number))
    _, result = decide(Start(), now=NOW)
    assert result.assignments == one_pass.assign(whole_state()).assignments


def in_line(line: Queue, count: int, **words: Any) -> list[str]:
    """So many callers, the first of them for twenty seconds, each for one less than the one before. Their stays."""
    stays = [scene.waiting(line, name=f"{line.name} {number}").entries.get() for number in range(count)]
    for number, stay in enumerate(stays):
        QueueEntry.objects.filter(pk=stay.pk).update(rank_at=_ago(20 - number), **words)
    return [str(stay.pk) for stay in stays]


def test_a_call_far_behind_finds_the_agent_it_prefers() -> None:
    """The promise's gate keeps him from those before it, but not from a call that prefers him."""
    promise = {"strategy": "promise", "scoring": "promise", "promise_secs": 60}
    sales, support = scene.queue("sales", **promise), scene.queue("support", sticky={"hold_seconds": 30}, **promise)
    helper = scene.agent("anna", serves=sales)
    QueueMembership.objects.create(agent=helper, queue=support, penalty=1)
    *_, last = in_line(support, 9)
    QueueEntry.objects.filter(pk=last).update(preferred_agent=helper)
    _, result = decide(Start(), now=NOW)
    assert [(offer.call_id, offer.agent_ids) for offer in result.assignments] == [(last, (str(helper.pk),))]


@pytest.mark.parametrize(("hold_seconds", "served"), [(60, 8), (0, 0)])
def test_those_who_wait_for_their_agent_do_not_hide_those_behind_them(hold_seconds: int, served: int) -> None:
    line = scene.queue(sticky={"hold_seconds": hold_seconds})
    theirs, free = scene.agent("anna", serves=line, state="wrap_up"), scene.agent("bert", serves=line)
    stays = in_line(line, 9, preferred_agent=theirs)
    QueueEntry.objects.filter(pk=stays[-1]).update(preferred_agent=None)
    gathered, result = decide(Start(), now=NOW)
    [offer] = result.assignments
    assert (offer.call_id, offer.agent_ids) == (stays[served], (str(free.pk),))
    assert len(gathered.state.calls) == (9 if hold_seconds else gathering.OF_A_LINE)


@pytest.mark.parametrize("by_heads", [False, True])
def test_a_freed_agent_may_let_a_colleague_help_elsewhere(by_heads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a third main agent there is plenty in sales, so one of them may take support's call before its time."""
    if by_heads:
        all_by_heads(monkeypatch)
    promise = {"strategy": "promise", "scoring": "promise", "promise_secs": 60}
    sales, support = scene.queue("sales", **promise), scene.queue("support", **promise)
    helper, _, freed = (scene.agent(name, serves=sales, available_since=NOW) for name in ("anna", "bert", "cleo"))
    if by_heads:
        scene.agent("dora", serves=sales, available_since=NOW)
    QueueMembership.objects.create(agent=helper, queue=support, penalty=1)
    for agent in Agent.objects.all():
        note_profile(agent.pk)
    scene.waiting(support)
    QueueEntry.objects.update(rank_at=_ago(5))
    _, result = decide(Start(agent_id=freed.pk), now=NOW)
    assert [offer.agent_ids for offer in result.assignments] == [(str(helper.pk),)]


def test_an_agent_behind_the_heads_begins_with_the_queues_he_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    all_by_heads(monkeypatch)
    line = scene.queue()
    agents = [scene.agent(f"agent {number}", serves=line, available_since=_ago(90 - number)) for number in range(5)]
    Agent.objects.update(profile="the same")
    scene.waiting(line)
    QueueEntry.objects.update(rank_at=_ago(30))
    gathered, result = decide(Start(agent_id=agents[-1].pk), now=NOW)
    assert [offer.agent_ids for offer in result.assignments] == [(str(agents[0].pk),)]
    assert not gathered.is_whole


def _ago(seconds: int) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_a_call_that_comes_back_declined_meanwhile_is_not_offered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is read after the agents are: who declined it then is told with the line."""
    line = scene.queue()
    anna = scene.agent("anna", serves=line)
    call = scene.waiting(line)
    QueueEntry.objects.update(rank_at=_ago(30), state="offering")
    read = fronts.read

    def meanwhile(*words: Any, **named: Any) -> Any:
        Offer.objects.create(
            call=call, entry=call.entries.get(), agent=anna, offered_at=_ago(20), state="declined", ended_at=_ago(10)
        )
        QueueEntry.objects.update(state="waiting")
        return read(*words, **named)

    monkeypatch.setattr(fronts, "read", meanwhile)
    gathered, result = decide(Start(queue_id=line.pk), now=NOW)
    assert len(gathered.state.calls) == 1
    assert not result.assignments


def test_only_calls_that_an_agent_may_have_are_read_because_they_prefer_him() -> None:
    """He serves another queue, or is paused in this one, or it keeps its calls for nobody."""
    sticky = {"sticky": {"hold_seconds": 30}}
    others, paused, plain = scene.queue("others", **sticky), scene.queue("paused", **sticky), scene.queue("plain")
    anna = scene.agent("anna")
    QueueMembership.objects.create(agent=anna, queue=paused, paused=True)
    QueueMembership.objects.create(agent=anna, queue=plain, delay_secs=60)
    for line in (others, paused, plain):
        in_line(line, 4, preferred_agent=anna)
    gathered, _ = decide(Start(), now=NOW)
    assert len(gathered.state.calls) == 3  # of each line the first


def test_many_who_all_cool_down_are_not_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    all_by_heads(monkeypatch)
    line = scene.queue()
    scene.agent("anna", serves=line, ready_at=NOW + timedelta(seconds=9))
    in_line(line, 1)
    gathered, _ = decide(Start(), now=NOW)
    assert not gathered.is_whole


@pytest.mark.parametrize(("reached", "asked"), [(1, 2), (2, 2), (3, 3), (4, 4)])
def test_a_decision_takes_two_round_trips_and_one_more_for_each_further_step(reached: int, asked: int) -> None:
    """Whoever serves the queue it begins with serves the next one too; from there on each step is one more."""
    lines = [scene.queue(f"line {number}") for number in range(reached)]
    for line, next_line in pairwise([*lines, scene.queue("last")]):
        agent = scene.agent(f"of {line.name}", serves=line)
        if next_line in lines:
            QueueMembership.objects.create(agent=agent, queue=next_line)
    for line in lines:
        in_line(line, 1)
    statements: list[str] = []

    def note(execute: Any, sql: str, *words: Any) -> Any:
        statements.append(sql)
        return execute(sql, *words)

    with connection.execute_wrapper(note):
        decide(Start(queue_id=lines[0].pk), now=NOW)
    assert len(statements) == asked


@pytest.mark.postgres
def test_what_a_decision_asks_is_planned_once_and_outlives_a_rollback() -> None:
    line = scene.queue()
    scene.agent("anna", serves=line)
    in_line(line, 3)

    def prepared() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*), sum(custom_plans) FROM pg_prepared_statements")
            count, planned_again = cursor.fetchone()
        assert not planned_again
        return int(count)

    decide(Start(queue_id=line.pk), now=NOW)
    first = prepared()
    decide(Start(queue_id=line.pk), now=NOW)
    assert prepared() == first >= 2
    with contextlib.suppress(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    _, result = decide(Start(queue_id=line.pk), now=NOW)
    assert len(result.assignments) == 1


@pytest.mark.parametrize("seed", range(9000, 9040))
def test_an_agent_who_becomes_free_is_given_what_the_whole_state_gives_him(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that could be served has been, until somebody who was away is free too."""
    monkeypatch.setattr(gathering, "ALL_FREE", seed % 3 * 5)
    World(seed, agents=10, calls=16)
    served = one_pass.assign(whole_state()).assignments
    QueueEntry.objects.filter(pk__in=[offer.call_id for offer in served]).update(state="ended")
    taken = [agent_id for offer in served for agent_id in offer.agent_ids]
    Agent.objects.filter(pk__in=taken).update(state="not_ready")
    away = list(Agent.objects.exclude(state="available").order_by("name"))
    if not away:
        return
    freed = random.Random(seed).choice(away)
    Agent.objects.filter(pk=freed.pk).update(state="available", available_since=NOW, ready_at=None)
    expected = one_pass.assign(whole_state())
    _, result = decide(Start(agent_id=freed.pk), now=NOW)
    assert result.assignments == expected.assignments
