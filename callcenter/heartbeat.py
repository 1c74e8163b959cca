"""Processes say they are alive in the database, on its clock, so that others can take over when they are not."""

import os
import socket
import threading
from datetime import timedelta

from django.db import Error, close_old_connections
from django.db.models.functions import Now

from callcenter.models import ProcessHeartbeat
from webhooks.clock import from_now

EVERY_SECS = 2.0
FRESH = timedelta(seconds=8)


def beat(kind: str) -> None:
    name = f"{kind}:{socket.gethostname()}:{os.getpid()}"[:100]
    ProcessHeartbeat.objects.update_or_create(name=name, defaults={"at": Now()})


def anyone(kind: str) -> bool:
    """Has a process of this kind been alive within the last seconds?"""
    return ProcessHeartbeat.objects.filter(name__startswith=f"{kind}:", at__gte=from_now(-FRESH)).exists()


def start(kind: str) -> threading.Event:
    """Beat from a daemon thread until the returned event is set."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                beat(kind)
            except Error:
                close_old_connections()
            stop.wait(EVERY_SECS)

    threading.Thread(target=run, name=f"heartbeat-{kind}", daemon=True).start()
    return stop
