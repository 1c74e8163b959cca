"""``manage.py replay``: give events that were set aside another five attempts."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from webhooks import inbox
from webhooks.models import WebhookEvent


class Command(BaseCommand):
    help = "Applies webhook events again that were set aside after five attempts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("event_id", nargs="*", help="Telnyx's event ids, as the admin shows them")
        parser.add_argument("--all", action="store_true", help="every event that was set aside")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted: list[str] = options["event_id"]
        if bool(wanted) == options["all"]:
            raise CommandError("Name event ids, or say --all for every event that was set aside.")
        dead = WebhookEvent.objects.filter(status=WebhookEvent.Status.DEAD)
        if wanted:
            dead = dead.filter(event_id__in=wanted)
        found = list(dead.order_by("id").values_list("pk", "event_id", "event_type"))
        if missing := sorted(set(wanted) - {event_id for _, event_id, _ in found}):
            raise CommandError(f"Not set aside: {', '.join(missing)}. Only events set aside can be replayed.")
        for pk, event_id, event_type in found:
            inbox.replay(pk)
            inbox.apply(pk)
            status = WebhookEvent.objects.get(pk=pk).status
            self.stdout.write(f"{event_id} {event_type}: {status}")
        if not found:
            self.stdout.write("nothing is set aside")
