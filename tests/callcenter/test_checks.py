"""Production starts complete or not at all: the checks, and the processes that obey them."""

import base64
import os
import runpy
import subprocess
import sys
import warnings

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from callcenter.processes import any_port
from tests.conftest import ROOT

READ_BY_CHECKS = (
    "ALLOWED_HOSTS",
    "CHAOS_PLANT",
    "DATABASES",
    "DEBUG",
    "ENVIRONMENT_PROBLEMS",
    "METRICS_TOKEN",
    "REDIS_URL",
    "REST_FRAMEWORK",
    "SECRET_KEY",
    "SECRET_KEY_GIVEN",
    "TELNYX_API_KEY",
    "TELNYX_BASE_URL",
    "TELNYX_CONNECTION_ID",
    "TELNYX_PUBLIC_KEY",
)
KEY = base64.b64encode(b"k" * 32).decode()
SECRET = "a-key-of-more-than-fifty-characters-0123456789-abcdefghij"
PRODUCTION: dict[str, str] = {
    "SECRET_KEY": SECRET,
    "ALLOWED_HOSTS": "calls.example.com",
    "DATABASE_URL": "postgres://callcenter:own@127.0.0.1:1/callcenter",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "TELNYX_API_KEY": "KEY0123",
    "TELNYX_CONNECTION_ID": "1494404757140276705",
    "TELNYX_PUBLIC_KEY": KEY,
}


def run(*command: str, **changes: str | None) -> "subprocess.CompletedProcess[str]":
    """A process with production's environment and nothing of ours; None takes a variable away."""
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, **changes}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("name", "value", "number", "found"),
    [
        ("DIALS_PER_SECOND", "many", 1, "found 'many'; accepted: a whole number from 1 to 1000."),
        ("SECRET_KEY", None, 2, "found nothing; accepted: at least 50 random characters."),
        ("SECRET_KEY", "short", 2, "found a weak key of 5 characters; accepted: at least 50, random."),
        ("ALLOWED_HOSTS", None, 3, "found nothing; accepted: the host names"),
        ("ALLOWED_HOSTS", "*", 3, "found '*'; accepted: the host names"),
        ("TELNYX_PUBLIC_KEY", None, 4, "found nothing; accepted: the public key of your Telnyx account."),
        (
            "TELNYX_PUBLIC_KEY",
            "AAAA",
            4,
            "a Telnyx public key is base64 text of 32 bytes; this one has 3 bytes.",
        ),
        ("TELNYX_PUBLIC_KEY", ",".join([KEY] * 3), 4, "found 3 keys; accepted: one, or two in a rotation."),
        ("TELNYX_API_KEY", None, 5, "found nothing; accepted: an API key of your Telnyx account."),
        ("TELNYX_API_KEY", "KEYSIMULATOR1", 5, "found the simulator's key; accepted: an API key"),
        ("CHAOS_PLANT", "no_sweeper", 12, "found 'no_sweeper'; accepted: nothing, it plants a fault."),
        (
            "TELNYX_CONNECTION_ID",
            None,
            5,
            "found nothing; accepted: the id of your call control application.",
        ),
        ("DATABASE_URL", None, 6, "found SQLite, which is for development; accepted: postgres://"),
        ("REDIS_URL", None, 7, "found nothing; accepted: redis://"),
        ("TELNYX_BASE_URL", "http://x/v2", 8, "found 'http://x/v2'; accepted: a URL with https://."),
        (
            "DATABASE_URL",
            "postgres://u:postgres@h/n",
            9,
            "found a default password; accepted: one of your own.",
        ),
        ("REDIS_URL", "redis://:redis@h/0", 9, "found a default password; accepted: one of your own."),
        ("METRICS_TOKEN", "short", 11, "found 5 characters; accepted: none, or at least 32, random."),
    ],
)
def test_production_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str, value: str | None, number: int, found: str
) -> None:
    expected = f"callcenter.E{number:03}: {name}: {found}"
    assert [line[: len(expected)] for line in errors(monkeypatch, settings, {name: value})] == [expected]


def test_complete_production_has_no_errors(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    assert errors(monkeypatch, settings, {}) == []


def errors(monkeypatch: pytest.MonkeyPatch, settings: Settings, changes: dict[str, str | None]) -> list[str]:
    """What the checks say to callcenter/settings.py as that environment makes it."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in {**PRODUCTION, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    read = runpy.run_path(str(ROOT / "callcenter" / "settings.py"))
    with warnings.catch_warnings(action="ignore"):  # "overriding DATABASES": nothing connects here
        for name in READ_BY_CHECKS:
            setattr(settings, name, read[name])
    return [f"{message.id}: {message.msg}" for message in run_checks(tags=["security"]) if message.is_serious()]


def test_complete_production_starts() -> None:
    done = run("-W", "ignore:No directory at", "-c", "import callcenter.wsgi, callcenter.asgi")
    assert (done.returncode, done.stderr) == (0, "")


def test_bare_defaults_name_everything_at_once() -> None:
    done = run("manage.py", "check", **dict.fromkeys(PRODUCTION))
    ids = {f"callcenter.E{number:03}" for number in (2, 3, 4, 5, 6, 7)}
    assert done.returncode == 1
    assert all(identity in done.stderr for identity in ids)


GUNICORN = ["-m", "gunicorn", "callcenter.wsgi", "--no-control-socket", "--bind", "127.0.0.1:{port}"]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-m", "uvicorn", "callcenter.asgi:application", "--port", "{port}"], id="uvicorn"),
        pytest.param(GUNICORN, id="gunicorn"),
        pytest.param(["-m", "celery", "-A", "callcenter", "worker"], id="celery"),
        pytest.param(["manage.py", "runserver", "--noreload", "{port}"], id="runserver"),
    ],
)
def test_every_server_obeys(command: list[str]) -> None:
    port = str(any_port())
    done = run(*[part.format(port=port) for part in command], TELNYX_PUBLIC_KEY=None)
    assert done.returncode != 0
    assert "TELNYX_PUBLIC_KEY: found nothing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("PERMISSION_CLASSES", ["rest_framework.permissions.AllowAny"], id="everybody may"),
        pytest.param("PERMISSION_CLASSES", [], id="nobody is asked"),
        pytest.param("AUTHENTICATION_CLASSES", ["rest_framework.authentication.BasicAuthentication"], id="basic"),
        pytest.param("THROTTLE_CLASSES", [], id="no throttle"),
    ],
)
def test_an_open_api_is_an_error(settings: Settings, name: str, value: list[str]) -> None:
    settings.DEBUG = True
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, f"DEFAULT_{name}": value}
    assert [message.id for message in run_checks()] == ["callcenter.E010"]


def test_throttling_by_an_identity_that_the_client_chose_is_an_error(settings: Settings) -> None:
    settings.DEBUG = True
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": None}
    assert [message.id for message in run_checks()] == ["callcenter.E010"]


def test_the_test_settings_pass_the_checks(settings: Settings) -> None:
    settings.DEBUG = True
    assert run_checks() == []
