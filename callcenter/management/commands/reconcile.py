"""``manage.py reconcile``: compare our rows with Telnyx now, and say what differed."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from callcenter import reconcile
from callcenter.models import ReconcileRun
from callcenter.reconcile.findings import Finding
from webhooks.telnyx.errors import TelnyxError


class Command(BaseCommand):
    help = (
        "Compares our rows with what Telnyx says, one line for each difference, and mends them. "
        "Exit code 0: nothing differs, or what does has been mended; 1: something differs still, or Telnyx is away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what differs; no row is written")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = self._dry() if options["dry_run"] else self._mended()
        unmended = [finding for finding in findings if options["dry_run"] or not finding.remedies]
        if unmended:
            raise CommandError(f"{len(unmended)} of {len(findings)} differences remain", returncode=1)
        if not findings:
            self.stdout.write("nothing differs")

    def _dry(self) -> list[Finding]:
        try:
            findings = reconcile.drift(reconcile.line(), clock=timezone.now, wait=time.sleep)
        except TelnyxError as error:
            raise CommandError(f"Telnyx did not answer everything: {error}") from None
        for finding in findings:
            self.stdout.write(str(finding))
        return findings

    def _mended(self) -> list[Finding]:
        """A full run, and the second look at what it missed."""
        found: list[Finding] = []

        def say(finding: Finding) -> None:
            self.stdout.write(str(finding))
            found.append(finding)

        line = reconcile.line()
        run = reconcile.full(line, reason="manage.py reconcile", clock=timezone.now, say=say)
        time.sleep(reconcile.SECOND_LOOK.total_seconds())
        reconcile.look(line, clock=timezone.now, say=say)
        run.refresh_from_db()
        if run.state == ReconcileRun.State.FAILED:
            raise CommandError(f"not reconciled: {run.error}")
        return found
