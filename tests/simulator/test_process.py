"""The simulator as a program: its command line, its key, its port, and what it must not load."""

import asyncio
import os
import queue
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from callcenter.simulator.__main__ import KEY_FILE, main
from callcenter.simulator.asgi import LARGEST_BODY, SimulatorApp
from callcenter.simulator.simulator import Simulator
from tests.simulator.rig import CALLER, NUMBER, Rig
from webhooks.telnyx.events import Event, parse_event
from webhooks.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, parse_public_key, parse_signature, verify

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}


def test_the_simulator_loads_neither_django_nor_celery_nor_any_app() -> None:
    script = (
        "import sys, callcenter.simulator.__main__, callcenter.simulator.transport\n"
        "banned = ('django', 'celery', 'kombu', 'queues', 'conferences', 'telnyx')\n"
        "print([name for name in sys.modules if name.partition('.')[0] in banned])\n"
        "print([name for name in sys.modules if name.startswith('webhooks.') and name not in "
        "('webhooks.telnyx', 'webhooks.telnyx.events', 'webhooks.telnyx.signature')])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == ["[]", "[]"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "the following arguments are required: --webhook-url"),
        (["--webhook-url", "nonsense"], "--webhook-url: found 'nonsense', accepted is an http or https URL"),
        (["--webhook-url", "ftp://x/y"], "--webhook-url: found 'ftp://x/y'"),
        (["--webhook-url", "http://x:99999/"], "--webhook-url: found 'http://x:99999/'"),
        (["--webhook-url", "http://x", "--port", "70000"], "--port: found '70000', accepted are 0 to 65535"),
        (["--webhook-url", "http://x", "--port", "x"], "--port: found 'x'"),
        (["--webhook-url", "http://x", "--speed", "0"], "--speed: found '0', accepted is a number above 0"),
        (["--webhook-url", "http://x", "--speed", "nan"], "--speed: found 'nan'"),
        (["--webhook-url", "http://x", "--webhook-timeout", "-1"], "--webhook-timeout: found '-1'"),
        (["--webhook-url", "http://x", "--clock", "cuckoo"], "--clock: invalid choice: 'cuckoo'"),
        (["--webhook-url", "http://x", "--seed", "x"], "--seed: invalid int value: 'x'"),
        (["--webhook-url", "http://x", "--connection-id", "x"], "--connection-id: found 'x', accepted are digits"),
        (["--webhook-url", "http://x", "--volume", "11"], "unrecognized arguments: --volume 11"),
    ],
)
def test_nonsense_on_the_command_line_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--webhook-url", "http://x", "--port", str(port)]) == 2
    assert capsys.readouterr().err == f"simulator: --port: 127.0.0.1:{port} cannot be used: Address already in use\n"


def test_a_broken_key_is_one_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("not a key")
    assert main(["--webhook-url", "http://x", "--port", "0", "--keys", str(tmp_path)]) == 2
    assert "holds no signing key; remove it to have one made" in capsys.readouterr().err


def test_a_key_directory_that_is_a_file_is_one_clear_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert main(["--webhook-url", "http://x", "--port", "0", "--keys", str(tmp_path / "file")]) == 2
    assert "--keys: " in capsys.readouterr().err


# A process and a receiver, talking over ports


