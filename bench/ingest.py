"""Webhooks a second, verified, de-duplicated and durable: beside bare commits of the same row, and beside dj-stripe.

``python -m bench ingest --peer``: interleaved rounds on Postgres, medians. Every phase keeps eight connections busy for
some seconds, from one process that sends what was signed before; each server runs two processes of eight threads, as in
our Dockerfile.

- *bare*: the inbox's own INSERT, each in its own commit, by psycopg on eight connections in two processes.
- *gthread*, *granian*: ``callcenter.wsgi`` as in production (DEBUG off, every middleware, a Redis to nudge), sent
  Ed25519-signed events of outgoing legs (initiated, answered, bridged, playback, hang-up) that a worker would apply;
  then the same events once more, as *duplicates*. No worker runs meanwhile.
- *apply*: ``inbox.apply`` of what gthread has stored, in two processes of four threads, without Celery. Storing and
  applying an event takes the sum of both.
- *dj-stripe*, storing only and with processing: see ``bench.peer_site`` for what each does; server, threads and
  Postgres are the same; Stripe-signed events of payment methods, as many per method as ours per leg.

What was acknowledged is counted in the tables after each phase, and a wrong signature must be refused. CPU is that of
the server's processes, without Postgres; what they do after the last answer is waited for and counts. ``--peer``
installs granian and dj-stripe (``bench.peers``); without it they are left out. ``DATABASE_URL`` names the server
(default: Postgres on this machine); databases are made there and dropped again. Linux only.
"""

import base64
import itertools
import json
import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import django
import psycopg
import redis
from django.db import close_old_connections
from django.utils import timezone
from psycopg.types.json import Jsonb

from bench import load, peers, senders
from bench.database import own_database
from bench.load import CONNECTIONS
from callcenter import embedded
from callcenter.processes import LOOPBACK, Processes, any_port
from webhooks.telnyx.events import parse_event

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, PHASE_SECS = 3, 3.0
PROCESSES, THREADS = 2, 8
FIRST = 20  # events to a server before the first round: imports, connections, prepared statements
MOST = 3000  # events prepared per second of a phase: more than any server takes
TABLE = "webhooks_webhookevent"

BARE = "bare commits"
GTHREAD, GRANIAN = "gthread", "granian"
AGAIN = ", duplicates"
APPLY = "apply"
STORING, PROCESSING = "dj-stripe, storing only", "dj-stripe, with processing"


def run(*, peer: bool = False) -> str:
    with own_database() as url, own_database("bench_peer") as peer_url, tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "PEER_DATABASE_URL": peer_url,
            "DJANGO_SETTINGS_MODULE": "callcenter.settings",
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "ALLOWED_HOSTS": LOOPBACK,
            "REDIS_URL": f"redis://{LOOPBACK}:{any_port()}/0",
            "TELNYX_API_KEY": "KEY" + secrets.token_hex(16),
            "TELNYX_CONNECTION_ID": senders.CONNECTION_ID,
            "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(senders.KEY.verify_key)).decode(),
        }
        command = [sys.executable, "-m", "bench.ingest", folder, *(["--peer"] if peer else [])]
        said = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return said.rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One phase: how many a second, seconds to the answer, CPU milliseconds of each at the server and the client."""

    rate: float
    p50: float
    p99: float
    cpu_ms: float
    client_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What listens at a port; what it is sent, and how it answers a wrong signature."""

    pid: int
    port: int
    body: Callable[[int, str], bytes]
    request: Callable[[bytes], bytes]
    refusal: int

    def prepare(self, count: int) -> list[bytes]:
        run = secrets.token_hex(4)
        return [self.request(self.body(number, run)) for number in range(count)]

    def take(self, messages: Sequence[bytes], *, secs: float) -> tuple[int, Figure]:
        """How many of them it acknowledged in that time, the first ones."""
        before = load.cpu_secs(self.pid)
        found = load.drive(self.port, iter(messages), secs=secs)
        count = len(found.delays)
        return count, Figure(
            rate=found.rate,
            p50=found.percentile(50),
            p99=found.percentile(99),
            cpu_ms=(self._when_idle() - before) / count * 1000,
            client_ms=found.client_secs / count * 1000,
        )

    def _when_idle(self) -> float:
        """Its CPU seconds once it does nothing any more."""
        used, deadline = load.cpu_secs(self.pid), time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.25)
            before, used = used, load.cpu_secs(self.pid)
            if used - before < 0.03:
                break
        return used

    def accepts_a_wrong_signature(self) -> bool:
        head, found, body = self.request(self.body(0, "right")).partition(b"\r\n\r\n")
        try:
            load.drive(self.port, iter([head + found + body.replace(b"right", b"wrong")]), secs=1)
        except load.Refused as refused:
            return refused.status != self.refusal
        return True


