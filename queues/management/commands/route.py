"""``manage.py route``: one routing pass on a state from a file, without a database."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from queues.routing import dry_run
from queues.routing.state_json import InvalidState, parse


class Command(BaseCommand):
    help = (
        "Run one routing pass on a frozen state and print its result as JSON. A file with a list of cases is run "
        "case by case instead, each compared with what it expects."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("state", metavar="STATE.json", help="the state to decide on; - reads standard input")
        parser.add_argument("--explain", action="store_true", help="add why: sort keys, runners-up, who was excluded")

    def handle(self, *args: Any, state: str, explain: bool, **options: Any) -> None:
        try:
            document = parse(sys.stdin.buffer.read() if state == "-" else Path(state).read_bytes())
            if isinstance(document, dict) and "cases" in document:
                lines, agree = dry_run.judge(document)
            else:
                lines, agree = [json.dumps(dry_run.answer(document, explained=explain))], True
        except OSError as error:
            self._refuse([f"{state}: {error.strerror}"])
        except InvalidState as error:
            self._refuse(error.problems)
        self.stdout.write("\n".join(lines))
        if not agree:
            sys.exit(1)

    def _refuse(self, problems: list[str]) -> NoReturn:
        self.stderr.write("\n".join(problems))
        sys.exit(2)
