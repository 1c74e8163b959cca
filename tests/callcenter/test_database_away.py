"""Commands while the database is away: one line, and the sweep goes on when it is back."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db import connection

from callcenter.processes import LOOPBACK, any_port
from tests.conftest import ROOT


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "callcenter.settings", "DEBUG": "1", "DATABASE_URL": url}


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgres://u:s3cret@127.0.0.1:1/x", id="postgres"),
        pytest.param("sqlite:////nowhere/x", id="sqlite"),
    ],
)
@pytest.mark.parametrize("command", ["create_api_key crm --scope calls:read", "replay --all", "migrate"])
def test_a_command_says_in_one_line_that_the_database_is_away(command: str, url: str) -> None:
    words = [sys.executable, "manage.py", *command.split()]
    done = subprocess.run(words, cwd=ROOT, env=environment(url), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"DATABASE_URL: {url.replace('u:s3cret@', '')} cannot be used (")
    assert done.stderr.count("\n") == 1


@contextmanager
def sweeping(url: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "manage.py", "sweep"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(url), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(30) == 0


def first_lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    assert process.stderr is not None
    return [process.stderr.readline() for _ in range(count)]


def has_beaten(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT count(*) FROM callcenter_processheartbeat WHERE name LIKE 'sweep:%'")
        return bool(found.fetchone()[0])


def test_a_server_that_is_away_is_one_line_each_time() -> None:
    address = f"{LOOPBACK}:{any_port()}/x"
    with sweeping(f"postgres://u:hunter2@{address}") as process:
        lines = first_lines(process, 2)
    said = re.compile(rf"sweep interrupted: DATABASE_URL: postgres://{address} cannot be used \(.*Connection refused")
    assert all(said.search(line) for line in lines), lines
    assert not any("hunter2" in line for line in lines)


def test_it_goes_on_when_the_database_is_back(tmp_path: Path) -> None:
    away, back = tmp_path / "away", tmp_path / "back"
    away.mkdir()
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment(f"sqlite:///{away / 'x.sqlite3'}"),
        check=True,
    )
    with sweeping(f"sqlite:///{back / 'x.sqlite3'}") as process:
        assert all("(unable to open database file)" in line for line in first_lines(process, 2))
        away.rename(back)
        deadline = time.monotonic() + 20
        while not has_beaten(back / "x.sqlite3"):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_server_that_vanishes_is_given_up_within_seconds() -> None:
    """What is sent to it for 5 s in vain, or asked for in silence for 5 s and three times more, every 2 s."""
    connection.ensure_connection()
    told = connection.connection.info.get_parameters()
    options = ("tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count")
    assert [told[option] for option in options] == ["5000", "5", "2", "3"]
