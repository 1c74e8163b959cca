"""Reading the environment: values are parsed strictly; what cannot be read becomes a problem, not a crash.

A setting that holds nonsense falls back to its default and is reported by ``callcenter.checks`` (E001), so
that one start names everything that is wrong, each in one line, instead of a traceback for the first of them.
``NAME_FILE`` names a file to read ``NAME`` from (Docker and Kubernetes secrets).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from environ import Env
from environ.fileaware_mapping import FileAwareMapping

T = TypeVar("T")

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_SHOWN = 40


class Problem(NamedTuple):
    """One variable that cannot be used: ``found`` is what stood there (or a description, for secrets)."""

    name: str
    found: str
    accepted: str

    def __str__(self) -> str:
        return f"{self.name}: found {self.found}; accepted: {self.accepted}."


def without_password(url: str) -> str:
    """For people: what may be a password, before an ``@`` or after a ``?``, is ``***``. Takes any text."""
    shown = re.sub(r"^(\w+://)?(?:.*\?.*@.*|.*(?=@))", r"\1***", url, flags=re.DOTALL)
    return re.sub(r"\?.*", "?***", shown, flags=re.DOTALL)


class Environment:
    """The process's variables by type. Not given and given empty are the same: the default."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        # django-environ's Env() would read "banana" as False and a secret starting with "$" as the name of
        # another variable, so only its file lookup and its URL parser are used.
        self._variables = FileAwareMapping(variables)  # type: ignore[no-untyped-call]
        self.problems: list[Problem] = []

    def text(self, name: str, default: str = "") -> str:
        """The value without surrounding blanks (files end in a newline)."""
        try:
            return str(self._variables[name]).strip() or default
        except KeyError:
            return default
        except (OSError, UnicodeDecodeError) as error:
            self._refuse(f"{name}_FILE", f"a file that cannot be read ({error})", "the path of a readable text file")
            return default

    def given(self, name: str) -> bool:
        return self.text(name) != ""

    def flag(self, name: str, *, default: bool = False) -> bool:
        def parse(value: str) -> bool:
            if value.lower() not in _TRUE | _FALSE:
                raise ValueError
            return value.lower() in _TRUE

        return self._parsed(name, default, parse, "1, true, yes, on or 0, false, no, off")

    def number(self, name: str, *, default: int, minimum: int, maximum: int) -> int:
        def parse(value: str) -> int:
            # int() alone also takes "1_000", " 5" and full-width digits
            if not (value.isascii() and value.isdigit() and minimum <= int(value) <= maximum):
                raise ValueError
            return int(value)

        return self._parsed(name, default, parse, f"a whole number from {minimum} to {maximum}")

    def choice(self, name: str, *, default: str, choices: Iterable[str]) -> str:
        accepted = tuple(choices)

        def parse(value: str) -> str:
            if value not in accepted:
                raise ValueError
            return value

        return self._parsed(name, default, parse, " or ".join(accepted))

    def names(self, name: str, *, default: Iterable[str] = ()) -> list[str]:
        """Comma-separated text as a list, blanks and empty items left out."""
        items = [item.strip() for item in self.text(name).split(",")]
        return [item for item in items if item] or list(default)

    def url(self, name: str, *, default: str = "", schemes: Iterable[str] = ("https", "http")) -> str:
        accepted = tuple(schemes)

        def parse(value: str) -> str:
            parts = urlsplit(value)
            if parts.scheme not in accepted or not parts.hostname or any(c.isspace() for c in value):
                raise ValueError
            _ = parts.port  # raises ValueError for a port that is no port
            return value

        return self._parsed(name, default, parse, "a URL with " + " or ".join(f"{s}://" for s in accepted))

    def time_zone(self, name: str, *, default: str) -> str:
        def parse(value: str) -> str:
            try:
                return ZoneInfo(value).key
            except (LookupError, OSError) as error:
                raise ValueError from error

        return self._parsed(name, default, parse, "an IANA time zone such as Europe/London")

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """A Django database dictionary from postgres:// or sqlite:///path."""

        def parse(value: str) -> str:
            parts = urlsplit(value)
            if parts.scheme not in {"postgres", "postgresql", "sqlite"} or len(parts.path) < 2:
                raise ValueError
            _ = parts.port
            return value

        accepted = "postgres://user:password@host:port/name or sqlite:///path"
        url = self._parsed(name, default, parse, accepted, secret=True)
        return dict(Env.db_url_config(url))  # type: ignore[no-untyped-call]

    def _parsed(self, name: str, default: T, parse: Callable[[str], T], accepted: str, *, secret: bool = False) -> T:
        value = self.text(name)
        if not value:
            return default
        try:
            return parse(value)
        except ValueError:
            self._refuse(name, "text of another shape" if secret else repr(without_password(value)[:_SHOWN]), accepted)
            return default

    def _refuse(self, name: str, found: str, accepted: str) -> None:
        problem = Problem(name, found, accepted)
        if problem not in self.problems:
            self.problems.append(problem)
