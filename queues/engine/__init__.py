"""What happens next: ``route`` gives waiting calls to agents, ``settle`` brings one call in line with its facts."""

from queues.engine.gather import Start
from queues.engine.preview import preview, ring, standing
from queues.engine.route import decide, live_state, route, route_all, route_for_agent
from queues.engine.settle import settle
from queues.engine.why import ahead_of, forget

__all__ = [
    "Start",
    "ahead_of",
    "decide",
    "forget",
    "live_state",
    "preview",
    "ring",
    "route",
    "route_all",
    "route_for_agent",
    "settle",
    "standing",
]
