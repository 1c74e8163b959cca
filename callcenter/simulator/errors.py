"""How Telnyx says no: codes, titles and the envelope (CONTRACT §2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# code → (HTTP status, title, detail); the detail may take one {value}.
_SAID: dict[str, tuple[int, str, str]] = {
    "10004": (422, "Missing required parameter", "The '{value}' parameter is required and cannot be blank."),
    "10005": (404, "Resource not found", "The requested resource or URL could not be found."),
    "10007": (500, "Internal server error", "Internal server error"),
    "10009": (
        401,
        "Authentication failed",
        "The required authentication headers were either invalid or not included in the request.",
    ),
    "10011": (429, "Too many requests", "You have exceeded the maximum number of allowed requests."),
    "10015": (422, "Bad Request", "{value}"),
    "10016": (422, "Phone number must be in +E164 format", "The '{value}' parameter must be in E164 format."),
    "10023": (400, "Invalid JSON", "The request body is not valid JSON."),
    "10026": (422, "Invalid type", "The value must be of type {value}."),
    "10032": (422, "Invalid enumerated value", "The value must be one of: {value}."),
    "10033": (422, "Value outside of range", "The value is outside of allowed range {value}"),
    "90015": (422, "Invalid Call Control ID", "The call_control_id provided was not valid."),
    "90017": (422, "Invalid client_state", "The client_state must be a valid Base-64 encoded string."),
    "90018": (
        422,
        "Call has already ended",
        "This call is no longer active and can't receive commands.",
    ),
    "90019": (
        422,
        "Conference has already ended",
        "This conference is no longer active and can't receive commands.",
    ),
    "90020": (
        422,
        "Call recording triggered before audio started",
        "Call recording cannot be started until audio has commenced on the call.",
    ),
    "90032": (
        422,
        "Maximum number of participants reached",
        "The maximum allowed value of `max_participants` has been reached at {value}.",
    ),
    "90033": (
        422,
        "Unable to execute command",
        "Conference with given name already exists and it's active.",
    ),
    "90034": (
        422,
        "Call not answered yet",
        "This call can't receive this command because it has not been answered yet.",
    ),
    "90035": (422, "Call not in queue", "This call is not in a queue."),
    "90036": (422, "Queue full", "The '{value}' queue is full and can't accept more calls."),
    "90037": (422, "Unable to modify queue", "The max_size of an existing queue can't be modified."),
    "90038": (422, "Call already in queue", "Call can't be added to a queue it's already in."),
    "90044": (
        422,
        "Unable to join conference",
        "A participant must not join the same conference more than once.",
    ),
    "90050": (400, "Unable to delete queue", "Only empty queues can be deleted."),
    "90053": (
        422,
        "Call recording is already in progress",
        "Recording can not be started more than once.",
    ),
    "90058": (404, "Invalid conference_id", "The conference does not exist."),
    "90102": (422, "Invalid command", "Outbound calls can't be answered with this command."),
    "90103": (429, "Too many requests", "The dial rate limit of 30 calls per second has been exceeded."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One entry of the envelope's ``errors``."""

    code: str
    title: str
    detail: str
    pointer: str = ""
    parameter: str = ""
    meta: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"code": self.code, "title": self.title, "detail": self.detail}
        if self.pointer or self.parameter:
            entry["source"] = {
                **({"pointer": self.pointer} if self.pointer else {}),
                **({"parameter": self.parameter} if self.parameter else {}),
            }
        if self.meta is not None:
            entry["meta"] = self.meta
        elif self.code.startswith("10"):
            entry["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{self.code}"}
        return entry


class ApiError(Exception):
    """A request Telnyx refuses, with everything it would answer."""

    def __init__(self, status: int, problems: Sequence[Problem]) -> None:
        super().__init__(", ".join(f"{problem.code} {problem.detail}" for problem in problems))
        self.status = status
        self.problems = tuple(problems)

    @property
    def code(self) -> str:
        return self.problems[0].code

    def as_json(self) -> dict[str, Any]:
        return {"errors": [problem.as_json() for problem in self.problems]}


def problem(
    code: str,
    value: object = "",
    *,
    detail: str | None = None,
    pointer: str = "",
    parameter: str = "",
    meta: dict[str, Any] | None = None,
) -> Problem:
    """The entry Telnyx writes for a code; ``value`` fills its detail, ``detail`` replaces it."""
    _, title, said = _SAID.get(code, (422, "Unable to execute command", "{value}"))
    return Problem(
        code=code,
        title=title,
        detail=said.format(value=value) if detail is None else detail,
        pointer=pointer,
        parameter=parameter,
        meta=meta,
    )


def refusal(
    code: str,
    value: object = "",
    *,
    status: int | None = None,
    detail: str | None = None,
    pointer: str = "",
    parameter: str = "",
    meta: dict[str, Any] | None = None,
) -> ApiError:
    """The whole refusal for one code, ready to raise. ``status`` overrides the usual one."""
    usual = _SAID[code][0] if code in _SAID else 422
    entry = problem(code, value, detail=detail, pointer=pointer, parameter=parameter, meta=meta)
    return ApiError(usual if status is None else status, [entry])
