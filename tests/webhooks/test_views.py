"""The door: every refusal of SECURITY §2.1, and what comes in."""

import asyncio
import base64
import json
import logging
import os
import random
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.asgi import get_asgi_application
from django.db import OperationalError, connection
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from callcenter.processes import any_port
from conferences.models import CallLeg, Conference
from tests.callcenter import clients
from tests.conftest import ROOT
from tests.webhooks import sender
from tests.webhooks.sender import KEY, OTHER_KEY, body_of, event, headers, post, post_raw, public, with_headers
from webhooks import inbox, views
from webhooks.models import WebhookEvent
from webhooks.telnyx.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("door")]

SECRET = "nobody-may-read-this"
Status = WebhookEvent.Status


def refused(answer: HttpResponseBase) -> bool:
    """403 with the one body, no cookie, no row."""
    assert isinstance(answer.content, bytes)
    assert (answer.status_code, answer.content) == (403, b"refused\n")
    assert not answer.cookies
    return not WebhookEvent.objects.exists()


# signature ---------------------------------------------------------------------------------------------------


def test_a_signed_event_is_stored_and_answered_with_200() -> None:
    answer = post(event("call.answered", event_id="one", call_control_id="v3:x", call_session_id="s"))
    assert answer.status_code == 200
    row = WebhookEvent.objects.get()
    assert (row.event_id, row.event_type, row.status) == ("one", "call.answered", Status.NEW)
    assert (row.call_control_id, row.call_session_id, row.attempts) == ("v3:x", "s", 0)
    assert row.payload["call_control_id"] == "v3:x"


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("A" * 88, id="88 letters"),
        pytest.param(base64.b64encode(bytes(64)).decode(), id="64 zeros"),
        pytest.param(base64.b64encode(bytes(63)).decode(), id="63 bytes"),
        pytest.param(base64.b64encode(bytes(65)).decode(), id="65 bytes"),
        pytest.param("*" * 88, id="not base64"),
        pytest.param("é" * 88, id="not ascii"),
        pytest.param("A" * 100_000, id="very long"),
    ],
)
def test_a_garbled_signature_is_refused(signature: str | None) -> None:
    assert refused(post_raw(body_of(event()), with_headers(signature, str(int(time.time())))))


@pytest.mark.parametrize("junk", ["\n", " ", "!", "-", "=="])
def test_a_signature_has_one_spelling(junk: str) -> None:
    body = body_of(event())
    signed = headers(body)
    signature = signed[SIGNATURE_HEADER]
    assert refused(post_raw(body, signed | {SIGNATURE_HEADER: signature[:40] + junk + signature[40:]}))
    assert refused(post_raw(body, signed | {SIGNATURE_HEADER: signature[:40] + junk + signature[40 + len(junk) :]}))


@pytest.mark.parametrize("seed", range(50))
def test_one_bit_changed_is_refused(seed: int) -> None:
    rng = random.Random(seed)
    body, now = body_of(event()), int(time.time())
    signed = headers(body, timestamp=str(now))
    if seed % 2:
        changed = bytearray(body)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        assert refused(post_raw(bytes(changed), signed))
    else:
        changed_time = str(now ^ (1 << rng.randrange(8)))
        assert refused(post_raw(body, signed | {TIMESTAMP_HEADER: changed_time}))


def test_the_same_json_written_otherwise_is_another_body() -> None:
    document = event()
    signed = headers(body_of(document))
    assert refused(post_raw(json.dumps(document, indent=1).encode(), signed))


def test_a_signature_by_another_key_is_refused() -> None:
    assert refused(post(event(), key=OTHER_KEY))


def test_two_keys_are_accepted_during_a_rotation_and_a_removed_one_no_more(settings: Settings) -> None:
    settings.TELNYX_PUBLIC_KEY = f"{public(KEY)}, {public(OTHER_KEY)}"
    assert post(event(), key=KEY).status_code == 200
    assert post(event(), key=OTHER_KEY).status_code == 200
    settings.TELNYX_PUBLIC_KEY = public(OTHER_KEY)
    assert post(event(), key=KEY).status_code == 403
    assert post(event(), key=OTHER_KEY).status_code == 200
    assert WebhookEvent.objects.count() == 3


def test_without_any_key_nothing_comes_in(settings: Settings) -> None:
    settings.TELNYX_PUBLIC_KEY = ""
    assert refused(post(event()))


@pytest.mark.parametrize("away", [-301, -100_000, 302, 100_000])
def test_a_timestamp_too_far_away_is_refused(away: int) -> None:
    assert refused(post(event(), timestamp=str(int(time.time()) + away)))


