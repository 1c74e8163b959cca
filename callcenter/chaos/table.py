"""The table of a run: what was wanted, what was found, and whether that is right."""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

SHOWN = 5  # of what must be nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``wrong``: what was found that may not be, a line each. ``wanted`` '' for a figure that nothing hangs on."""

    what: str
    wanted: str
    found: str
    is_right: bool = True
    wrong: tuple[str, ...] = ()


def none_of(what: str, found: Collection[str]) -> Line:
    """Nothing of this may be."""
    return Line(what=what, wanted="0", found=str(len(found)), is_right=not found, wrong=tuple(found))


def equal(what: str, wanted: int, found: int) -> Line:
    return Line(what=what, wanted=str(wanted), found=str(found), is_right=wanted == found)


def at_least(what: str, wanted: int, found: int) -> Line:
    return Line(what=what, wanted=f">= {wanted}", found=str(found), is_right=found >= wanted)


def within(what: str, secs: float, found: float | None) -> Line:
    """``found`` None or infinite: it never was."""
    told = "never" if found is None or math.isinf(found) else f"{found:.1f} s" if secs >= 1 else f"{found:.2f} s"
    return Line(what=what, wanted=f"<= {secs:g} s", found=told, is_right=found is not None and found <= secs)


def none_but_late(what: str, secs: float, found: float | None, left: Collection[str]) -> Line:
    """Nothing of this may be left after so many seconds; ``found`` is after how many nothing was."""
    return replace(within(what, secs, found), wrong=tuple(left))


def figure(what: str, found: str) -> Line:
    return Line(what=what, wanted="", found=found)


def rendered(lines: Iterable[Line]) -> Iterator[str]:
    """What, wanted, found, verdict; under a line that is wrong the first few of what is. Then the figures."""
    lines = list(lines)
    judged = [line for line in lines if line.wanted]
    what = max(len(line.what) for line in lines)
    wanted = max((len(line.wanted) for line in judged), default=0)
    found = max((len(line.found) for line in judged), default=0)
    for line in judged:
        verdict = "ok" if line.is_right else "WRONG"
        yield f"{line.what:<{what}}  {line.wanted:>{wanted}}  {line.found:>{found}}  {verdict}"
        yield from (f"    {wrong}" for wrong in line.wrong[:SHOWN])
        if len(line.wrong) > SHOWN:
            yield f"    and {len(line.wrong) - SHOWN} more"
    yield from (f"{line.what:<{what}}  {line.found}" for line in lines if not line.wanted)
