"""``manage.py sweep``: find due work in the rows every second and see that it is done."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from callcenter.sweep import Sweeper


class Command(BaseCommand):
    help = "Finds overdue events, commands, offers and deadlines every second; run two copies, one leads."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        Sweeper().run(stop)
