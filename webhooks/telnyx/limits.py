"""What Telnyx accepts, checked before anything is sent.

Most of these bounds stand only in the prose of Telnyx's descriptions; there a breach costs a round trip and a
422 that names no range, or is taken for something else: an empty list of legs means everyone in the
conference.

Values that may be private (texts, digits, ids) are described in messages, never quoted.

Source: the request schemas of Telnyx's OpenAPI description and their descriptions; CONTRACT §5 to §7, §10.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webhooks.telnyx.errors import InvalidRequest

Check = Callable[[str, Any], None]

_DTMF = "0123456789ABCD*#"


def whole(low: int, high: int | None = None) -> Check:
    """A whole number from ``low``, to ``high`` if there is an end."""
    accepted = f"must be a whole number from {low}" + (" up" if high is None else f" to {high}")

    def check(field: str, value: Any) -> None:
        if type(value) is not int:
            raise InvalidRequest(field, accepted, f"a {type(value).__name__}")
        if value < low or (high is not None and value > high):
            raise InvalidRequest(field, accepted, str(value))

    return check


def text(low: int = 1, high: int | None = None, *, alphabet: str = "") -> Check:
    """Text of ``low`` to ``high`` characters, all of them from ``alphabet`` if one is given."""
    accepted = f"must be text of {low} " + ("characters or more" if high is None else f"to {high} characters")
    if alphabet:
        accepted += f", each one of {alphabet}"

    def check(field: str, value: Any) -> None:
        if not isinstance(value, str):
            raise InvalidRequest(field, accepted, f"a {type(value).__name__}")
        if len(value) < low or (high is not None and len(value) > high):
            raise InvalidRequest(field, accepted, f"{len(value)} characters")
        if alphabet and not set(value) <= set(alphabet):
            raise InvalidRequest(field, accepted, "another character")

    return check


def one_of(*accepted: str) -> Check:
    def check(field: str, value: Any) -> None:
        if value not in accepted:
            raise InvalidRequest(field, f"must be one of {', '.join(accepted)}", repr(value)[:40])

    return check


def base64_text(field: str, value: Any) -> None:
    try:
        base64.b64decode(value.encode("ascii"), validate=True)
    except (AttributeError, binascii.Error, ValueError):
        raise InvalidRequest(field, "must be base64 text") from None


def loop(field: str, value: Any) -> None:
    if value != "infinity" and (type(value) is not int or value < 1):
        raise InvalidRequest(field, 'must be a whole number from 1 up, or "infinity"', repr(value)[:40])


def display_name(field: str, value: Any) -> None:
    text(1, 128)(field, value)
    if not all(character.isalnum() or character in " -_~!.+" for character in value):
        raise InvalidRequest(field, "must be letters, numbers, spaces and -_~!.+ only", "another character")


def leg_ids(field: str, value: Any) -> None:
    """One or more call_control_ids. A bare string is refused: it would be sent as a list of its letters."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidRequest(field, "must be a list of call_control_ids", f"a {type(value).__name__}")
    if not value:
        raise InvalidRequest(field, "must name at least one call_control_id", "an empty list")
    if not all(isinstance(leg, str) and leg for leg in value):
        raise InvalidRequest(field, "must hold call_control_ids only", "an item that is empty or not text")


