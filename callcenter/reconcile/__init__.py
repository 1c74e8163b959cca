"""Comparing the mirror with Telnyx: what webhooks that never came would have said (RELIABILITY §7).

``ask`` is all that is asked of Telnyx, ``compare`` finds what differs, ``explain`` asks further before anything is
declared gone, ``mend`` tells it to the inbox as events of ours or writes a command, and ``run`` says when.
"""

from callcenter.reconcile.ask import Line, line
from callcenter.reconcile.run import SECOND_LOOK, drift, due, full, legs, look, request

__all__ = ["SECOND_LOOK", "Line", "drift", "due", "full", "legs", "line", "look", "request"]
