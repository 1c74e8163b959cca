"""The Redis of a machine that has none: quick enough, and quiet when clients leave."""

import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from callcenter import embedded
from callcenter.environment import Environment
from callcenter.processes import LOOPBACK, Processes, any_port
from tests.conftest import ROOT


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def port(lines: list[str], tmp_path: Path) -> Iterator[int]:
    port = any_port()
    with Processes(write=lines.append, folder=ROOT) as processes:
        embedded.start_broker(processes, embedded.FAKE, port=port, folder=tmp_path, python=sys.executable)
        yield port


def hundred_pipelines(client: "redis.Redis") -> float:
    started = time.monotonic()
    for number in range(100):
        with client.pipeline(transaction=True) as pipeline:
            pipeline.lpush("list", number)
            pipeline.llen("list")
            pipeline.execute()
    return time.monotonic() - started


def test_a_hundred_transactions_take_less_than_a_second(port: int) -> None:
    """40 ms each with Nagle's algorithm on, 0.5 ms without; the best of three, for a busy machine."""
    with redis.Redis(host=LOOPBACK, port=port) as client:
        assert min(hundred_pipelines(client) for _ in range(3)) < 1
        assert client.llen("list") == 300


def test_clients_that_leave_in_the_middle_disturb_nobody(port: int, lines: list[str]) -> None:
    reset = struct.pack("ii", 1, 0)
    for sent in (b"", b"*2\r\n$3\r\nGET\r\n", b"*1\r\n$4\r\nPING\r\n" * 2000, b"nonsense\r\n"):
        for hard in (False, True):
            with socket.create_connection((LOOPBACK, port)) as client:
                client.sendall(sent)
                if hard:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    with redis.Redis(host=LOOPBACK, port=port) as client:
        assert client.ping()
    assert lines == []


def test_an_error_is_an_answer_and_the_connection_goes_on(port: int) -> None:
    """Celery asks for a script by its hash first, and loads it on the same connection when it is told there is none."""
    with redis.Redis(host=LOOPBACK, port=port, retry=None, single_connection_client=True) as client:
        before = client.client_id()
        with pytest.raises(redis.exceptions.NoScriptError):
            client.evalsha("0" * 40, 0)
        with pytest.raises(redis.ResponseError):
            client.execute_command("NO SUCH COMMAND")
        assert client.client_id() == before


def test_a_task_travels_through_celery(port: int) -> None:
    from celery import Celery

    # Not as the current one, or the tests after this one on its thread would patch it instead of ours.
    app = Celery("other", broker=f"redis://{LOOPBACK}:{port}/0", set_as_current=False)
    app.conf.task_ignore_result = True
    with app.connection_for_write() as connection:
        app.send_task("queues.route", args=["q"], queue="realtime", connection=connection)
    with app.connection_for_read() as connection, connection.SimpleQueue("realtime") as lane:
        message = lane.get(timeout=5)
        message.ack()
    assert message.headers["task"] == "queues.route"


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({"REDIS_URL": "redis://somewhere", "PATH": ""}, "redis"),
        ({"PATH": "{folder}"}, "valkey-server"),
        ({"REDIS_URL": "", "PATH": "/nowhere"}, "fakeredis"),
    ],
)
def test_the_broker_is_the_first_that_there_is(tmp_path: Path, environment: dict[str, str], chosen: str) -> None:
    program = tmp_path / "valkey-server"
    program.touch(mode=0o755)
    filled = {name: value.format(folder=tmp_path) for name, value in environment.items()}
    assert embedded.choose_broker(filled) == chosen


def test_a_broker_that_does_not_start_is_named(tmp_path: Path, lines: list[str]) -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as server,
        Processes(write=lines.append, folder=ROOT) as processes,
    ):
        taken = server.getsockname()[1]
        with pytest.raises(embedded.StoreUnavailable, match=r"^The private fakeredis did not start"):
            embedded.start_broker(processes, embedded.FAKE, port=taken, folder=tmp_path, python=sys.executable)


def test_a_store_that_does_not_answer_is_named_without_its_password() -> None:
    port = any_port()
    with pytest.raises(embedded.StoreUnavailable) as broker:
        embedded.check_redis(f"redis://:hunter2@{LOOPBACK}:{port}/0")
    url = f"postgres://u:hunter2@{LOOPBACK}:{port}/x"
    with pytest.raises(embedded.StoreUnavailable) as database:
        embedded.check_database(Environment({"DATABASE_URL": url}).database("DATABASE_URL", default=""))
    messages = str(broker.value), str(database.value)
    assert messages[0].startswith(f"REDIS_URL: no answer from redis://***@{LOOPBACK}:{port}/0 (")
    assert messages[1].startswith(f"DATABASE_URL: no answer from postgres://{LOOPBACK}:{port}/x (")
    assert all("\n" not in message and "hunter2" not in message for message in messages)
