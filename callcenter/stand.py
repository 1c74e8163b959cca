"""A whole call center on this machine, for daily work and the demo: stores, simulator, web, worker, sweep.

A command that calls ``prepare`` runs twice: the first time it chooses stores, ports and keys, and becomes
itself again with them in the environment, where the settings and every child read them.
"""

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import httpx
import redis
from django.conf import settings
from kombu.exceptions import OperationalError

from callcenter import embedded
from callcenter.celery import app as celery_app
from callcenter.checks import SIMULATOR_KEY_PREFIX
from callcenter.environment import Environment
from callcenter.processes import LOOPBACK, Child, Processes, any_port, choose_port
from webhooks import metering

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent
WEB_PORT = 8000
SIMULATOR_PORT = 12111
CONNECTION_ID = "1494404757140276705"
READY_SECS = 60
_VARIABLE = "CALLCENTER_STAND"
# What production says about its own hosts and account has no meaning here.
_NOT_INHERITED = (
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "CACHE_URL",
    "TELNYX_FAILOVER_URL",
    "TELNYX_PUBLIC_KEY",
)


class StandError(Exception):
    """The stand cannot start or go on; the message is one line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was chosen: where files lie, which stores, which ports."""

    folder: str
    database: str
    broker: str
    broker_port: int
    web_port: int
    simulator_port: int

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.web_port}"

    @property
    def backends(self) -> dict[str, str]:
        return {"database": self.database, "broker": self.broker}


def prepare(*, folder: Path, web_port: int | None, simulator_port: int | None, log_level: str) -> Plan:
    """Choose, and run this command again with what was chosen; returns the second time only.

    Raises PortInUse, StandError or StoreUnavailable.
    """
    plan = planned()
    if plan is None:
        folder.mkdir(parents=True, exist_ok=True)
        begin_again(_choose(folder, web_port, simulator_port), log_level=log_level)
    return plan


def planned() -> Plan | None:
    """What this command chose before it became itself again; None while nothing is chosen."""
    chosen = os.environ.pop(_VARIABLE, "")
    return Plan(**json.loads(chosen)) if chosen else None


def _choose(folder: Path, web_port: int | None, simulator_port: int | None) -> Plan:
    env = Environment(os.environ)
    database = env.database("DATABASE_URL", default=_sqlite(folder))
    redis_url = env.url("REDIS_URL", schemes=["redis", "rediss"])
    _refuse_problems(env)
    embedded.check_database(database)
    broker = embedded.choose_broker(os.environ)
    if broker == embedded.GIVEN:
        embedded.check_redis(redis_url)
    return Plan(
        folder=str(folder),
        database="sqlite" if database["ENGINE"].endswith("sqlite3") else "postgres",
        broker=broker,
        broker_port=any_port(),
        web_port=choose_port(WEB_PORT, wanted=web_port),
        simulator_port=choose_port(SIMULATOR_PORT, wanted=simulator_port),
    )