@pytest.mark.parametrize("away", [-298, 0, 298])
def test_a_timestamp_within_five_minutes_is_accepted(away: int) -> None:
    assert post(event(), timestamp=str(int(time.time()) + away)).status_code == 200


@pytest.mark.parametrize("spelt", ["{:_}", " {}", "{} ", "+{}", "{}.0", "0x{:x}", "-{}", "{}\t", "000{}", ""])
def test_a_timestamp_is_plain_digits_or_refused(spelt: str) -> None:
    body, now = body_of(event()), int(time.time())
    signature = headers(body, timestamp=spelt.format(now) or "x")[SIGNATURE_HEADER]
    assert refused(post_raw(body, with_headers(signature, spelt.format(now))))


@pytest.mark.parametrize(
    "timestamp", [None, "１７００００００００", "٠١٢٣٤٥٦٧٨٩", "9" * 5000, "now", "NaN", "1e9", "1\x00"]
)
def test_a_timestamp_that_is_no_number_is_refused(timestamp: str | None) -> None:
    signature = headers(body_of(event()))[SIGNATURE_HEADER]
    assert refused(post_raw(body_of(event()), with_headers(signature, timestamp)))


def test_ten_replays_make_one_row() -> None:
    body = body_of(event("call.initiated", call_control_id="v3:once", direction="incoming"))
    signed = headers(body)
    for _ in range(10):
        assert post_raw(body, signed).status_code == 200
        inbox.apply(WebhookEvent.objects.get().pk)
    assert CallLeg.objects.count() == 1
    assert WebhookEvent.objects.get().attempts == 1


# shape of the request ----------------------------------------------------------------------------------------


def must_not_run(*_: object, **__: object) -> None:
    raise AssertionError("verified before its size was known")


@pytest.mark.parametrize("length", [256 * 1024 + 1, 2_000_000])
def test_a_large_body_is_refused_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(views, "verify", must_not_run)
    assert post(b"[" * length).status_code == 413


@pytest.mark.parametrize("length", ["1" * 8, "9" * 5000])
def test_an_announced_length_is_believed_before_anything_is_read(monkeypatch: pytest.MonkeyPatch, length: str) -> None:
    monkeypatch.setattr(views, "verify", must_not_run)
    assert post(event(), CONTENT_LENGTH=length).status_code == 413


def test_the_largest_body_is_accepted() -> None:
    document = event(filler="")
    document["data"]["payload"]["filler"] = "x" * (256 * 1024 - len(body_of(document)))
    assert len(body_of(document)) == 256 * 1024
    assert post(document).status_code == 200


@pytest.mark.parametrize("length", ["", "-1", "+10", " 10", "1_0", "ten", "１０"])
def test_without_a_plain_length_it_is_refused(monkeypatch: pytest.MonkeyPatch, length: str) -> None:
    monkeypatch.setattr(views, "verify", must_not_run)
    assert post(event(), CONTENT_LENGTH=length).status_code == 411


def test_a_chunked_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the application server's own eyes, which sees no length."""
    monkeypatch.setattr(views, "verify", must_not_run)
    body = body_of(event())

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=get_asgi_application())
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            kind = {"content-type": "application/json"}
            return await client.post(sender.URL, content=pieces(), headers=headers(body) | kind)

    assert asyncio.run(send()).status_code == 411


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(kind: str) -> None:
    assert post(event(), content_type=kind).status_code == 415
    assert not WebhookEvent.objects.exists()


def test_a_character_set_is_no_other_content_type() -> None:
    assert post(event(), content_type="application/json; charset=utf-8").status_code == 200


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head", "options"])
def test_only_posts_are_taken(method: str) -> None:
    answer = getattr(Client(), method)(sender.URL)
    assert answer.status_code == 405
    assert answer["Allow"] == "POST"