class Bench:
    """The servers of one run, its figures, and what was found wrong."""

    def __init__(self, processes: Processes, workers: Pool) -> None:
        self._processes, self._workers = processes, workers
        self._ours = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        self._peers = psycopg.connect(os.environ["PEER_DATABASE_URL"], autocommit=True)
        self._redis = redis.Redis.from_url(os.environ["REDIS_URL"])
        self._servers: dict[str, Server] = {}
        self.figures: dict[str, list[Figure]] = {}
        self.wrong: list[str] = []

    # servers

    def start_ours(self) -> None:
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, check=True)
        ours = {"body": senders.telnyx_body, "request": senders.telnyx_request, "refusal": 403}
        self._start(GTHREAD, _gunicorn(sys.executable, "callcenter.wsgi", "callcenter.threads.Worker"), {}, **ours)

    def start_peers(self) -> None:
        ours = {"body": senders.telnyx_body, "request": senders.telnyx_request, "refusal": 403}
        self._start(GRANIAN, _granian, {"PYTHONPATH": str(peers.granian())}, **ours)
        python = peers.dj_stripe()
        command = [python, "-m", "bench.peer_site", senders.ENDPOINT, senders.SECRET]
        subprocess.run(command, cwd=ROOT, check=True)
        theirs = {"body": senders.stripe_body, "request": senders.stripe_request, "refusal": 400}
        for name, mode in ((STORING, "storing"), (PROCESSING, "processing")):
            self._start(name, _gunicorn(python, "bench.peer_site", "gthread"), {"PEER_MODE": mode}, **theirs)

    def _start(self, name: str, command: Callable[[int], list[str]], more: Mapping[str, str], **words: Any) -> None:
        port = any_port()
        child = self._processes.start(name, *command(port), env={**os.environ, **more})
        server = Server(pid=child.process.pid, port=port, **words)
        deadline = time.monotonic() + 60
        while True:
            try:
                server.take(server.prepare(FIRST), secs=10)
                break
            except ConnectionRefusedError:
                if (ended := self._processes.ended(timeout=0.1)) is not None or time.monotonic() > deadline:
                    raise SystemExit(ended.describe_end() if ended else f"{name} does not listen") from None
        if server.accepts_a_wrong_signature():
            self.wrong.append(f"{name} does not refuse a wrong signature")
        self._servers[name] = server

    # phases

    def round(self) -> None:
        self._ours.execute(f"TRUNCATE {TABLE}")
        self._bare()
        for name in (GTHREAD, GRANIAN):
            if name in self._servers:
                self._ours.execute(f"TRUNCATE {TABLE}")
                self._store(name)
                self._redis.flushdb()
            if name == GTHREAD:
                self._apply()
        for name, kept in (
            (STORING, "SELECT count(*) FROM djstripe_webhookeventtrigger WHERE valid"),
            (PROCESSING, "SELECT count(*) FROM djstripe_event"),
        ):
            if name in self._servers:
                self._store_at_peer(name, kept)

    def _note(self, name: str, figure: Figure) -> None:
        self.figures.setdefault(name, []).append(figure)
        print(f"{name:<28}{figure.rate:6.0f}/s {figure.cpu_ms:6.2f} ms CPU", file=sys.stderr, flush=True)

    def _expect(self, what: str, found: int, wanted: int) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found}, not {wanted}")

    def _count(self, connection: "psycopg.Connection[Any]", query: str) -> int:
        row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _bare(self) -> None:
        before = self._count(self._ours, f"SELECT count(*) FROM {TABLE}")
        committed = self._gather(BARE, _commit, [PHASE_SECS] * PROCESSES)
        self._expect("bare rows", self._count(self._ours, f"SELECT count(*) FROM {TABLE}") - before, committed)

    def _store(self, name: str) -> None:
        server = self._servers[name]
        messages = server.prepare(int(MOST * PHASE_SECS))
        stored, figure = server.take(messages, secs=PHASE_SECS)
        self._note(name, figure)
        kept = f"SELECT count(*) FROM {TABLE} WHERE status = 'new' AND source = 'telnyx'"
        self._expect(f"rows of {name}", self._count(self._ours, kept), stored)
        known, figure = server.take(messages[:stored], secs=PHASE_SECS)
        self._note(name + AGAIN, figure)
        self._expect(f"rows of {name} after {known} duplicates", self._count(self._ours, kept), stored)

    def _apply(self) -> None:
        pks = [pk for (pk,) in self._ours.execute(f"SELECT id FROM {TABLE} ORDER BY id")]
        applied = self._gather(APPLY, _apply, [pks[number::PROCESSES] for number in range(PROCESSES)])
        done = self._count(self._ours, f"SELECT count(*) FROM {TABLE} WHERE status = 'done'")
        self._expect("applied", done, applied)

    def _store_at_peer(self, name: str, kept: str) -> None:
        server, before = self._servers[name], self._count(self._peers, kept)
        stored, figure = server.take(server.prepare(int(MOST * PHASE_SECS / 3)), secs=PHASE_SECS)
        self._note(name, figure)
        self._expect(f"rows of {name}", self._count(self._peers, kept) - before, stored)

    def _gather(self, name: str, work: Callable[[Any], "Share"], tasks: Sequence[Any]) -> int:
        shares = self._workers.map(work, tasks, chunksize=1)
        delays = sorted(itertools.chain.from_iterable(share.delays for share in shares))
        figure = Figure(
            rate=len(delays) / max(share.secs for share in shares),
            p50=delays[len(delays) // 2],
            p99=delays[len(delays) * 99 // 100],
            cpu_ms=sum(share.cpu_secs for share in shares) / len(delays) * 1000,
        )
        self._note(name, figure)
        return len(delays)


def _gunicorn(python: str, module: str, worker: str) -> Callable[[int], list[str]]:
    return lambda port: [
        python, "-m", "gunicorn", module, "--bind", f"{LOOPBACK}:{port}", "--worker-class", worker,
        "--workers", str(PROCESSES), "--threads", str(THREADS), "--no-control-socket", "--log-level", "error",
    ]  # fmt: skip


def _granian(port: int) -> list[str]:
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi", "--host", LOOPBACK, "--port", str(port), "--http", "1",
        "--workers", str(PROCESSES), "--blocking-threads", str(THREADS), "--no-ws", "--log-level", "error",
        "callcenter.wsgi:application",
    ]  # fmt: skip


# what two processes of ours do together: committing bare, and applying ------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one of the processes did."""

    delays: list[float]
    secs: float
    cpu_secs: float


def _together(steps: Sequence[Callable[[], bool]], *, secs: float) -> Share:
    """A thread per step, which it takes again and again: for so many seconds, or until it says that nothing is left."""

    def again(step: Callable[[], bool]) -> list[float]:
        delays, now = [], time.perf_counter()
        while now < began + secs and step():
            before, now = now, time.perf_counter()
            delays.append(now - before)
        return delays

    cpu, began = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(len(steps)) as pool:
        delays = [delay for found in pool.map(again, steps) for delay in found]
    return Share(delays=delays, secs=time.perf_counter() - began, cpu_secs=time.process_time() - cpu)


def _commit(secs: float) -> Share:
    from webhooks import inbox  # noqa: PLC0415  once Django is set up

    event = parse_event(senders.telnyx_body(0, "bare"))
    values = inbox.row(event, ours=True, received_at=timezone.now())
    payload = json.dumps(dict(event.payload))
    values[inbox.COLUMNS.index("payload")] = Jsonb(None, dumps=lambda _: payload)  # written once

    def committer(connection: "psycopg.Connection[Any]") -> Callable[[], bool]:
        cursor = connection.cursor()

        def commit() -> bool:
            return cursor.execute(inbox.INSERT, [str(uuid.uuid4()), *values[1:]], prepare=True).fetchone() is not None

        return commit

    with ExitStack() as stack:
        connections = [
            stack.enter_context(psycopg.connect(os.environ["DATABASE_URL"], autocommit=True))
            for _ in range(CONNECTIONS // PROCESSES)
        ]
        return _together([committer(connection) for connection in connections], secs=secs)


def _apply(pks: Sequence[int]) -> Share:
    from webhooks import inbox  # noqa: PLC0415  once Django is set up

    left = deque(pks)

    def apply() -> bool:
        try:
            pk = left.popleft()
        except IndexError:
            return False
        inbox.apply(pk)
        close_old_connections()  # as after a task
        return True

    return _together([apply] * (CONNECTIONS // PROCESSES), secs=PHASE_SECS)


# what is said ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    said: str
    found: float
    wanted: float
    at_most: bool = False

    def __str__(self) -> str:
        met = self.found <= self.wanted if self.at_most else self.found >= self.wanted
        sign = "<=" if self.at_most else ">="
        return f"{self.said:<64} wanted {sign} {self.wanted:.2f}, found {self.found:.2f}{'' if met else ': MISSED'}"


def _promises(rates: Mapping[str, float]) -> Iterator[Promise]:
    yield Promise(said="gthread / bare commits", found=rates[GTHREAD] / rates[BARE], wanted=0.20)
    for name in (GTHREAD, GRANIAN):
        if name in rates:
            cost = rates[name] / rates[name + AGAIN]
            yield Promise(said=f"{name}: a duplicate / a new event", found=cost, wanted=1.1, at_most=True)
    if GRANIAN in rates:
        yield Promise(said="granian / bare commits", found=rates[GRANIAN] / rates[BARE], wanted=0.25)
        yield Promise(said="gthread / dj-stripe, storing only", found=rates[GTHREAD] / rates[STORING], wanted=2)
        both = 1 / (1 / rates[GTHREAD] + 1 / rates[APPLY])
        said = f"gthread and then apply ({both:.0f}/s) / dj-stripe with processing"
        yield Promise(said=said, found=both / rates[PROCESSING], wanted=4)


def _table(bench: Bench) -> Iterator[str]:
    yield f"{ROUNDS} rounds of {PHASE_SECS:g} s, {CONNECTIONS} connections; medians, and the range of the rates"
    yield f"{'':<28}{'per second':>22}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'client ms':>11}"
    rates = {}
    for name, figures in bench.figures.items():
        median = {
            each.name: statistics.median(getattr(figure, each.name) for figure in figures) for each in fields(Figure)
        }
        rates[name] = median["rate"]
        least, most = min(figure.rate for figure in figures), max(figure.rate for figure in figures)
        yield (
            f"{name:<28}{median['rate']:8.0f} ({least:5.0f}-{most:5.0f}){median['p50'] * 1000:9.1f}"
            f"{median['p99'] * 1000:9.1f}{median['cpu_ms']:9.2f}{median['client_ms']:11.2f}"
        )
    yield from map(str, _promises(rates))
    yield f"WRONG: {'; '.join(bench.wrong)}" if bench.wrong else "wrong: nothing"


def main(folder: Path, *, peer: bool) -> None:
    """In a process of its own, whose environment ``run`` has laid out."""
    broker = embedded.choose_broker({"PATH": os.environ.get("PATH", "")})
    with (
        multiprocessing.get_context("spawn").Pool(PROCESSES, initializer=django.setup) as workers,
        Processes(write=lambda line: print(line, file=sys.stderr), folder=ROOT) as processes,
    ):
        port = int(os.environ["REDIS_URL"].rpartition(":")[2].split("/")[0])
        embedded.start_broker(processes, broker, port=port, folder=folder, python=sys.executable)
        bench = Bench(processes, workers)
        bench.start_ours()
        if peer:
            bench.start_peers()
        for _ in range(ROUNDS):
            bench.round()
    print("\n".join(["", *_table(bench)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), peer="--peer" in sys.argv[2:])
