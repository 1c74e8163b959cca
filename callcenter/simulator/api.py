"""Telnyx's face: one function from Request to Response over the world.

A request is routed, let in, read, checked, looked up among the command_ids of the last minute, and then done, all
in one step of the world. Every command is logged with its effect.
"""

import hmac
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from callcenter.simulator import errors, params
from callcenter.simulator.clock import iso_millis
from callcenter.simulator.commands import OPERATIONS
from callcenter.simulator.errors import ApiError
from callcenter.simulator.faults import SLOW_SECS, Faults
from callcenter.simulator.model import Json, Leg
from callcenter.simulator.operation import OK, Arguments, Operation
from callcenter.simulator.wire import Request, Response, segments
from callcenter.simulator.world import LOG_SIZE, World

COMMAND_WINDOW_SECS = 60.0
PREFIX = "/v2/"
OPERATION_NAMES = tuple(operation.name for operation in OPERATIONS)


@dataclass(slots=True)
class RateWindow:
    """So many requests in so many seconds, counted anew in each window."""

    limit: int
    secs: float
    code: str
    started_at: float = 0.0
    used: int = 0

    def admit(self, now: float) -> bool:
        if now - self.started_at >= self.secs:
            self.started_at, self.used = now, 0
        self.used += 1
        return self.used <= self.limit

    def headers(self, now: float) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(max(0, self.limit - self.used)),
            "x-ratelimit-reset": str(max(1, round(self.started_at + self.secs - now))),
        }


@dataclass(slots=True)
class CommandWindow:
    """The command_ids that took effect in the last 60 s, with what they were answered (CONTRACT §3)."""

    answers: dict[tuple[str, str], tuple[float, Json | None]] = field(default_factory=dict)

    def find(self, key: tuple[str, str], now: float) -> tuple[float, Json | None] | None:
        found = self.answers.get(key)
        return found if found is not None and now - found[0] < COMMAND_WINDOW_SECS else None

    def keep(self, key: tuple[str, str], now: float, answer: Json | None) -> None:
        for old in list(self.answers):
            if now - self.answers[old][0] < COMMAND_WINDOW_SECS:
                break
            del self.answers[old]
        self.answers.pop(key, None)
        self.answers[key] = (now, answer)


