"""What a JSON value must look like: a shape says in words what it accepts, and finds what a value gets wrong.

A problem is one line: the field, what was found there, what is accepted.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LONGEST_SHOWN = 40


def nothing(value: Any, path: str) -> Iterator[str]:
    return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """``fits`` judges the value itself, ``within`` what it contains."""

    accepted: str
    fits: Callable[[Any], bool]
    within: Callable[[Any, str], Iterator[str]] = nothing

    def problems(self, value: Any, path: str) -> Iterator[str]:
        if self.fits(value):
            yield from self.within(value, path)
        else:
            yield problem(path, f"found {shown(value)}", self.accepted)

    def or_null(self) -> "Shape":
        return Shape(
            accepted=f"{self.accepted}, or null",
            fits=lambda value: value is None or self.fits(value),
            within=lambda value, path: nothing(value, path) if value is None else self.within(value, path),
        )


ANYTHING = Shape(accepted="anything", fits=lambda value: True)
TEXT = Shape(accepted="a text that is not empty", fits=lambda value: isinstance(value, str) and value != "")
TRUTH = Shape(accepted="true or false", fits=lambda value: isinstance(value, bool))


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(words: str, *, minimum: int | None = None, maximum: int | None = None) -> Shape:
    return Shape(
        accepted=words,
        fits=lambda value: (
            is_whole(value) and (minimum is None or value >= minimum) and (maximum is None or value <= maximum)
        ),
    )


def one_of(names: Collection[str]) -> Shape:
    return Shape(accepted=f"one of {', '.join(names)}", fits=lambda value: isinstance(value, str) and value in names)


def list_of(shape: Shape) -> Shape:
    def within(items: list[Any], path: str) -> Iterator[str]:
        for number, item in enumerate(items):
            yield from shape.problems(item, f"{path}[{number}]")

    return Shape(accepted="a list", fits=lambda value: isinstance(value, list), within=within)


def map_of(shape: Shape) -> Shape:
    """An object whose keys are names of somebody's choice."""

    def within(items: Mapping[str, Any], path: str) -> Iterator[str]:
        for name, item in items.items():
            yield from shape.problems(item, step(path, name))

    return Shape(accepted="an object", fits=lambda value: isinstance(value, dict), within=within)


def object_of(fields: Mapping[str, Shape], *, required: Collection[str] = ()) -> Shape:
    """An object with these fields and no others."""

    def within(found: Mapping[str, Any], path: str) -> Iterator[str]:
        for name in required:
            if name not in found:
                yield problem(step(path, name), "missing", fields[name].accepted)
        for name, value in found.items():
            if name in fields:
                yield from fields[name].problems(value, step(path, name))
            else:
                yield problem(step(path, name), "unknown field", f"one of {', '.join(fields)}")

    return Shape(accepted="an object", fits=lambda value: isinstance(value, dict), within=within)


def problem(path: str, found: str, accepted: str) -> str:
    return f"{path or 'the state'}: {found}; accepted: {accepted}"


def step(path: str, name: str) -> str:
    """The path of a field, in one line of ASCII whatever the name is."""
    if not (name.isidentifier() and name.isascii()):
        return f"{path}[{json.dumps(name)}]"
    return f"{path}.{name}" if path else name


def shown(value: Any) -> str:
    """A value in a message: short, on one line, in ASCII."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = str(value) if isinstance(value, Decimal) else json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
