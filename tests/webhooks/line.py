"""The outbox over the simulator, and the database's clock moved by hand."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from callcenter.simulator.transport import SimulatorTransport
from tests.simulator import rig as sim
from webhooks import outbox, references
from webhooks.models import Command
from webhooks.outbox import Kind
from webhooks.telnyx.client import TelnyxClient


class Line:
    """The outbox over the simulator, with kinds of the test's own."""

    def __init__(self, rig: sim.Rig) -> None:
        self.rig = rig
        self.client = TelnyxClient(
            api_key="KEY", base_url="http://simulator/v2", transport=SimulatorTransport(rig.simulator)
        )
        self.wanted = True
        self.closed: list[Command] = []
        self.breaks = 0
        self.suspected: list[str] = []

    def kind(self) -> Kind:
        return Kind(lambda command: self.wanted, self._close)

    def _close(self, command: Command, now: Any) -> None:
        if self.breaks:
            self.breaks -= 1
            raise RuntimeError("effects failed")
        self.closed.append(command)

    # what is asked for -----------------------------------------------------------------------------------------

    def issue(self, operation: str, target: str = "", *, key: object = None, kind: str = "deed", **more: Any) -> int:
        arguments = {name: more.pop(name) for name in list(more) if name not in ("priority", "ordering_key")}
        command = outbox.issue(
            kind,
            operation=operation,
            target=target,
            arguments=arguments,
            dedupe_key=key or uuid.uuid4(),
            now=timezone.now(),
            **more,
        )
        assert command is not None
        return command.pk

    def speak(self, leg: str, text: str = "hello", **more: Any) -> int:
        return self.issue("calls.speak", leg, payload=text, voice="female", **more)

    def dial(self, **more: Any) -> int:
        asked = {"connection_id": self.rig.world.connection_id, "to": sim.AGENT, "from_": sim.NUMBER}
        return self.issue("calls.dial", client_state=references.write("offer", uuid.uuid4()), **asked | more)

    def create(self, leg: str, **more: Any) -> int:
        return self.issue("conferences.create", call_control_id=leg, name=f"room-{uuid.uuid4()}", **more)

    def hang_up(self, leg: str) -> int:
        return self.issue("calls.hangup", leg, priority=Command.Priority.HANG_UP)

    def send(self, sequence: int) -> Command:
        outbox.send(sequence, self.client)
        return row(sequence)

    # what came of it -------------------------------------------------------------------------------------------

    def effects(self, operation: str = "") -> list[str]:
        commands = self.rig.sim("GET", "commands")["commands"]
        return [each["effect"] for each in commands if operation in ("", each["operation"])]

    def ids(self) -> set[str]:
        return {each["command_id"] for each in self.rig.sim("GET", "commands")["commands"] if each["command_id"]}

    def faults(self, **faults: Any) -> None:
        self.rig.sim("PUT", "faults", faults)


@contextmanager
def lined(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    with sim.rigged() as rig:
        line = Line(rig)
        monkeypatch.setattr(outbox, "_kinds", {"deed": line.kind(), "other": line.kind()})
        monkeypatch.setattr(outbox, "_suspect", lambda leg, at: line.suspected.append(leg))
        yield line
        line.client.close()


def row(sequence: int) -> Command:
    return Command.objects.get(pk=sequence)


def age(sequence: int, secs: float) -> None:
    """As if so much time had passed: leases and waits run out, the first sending lies back."""
    by = timedelta(seconds=secs)
    Command.objects.filter(pk=sequence).update(
        lease_until=F("lease_until") - by, not_before=F("not_before") - by, first_sent_at=F("first_sent_at") - by
    )


def due() -> list[int]:
    return outbox.due(created_before=timezone.now())


class Killed(BaseException):
    """The process ends here: nothing after it runs."""


def kill_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(outbox, name, die)
