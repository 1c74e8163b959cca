"""One routing decision on Postgres: what it costs, and that it costs the same however many wait or are free.

1 000 to 100 000 waiting calls, 100 to 10 000 agents of 40 kinds in 20 queues, three priorities, three sets of required
skills. Three shapes: an agent is freed (all others are busy); a call arrives (half of the agents are free and may take
it, but none of those who wait already); an agent is freed who may take nobody's call. A decision is gathering and
pass, in turn with a bare commit of one row, and then what it takes to make its offer. Buffers are those that
``EXPLAIN (ANALYZE, BUFFERS)`` counts over the decision's own statements.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import django

from bench.database import own_database

ROOT = Path(__file__).resolve().parent.parent
CALLS, AGENTS = (1_000, 10_000, 100_000), (100, 1_000, 10_000)
QUEUES, KINDS = 20, 40
SKILL_SETS = ({"sales": 1}, {"billing": 2}, {"sales": 1, "spanish": 3})
TIMES, TIMES_OF_OTHERS = 200, 30
SHAPES = ("agent freed", "call arrives", "matches nobody")
BY_HEADS = ("longest_idle", "linear", "promise")
BATCH = 5_000
MOST_GROWTH, MOST_COMMITS, MOST_PASS_MS = 1.5, 5.0, 1.0  # wanted


def run() -> str:
    with own_database() as url:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "REDIS_URL": "redis://127.0.0.1:6379/0",  # nothing is sent
            "DJANGO_SETTINGS_MODULE": "callcenter.settings",
            "SECRET_KEY": "bench",
        }
        command = [sys.executable, "-m", "bench.routing"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return "as above"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Milliseconds, and database buffers."""

    p50: float
    p99: float
    commit_p50: float
    pass_p99: float
    buffers: int
    statements: int
    assigned: int

    @property
    def commits(self) -> float:
        """How many bare commits, made in turn with them, a decision is worth."""
        return self.p50 / self.commit_p50


def measure() -> None:
    """In a process of its own, on a database of its own."""
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    from queues.routing.strategies import STRATEGIES  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    stage = Stage()
    bare = _timed(stage.commit, TIMES)
    print(f"bare commit of one row: p50 {statistics.median(bare):.2f} ms, p99 {_p99(bare):.2f} ms")
    found: dict[tuple[str, str, int, int], Figures] = {}
    for calls in CALLS:
        stage.let_wait(calls)
        stage.nobody_works()
        for agents in AGENTS:
            stage.let_work(agents)
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
            corner = calls in (CALLS[0], CALLS[-1]) and agents in (AGENTS[0], AGENTS[-1])
            for strategy, shape in product(STRATEGIES, SHAPES):
                if corner or strategy == BY_HEADS[0]:
                    times = TIMES if strategy in BY_HEADS else TIMES_OF_OTHERS
                    figures = stage.decide(strategy, shape, times)
                    found[strategy, shape, calls, agents] = figures
                    print(_line((strategy, shape, calls, agents), figures), flush=True)
    for line in _verdicts(found):
        print(line)
    print(f"a sweep's pass over all {QUEUES} queues: {stage.sweep()}")
    print(f"offers made too: {stage.offer()}")


