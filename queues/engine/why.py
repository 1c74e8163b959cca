"""What a pass decided, kept with its reasons: a row for each offer, and for whoever waits on when that changes."""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db.models import OuterRef, Subquery

from queues.engine.gather import Gathered
from queues.models import Offer, QueueEntry, RoutingDecision, RoutingPass
from queues.routing.eligibility import AVAILABLE
from queues.routing.explain import explain
from queues.routing.one_pass import PassResult
from queues.routing.state_json import document_from

KEPT_FOR = timedelta(days=30)
FORGOTTEN_AT_ONCE = 200
MOST_WAITING = 20  # who waits behind them waits for the same reasons


class Reasons:
    """The reasons of one pass, written down as its offers are made."""

    def __init__(self, gathered: Gathered, result: PassResult, *, now: datetime) -> None:
        self._now = now
        self._pass = RoutingPass(
            decided_at=now, state=document_from(gathered.state), every_free_agent=gathered.is_whole
        )
        self._is_kept = False
        explanations = explain(gathered.state, result, most_waiting=MOST_WAITING)
        self._explanations = {each.call_id: each.as_json() for each in explanations}
        self._waiting = result.waiting[:MOST_WAITING]

    def of_offer(self, offer: Offer) -> None:
        """In the transaction that makes the offer; ``are_kept`` once it is committed."""
        self._write_pass()
        self._decision(offer.entry_id, offer.call_id, offer=offer).save(force_insert=True)

    def of_waiting(self) -> None:
        """Those who wait for other reasons than were written down last."""
        last = RoutingDecision.objects.filter(entry=OuterRef("pk")).order_by("-decided_at").values("gist")[:1]
        known = QueueEntry.objects.filter(pk__in=self._waiting).annotate(gist=Subquery(last))
        changed = [
            decision
            for entry_id, call_id, gist in known.values_list("pk", "call_id", "gist")
            if (decision := self._decision(entry_id, call_id)).gist != gist
        ]
        if changed:
            self._write_pass()
            self.are_kept()
            RoutingDecision.objects.bulk_create(changed)

    def _decision(self, entry_id: uuid.UUID, call_id: uuid.UUID, *, offer: Offer | None = None) -> RoutingDecision:
        explanation = self._explanations[str(entry_id)]
        return RoutingDecision(
            routing_pass=self._pass,
            call_id=call_id,
            entry_id=entry_id,
            offer=offer,
            decided_at=self._now,
            strategy=explanation["strategy"],
            explanation=explanation,
            gist=_gist(explanation),
        )

    def are_kept(self) -> None:
        self._is_kept = True

    def _write_pass(self) -> None:
        if not self._is_kept:
            self._pass.save(force_insert=True)


def forget(*, now: datetime) -> int:
    """Delete what is older than is promised, some at a time. Returns how many passes."""
    old = RoutingPass.objects.filter(decided_at__lt=now - KEPT_FOR).order_by("decided_at")[:FORGOTTEN_AT_ONCE]
    found = list(old.values_list("pk", flat=True))
    RoutingPass.objects.filter(pk__in=found).delete()
    return len(found)


def _gist(explanation: Mapping[str, Any]) -> str:
    """What has to change for a waiting call to be told of again: why those who are free could not take it.

    Neither who they are nor how many: agents come and go with every call.
    """
    reasons = sorted(set(explanation["excluded"].values()) - {AVAILABLE})
    said = [explanation["strategy"], bool(explanation["runners_up"]), reasons]
    return sha256(json.dumps(said).encode()).hexdigest()
