import os
import subprocess
import sys
from pathlib import Path

import pytest

from callcenter.environment import Environment, without_password
from tests.conftest import ROOT


def problems(env: Environment) -> list[str]:
    return [str(problem) for problem in env.problems]


@pytest.mark.parametrize("value", ["1", "true", "Yes", "ON", " true\n"])
def test_a_flag_is_on(value: str) -> None:
    assert Environment({"DEBUG": value}).flag("DEBUG") is True


@pytest.mark.parametrize("value", ["0", "false", "No", "off"])
def test_a_flag_is_off(value: str) -> None:
    assert Environment({"DEBUG": value}).flag("DEBUG", default=True) is False


@pytest.mark.parametrize("value", ["", "  "])
def test_empty_means_the_default(value: str) -> None:
    env = Environment({"DEBUG": value, "N": value, "U": value})
    assert (env.flag("DEBUG"), env.number("N", default=7, minimum=1, maximum=9), env.url("U")) == (
        False,
        7,
        "",
    )
    assert env.problems == []


@pytest.mark.parametrize("value", ["1_0", "+5", "5.0", "٥", "0", "1001", "-1", "ten"])
def test_a_number_out_of_shape_or_range_is_named_once_and_replaced_by_the_default(value: str) -> None:
    env = Environment({"DIALS": value})
    for _ in range(2):
        assert env.number("DIALS", default=25, minimum=1, maximum=1000) == 25
    assert problems(env) == [f"DIALS: found {value!r}; accepted: a whole number from 1 to 1000."]


def test_each_kind_of_nonsense_is_one_line_that_says_what_is_accepted() -> None:
    env = Environment(
        {
            "FLAG": "banana",
            "AUDIO": "loud",
            "URL": "ftp://x",
            "ZONE": "Mars/Olympus",
            "PORT": "http://h:99999/",
        }
    )
    env.flag("FLAG")
    env.choice("AUDIO", default="held", choices=["held", "stop_first"])
    env.url("URL")
    env.time_zone("ZONE", default="UTC")
    env.url("PORT")
    assert problems(env) == [
        "FLAG: found 'banana'; accepted: 1, true, yes, on or 0, false, no, off.",
        "AUDIO: found 'loud'; accepted: held or stop_first.",
        "URL: found 'ftp://x'; accepted: a URL with https:// or http://.",
        "ZONE: found 'Mars/Olympus'; accepted: an IANA time zone such as Europe/London.",
        "PORT: found 'http://h:99999/'; accepted: a URL with https:// or http://.",
    ]


@pytest.mark.parametrize("value", ["mysql://u:hunter2@h/n", "postgres://u:hunter2@h:x/n", "hunter2", "postgres://h"])
def test_a_database_url_that_cannot_be_read_is_not_repeated(value: str) -> None:
    env = Environment({"DATABASE_URL": value})
    assert env.database("DATABASE_URL", default="sqlite:////tmp/x")["NAME"] == "/tmp/x"
    assert len(env.problems) == 1
    assert "hunter2" not in problems(env)[0]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:hunter2@host/0", "redis://***@host/0"),
        ("redis://user:hunt@er2@host/0", "redis://***@host/0"),
        ("redis://:hunter2/x@host", "redis://***@host"),
        ("redis://[:hunter2@host", "redis://***@host"),
        ("redis://host/0?password=hunter2", "redis://host/0?***"),
        ("redis://host/0?password=hunt@er2", "redis://***"),
        ("redis://:hunt?er2@host", "redis://***"),
        ("user:hunter2@host", "***@host"),
        ("redis://:hunter2\n@host", "redis://***@host"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_a_url_that_cannot_be_used_is_named_without_its_password() -> None:
    env = Environment({"REDIS_URL": "http://:" + "s3cret" * 20 + "@host:6379/0"})
    assert env.url("REDIS_URL", schemes=["redis", "rediss"]) == ""
    assert problems(env) == ["REDIS_URL: found 'http://***@host:6379/0'; accepted: a URL with redis:// or rediss://."]


def test_a_secret_may_begin_with_a_dollar_sign() -> None:
    assert Environment({"SECRET_KEY": "$HOME"}).text("SECRET_KEY") == "$HOME"


def test_a_secret_is_read_from_the_file_that_its_name_with_file_names(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("from a file\n")
    assert Environment({"SECRET_KEY_FILE": str(path), "SECRET_KEY": "no"}).text("SECRET_KEY") == "from a file"


def test_a_file_that_is_not_there_is_named() -> None:
    env = Environment({"SECRET_KEY_FILE": "/nowhere"})
    assert env.text("SECRET_KEY") == ""
    assert problems(env)[0].startswith("SECRET_KEY_FILE: found a file that cannot be read")


def test_the_settings_can_be_imported_with_nothing_and_with_nonsense() -> None:
    for extra in ({}, {"DEBUG": "banana", "DATABASE_URL": "?", "REDIS_URL": "?", "LOG_LEVEL": "?"}):
        environment = {"PATH": os.environ["PATH"], **extra}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", "import callcenter.settings as s; print(s.DEBUG)"],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "False", "")
