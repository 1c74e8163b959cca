"""Two webs, two workers, two sweepers: started as in production, struck by the schedule, started again."""

import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.db import Error, connection

from callcenter.chaos import schedule
from callcenter.chaos.schedule import Strike
from callcenter.chaos.stores import SUPERUSER, Postgres, Redis
from callcenter.models import Lease
from callcenter.processes import LOOPBACK, Child, Processes
from callcenter.stand import Plan, Stand, StandError, worker_answers

LAST_WORDS = 30  # lines: a whole traceback
# For so long after Redis was struck a worker may end, in this way and no other: kombu loses its connection's address
# now and then as it connects again, which Celery takes for the end. What watches over processes starts it again.
CELERY_MAY_END_SECS = 30.0
CELERYS_EXIT_CODE = 1
CELERYS_WORDS = "'NoneType' object has no attribute 'hostname'"
COPIES = range(1, schedule.COPIES + 1)


def is_celerys_end(exit_code: int | None, said: str) -> bool:
    """Whether a worker that ended so lost its connection's address in kombu."""
    return exit_code == CELERYS_EXIT_CODE and CELERYS_WORDS in said


class LastWords:
    """What each process said last: why it ended by itself. Called with every line of any (callcenter.processes)."""

    def __init__(self, then: Callable[[str], object] | None = None) -> None:
        self._then = then
        self._said: dict[str, deque[str]] = {}

    def __call__(self, line: str) -> None:
        name, _, words = line.partition("|")
        self._said.setdefault(name.strip(), deque(maxlen=LAST_WORDS)).append(words.strip())
        if self._then is not None:
            self._then(line)

    def forget(self, name: str) -> None:
        """Another process takes its name."""
        self._said.pop(name, None)

    def of(self, name: str) -> str:
        return " / ".join(filter(None, self._said.get(name, ())))


