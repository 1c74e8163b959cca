"""Putting right what was found: through the inbox and its reducers, or by a command, once whoever finds it."""

import logging
import uuid
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from callcenter.models import Correction, ReconcileRun
from callcenter.reconcile.compare import OWNERLESS_FOR
from callcenter.reconcile.findings import Finding, HangUp, Note, Readmit, Remove, Tell
from conferences import services as mirror
from conferences.models import Participant, SupervisionSession
from queues import engine, services
from queues.models import Offer
from webhooks import inbox, outbox
from webhooks.models import Command, WebhookEvent

logger = logging.getLogger(__name__)

_UNANNOUNCED = ("on_hold", "muted")


def mend(finding: Finding, run: ReconcileRun, *, now: datetime) -> int:
    """Do what the finding asks for, unless it has been done. Returns how many corrections that took."""
    made = 0
    for remedy in finding.remedies:
        match remedy:
            case Tell():
                done = inbox.store(remedy.event, received_at=now, source=WebhookEvent.Source.RECONCILE)
            case HangUp():
                done = _hang_up(finding, remedy, now)
            case Remove():
                done = _remove(finding, remedy, now)
            case Readmit():
                done = _readmit(remedy, now)
            case Note():
                done = _note(remedy, now)
        if done:
            made += 1
            Correction.objects.create(
                run=run,
                at=now,
                kind=finding.kind,
                call_id=finding.call_id,
                detail=finding.detail[:200],
                remedy=str(remedy),
            )
    if made:
        logger.warning("reconciled run=%s %s", run.pk, finding)
    else:
        logger.info("found again, or nothing to be done about it run=%s %s", run.pk, finding)
    return made


def _hang_up(finding: Finding, remedy: HangUp, now: datetime) -> bool:
    """Not a leg that serves a live offer or session of this call by now: a late answer may have said so meanwhile."""
    leg = remedy.call_control_id
    with transaction.atomic():
        if finding.call_id is not None:
            inbox.lock_call(finding.call_id)
        owners = set(
            Offer.objects.filter(leg__call_control_id=leg, state__in=Offer.LIVE).values_list("call", flat=True)
        )
        sessions = SupervisionSession.objects.filter(leg__call_control_id=leg).exclude(state="ended")
        owners |= set(sessions.values_list("call_id", flat=True))
        if owners and finding.call_id in (None, *owners):
            return False
        times = _asked(now, kind="hang_up", target=leg)
        if times is None:
            return False
        command = outbox.issue(
            "hang_up",
            operation="calls.hangup",
            target=leg,
            priority=Command.Priority.HANG_UP,
            dedupe_key=f"{leg}:{times + 1}" if times else leg,
            call_id=finding.call_id,
            now=now,
        )
    return command is not None


def _remove(finding: Finding, remedy: Remove, now: datetime) -> bool:
    with transaction.atomic():
        times = _asked(now, kind="remove_stranger", dedupe_key__startswith=remedy.participant_id)
        if times is None:
            return False
        command = outbox.issue(
            "remove_stranger",
            operation="conferences.leave",
            target=remedy.conference_id,
            arguments={"call_control_id": remedy.call_control_id},
            ordering_key=remedy.call_control_id,
            dedupe_key=f"{remedy.participant_id}:{times + 1}" if times else remedy.participant_id,
            call_id=finding.call_id,
            now=now,
        )
    return command is not None


def _readmit(remedy: Readmit, now: datetime) -> bool:
    leg = remedy.leg
    assert leg.call_id is not None  # noqa: S101  a caller's
    with transaction.atomic():
        inbox.lock_call(leg.call_id)
        if not mirror.begin_anew(leg):
            return False
        for event in remedy.events:
            inbox.store(event, received_at=now, source=WebhookEvent.Source.RECONCILE)
    return True


def _asked(now: datetime, **which: Any) -> int | None:
    """How often Telnyx was asked for it, to no effect; None while that is under way, or has just been done."""
    told = Command.objects.filter(**which)
    if told.filter(Q(state__in=Command.OPEN) | Q(closed_at__gt=now - OWNERLESS_FOR)).exists():
        return None
    return told.count()


def _note(remedy: Note, now: datetime) -> bool:
    """Hold and mute into the mirror; a whisper to others than was told ends the listening."""
    conference = remedy.conference
    assert conference.call_id is not None  # noqa: S101  nothing is noted of others' conferences
    with transaction.atomic():
        inbox.lock_call(conference.call_id)
        before = _as_noted(conference.pk)
        mirror.participants_read(conference, remedy.participants, version=remedy.version)
        stopped = [
            services.supervisor_seen(seen, call_id=conference.call_id, before=remedy.version + 1, now=now)
            for seen in remedy.participants
        ]
        engine.settle(conference.call_id, now=now)
        return any(stopped) or _as_noted(conference.pk) != before


def _as_noted(conference_pk: uuid.UUID) -> list[tuple[object, ...]]:
    return list(Participant.objects.filter(conference=conference_pk).order_by("pk").values_list(*_UNANNOUNCED))
