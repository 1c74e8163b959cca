"""``manage.py route``: one routing pass on a state from a file, without a database; or live state as such a file."""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from queues import engine
from queues.models import Queue
from queues.routing import dry_run
from queues.routing.state_json import InvalidState, document_from, parse


class Command(BaseCommand):
    help = (
        "Run one routing pass on a frozen state and print its result as JSON. A file with a list of cases is run "
        "case by case instead, each compared with what it expects."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "state", nargs="?", metavar="STATE.json", help="the state to decide on; - reads standard input"
        )
        which.add_argument(
            "--live", metavar="QUEUE", help="print the state that would be decided on now, of this queue"
        )
        parser.add_argument("--explain", action="store_true", help="add why: sort keys, runners-up, who was excluded")

    def handle(self, *args: Any, state: str, live: str | None, explain: bool, **options: Any) -> None:
        if live is not None and explain:
            self._refuse(["--explain: found with --live; accepted: with STATE.json, which --live prints"])
        if live is not None:
            self.stdout.write(json.dumps(self._live(live)))
            return
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

    def _live(self, name: str) -> dict[str, Any]:
        queue = Queue.objects.filter(name=name).first()
        if queue is None:
            known = ", ".join(Queue.objects.values_list("name", flat=True)) or "none; add one in the admin"
            self._refuse([f"--live: found {name!r}; accepted: {known}"])
        return document_from(engine.live_state(queue.pk, now=timezone.now()))

    def _refuse(self, problems: list[str]) -> NoReturn:
        self.stderr.write("\n".join(problems))
        sys.exit(2)
