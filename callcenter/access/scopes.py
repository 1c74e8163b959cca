"""What an API key may be good for. No scope implies another."""

from collections.abc import Iterable

SCOPES = {
    "queues:read": "see queues and how many wait in them",
    "agents:read": "see agents and what they are doing",
    "agents:write": "set an agent's state, end a wrap-up",
    "calls:read": "see calls with their stays, offers and legs",
    "calls:write": "move waiting callers, take them out of a queue",
    "conferences:read": "see conferences and who is in them",
    "conferences:write": "hold, mute, play, speak, record, remove, end",
    "recordings:read": "see which recordings there are",
    "pii:read": "see whole phone numbers",
}
# What a view names where no key will do: listening to people needs a person who answers for it.
SIGNED_IN_USER = "user"


def unknown(scopes: Iterable[object]) -> str:
    """One line naming the scopes that are none, '' if all are."""
    wrong = sorted({str(scope) for scope in scopes} - set(SCOPES))
    if not wrong:
        return ""
    return f"Unknown scope: {', '.join(wrong)}. The scopes are {', '.join(SCOPES)}."