def destinations(field: str, value: Any) -> None:
    """One number or SIP address, or a list of them."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not items or not all(isinstance(to, str) and to for to in items):
        raise InvalidRequest(field, "must be a number or SIP address, or a list of at least one")


def webhook_retries(field: str, value: Any) -> None:
    accepted = "must give each event retries_ms: at most 5 whole numbers, at most 60000 together"
    for policy in value.values() if isinstance(value, Mapping) else (None,):
        retries = policy.get("retries_ms") if isinstance(policy, Mapping) else None
        if not isinstance(retries, Sequence) or len(retries) > 5:
            raise InvalidRequest(field, accepted)
        if not all(type(delay) is int and delay >= 0 for delay in retries) or sum(retries) > 60_000:
            raise InvalidRequest(field, accepted)


def voice_settings(field: str, value: Any) -> None:
    speed = value.get("voice_speed") if isinstance(value, Mapping) and value.get("type") == "telnyx" else None
    if speed is not None and not (isinstance(speed, (int, float)) and 0.1 <= speed <= 2.0):
        raise InvalidRequest(f"{field}.voice_speed", "must be a number from 0.1 to 2.0", repr(speed)[:40])


# A field has the same limit wherever it appears; the few that differ by operation are passed to ``check``.
EVERYWHERE: Mapping[str, Check] = {
    "call_control_id": text(),
    "call_control_ids": leg_ids,
    "client_state": base64_text,
    "command_id": text(),
    "connection_id": text(),
    "custom_file_name": text(1, 40),
    "digits": text(1, alphabet=_DTMF + "wW"),
    "duration_millis": whole(100, 500),
    "duration_minutes": whole(1),
    "from": text(),
    "from_display_name": display_name,
    "gather_id": text(1, 40),
    "initial_timeout_millis": whole(0),
    "inter_digit_timeout_millis": whole(0),
    "invalid_payload": text(1, 3000),
    "loop": loop,
    "max_participants": whole(2, 800),
    "max_size": whole(1),
    "max_wait_time_secs": whole(1),
    "maximum_digits": whole(1, 128),
    "maximum_tries": whole(1),
    "minimum_digits": whole(1, 128),
    "name": text(),
    "park_after_unbridge": one_of("self"),
    "payload": text(1, 3000),
    "queue": text(1, 255),
    "queue_name": text(1, 255),
    "record_custom_file_name": text(1, 40),
    "record_max_length": whole(0, 43_200),
    "record_timeout_secs": whole(0),
    "send_digits_on_answer": text(1, 64, alphabet=_DTMF + "wW"),
    "stop": one_of("current", "all"),
    "target_leg_client_state": base64_text,
    "target_legs": one_of("self", "opposite", "both"),
    "terminating_digit": text(0, 1, alphabet=_DTMF),
    "time_limit_secs": whole(30, 14_400),
    "timeout_millis": whole(0),
    "to": destinations,
    "valid_digits": text(1, alphabet=_DTMF),
    "voice": text(),
    "voice_settings": voice_settings,
    "webhook_retries_policies": webhook_retries,
    "whisper_call_control_ids": leg_ids,
}

#: How long a phone rings, in dial and transfer; in record_start the same name is another thing.
RING_SECS = whole(5, 600)
PAGE_SIZE = whole(1, 250)


#: Pairs of which Telnyx takes one.
EXCLUSIVE = (
    ("audio_url", "media_name"),
    ("hold_audio_url", "hold_media_name"),
    ("invalid_audio_url", "invalid_media_name"),
)


def check(body: Mapping[str, Any], **own: Check) -> None:
    """Every field of a body against its limit and its neighbours; ``own`` are limits of this operation alone.

    A field that is None is not sent and not looked at. Raises InvalidRequest for the first breach.
    """
    for field, value in body.items():
        rule = own.get(field) or EVERYWHERE.get(field)
        if rule is not None and value is not None:
            rule(field, value)
    for pair in EXCLUSIVE:
        at_most_one(**{field: body.get(field) for field in pair})
    fewest, most = body.get("minimum_digits"), body.get("maximum_digits")
    if fewest is not None and most is not None and fewest > most:
        raise InvalidRequest("minimum_digits", "must not exceed maximum_digits", f"{fewest} and {most}")
    if body.get("service_level") == "basic":
        if body.get("language") not in (None, "en-US"):
            raise InvalidRequest("language", "must be en-US with service_level basic")
        if body.get("payload_type") not in (None, "text"):
            raise InvalidRequest("payload_type", "must be text with service_level basic")


def at_most_one(**given: object) -> None:
    found = [field for field, value in given.items() if value is not None]
    if len(found) > 1:
        raise InvalidRequest(" and ".join(found), "cannot be used together: give one of them")


def exactly_one(**given: object) -> None:
    at_most_one(**given)
    if all(value is None for value in given.values()):
        raise InvalidRequest(" or ".join(given), "must be given")


def needs(field: str, value: object, **required: object) -> None:
    """``required`` must be given where ``value`` is (a false flag counts as not given)."""
    for name, other in required.items():
        if value and not other:
            raise InvalidRequest(name, f"must be given with {field}")


def listeners(supervisor_role: object, whisper_call_control_ids: object) -> None:
    """A whisperer names who hears him: without, Telnyx silently makes him a monitor."""
    if supervisor_role == "whisper":
        needs("supervisor_role whisper", True, whisper_call_control_ids=whisper_call_control_ids)


def legs_or_everyone(call_control_ids: Sequence[str] | None, *, everyone: bool) -> Sequence[str] | None:
    """The legs to send, None for everyone, which Telnyx spells as no list at all.

    Raises InvalidRequest for an empty or missing list without ``everyone=True``, and for both at once.
    """
    if everyone is True:
        at_most_one(call_control_ids=call_control_ids, everyone=True)
        return None
    if not call_control_ids:
        raise InvalidRequest("call_control_ids", "must name at least one leg (everyone=True means all of them)")
    return call_control_ids