def begin_again(plan: Plan, *, log_level: str, settled: Mapping[str, str] | None = None) -> NoReturn:
    """Become this command again with the plan in the environment; ``settled`` overrules whatever is inherited."""
    environment = _environment(plan, os.environ, log_level=log_level, settled=settled or {})
    Path(environment[metering.FOLDER]).mkdir(parents=True, exist_ok=True)
    environment[_VARIABLE] = json.dumps(asdict(plan))
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _environment(
    plan: Plan, inherited: Mapping[str, str], *, log_level: str, settled: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What is inherited, completed and in part overruled; a NAME_FILE goes the way of its NAME."""
    env, folder = Environment(inherited), Path(plan.folder)
    defaults = {
        "LOG_LEVEL": log_level,
        "SECRET_KEY": _lasting_secret(folder / "secret-key"),
        "DATABASE_URL": _sqlite(folder),
        "REDIS_URL": f"redis://{LOOPBACK}:{plan.broker_port}/0",
    }
    ours = {
        **{name: value for name, value in defaults.items() if not env.given(name)},
        "DEBUG": "1",
        "TELNYX_API_KEY": SIMULATOR_KEY_PREFIX + secrets.token_hex(16),
        "TELNYX_BASE_URL": f"http://{LOOPBACK}:{plan.simulator_port}/v2",
        "TELNYX_CONNECTION_ID": CONNECTION_ID,
        "TELNYX_WEBHOOK_URL": f"{plan.address}/webhooks/telnyx",
        metering.FOLDER: str(folder / "meters"),
        "PYTHONUNBUFFERED": "1",
        **(settled or {}),
    }
    _refuse_problems(env)
    overruled = {*ours, *_NOT_INHERITED}
    kept = {name: value for name, value in inherited.items() if name.removesuffix("_FILE") not in overruled}
    return {**kept, **ours}


def _refuse_problems(env: Environment) -> None:
    if env.problems:
        raise StandError(" ".join(str(problem) for problem in env.problems))


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'callcenter.sqlite3'}"


def _lasting_secret(path: Path) -> str:
    """Kept between starts, so that a restart logs nobody out."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Folders, named by prefix and pid, of commands that were killed."""
    for folder in parent.glob(f"{prefix}*"):
        pid = folder.name.removeprefix(prefix)
        if pid.isdigit() and not _runs(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def worker_answers(worker: str) -> bool:
    try:
        answers = celery_app.control.ping(timeout=1.0) or []
    except (redis.RedisError, OperationalError):  # the broker closed this connection; the next ping has a new one
        return False
    return any(node.startswith(f"{worker}@") for answer in answers for node in answer)


class Stand:
    """The processes of one stand, to be started in the order of the methods; each waits until it answers."""

    def __init__(self, plan: Plan, processes: Processes) -> None:
        self.plan = plan
        self._processes = processes
        self._environment = dict(os.environ)
        self.simulator = httpx.Client(base_url=f"http://{LOOPBACK}:{plan.simulator_port}", trust_env=False, timeout=10)

    def start_broker(self) -> None:
        if self.plan.broker != embedded.GIVEN:
            embedded.start_broker(
                self._processes,
                self.plan.broker,
                port=self.plan.broker_port,
                folder=Path(self.plan.folder),
                python=sys.executable,
            )

    def start_simulator(self, *, seed: int | None = None, speed: float = 1.0) -> None:
        options = {
            "--port": str(self.plan.simulator_port),
            "--webhook-url": self._environment["TELNYX_WEBHOOK_URL"],
            "--api-key": self._environment["TELNYX_API_KEY"],
            "--connection-id": CONNECTION_ID,
            "--keys": str(Path(self.plan.folder) / "simulator-keys"),
            "--speed": f"{speed:g}",
            # One writer at a time: SQLite answers late under load, and a late answer is still an answer.
            "--webhook-timeout": "10" if self.plan.database == "sqlite" else "2",
        }
        if seed is not None:
            options["--seed"] = str(seed)
        child = self._start("simulator", "callcenter.simulator", *(part for pair in options.items() for part in pair))
        self._environment["TELNYX_PUBLIC_KEY"] = self._wait(child, self._public_key)

    def start_web(self) -> None:
        child = self._start(
            "web", "uvicorn", "callcenter.asgi:application",
            "--host", LOOPBACK, "--port", str(self.plan.web_port), "--lifespan", "off",
            "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "2",
        )  # fmt: skip
        self._wait(child, lambda: self._web_answers(f"{self.plan.address}/admin/login/"))

    def start_worker(self, name: str = "worker") -> None:
        child = self._start(
            name, "celery", "--quiet", "-A", "callcenter", "worker", "-n", f"{name}@%h", "-P", "threads", "-c", "4",
            "--loglevel", settings.LOG_LEVEL,
            # Four threads: more of them in one Python process only wait for each other and for SQLite's one
            # writer. Few connections, for the embedded broker's sake; there is only one worker to hear from.
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        )  # fmt: skip
        self._wait(child, lambda: worker_answers(name))

    def start_sweep(self) -> None:
        self._processes.start("sweep", sys.executable, "manage.py", "sweep", env=self._environment)

    def check(self) -> None:
        """Raises StandError if a process ended that nobody asked to."""
        child = self._processes.ended(timeout=0)
        if child is not None:
            raise StandError(child.describe_end())

    def wait(self) -> None:
        """Until a process ends that nobody asked to; raises StandError."""
        child = self._processes.ended()
        if child is not None:
            raise StandError(child.describe_end())

    def _start(self, name: str, module: str, *arguments: str) -> Child:
        # Celery warns of running as root; on a developer's or a container's machine that is how it is.
        quiet = ["-W", "ignore:You're running the worker with superuser"]
        return self._processes.start(name, sys.executable, *quiet, "-m", module, *arguments, env=self._environment)

    def _wait(self, child: Child, answer: Callable[[], T]) -> T:
        """What ``answer`` returns once it is something. Raises StandError if the process ends before."""
        deadline = time.monotonic() + READY_SECS
        while time.monotonic() < deadline:
            self.check()
            found = answer()
            if found:
                return found
            time.sleep(0.05)
        raise StandError(f"{child.name} did not answer within {READY_SECS} s.")

    def _public_key(self) -> str:
        try:
            return str(self.simulator.get("/_sim/public-key").raise_for_status().json()["public_key"])
        except httpx.TransportError:
            return ""

    def _web_answers(self, url: str) -> bool:
        try:
            return httpx.get(url, trust_env=False, timeout=10).status_code < 500
        except httpx.TransportError:
            return False
