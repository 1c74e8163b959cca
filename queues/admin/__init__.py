"""The admin pages of queues: settings to edit, agents, calls with their story and the supervisor's buttons."""

from queues.admin import calls, configuration, people

__all__ = ["calls", "configuration", "people"]