class Stage:
    """The rows of one center."""

    def __init__(self) -> None:
        from queues.models import Queue, Skill  # noqa: PLC0415

        names = {name for wanted in SKILL_SETS for name in wanted} | {"common"}
        self.skills = {name: Skill.objects.create(name=name) for name in sorted(names)}
        self.queues = [
            Queue.objects.create(name=f"queue {number}", hold_music_url="https://media.example.com/music.mp3")
            for number in range(QUEUES)
        ]
        self._waiting = self._working = 0

    def let_wait(self, calls: int) -> None:
        """So many in all, spread evenly over queues, priorities and sets of skills; a second after each other."""
        from django.utils import timezone  # noqa: PLC0415

        now = timezone.now()
        for start in range(self._waiting, calls, BATCH):
            numbers = range(start, min(start + BATCH, calls))
            self._wait((number, now - timedelta(seconds=calls - number + 60)) for number in numbers)
        self._waiting = calls

    def _wait(self, numbered: Any, skills: Any = None) -> Any:
        from conferences.models import CallLeg, Role  # noqa: PLC0415
        from queues.models import Call, QueueEntry  # noqa: PLC0415

        numbered = list(numbered)
        legs = CallLeg.objects.bulk_create(
            CallLeg(
                call_control_id=f"leg-{number}",
                call_leg_id=f"leg-{number}",
                call_session_id=f"{number}",
                connection_id="1",
                initiated_at=at,
                answered_at=at,
                role=Role.CUSTOMER,
            )
            for number, at in numbered
        )
        calls = Call.objects.bulk_create(
            Call(
                leg=leg,
                queue=self.queues[number % QUEUES],
                from_number="+447700900123",
                to_number="+442071838750",
                state="queued",
                arrived_at=at,
                enqueued_at=at,
            )
            for leg, (number, at) in zip(legs, numbered, strict=True)
        )
        return QueueEntry.objects.bulk_create(
            QueueEntry(
                call=call,
                queue=call.queue,
                number=1,
                entered_at=at,
                rank_at=at,
                priority=number // QUEUES % 3,
                required_skills=skills or SKILL_SETS[number // QUEUES // 3 % len(SKILL_SETS)],
            )
            for call, (number, at) in zip(calls, numbered, strict=True)
        )

    def nobody_works(self) -> None:
        from django.db import connection  # noqa: PLC0415

        with connection.cursor() as cursor:
            for table in ("queues_queuemembership", "queues_agentskill", "queues_agent"):
                cursor.execute(f"DELETE FROM {table}")
        self._working = 0

    def let_work(self, agents: int) -> None:
        """Of each kind the same number: a main queue, a second and a third choice. The even ones serve everybody
        who waits, the odd ones nobody of them."""
        from django.utils import timezone  # noqa: PLC0415

        from queues.models import Agent, AgentSkill, QueueMembership  # noqa: PLC0415

        now = timezone.now()
        for start in range(self._working, agents, BATCH):
            numbers = range(start, min(start + BATCH, agents))
            made = Agent.objects.bulk_create(
                Agent(
                    name=f"agent {number}",
                    address="sip:agent@example.com",
                    state="not_ready",
                    available_since=now - timedelta(seconds=agents - number),
                    profile=f"kind {number % KINDS}",
                )
                for number in numbers
            )
            numbered = list(zip(numbers, made, strict=True))
            QueueMembership.objects.bulk_create(
                QueueMembership(
                    agent=agent, queue=self.queues[(number + step) % QUEUES], penalty=step, position=number // KINDS
                )
                for number, agent in numbered
                for step in range(3)
            )
            able = {name: 3 for name in self.skills if name != "common"}
            AgentSkill.objects.bulk_create(
                AgentSkill(agent=agent, skill=self.skills[name], level=level)
                for number, agent in numbered
                for name, level in (able if number // QUEUES % 2 else {"common": 1}).items()
            )
        self._working = agents

    def commit(self) -> None:
        """A bare one, of one row."""
        from queues.models import Queue  # noqa: PLC0415

        Queue.objects.filter(pk=self.queues[0].pk).update(current_size=1)

    def decide(self, strategy: str, shape: str, times: int) -> Figures:
        from queues.models import Queue  # noqa: PLC0415
        from queues.routing import one_pass  # noqa: PLC0415

        scoring = "promise" if strategy == "promise" else "strict_priority"
        Queue.objects.update(strategy=strategy, scoring=scoring, beta="0.25", promise_secs=20)
        with self._as_in(shape) as decide:
            gathered, result = decide()
            asked = _statements(decide)
            took, commits = _timed_in_turn(decide, self.commit, times)
            return Figures(
                p50=statistics.median(took),
                p99=_p99(took),
                commit_p50=statistics.median(commits),
                pass_p99=_p99(_timed(lambda: one_pass.assign(gathered.state), 5 * times)),
                buffers=sum(map(_buffers, asked)),
                statements=len(asked),
                assigned=len(result.assignments),
            )

    @contextmanager
    def _as_in(self, shape: str) -> Iterator[Callable[[], Any]]:
        """Set the stage for a shape; yields what decides once."""
        from django.db import connection  # noqa: PLC0415
        from django.utils import timezone  # noqa: PLC0415

        from conferences.models import CallLeg  # noqa: PLC0415
        from queues import engine  # noqa: PLC0415
        from queues.models import Agent  # noqa: PLC0415

        now = timezone.now()
        able, unable = Agent.objects.filter(name="agent 21"), Agent.objects.filter(name="agent 1")
        arrived = []
        match shape:
            case "agent freed":
                able.update(state="available", available_since=now)
            case "matches nobody":
                unable.update(state="available", available_since=now)
            case _:
                Agent.objects.filter(agent_skills__skill__name="common").update(state="available")
                arrived = self._wait([(10_000_000, now)], skills={"common": 1})

        def decide() -> Any:
            agent = able if shape == "agent freed" else unable
            start = engine.Start(queue_id=arrived[0].queue_id) if arrived else engine.Start(agent_id=agent_ids[agent])
            return engine.decide(start, now=timezone.now())

        agent_ids = {each: each.get().pk for each in (able, unable)}
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE queues_agent")
        try:
            yield decide
        finally:
            Agent.objects.exclude(state="not_ready").update(state="not_ready")
            for entry in arrived:
                entry.call.delete()
            CallLeg.objects.filter(call_control_id="leg-10000000").delete()

    def sweep(self, times: int = 50) -> str:
        """Nobody free, then half of the agents, who may take nobody's call."""
        from django.utils import timezone  # noqa: PLC0415

        from queues import engine  # noqa: PLC0415
        from queues.models import Agent  # noqa: PLC0415

        nobody = _timed(lambda: engine.decide(engine.Start(), now=timezone.now()), times)
        Agent.objects.filter(agent_skills__skill__name="common").update(state="available")
        half = _timed(lambda: engine.decide(engine.Start(), now=timezone.now()), times)
        Agent.objects.update(state="not_ready")
        return f"p50 {statistics.median(nobody):.1f} ms with nobody free, {statistics.median(half):.1f} ms with half"

    def offer(self, times: int = 50) -> str:
        """The whole of it, as a worker does: decide, claim, write offer, reasons and dial, commit."""
        from django.utils import timezone  # noqa: PLC0415

        from queues import engine  # noqa: PLC0415
        from queues.models import Agent, Queue  # noqa: PLC0415
        from webhooks import nudge  # noqa: PLC0415

        nudge.set_sink(lambda *_: None)
        Queue.objects.update(strategy="longest_idle", scoring="strict_priority")
        free = Agent.objects.filter(agent_skills__skill__name="spanish").order_by("pk")[:times]
        took = []
        for agent in free:
            Agent.objects.filter(pk=agent.pk).update(state="available", available_since=timezone.now())
            began = time.perf_counter()
            made = engine.route_for_agent(agent.pk, now=timezone.now())
            took.append((time.perf_counter() - began) * 1000)
            if made != 1:
                raise RuntimeError(f"{made} offers for one free agent")
        return f"p50 {statistics.median(took):.1f} ms, p99 {_p99(took):.1f} ms"


def _statements(decide: Callable[[], Any]) -> list[tuple[str, Any]]:
    from django.db import connection  # noqa: PLC0415

    asked: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        decide()
    return asked


def _buffers(statement: tuple[str, Any]) -> int:
    from django.db import connection  # noqa: PLC0415

    sql, params = statement
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
        [[told]] = cursor.fetchall()
    plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _timed(work: Callable[[], object], times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return took


def _timed_in_turn(
    one: Callable[[], object], other: Callable[[], object], times: int
) -> tuple[list[float], list[float]]:
    """A machine that is slow for a while is so for both."""
    took = [_timed(one, 1) + _timed(other, 1) for _ in range(times)]
    return [first for first, _ in took], [second for _, second in took]


def _p99(took: list[float]) -> float:
    return sorted(took)[len(took) * 99 // 100]


def _line(place: tuple[str, str, int, int], seen: Figures) -> str:
    strategy, shape, calls, agents = place
    return (
        f"{strategy:15} {shape:15} {calls:7} calls {agents:6} agents: p50 {seen.p50:5.2f} ms ({seen.commits:4.1f} "
        f"commits), p99 {seen.p99:6.2f} ms, pass p99 {seen.pass_p99:5.2f} ms, {seen.statements:2} statements, "
        f"{seen.buffers:6} buffers, {seen.assigned} assigned"
    )


def _verdicts(found: dict[tuple[str, str, int, int], Figures]) -> Iterator[str]:
    """What is wanted, and by how much the worst corner misses it. The strategies that read every free agent of the
    kinds wanted are not held to what that costs."""
    few, many = CALLS[0], CALLS[-1]
    small, large = AGENTS[0], AGENTS[-1]
    for strategy in dict.fromkeys(strategy for strategy, *_ in found):
        for shape in SHAPES:
            at = {(c, a): found[strategy, shape, c, a] for c in (few, many) for a in (small, large)}
            by_calls = max(at[many, agents].buffers / at[few, agents].buffers for agents in (small, large))
            by_agents = max(at[calls, large].buffers / at[calls, small].buffers for calls in (few, many))
            commits = max(figures.commits for figures in at.values())
            pass_p99 = max(figures.pass_p99 for figures in at.values())
            missed = [
                name
                for name, value, wanted in (
                    ("buffers by calls", by_calls, MOST_GROWTH),
                    ("buffers by agents", by_agents, MOST_GROWTH),
                    ("p50", commits, MOST_COMMITS),
                    ("pass", pass_p99, MOST_PASS_MS),
                )
                if value > wanted and (strategy in BY_HEADS or name == "buffers by calls")
            ]
            yield (
                f"{strategy:15} {shape:15} buffers x{by_calls:4.2f} from {few} to {many} calls, x{by_agents:6.2f} from "
                f"{small} to {large} agents; p50 at most {commits:4.1f} commits, pass p99 at most {pass_p99:5.2f} ms"
                + (f"; MISSED: {', '.join(missed)}" if missed else "")
            )


if __name__ == "__main__":
    django.setup()
    measure()
