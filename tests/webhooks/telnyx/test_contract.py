"""Every method of the client against Telnyx's own OpenAPI description, read from TELNYX_SPEC_DIR."""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.webhooks.telnyx.cases import CASES, Case
from webhooks.telnyx import errors
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.resource import Resource

# Operations of the description that the product has no use for.
NOT_OFFERED = {
    *(
        f"POST /calls/{{call_control_id}}/actions/{action}"
        for action in (
            "fork_start",
            "fork_stop",
            "refer",
            "send_sip_info",
            "streaming_start",
            "streaming_stop",
            "transcription_start",
            "transcription_stop",
        )
    ),
    "GET /call_control_applications",
    "POST /call_control_applications",
    "PATCH /call_control_applications/{id}",
    "DELETE /call_control_applications/{id}",
    "POST /recordings/actions/delete",
    "GET /webhook_deliveries",
    "GET /webhook_deliveries/{id}",
}

# Body properties that no method offers: see the docstring of webhooks.telnyx.calls.
LEFT_OUT = {
    "assistant",
    "conversation_relay_config",
    "deepfake_detection",
    "dialogflow_config",
    "enable_dialogflow",
    "preferred_codecs",
    "sip_auth_password",
    "sip_auth_username",
    "sound_modifications",
    "stream_auth_token",
    "stream_bidirectional_codec",
    "stream_bidirectional_mode",
    "stream_bidirectional_sampling_rate",
    "stream_bidirectional_target_legs",
    "stream_codec",
    "stream_establish_before_call_originate",
    "stream_track",
    "stream_url",
    "transcription",
    "transcription_config",
    "transcription_engine",
    "transcription_language",
    "transcription_max_speaker_count",
    "transcription_min_speaker_count",
    "transcription_profanity_filter",
    "transcription_speaker_diarization",
    "video_room_context",
    "video_room_id",
    "webhook_url_method",
    "webhook_urls_method",
}

# CONTRACT §4: operations share one blob of filters, each knows a few, and one of the two ways of paging.
CURSORS = {"page[after]", "page[before]", "page[limit]"}
FOREIGN = {
    "filter[application_name][contains]",
    "filter[outbound.outbound_voice_profile_id]",
    "filter[product]",
}
FILTERS_OF_EVENTS = {
    "filter[application_session_id]",
    "filter[connection_id]",
    "filter[failed]",
    "filter[from]",
    "filter[leg_id]",
    "filter[to]",
    "filter[type]",
    *(f"filter[occurred_at][{bound}]" for bound in ("eq", "gt", "gte", "lt", "lte")),
}
UNUSED_QUERY = {
    "GET /conferences": CURSORS | FOREIGN | FILTERS_OF_EVENTS,
    "GET /call_events": CURSORS | FOREIGN | {"filter[name]", "filter[status]"},
    "GET /connections/{connection_id}/active_calls": {"page[before]", "page[number]", "page[size]"},
    "GET /conferences/{conference_id}/participants": CURSORS,
    "GET /queues/{queue_name}/calls": CURSORS,
}

# What a record does not keep of a reply: always the same, or of no use here.
NOT_KEPT = {
    "record_type",
    "result",
    "anchorsite_override",
    "call_cost_in_webhooks",
    "dtmf_type",
    "redact_dtmf_debug_logging",
    "tags",
    "inbound.shaken_stir_enabled",
    "inbound.sip_subdomain",
    "inbound.sip_subdomain_receive_settings",
}
# A dial's reply is the description's "call"; a leg that does not ring yet can have none of these.
NOT_KEPT_OF_A_DIAL = {"call_duration", "start_time", "end_time"}
RENAMED = {
    "from": "from_",
    "conference.id": "conference_id",
    "conference.name": "conference_name",
    "inbound.channel_limit": "inbound_channel_limit",
    "outbound.channel_limit": "outbound_channel_limit",
    "outbound.outbound_voice_profile_id": "outbound_voice_profile_id",
}


@pytest.fixture(scope="module")
def description(telnyx_spec_dir: Path) -> Any:
    pytest.importorskip("jsonschema", reason="needs requirements-dev.txt")
    from tests.webhooks.telnyx.openapi import Description

    return Description.load(telnyx_spec_dir)


