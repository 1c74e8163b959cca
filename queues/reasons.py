"""Why a pass decided as it did, for people: a stored decision with names and words in place of ids and rules."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from queues.models import Agent, QueueMembership, RoutingDecision
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
class Reasons:
    """``excluded`` is by reason, in words; ``chosen`` is empty where the call was left waiting."""

    decision: RoutingDecision
    strategy: str
    chosen: list[Standing]
    runners_up: list[Standing]
    excluded: Mapping[str, list[str]]


def tell(decisions: Iterable[RoutingDecision]) -> Iterator[Reasons]:
    decisions = list(decisions)
    names = _names(decisions)
    members = _members(decisions)
    for decision in decisions:
        said = decision.explanation
        excluded: dict[str, list[str]] = defaultdict(list)
        for agent_id, rule in said["excluded"].items():
            excluded[WORDS.get(rule, rule)].append(names.get(agent_id, UNKNOWN))
        there = {agent["id"] for agent in decision.routing_pass.state["agents"]}
        absent = WORDS[AVAILABLE] if decision.routing_pass.every_free_agent else NOT_LOOKED_AT
        excluded[absent] += [name for agent_id, name in members[decision.entry.queue_id] if agent_id not in there]
        strategy = STRATEGIES.get(decision.strategy)
        yield Reasons(
            decision=decision,
            strategy=strategy.label if strategy else decision.strategy,
            chosen=_standings(said.get("chosen", ()), names),
            runners_up=_standings(said["runners_up"], names),
            excluded={words: sorted(who) for words, who in sorted(excluded.items()) if who},
        )


def _members(decisions: Iterable[RoutingDecision]) -> Mapping[uuid.UUID, list[tuple[str, str]]]:
    """The members of the queues, by id and name. Who was not free when a pass was made is not in its state."""
    members: dict[uuid.UUID, list[tuple[str, str]]] = defaultdict(list)
    rows = QueueMembership.objects.filter(queue__in={decision.entry.queue_id for decision in decisions}).order_by()
    for queue_id, agent_id, name in rows.values_list("queue_id", "agent_id", "agent__name"):
        members[queue_id].append((str(agent_id), name))
    return members


def _standings(said: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[Standing]:
    return [
        Standing(name=names.get(each["agent"], UNKNOWN), key=", ".join(str(part) for part in each["key"][:-1]))
        for each in said
    ]


def _names(decisions: Iterable[RoutingDecision]) -> Mapping[str, str]:
    ids = set[str]()
    for decision in decisions:
        said = decision.explanation
        ids |= {each["agent"] for each in (*said.get("chosen", ()), *said["runners_up"])} | set(said["excluded"])
    return {str(pk): name for pk, name in Agent.objects.filter(pk__in=ids).values_list("pk", "name")}
