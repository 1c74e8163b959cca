"""The race of bench.contention: workers who take each other's nudges, and a watch that looks once a second.

A worker goes through the engine's own doors; between nudges it plays callers, agents and a supervisor (bench.crowd).
The watch is the sweeper too. A trigger keeps when each offer lived, by the database's clock: the product's instants are
read once a pass, too early to tell who was faster.
"""

import importlib
import multiprocessing
import queue
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models import Count
from django.utils import timezone

from bench import contention, crowd
from callcenter import invariants
from queues import engine, services
from queues.models import Agent, Offer, QueueEntry
from queues.models import Queue as Line
from queues.routing import one_pass
from webhooks import nudge

Tally = Counter[str]

SPARE_NUDGES = 16  # what does not fit is lost, and the next sweep finds the row
DEEDS_OF_ALL = 0.7  # of what a worker does: so that about as many passes are run as offers are made
LONGEST_SECS = 3 * 3600.0

LIVES = """
CREATE TABLE bench_lives (
    offer_id uuid PRIMARY KEY, agent_id uuid, call_id uuid, began timestamptz NOT NULL, ended timestamptz
);
CREATE FUNCTION bench_note_life() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO bench_lives VALUES (NEW.id, NEW.agent_id, NEW.call_id, clock_timestamp(), NULL);
    ELSIF NEW.state NOT IN ('pending', 'ringing', 'confirming', 'connecting', 'connected') THEN
        UPDATE bench_lives SET ended = clock_timestamp() WHERE offer_id = NEW.id AND ended IS NULL;
    ELSE
        UPDATE bench_lives SET ended = NULL WHERE offer_id = NEW.id AND ended IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER bench_note_life AFTER INSERT OR UPDATE ON queues_offer FOR EACH ROW EXECUTE FUNCTION bench_note_life();
"""
# Offers of one agent, or of one call (there is no ring_all here), that lived at the same time.
TOGETHER = """
SELECT count(*) FROM (
    SELECT began, max(coalesce(ended, 'infinity')) OVER (
        PARTITION BY {whose} ORDER BY began ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS ended_before FROM bench_lives
) AS lives WHERE began < ended_before
"""
# Both ways: whom an agent names is a live offer of his own, and who is named by a live offer names it too.
AT_ODDS = """
SELECT count(*) FROM (SELECT * FROM queues_agent WHERE live_offer_id IS NOT NULL) AS agent FULL JOIN (
    SELECT * FROM queues_offer WHERE state IN ('pending', 'ringing', 'confirming', 'connecting', 'connected')
) AS offer ON offer.id = agent.live_offer_id AND offer.agent_id = agent.id
WHERE offer.id IS NULL OR agent.id IS NULL
"""
# Not those about commands and legs: what lies with Telnyx is played here.
ASKED = (
    invariants.double_booked_agents,
    invariants.callers_offered_twice,
    invariants.forgotten_callers,
    invariants.live_offers_of_ended_calls,
    invariants.agents_at_odds_with_offers,
    invariants.overdue_offers,
    invariants.ends_before_beginnings,
)


def run_worker(nudges: "Queue[tuple[str, str]]", stop: Event, tallies: "Queue[Tally]") -> None:
    tally = Tally()
    jobs = _jobs(tally)
    nudge.set_sink(lambda task, ident: _nudge(nudges, task, ident) if task in jobs else None)
    race = multiprocessing.parent_process()
    while not stop.is_set() and race is not None and race.is_alive():
        try:
            job = _next(nudges)
            if job is None:
                _do_something()
            else:
                jobs[job[0]](job[1])
        except Exception:  # noqa: BLE001  whatever it is, it is wrong, and the race goes on
            tally["errors"] += 1
            traceback.print_exc()
    nudges.cancel_join_thread()
    tallies.put(tally)


def _nudge(nudges: "Queue[tuple[str, str]]", task: str, ident: str) -> None:
    with suppress(queue.Full):
        nudges.put_nowait((task, ident))


def _next(nudges: "Queue[tuple[str, str]]") -> tuple[str, str] | None:
    if random.random() >= DEEDS_OF_ALL:
        with suppress(queue.Empty):
            return nudges.get_nowait()
    return None


def _jobs(tally: Tally) -> Mapping[str, Callable[[str], None]]:
    """What a worker does with a nudge, by its name; passes are counted, and those that lost a claim."""
    passes = importlib.import_module("queues.engine.route")  # ``engine.route`` is the function
    claim = passes._offer

    def counted_claim(*args: Any, **words: Any) -> None:
        try:
            claim(*args, **words)
        except Exception:
            tally["claims lost"] += 1
            raise

    passes._offer = counted_claim

    def counted(run: Callable[..., int]) -> Callable[[str], None]:
        def job(ident: str) -> None:
            before = tally["claims lost"]
            run(*([UUID(ident)] if ident else []), now=timezone.now())
            tally["passes"] += 1
            tally["lost races"] += tally["claims lost"] > before

        return job

    return {
        "queues.route": counted(engine.route),
        "queues.agent_freed": counted(engine.route_for_agent),
        "queues.route_all": counted(engine.route_all),
    }