class Receiver:
    """An HTTP server that answers 200 and hands every webhook over."""

    def __init__(self) -> None:
        self.received: queue.Queue[tuple[Event, bytes, dict[str, str]]] = queue.Queue()
        received = self.received

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.put((parse_event(body), body, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/telnyx"

    def next(self) -> tuple[Event, bytes, dict[str, str]]:
        return self.received.get(timeout=30)

    def __enter__(self) -> "Receiver":
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@contextmanager
def process(*options: str, webhook_url: str) -> Iterator[httpx.Client]:
    """A simulator of its own, ended with a SIGTERM; yields a client of its address."""
    command = [sys.executable, "-m", "callcenter.simulator", "--port", "0", "--webhook-url", webhook_url, *options]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            assert line.startswith("simulator listening on http://127.0.0.1:"), line
            with httpx.Client(base_url=line.split()[-1], trust_env=False, timeout=30) as client:
                yield client
        finally:
            child.send_signal(signal.SIGTERM)
            assert child.wait(timeout=30) in {0, -signal.SIGTERM}


def test_a_call_through_the_process_and_back_as_signed_webhooks(tmp_path: Path) -> None:
    with Receiver() as receiver, process("--keys", str(tmp_path), webhook_url=receiver.url) as client:
        key = parse_public_key(client.get("/_sim/public-key").json()["public_key"])
        called = client.post("/_sim/calls", json={"from": CALLER, "to": NUMBER}).raise_for_status().json()
        event, body, headers = receiver.next()
        assert (event.event_type, event.payload["call_control_id"]) == ("call.initiated", called["call_control_id"])
        verify(
            body,
            signature=parse_signature(headers[SIGNATURE_HEADER]),
            timestamp=headers[TIMESTAMP_HEADER],
            keys=[key],
        )
        path = f"/v2/calls/{quote(called['call_control_id'], safe='')}"
        answered = client.post(f"{path}/actions/answer", json={})
        assert answered.json() == {"data": {"result": "ok"}}
        assert answered.headers["x-ratelimit-limit"]
        assert receiver.next()[0].event_type == "call.answered"
        assert client.get(path).json()["data"]["is_alive"]
        client.post(f"{path}/actions/speak", json={"payload": "x", "voice": "f"}).raise_for_status()
        assert [receiver.next()[0].event_type for _ in range(2)] == ["call.speak.started", "call.speak.ended"]

    private = tmp_path / KEY_FILE
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    with process("--keys", str(tmp_path), webhook_url="http://127.0.0.1:1") as again:
        assert parse_public_key(again.get("/_sim/public-key").json()["public_key"]) == key


def test_faults_over_a_port() -> None:
    with process(webhook_url="http://127.0.0.1:1") as client:
        client.put("/_sim/faults", json={"reset": 1})
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/v2/queues", json={"queue_name": "x"})
        client.put("/_sim/faults", json={"api_timeout_after_effect": 1})
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v2/queues", json={"queue_name": "y"}, timeout=httpx.Timeout(30, read=0.5))
        client.put("/_sim/faults", json={"api_slow": 1})
        assert "y" in [queue["name"] for queue in client.get("/v2/queues").json()["data"]]


def test_a_manual_clock_over_a_port() -> None:
    with Receiver() as receiver, process("--clock", "manual", "--seed", "3", webhook_url=receiver.url) as client:
        dialled = client.post(
            "/v2/calls", json={"connection_id": "1684641123236054244", "to": "sip:a@b", "from": NUMBER}
        ).json()["data"]
        assert receiver.next()[0].payload["call_control_id"] == dialled["call_control_id"]
        client.post("/_sim/clock", json={"advance_secs": 1}).raise_for_status()
        assert receiver.next()[0].event_type == "call.answered"


# ASGI without a server


def asgi(body: list[bytes], path: bytes = b"/v2/queues") -> list[dict[str, Any]]:
    """What the application sends for one POST whose body comes in these parts."""
    sent: list[dict[str, Any]] = []
    parts = [
        {"type": "http.request", "body": part, "more_body": number < len(body)} for number, part in enumerate(body, 1)
    ]

    async def receive() -> dict[str, Any]:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    with Simulator(clock="manual", post=lambda *_: 200) as simulator:
        scope = {"type": "http", "method": "POST", "raw_path": path, "query_string": b"", "headers": []}
        asyncio.run(SimulatorApp(simulator)(scope, receive, send))
    return sent


def test_a_body_in_parts_is_put_together() -> None:
    start, content = asgi([b'{"queue_', b'name": "x"}', b""])
    assert (start["status"], b'"name":"x"' in content["body"]) == (200, True)


def test_a_body_without_end_is_refused() -> None:
    start, _ = asgi([b"x" * LARGEST_BODY, b"x"])
    assert start["status"] == 413


def test_an_encoded_slash_is_part_of_the_name() -> None:
    with Simulator(clock="manual", post=lambda *_: 200) as simulator:
        rig = Rig.over(simulator)
        rig.post("/queues", queue_name="a/b c")
        assert rig.get("/queues/a%2Fb%20c")["data"]["name"] == "a/b c"


def test_a_fault_of_its_own_is_logged_and_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(simulator: Simulator, request: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(Simulator, "handle", broken)
    start, content = asgi([b"{}"])
    assert (start["status"], b'"code":"10007"' in content["body"]) == (500, True)
    assert "LookupError" in caplog.text


def test_a_timers_fault_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    fired = threading.Event()

    def broken() -> None:
        raise LookupError("a bug")

    with Simulator(post=lambda *_: 200) as simulator:
        with simulator.world.step():
            simulator.world.after(0, broken)
            simulator.world.after(0, fired.set)
        assert fired.wait(timeout=30)
    assert "LookupError" in caplog.text
