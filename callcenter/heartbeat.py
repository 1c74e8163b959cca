"""Processes say they are alive in the database, on its clock, so that others can take over when they are not."""

import os
import socket
import threading
from datetime import timedelta
from typing import Any

from django.core.signals import request_started
from django.db import Error, connection
from django.db.models.functions import Now

from callcenter.models import ProcessHeartbeat
from webhooks.clock import from_now

EVERY_SECS = 2.0
FRESH = timedelta(seconds=8)
FORGOTTEN = timedelta(days=1)


def beat(kind: str) -> None:
    """Say that this process (``kind``: web, worker or sweep) is alive. A new process clears away those that ended a
    day ago and more.
    """
    name = f"{kind}:{socket.gethostname()}:{os.getpid()}"[:100]
    _, is_new = ProcessHeartbeat.objects.update_or_create(name=name, defaults={"at": Now()})
    if is_new:
        ProcessHeartbeat.objects.filter(at__lt=from_now(-FORGOTTEN)).delete()


def anyone(kind: str, *, within: timedelta = FRESH) -> bool:
    """Has a process of this kind been alive within the last seconds?"""
    return ProcessHeartbeat.objects.filter(name__startswith=f"{kind}:", at__gte=from_now(-within)).exists()


def start(kind: str) -> threading.Event:
    """Beat from a daemon thread until the returned event is set."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                beat(kind)
            except Error:
                pass  # the database is away; what is late says so
            finally:
                connection.close()  # back into the pool: a thread of its own would keep one of eight for itself
            stop.wait(EVERY_SECS)

    threading.Thread(target=run, name=f"heartbeat-{kind}", daemon=True).start()
    return stop


def start_with_first_request(kind: str) -> None:
    """For what serves HTTP: a server that loads the application and then forks has no threads in its children."""

    def begin(**_: Any) -> None:
        if request_started.disconnect(dispatch_uid=kind):  # of two first requests, one does
            start(kind)

    request_started.connect(begin, weak=False, dispatch_uid=kind)
