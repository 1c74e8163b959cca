import pickle

import httpx
import pytest

from webhooks.telnyx import errors
from webhooks.telnyx.errors import from_response


def body(*codes: str) -> bytes:
    listed = [{"code": code, "title": f"Title {code}", "detail": f"Detail {code}"} for code in codes]
    return httpx.Response(200, json={"errors": listed}).content


def error(status: int, content: bytes, **headers: str) -> errors.TelnyxError:
    return from_response(status, content, httpx.Headers({k.replace("_", "-"): v for k, v in headers.items()}))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("10009", errors.Unauthorized),
        ("90015", errors.CallUnknown),
        ("90018", errors.CallEnded),
        ("90019", errors.ConferenceEnded),
        ("90020", errors.MediaNotStarted),
        ("90032", errors.ConferenceFull),
        ("90033", errors.ConferenceNameTaken),
        ("90034", errors.CallNotAnswered),
        ("90035", errors.NotQueued),
        ("90036", errors.QueueFull),
        ("90037", errors.MaxSizeFixed),
        ("90038", errors.AlreadyQueued),
        ("90041", errors.ChannelLimitReached),
        ("90042", errors.ChannelLimitReached),
        ("90043", errors.ChannelLimitReached),
        ("90044", errors.AlreadyInConference),
        ("90050", errors.QueueNotEmpty),
        ("90058", errors.NotFound),
        ("99999", errors.TelnyxRejected),
    ],
)
def test_the_code_decides_the_class(code: str, kind: type[errors.TelnyxRejected]) -> None:
    found = error(422, body(code))
    assert type(found) is kind
    assert isinstance(found, errors.TelnyxRejected)
    assert (found.status, found.code) == (422, code)
    assert (found.title, found.detail) == (f"Title {code}", f"Detail {code}")
    assert str(found) == f"422 {code} Title {code}"


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        pytest.param(404, body("10005"), errors.NotFound, id="404 with a general code"),
        pytest.param(404, b"<html>", errors.NotFound, id="404 without an envelope"),
        pytest.param(401, b"", errors.Unauthorized, id="401 without a body"),
        pytest.param(404, body("90018"), errors.CallEnded, id="the code before the status"),
        pytest.param(422, body("10004", "90018"), errors.CallEnded, id="the known one of several codes"),
        pytest.param(422, b'{"errors":[]}', errors.TelnyxRejected, id="no errors"),
        pytest.param(422, b'{"errors":"90018"}', errors.TelnyxRejected, id="errors of another shape"),
        pytest.param(422, b'{"errors":["90018"]}', errors.TelnyxRejected, id="an error of another shape"),
        pytest.param(422, b'{"errors":[{"code":90018}]}', errors.CallEnded, id="the code as a number"),
        pytest.param(422, b'{"errors":[{"code":null}]}', errors.TelnyxRejected, id="no code"),
        pytest.param(422, b"[" * 100_000, errors.TelnyxRejected, id="nested too deep"),
        pytest.param(302, b"", errors.TelnyxRejected, id="a redirect, which is not followed"),
    ],
)
def test_a_refusal_without_a_clear_code_is_still_a_refusal(
    status: int, content: bytes, kind: type[errors.TelnyxRejected]
) -> None:
    assert type(error(status, content)) is kind


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_these_statuses_leave_the_outcome_unknown_whatever_the_code(status: int) -> None:
    found = error(status, body("90018"))
    assert type(found) is errors.TelnyxUnavailable
    assert found.status == status
    assert found.sent == (status != 429)
    assert str(found) == f"{status} 90018 Title 90018"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"x_ratelimit_reset": "3"}, 3.0),
        ({"retry_after": "2", "x_ratelimit_reset": "3"}, 2.0),
        ({"retry_after": "soon", "x_ratelimit_reset": "3"}, 3.0),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "-1"}, None),
        ({"x_ratelimit_reset": "1790000000"}, None),
        (
            {"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"},
            30.0,
        ),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00"}, None),
    ],
)
def test_the_wished_delay_comes_from_whatever_header_says_it(headers: dict[str, str], seconds: float | None) -> None:
    found = error(429, b"", **headers)
    assert isinstance(found, errors.TelnyxUnavailable)
    assert found.retry_after == seconds


@pytest.mark.parametrize(
    "original",
    [
        errors.TelnyxUnavailable(503, 1.5, "down", sent=False),
        errors.CallEnded(422, "90018", "Call has already ended", "…"),
        errors.InvalidRequest("max_size", "must be a whole number from 1 up", "0"),
    ],
)
def test_errors_survive_the_way_between_processes(original: errors.TelnyxError) -> None:
    copy = pickle.loads(pickle.dumps(original))
    assert (type(copy), vars(copy), str(copy)) == (type(original), vars(original), str(original))


def test_an_errors_text_does_not_name_numbers_and_legs() -> None:
    found = errors.TelnyxRejected(422, "10016", "Phone number must be in +E164 format", "+15550101 is not")
    assert "+1555" not in f"{found} {errors.TelnyxUnavailable()}"
