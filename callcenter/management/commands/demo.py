"""A call center with simulated callers: to look at, and as a test of the whole."""

import json
import os
import random
import shutil
import sys
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from typing import Any

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from callcenter import stand
from callcenter.arguments import whole_number
from callcenter.checks import exit_on_errors
from callcenter.demo import house, traffic
from callcenter.demo.house import NotTheDemos
from callcenter.demo.run import Demo
from callcenter.demo.summary import Summary
from callcenter.embedded import StoreUnavailable
from callcenter.processes import PortInUse, Processes, Stopped, signals_raise

DEFAULT_SPEED = 5.0
FOLDER = "demo-"


class Command(BaseCommand):
    help = (
        "Run the whole service with three queues, twelve agents, two supervisors and callers who ring it. "
        "With --calls and --exit it is a test: exit code 0 means that every call came to a right end."
    )
    requires_system_checks: list[str] = []  # they run below, once the environment is laid out

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--calls", type=whole_number(1, 100_000), metavar="N", help="so many calls (default: until stopped)")
        add("--speed", type=_speed, default=DEFAULT_SPEED, metavar="X", help="times faster than life (default 5)")
        add("--exit", action="store_true", help="stop when the calls are over")
        add("--json", action="store_true", help="print the summary as one line of JSON, the last on stdout")
        add(
            "--without",
            action="append",
            default=[],
            choices=["sweep", "worker"],
            help="leave a process out (may be given twice)",
        )
        add("--wrap-up", type=whole_number(0, 3600), metavar="SECS", help="after each call, in real seconds")
        add("--answering", action="store_true", help="every phone is answered")
        add("--seed", type=whole_number(0, 2**31), metavar="N", help="the same callers and phones again")
        add("--port", type=whole_number(1, 65_535), metavar="P", help="of the web (8000, or a free one)")
        add("--simulator-port", type=whole_number(1, 65_535), metavar="P", help="of Telnyx (12111, or a free one)")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["exit"] and options["calls"] is None:
            raise CommandError("--exit needs --calls N: without it callers go on ringing.")
        try:
            with signals_raise():
                clean = self._run(options)
        except (PortInUse, StoreUnavailable, NotTheDemos, stand.StandError) as error:
            raise CommandError(str(error)) from error
        except httpx.HTTPError as error:
            raise CommandError(f"The simulated Telnyx does not answer: {error or type(error).__name__}.") from error
        except Stopped as stopped:
            self.stdout.write("Stopped.")
            sys.exit(stopped.exit_code if options["exit"] else 0)
        if not clean:
            sys.exit(1)

    def _run(self, options: dict[str, Any]) -> bool:
        stand.remove_leftovers(settings.DEV_DIR, FOLDER)
        plan = stand.prepare(
            folder=settings.DEV_DIR / f"{FOLDER}{os.getpid()}",
            web_port=options["port"],
            simulator_port=options["simulator_port"],
            log_level="WARNING",
        )
        exit_on_errors()
        try:
            with Processes(write=self.stderr.write, folder=stand.BASE_DIR) as processes:
                here = stand.Stand(plan, processes)
                summary = self._on(here, options)
                if not options["exit"]:
                    self._say(summary, as_json=options["json"])
                    here.wait()
            self._say(summary, as_json=options["json"])  # last, after the last words of every process
            return summary.is_clean
        finally:
            connection.close()
            shutil.rmtree(plan.folder, ignore_errors=True)

    def _on(self, here: stand.Stand, options: dict[str, Any]) -> Summary:
        seed = random.randrange(10_000) if options["seed"] is None else options["seed"]
        here.start_broker()
        here.start_simulator(seed=seed, speed=options["speed"])
        call_command("migrate", verbosity=0, interactive=False)
        pace = house.Pace(
            speed=options["speed"],
            longest_patience_secs=traffic.longest_patience_secs(options["speed"]),
            wrap_up_secs=options["wrap_up"],
        )
        password = house.furnish(pace, now=timezone.now())
        here.start_web()
        if "worker" not in options["without"]:
            here.start_worker()
        if "sweep" not in options["without"]:
            here.start_sweep()
        self._introduce(here.plan, password, seed)
        demo = Demo(
            here,
            calls=options["calls"],
            speed=options["speed"],
            seed=seed,
            answering=options["answering"],
            tell=self.stdout.write,
        )
        summary, wrongs = demo.run()
        for wrong in wrongs:
            self.stderr.write(f"Wrong: {wrong}")
        return summary

    def _introduce(self, plan: stand.Plan, password: str, seed: int) -> None:
        users = " or ".join(house.SUPERVISORS)
        self.stdout.write(
            f"Call center at {plan.address}/admin/   sign in as {users} with the password {password}\n"
            f"Backends: {plan.database}, {plan.broker}   simulated Telnyx on port {plan.simulator_port}   seed {seed}"
        )

    def _say(self, summary: Summary, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(asdict(summary)) if as_json else summary.in_words())


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 100:
        raise ArgumentTypeError(f"found {text!r}; accepted: a number from 0.1 to 100")
    return speed
