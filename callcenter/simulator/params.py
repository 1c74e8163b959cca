"""What a body may hold: names, types, enums and ranges, checked the way Telnyx words it (CONTRACT §2).

Names that are not in a table are let through and ignored, as Telnyx does.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from callcenter.simulator import errors
from callcenter.simulator.errors import ApiError, Problem, problem

E164 = re.compile(r"\+[1-9]\d{1,14}")
SIP_ADDRESS = re.compile(r"sips?:[^@\s]+@[^@\s]+", re.IGNORECASE)
_DIALLED_ON = re.compile(r",[0-9A-DwW*#]{1,64}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """``least`` and ``most`` bound a number's value or a text's length."""

    kind: str
    required: bool = False
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    inner: "Mapping[str, Field] | None" = None


Fields = Mapping[str, Field]

text = Field(kind="string")
flag = Field(kind="boolean")
whole = Field(kind="integer")
tokens = Field(kind="array of strings")
objects = Field(kind="array of objects")
loop = Field(kind="loop")
number = Field(kind="E.164 number")
address = Field(kind="address")
addresses = Field(kind="addresses")
client_state = Field(kind="base64")


def needed(field: Field) -> Field:
    return replace(field, required=True)


def one_of(*choices: str) -> Field:
    return Field(kind="string", choices=choices)


def between(least: int, most: int | None = None) -> Field:
    return Field(kind="integer", least=least, most=most)


def sized(least: int, most: int) -> Field:
    return Field(kind="string", least=least, most=most)


def nested(inner: Fields) -> Field:
    return Field(kind="object", inner=inner)


def check(body: Mapping[str, Any], fields: Fields) -> None:
    """Raises ApiError with one entry per fault. A null counts as not given."""
    found = list(_faults(body, fields, "/"))
    if found:
        raise ApiError(422, found)


def check_either(body: Mapping[str, Any], *names: str, required: bool = False) -> None:
    """At most one of the names may be given, and one must be if ``required``."""
    given = [name for name in names if body.get(name) not in (None, "")]
    if len(given) > 1:
        said = f"{' and '.join(given)} cannot be used together in one request."
        raise errors.refusal("10015", detail=said, pointer=f"/{given[1]}")
    if required and not given:
        raise errors.refusal("10004", names[0], pointer=f"/{names[0]}")


def _faults(body: Mapping[str, Any], fields: Fields, at: str) -> Iterator[Problem]:
    for name, field in fields.items():
        value = body.get(name)
        pointer = at + name
        if value is None or (value in ("", []) and field.required):
            if field.required:
                yield problem("10004", name, pointer=pointer)
        elif field.inner is not None and isinstance(value, dict):
            yield from _faults(value, field.inner, f"{pointer}/")
        else:
            fault = _fault(name, value, field, pointer)
            if fault is not None:
                yield fault


def _fault(name: str, value: Any, field: Field, pointer: str) -> Problem | None:
    if not _is(field.kind, value):
        return problem("10026", field.kind, pointer=pointer)
    if field.kind == "base64" and not _is_base64(value):
        return problem("90017", pointer=pointer)
    if field.kind == "E.164 number" and not E164.fullmatch(value):
        return problem("10016", name, pointer=pointer)
    if field.kind in {"address", "addresses"}:
        wanted = [value] if isinstance(value, str) else value
        return None if all(map(is_address, wanted)) else problem("10016", name, pointer=pointer)
    if field.choices and value not in field.choices:
        return problem("10032", ", ".join(field.choices), pointer=pointer)
    size = len(value) if isinstance(value, str) else value
    if isinstance(size, int) and not _within(size, field):
        return problem("10033", _range(field), pointer=pointer)
    return None


def is_address(text: str) -> bool:
    """Whether it can be dialled: E.164, with or without digits to send on, or a SIP address."""
    return bool(E164.fullmatch(_DIALLED_ON.sub("", text)) or SIP_ADDRESS.fullmatch(text))


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "array of strings":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "array of objects":
            return isinstance(value, list) and all(isinstance(item, dict) for item in value)
        case "addresses":
            return isinstance(value, str) or (_is("array of strings", value) and bool(value))
        case "loop":
            # Telnyx's own examples send the number as text too.
            return (_is("integer", value) and value >= 1) or (
                isinstance(value, str) and (value == "infinity" or value.isdigit())
            )
        case _:
            return isinstance(value, str)


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _within(size: int, field: Field) -> bool:
    return (field.least is None or size >= field.least) and (field.most is None or size <= field.most)


def _range(field: Field) -> str:
    if field.most is None:
        return f"{field.least} and more"
    return f"{field.least} to {field.most}"
