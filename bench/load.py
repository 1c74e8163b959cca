"""Load that costs little: prepared requests over connections that are kept, one thread and one selector; and what a
server's processes cost, from ``/proc``."""

import os
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from callcenter.processes import LOOPBACK

CONNECTIONS = 8
_TICKS = os.sysconf("SC_CLK_TCK")


class Refused(Exception):
    """A reply that is no 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of it. ``delays`` are sorted, in seconds; ``client_secs`` is the CPU time of the sender itself."""

    delays: list[float]
    secs: float
    client_secs: float

    @property
    def rate(self) -> float:
        return len(self.delays) / self.secs

    def percentile(self, percent: int) -> float:
        return self.delays[min(len(self.delays) - 1, len(self.delays) * percent // 100)]


def request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """One POST as it goes over the wire."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {LOOPBACK}",
        "user-agent: bench",
        "accept: */*",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class _Line:
    """One connection: at most one request is on its way."""

    port: int
    wire: socket.socket = field(init=False)
    sent_at: float = 0.0
    received: bytes = b""

    def connect(self) -> None:
        self.wire = socket.create_connection((LOOPBACK, self.port), timeout=30)
        self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message: bytes) -> None:
        self.received, self.sent_at = b"", time.perf_counter()
        self.wire.sendall(message)

    def reply(self) -> tuple[int, bytes] | None:
        """Status and lower-case head once all of it is there."""
        piece = self.wire.recv(65536)
        if not piece:
            raise ConnectionResetError("the server closed a connection with a request on its way")
        self.received += piece
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        head = head.lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return (int(head[9:12]), head) if len(rest) >= length else None


def drive(port: int, requests: Iterator[bytes], *, secs: float, connections: int = CONNECTIONS) -> Load:
    """Keep every connection busy with the next request until ``secs`` have passed or none is left.

    Raises Refused for a reply that is no 200.
    """
    delays: list[float] = []
    cpu = time.process_time()
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for _ in range(connections):
            line = _Line(port)
            if (message := next(requests, None)) is not None:
                line.connect()
                line.send(message)
                selector.register(line.wire, selectors.EVENT_READ, line)
        while selector.get_map():
            for key, _ in selector.select():
                line = key.data
                if (reply := line.reply()) is None:
                    continue
                now = time.perf_counter()
                delays.append(now - line.sent_at)
                status, head = reply
                if status != 200:
                    raise Refused(status)
                message = next(requests, None) if now < began + secs else None
                if message is None or b"connection: close" in head:
                    selector.unregister(line.wire)
                    line.wire.close()
                if message is not None:
                    if line.wire.fileno() < 0:
                        line.connect()
                        selector.register(line.wire, selectors.EVENT_READ, line)
                    line.send(message)
        took = time.perf_counter() - began
    return Load(delays=sorted(delays), secs=took, client_secs=time.process_time() - cpu)


def cpu_secs(root: int) -> float:
    """CPU seconds, of user and kernel, that a process and all its descendants have used so far. Linux only."""
    used: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            pid = int(folder.name)
            used[pid] = int(fields[11]) + int(fields[12])
            children.setdefault(int(fields[1]), []).append(pid)
    family, found = [root], 0
    while family:
        pid = family.pop()
        found += used.get(pid, 0)
        family += children.get(pid, [])
    return found / _TICKS
