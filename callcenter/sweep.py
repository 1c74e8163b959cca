"""The sweeper: finds all due work in the rows, every second, and sees that it is done.

Nudges are hints and may be lost; whatever is overdue here is run in a pool of this process, guarded by the same
leases and conditional updates as in a worker. With no worker alive, this process does all the work itself.
"""

import logging
import os
import secrets
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from callcenter import databases, heartbeat, reconcile
from callcenter.models import Lease
from queues import engine, services, tasks
from webhooks import breaker, dispatch, inbox, meters, nudge, outbox
from webhooks.clock import from_now
from webhooks.telnyx import conf

logger = logging.getLogger(__name__)

TICK_SECS = 1.0
THREADS = 8
SENDERS = 5  # of them: a slow Telnyx, or a long line of commands, leaves hands for events and deadlines
RECONCILERS = 3  # and so many of their own for what may ask Telnyx for minutes: one for each kind
LEASE = timedelta(seconds=5)
LEFT_TO_WORKERS = timedelta(seconds=1)  # younger work has a nudge under way
AWAY = (OperationalError, InterfaceError)  # a line each; what may be our own fault has its traceback

Job = tuple[str, str]
SEND = "webhooks.send"


def _wrap_up(ident: str) -> None:
    services.wrap_up_due(uuid.UUID(ident), now=timezone.now())


def _end_listening(ident: str) -> None:
    services.end_listening(uuid.UUID(ident), now=timezone.now())


JOBS: Mapping[str, Callable[[str], object]] = {
    "webhooks.apply": lambda ident: inbox.apply(int(ident)),
    SEND: lambda ident: outbox.send(int(ident), conf.client()),
    "webhooks.probe": lambda ident: breaker.probe(conf.client()),
    "webhooks.close": lambda ident: outbox.close_again(int(ident), now=timezone.now()),
    "queues.settle": tasks.settle,
    "queues.route": tasks.route,
    "queues.agent_freed": tasks.agent_freed,
    "queues.wrap_up": _wrap_up,
    "queues.end_listening": _end_listening,
    "queues.forget": lambda ident: engine.forget(now=timezone.now()),
    "queues.route_all": lambda ident: engine.route_all(now=timezone.now()),
    "reconcile.full": lambda ident: reconcile.full(reconcile.line(), reason=ident, clock=timezone.now),
    "reconcile.legs": lambda ident: reconcile.legs(reconcile.line(), clock=timezone.now),
    "reconcile.look": lambda ident: reconcile.look(reconcile.line(), clock=timezone.now),
}


def due(now: datetime, *, left_to_workers: timedelta = timedelta()) -> list[Job]:
    """Everything that is due now, by the rows, the most urgent first: hang-ups before answers before dials, events
    oldest first and before the deadlines that they may have met."""
    fresh = now - left_to_workers
    others: list[Job] = [("webhooks.probe", "")] if breaker.look().probe_is_due else []
    if services.has_old_decisions(now):
        others.append(("queues.forget", ""))
    others.append(("queues.route_all", ""))
    return [
        *((SEND, str(pk)) for pk in outbox.due(created_before=fresh)),
        *(("webhooks.close", str(pk)) for pk in outbox.unapplied()),
        *(("webhooks.apply", str(pk)) for pk in inbox.due(received_before=fresh)),
        *(("queues.settle", str(pk)) for pk in services.due_calls(now)),
        *(("queues.wrap_up", str(pk)) for pk in services.due_agents(now)),
        *(("queues.end_listening", str(pk)) for pk in services.listening_without_right()),
        *others,
    ]


def run(job: Job) -> None:
    JOBS[job[0]](job[1])


