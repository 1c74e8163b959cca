"""Everything the simulator says, measured by Telnyx's own description: each response, each webhook."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from callcenter.simulator.api import OPERATION_NAMES
from callcenter.simulator.commands import OPERATIONS
from callcenter.simulator.operation import Operation
from callcenter.simulator.wire import segments
from tests.simulator.rig import AGENT, MUSIC, NUMBER, Rig, rigged
from webhooks.telnyx.events import KNOWN_EVENTS

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema: install requirements-dev.txt")


class Spec:
    """Telnyx's OpenAPI document, made strict: a key it does not name is a fault."""

    def __init__(self, folder: Path) -> None:
        self.document = json.loads((folder / "voice-openapi.json").read_text())
        _close_objects(self.document)
        self._components = self.document["components"]
        # What is inside ``data``, by event_type; the delivery's ``meta`` is described nowhere.
        self._events = {
            event_type: schema
            for schema in map(self._event_schema, self.document["webhooks"].values())
            for event_type in self._resolved(schema)["properties"]["event_type"]["enum"]
        }

    def _event_schema(self, webhook: dict[str, Any]) -> dict[str, Any]:
        schema = self._resolved(webhook["post"]["requestBody"]["content"]["application/json"]["schema"])
        # floor.changed is described with an envelope and without one.
        enveloped = schema["oneOf"][0] if "oneOf" in schema else schema
        described: dict[str, Any] = enveloped["properties"]["data"]
        return described

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            kind, name = schema["$ref"].split("/")[-2:]
            schema = self._components[kind][name]
        return schema

    def faults(self, instance: Any, schema: dict[str, Any]) -> list[str]:
        validator = jsonschema.Draft202012Validator(
            {**schema, "components": self._components},
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )
        return [f"{fault.json_path}: {fault.message[:200]}" for fault in validator.iter_errors(instance)]

    def response_faults(self, method: str, path: str, response: httpx.Response) -> list[str]:
        """What is wrong with a response; a refusal is held to the envelope even where no status is listed."""
        described = self.document["paths"][path][method.lower()]["responses"]
        if response.status_code == 204:
            return [] if "204" in described and not response.content else ["204 is not described, or has a body"]
        found = self._resolved(described.get(str(response.status_code), {}))
        content = found.get("content", {}).get("application/json")
        if content is None and response.status_code < 400:
            return [f"{response.status_code} is not described"]
        schema = {"$ref": "#/components/schemas/call-control_Errors"} if content is None else content["schema"]
        body = response.json()
        if "cursors" in body.get("meta", {}):
            # For the SDK, which pages these by number (CONTRACT §4).
            body["meta"] = {
                name: body["meta"][name] for name in body["meta"] if not name.startswith(("page_", "total_p"))
            }
        return self.faults(body, schema)

    def event_faults(self, body: bytes) -> list[str]:
        document = json.loads(body)
        data = document.get("data", document)
        return self.faults(data, self._events[data["event_type"]])


def _close_objects(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict) and node.get("type", "object") == "object":
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _close_objects(value)
    elif isinstance(node, list):
        for value in node:
            _close_objects(value)


@pytest.fixture(scope="session")
def spec(telnyx_spec_dir: Path) -> Spec:
    return Spec(telnyx_spec_dir)


class Witness:
    """Notes every response a rig gets, by operation."""

    def __init__(self, rig: Rig, spec: Spec) -> None:
        self.operations: set[str] = set()
        self.statuses: set[int] = set()
        self.faults: list[str] = []
        self._spec = spec
        self._paths = {tuple(_shape(path)): path for path in spec.document["paths"]}
        rig.http.event_hooks["response"].append(self._see)

    def _see(self, response: httpx.Response) -> None:
        request = response.request
        raw_path = request.url.raw_path.decode().partition("?")[0]
        if not raw_path.startswith("/v2/"):
            return
        response.read()
        operation = _operation(request.method, raw_path.removeprefix("/v2"))
        path = self._paths[tuple(_shape(operation.path))]
        self.operations.add(operation.name)
        self.statuses.add(response.status_code)
        self.faults += [
            f"{operation.name} {response.status_code}: {fault}"
            for fault in self._spec.response_faults(request.method, path, response)
        ]


def _shape(path: str) -> list[str]:
    return ["*" if part.startswith("{") else part for part in segments(path)]


def _operation(method: str, path: str) -> Any:
    wanted = segments(path)

    def fits(operation: Any) -> bool:
        shape = _shape(operation.path)
        return (
            operation.method == method
            and len(shape) == len(wanted)
            and all(part in ("*", given) for part, given in zip(shape, wanted, strict=True))
        )

    found = [operation for operation in OPERATIONS if fits(operation)]
    return min(found, key=lambda operation: operation.path.count("{"))


