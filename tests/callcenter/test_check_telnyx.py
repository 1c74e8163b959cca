"""``manage.py check_telnyx`` against an account and webhook addresses on loopback."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.fixtures import Settings

from queues.models import Agent

ID = "1494404757140276705"
ERROR = {"errors": [{"code": "10009", "title": "Authentication failed"}]}


class Host(ThreadingHTTPServer):
    """One host: the account under /v2 with whatever reply is set, our webhook under /webhooks/telnyx."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply: tuple[int, Any] = (404, {})

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Host)
        status, body = {
            f"/v2/call_control_applications/{ID}": self.server.reply,
            "/webhooks/telnyx": (405, {}),
            "/moved": (302, {}),
        }.get(self.path, (404, {}))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    first, second = Host(), Host()
    threads = [threading.Thread(target=host.serve_forever, args=(0.01,)) for host in (first, second)]
    for thread in threads:
        thread.start()
    yield first, second
    for host in (first, second):
        host.shutdown()
        host.server_close()
    for thread in threads:
        thread.join(5)


@pytest.fixture
def account(hosts: tuple[Host, Host], settings: Settings) -> Iterator[dict[str, Any]]:
    """A good account as the API shows it; a test spoils it."""
    first, second = hosts
    application = {
        "id": ID,
        "application_name": "callcenter",
        "active": True,
        "webhook_api_version": "2",
        "webhook_event_url": f"{first.address}/webhooks/telnyx",
        "webhook_event_failover_url": f"{second.address}/webhooks/telnyx",
        "first_command_timeout": True,
        "inbound": {"channel_limit": 10},
        "outbound": {"channel_limit": 2, "outbound_voice_profile_id": "1293384261075731499"},
    }
    first.reply = (200, {"data": application})
    settings.TELNYX_API_KEY = "KEY0123456789"
    settings.TELNYX_BASE_URL = f"{first.address}/v2"
    settings.TELNYX_CONNECTION_ID = ID
    settings.TELNYX_WEBHOOK_URL = application["webhook_event_url"]
    settings.TELNYX_FAILOVER_URL = application["webhook_event_failover_url"]
    yield application
    # Closes this test's client, whose connections would outlive their server.
    settings.TELNYX_API_KEY = ""


@pytest.fixture
def two_agents(db: None) -> None:
    for number in (1, 2):
        Agent.objects.create(name=f"Agent {number}", address=f"sip:agent{number}@sip.example.com")


pytestmark = pytest.mark.usefixtures("two_agents")


def check() -> tuple[list[str], list[str]]:
    """The lines of what is well and of the problems; the exit code must agree."""
    output, code = StringIO(), 0
    try:
        call_command("check_telnyx", stdout=output, skip_checks=True)
    except CommandError as error:
        code = error.returncode
    lines = output.getvalue().splitlines()
    problems = [line.removeprefix("problem: ") for line in lines if line.startswith("problem: ")]
    assert code == (1 if problems else 0)
    return [line.removeprefix("ok: ") for line in lines if line.startswith("ok: ")], problems


def test_a_good_account_has_no_problem(account: dict[str, Any]) -> None:
    well, problems = check()
    assert problems == []
    subjects = [line.split(":")[0] for line in well]
    assert subjects == [
        "key",
        "application",
        "active",
        "webhook_api_version",
        "webhook_event_url",
        "webhook_event_failover_url",
        "failover host",
        "first_command_timeout",
        "outbound_voice_profile_id",
        "outbound channel_limit",
        "inbound channel_limit",
        "TELNYX_WEBHOOK_URL",
        "TELNYX_FAILOVER_URL",
    ]


