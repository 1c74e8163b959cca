"""``dev`` and ``demo`` as a person starts them: the whole service, and one clear line for nonsense."""

import html
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from callcenter import stand
from callcenter.environment import Environment
from callcenter.processes import LOOPBACK, any_port
from tests.conftest import ROOT
from webhooks import metering

NOT_PASSED_ON = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "DEBUG", "LOG_LEVEL")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}


def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**environment(), **changes},
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
        ({"DATABASE_URL": "mysql://u:s3cret@h/n"}, "DATABASE_URL: found text of another shape; accepted: postgres://"),
        ({"DATABASE_URL": "postgres://u:s3/cret@h/n"}, "DATABASE_URL: found text of another shape; accepted: "),
        ({"DATABASE_URL": "postgres://h:1/n?s3cret=1"}, "DATABASE_URL: no answer from postgres://h:1/n ("),
        ({"DATABASE_URL": "sqlite:////nowhere/x"}, "DATABASE_URL: no answer from sqlite:////nowhere/x (unable to open"),
        ({"DATABASE_URL_FILE": "/nowhere"}, "DATABASE_URL_FILE: found a file that cannot be read"),
        ({"SECRET_KEY_FILE": "/nowhere"}, "SECRET_KEY_FILE: found a file that cannot be read"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL: no answer from redis://127.0.0.1:1/0 ("),
        ({"REDIS_URL": "redis://:s3cret@h:x/0"}, "REDIS_URL: found 'redis://***@h:x/0'; accepted: a URL with"),
    ],
)
def test_a_store_or_a_setting_that_cannot_be_used_is_one_line(changes: dict[str, str], said: str) -> None:
    done = run("dev", **changes)
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr


PLAN = {"database": "sqlite", "broker": "redis", "broker_port": 1, "web_port": 2, "simulator_port": 3}


def test_what_a_file_gives_counts_as_given_and_what_the_stand_sets_overrules_it(tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "TELNYX_API_KEY", "TELNYX_PUBLIC_KEY", "CACHE_URL", "LOG_LEVEL"):
        (tmp_path / name).write_text(f"{name} of a file\n")
    inherited = {f"{path.name}_FILE": str(path) for path in tmp_path.iterdir()}
    plan = stand.Plan(folder=str(tmp_path), **PLAN)  # type: ignore[arg-type]
    seen = Environment(stand._environment(plan, {**inherited, "SECRET_KEY": "own"}, log_level="WARNING"))
    for name in ("DATABASE_URL", "REDIS_URL", "LOG_LEVEL"):
        assert seen.text(name) == f"{name} of a file"
    assert seen.text("SECRET_KEY") == "own"
    assert seen.text("TELNYX_API_KEY").startswith("KEYSIMULATOR")
    assert not seen.given("TELNYX_PUBLIC_KEY")
    assert not seen.given("CACHE_URL")
    assert seen.text(metering.FOLDER) == str(tmp_path / "meters")


def test_the_store_that_a_file_names_is_the_one_that_is_announced(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgres://u:s3cret@127.0.0.1:1/x\n")
    done = run("demo", DATABASE_URL_FILE=str(tmp_path / "url"))
    assert done.stderr.startswith("CommandError: DATABASE_URL: no answer from postgres://127.0.0.1:1/x (")


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


@pytest.mark.backend
def test_a_demos_decision_is_read_in_the_admin_and_made_again_from_its_state(
    stores: dict[str, str], tmp_path: Path
) -> None:
    """As an operator would: the pages are fetched from the demo's own web, the state is copied from one into a file."""
    ports = ["--port", str(any_port()), "--simulator-port", str(any_port())]
    calls = ["--calls", "2", "--speed", "20", "--seed", "7", "--answering"]
    demo = subprocess.Popen(
        [sys.executable, "manage.py", "demo", *calls, *ports],
        cwd=ROOT,
        env={**environment(), **stores, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert demo.stdout is not None
        said = list(_up_to(demo.stdout, "calls: "))
        [(address, password)] = re.findall(r"at (\S+)/admin/ .* password (\S+)", "".join(said))
        with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as browser:
            _sign_in(browser, password)
            links = re.findall(r"/admin/queues/routingdecision/[0-9a-f-]{36}/", _page(browser, "routingdecision/"))
            pages = [browser.get(f"{link}change/").raise_for_status().text for link in dict.fromkeys(links)]
            offers = [page for page in pages if "<strong>" in _why(page)]
            assert offers
            for page in offers:
                [state] = re.findall(r"routingpass/[0-9a-f-]{36}/", page)[:1]
                [entry] = re.findall(r"queueentry/([0-9a-f-]{36})/", page)[:1]
                file = tmp_path / "state.json"
                file.write_text(_state_on(_page(browser, f"{state}change/")))
                answer = run("route", str(file), "--explain", DEBUG="1", SECRET_KEY="x")
                assert answer.returncode == 0, answer.stderr
                [again] = [each for each in json.loads(answer.stdout)["explain"] if each["call"] == entry]
                agents = [_page(browser, f"agent/{each['agent']}/change/") for each in again["chosen"]]
                names = [re.findall(r'name="name" value="(\w+)"', agent) for agent in agents]
                assert names == [[name] for name in re.findall(r"<strong>(\w+)</strong>", _why(page))]
    finally:
        demo.terminate()
        demo.communicate(timeout=60)


def _up_to(lines: Iterable[str], words: str) -> Iterator[str]:
    """With the line that has them, which has to come."""
    for line in lines:
        yield line
        if words in line:
            return
    raise AssertionError(f"it ended without {words!r}")


def _sign_in(browser: httpx.Client, password: str) -> None:
    browser.get("/admin/login/").raise_for_status()
    said = {"username": "olga", "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    browser.post("/admin/login/", data=said, headers={"Referer": str(browser.base_url)}).raise_for_status()


def _page(browser: httpx.Client, path: str) -> str:
    return browser.get(f"/admin/queues/{path}").raise_for_status().text


def _why(page: str) -> str:
    """Whom a decision's page says was chosen: the sentence with the names in bold."""
    return "".join(re.findall(r"<p>[^<]*: <strong>.*?</p>", page))


def _state_on(page: str) -> str:
    text = html.unescape(page)
    begin = text.index('{"now"')
    _, end = json.JSONDecoder().raw_decode(text, begin)
    return text[begin:end]
