"""What a pass decided, kept with its reasons: a row for each call it offered, and for whoever waits on when there is
something new to say of that."""

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from queues.engine.gather import Gathered, cuts
from queues.engine.sql import Dialect, Question, asked, ident, or_empty, places
from queues.engine.states import queue_state, secs
from queues.models import Offer, QueueEntry, RoutingDecision, RoutingPass
from queues.routing.eligibility import AVAILABLE
from queues.routing.explain import Explanation, explain
from queues.routing.floor import strategy_of
from queues.routing.one_pass import PassResult
from queues.routing.relaxation import gate_of, ring_of, window_of
from queues.routing.snapshot import State, WaitingCall
from queues.routing.state_json import document_from

logger = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=30)
FORGOTTEN_AT_ONCE = 200
MOST_WAITING = 20  # of those left waiting a pass looks at so many, in turn
MOST_ABSENT = 50  # of a queue's members who are not in the state so many are named


class Reasons:
    """The reasons of one pass. They are found once its claims are over: whatever becomes of them, its offers stand."""

    def __init__(self, gathered: Gathered, result: PassResult, *, now: datetime) -> None:
        self._gathered, self._result, self._now = gathered, result, now
        self._calls = {call.id: call for call in gathered.state.calls}
        self._queues = {queue.id: queue for queue in gathered.state.queues}
        self._offers: dict[str, list[Offer]] = defaultdict(list)
        self._error: Exception | None = None

    def of_offer(self, offer: Offer) -> None:
        """It has been made."""
        self._offers[str(offer.entry_id)].append(offer)

    def keep(self) -> None:
        """Write down why the pass made its offers, and what has not been said yet of those it left waiting."""
        waiting = _in_turn(self._result.waiting, self._now)
        if not self._offers and not waiting:
            return
        explanations = self._explanations(waiting)
        decisions = [
            self._decision(entry_id, offers[0].call_id, explanations) for entry_id, offers in self._offers.items()
        ]
        decisions += self._news(waiting, explanations)
        if decisions:
            self._write(decisions)

    def _explanations(self, waiting: Collection[str]) -> Mapping[str, Explanation]:
        """By stay; none where they fail, which the row of the pass records."""
        try:
            return {each.call_id: each for each in explain(self._gathered.state, self._result, waiting=waiting)}
        except Exception as error:  # noqa: BLE001  the pass's row records it
            self._error = error
            return {}

    def _news(self, waiting: Collection[str], explanations: Mapping[str, Explanation]) -> Iterator[RoutingDecision]:
        """Those of whom there is something to say that has not been said since they were offered last."""
        calls: dict[uuid.UUID, uuid.UUID] = {}
        said: dict[uuid.UUID, set[str]] = defaultdict(set)
        known = QueueEntry.objects.filter(pk__in=waiting).order_by("decisions__decided_at")
        for entry_id, call_id, facts in known.values_list("pk", "call_id", "decisions__facts"):
            calls[entry_id] = call_id
            if facts:
                said[entry_id].update(facts)
            else:
                said[entry_id].clear()
        for entry_id, call_id in calls.items():
            decision = self._decision(str(entry_id), call_id, explanations)
            decision.facts = self._facts(explanations.get(str(entry_id)), self._calls[str(entry_id)])
            if not said[entry_id].issuperset(decision.facts):
                yield decision

    def _decision(self, entry_id: str, call_id: uuid.UUID, explanations: Mapping[str, Explanation]) -> RoutingDecision:
        explanation = explanations.get(entry_id)
        return RoutingDecision(
            call_id=call_id,
            entry_id=uuid.UUID(entry_id),
            decided_at=self._now,
            strategy=strategy_of(self._queues[self._calls[entry_id].queue]).name,
            explanation=explanation.as_json() if explanation else {},
        )

    def _facts(self, explanation: Explanation | None, call: WaitingCall) -> list[str]:
        """What is said of a call left waiting: what it asks for by now, who declined it, what keeps others from it.

        Neither who that is nor how many: agents come and go with every call.
        """
        if explanation is None:
            return [f"not explained: {self._error!r}"]
        state, queue = self._gathered.state, self._queues[call.queue]
        window = window_of(call, queue, state.now).window
        facts = {explanation.strategy, f"ring {ring_of(call, queue, state.now).number}", str(window)}
        served = (agent.memberships.get(queue.id) for agent in state.agents)
        penalties = [counts for terms in served if terms and (counts := window.effective(terms.penalty))]
        if gate := gate_of(call, queue, state.now, penalties=penalties):
            facts.add(f"gate {max((penalty for penalty in penalties if penalty <= gate.penalty), default=0)}")
        facts |= {f"declined {agent_id}" for agent_id, until in call.declined.items() if state.now < until}
        return sorted(facts | set(explanation.excluded.values()) - {AVAILABLE})

    def _write(self, decisions: Sequence[RoutingDecision]) -> None:
        state = self._gathered.state
        decided = {self._calls[str(decision.entry_id)].queue for decision in decisions}
        routing_pass = RoutingPass(
            decided_at=self._now,
            state=document_from(state),
            every_free_agent=self._gathered.is_whole,
            absent=_absent(state, decided),
            failure=repr(self._error) if self._error else "",
        )
        if self._error:
            logger.error("a pass could not be explained id=%s", routing_pass.pk, exc_info=self._error)
        for decision in decisions:
            decision.routing_pass = routing_pass
        link = RoutingDecision.offers.through
        with transaction.atomic():
            routing_pass.save(force_insert=True)
            RoutingDecision.objects.bulk_create(decisions)
            link.objects.bulk_create(
                link(routingdecision_id=decision.pk, offer_id=offer.pk)
                for decision in decisions
                for offer in self._offers.get(str(decision.entry_id), ())
            )


