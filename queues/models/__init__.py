"""Who should talk next: queues and numbers, agents and skills, calls and their stays, offers."""

from queues.models.agent import Agent, AgentSkill, QueueMembership, SupervisorPhone
from queues.models.call import Call, QueueEntry
from queues.models.decision import RoutingDecision, RoutingPass
from queues.models.offer import Offer
from queues.models.queue import Number, Queue, Skill, Team

__all__ = [
    "Agent",
    "AgentSkill",
    "Call",
    "Number",
    "Offer",
    "Queue",
    "QueueEntry",
    "QueueMembership",
    "RoutingDecision",
    "RoutingPass",
    "Skill",
    "SupervisorPhone",
    "Team",
]
