"""What is kept of a run for whoever has to find out why: both sides' logs, a JSON file each."""

from collections.abc import Mapping
from pathlib import Path

import httpx
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from callcenter.models import Correction, ReconcileRun
from conferences.models import CallLeg, Participant, SupervisionSession
from queues.models import Agent, Call, Offer, QueueEntry
from webhooks.models import Command, JournalEntry, WebhookEvent

_OURS: tuple[type[models.Model], ...] = (
    Agent, Call, CallLeg, Command, Correction, JournalEntry, Offer, Participant, QueueEntry, ReconcileRun,
    SupervisionSession, WebhookEvent,
)  # fmt: skip
_THEIRS = ("commands", "deliveries", "events", "state")


def keep(folder: Path, simulator: httpx.Client) -> None:
    """One file per model of ours and per log of the simulator's (the last 100 000 entries of each)."""
    folder.mkdir(parents=True, exist_ok=True)
    for model in _OURS:
        rows = list(model._default_manager.order_by("pk").values())
        _write(folder / f"{model.__name__}.json", {"rows": rows})
    for log in _THEIRS:
        _write(folder / f"simulator-{log}.json", simulator.get(f"/_sim/{log}").raise_for_status().json())


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(DjangoJSONEncoder(indent=1, ensure_ascii=False).encode(content))
