"""``manage.py check_invariants``: what may never be, asked of the database as it is now."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from callcenter.invariants import INVARIANTS, violations


class Command(BaseCommand):
    help = (
        "Asks the database for everything that may never be: agents booked twice, callers forgotten, events stuck ... "
        "Prints one line per violation, its number first, and exits 1 if there is any."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        found = violations(timezone.now())
        for line in found:
            self.stdout.write(line)
        if found:
            sys.exit(1)
        self.stdout.write(f"{len(INVARIANTS)} invariants hold.")
