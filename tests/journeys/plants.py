"""Faults to plant, each in this process alone: what finds none of them proves nothing (RELIABILITY §8)."""

import uuid
from datetime import datetime
from typing import Any

import pytest
from django.db.models import QuerySet

from conferences import services as conference_services
from conferences.models import CallLeg
from queues.engine import agents
from queues.engine.settle import Settlement
from webhooks import outbox
from webhooks.models import Command


def last_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever instant comes last stands."""

    def last_arrival(rows: QuerySet[Any], field: str, at: datetime, **beside: Any) -> bool:
        return bool(rows.update(**{field: at}, **beside))

    monkeypatch.setattr(conference_services, "earliest", last_arrival)
    monkeypatch.setattr(conference_services, "latest", last_arrival)


def the_last_event_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leg is what was last heard of it: one that has ended rings or talks again."""
    note = conference_services.leg_fact

    def arrives(leg: CallLeg, field: str, at: datetime, **beside: Any) -> bool:
        if field in ("initiated_at", "answered_at"):
            CallLeg.objects.filter(pk=leg.pk).update(hangup_at=None)
        return note(leg, field, at, **beside)

    monkeypatch.setattr(conference_services, "leg_fact", arrives)


def new_id_for_each_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent and not answered is sent again as if it were new."""
    perform = outbox._perform

    def as_new(command: Command, *rest: Any) -> Any:
        command.command_id = uuid.uuid4()
        return perform(command, *rest)

    monkeypatch.setattr(outbox, "_perform", as_new)


def nobody_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offer ends, and its agent is still reserved."""
    monkeypatch.setattr(agents, "release", lambda *_, **__: False)


def exits_hang_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An offer is over, and its phone rings on."""
    monkeypatch.setattr(Settlement, "_hang_up_exited_offers", lambda _: None)