def client_for(answer: Any) -> TelnyxClient:
    return TelnyxClient(api_key="KEY0123", transport=httpx.MockTransport(answer))


def resources() -> dict[str, Resource]:
    client = client_for(lambda request: httpx.Response(500))
    return {name: value for name, value in vars(client).items() if isinstance(value, Resource)}


def public_methods() -> dict[str, Any]:
    return {
        f"{name}.{attribute}": getattr(resource, attribute)
        for name, resource in resources().items()
        for attribute in dir(resource)
        if not attribute.startswith("_") and callable(getattr(resource, attribute))
    }


def call(client: TelnyxClient, case: Case) -> Any:
    resource, method = case.method.split(".")
    result = getattr(getattr(client, resource), method)(*case.ids, **case.arguments)
    return list(result) if case.is_list else result


def parameters(method: Any) -> tuple[list[str], list[str]]:
    found = inspect.signature(method).parameters.values()
    positional = [parameter.name for parameter in found if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    return positional, [parameter.name for parameter in found if parameter.kind is parameter.KEYWORD_ONLY]


def test_every_public_method_has_a_case() -> None:
    assert set(public_methods()) == {case.method for case in CASES}


def test_every_parameter_of_every_method_is_tried() -> None:
    tried: dict[str, set[str]] = {}
    for case in CASES:
        tried.setdefault(case.method, set()).update(case.arguments)
    wanted = {name: set(parameters(method)[1]) for name, method in public_methods().items()}
    assert tried == wanted


@pytest.mark.parametrize("name", sorted(public_methods()))
def test_methods_are_typed_and_say_their_errors_and_their_source(name: str) -> None:
    method = public_methods()[name]
    signature = inspect.signature(method)
    assert signature.return_annotation is not signature.empty
    assert all(parameter.annotation is not parameter.empty for parameter in signature.parameters.values())
    positional, _ = parameters(method)
    case = next(case for case in CASES if case.method == name)
    assert len(positional) == len(case.ids), "only ids are positional"
    verb, template = case.operation.split()
    assert "Raises " in method.__doc__
    assert method.__doc__.rstrip().endswith(f"Source: {verb} /v2{template}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_request_is_what_the_description_asks_for(description: Any, case: Case) -> None:
    asked: set[str] = set()

    def answer(request: httpx.Request) -> httpx.Response:
        operation = description.check(request)
        asked.add(operation.name)
        return reply(description, operation, request)

    call(client_for(answer), case)
    assert asked == {case.operation}


@pytest.mark.parametrize("case", [case for case in CASES if case.record], ids=str)
def test_the_descriptions_reply_becomes_a_record_that_keeps_it(description: Any, case: Case) -> None:
    operation = description.operations[case.operation]
    result = call(client_for(lambda request: reply(description, operation, request)), case)
    _, body = description.reply(operation)
    data = body["data"][0] if case.is_list else body["data"]
    record = result[0] if case.is_list else result
    assert type(record) is case.record
    kept = flat(asdict(record))
    not_kept = NOT_KEPT | (NOT_KEPT_OF_A_DIAL if case.method == "calls.dial" else set())
    for name, value in flat(data).items():
        if name not in not_kept:
            assert kept[RENAMED.get(name, name)] == value, name


def test_every_operation_of_the_description_is_offered_or_left_out_on_purpose(description: Any) -> None:
    assert {case.operation for case in CASES} | NOT_OFFERED == set(description.operations)
    assert not {case.operation for case in CASES} & NOT_OFFERED


@pytest.mark.parametrize("operation", sorted({case.operation for case in CASES}))
def test_every_parameter_of_the_description_is_offered_or_left_out_on_purpose(description: Any, operation: str) -> None:
    definition = description.operations[operation]
    sent: set[str] = set()

    def answer(request: httpx.Request) -> httpx.Response:
        sent.update(request.url.params)
        sent.update(description_body(request))
        return reply(description, definition, request)

    for case in CASES:
        if case.operation == operation:
            call(client_for(answer), case)
    described = description.query_parameters(definition) | description.body_properties(definition) - LEFT_OUT
    assert described - sent == UNUSED_QUERY.get(operation, set())


def test_the_descriptions_errors_become_ours(description: Any) -> None:
    statuses = {
        "BadRequestResponse": 400,
        "UnauthorizedResponse": 401,
        "ForbiddenResponse": 403,
        "NotFoundResponse": 404,
        "UnprocessableEntityResponse": 422,
        "InternalServerErrorResponse": 500,
        "ServiceUnavailableResponse": 503,
    }
    found: dict[str, type] = {}
    for name, body in description.error_examples():
        response = name.split(".")[0].removeprefix("call-recordings_").removeprefix("call-control_")
        content = httpx.Response(statuses[response], json=body).content
        error = errors.from_response(statuses[response], content, httpx.Headers())
        found[name.rpartition(".")[2]] = type(error)
        if isinstance(error, errors.TelnyxRejected):
            assert error.code == body["errors"][0]["code"]
            assert error.title == body["errors"][0]["title"]
    assert found["call_already_ended"] is errors.CallEnded
    assert found["call_not_answered"] is errors.CallNotAnswered
    assert found["conference_already_ended"] is errors.ConferenceEnded
    # CONTRACT §10.3: the documents' table gives 90033 another title; the code decides.
    assert found["conference_name_conflict"] is errors.ConferenceNameTaken
    assert found["conference_not_found"] is errors.NotFound
    assert found["resource_not_found"] is errors.NotFound
    assert found["queue_full"] is errors.QueueFull
    assert found["queue_not_empty"] is errors.QueueNotEmpty
    assert found["call_already_in_queue"] is errors.AlreadyQueued
    assert found["max_participants_reached"] is errors.ConferenceFull
    assert found["invalid_call_control_id"] is errors.CallUnknown
    assert found["cannot_record_before_audio_started"] is errors.MediaNotStarted
    assert found["UnauthorizedResponse"] is errors.Unauthorized
    # 10011 is "too many requests" with 429 only; here it is about SRTP, and final.
    assert found["srtp_not_supported_for_pstn"] is errors.TelnyxRejected
    assert found["ServiceUnavailableResponse"] is errors.TelnyxUnavailable


def description_body(request: httpx.Request) -> Mapping[str, Any]:
    body: Mapping[str, Any] = json.loads(request.content) if request.content else {}
    return body


def reply(description: Any, operation: Any, request: httpx.Request) -> httpx.Response:
    """The description's reply; a list has two pages of it, whatever the example's page numbers say."""
    status, body = description.reply(operation)
    if body is None:
        return httpx.Response(status)
    if isinstance(body.get("data"), list):
        cursors = {} if "page[after]" in request.url.params else {"after": "v1:g3QAAAADZ+/="}
        body["meta"] = {**body.get("meta", {}), "total_pages": 2, "cursors": cursors}
    return httpx.Response(status, json=body)


def flat(value: Any, name: str = "") -> dict[str, Any]:
    def parts() -> Iterator[tuple[str, Any]]:
        for key, part in value.items():
            yield from flat(part, f"{name}.{key}" if name else key).items()

    if isinstance(value, Mapping) and value:
        return dict(parts())
    return {name: list(value) if isinstance(value, tuple) else value}


API = "https://api.telnyx.com/v2"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(httpx.Request("GET", f"{API}/queue"), id="path"),
        pytest.param(httpx.Request("PUT", f"{API}/queues"), id="method"),
        pytest.param(httpx.Request("GET", f"{API}/queues?page%5Bsiz%5D=20"), id="query"),
        pytest.param(httpx.Request("GET", f"{API}/queues?page%5Bsize%5D=0"), id="range"),
        pytest.param(httpx.Request("GET", f"{API}/conferences?filter%5Bnam%5D=x"), id="filter"),
        pytest.param(httpx.Request("GET", f"{API}/conferences?filter%5Bfailed%5D=x"), id="type"),
        pytest.param(httpx.Request("POST", f"{API}/queues", json={}), id="required"),
        pytest.param(httpx.Request("POST", f"{API}/queues", json={"queue_name": "a", "x": 1}), id="unknown"),
        pytest.param(httpx.Request("POST", f"{API}/conferences/name/actions/end", json={}), id="uuid"),
        pytest.param(httpx.Request("DELETE", f"{API}/queues/a", json={}), id="body"),
    ],
)
def test_the_judge_refuses_what_the_description_does_not_know(description: Any, request_: httpx.Request) -> None:
    with pytest.raises((AssertionError, KeyError)):
        description.check(request_)