def everything_on_one_leg(rig: Rig) -> None:
    leg = rig.ring_in()
    rig.call(leg, "answer", record="record-from-answer", client_state="YQ==", command_id="c1")
    rig.call(leg, "record_pause")
    rig.call(leg, "record_resume")
    rig.call(leg, "record_stop")
    rig.call(leg, "record_start", channels="dual", format="wav")
    rig.call(leg, "speak", payload="Hello", voice="female", loop=2)
    rig.advance(2)
    rig.call(leg, "playback_start", audio_url=f"{MUSIC}?secs=1")
    rig.call(leg, "playback_start", media_name="tune", loop="infinity")
    rig.advance(2)
    rig.call(leg, "playback_stop")
    for action, body in (
        ("gather", {}),
        ("gather_using_speak", {"payload": "Press", "voice": "female"}),
        ("gather_using_audio", {"audio_url": MUSIC}),
    ):
        rig.call(leg, action, maximum_digits=1, **body)
        rig.on_phone(leg, "dtmf", digits="5")
    rig.call(leg, "gather")
    rig.call(leg, "gather_stop")
    rig.call(leg, "send_dtmf", digits="12")
    rig.on_phone(leg, "hold")
    rig.on_phone(leg, "unhold")
    path = f"/calls/{leg}"
    rig.request("PUT", f"{path}/actions/client_state_update", {"client_state": "Yg=="})
    rig.get(path)
    rig.get(f"/connections/{rig.world.connection_id}/active_calls")
    rig.get("/call_events")
    rig.call(leg, "hangup")
    rig.get(path)
    rig.call(rig.ring_in(), "reject", cause="CALL_REJECTED")
    for recording in rig.get("/recordings")["data"]:
        rig.get(f"/recordings/{recording['id']}")
        rig.request("DELETE", f"/recordings/{recording['id']}")
    rig.call(leg := rig.caller(), "record_start", channels="single", format="mp3")
    rig.call(leg, "record_stop")
    rig.request("POST", "/recordings/actions/delete", {"ids": [rig.get("/recordings")["data"][0]["id"]]})


def everything_in_queues(rig: Rig) -> None:
    rig.post("/queues", queue_name="support", max_size=5)
    rig.post("/queues/support", max_size=6)
    leg = rig.waiting("support", client_state="YQ==")
    rig.advance(3)
    rig.get("/queues")
    rig.get("/queues/support")
    rig.get("/queues/support/calls")
    rig.get(f"/queues/support/calls/{leg}")
    rig.request("PATCH", f"/queues/support/calls/{leg}", {"keep_after_hangup": True})
    rig.on_phone(leg, "hangup")
    rig.request("DELETE", f"/queues/support/calls/{leg}")
    rig.call(rig.waiting("support"), "leave_queue")
    rig.request("DELETE", "/queues/support")


def everything_with_two_legs(rig: Rig) -> None:
    rig.phone("sip:machine@example.com", on_ring="voicemail")
    for detection in ("greeting_end", "premium"):
        rig.dial("sip:machine@example.com", answering_machine_detection=detection)
        rig.advance(10)
    caller, agent = rig.caller(), rig.agent(client_state="YQ==", custom_headers=[{"name": "X-A", "value": "b"}])
    rig.call(caller, "bridge", call_control_id=agent)
    supervisor = rig.agent("sip:sue@example.com", supervise_call_control_id=agent, supervisor_role="monitor")
    rig.call(supervisor, "switch_supervisor_role", role="whisper")
    rig.on_phone(agent, "hangup")
    rig.call(rig.caller(), "transfer", to=AGENT)
    rig.advance(1)


def everything_in_a_conference(rig: Rig) -> None:
    caller, agent, supervisor = rig.caller(), rig.agent(), rig.agent()
    conference = rig.meeting(caller, name="room", client_state="YQ==", start_conference_on_create=False)
    rig.conference(conference, "join", call_control_id=agent, start_conference_on_enter=True)
    rig.conference(conference, "join", call_control_id=supervisor, supervisor_role="monitor")
    rig.conference(
        conference,
        "update",
        call_control_id=supervisor,
        supervisor_role="whisper",
        whisper_call_control_ids=[agent],
    )
    for some in ({}, {"call_control_ids": [caller]}):
        for action in ("hold", "mute", "unmute"):
            rig.conference(conference, action, **some)
        rig.conference(conference, "unhold", call_control_ids=[caller, agent])
        rig.conference(conference, "speak", payload="Hello", voice="female", **some)
        rig.advance(2)
        rig.conference(conference, "play", media_name="tune", **some)
        rig.conference(conference, "play", audio_url=MUSIC, **some)
        rig.advance(31)
        rig.conference(conference, "stop", **some)
    rig.conference(conference, "record_start", format="mp3")
    rig.conference(conference, "record_pause")
    rig.conference(conference, "record_resume")
    rig.conference(conference, "record_stop")
    rig.conference(conference, "record_start", format="wav", channels="dual")
    rig.conference(conference, "send_dtmf", digits="1")
    rig.conference(conference, "gather_using_audio", call_control_id=agent, audio_url=MUSIC, maximum_digits=1)
    rig.on_phone(caller, "talk", secs=1)
    rig.get("/conferences")
    rig.get(f"/conferences/{conference}")
    rig.advance(2)
    participant = rig.participants(conference)[agent]["id"]
    rig.get(f"/conferences/{conference}/participants/{participant}")
    rig.request("PATCH", f"/conferences/{conference}/participants/{participant}", {"beep_enabled": "never"})
    rig.conference(conference, "leave", call_control_id=supervisor)
    rig.conference(conference, "end")
    rig.get(f"/conferences/{conference}")
    rig.on_phone(caller := rig.caller(), "dtmf", digits="1")
    rig.meeting(caller, name="short")
    rig.on_phone(caller, "hangup")


