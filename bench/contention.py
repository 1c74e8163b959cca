"""Contention on Postgres: 8 processes race for 60 agents of 5 overlapping queues until 10 000 offers have been made.

Nobody may be booked twice meanwhile, and once the load has stopped one sweep may leave nobody waiting whom a free agent
could take (bench.race). ``DATABASE_URL`` names the server (default: Postgres on this machine); a database is made there
and dropped again.
"""

import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import django

from bench.database import own_database

ROOT = Path(__file__).resolve().parent.parent
WORKERS, ASSIGNMENTS = 8, 10_000


def run() -> str:
    with own_database() as url:
        environment = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "callcenter.settings",
            "LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-m", "bench.contention"]
        said = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    wrong = [f"{name} {count}" for name, count in found["must be 0"].items() if count]
    return (
        f"{found['assignments']} assignments by {WORKERS} processes in {found['secs']:.0f} s, "
        f"{found['assignments'] / found['secs']:.1f}/s; {found['passes']} passes, {found['lost races']} of them lost "
        f"a race; in {found['looks']} looks {found['late']} agents were left free for 1 s; as the load stopped "
        f"{found['stranded before']} stranded, {found['waiting']} waiting; "
        + ", ".join(f"{name} {count}" for name, count in found["must be 0"].items())
        + (f"; WRONG: {', '.join(wrong)}" if wrong else "")
    )


def work(nudges: "Queue[tuple[str, str]]", stop: Event, tallies: "Queue[Counter[str]]") -> None:
    """One worker, in a process of its own."""
    django.setup()
    from bench import race  # noqa: PLC0415  once Django is set up

    race.run_worker(nudges, stop, tallies)


if __name__ == "__main__":
    django.setup()
    from bench import race

    print(json.dumps(race.play(workers=WORKERS, assignments=ASSIGNMENTS)))
