"""What one pass looks at: queues, agents and waiting calls, frozen at one instant.

Every time is a whole number on one axis shared with ``now``, in seconds. A caller may count in a finer unit,
provided every instant *and* every duration of the snapshot does. Ids are text. Field names and defaults are
those of the JSON that ``manage.py route`` reads: ``enqueued_at`` is ``QueueEntry.rank_at``, ``status`` is the
agent's ``state``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class PenaltyRule:
    """From ``after`` on, ``sets`` replaces the limits it names; None there removes a limit.

    Its keys are ``min_penalty``, ``max_penalty``, ``raise_penalty``.
    """

    after: int
    sets: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """From ``after`` on the skills in ``drop`` are no longer asked for and ``levels`` is the most that is."""

    after: int
    drop: frozenset[str] = frozenset()
    levels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sticky:
    """A call waits up to ``hold_seconds`` for the agent it prefers, if that preference is recent enough."""

    hold_seconds: int
    max_age: int | None = None

    def is_recent(self, preferred_at: int | None, *, now: int) -> bool:
        return self.max_age is None or preferred_at is None or now - preferred_at <= self.max_age


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """One queue's settings, and where its round robin stands.

    ``member_count`` (memberships in whatever state) and ``main_available`` (free members of penalty 0) are
    counted from the snapshot's agents when None. Who leaves agents out of a snapshot gives both.
    """

    id: str
    strategy: str = "longest_idle"
    weight: int = 0
    scoring: str = "strict_priority"
    aging_seconds_per_point: int = 60
    idle_basis: str = "available_since"
    rings: tuple[Ring, ...] = ()
    penalty_rules: tuple[PenaltyRule, ...] = ()
    min_penalty: int | None = None
    max_penalty: int | None = None
    raise_penalty: int | None = None
    penalty_members_limit: int = 0
    sticky: Sticky | None = None
    last_offered_position: int | None = None
    promise_secs: int = 20
    beta: Fraction = Fraction(1)
    member_count: int | None = None
    main_available: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """An agent's place in one queue.

    ``calls_handled`` None: not counted per queue. ``last_call_end`` None: never had a call from this queue.
    """

    penalty: int = 0
    position: int = 0
    delay: int = 0
    queue_priority: int = 1
    paused: bool = False
    calls_handled: int | None = None
    last_call_end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """One agent: what he is doing, what he can do, and his memberships by the id of a queue of the snapshot."""

    id: str
    status: str = "available"
    capacity: int = 1
    active_calls: int = 0
    reserved: bool = False
    skills: Mapping[str, int] = field(default_factory=dict)
    available_since: int = 0
    login_at: int = 0
    last_handled_end: int | None = None
    ready_at: int | None = None
    wrap_up_until: int | None = None
    calls_handled: int = 0
    talk_seconds: int = 0
    memberships: Mapping[str, Membership] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingCall:
    """One call in one queue. ``declined`` says until when which agent is not offered it again."""

    id: str
    queue: str
    enqueued_at: int
    kind: str = "live"
    priority: int = 0
    required_skills: Mapping[str, int] = field(default_factory=dict)
    preferred_agent: str | None = None
    preferred_agent_at: int | None = None
    declined: Mapping[str, int] = field(default_factory=dict)
    hidden_until: int | None = None

    def is_visible(self, *, now: int) -> bool:
        return self.hidden_until is None or self.hidden_until <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything one pass knows. ``pass_number`` is the seed of the random strategies."""

    now: int
    queues: tuple[QueueState, ...]
    agents: tuple[AgentState, ...]
    calls: tuple[WaitingCall, ...]
    pass_number: int = 0
