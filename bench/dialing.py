"""From a free agent and a waiting caller to the dial command: 200 calls at normal speed, two workers, on Postgres.

Both begin at Telnyx's own instants: the caller as he was answered, to wait at once (or as the offer before this one
ended), the agent as his last leg hung up and his wrap-up was over. So what webhooks, queues and ticks take is in it.
Of callers who found an agent free it is also told how long it was from entering the line to the dial, beside what the
same workers take to begin a task that does nothing, sent ten times a second meanwhile on the same lane.
``DATABASE_URL`` names the server (default: Postgres on this machine); a database is made there and dropped again.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import django
from celery import current_app

from bench import probe
from bench.database import own_database

ROOT = Path(__file__).resolve().parent.parent
CALLS, AGENTS, WORKERS = 200, 20, 2
GAP_SECS, TALK_SECS, WRAP_UP_SECS = 0.6, 8.0, 2
NUMBER = "+442079460001"
LONGEST_SECS = 420.0
PROBE_SECS = 0.1
MOST_OF_CELERYS = 4.0


def run() -> str:
    with own_database() as url, tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "bench.probed_settings",
            probe.FILE: str(Path(folder) / "probe"),
        }
        command = [sys.executable, "-m", "bench.dialing", folder]
        said = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    delays, entered, begun = (sorted(found[name]) for name in ("delays", "entered", "begun"))
    ratio = _percentile(entered, 99) / _percentile(begun, 99)
    return (
        f"{found['calls']} calls, {len(delays)} dials, {WORKERS} workers: p50 {_percentile(delays, 50) * 1000:.0f} ms, "
        f"p95 {_percentile(delays, 95) * 1000:.0f} ms, most {delays[-1] * 1000:.0f} ms; "
        f"wrong: {found['wrongs'] or 'nothing'}\n"
        f"enqueued -> dial sent ({len(entered)}): {_p50_and_p99(entered)}; "
        f"Celery's enqueue -> start ({len(begun)}): {_p50_and_p99(begun)}\n"
        f"p99 / Celery's p99: wanted <= {MOST_OF_CELERYS:.2f}, found {ratio:.2f}"
        f"{'' if ratio <= MOST_OF_CELERYS else ': MISSED'}"
    )


def _percentile(delays: Sequence[float], percent: int) -> float:
    return delays[min(len(delays) - 1, len(delays) * percent // 100)]


def _p50_and_p99(delays: Sequence[float]) -> str:
    return f"p50 {_percentile(delays, 50) * 1000:.0f} ms, p99 {_percentile(delays, 99) * 1000:.0f} ms"


def play(folder: Path) -> dict[str, Any]:
    """In a process of its own, which ``stand.prepare`` starts anew with stores and ports in its environment."""
    from django.core.management import call_command  # noqa: PLC0415  once the environment is laid out
    from django.utils import timezone  # noqa: PLC0415

    from callcenter import stand  # noqa: PLC0415
    from callcenter.demo.summary import find_wrongs  # noqa: PLC0415
    from callcenter.demo.truth import Truth  # noqa: PLC0415
    from callcenter.invariants import violations  # noqa: PLC0415
    from callcenter.processes import Processes  # noqa: PLC0415

    plan = stand.prepare(folder=folder, web_port=None, simulator_port=None, log_level="WARNING")
    with Processes(write=lambda line: print(line, file=sys.stderr), folder=ROOT) as processes:
        here = stand.Stand(plan, processes)
        here.start_broker()
        here.start_simulator()
        call_command("migrate", verbosity=0, interactive=False)
        since = timezone.now()
        _furnish(since)
        here.start_web()
        for number in range(WORKERS):
            here.start_worker(f"worker-{number + 1}")
        here.start_sweep()
        legs, wrong = [], set[str]()
        over = threading.Event()
        prober = threading.Thread(target=_probe, args=(over,), daemon=True)
        prober.start()
        began = time.monotonic()
        while len(legs) < CALLS or not _is_over():
            here.check()
            if time.monotonic() > began + LONGEST_SECS:
                wrong.add(f"not over after {LONGEST_SECS:.0f} s")
                break
            if len(legs) < CALLS:
                call = {"from": f"+447700{900100 + len(legs)}", "to": NUMBER, "talk_secs": TALK_SECS}
                legs.append(here.simulator.post("/_sim/calls", json=call).raise_for_status().json()["call_control_id"])
            wrong.update(violations(timezone.now()))
            time.sleep(max(0.0, began + len(legs) * GAP_SECS - time.monotonic()) if len(legs) < CALLS else 1.0)
        over.set()
        prober.join()
        truth = Truth()
        truth.learn(here.simulator.get("/_sim/events", params={"after": 0}).raise_for_status().json()["events"])
        wrongs = find_wrongs(legs, truth=truth, violations=wrong, since=since)
    begun = [float(line) for line in Path(os.environ[probe.FILE]).read_text().splitlines()]
    return {
        "calls": len(legs),
        "delays": list(_delays()),
        "entered": list(_from_entering()),
        "begun": begun,
        "wrongs": list(wrongs),
    }


def _probe(over: threading.Event) -> None:
    while not over.wait(PROBE_SECS):
        current_app.send_task("bench.probe", args=[time.time()], queue="realtime", ignore_result=True)


def _furnish(now: datetime) -> None:
    from queues import services  # noqa: PLC0415
    from queues.models import Agent, Number, Queue  # noqa: PLC0415

    queue = Queue.objects.create(name="Bench", greeting_text="", wrap_up_secs=WRAP_UP_SECS, max_wait_secs=600)
    Number.objects.create(number=NUMBER, queue=queue)
    for number in range(AGENTS):
        agent = Agent.objects.create(name=f"agent {number}", address=f"sip:agent-{number}@phones.example.com")
        agent.memberships.create(queue=queue)
        services.log_in(agent.pk, now=now, ready=True)


def _is_over() -> bool:
    from conferences.models import CallLeg  # noqa: PLC0415
    from queues.models import Call  # noqa: PLC0415

    return Call.objects.filter(ended_at__isnull=False).count() == CALLS and not CallLeg.objects.live().exists()


def _delays() -> Iterator[float]:
    """Seconds, per offer."""
    from queues.models import Offer  # noqa: PLC0415
    from webhooks.models import Command  # noqa: PLC0415

    sent = dict(Command.objects.filter(kind="dial_agent").values_list("subject_id", "first_sent_at"))
    agent_free: dict[Any, datetime] = {}
    caller_free: dict[Any, datetime] = {}
    for offer in Offer.objects.order_by("offered_at").select_related("call__leg", "leg"):
        agent = agent_free.get(offer.agent_id, offer.agent_available_since)
        caller = caller_free.get(offer.entry_id, offer.call.leg.answered_at)
        if sent[offer.pk] is not None:
            yield (sent[offer.pk] - max(agent or caller, caller)).total_seconds()
        ended = offer.leg.hangup_at if offer.leg and offer.leg.hangup_at else offer.ended_at
        if ended is not None:
            wrapped_up = ended + timedelta(seconds=WRAP_UP_SECS if offer.connected_at else 0)
            agent_free[offer.agent_id], caller_free[offer.entry_id] = wrapped_up, ended


def _from_entering() -> Iterator[float]:
    """Seconds, per caller who found an agent free as he entered the line."""
    from queues.models import Offer  # noqa: PLC0415
    from webhooks.models import Command  # noqa: PLC0415

    sent = dict(Command.objects.filter(kind="dial_agent").values_list("subject_id", "first_sent_at"))
    seen = set()
    for offer in Offer.objects.order_by("offered_at").select_related("entry"):
        entered_at, free_at = offer.entry.entered_at, offer.agent_available_since
        if offer.entry_id not in seen and free_at is not None and free_at <= entered_at and sent[offer.pk] is not None:
            yield (sent[offer.pk] - entered_at).total_seconds()
        seen.add(offer.entry_id)


if __name__ == "__main__":
    django.setup()
    print(json.dumps(play(Path(sys.argv[1]))))