class Api:
    """See the module. ``api_key`` None lets everyone in."""

    def __init__(self, world: World, faults: Faults, *, api_key: str | None) -> None:
        self.world = world
        self.faults = faults
        self.api_key = api_key
        self._routes: dict[tuple[str, int], list[tuple[list[str], Operation]]] = {}
        for operation in OPERATIONS:
            template = segments(operation.path)
            self._routes.setdefault((operation.method, len(template)), []).append((template, operation))
        self.reset()

    def reset(self) -> None:
        self.commands: deque[Json] = deque(maxlen=LOG_SIZE)
        self._command_seq = 0
        self._window = CommandWindow()
        self._dials = RateWindow(limit=150, secs=5.0, code="90103")
        self._requests = RateWindow(limit=10_000, secs=5.0, code="10011")

    def handle(self, request: Request) -> Response:
        """Answer one request. Faults come back as instructions in the response."""
        with self.world.step():
            try:
                operation, path = self._route(request)
                self._let_in(request)
            except ApiError as refused:
                return Response(status=refused.status, json=refused.as_json())
            rate = self._dials if operation.name == "calls.dial" else self._requests
            admitted = rate.admit(self.world.now)
            headers = rate.headers(self.world.now)
            try:
                body = _read_body(request)
                if not admitted:
                    raise errors.refusal(rate.code)
            except ApiError as refused:
                self._log(operation, path, {}, refused.status, f"rejected:{refused.code}")
                return Response(status=refused.status, json=refused.as_json(), headers=headers)
            return self._act(operation, path, request.parameters(), body, headers)

    def _act(
        self,
        operation: Operation,
        path: Mapping[str, str],
        query: Mapping[str, str],
        body: Json,
        headers: dict[str, str],
    ) -> Response:
        before = self._strikes(operation, path, body, ("api_429", "api_5xx", "api_timeout"))
        reset = self._strikes(operation, path, body, ("reset",)) is not None
        if before is None and reset and self.faults.random.random() < 0.5:
            before = "reset"
        if before is not None:
            return self._failed_before(before, operation, path, body, headers)
        args = Arguments(operation=operation.name, path=path, query=query, body=body)
        try:
            answer, effect = self._perform(operation, args)
        except ApiError as refused:
            self._log(operation, path, body, refused.status, f"rejected:{refused.code}")
            response = Response(status=refused.status, json=refused.as_json(), headers=headers)
        else:
            status = 204 if answer is None else 200
            after = self._strikes(operation, path, body, ("api_5xx_after_effect",))
            self._log(operation, path, body, status, effect, fault=after)
            response = Response(status=status, json=answer, headers=headers)
            if after is not None:
                response = Response(status=503, json=errors.refusal("10007").as_json(), headers=headers)
        unanswered = self._strikes(operation, path, body, ("api_timeout_after_effect",)) is not None
        slow = self._strikes(operation, path, body, ("api_slow",))
        return Response(
            status=response.status,
            json=response.json,
            headers=headers,
            after_secs=self.faults.random.uniform(*SLOW_SECS) if slow is not None else 0.0,
            lost="reset" if reset else "timeout" if unanswered else "",
        )

    def _perform(self, operation: Operation, args: Arguments) -> tuple[Json | None, str]:
        """Check, look for a repeat, do. A refused command leaves no trace, not even its client_state."""
        params.check(args.body, operation.fields)
        key = self._key(operation, args)
        if key is not None:
            repeated = self._window.find(key, self.world.now)
            if repeated is not None:
                original = self.world.switches.duplicate_command_response == "original"
                return (repeated[1] if original else OK), "deduplicated"
        leg = self._about(operation, args)
        client_state = leg.client_state if leg is not None else None
        if leg is not None:
            leg.commanded = True
            leg.client_state = args.text("client_state") or client_state
        try:
            answer = operation.handler(self.world, args)
        except ApiError:
            if leg is not None:
                leg.client_state = client_state
            raise
        if key is not None:
            self._window.keep(key, self.world.now, answer)
        return answer, "done"

    def _about(self, operation: Operation, args: Arguments) -> Leg | None:
        if operation.about == "leg":
            return self.world.legs.get(args.path["call_control_id"])
        if operation.about == "participant":
            return self.world.legs.get(args.text("call_control_id") or "")
        return None

    def _key(self, operation: Operation, args: Arguments) -> tuple[str, str] | None:
        """Where a command_id must be new: per leg, per conference, or for dial in the whole account."""
        command_id = args.text("command_id")
        if command_id is None or "command_id" not in operation.fields:
            return None
        if operation.about == "leg":
            return args.path["call_control_id"], command_id
        if operation.about == "participant":
            return args.text("call_control_id") or "", command_id
        if operation.about == "conference":
            named = self.world.active_conferences.get(args.path["id"])
            return (args.path["id"] if named is None else named.id), command_id
        return operation.about, command_id

    def _route(self, request: Request) -> tuple[Operation, dict[str, str]]:
        if request.path.startswith(PREFIX):
            wanted = segments(request.path.removeprefix(PREFIX))
            for template, operation in self._routes.get((request.method, len(wanted)), ()):
                found = _matched(template, wanted)
                if found is not None:
                    return operation, found
        said = f"The simulator has no {request.method} {request.path}; its API begins with {PREFIX}."
        raise errors.refusal("10005", detail=said)

    def _let_in(self, request: Request) -> None:
        if self.api_key is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.api_key}".encode()):
            raise errors.refusal("10009")

    def _strikes(self, operation: Operation, path: Mapping[str, str], body: Json, names: Sequence[str]) -> str | None:
        if not self.faults.active:
            return None
        leg = _token(path, body)
        return next(
            (
                name
                for name in names
                if self.faults.strikes_request(name, operation=operation.name, leg=leg) is not None
            ),
            None,
        )

    def _failed_before(
        self, fault: str, operation: Operation, path: Mapping[str, str], body: Json, headers: dict[str, str]
    ) -> Response:
        """A fault that keeps the command from being done at all."""
        if fault in {"api_timeout", "reset"}:
            lost: Literal["timeout", "reset"] = "timeout" if fault == "api_timeout" else "reset"
            self._log(operation, path, body, 0, f"rejected:{lost}", fault=fault)
            return Response(status=504, headers=headers, lost=lost)
        code = "10011" if fault == "api_429" else "10007"
        refused = errors.refusal(code)
        self._log(operation, path, body, refused.status, f"rejected:{code}", fault=fault)
        if fault == "api_429":
            headers = {**headers, "retry-after": "1"}
        return Response(status=refused.status, json=refused.as_json(), headers=headers)

    def _log(
        self,
        operation: Operation,
        path: Mapping[str, str],
        body: Json,
        status: int,
        effect: str,
        *,
        fault: str | None = None,
    ) -> None:
        if not operation.is_command:
            return
        self._command_seq += 1
        entry: dict[str, Any] = {
            "seq": self._command_seq,
            "at": iso_millis(self.world.now),
            "operation": operation.name,
            **path,
            "command_id": body.get("command_id"),
            "body": body,
            "status": status,
            "effect": effect,
        }
        if fault is not None:
            entry["fault"] = fault
        self.commands.append(entry)


def _read_body(request: Request) -> Json:
    if not request.body.strip():
        return {}
    try:
        body = json.loads(request.body.decode())
    except UnicodeDecodeError:
        raise errors.refusal("10028", status=400, detail="Error decoding request body", pointer="/") from None
    except (ValueError, RecursionError):
        raise errors.refusal("10023") from None
    if not isinstance(body, dict):
        raise errors.refusal("10015", status=400, detail="The request body must be a JSON object.")
    return body


def _matched(template: Sequence[str], wanted: Sequence[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for part, given in zip(template, wanted, strict=True):
        if part.startswith("{"):
            if not given:
                return None
            found[part[1:-1]] = given
        elif part != given:
            return None
    return found


def _token(path: Mapping[str, str], body: Json) -> str:
    """The leg a request is about, for matching; '' when it is about none."""
    named = path.get("call_control_id") or body.get("call_control_id")
    return named if isinstance(named, str) else ""