def forget(*, now: datetime) -> int:
    """Delete what is older than is promised, some at a time. Returns how many passes."""
    old = RoutingPass.objects.filter(decided_at__lt=now - KEPT_FOR).order_by("decided_at")[:FORGOTTEN_AT_ONCE]
    found = list(old.values_list("pk", flat=True))
    RoutingPass.objects.filter(pk__in=found).delete()
    return len(found)


def ahead_of(entry: QueueEntry, *, now: datetime) -> QueueEntry | None:
    """The stay at the head of the line in which this one waits further back; None where it does not.

    A line as ``queues.routing.heads`` has it: one queue, priority, set of requirements, stretch of waiting time.
    """
    if entry.state != QueueEntry.State.WAITING:
        return None
    line = QueueEntry.objects.waiting().filter(queue=entry.queue_id, line=entry.line).order_by("rank_at", "pk")
    for cut in cuts(queue_state(entry.queue), now=now):
        if cut.since <= entry.rank_at < cut.until:
            line = line.filter(rank_at__gte=cut.since, rank_at__lt=cut.until)
    first = line.select_related("call").first()
    return None if first is None or first.pk == entry.pk else first


def _in_turn(waiting: Sequence[str], now: datetime) -> Sequence[str]:
    """So many that a pass a second soon comes round to all of them."""
    begin = secs(now) * MOST_WAITING % len(waiting) if len(waiting) > MOST_WAITING else 0
    return [*waiting[begin:], *waiting[:begin]][:MOST_WAITING]


def _absent(state: State, queue_ids: Collection[str]) -> dict[str, Any]:
    """The members of these queues who are not in the state: how many they are, and the first of them."""
    there = {agent.id for agent in state.agents}
    words = [MOST_ABSENT + len(there), *map(uuid.UUID, queue_ids)]
    [answer] = asked(Question(select=_members, variants=(len(queue_ids),), words=words))
    absent = {}
    for told in answer:
        queue_id, count, first = told.split("\n")
        away = [agent_id for agent_id in map(ident, first.split()) if agent_id not in there]
        present = sum(ident(queue_id) in agent.memberships for agent in state.agents)
        absent[ident(queue_id)] = {"count": max(int(count) - present, len(away)), "first": away[:MOST_ABSENT]}
    return absent


def _members(dialect: Dialect, queues: int) -> str:
    of_queue = "FROM queues_queuemembership WHERE queue_id = queue.id"
    first = f"""(
    SELECT {dialect.listed("CAST(member.agent_id AS text)", " ")}
    FROM (SELECT agent_id {of_queue} ORDER BY position, agent_id LIMIT %s) AS member)"""
    return f"""
SELECT queue.id || '\n' || (SELECT count(*) {of_queue}) || '\n' || {or_empty(first)} AS answer
FROM queues_queue AS queue WHERE queue.id IN ({places(queues)})
"""