def everything_about_the_application(rig: Rig) -> None:
    path = f"/call_control_applications/{rig.world.connection_id}"
    rig.get("/call_control_applications")
    rig.get(path)
    rig.request("PATCH", path, {"application_name": "x", "webhook_event_url": "http://testserver/webhooks/telnyx"})


def many_refusals(rig: Rig) -> None:
    leg = rig.ring_in()
    conference = rig.meeting(rig.caller(), name="refusing")
    rig.call_refused(leg, "speak", payload="x", voice="f")
    rig.call_refused("v3:x", "hangup")
    rig.refused("/calls", to="x")
    rig.refused("/conferences", call_control_id=leg, name="x")
    rig.refused("/calls/v3:x", "GET")
    for path in ("/queues/none", "/queues/none/calls", "/conferences/none", "/recordings/none"):
        rig.refused(path, "GET")
    rig.refused("/conferences/none/participants", "GET")
    rig.refused("/queues/none", "DELETE")
    rig.conference_refused(conference, "unhold")
    rig.conference_refused(conference, "leave", call_control_id=leg)
    rig.waiting("busy")
    rig.refused("/queues/busy", "DELETE")


def tell(rig: Rig) -> None:
    everything_on_one_leg(rig)
    everything_in_queues(rig)
    everything_with_two_legs(rig)
    everything_in_a_conference(rig)
    everything_about_the_application(rig)
    many_refusals(rig)
    rig.simulator.drain()


def test_every_response_of_every_operation_is_as_described(spec: Spec) -> None:
    with rigged() as rig:
        witness = Witness(rig, spec)
        tell(rig)
        dialled = rig.dial(to="+15550107777", record="record-from-answer", **{"from": NUMBER})
        assert dialled
        assert witness.faults == []
        assert witness.operations == set(OPERATION_NAMES)
        assert {200, 204, 400, 404, 422} <= witness.statuses


@pytest.mark.parametrize("flat", [False, True], ids=["enveloped", "flat"])
def test_every_webhook_is_as_described(spec: Spec, flat: bool) -> None:
    with rigged() as rig:
        # The enum of conference.ended knows no end by API, though the resource does (CONTRACT §8.2).
        rig.sim("PUT", "switches", {"ended_via_api_reason": "host_left", "floor_changed_enveloped": not flat})
        tell(rig)
        found = {posted.event_type for posted in rig.posts}
        assert found >= KNOWN_EVENTS
        faults = {posted.event_type: spec.event_faults(posted.body) for posted in rig.posts}
        assert {event_type: fault for event_type, fault in faults.items() if fault} == {}


# Values the description names in words only.
BEYOND = {
    ("calls.speak", "stop"): {"current", "all"},
    ("calls.playback_start", "stop"): {"current", "all"},
    ("calls.playback_start", "target_legs"): {"self", "opposite", "both"},
    ("calls.playback_stop", "stop"): {"current", "all"},
    ("calls.bridge", "park_after_unbridge"): {"self"},
    ("calls.dial", "park_after_unbridge"): {"self"},
    ("calls.transfer", "park_after_unbridge"): {"self"},
}


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.fields], ids=lambda each: each.name)
def test_a_table_of_fields_agrees_with_the_description(spec: Spec, operation: Operation) -> None:
    path = {tuple(_shape(path)): path for path in spec.document["paths"]}[tuple(_shape(operation.path))]
    described = spec.document["paths"][path][operation.method.lower()]
    body = spec._resolved(spec._resolved(described["requestBody"])["content"]["application/json"]["schema"])
    properties = body["properties"]
    assert set(operation.fields) <= set(properties)
    assert {name for name, field in operation.fields.items() if field.required} == set(body.get("required", ()))
    for name, field in operation.fields.items():
        if name not in properties:
            continue
        schema = spec._resolved(properties[name])
        enum, beyond = set(schema.get("enum", ())), BEYOND.get((operation.name, name), set())
        assert set(field.choices) - beyond == (enum if field.choices else set()), name
        if field.least is not None and "minimum" in schema:
            assert field.least == schema["minimum"], name
        if field.most is not None and "maximum" in schema:
            assert field.most == schema["maximum"], name
        if field.kind in {"boolean", "integer"}:
            assert schema["type"] in (field.kind, [field.kind, "null"]), name