class Hands:
    """So many threads; whichever is free takes a send, hang-ups first, or else the most urgent of the next kind.

    What waits here are hints, made anew from the rows each second, so nothing piles up. The turns of the kinds go on
    from one second to the next, so however much there is of one, none of the others waits for all of it.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sweep")
        self._lock = threading.Lock()
        self._running: Counter[Job] = Counter()
        # Of each kind in this order, and the kinds in the order of their turns. True: the rows said so; False: a nudge.
        self._waiting: dict[str, dict[Job, bool]] = {}

    def found(self, jobs: Sequence[Job]) -> None:
        """All that is due by the rows. What is under way is not begun again: it would do the same."""
        with self._lock:
            nudged = [job for waiting in self._waiting.values() for job, by_rows in waiting.items() if not by_rows]
            if not any(self._waiting.values()):
                self._waiting.clear()  # every kind had its turn: the most urgent is the next
            for waiting in self._waiting.values():
                waiting.clear()
            for job in jobs:
                if job not in self._running:
                    self._wait(job, by_rows=True)
            for job in nudged:
                self._wait(job, by_rows=False)
        self._fill()

    def nudged(self, job: Job) -> None:
        """One more; though it is under way, since that may have read the rows before they changed."""
        with self._lock:
            self._wait(job, by_rows=False)
        self._fill()

    def rest(self) -> None:
        """Finish what is under way and begin nothing more: the rows keep it."""
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _wait(self, job: Job, *, by_rows: bool) -> None:
        self._waiting.setdefault(job[0], {}).setdefault(job, by_rows)

    def _fill(self) -> None:
        with self._lock:
            while self._running.total() < THREADS and (kind := self._whose_turn()) is not None:
                waiting = self._waiting[kind] = self._waiting.pop(kind)  # the last in line from now on
                job = next(iter(waiting))
                by_rows = waiting.pop(job)
                try:
                    self._pool.submit(self._work, job)
                except RuntimeError:  # at rest
                    return
                self._running[job] += 1
                if by_rows and kind.startswith("webhooks."):
                    meters.sweeper_rescued_total.inc(kind)

    def _whose_turn(self) -> str | None:
        senders = sum(times for job, times in self._running.items() if job[0] == SEND)
        if self._waiting.get(SEND) and senders < SENDERS:
            return SEND
        return next((kind for kind, waiting in self._waiting.items() if waiting and kind != SEND), None)

    def _work(self, job: Job) -> None:
        try:
            _attempt(job)
        finally:
            with self._lock:
                self._running[job] -= 1
                if not self._running[job]:
                    del self._running[job]
            self._fill()


def _attempt(job: Job) -> None:
    """Run it in this thread, on a connection of its own; what it raises is logged."""
    try:
        close_old_connections()
        try:
            run(job)
        finally:
            close_old_connections()
    except AWAY as error:
        logger.error("sweep job failed job=%s id=%s: %s", *job, databases.failure(error))
    except Exception:
        logger.exception("sweep job failed job=%s id=%s", *job)


class Sweeper:
    """One process of them leads; the others stand by."""

    def __init__(self) -> None:
        # Of two containers with one host name, both are its process 1.
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._hands = Hands()
        self._reconcilers = ThreadPoolExecutor(RECONCILERS, thread_name_prefix="reconcile")
        self._reconciling: dict[str, Future[None]] = {}
        self._workers_alive = False
        self._has_led = False
        self._publish = nudge.Publisher()

    def run(self, stop: threading.Event) -> None:
        """Tick until told to stop. A database that is away is waited for; no error of ours ends the only watch."""
        nudge.set_sink(self._nudged)
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.tick()
            except AWAY as error:
                logger.error("sweep interrupted: %s", databases.failure(error))
                connection.close()
            except Exception:
                logger.exception("sweep interrupted")
                connection.close()
            stop.wait(max(0.0, TICK_SECS - (time.monotonic() - began)))
        self.rest()

    def tick(self) -> None:
        """Its heartbeat says that the rows were asked: the leader's as ``sweep``, the others' as ``standby``."""
        if not self.leads():
            self._has_led = False
            heartbeat.beat("standby")
            return
        if not self._has_led:
            dispatch.install()
            self._reconcile("full", reason="start")
            self._has_led = True
        self._workers_alive = heartbeat.anyone("worker")
        now = timezone.now()
        self._hands.found(due(now, left_to_workers=LEFT_TO_WORKERS if self._workers_alive else timedelta()))
        heartbeat.beat("sweep")
        for what in reconcile.due(now):
            self._reconcile(what)

    def rest(self) -> None:
        """End when what is under way has ended."""
        self._hands.rest()
        self._reconcilers.shutdown(wait=True, cancel_futures=True)

    def leads(self) -> bool:
        """Renew or take the lease row, on the database's clock."""
        if self._took_lease():
            return True
        _, is_new = Lease.objects.get_or_create(name="sweep", defaults={"holder": self.name, "until": Now()})
        return is_new and self._took_lease()

    def _took_lease(self) -> bool:
        free = Lease.objects.filter(Q(holder=self.name) | Q(until__lt=Now()), name="sweep")
        return bool(free.update(holder=self.name, until=from_now(LEASE)))

    def _nudged(self, task: str, ident: str) -> None:
        """What our own work makes due: to a worker if there is one, else to ourselves at once."""
        if self._workers_alive:
            self._publish(task, ident)
        else:
            self._hands.nudged((task, ident))

    def _reconcile(self, what: str, *, reason: str = "") -> None:
        """Unless one of its kind still asks Telnyx, which a second would ask the same."""
        last = self._reconciling.get(what)
        if last is None or last.done():
            self._reconciling[what] = self._reconcilers.submit(_attempt, (f"reconcile.{what}", reason))