@pytest.fixture
def gunicorn() -> Iterator[int]:
    """Production's web process with two threads, at this port."""
    port = any_port()
    command = ["gunicorn", "callcenter.wsgi", "--worker-class", "callcenter.threads.Worker", "--threads", "2"]
    more = ["--no-control-socket", "--bind", f"127.0.0.1:{port}", "--log-level", "critical"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    with subprocess.Popen([sys.executable, "-m", *command, *more], cwd=ROOT, env=environment) as process:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield port
        process.terminate()


def trickle(port: int, head: str, begun: threading.Event) -> bytes:
    """This at once, and then a byte now and then for as long as anybody listens. Returns the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"POST {sender.URL} HTTP/1.1\r\nHost: localhost\r\n{head}".encode())
        begun.set()
        while not select.select([connection], [], [], 0.2)[0]:
            connection.sendall(b"x")
        with suppress(ConnectionResetError):
            return connection.recv(1000)
        return b""


def test_who_sends_a_byte_now_and_then_keeps_nobody_out(gunicorn: int) -> None:
    """One holds a thread with his headers, the other one one with his body: gunicorn alone waits for ever."""
    signed = "".join(f"{name}: {value}\r\n" for name, value in headers(b"{}").items())
    body = f"{signed}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with ThreadPoolExecutor(2) as pool:
        both = [threading.Event(), threading.Event()]
        slow = [pool.submit(trickle, gunicorn, head, begun) for head, begun in zip((body, "X-"), both, strict=True)]
        assert all(begun.wait(10) for begun in both)
        time.sleep(0.5)  # both have a thread
        assert httpx.get(f"http://127.0.0.1:{gunicorn}/healthz", headers={"host": "localhost"}, timeout=60).is_success
        assert slow[0].result(60).startswith(b"HTTP/1.1 408 ")
        assert not slow[1].result(60).startswith(b"HTTP/1.1 2")


# what is said about a refusal --------------------------------------------------------------------------------


def test_every_refusal_says_the_same() -> None:
    body, now = body_of(event()), str(int(time.time()))
    answers = [
        post_raw(body, {}),
        post_raw(body, with_headers("A" * 88, now)),
        post_raw(body, with_headers(None, now)),
        post(event(), key=OTHER_KEY),
        post(event(), timestamp="1"),
        post(event(), timestamp="nonsense"),
    ]
    seen = {(answer.status_code, answer.content, tuple(sorted(answer.headers.items()))) for answer in answers}  # type: ignore[attr-defined]
    assert len(seen) == 1


def test_nothing_of_a_refused_body_is_logged_or_answered(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    document = event(secret=SECRET)
    answers = [
        post(document, key=OTHER_KEY),
        post(document, content_type="text/plain"),
        post(document, CONTENT_LENGTH=""),
        post(document, CONTENT_LENGTH="99999999"),
        post(f'{{"data": "{SECRET}"'.encode()),
        post({"data": {"event_type": SECRET * 10, "payload": {}}}),
        post({"data": {"event_type": "x", "id": [SECRET], "payload": {}}}),
    ]
    assert [answer.status_code for answer in answers] == [403, 415, 411, 413, 400, 400, 400]
    assert "webhook refused status=403 reason=signature_wrong" in caplog.text
    assert SECRET not in caplog.text
    assert not any(SECRET.encode() in answer.content for answer in answers)  # type: ignore[attr-defined]


def test_neither_session_nor_user_is_looked_at() -> None:
    client = Client()
    client.force_login(clients.user("conferences.monitor_conference"))
    with CaptureQueriesContext(connection) as queries:
        answer = post(event(), client=client)
    assert answer.status_code == 200
    assert len(queries) == 1
    assert queries[0]["sql"].startswith("INSERT INTO")
    assert not answer.cookies


def test_only_this_door_needs_no_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    assert post(event(), client=client).status_code == 200
    assert client.post("/admin/login/", {"username": "a", "password": "b"}).status_code == 403


# signed, but no event ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b" ", id="blank"),
        pytest.param(b"\xff\xfe\xfd", id="not text"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(b'{"data": []}', id="a list in it"),
        pytest.param(b'{"data": {"event_type": 1, "payload": {}}}', id="a number for a type"),
        pytest.param(b'{"data": {"event_type": "call.answered"}}', id="no payload"),
        pytest.param(b'{"data": {"event_type": "call.answered", "id": 5, "payload": {}}}', id="a number for an id"),
        pytest.param(b'{"data": {"event_type": "x", "id": "", "payload": {}}}', id="an empty id"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="deep nesting"),
        pytest.param(b'{"data": ' * 10_000 + b"1" + b"}" * 10_000, id="deep objects"),
        pytest.param(b'{"data": {"event_type": "x", "payload": {"n": ' + b"9" * 5000 + b"}}}", id="a huge integer"),
        pytest.param(b'{"data": {"event_type": "x", "payload": {"n": NaN}}}', id="not a number"),
        pytest.param(b'{"data": {"event_type": "x", "payload": {"n": -Infinity}}}', id="infinity"),
        pytest.param(b'{"data": {"event_type": "x", "payload": {"n": 1e999}}}', id="too large a number"),
        pytest.param(b'{"data": {"event_type": "x", "payload": {"t": "\\u0000"}}}', id="a NUL in a value"),
        pytest.param(b'{"data": {"event_type": "x", "payload": {"\\u0000": 1}}}', id="a NUL in a name"),
        pytest.param(b'{"data": {"event_type": "x\\u0000", "payload": {}}}', id="a NUL in the type"),
        pytest.param(b'{"data": {"event_type": "x", "id": "\\u0000", "payload": {}}}', id="a NUL in the id"),
        pytest.param(b'{"data": {"event_type": "x", "payload": {"t": ["\\ud800"]}}}', id="half a character"),
        pytest.param(b'{"data": {"event_type": "x", "id": "\\udfff", "payload": {}}}', id="half an id"),
        pytest.param(
            b'{"data": {"event_type": "x", "payload": {"a": ' + b"[" * 700 + b"]" * 700 + b"}}}", id="700 deep"
        ),
    ],
)
def test_signed_junk_is_a_400(body: bytes) -> None:
    answer = post(body)
    assert answer.status_code == 400
    assert not WebhookEvent.objects.exists()


def test_an_escape_that_is_only_spelt_like_a_nul_is_text() -> None:
    assert post(event(text="\\u0000 and \\ud800")).status_code == 200
    assert WebhookEvent.objects.get().payload["text"] == "\\u0000 and \\ud800"


# whose and what ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        event("call.answered", connection_id="999"),
        event("call.answered", connection_id=999),
        event("call.ai_gather.ended"),
        event("no.such.event"),
    ],
    ids=["another connection", "another connection, as a number", "a type we do not handle", "an unknown type"],
)
def test_what_is_not_for_us_is_kept_and_ignored(document: dict[str, Any]) -> None:
    assert post(document).status_code == 200
    row = WebhookEvent.objects.get()
    assert row.status == Status.IGNORED
    assert not inbox.apply(row.pk)
    assert not CallLeg.objects.exists()


@pytest.mark.parametrize("enveloped", [True, False])
def test_a_change_of_floor_comes_with_and_without_its_envelope(enveloped: bool) -> None:
    at = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    document = event("conference.floor.changed", conference_id="c", call_control_id="v3:speaker", at=at)
    data = document["data"]
    data["payload"]["occurred_at"] = data.pop("occurred_at")
    assert post(document if enveloped else data).status_code == 200
    inbox.apply(WebhookEvent.objects.get().pk)
    conference = Conference.objects.get()
    assert (conference.floor_call_control_id, conference.floor_changed_at) == ("v3:speaker", at)


def test_an_event_without_an_id_still_meets_its_repeats() -> None:
    document = event("conference.floor.changed", conference_id="c")
    del document["data"]["id"]
    body = body_of(document["data"])
    assert [post(body).status_code for _ in range(3)] == [200] * 3
    assert WebhookEvent.objects.count() == 1


def test_an_earlier_floor_changes_nothing() -> None:
    at = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    for leg, secs in (("v3:late", 5), ("v3:early", 0)):
        moment = at + timedelta(seconds=secs)
        post(event("conference.floor.changed", conference_id="c", call_control_id=leg, at=moment))
        inbox.apply(WebhookEvent.objects.latest("id").pk)
    assert Conference.objects.get().floor_call_control_id == "v3:late"


AT, LATER = "2026-03-02T10:00:00.5Z", "2026-03-02T10:00:09Z"


@pytest.mark.parametrize(
    ("envelope", "payload"),
    [
        pytest.param({"occurred_at": AT}, {"recording_ended_at": LATER}, id="envelope"),
        pytest.param({}, {"occurred_at": AT}, id="payload"),
        pytest.param({}, {"occured_at": AT}, id="misspelt"),
        pytest.param({}, {"recording_started_at": LATER, "recording_ended_at": AT}, id="a recording's end"),
        pytest.param({"occurred_at": "yesterday"}, {"occurred_at": AT}, id="nonsense first"),
        pytest.param({"occurred_at": 7}, {"occurred_at": "2026-03-02T12:00:00.500+02:00"}, id="another zone"),
        pytest.param({}, {"occurred_at": "2026-03-02T10:00:00.500"}, id="no zone"),
    ],
)
def test_when_it_happened_is_found_wherever_telnyx_put_it(envelope: dict[str, Any], payload: dict[str, Any]) -> None:
    document = event("call.recording.saved", **payload)
    del document["data"]["occurred_at"]
    document["data"] |= envelope
    assert post(document).status_code == 200
    assert WebhookEvent.objects.get().occurred_at == datetime(2026, 3, 2, 10, 0, 0, 500_000, tzinfo=UTC)


def test_where_it_is_nowhere_the_arrival_stands_for_it() -> None:
    document = event("call.answered")
    del document["data"]["occurred_at"]
    post(document)
    row = WebhookEvent.objects.get()
    assert row.occurred_at == row.received_at


# faults of ours ----------------------------------------------------------------------------------------------


def test_a_database_fault_is_a_5xx_so_that_telnyx_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object, **__: object) -> bool:
        raise OperationalError("the database is away")

    monkeypatch.setattr(inbox, "store", down)
    answer = post(event(), client=Client(raise_request_exception=False))
    assert answer.status_code == 500


# at once -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_hundred_requests_at_once_make_one_row_and_one_effect() -> None:
    body = body_of(event("call.initiated", call_control_id="v3:once", direction="incoming", to="+442071838750"))
    signed = headers(body)

    def deliver(_: int) -> int:
        try:
            status = post_raw(body, signed).status_code
            for pk in WebhookEvent.objects.values_list("pk", flat=True):
                inbox.apply(pk)
            return status
        finally:
            connection.close()

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(deliver, range(100)))
    assert answers == [200] * 100
    row = WebhookEvent.objects.get()
    assert (row.status, row.attempts) == (Status.DONE, 1)
    leg = CallLeg.objects.get()
    assert leg.call.leg_id == leg.pk


# Telnyx's own examples ---------------------------------------------------------------------------------------


def test_the_test_vectors_of_telnyx_are_accepted(telnyx_spec_dir: Path, settings: Settings) -> None:
    time_machine = pytest.importorskip("time_machine", reason="needs requirements-dev.txt")
    given = json.loads((telnyx_spec_dir / "signature-test-vectors.json").read_text())
    settings.TELNYX_PUBLIC_KEY = given["public_key_b64"]
    for vector in given["vectors"]:
        named = vector.get("body_file")
        body = (telnyx_spec_dir / named).read_bytes() if named else vector["body_utf8"].encode()
        signed = with_headers(vector["signature_b64"], vector["timestamp"])
        with time_machine.travel(int(vector["timestamp"]), tick=False):
            # The one without a type passes the signature and is then found to be no event.
            assert post_raw(body, signed).status_code == (200 if named else 400)
            assert post_raw(body + b" ", signed).status_code == 403


@pytest.mark.parametrize("backwards", [False, True])
def test_every_example_of_telnyx_is_stored_and_applied(
    telnyx_spec_dir: Path, settings: Settings, backwards: bool
) -> None:
    paths = sorted((telnyx_spec_dir / "webhook-examples").glob("[!_]*.json"), reverse=backwards)
    assert len(paths) > 40
    for number, path in enumerate(paths):
        document = json.loads(path.read_text())
        data = document.get("data", document)
        data["id"] = f"example-{number}"  # the examples share one
        settings.TELNYX_CONNECTION_ID = data["payload"].get("connection_id", "")
        assert post(document).status_code == 200, path.name
        row = WebhookEvent.objects.get(event_id=f"example-{number}")
        assert row.event_type == data["event_type"]
        if row.status != Status.IGNORED:
            assert inbox.apply(row.pk), f"{path.name}: {WebhookEvent.objects.get(pk=row.pk).error}"
    assert WebhookEvent.objects.filter(status=Status.DONE).count() >= 28


# the door ----------------------------------------------------------------------------------------------------


def test_another_host_is_refused() -> None:
    assert post(event(), HTTP_HOST="elsewhere.example.com").status_code == 400
    assert not WebhookEvent.objects.exists()


def test_its_answers_have_a_length() -> None:
    assert (post(event())["Content-Length"], post(event(), key=OTHER_KEY)["Content-Length"]) == ("0", "8")


def test_an_asynchronous_server_has_the_same_door(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = []
    monkeypatch.setattr(inbox, "store", lambda event, **_: stored.append(event.id))
    body = body_of(event(event_id="over ASGI"))

    async def send(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=get_asgi_application())
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.post(path, content=body, headers=headers(body) | {"content-type": "application/json"})

    answer = asyncio.run(send(sender.URL))
    assert (answer.status_code, answer.headers["content-length"], stored) == (200, "0", ["over ASGI"])
    assert asyncio.run(send(sender.URL + "/else")).status_code == 404
