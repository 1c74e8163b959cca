"""What nobody outside Telnyx knows for sure (CONTRACT §12), each as a named switch with a default."""

from dataclasses import asdict, dataclass, fields
from typing import Any

_CHOICES: dict[str, tuple[str, ...]] = {
    "dequeue_reason_on_conference": ("bridged", "bridging-in-process"),
    "abandon_order": ("dequeued_first", "hangup_first"),
    "duplicate_command_response": ("original", "ok"),
    "retry_timestamp": ("refreshed", "original"),
    "participants_after_end": ("none", "left"),
    "enqueue_while_in_another_queue": ("rejected", "moved"),
    "enqueue_of_an_unanswered_call": ("rejected", "accepted"),
    "page_beyond_the_end": ("empty", "not_found"),
    "ended_via_api_reason": ("ended_via_api", "host_left", "all_left"),
    "soft_end": ("ends", "closes_to_joins"),
}


class BadSwitch(ValueError):
    """The message names the switch, what was found and what is accepted."""


@dataclass(slots=True, kw_only=True)
class Switches:
    """Defaults are the more likely answer, or, where none is, the one that is harder on the product."""

    # Why a waiting call left when a conference took it.
    dequeue_reason_on_conference: str = "bridged"
    # Which of call.dequeued and call.hangup is told first when a waiting caller hangs up.
    abandon_order: str = "dequeued_first"
    # The code for bridging with an empty queue, and for a command to a supervising leg.
    empty_queue_bridge_code: str = "10005"
    supervisor_command_code: str = "10015"
    # What a repeated command_id is answered on dial and conference create.
    duplicate_command_response: str = "original"
    # Seconds before each retry of a delivery, counted from the failed attempt; at most five.
    webhook_retry_delays_secs: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    # Whether a retry is signed anew or repeats the first attempt's timestamp.
    retry_timestamp: str = "refreshed"
    # Whether each leg gets its participant.left when a conference is ended over its head.
    participant_left_on_conference_end: bool = True
    # What listing the participants of a completed conference shows.
    participants_after_end: str = "none"
    # Whether listing those of one that goes on shows who has left it, too.
    lists_who_left: bool = False
    # Whether hold and unhold in a conference are told as call.hold and call.unhold.
    conference_hold_events: bool = False
    enqueue_while_in_another_queue: str = "rejected"
    enqueue_of_an_unanswered_call: str = "rejected"
    page_beyond_the_end: str = "empty"
    # Whether unmuting a monitor, by name or as one of everyone, makes it audible to all.
    unmute_opens_monitor: bool = True
    # Whether starting a conference releases those it held only because it had not started.
    start_releases_held: bool = True
    # Whether conference.floor.changed comes in the envelope every other event has.
    floor_changed_enveloped: bool = True
    # conference.ended has no documented reason for an end by API; the resource says ended_via_api.
    ended_via_api_reason: str = "ended_via_api"
    soft_end: str = "ends"
    # How long an empty queue lives.
    empty_queue_ttl_secs: float = 3600.0

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "webhook_retry_delays_secs": list(self.webhook_retry_delays_secs)}

    def change(self, wanted: dict[str, Any]) -> None:
        """Set the named switches, all or none. Raises BadSwitch."""
        checked = {name: _checked(name, value) for name, value in wanted.items()}
        for name, value in checked.items():
            setattr(self, name, value)


_DEFAULTS = {switch.name: switch.default for switch in fields(Switches)}


def _checked(name: str, value: Any) -> Any:
    if name not in _DEFAULTS:
        raise BadSwitch(f"{name}: no such switch; accepted are {', '.join(sorted(_DEFAULTS))}")
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise BadSwitch(f"{name}: found {value!r}, accepted are {', '.join(_CHOICES[name])}")
        return value
    if name == "webhook_retry_delays_secs":
        if not isinstance(value, list) or len(value) > 5 or not all(map(_is_secs, value)) or sum(value) > 60:
            raise BadSwitch(f"{name}: found {value!r}, accepted is a list of at most 5 seconds, 60 in all")
        return tuple(float(delay) for delay in value)
    default = _DEFAULTS[name]
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise BadSwitch(f"{name}: found {value!r}, accepted are true and false")
        return value
    if isinstance(default, float):
        if not _is_secs(value):
            raise BadSwitch(f"{name}: found {value!r}, accepted are seconds, 0 or more")
        return float(value)
    if not (isinstance(value, str) and value.isdigit()):
        raise BadSwitch(f"{name}: found {value!r}, accepted is an error code of digits")
    return value


def _is_secs(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
