"""Which database and Redis a stand uses: those of the environment, else the machine's, else our own."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis

from callcenter import databases
from callcenter.environment import Environment, without_password
from callcenter.processes import LOOPBACK, Processes

GIVEN = "redis"
FAKE = "fakeredis"
_SERVERS = ("redis-server", "valkey-server")
_READY_SECS = 15


class StoreUnavailable(Exception):
    """A store that the environment names does not answer, or an embedded one did not start."""


def choose_broker(environment: Mapping[str, str]) -> str:
    """``redis`` if REDIS_URL is set, else the first Redis server on PATH, else fakeredis."""
    if Environment(environment).given("REDIS_URL"):
        return GIVEN
    path = environment.get("PATH")
    return next((name for name in _SERVERS if shutil.which(name, path=path)), FAKE)


def start_broker(processes: Processes, program: str, *, port: int, folder: Path, python: str) -> None:
    """Start the private broker and wait until it answers. Raises StoreUnavailable."""
    child = processes.start("broker", *_command(program, port=port, folder=folder, python=python), last=True)
    deadline = time.monotonic() + _READY_SECS
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            raise StoreUnavailable(f"The private {program} did not start: {child.describe_end()}")
        try:
            _ping(f"redis://{LOOPBACK}:{port}/0")
        except redis.RedisError:
            time.sleep(0.02)
        else:
            return
    raise StoreUnavailable(f"The private {program} did not answer within {_READY_SECS} s.")


def _command(program: str, *, port: int, folder: Path, python: str) -> list[str]:
    if program == FAKE:
        return [python, "-m", "callcenter.fake_redis", "--port", str(port)]
    options = {
        "--bind": LOOPBACK,
        "--port": str(port),
        "--dir": str(folder),
        "--logfile": str(folder / "broker.log"),
        # What is due stands in the database: nothing here is worth keeping.
        "--save": "",
        "--appendonly": "no",
        "--maxmemory-policy": "noeviction",
    }
    return [program, *(part for option in options.items() for part in option)]


def check_redis(url: str) -> None:
    """Raises StoreUnavailable, naming the server without its password."""
    try:
        _ping(url)
    except (redis.RedisError, ValueError) as error:
        raise StoreUnavailable(f"REDIS_URL: no answer from {without_password(url)} ({error}).") from None


def check_database(parsed: dict[str, Any]) -> None:
    """Takes what ``Environment.database`` made. Raises StoreUnavailable, naming the server without its password."""
    reason = databases.refusal(databases.connection(parsed))
    if reason:
        raise StoreUnavailable(f"DATABASE_URL: no answer from {databases.address(parsed)} ({reason}).")


def _ping(url: str) -> None:
    with redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2) as client:
        client.ping()
