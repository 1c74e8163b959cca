"""What happens next: ``route`` gives waiting calls to agents, ``settle`` brings one call in line with its facts."""

from queues.engine.route import route, route_all, route_for_agent
from queues.engine.settle import settle

__all__ = ["route", "route_all", "route_for_agent", "settle"]
