"""How many signed webhooks a second one production web process (gunicorn gthread) verifies, stores and acknowledges."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from nacl.signing import SigningKey

from callcenter.processes import LOOPBACK, Processes, any_port
from webhooks.telnyx.signature import sign

ROOT = Path(__file__).resolve().parent.parent
EVENTS = 2000
CLIENTS = 4
CONNECTION_ID = "1494404757140276705"


def run() -> str:
    key = SigningKey.generate()
    with tempfile.TemporaryDirectory() as folder, _web(key, folder) as url:
        _post(url, key, 50)  # imports, connections
        began = time.monotonic()
        delays = _from_several_clients(url, key)
        took = time.monotonic() - began
    delays.sort()
    p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    return f"{EVENTS / took:.0f} events/s over {CLIENTS} connections, p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"


@contextmanager
def _web(key: SigningKey, folder: str) -> Iterator[str]:
    port = any_port()
    environment = {
        "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
        "REDIS_URL": f"redis://{LOOPBACK}:1/0",  # nobody there: a nudge may cost a webhook nothing
        **os.environ,
        "DEBUG": "1",
        "LOG_LEVEL": "ERROR",
        "TELNYX_CONNECTION_ID": CONNECTION_ID,
        "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(key.verify_key)).decode(),
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    with Processes(write=lambda line: print(line, file=sys.stderr), folder=ROOT) as processes:
        processes.start(
            "web", sys.executable, "-m", "gunicorn", "callcenter.wsgi", "--bind", f"{LOOPBACK}:{port}",
            "--worker-class", "gthread", "--threads", "8", "--no-control-socket", "--log-level", "error",
            env=environment,
        )  # fmt: skip
        url = f"http://{LOOPBACK}:{port}/webhooks/telnyx"
        while not _listens(url):
            if (child := processes.ended(timeout=0.1)) is not None:
                raise SystemExit(child.describe_end())
        yield url


def _listens(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _from_several_clients(url: str, key: SigningKey) -> list[float]:
    delays: list[float] = []
    share = EVENTS // CLIENTS
    clients = [threading.Thread(target=lambda: delays.extend(_post(url, key, share))) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return delays


def _post(url: str, key: SigningKey, count: int) -> list[float]:
    """Seconds to the acknowledgement, per event."""
    delays = []
    with httpx.Client(trust_env=False, timeout=30) as client:
        for _ in range(count):
            body = _event()
            headers = {"content-type": "application/json", **sign(body, timestamp=str(int(time.time())), key=key)}
            began = time.monotonic()
            client.post(url, content=body, headers=headers).raise_for_status()
            delays.append(time.monotonic() - began)
    return delays


def _event() -> bytes:
    """Of a type we only keep, so that storing is all there is."""
    payload = {"call_control_id": f"v3:{uuid.uuid4()}", "connection_id": CONNECTION_ID}
    data = {
        "record_type": "event",
        "event_type": "call.bridged",
        "id": str(uuid.uuid4()),
        "occurred_at": "2026-01-01T00:00:00.000000Z",
        "payload": payload,
    }
    return json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "http://bench"}}).encode()
