"""A task that only says how long it took to begin: Celery's own delay, which bench.dialing's are measured beside."""

import os
import time
from pathlib import Path

from celery import shared_task

FILE = "BENCH_PROBE_FILE"  # where it says so, a line of seconds each


@shared_task(name="bench.probe", ignore_result=True)
def probe(sent_at: float) -> None:
    delay = time.time() - sent_at
    with Path(os.environ[FILE]).open("a") as file:
        file.write(f"{delay}\n")
