"""Why a pass decided as it did, for people: a stored decision with names and words in place of ids and rules."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queues.models import Agent, Call, Offer, RoutingDecision
from queues.routing.eligibility import AVAILABLE, DECLINED, MEMBER, PENALTY, READY, SKILLS
from queues.routing.explain import GATE, QUEUE_PRIORITY, STICKY
from queues.routing.strategies import STRATEGIES

WORDS: Mapping[str, str] = {
    AVAILABLE: "not available",
    READY: "cooling down",
    MEMBER: "paused here, or not to be rung before a longer wait",
    PENALTY: "outside the penalties admitted after this wait",
    SKILLS: "lacks a skill, or its level",
    DECLINED: "declined or missed this call a moment ago",
    QUEUE_PRIORITY: "kept for a queue that goes first with him",
    GATE: "a second choice, before its time",
    STICKY: "the call waits for the agent it prefers, or is his",
}
UNKNOWN = "an agent who is no more"
NOT_LOOKED_AT = "not available, or behind others who serve and can do the same"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An agent and his sort key, lowest first, as text."""

    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """An agent whom the same pass offered another call."""

    name: str
    call: Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """``excluded`` is by reason, in words; ``chosen`` is empty where the call was left waiting.

    ``offered_to``: whom of the chosen it was offered, which is nobody where all of them had been taken meanwhile.
    ``failure``: why there are none of these.
    """

    decision: RoutingDecision
    strategy: str
    offered_to: Sequence[str]
    chosen: Sequence[Standing]
    runners_up: Sequence[Standing]
    elsewhere: Sequence[Elsewhere]
    excluded: Mapping[str, Sequence[str]]
    failure: str


def tell(decisions: Iterable[RoutingDecision]) -> Iterator[Reasons]:
    decisions = list(decisions)
    names = _names(decisions)
    offers = _offers(decisions)
    for decision in decisions:
        said, routing_pass = decision.explanation, decision.routing_pass
        made = offers[routing_pass.pk]
        elsewhere: list[Elsewhere] = []
        excluded: dict[str, list[str]] = defaultdict(list)
        for agent_id, rule in said.get("excluded", {}).items():
            name, offer = names.get(agent_id, UNKNOWN), made.get(agent_id)
            if rule == AVAILABLE and offer is not None:
                elsewhere.append(Elsewhere(name=name, call=offer.call))
            else:
                excluded[WORDS.get(rule, rule)].append(name)
        if said:
            _add_absent(excluded, decision, names)
        strategy = STRATEGIES.get(decision.strategy)
        yield Reasons(
            decision=decision,
            strategy=strategy.label if strategy else decision.strategy,
            offered_to=sorted(offer.agent.name for offer in made.values() if offer.entry_id == decision.entry_id),
            chosen=_standings(said.get("chosen", ()), names),
            runners_up=_standings(said.get("runners_up", ()), names),
            elsewhere=sorted(elsewhere, key=lambda each: each.name),
            excluded=dict(sorted(excluded.items())),
            failure=routing_pass.failure,
        )


def _add_absent(excluded: dict[str, list[str]], decision: RoutingDecision, names: Mapping[str, str]) -> None:
    """The members of the queue who were not in the state, as far as they were written down."""
    words = WORDS[AVAILABLE] if decision.routing_pass.every_free_agent else NOT_LOOKED_AT
    absent = _absent(decision)
    if absent["count"]:
        excluded[words] += (names.get(agent_id, UNKNOWN) for agent_id in absent["first"])
    for who in excluded.values():
        who.sort()
    if unnamed := absent["count"] - len(absent["first"]):
        excluded[words].append(f"{unnamed} more")


def _absent(decision: RoutingDecision) -> Mapping[str, Any]:
    nobody = {"count": 0, "first": []}
    return decision.routing_pass.absent.get(str(decision.entry.queue_id), nobody)  # type: ignore[no-any-return]


def _offers(decisions: Iterable[RoutingDecision]) -> Mapping[uuid.UUID, Mapping[str, Offer]]:
    """All that came of the same passes, by pass and agent."""
    offers: dict[uuid.UUID, dict[str, Offer]] = defaultdict(dict)
    link = RoutingDecision.offers.through
    passes = {decision.routing_pass_id for decision in decisions}
    rows = link.objects.filter(routingdecision__routing_pass__in=passes)
    for row in rows.select_related("routingdecision", "offer__agent", "offer__call"):
        offers[row.routingdecision.routing_pass_id][str(row.offer.agent_id)] = row.offer
    return offers


def _standings(said: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[Standing]:
    return [
        Standing(name=names.get(each["agent"], UNKNOWN), key=", ".join(str(part) for part in each["key"][:-1]))
        for each in said
    ]


def _names(decisions: Iterable[RoutingDecision]) -> Mapping[str, str]:
    ids = set[str]()
    for decision in decisions:
        said = decision.explanation
        ids |= {each["agent"] for each in (*said.get("chosen", ()), *said.get("runners_up", ()))}
        ids |= {*said.get("excluded", ()), *_absent(decision)["first"]}
    return {str(pk): name for pk, name in Agent.objects.filter(pk__in=ids).values_list("pk", "name")}
