"""``manage.py create_api_key``: make a key for a program and show it, once."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from callcenter.access import keys
from callcenter.access.scopes import SCOPES

LONGEST_DAYS = 3650


class Command(BaseCommand):
    help = "Makes an API key and prints it, once: " + "; ".join(f"{name}: {use}" for name, use in SCOPES.items()) + "."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="who will use it, for people")
        parser.add_argument(
            "--scope", action="extend", nargs="+", default=[], metavar="SCOPE", help=f"any of {', '.join(SCOPES)}"
        )
        parser.add_argument("--expires", metavar="DAYS", help="days until it expires; without, it does not")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        expires_at = now + timedelta(days=_days(options["expires"])) if options["expires"] is not None else None
        if not options["scope"]:
            raise CommandError(f"Give at least one --scope. The scopes are {', '.join(SCOPES)}.")
        try:
            key, text = keys.issue(
                name=options["name"].strip(), scopes=options["scope"], expires_at=expires_at, now=now
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        until = f"until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else "until revoked"
        self.stderr.write(f"{key.name} may {', '.join(key.scopes)}, {until}. It is shown this once:")
        self.stdout.write(text)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LONGEST_DAYS):
        raise CommandError(
            f"--expires: found {text[:20]!r}; accepted: a whole number of days from 1 to {LONGEST_DAYS}."
        )
    return int(text)
