"""The strategies: each is one function from a candidate to a sort key, lowest first.

Decorate a function with ``@strategy`` and it is in ``STRATEGIES``, and with that in the admin, the API and the
dry run. What comes before and after its key is the same for all of them and stands in ``Strategy.rank``.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

from queues.routing.snapshot import AgentState, Membership, QueueState

IDLE, POSITION = "idle_since", "position"

Key = tuple[int, ...]
Rank = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An agent who may take a certain call now.

    ``penalty`` is the effective one, ``active_calls`` counts this pass's offers, ``required`` holds the levels
    still asked for, ``pointer`` is the position the queue offered last.
    """

    call_id: str
    agent: AgentState
    membership: Membership
    penalty: int
    active_calls: int
    required: Mapping[str, int]
    pointer: int | None
    idle_since: int
    pass_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """One way to order the agents for a call.

    ``penalty_first``: the effective penalty is the first key. ``offers_all``: everyone of the lowest penalty is
    offered the call at once. ``has_memory``: the queue's pointer is kept from pass to pass. ``scoring``: the
    order of calls where the queue names none. ``alike_by``: what alone orders agents who serve the same queues on
    the same terms, can do the same and have nothing in hand: ``IDLE`` or ``POSITION``; empty where it takes more.
    ``reads``: the figures of an agent's past that the key needs, by their names in the state.
    """

    name: str
    label: str
    description: str
    key: Callable[[Candidate], Key]
    penalty_first: bool = True
    offers_all: bool = False
    has_memory: bool = False
    scoring: str = "strict_priority"
    alike_by: str = ""
    reads: frozenset[str] = frozenset()

    def rank(self, candidate: Candidate) -> Rank:
        """The whole sort key; ties are impossible, since agent ids differ."""
        penalty = (candidate.penalty,) if self.penalty_first else ()
        last = (candidate.idle_since, candidate.membership.position, candidate.agent.id)
        return (*penalty, *self.key(candidate), *last)

    def choose(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Who of the candidates, at least one, is offered the call; best first."""
        ranked = sorted(candidates, key=self.rank)
        if self.offers_all:
            return [candidate for candidate in ranked if candidate.penalty == ranked[0].penalty]
        return ranked[:1]


_table: dict[str, Strategy] = {}
STRATEGIES: Mapping[str, Strategy] = MappingProxyType(_table)


def strategy(
    label: str,
    description: str,
    *,
    penalty_first: bool = True,
    offers_all: bool = False,
    has_memory: bool = False,
    scoring: str = "strict_priority",
    alike_by: str = "",
    reads: Collection[str] = (),
) -> Callable[[Callable[[Candidate], Key]], Callable[[Candidate], Key]]:
    """Enter a sort key in the table under its function's name."""

    def enter(key: Callable[[Candidate], Key]) -> Callable[[Candidate], Key]:
        _table[key.__name__] = Strategy(
            name=key.__name__,
            label=label,
            description=description,
            key=key,
            penalty_first=penalty_first,
            offers_all=offers_all,
            has_memory=has_memory,
            scoring=scoring,
            alike_by=alike_by,
            reads=frozenset(reads),
        )
        return key

    return enter


@strategy("Longest idle", "Whoever has been free longest; fewest calls in hand first.", alike_by=IDLE)
def longest_idle(candidate: Candidate) -> Key:
    return (candidate.active_calls,)


@strategy(
    "Least recent",
    "Whoever's last call from this queue ended earliest; those who had none first.",
    reads=("last_call_end",),
)
def least_recent(candidate: Candidate) -> Key:
    end = candidate.membership.last_call_end
    return (0, 0) if end is None else (1, end)


@strategy(
    "Fewest calls",
    "Whoever handled the fewest calls today, in this queue if that is counted.",
    reads=("calls_handled",),
)
def fewest_calls(candidate: Candidate) -> Key:
    here = candidate.membership.calls_handled
    return (candidate.agent.calls_handled if here is None else here,)


@strategy("Least talk time", "Whoever talked the least today.", reads=("talk_seconds",))
def least_talk_time(candidate: Candidate) -> Key:
    return (candidate.agent.talk_seconds,)


@strategy("Round robin", "By position in turn, going on after the one offered last.", has_memory=True)
def round_robin(candidate: Candidate) -> Key:
    position, pointer = candidate.membership.position, candidate.pointer
    had_his_turn = pointer is not None and position <= pointer
    return (int(had_his_turn), position)


@strategy("Linear", "By position, from the top every time.", alike_by=POSITION)
def linear(candidate: Candidate) -> Key:
    return (candidate.membership.position,)


@strategy("Ring all", "Everyone of the lowest penalty rings at once; the first to answer wins.", offers_all=True)
def ring_all(candidate: Candidate) -> Key:
    return (candidate.active_calls,)


@strategy("Best skill", "Whoever has the highest levels in the skills the call still asks for.", alike_by=IDLE)
def best_skill(candidate: Candidate) -> Key:
    return (-_levels(candidate),)


@strategy("Least skilled", "Whoever is just good enough, which keeps the experts free.", alike_by=IDLE)
def least_skilled(candidate: Candidate) -> Key:
    return (_levels(candidate),)


@strategy("Random", "By a draw that the same call, pass and agent always repeat.")
def random(candidate: Candidate) -> Key:
    return (_draw(candidate),)


@strategy("Weighted random", "By a draw in which a higher penalty loses more often.", penalty_first=False)
def weighted_random(candidate: Candidate) -> Key:
    return (_draw(candidate) * (1 + candidate.penalty),)


@strategy(
    "Promise", "The call that has used up most of its promised wait goes first.", scoring="promise", alike_by=IDLE
)
def promise(candidate: Candidate) -> Key:
    return ()


def idle_since(agent: AgentState, queue: QueueState) -> int:
    """Since when the agent has been idle, as the queue reckons it."""
    if queue.idle_basis == "available_since":
        return agent.available_since
    return agent.login_at if agent.last_handled_end is None else agent.last_handled_end


def _levels(candidate: Candidate) -> int:
    return sum(candidate.agent.skills.get(skill, 0) for skill in candidate.required)


def _draw(candidate: Candidate) -> int:
    """0 to 1000, evenly; from a hash, so that every worker draws the same."""
    ticket = json.dumps([candidate.call_id, candidate.pass_number, candidate.agent.id])
    return int.from_bytes(sha256(ticket.encode()).digest()[:8], "big") % 1001
