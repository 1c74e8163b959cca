"""The face for tests, ``/_sim/``: ring in, press keys, inject faults, hold deliveries, see the truth.

Nonsense is answered 400 with one line that names the field, what was found and what is accepted.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from callcenter.simulator import conferencing, legs, params, state
from callcenter.simulator.clock import ManualClock, iso_millis
from callcenter.simulator.faults import BadFault
from callcenter.simulator.model import Json, Leg
from callcenter.simulator.personas import ON_RING, PHONE_FIELDS, Phone
from callcenter.simulator.switches import BadSwitch
from callcenter.simulator.wire import Request, Response, segments
from webhooks.telnyx.events import KNOWN_EVENTS

if TYPE_CHECKING:
    from callcenter.simulator.simulator import Simulator

_OK: Json = {"result": "ok"}
_LONGEST_SECS = 86_400.0
_Entry = TypeVar("_Entry")


class Refused(Exception):
    """A control request that makes no sense; the status is 400, 404 or 409."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Control:
    """See the module."""

    def __init__(self, simulator: "Simulator") -> None:
        self.simulator = simulator
        self.world = simulator.world

    def handle(self, request: Request) -> Response:
        match [request.method, *segments(request.path)[1:]]:
            case ["POST", "clock"]:
                # Moving the clock posts deliveries, which must not happen inside a step.
                return self._answer(request, self._advance)
            case _:
                with self.world.step():
                    return self._answer(request, self._route(request))

    def _answer(self, request: Request, action: Callable[[Json], Any]) -> Response:
        try:
            return Response(status=200, json=action(_read(request)))
        except Refused as refused:
            return Response(status=refused.status, json={"error": str(refused)})
        except (BadFault, BadSwitch) as wrong:
            return Response(status=400, json={"error": str(wrong)})

    def _route(self, request: Request) -> Callable[[Json], Any]:
        """The action for a method and a path; it takes the body."""
        query = request.parameters()
        simulator, world = self.simulator, self.world
        match [request.method, *segments(request.path)[1:]]:
            case ["POST", "calls"]:
                return self._ring_in
            case ["POST", "calls", token, action] if action in self._PHONE_ACTIONS:
                return lambda body: self._on_phone(token, action, body)
            case ["GET", "phones"]:
                return lambda body: self._phones()
            case ["PUT", "phones", address]:
                return lambda body: self._set_phone(address, body)
            case ["GET", "state"]:
                return lambda body: state.everything(world)
            case ["GET", "commands"]:
                return lambda body: {"commands": _after(simulator.api.commands, lambda command: command["seq"], query)}
            case ["GET", "events"]:
                return lambda body: {"events": self._events(query)}
            case ["GET", "deliveries"]:
                return lambda body: {"deliveries": self._deliveries(query)}
            case ["GET", "public-key"]:
                key = base64.b64encode(bytes(simulator.key.verify_key)).decode()
                return lambda body: {"public_key": key}
            case ["GET", "audio"]:
                return lambda body: state.hearing(world)
            case ["GET", "silence"]:
                return lambda body: world.silence.as_json(now=world.now)
            case ["POST", "reset"]:
                return self._reset
            case ["GET", "clock"]:
                return lambda body: self._clock()
            case ["GET", "faults"]:
                return lambda body: simulator.faults.as_json()
            case ["PUT", "faults"]:
                return self._set_faults
            case ["GET", "gates"]:
                return lambda body: {"gates": [gate.as_json() for gate in simulator.delivery.gates.values()]}
            case ["POST", "gates"]:
                return self._add_gate
            case ["DELETE", "gates"]:
                return lambda body: self._open_gates(*simulator.delivery.gates)
            case ["DELETE", "gates", gate_id]:
                return lambda body: self._open_gates(gate_id)
            case ["GET", "switches"]:
                return lambda body: world.switches.as_json()
            case ["PUT", "switches"]:
                return self._set_switches
            case _:
                return lambda body: _refuse(f"there is no {request.method} {request.path}", 404)

    # Callers and phones

    def _ring_in(self, body: Json) -> Json:
        _only(body, "from", "to", "patience_secs", "talk_secs")
        persona = self.simulator.people.caller(
            patience_secs=_secs(body, "patience_secs"), talk_secs=_secs(body, "talk_secs")
        )
        from_, to = _text(body, "from"), _text(body, "to")
        for name, value in (("from", from_), ("to", to)):
            if not params.is_address(value) and not (name == "from" and value == "anonymous"):
                _refuse(f"{name}: found {value!r}, accepted are +E.164 numbers and SIP addresses")
        leg = legs.ring_in(self.world, from_=from_, to=to, persona=persona)
        return {
            "call_control_id": leg.call_control_id,
            "call_leg_id": leg.call_leg_id,
            "call_session_id": leg.call_session_id,
        }

    _PHONE_ACTIONS = ("hangup", "dtmf", "hold", "unhold", "talk")

    def _on_phone(self, token: str, action: str, body: Json) -> Json:
        leg = self._leg(token)
        if action != "hangup" and not leg.is_answered:
            _refuse(f"{action}: the leg is not answered yet", 409)
        match action:
            case "hangup":
                _only(body)
                legs.far_end_hangs_up(self.world, leg)
            case "dtmf":
                _only(body, "digits")
                digits = _text(body, "digits")
                if set(digits) - set("0123456789ABCD*#"):
                    _refuse(f"digits: found {digits!r}, accepted are 0-9, A-D, * and #")
                legs.far_end_presses(self.world, leg, digits)
            case "hold" | "unhold":
                _only(body)
                legs.far_end_holds(self.world, leg, hold=action == "hold")
            case "talk":
                _only(body, "secs")
                if _secs(body, "secs") is None:
                    _refuse("secs: missing, accepted are seconds")
                conferencing.take_floor(self.world, leg)
        return _OK

    def _leg(self, token: str) -> Leg:
        leg = self.world.legs.get(token)
        if leg is None:
            raise Refused(f"leg: {token!r} is not the call_control_id of any leg", 404)
        if not leg.is_live:
            raise Refused("leg: the call has ended", 409)
        return leg

    def _phones(self) -> Json:
        people = self.simulator.people
        known = {address: phone.as_json() for address, phone in people.phones.items()}
        return known | {"default": people.default_phone.as_json()}

    def _set_phone(self, address: str, body: Json) -> Json:
        """What is not given is as for any phone before it was told anything."""
        _only(body, *PHONE_FIELDS)
        if address != "default" and not params.is_address(address):
            _refuse(f"address: found {address!r}, accepted are +E.164 numbers, SIP addresses and 'default'")
        on_ring = body.get("on_ring", "answer")
        if on_ring not in ON_RING:
            _refuse(f"on_ring: found {on_ring!r}, accepted are {', '.join(ON_RING)}")
        dtmf = body.get("dtmf", "1")
        if not (dtmf is None or (isinstance(dtmf, str) and not set(dtmf) - set("0123456789ABCD*#"))):
            _refuse(f"dtmf: found {dtmf!r}, accepted are 0-9, A-D, *, # or null")
        after_secs = _secs(body, "after_secs")
        phone = Phone(
            on_ring=on_ring,
            after_secs=1.0 if after_secs is None else after_secs,
            dtmf=dtmf,
            talk_secs=_secs(body, "talk_secs"),
            drop_after_secs=_secs(body, "drop_after_secs"),
        )
        if address == "default":
            self.simulator.people.default_phone = phone
        else:
            self.simulator.people.phones[address] = phone
        return phone.as_json()

    # The rest

    def _reset(self, body: Json) -> Json:
        _only(body)
        self.simulator.reset()
        return _OK

    def _set_faults(self, body: Json) -> Json:
        self.simulator.faults.replace(body)
        return self.simulator.faults.as_json()

    def _set_switches(self, body: Json) -> Json:
        self.world.switches.change(body)
        return self.world.switches.as_json()

    def _events(self, query: Mapping[str, str]) -> list[Json]:
        return [state.event(event) for event in _after(self.world.events, lambda event: event.seq, query)]

    def _deliveries(self, query: Mapping[str, str]) -> list[Json]:
        parcels = _after(self.simulator.delivery.parcels, lambda parcel: parcel.event.seq, query)
        return [parcel.as_json() for parcel in parcels]

    def _clock(self) -> Json:
        mode = "manual" if isinstance(self.simulator.clock, ManualClock) else "real"
        return {"clock": mode, "now": iso_millis(self.world.now)}

    def _advance(self, body: Json) -> Json:
        _only(body, "advance_secs")
        secs = _secs(body, "advance_secs")
        if secs is None:
            raise Refused("advance_secs: missing, accepted are seconds")
        if not isinstance(self.simulator.clock, ManualClock):
            raise Refused("advance_secs: the clock is real; start the simulator with --clock manual", 409)
        self.simulator.advance(secs)
        return self._clock()

    def _add_gate(self, body: Json) -> Json:
        _only(body, "event_type", "leg")
        event_type = _text(body, "event_type")
        if event_type not in KNOWN_EVENTS:
            _refuse(f"event_type: found {event_type!r}, accepted are {', '.join(sorted(KNOWN_EVENTS))}")
        leg = body.get("leg")
        if leg is not None and not isinstance(leg, str):
            _refuse(f"leg: found {leg!r}, accepted is a call_control_id")
        return {"id": self.simulator.delivery.add_gate(event_type, leg).id}

    def _open_gates(self, *ids: str) -> Json:
        for gate_id in ids:
            if gate_id not in self.simulator.delivery.gates:
                _refuse(f"gate: {gate_id!r} is not the id of any gate", 404)
        return {"released": self.simulator.delivery.open_gates(*ids)}


def _refuse(message: str, status: int = 400) -> None:
    raise Refused(message, status)


def _read(request: Request) -> Json:
    if not request.body.strip():
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Refused("the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused("the body is not a JSON object")
    return body


def _only(body: Json, *accepted: str) -> None:
    for name in body:
        if name not in accepted:
            _refuse(f"{name}: unknown; accepted are {', '.join(accepted) or 'no fields at all'}")


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f"{name}: found {value!r}, accepted is text")
    return value


def _secs(body: Json, name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_SECS:
        raise Refused(f"{name}: found {value!r}, accepted are seconds from 0 to {_LONGEST_SECS:.0f}")
    return float(value)


def _seq(query: Mapping[str, str]) -> int:
    given = query.get("after", "0")
    if not (given.isascii() and given.isdigit()):
        raise Refused(f"after: found {given!r}, accepted is the seq of an entry")
    return int(given)


def _after(log: Sequence[_Entry], seq: Callable[[_Entry], int], query: Mapping[str, str]) -> list[_Entry]:
    """The entries later than the one asked for; found from the end, since a long log is read often."""
    after = _seq(query)
    later = list(takewhile(lambda entry: seq(entry) > after, reversed(log)))
    later.reverse()
    return later
