"""What the client does with replies, lists and secrets. httpx.MockTransport is the other end of the wire."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from tests.webhooks.telnyx.cases import LEG, OTHER_LEG, URL, UUID
from webhooks.telnyx import errors
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.records import RateLimit

KEY = "KEY0123456789ABCDEF"
OK = {"data": {"result": "ok"}}
CALL = {"call_control_id": LEG, "call_leg_id": "leg", "call_session_id": "session"}


def client_for(answer: Callable[[httpx.Request], httpx.Response]) -> TelnyxClient:
    return TelnyxClient(api_key=KEY, transport=httpx.MockTransport(answer))


def client_with(*replies: httpx.Response) -> tuple[TelnyxClient, list[httpx.Request]]:
    waiting, sent = list(replies), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return waiting.pop(0)

    return client_for(answer), sent


def test_ids_are_percent_encoded_each_as_one_segment() -> None:
    client, sent = client_with(httpx.Response(200, json=OK), httpx.Response(204))
    client.calls.hangup("v3:a/b?c=#%41 é", command_id="1")
    client.queues.remove_call("support/tier 1", "v3:x")
    assert sent[0].url.raw_path == b"/v2/calls/v3%3Aa%2Fb%3Fc%3D%23%2541%20%C3%A9/actions/hangup"
    assert sent[1].url.raw_path == b"/v2/queues/support%2Ftier%201/calls/v3%3Ax"


def test_the_key_goes_with_every_request_and_a_body_says_what_it_is() -> None:
    client, sent = client_with(httpx.Response(200, json=OK), httpx.Response(204))
    client.calls.hangup(LEG, command_id="1", client_state=None)
    client.queues.delete("support")
    assert [request.headers["authorization"] for request in sent] == [f"Bearer {KEY}"] * 2
    assert sent[0].headers["content-type"] == "application/json"
    assert json.loads(sent[0].content) == {"command_id": "1"}
    assert sent[1].content == b""


def test_everyone_is_sent_as_no_list_and_legs_as_a_list() -> None:
    client, sent = client_with(*[httpx.Response(200, json=OK)] * 2)
    client.conferences.mute(UUID, everyone=True)
    client.conferences.hold(UUID, call_control_ids=(LEG, OTHER_LEG), audio_url=URL)
    assert json.loads(sent[0].content) == {}
    assert json.loads(sent[1].content) == {"call_control_ids": [LEG, OTHER_LEG], "audio_url": URL}


def test_a_bridge_names_the_other_leg_as_telnyx_does() -> None:
    client, sent = client_with(httpx.Response(200, json=OK))
    client.calls.bridge(LEG, call_control_id_to_bridge_with=OTHER_LEG, command_id="1")
    assert json.loads(sent[0].content) == {"command_id": "1", "call_control_id": OTHER_LEG}


def test_actions_return_nothing_but_what_the_reply_holds() -> None:
    recorded = {"data": {"result": "ok", "recording_id": "r1"}}
    client, _ = client_with(
        httpx.Response(200, json=OK),
        httpx.Response(200, json=OK),
        httpx.Response(200, json=recorded),
        httpx.Response(200, json={"data": {**CALL, "is_alive": False, "record_type": "call"}}),
        httpx.Response(204),
        httpx.Response(200, json={"data": {}}),
    )
    assert client.calls.hangup(LEG, command_id="1") is None  # type: ignore[func-returns-value]
    assert client.calls.answer(LEG, command_id="1").recording_id is None
    assert client.calls.answer(LEG, command_id="1", record="record-from-answer").recording_id == "r1"
    dialed = client.calls.dial(connection_id="1", to="+15550101", from_="+15550100", command_id="1")
    assert (dialed.call_leg_id, dialed.is_alive) == ("leg", False)
    assert client.queues.update_call("support", LEG, keep_after_hangup=True) is None  # type: ignore[func-returns-value]
    assert client.recordings.delete("r1") is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(httpx.Response(200, text="<html>Please log in</html>"), id="a page instead of JSON"),
        pytest.param(httpx.Response(200, content=b""), id="nothing"),
        pytest.param(httpx.Response(204), id="no content"),
        pytest.param(httpx.Response(200, json=[]), id="a list"),
        pytest.param(httpx.Response(200, json={}), id="no data"),
        pytest.param(httpx.Response(200, json={"data": None}), id="null data"),
        pytest.param(httpx.Response(200, json={"data": "ok"}), id="data of another type"),
        pytest.param(httpx.Response(200, content=b'{"data": {"result": "o'), id="cut off"),
        pytest.param(httpx.Response(200, content=b"\xff\xfe"), id="not text"),
        pytest.param(httpx.Response(200, content=b"[" * 100_000), id="nested too deep"),
        pytest.param(httpx.Response(200, content=b'{"data":' + b"9" * 5000 + b"}"), id="a huge number"),
    ],
)
def test_a_success_that_cannot_be_read_leaves_the_outcome_unknown(reply: httpx.Response) -> None:
    client, _ = client_with(reply)
    with pytest.raises(errors.TelnyxUnavailable) as unreadable:
        client.calls.hangup(LEG, command_id="1")
    assert unreadable.value.status == 200
    assert unreadable.value.sent


@pytest.mark.parametrize("data", [{}, {**CALL, "call_leg_id": None}, {**CALL, "call_session_id": 7}])
def test_a_dial_without_the_ids_of_its_leg_leaves_the_outcome_unknown(data: dict[str, Any]) -> None:
    client, _ = client_with(httpx.Response(200, json={"data": data}))
    with pytest.raises(errors.TelnyxUnavailable, match="is missing or not text"):
        client.calls.dial(connection_id="1", to="+15550101", from_="+15550100", command_id="1")


@pytest.mark.parametrize("is_alive", [None, "false", 0])
def test_only_an_explicit_is_alive_is_believed(is_alive: Any) -> None:
    client, _ = client_with(httpx.Response(200, json={"data": {**CALL, "is_alive": is_alive}}))
    with pytest.raises(errors.TelnyxUnavailable, match="is_alive is missing"):
        client.calls.retrieve(LEG)


def test_optional_fields_of_another_type_count_as_missing_and_unknown_values_are_kept() -> None:
    data = {
        "id": UUID,
        "name": "offer-1",
        "status": "hibernating",
        "ended_by": None,
        "expires_at": 7,
        "news": [],
    }
    client, _ = client_with(httpx.Response(200, json={"data": data}))
    conference = client.conferences.retrieve(UUID)
    assert conference.status == "hibernating"
    assert conference.expires_at is None
    assert conference.ended_by.call_session_id is None


def test_both_schemas_of_a_participant_become_one_record() -> None:
    common = {"id": "p1", "call_control_id": LEG, "muted": True, "whisper_call_control_ids": [OTHER_LEG, None]}
    listed = {**common, "conference": {"id": UUID, "name": "offer-1"}}
    single = {**common, "conference_id": UUID, "label": "agent"}
    client, _ = client_with(
        httpx.Response(200, json={"data": [listed], "meta": {"total_pages": 1}}),
        httpx.Response(200, json={"data": single}),
    )
    first, second = (
        next(client.conferences.list_participants(UUID)),
        client.conferences.retrieve_participant(UUID, "p1"),
    )
    assert first.conference_id == second.conference_id == UUID
    assert (first.conference_name, second.conference_name) == ("offer-1", None)
    assert (first.label, second.label) == (None, "agent")
    assert first.whisper_call_control_ids == (OTHER_LEG,)
    assert first.on_hold is None


def test_records_go_into_a_json_column_and_keep_secrets_out_of_their_repr() -> None:
    recording = {
        "id": "r1",
        "call_control_id": LEG,
        "from": "+15550100",
        "download_urls": {"mp3": "https://s3.example.com/r1.mp3?X-Amz-Signature=abc"},
    }
    client, _ = client_with(
        httpx.Response(200, json={"data": recording}),
        httpx.Response(200, json={"data": {**CALL, "client_state": "c2VjcmV0"}}),
    )
    found = client.recordings.retrieve("r1")
    dialed = client.calls.dial(connection_id="1", to="+15550101", from_="+15550100", command_id="1")
    assert json.loads(json.dumps(asdict(found)))["download_urls"]["mp3"].startswith("https://s3")
    for secret in (LEG, "+15550100", "Signature", "c2VjcmV0"):
        assert secret not in repr((found, dialed))


def queue(number: int) -> dict[str, Any]:
    return {"id": str(number), "name": f"queue {number}", "record_type": "queue"}


def test_a_list_is_paged_to_its_end() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        number, size = (int(request.url.params[f"page[{key}]"]) for key in ("number", "size"))
        items = [queue(item) for item in range(45)][(number - 1) * size : number * size]
        meta = {"page_number": number, "page_size": size, "total_pages": 3, "total_results": 45}
        return httpx.Response(200, json={"data": items, "meta": meta})

    names = [found.name for found in client_for(answer).queues.list(page_size=20)]
    assert names == [f"queue {number}" for number in range(45)]


@pytest.mark.parametrize(
    ("pages", "requests"),
    [
        pytest.param([{"data": [queue(1)]}], 1, id="no meta and a short page"),
        pytest.param([{"data": [queue(1), queue(2)]}, {"data": []}], 2, id="no meta and a full page"),
        pytest.param([{"data": [], "meta": {"total_pages": 0}}], 1, id="no pages"),
        pytest.param(
            [{"data": [queue(1)], "meta": {"total_pages": 9}}, {"data": [], "meta": {"total_pages": 9}}],
            2,
            id="an early end",
        ),
        pytest.param([{"data": [queue(1)], "meta": {"total_pages": "2"}}], 1, id="meta of another type"),
        pytest.param([{"data": [queue(1)], "meta": None}], 1, id="null meta"),
    ],
)
def test_a_list_ends_whatever_its_meta_says(pages: list[Any], requests: int) -> None:
    client, sent = client_with(*(httpx.Response(200, json=page) for page in pages))
    list(client.queues.list(page_size=2))
    assert len(sent) == requests


def test_active_calls_are_paged_by_cursor() -> None:
    legs = [{**CALL, "call_leg_id": f"leg {number}"} for number in range(5)]

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("page[after]", "v1:0/+=").partition(":")[2].partition("/")[0])
        end = start + int(request.url.params["page[limit]"])
        cursors = {"after": f"v1:{end}/+=" if end < len(legs) else None, "before": "v1:0"}
        return httpx.Response(200, json={"data": legs[start:end], "meta": {"cursors": cursors}})

    found = [call.call_leg_id for call in client_for(answer).calls.active("7267", page_size=2)]
    assert found == [f"leg {number}" for number in range(5)]


@pytest.mark.parametrize("after", [None, "", "null", 7, pytest.param("v1:same", id="the same cursor again and again")])
def test_a_cursor_list_ends_whatever_its_cursor_says(after: Any) -> None:
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        assert asked <= 2, "goes round for ever"
        return httpx.Response(200, json={"data": [CALL], "meta": {"cursors": {"after": after}}})

    assert list(client_for(answer).calls.active("7267"))


def test_a_list_asks_for_its_next_page_only_when_it_is_wanted() -> None:
    pages = {"data": [queue(1)], "meta": {"total_pages": 2}}
    client, sent = client_with(*[httpx.Response(200, json=pages)] * 2)
    queues = client.queues.list()
    assert sent == []
    next(queues)
    assert len(sent) == 1


@pytest.mark.parametrize("body", [{"data": {}}, {"data": [7]}, {"data": [{"id": "1"}]}, {}])
def test_a_list_that_cannot_be_read_is_not_taken_for_an_empty_one(body: dict[str, Any]) -> None:
    client, _ = client_with(httpx.Response(200, json=body))
    with pytest.raises(errors.TelnyxUnavailable):
        list(client.queues.list())


def test_filters_are_spelt_as_telnyx_spells_them() -> None:
    client, sent = client_with(*[httpx.Response(200, json={"data": []})] * 2)
    list(client.calls.events(call_leg_id=UUID, failed=True, from_="+15550100", occurred_at_gte="2026-01-01T00:00:00Z"))
    list(client.conferences.list(name="a&b=c", status="in_progress", region="US"))
    assert dict(sent[0].url.params) == {
        "filter[leg_id]": UUID,
        "filter[failed]": "true",
        "filter[from]": "+15550100",
        "filter[occurred_at][gte]": "2026-01-01T00:00:00Z",
        "page[number]": "1",
        "page[size]": "250",
    }
    assert sent[1].url.params["filter[name]"] == "a&b=c"


@pytest.mark.parametrize(
    ("failure", "sent"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.PoolTimeout("busy"), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.WriteTimeout("slow"), True),
        (httpx.ReadError("reset"), True),
        (httpx.RemoteProtocolError("no HTTP"), True),
    ],
)
def test_no_answer_says_whether_anything_can_have_been_done(failure: Exception, sent: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(errors.TelnyxUnavailable) as error:
        client_for(answer).calls.hangup(LEG, command_id="1")
    assert (error.value.status, error.value.retry_after, error.value.sent) == (None, None, sent)
    # The request, and the key with it, must not come along as the cause.
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_a_refusal_raises_its_class() -> None:
    envelope = {"errors": [{"code": "90018", "title": "Call has already ended", "detail": "…"}]}
    client, _ = client_with(httpx.Response(422, json=envelope))
    with pytest.raises(errors.CallEnded):
        client.calls.hangup(LEG, command_id="1")


def test_a_redirect_is_not_followed() -> None:
    client, sent = client_with(httpx.Response(302, headers={"location": "https://evil.example.com/"}))
    with pytest.raises(errors.TelnyxRejected):
        client.calls.retrieve(LEG)
    assert len(sent) == 1


def test_cookies_of_one_reply_do_not_ride_on_the_next_request() -> None:
    client, sent = client_with(*[httpx.Response(200, json=OK, headers={"set-cookie": "a=b; Path=/"})] * 2)
    client.calls.hangup(LEG, command_id="1")
    client.calls.hangup(LEG, command_id="2")
    assert "cookie" not in sent[1].headers


def test_the_rate_limit_is_the_last_one_that_was_told() -> None:
    headers = {"x-ratelimit-limit": "150, 150;w=5", "x-ratelimit-remaining": "149", "x-ratelimit-reset": "4.5"}
    client, _ = client_with(
        httpx.Response(200, json=OK),
        httpx.Response(200, json=OK, headers=headers),
        httpx.Response(200, json=OK),
        httpx.Response(429, json={"errors": []}, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "x"}),
    )
    client.calls.hangup(LEG, command_id="1")
    assert client.rate_limit is None
    for command_id in ("2", "3"):
        client.calls.hangup(LEG, command_id=command_id)
        assert client.rate_limit == RateLimit(limit=150, remaining=149, reset=4.5)
    with pytest.raises(errors.TelnyxUnavailable):
        client.calls.hangup(LEG, command_id="4")
    assert client.rate_limit == RateLimit(limit=None, remaining=0, reset=None)


@pytest.mark.parametrize("key", ["", " ", "KEY 1", "KEY\n", "KEÝ", "\x7f"])
def test_a_key_that_is_no_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as refusal:
        TelnyxClient(api_key=key)
    assert key.strip() == "" or key not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.telnyx.com/v2",
        "ftp://api.telnyx.com/v2",
        "https://",
        "https://host:99999/v2",
        "https://host:x/v2",
        "https://[/v2",
        "https://user:secret@host/v2",
        "https://host/v2?a=b",
        "https://host/v2#a",
        "https://ho st/v2",
    ],
)
def test_a_base_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Telnyx's base URL") as refusal:
        TelnyxClient(api_key=KEY, base_url=url)
    assert "secret" not in str(refusal.value)


def test_the_key_is_neither_shown_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client, _ = client_with(httpx.Response(200, json=OK), httpx.Response(500), httpx.Response(200, json={"data": []}))
    client.calls.hangup(LEG, command_id="1")
    with pytest.raises(errors.TelnyxUnavailable) as error:
        client.calls.retrieve(LEG)
    list(client.calls.events(from_="+15550100"))
    shown = repr(client) + repr(vars(client)) + repr(error.value) + str(error.value) + caplog.text
    for secret in (KEY, LEG, "v3%3A", "15550100"):
        assert secret not in shown
    assert "Telnyx answered: POST /calls/{call_control_id}/actions/hangup, 200" in caplog.text


def test_a_client_is_closed_by_its_context() -> None:
    with client_for(lambda request: httpx.Response(200, json=OK)) as client:
        client.calls.hangup(LEG, command_id="1")
    with pytest.raises(RuntimeError, match="closed"):
        client.calls.hangup(LEG, command_id="1")
