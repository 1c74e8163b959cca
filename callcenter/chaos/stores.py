"""A Postgres and a Redis of the run's own, as processes, so that they can be killed and started again."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg
import redis

from callcenter.embedded import StoreUnavailable
from callcenter.processes import LOOPBACK, Child, Processes

READY_SECS = 30
SUPERUSER = "postgres"
# Whom Postgres, which refuses to run as root, runs as where we are root.
UNPRIVILEGED = ("postgres", "nobody")
_PACKAGED = "/usr/lib/postgresql"


class Missing(StoreUnavailable):
    """This machine has not what a run of its own stores needs; the message says what to install."""


def find_postgres() -> Path:
    """The folder that holds ``initdb`` and ``postgres``, the newest version first. Raises Missing."""
    on_path = shutil.which("postgres")
    packaged = sorted(Path(_PACKAGED).glob("*/bin"), key=_version, reverse=True)
    for folder in [*([Path(on_path).resolve().parent] if on_path else []), *packaged]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Missing(f"Found no initdb and postgres on PATH or in {_PACKAGED}/*/bin; install the package postgresql.")


def find_redis() -> str:
    """The server's path. Raises Missing."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return found
    raise Missing("Found no redis-server on PATH; install the package redis-server.")


def run_as() -> list[str]:
    """What to put before a command that refuses to run as root; nothing where we are not root. Raises Missing."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    user = next((name for name in UNPRIVILEGED if _exists(name)), None)
    if setpriv is None or user is None:
        raise Missing("Postgres does not run as root, and there is no setpriv or no user to run it as; run as a user.")
    known = pwd.getpwnam(user)
    # Changing the user forgets the leash, so it is tied again.
    return [setpriv, f"--reuid={known.pw_uid}", f"--regid={known.pw_gid}", "--init-groups", "--pdeathsig=KILL"]


class Postgres:
    """One server with its data in a folder of its own."""

    name = "postgres"

    def __init__(self, processes: Processes, folder: Path, port: int) -> None:
        self._processes = processes
        self._bin = find_postgres()
        self._as = run_as()
        self._folder = folder / "postgres"
        self._port = port
        self._child: Child | None = None

    def create(self) -> None:
        """An empty cluster. Raises StoreUnavailable."""
        self._folder.mkdir()
        if self._as:
            user = next(name for name in UNPRIVILEGED if _exists(name))
            shutil.chown(self._folder, user)
            self._folder.parent.chmod(0o711)
        options = ["--pgdata", self._data, "--username", SUPERUSER, "--auth", "trust", "--no-sync", "--locale", "C"]
        made = subprocess.run(
            [*self._as, str(self._bin / "initdb"), *options, "--encoding", "UTF8"],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise StoreUnavailable(f"initdb failed: {' '.join(made.stderr.split())[-300:]}")

    def start(self) -> None:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self._port,
            "unix_socket_directories": self._folder,
            "max_connections": 200,
            # What clients do when it is killed is told by them.
            "log_min_messages": "panic",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [*self._as, str(self._bin / "postgres"), "-D", self._data, *options]
        self._child = self._processes.start(self.name, *command, last=True)

    @property
    def is_down(self) -> bool:
        """By us; it starts again in a moment."""
        return self._child is None

    def crash(self) -> None:
        """As ``pg_ctl stop -m immediate`` does: no checkpoint, every session cut."""
        self._end(signal.SIGQUIT)

    def wait(self) -> None:
        """Until it answers. Raises StoreUnavailable."""
        _wait(self.name, self.accepts)

    def accepts(self) -> bool:
        """Whether it takes a connection now."""
        try:
            psycopg.connect(host=LOOPBACK, port=self._port, user=SUPERUSER, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, signum: signal.Signals) -> None:
        if self._child is not None:
            self._processes.end(self._child, signum)
            self._child = None

    @property
    def _data(self) -> str:
        return str(self._folder / "data")


class Redis:
    """One server that keeps what it is told as production's does."""

    name = "redis"

    def __init__(self, processes: Processes, folder: Path, port: int) -> None:
        self._processes = processes
        self._program = find_redis()
        self._folder = folder / "redis"
        self._url = f"redis://{LOOPBACK}:{port}/0"
        self._port = port
        self._child: Child | None = None

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        options = {
            "--bind": LOOPBACK,
            "--port": str(self._port),
            "--dir": str(self._folder),
            "--loglevel": "warning",
            "--save": "",
            "--appendonly": "yes",
            "--appendfsync": "everysec",
            "--maxmemory-policy": "noeviction",
        }
        command = [self._program, *(part for option in options.items() for part in option)]
        self._child = self._processes.start(self.name, *command, last=True)

    def crash(self) -> None:
        if self._child is not None:
            self._processes.end(self._child)
            self._child = None

    def freeze(self) -> Callable[[], None]:
        """It takes connections, and says nothing. Returns what thaws it."""
        assert self._child is not None, "not started"  # noqa: S101
        return self._child.freeze()

    def flush(self) -> None:
        """Forget every message."""
        with redis.Redis.from_url(self._url, socket_connect_timeout=2, socket_timeout=5) as client:
            client.flushall()

    def wait(self) -> None:
        """Until it answers. Raises StoreUnavailable."""
        _wait(self.name, self._ping)

    def _ping(self) -> bool:
        try:
            with redis.Redis.from_url(self._url, socket_connect_timeout=2, socket_timeout=2) as client:
                client.ping()
        except redis.RedisError:
            return False
        return True


def _wait(name: str, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECS
    while not answers():
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"The run's own {name} did not answer within {READY_SECS} s.")
        time.sleep(0.05)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(_numbers(folder.parent.name.split(".")))


def _numbers(parts: Iterable[str]) -> Iterable[int]:
    return (int(part) for part in parts if part.isdigit())
