"""``dev`` and ``demo`` as a person starts them: the whole service, and one clear line for nonsense."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from callcenter.processes import LOOPBACK, any_port
from tests.conftest import ROOT

NOT_PASSED_ON = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "DEBUG", "LOG_LEVEL")


def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**environment, **changes},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--exit"], "--exit needs --calls N: without it callers go on ringing."),
        (["demo", "--calls", "0"], "found '0'; accepted: a whole number from 1 to 100000"),
        (["demo", "--speed", "fast"], "found 'fast'; accepted: a number from 0.1 to 100"),
        (["demo", "--without", "web"], "invalid choice: 'web' (choose from 'sweep', 'worker')"),
        (["dev", "--port", "99999"], "found '99999'; accepted: a whole number from 1 to 65535"),
    ],
)
def test_a_nonsensical_argument_is_answered_in_one_line(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError) as caught:
        call_command(*arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DIALS_PER_SECOND": "many"}, "DIALS_PER_SECOND: found 'many'; accepted: a whole number from 1 to 1000."),
        ({"DATABASE_URL": "postgres://127.0.0.1:1/x"}, "DATABASE_URL: no answer from postgres://127.0.0.1:1/x ("),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL: no answer from redis://127.0.0.1:1/0 ("),
    ],
)
def test_a_store_or_a_setting_that_cannot_be_used_is_one_line(changes: dict[str, str], said: str) -> None:
    done = run("dev", **changes)
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        done = run("dev", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"CommandError: Port {port} on {LOOPBACK} is in use; name another or leave it out for a free one.\n"
    )


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of the environment if it names any, the database a new one; else SQLite, and fakeredis as PATH is empty."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        yield {"PATH": str(tmp_path), **({"REDIS_URL": settings.REDIS_URL} if settings.REDIS_URL else {})}
        return
    base, name = os.environ["DATABASE_URL"], f"callcenter_demo_{os.getpid()}"
    with psycopg.connect(base, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        try:
            url = base.rpartition("/")[0] + f"/{name}"
            yield {"DATABASE_URL": url, **({"REDIS_URL": settings.REDIS_URL} if settings.REDIS_URL else {})}
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.mark.backend
def test_a_demo_brings_every_call_to_a_right_end(stores: dict[str, str]) -> None:
    ports = ["--port", str(any_port()), "--simulator-port", str(any_port())]
    done = run("demo", "--calls", "4", "--speed", "20", "--seed", "7", "--exit", "--json", *ports, **stores)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["answered"] + summary["abandoned"] == summary["calls"] == 4
    assert (summary["lost"], summary["double_booked"], summary["invariant_violations"]) == (0, 0, 0)
    assert summary["backends"]["database"] == ("postgres" if "DATABASE_URL" in stores else "sqlite")
    assert summary["backends"]["broker"] == ("redis" if "REDIS_URL" in stores else "fakeredis")
