"""What can go wrong between us and Telnyx, shaped by what the caller should do about it.

Source: CONTRACT §2 (the error envelope and its codes) and §3 (which answers leave the outcome unknown).
"""

import json
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

_LONGEST_DELAY_SECS = 3600.0


class TelnyxError(Exception):
    """Something between us and Telnyx."""


class InvalidRequest(ValueError, TelnyxError):
    """Refused before sending: Telnyx would not take it, or would take it for more than was meant.

    ``field`` is Telnyx's name for the parameter; the message names it, what is accepted and what was found.
    """

    def __init__(self, field: str, accepted: str, found: str = "") -> None:
        super().__init__(field, accepted, found)
        self.field = field
        self.accepted = accepted
        self.found = found

    def __str__(self) -> str:
        return f"{self.field} {self.accepted}" + (f"; found {self.found}" if self.found else "")


class TelnyxUnavailable(TelnyxError):
    """No answer, 5xx, 408, 429, or a success that cannot be read: the command may or may not have worked.

    ``status`` is None without an answer. ``retry_after`` is Telnyx's wish in seconds, where it sent one.
    ``sent`` is False only where it is certain that nothing was done: no connection came about, or a 429
    turned it away.
    """

    def __init__(
        self, status: int | None = None, retry_after: float | None = None, reason: str = "", sent: bool = True
    ) -> None:
        super().__init__(status, retry_after, reason, sent)
        self.status = status
        self.retry_after = retry_after
        self.reason = reason
        self.sent = sent

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.status, self.reason or "no answer") if part is not None)


class TelnyxRejected(TelnyxError):
    """Any other 4xx: Telnyx said no, and will say no again. Branch on the class or on ``code``.

    ``detail`` may name phone numbers and legs, so it is for the journal and not part of the message.
    """

    codes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, status: int, code: str = "", title: str = "", detail: str = "") -> None:
        super().__init__(status, code, title, detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.status, self.code, self.title) if part)


class Unauthorized(TelnyxRejected):
    """The API key is missing, wrong or revoked (401): nothing will work until it is replaced."""

    codes = ("10009",)


class NotFound(TelnyxRejected):
    """No such queue, queued call, conference, participant, recording or application (404)."""

    codes = ("90058",)


class CallUnknown(TelnyxRejected):
    """Telnyx does not know this call_control_id: mark the leg unknown, never repeat."""

    codes = ("90015",)


class CallEnded(TelnyxRejected):
    """The leg is over: a success for a hang-up, for everything else the end of the matter."""

    codes = ("90018",)


class CallNotAnswered(TelnyxRejected):
    """The leg cannot take this command before call.answered."""

    codes = ("90034",)


class MediaNotStarted(TelnyxRejected):
    """Recording was asked for before any audio flowed: again after the answer."""

    codes = ("90020",)


class ConferenceEnded(TelnyxRejected):
    """The conference is over."""

    codes = ("90019",)


class ConferenceFull(TelnyxRejected):
    """max_participants is reached."""

    codes = ("90032",)


class ConferenceNameTaken(TelnyxRejected):
    """A conference of this name is in progress: find it by name and use it."""

    codes = ("90033",)


class AlreadyInConference(TelnyxRejected):
    """The leg is in this conference already: treat as done."""

    codes = ("90044",)


class NotQueued(TelnyxRejected):
    """leave_queue on a leg that is in no queue: treat as done."""

    codes = ("90035",)


class QueueFull(TelnyxRejected):
    """Telnyx's queue holds max_size calls."""

    codes = ("90036",)


class MaxSizeFixed(TelnyxRejected):
    """enqueue cannot change an existing queue's max_size: update the queue, then enqueue without it."""

    codes = ("90037",)


class AlreadyQueued(TelnyxRejected):
    """The leg is in this queue already: treat as done."""

    codes = ("90038",)


class ChannelLimitReached(TelnyxRejected):
    """The user's, the outbound profile's or the connection's channels are used up: back off, alert."""

    codes = ("90041", "90042", "90043")


class QueueNotEmpty(TelnyxRejected):
    """Only an empty queue can be deleted."""

    codes = ("90050",)


_BY_CODE: Mapping[str, type[TelnyxRejected]] = {
    code: kind for kind in TelnyxRejected.__subclasses__() for code in kind.codes
}
_BY_STATUS: Mapping[int, type[TelnyxRejected]] = {401: Unauthorized, 404: NotFound}


def from_response(status: int, body: bytes, headers: Mapping[str, str]) -> TelnyxError:
    """The error for a reply that is no success.

    ``headers`` must be looked up without regard to case (httpx's are).

    The status alone decides whether the outcome is unknown, since a proxy in between writes no envelope;
    after that the code decides before the status.
    """
    errors = _envelope(body)
    error = next((error for error in errors if error["code"] in _BY_CODE), errors[0] if errors else None)
    code, title, detail = (error["code"], error["title"], error["detail"]) if error else ("", "", "")
    if status >= 500 or status in (408, 429):
        reason = " ".join(part for part in (code, title) if part) or "the service is unavailable"
        return TelnyxUnavailable(status, retry_after(headers), reason, sent=status != 429)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, TelnyxRejected)
    return kind(status, code, title, detail)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After or else from x-ratelimit-reset; None where neither says so usably."""
    text = headers.get("retry-after", "")
    delay = _delay(text)
    if delay is None and text:
        delay = _until(text, since=headers.get("date", ""))
    return _delay(headers.get("x-ratelimit-reset", "")) if delay is None else delay


def _delay(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    # NaN, the past, and what must be an instant rather than a delay
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LONGEST_DELAY_SECS else None


def _until(text: str, *, since: str) -> float | None:
    """An HTTP date as a delay by the sender's own clock, which is the one that it is meant by."""
    try:
        return _delay(str((parsedate_to_datetime(text) - parsedate_to_datetime(since)).total_seconds()))
    except (TypeError, ValueError, OverflowError):
        return None


def _envelope(body: bytes) -> list[dict[str, str]]:
    """The errors of ``{"errors": [...]}`` with code, title and detail as text; [] for any other body."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    errors = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(errors, list):
        return []
    return [
        {key: _text(error.get(key)) for key in ("code", "title", "detail")}
        for error in errors
        if isinstance(error, dict)
    ]


def _text(value: Any) -> str:
    return str(value)[:500] if isinstance(value, (str, int)) else ""