class Fleet(Stand):
    """A stand whose every part but the simulator may die at any moment."""

    def __init__(
        self,
        plan: Plan,
        processes: Processes,
        *,
        postgres: Postgres,
        redis: Redis,
        words: LastWords,
        plant: str = "",
    ) -> None:
        """``plant``: a fault that ours are started with (callcenter.chaos.plants)."""
        super().__init__(plan, processes)
        self._words = words
        self._planted = {"CHAOS_PLANT": plant}
        self.postgres = postgres
        self.redis = redis
        urls = (settings.TELNYX_WEBHOOK_URL, settings.TELNYX_FAILOVER_URL)
        self.web_urls: dict[int, str] = dict(zip(COPIES, urls, strict=True))
        self._children: dict[tuple[str, int], Child] = {}
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.fell_over: list[str] = []
        self.ended_by_celery: list[str] = []
        self._redis_struck_at = -CELERY_MAY_END_SECS
        self.down_until = 0.0

    # start ---------------------------------------------------------------------------------------------------

    def start_all(self) -> None:
        for kind in (schedule.WEB, schedule.WORKER, schedule.SWEEP):
            for copy in COPIES:
                self._launch(kind, copy)
        for copy in COPIES:
            self._wait(self._children[schedule.WORKER, copy], partial(worker_answers, f"worker{copy}"))
        for copy, url in self.web_urls.items():
            self._wait(self._children[schedule.WEB, copy], partial(self._web_answers, urljoin(url, "/healthz")))

    def tell_telnyx_where_we_are(self) -> None:
        """Two doors: the application's webhook URL is the first web, its failover URL the second."""
        answer = self.simulator.patch(
            f"/v2/call_control_applications/{settings.TELNYX_CONNECTION_ID}",
            json={
                "application_name": "chaos",
                "webhook_event_url": settings.TELNYX_WEBHOOK_URL,
                "webhook_event_failover_url": settings.TELNYX_FAILOVER_URL,
            },
            headers={"authorization": f"Bearer {settings.TELNYX_API_KEY}"},
        )
        answer.raise_for_status()

    def _launch(self, kind: str, copy: int) -> None:
        self._words.forget(f"{kind}{copy}")
        self._children[kind, copy] = self._processes.start(
            f"{kind}{copy}", *self._command(kind, copy), env=self._environment | self._planted
        )

    def _command(self, kind: str, copy: int) -> list[str]:
        """Production's commands (Dockerfile, compose.yaml) with as many processes as a small machine bears."""
        # Celery warns of running as root; in a container that is how it is.
        python = [sys.executable, "-W", "ignore:You're running the worker with superuser"]
        match kind:
            case schedule.WEB:
                return [
                    *python, "-m", "gunicorn", "callcenter.wsgi", "--bind", urlsplit(self.web_urls[copy]).netloc,
                    "--worker-class", "callcenter.threads.Worker",
                    "--workers", "1", "--threads", "8", "--no-control-socket", "--log-level", "critical",
                ]  # fmt: skip
            case schedule.WORKER:
                return [
                    *python, "-m", "celery", "--quiet", "-A", "callcenter", "worker", "-n", f"worker{copy}@%h",
                    "--concurrency", "4", "--without-gossip", "--without-mingle", "--loglevel", settings.LOG_LEVEL,
                ]  # fmt: skip
        return [*python, "manage.py", "sweep"]

    # strike --------------------------------------------------------------------------------------------------

    def strike(self, blow: Strike) -> None:
        """Do it now, and see in ``repair`` that what went down comes up again."""
        match blow.kind:
            case schedule.WORKER | schedule.WEB | schedule.SWEEP:
                self._kill(blow.kind, blow.copy, blow.down_secs)
            case schedule.FREEZE:
                self._freeze(schedule.WORKER, blow.copy, blow.down_secs)
            case schedule.FREEZE_LEADER:
                self._freeze(schedule.SWEEP, self.leading_sweeper(), blow.down_secs)
            case schedule.REDIS:
                self.redis.crash()
                self._after(blow.down_secs, self.redis.start)
            case schedule.REDIS_FREEZE:
                self._after(blow.down_secs, self.redis.freeze())
            case schedule.FLUSH:
                self.redis.flush()
            case schedule.POSTGRES:
                self.postgres.crash()
                self._after(blow.down_secs, self.postgres.start)
            case schedule.BLACKOUT:
                for kind, copy in list(self._children):
                    self._kill(kind, copy, blow.down_secs)
        self.down_until = max(self.down_until, time.monotonic() + blow.down_secs)
        if blow.kind in (schedule.REDIS, schedule.REDIS_FREEZE, schedule.FLUSH):
            self._redis_struck_at = time.monotonic()

    def repair(self) -> None:
        """Start again whatever has been down for as long as it was to be; note what ended unasked."""
        now = time.monotonic()
        due = [action for at, action in self._later if at <= now]
        self._later = [(at, action) for at, action in self._later if at > now]
        for action in due:
            action()
        while (child := self._processes.ended(timeout=0)) is not None:
            self._fell_over(child)

    def repair_all(self) -> None:
        """At once, whatever was to stay down longer."""
        self._later = [(0.0, action) for _, action in self._later]
        self.repair()

    @property
    def is_whole(self) -> bool:
        return not self._later

    def _kill(self, kind: str, copy: int, down_secs: float) -> None:
        child = self._children.pop((kind, copy), None)
        if child is not None:
            self._processes.end(child)
            self._after(down_secs, lambda: self._launch(kind, copy))

    def _freeze(self, kind: str, copy: int, secs: float) -> None:
        child = self._children.get((kind, copy))
        if child is not None:
            self._after(secs, child.freeze())

    def leading_sweeper(self) -> int:
        """Which of them has the lease; the first where none that runs has, or the database is away."""
        try:
            holder = Lease.objects.filter(name="sweep").values_list("holder", flat=True).first() or ""
        except Error:
            connection.close()
            holder = ""
        pids = {copy: str(child.pid) for (kind, copy), child in self._children.items() if kind == schedule.SWEEP}
        return next((copy for copy, pid in pids.items() if pid in holder.split(":")), 1)

    def _after(self, secs: float, action: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + secs, action))

    def _fell_over(self, child: Child) -> None:
        """What a supervisor of processes does: start it again. That it was needed is found wrong in the end."""
        place = next((key for key, running in self._children.items() if running is child), None)
        if place is None:
            raise StandError(child.describe_end())
        said = self._words.of(child.name)
        redis_was_struck = time.monotonic() < self._redis_struck_at + CELERY_MAY_END_SECS
        excused = place[0] == schedule.WORKER and redis_was_struck and is_celerys_end(child.process.returncode, said)
        ended = self.ended_by_celery if excused else self.fell_over
        ended.append(f"{child.describe_end()} {said}".rstrip())
        self._launch(*place)


def settled(*, postgres_port: int, redis_port: int, failover_port: int) -> dict[str, str]:
    """What every process of the run is told besides, or instead of, what any stand's are."""
    return {
        "DATABASE_URL": f"postgres://{SUPERUSER}@{LOOPBACK}:{postgres_port}/postgres",
        "REDIS_URL": f"redis://{LOOPBACK}:{redis_port}/0",
        "CHAOS_PLANT": "",
        "TELNYX_FAILOVER_URL": f"http://{LOOPBACK}:{failover_port}/webhooks/telnyx",
    }