def _do_something() -> None:
    if QueueEntry.objects.waiting().count() < crowd.WAITING:
        crowd.rings_in()
        return
    dice = random.random()
    if dice < 0.15:
        crowd.takes_a_break()
    elif dice < 0.4:
        crowd.comes_back()
    elif dice < 0.42:
        crowd.gives_up()
    elif not crowd.somebody_acts():
        time.sleep(0.01)


# the watch ---------------------------------------------------------------------------------------------------


def play(*, workers: int, assignments: int) -> dict[str, Any]:
    """Furnish, let them race, stop, sweep once. Returns the figures."""
    call_command("migrate", verbosity=0, interactive=False)
    _sql(LIVES)
    nudge.set_sink(lambda task, ident: None)
    crowd.furnish()
    for _ in range(crowd.WAITING):
        crowd.rings_in()
    watch = Watch()
    tally, secs = watch.race(workers, assignments)
    now = timezone.now()
    stranded_before = len(dict(_stranded(now)))
    engine.route_all(now=now)
    watch.look(now)
    print(dict(tally), dict(_ends()), file=sys.stderr)
    return {
        "assignments": Offer.objects.count(),
        "secs": secs,
        "passes": tally["passes"],
        "lost races": tally["lost races"],
        "looks": watch.looks,
        "late": watch.late,
        "stranded before": stranded_before,
        "waiting": QueueEntry.objects.waiting().count(),
        "must be 0": {
            "double bookings": _sql(TOGETHER.format(whose="agent_id")),
            "calls offered twice": _sql(TOGETHER.format(whose="call_id")),
            "stranded": len(dict(_stranded(now))),
            "agents at odds": watch.at_odds,
            "invariants": watch.broken,
            "errors": tally["errors"],
            "workers lost": tally["workers lost"],
            "short of offers": max(0, assignments - Offer.objects.count()),
        },
    }


class Watch:
    """Sweeps and looks, and counts what it should not have seen."""

    def __init__(self) -> None:
        self.looks = self.late = self.at_odds = self.broken = 0
        self._idle: Mapping[str, datetime] = {}

    def race(self, workers: int, assignments: int) -> tuple[Tally, float]:
        """Until so many offers have been made. Returns what the workers counted, and the seconds."""
        context = multiprocessing.get_context("spawn")
        nudges, tallies, stop = context.Queue(SPARE_NUDGES), context.Queue(), context.Event()
        racers = [
            context.Process(target=contention.work, args=(nudges, stop, tallies), daemon=True) for _ in range(workers)
        ]
        for racer in racers:
            racer.start()
        began = time.monotonic()
        while Offer.objects.count() < assignments and time.monotonic() < began + LONGEST_SECS:
            time.sleep(1.0)
            self._sweep(nudges)
            self.look(timezone.now())
            if not all(racer.is_alive() for racer in racers):
                break
        secs = time.monotonic() - began
        stop.set()
        tally = Tally()
        for _ in racers:
            try:
                tally += tallies.get(timeout=30)
            except queue.Empty:
                tally["workers lost"] += 1
        for racer in racers:
            racer.join(timeout=30)
        return tally, secs

    def _sweep(self, nudges: "Queue[tuple[str, str]]") -> None:
        for call_id in services.due_calls(timezone.now()):
            with suppress(OperationalError):  # a lock not had in time: the next sweep has it, as in the sweeper
                engine.settle(call_id, now=timezone.now())
        _nudge(nudges, "queues.route_all", "")

    def look(self, now: datetime) -> None:
        self.looks += 1
        self.at_odds += _sql(AT_ODDS)
        for line in (line for each in ASKED for line in each(now)):
            self.broken += 1
            print(line, file=sys.stderr)
        before, self._idle = self._idle, dict(_stranded(now))
        self.late += sum(before.get(agent_id) == since for agent_id, since in self._idle.items())


def _stranded(now: datetime) -> Iterator[tuple[str, datetime | None]]:
    """Agents to whom a pass would now give a call, and since when they are where they are."""
    seen = set[str]()
    for queue_id in Line.objects.values_list("pk", flat=True):
        if str(queue_id) not in seen:
            state = engine.live_state(queue_id, now=now)
            seen |= {each.id for each in state.queues}
            chosen = [agent_id for each in one_pass.assign(state).assignments for agent_id in each.agent_ids]
            for agent in Agent.objects.filter(pk__in=chosen):
                yield str(agent.pk), agent.state_since


def _ends() -> Iterator[tuple[str, int]]:
    yield from Offer.objects.order_by("state").values_list("state").annotate(Count("pk"))


def _sql(statement: str) -> int:
    """Its one number, if it has one."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else 0