@pytest.mark.parametrize(
    ("spoilt", "problem"),
    [
        ({"active": False}, "active: found False; must be true."),
        ({"webhook_api_version": "1"}, 'webhook_api_version: found 1; must be "2".'),
        ({"webhook_event_url": "https://other.example.com"}, "webhook_event_url: found https://other.example.com;"),
        ({"webhook_event_url": None}, "webhook_event_url: found nothing; must be TELNYX_WEBHOOK_URL, http://127"),
        ({"webhook_event_failover_url": ""}, "webhook_event_failover_url: found nothing; must be TELNYX_FAILOVER_URL"),
        ({"first_command_timeout": False}, "first_command_timeout: found False; must be true, or callers"),
        ({"first_command_timeout": None}, "first_command_timeout: found nothing; must be true, or callers"),
        ({"outbound": {"channel_limit": 2}}, "outbound_voice_profile_id: found nothing; without one nobody"),
        (
            {"outbound": {"channel_limit": 1, "outbound_voice_profile_id": "1"}},
            "outbound channel_limit: found 1; must be 2 or more, for 2 agents.",
        ),
        ({"inbound": {"channel_limit": 0}}, "inbound channel_limit: found 0; must be 2 or more, for 2 agents."),
    ],
)
def test_each_thing_that_would_break_the_product_is_one_line(
    account: dict[str, Any], spoilt: dict[str, Any], problem: str
) -> None:
    account.update(spoilt)
    _, problems = check()
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_an_application_without_limits_of_its_own_is_well(account: dict[str, Any]) -> None:
    account.update({"inbound": None, "outbound": {"outbound_voice_profile_id": "1"}})
    well, problems = check()
    assert problems == []
    assert "outbound channel_limit: none for this application; the account's own cannot be asked." in well


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ((401, ERROR), "key: Telnyx does not accept TELNYX_API_KEY."),
        ((404, {}), f"application: none has the id of TELNYX_CONNECTION_ID, {ID}."),
        ((403, {}), "application: Telnyx refuses to show it (403)."),
        ((503, {}), "Telnyx: TelnyxClient(base_url='http://127.0.0.1"),
        ((200, b"<html>"), "Telnyx: TelnyxClient(base_url='http://127.0.0.1"),
        ((302, {}), "application: Telnyx refuses to show it (302)."),
    ],
)
def test_an_account_that_cannot_be_asked_is_one_line_too(
    account: dict[str, Any], hosts: tuple[Host, Host], reply: tuple[int, Any], problem: str
) -> None:
    hosts[0].reply = reply
    well, problems = check()
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    assert [line.split(":")[0] for line in well][-2:] == ["TELNYX_WEBHOOK_URL", "TELNYX_FAILOVER_URL"]


def test_an_account_that_does_not_answer_is_one_line_too(account: dict[str, Any], settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings.TELNYX_BASE_URL = f"http://127.0.0.1:{port}/v2"
    _, problems = check()
    assert len(problems) == 1
    assert "got no usable answer (no connection (ConnectError)); the rest cannot be asked." in problems[0]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/nowhere", "a GET gets 404; 405 is what our webhook answers."),
        ("/moved", "a GET gets 302; 405 is what our webhook answers."),
    ],
)
def test_a_webhook_address_must_lead_to_our_webhook(
    account: dict[str, Any], settings: Settings, path: str, answer: str
) -> None:
    base = settings.TELNYX_WEBHOOK_URL.removesuffix("/webhooks/telnyx")
    settings.TELNYX_WEBHOOK_URL = account["webhook_event_url"] = base + path
    assert check()[1] == [f"TELNYX_WEBHOOK_URL: {answer}"]


def test_a_webhook_address_that_does_not_answer_is_told(account: dict[str, Any], settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks/telnyx"
    settings.TELNYX_FAILOVER_URL = account["webhook_event_failover_url"] = url
    _, problems = check()
    assert len(problems) == 1
    assert problems[0].startswith("TELNYX_FAILOVER_URL: a GET gets no answer (ConnectError: ")


def test_a_failover_on_the_same_host_is_no_failover(account: dict[str, Any], settings: Settings) -> None:
    settings.TELNYX_FAILOVER_URL = account["webhook_event_failover_url"] = settings.TELNYX_WEBHOOK_URL
    _, problems = check()
    assert len(problems) == 1
    assert problems[0].startswith("failover host: found 127.0.0.1:")


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("TELNYX_API_KEY", "", "TELNYX_API_KEY, TELNYX_BASE_URL: a Telnyx API key is visible ASCII text"),
        ("TELNYX_API_KEY", "KEY 1", "TELNYX_API_KEY, TELNYX_BASE_URL: a Telnyx API key is visible ASCII text"),
        ("TELNYX_BASE_URL", "telnyx", "TELNYX_API_KEY, TELNYX_BASE_URL: Telnyx's base URL is http:// or https://"),
        ("TELNYX_CONNECTION_ID", "", "TELNYX_CONNECTION_ID: found nothing; the application's id is needed."),
        ("TELNYX_CONNECTION_ID", "..", "TELNYX_CONNECTION_ID: id must be an identifier"),
        ("TELNYX_WEBHOOK_URL", "", "webhook_event_url: found http://127.0.0.1"),
        ("TELNYX_WEBHOOK_URL", "http://[", "webhook_event_url: found http://127.0.0.1"),
        ("TELNYX_FAILOVER_URL", "", "webhook_event_failover_url: found http://127.0.0.1"),
    ],
)
def test_nonsense_in_a_setting_is_a_line_and_not_a_traceback(
    account: dict[str, Any], settings: Settings, setting: str, value: str, problem: str
) -> None:
    setattr(settings, setting, value)
    _, problems = check()
    assert problems[0].startswith(problem)


def test_a_database_without_its_tables_is_a_line_and_the_rest_is_checked(account: dict[str, Any]) -> None:
    with connection.execute_wrapper(broken):
        _, problems = check()
    assert problems == ["database: the agents cannot be counted (no such table: queues_agent)."]


def broken(execute: Any, sql: str, *rest: Any) -> Any:
    from django.db import OperationalError

    raise OperationalError("no such table: queues_agent")


def test_the_key_is_not_shown(account: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert "KEY0123456789" not in f"{check()} {capsys.readouterr()}"
