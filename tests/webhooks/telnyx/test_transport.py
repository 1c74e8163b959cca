"""Time and size on real sockets: what a slow, endless or broken server can do to a worker."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from webhooks.telnyx import errors, transport
from webhooks.telnyx.client import TelnyxClient

OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 24\r\n\r\n{"data":{"result":"ok"}}'
Script = Callable[["Server", socket.socket], None]


class Server:
    """Accepts connections on loopback and lets a script answer each, until it is told to stop."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def receive(self, connection: socket.socket) -> bytes:
        """One request with its body; b"" at the connection's end."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return b""
            data += chunk
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(rest) < length:
            rest += connection.recv(65536)
        self.requests.append(head)
        return head

    def close(self) -> None:
        self.stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with connection:
            try:
                self.script(self, connection)
            except OSError:
                return  # the client has gone, as it should


def drip(server: Server, connection: socket.socket, data: bytes) -> None:
    for byte in data:
        if server.stopped.wait(0.05):
            return
        connection.sendall(bytes([byte]))


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same proportions in a tenth of the time."""
    monkeypatch.setattr(transport, "CONNECT_SECS", 0.1)
    monkeypatch.setattr(transport, "READ_SECS", 0.3)
    monkeypatch.setattr(transport, "TOTAL_SECS", 0.5)


def hang_up(port: int, host: str = "127.0.0.1") -> None:
    with TelnyxClient(api_key="KEY0123", base_url=f"http://{host}:{port}/v2") as client:
        client.calls.hangup("v3:leg", command_id="1")


def refused(port: int, host: str = "127.0.0.1") -> tuple[errors.TelnyxUnavailable, float]:
    started = time.monotonic()
    with pytest.raises(errors.TelnyxUnavailable) as error:
        hang_up(port, host)
    return error.value, time.monotonic() - started


def answers(server: Server, connection: socket.socket) -> None:
    while server.receive(connection):
        connection.sendall(OK)


def drips_its_head(server: Server, connection: socket.socket) -> None:
    server.receive(connection)
    drip(server, connection, b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 1000)


def drips_its_body(server: Server, connection: socket.socket) -> None:
    server.receive(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    drip(server, connection, b"a" * 1000)


def drips_chunks(server: Server, connection: socket.socket) -> None:
    server.receive(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    drip(server, connection, b"1\r\na\r\n" * 200)


def says_nothing(server: Server, connection: socket.socket) -> None:
    server.receive(connection)
    server.stopped.wait(5)


def closes(server: Server, connection: socket.socket) -> None:
    server.receive(connection)


def speaks_no_http(server: Server, connection: socket.socket) -> None:
    server.receive(connection)
    connection.sendall(b"220 mail.example.com ESMTP\r\n")


def never_ends(server: Server, connection: socket.socket) -> None:
    server.receive(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    while not server.stopped.is_set():
        connection.sendall(chunk)


def test_the_documented_times_are_the_ones_in_force() -> None:
    assert (transport.CONNECT_SECS, transport.READ_SECS, transport.TOTAL_SECS) == (1.0, 3.0, 5.0)


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("script", [drips_its_head, drips_its_body, drips_chunks])
def test_a_reply_that_trickles_in_is_cut_off_at_the_deadline(serve: Any, script: Script) -> None:
    error, took = refused(serve(script).port)
    assert error.sent
    assert 0.45 < took < 3


@pytest.mark.usefixtures("hurry")
def test_a_wait_that_began_before_the_deadline_ends_at_it(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_SECS", 3.0)

    def pauses_twice(server: Server, connection: socket.socket) -> None:
        server.receive(connection)
        server.stopped.wait(0.3)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        server.stopped.wait(5)

    _, took = refused(serve(pauses_twice).port)
    assert 0.45 < took < 2


@pytest.mark.usefixtures("hurry")
def test_a_server_that_says_nothing_is_given_up_after_the_read_timeout(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TOTAL_SECS", 5.0)
    error, took = refused(serve(says_nothing).port)
    assert error.sent
    assert 0.25 < took < 3


@pytest.mark.parametrize("script", [closes, speaks_no_http])
def test_a_broken_connection_leaves_the_outcome_unknown(serve: Any, script: Script) -> None:
    error, _ = refused(serve(script).port)
    assert error.sent
    assert error.status is None


def test_an_endless_reply_is_cut_off_at_the_size_limit(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 1_000_000)
    error, took = refused(serve(never_ends).port)
    assert error.sent
    assert took < 3


def test_a_port_where_nobody_listens_cannot_have_done_anything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error, _ = refused(port)
    assert not error.sent


def test_connections_are_kept_for_the_next_request(serve: Any) -> None:
    server = serve(answers)
    with TelnyxClient(api_key="KEY0123", base_url=f"http://127.0.0.1:{server.port}/v2") as client:
        for command_id in ("1", "2", "3"):
            client.calls.hangup("v3:leg", command_id=command_id)
    assert (server.connections, len(server.requests)) == (1, 3)


def test_a_deadline_is_each_requests_own(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TOTAL_SECS", 1.0)
    server = serve(answers)
    with TelnyxClient(api_key="KEY0123", base_url=f"http://127.0.0.1:{server.port}/v2") as client:
        for command_id in ("1", "2"):
            client.calls.hangup("v3:leg", command_id=command_id)
            time.sleep(1.1)
    assert len(server.requests) == 2


def test_proxies_of_the_environment_are_ignored(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server = serve(answers)
    hang_up(server.port)
    assert len(server.requests) == 1


@pytest.mark.usefixtures("hurry")
def test_a_name_that_resolves_too_late_sends_nothing(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, resolve = serve(answers), socket.getaddrinfo

    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.6)
        return resolve(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    error, _ = refused(server.port, host="localhost")
    assert not error.sent
    assert server.requests == []


def addresses(*hosts: str) -> Callable[..., Any]:
    def resolved(host: str, port: int, *_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in hosts]

    return resolved


def test_every_address_of_a_name_is_tried(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, found = serve(answers), socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **options: (
            addresses("127.0.0.2", "127.0.0.1")(host, *rest) if host == "telnyx.test" else found(host, *rest, **options)
        ),
    )
    hang_up(server.port, host="telnyx.test")
    assert len(server.requests) == 1


def test_a_name_that_does_not_exist_cannot_have_done_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error, _ = refused(443, host="telnyx.test")
    assert not error.sent


@pytest.mark.usefixtures("hurry")
def test_a_transport_of_another_kind_is_held_to_the_deadline_too() -> None:
    def slow() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.1)
            yield b" "

    answer = httpx.MockTransport(lambda request: httpx.Response(200, content=slow()))
    client = TelnyxClient(api_key="KEY0123", transport=answer)
    started = time.monotonic()
    with pytest.raises(errors.TelnyxUnavailable):
        client.calls.hangup("v3:leg", command_id="1")
    assert time.monotonic() - started < 3
