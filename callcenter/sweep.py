"""The sweeper: finds all due work in the rows, every second, and sees that it is done.

Nudges are hints and may be lost; whatever is overdue here is run in a pool of this process, guarded by the same
leases and conditional updates as in a worker. With no worker alive, this process does all the work itself.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import Error, InterfaceError, OperationalError, close_old_connections, connection
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
LEASE = timedelta(seconds=5)
LEFT_TO_WORKERS = timedelta(seconds=1)  # younger work has a nudge under way
AWAY = (OperationalError, InterfaceError)  # a line each; what may be our own fault has its traceback

Job = tuple[str, str]


def _wrap_up(ident: str) -> None:
    services.wrap_up_due(uuid.UUID(ident), now=timezone.now())


def _end_listening(ident: str) -> None:
    services.end_listening(uuid.UUID(ident), now=timezone.now())


JOBS: Mapping[str, Callable[[str], object]] = {
    "webhooks.apply": lambda ident: inbox.apply(int(ident)),
    "webhooks.send": lambda ident: outbox.send(int(ident), conf.client()),
    "webhooks.probe": lambda ident: breaker.probe(conf.client()),
    "webhooks.close": lambda ident: outbox.close(int(ident), now=timezone.now()),
    "queues.settle": tasks.settle,
    "queues.route": tasks.route,
    "queues.agent_freed": tasks.agent_freed,
    "queues.wrap_up": _wrap_up,
    "queues.end_listening": _end_listening,
    "queues.forget": lambda ident: engine.forget(now=timezone.now()),
    "queues.route_all": lambda ident: engine.route_all(now=timezone.now()),
    "reconcile.full": lambda ident: reconcile.full(reconcile.line(), reason=ident, now=timezone.now()),
    "reconcile.look": lambda ident: reconcile.look(reconcile.line(), now=timezone.now()),
}
# A second of these while the first still asks Telnyx would ask the same.
ONE_AT_A_TIME = ("reconcile.full", "reconcile.look")


def due(now: datetime, *, left_to_workers: timedelta = timedelta()) -> list[Job]:
    """Everything that is due now, by the rows: hang-ups before answers before dials, events oldest first."""
    fresh = now - left_to_workers
    jobs: list[Job] = [("webhooks.send", str(pk)) for pk in outbox.due(created_before=fresh)]
    jobs += [("webhooks.close", str(pk)) for pk in outbox.unapplied()]
    jobs += [("webhooks.apply", str(pk)) for pk in inbox.due(received_before=fresh)]
    jobs += [("queues.settle", str(pk)) for pk in services.due_calls(now)]
    jobs += [("queues.wrap_up", str(pk)) for pk in services.due_agents(now)]
    jobs += [("queues.end_listening", str(pk)) for pk in services.listening_without_right()]
    if breaker.look().probe_is_due:
        jobs.append(("webhooks.probe", ""))
    if services.has_old_decisions(now):
        jobs.append(("queues.forget", ""))
    jobs.append(("queues.route_all", ""))
    return jobs


def run(job: Job) -> None:
    JOBS[job[0]](job[1])


class Sweeper:
    """One process of them leads; the others stand by."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sweep")
        self._in_hand: set[Job] = set()
        self._lock = threading.Lock()
        self._workers_alive = False
        self._has_led = False
        self._publish = nudge.Publisher()

    def run(self, stop: threading.Event) -> None:
        """Tick until told to stop. A database that is away is waited for."""
        nudge.set_sink(self._nudged)
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.tick()
            except AWAY as error:
                logger.error("sweep interrupted: %s", databases.failure(error))
                connection.close()
            except Error:
                logger.exception("sweep interrupted")
                connection.close()
            stop.wait(max(0.0, TICK_SECS - (time.monotonic() - began)))
        self._pool.shutdown(wait=True)

    def tick(self) -> None:
        heartbeat.beat("sweep")
        if not self.leads():
            self._has_led = False
            return
        if not self._has_led:
            dispatch.install()
            self._take(("reconcile.full", "start"))
            self._has_led = True
        self._workers_alive = heartbeat.anyone("worker")
        now = timezone.now()
        for job in due(now, left_to_workers=LEFT_TO_WORKERS if self._workers_alive else timedelta()):
            if self._take(job) and job[0].startswith("webhooks."):
                meters.sweeper_rescued_total.inc(job[0])
        for what in reconcile.due(now):
            self._take((f"reconcile.{what}", ""))

    def leads(self) -> bool:
        """Renew or take the lease row, on the database's clock."""
        mine = Q(holder=self.name) | Q(until__lt=Now())
        if Lease.objects.filter(mine, name="sweep").update(holder=self.name, until=from_now(LEASE)):
            return True
        _, created = Lease.objects.get_or_create(
            name="sweep", defaults={"holder": self.name, "until": timezone.now() + LEASE}
        )
        return created

    def _nudged(self, task: str, ident: str) -> None:
        """What our own work makes due: to a worker if there is one, else to ourselves at once."""
        if self._workers_alive:
            self._publish(task, ident)
        else:
            self._take((task, ident))

    def _take(self, job: Job) -> bool:
        """False if it waits for its turn already."""
        with self._lock:
            if job in self._in_hand or (job[0] in ONE_AT_A_TIME and any(job[0] == other for other, _ in self._in_hand)):
                return False
            self._in_hand.add(job)
        try:
            self._pool.submit(self._run, job)
        except RuntimeError:  # shutting down: the rows keep it
            self._in_hand.discard(job)
            return False
        return True

    def _run(self, job: Job) -> None:
        if job[0] not in ONE_AT_A_TIME:
            self._done(job)  # before it runs, so that a nudge meanwhile runs it again
        close_old_connections()
        try:
            run(job)
        except AWAY as error:
            logger.error("sweep job failed job=%s id=%s: %s", *job, databases.failure(error))
        except Exception:
            logger.exception("sweep job failed job=%s id=%s", *job)
        finally:
            close_old_connections()
            if job[0] in ONE_AT_A_TIME:
                self._done(job)

    def _done(self, job: Job) -> None:
        with self._lock:
            self._in_hand.discard(job)
