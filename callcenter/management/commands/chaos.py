"""``manage.py chaos``: the whole service on stores of its own, with faults and kills; exit code 1 if it is wrong."""

import os
import random
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from callcenter import stand
from callcenter.arguments import whole_number
from callcenter.chaos import evidence, plants, supervisors, table
from callcenter.chaos.fleet import Fleet, LastWords, settled
from callcenter.chaos.plants import PLANTS
from callcenter.chaos.recovery import Recovery
from callcenter.chaos.run import Run
from callcenter.chaos.schedule import PROFILES, Profile
from callcenter.chaos.stores import Postgres, Redis, find_postgres, find_redis, run_as
from callcenter.checks import exit_on_errors
from callcenter.demo import house
from callcenter.embedded import StoreUnavailable
from callcenter.processes import Processes, Stopped, any_port, signals_raise

FOLDER = "callcenter-chaos-"
# The house's seconds are a twentieth of life's: rings of 5 s, nearly no wrap-up.
SPEED, WRAP_UP_SECS = 20, 1
# Not a crowd but one fault after the other, each with the seconds it took to heal.
RECOVERY = "recovery"


class Command(BaseCommand):
    help = (
        "Run two webs, two workers and two sweepers on a Postgres and a Redis of their own against a simulated Telnyx, "
        "with faults and kills, and compare what came of it with what the simulator saw. Exits 1 if anything is wrong."
    )
    requires_system_checks: list[str] = []  # they run below, once the environment is laid out

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--profile", choices=[*PROFILES, RECOVERY], default="smoke", help="which calls, faults and kills")
        add("--calls", type=whole_number(8, 100_000), metavar="N", help="so many calls, with kills in proportion")
        add("--seed", type=whole_number(0, 2**31), metavar="N", help="the same callers, phones, faults and kills again")
        add(
            "--plant",
            choices=PLANTS,
            default="",
            metavar="NAME",
            help=f"a fault that the run must catch: {', '.join(PLANTS)}",
        )
        add("--evidence", type=Path, metavar="DIR", help="where to keep both sides' logs as JSON")
        add("--blackout", type=whole_number(1, 3600), metavar="SECS", help="how long blackout's blackout lasts")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            with signals_raise():
                lines = self._run(options)
        except (StoreUnavailable, stand.StandError) as error:
            raise CommandError(str(error)) from error
        except httpx.HTTPError as error:
            raise CommandError(f"The simulated Telnyx does not answer: {error or type(error).__name__}.") from error
        except Stopped as stopped:
            self.stdout.write("Stopped.")
            sys.exit(stopped.exit_code)
        for line in table.rendered(lines):
            self.stdout.write(line)
        wrong = [", ".join((line.what, *line.wrong[:1])) for line in lines if not line.is_right]
        if options["plant"]:
            self.stdout.write(f"{options['plant']}: {'caught by ' + '; '.join(wrong) if wrong else 'NOT CAUGHT'}")
        if wrong:
            sys.exit(1)

    def _run(self, options: dict[str, Any]) -> list[table.Line]:
        plan = stand.planned()
        if plan is None:
            self._plan()
        exit_on_errors()
        folder = Path(plan.folder)
        # What they say while they are being killed is no news unless it is asked for.
        words = LastWords(self.stderr.write if options["verbosity"] > 1 else None)
        try:
            with Processes(write=words, folder=stand.BASE_DIR) as processes:
                postgres = Postgres(processes, folder, int(settings.DATABASES["default"]["PORT"]))
                redis = Redis(processes, folder, plan.broker_port)
                fleet = Fleet(plan, processes, postgres=postgres, redis=redis, words=words, plant=options["plant"])
                try:
                    return self._on(fleet, options)
                finally:
                    connection.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _plan(self) -> NoReturn:
        """Choose folder and ports, and begin again with them. Raises StoreUnavailable for what is not installed."""
        find_postgres(), find_redis(), run_as()
        parent = Path(tempfile.gettempdir())
        stand.remove_leftovers(parent, FOLDER)
        folder = parent / f"{FOLDER}{os.getpid()}"
        folder.mkdir(mode=0o711)
        plan = stand.Plan(
            folder=str(folder),
            database="postgres",
            broker="redis",
            broker_port=any_port(),
            web_port=any_port(),
            simulator_port=any_port(),
        )
        stand.begin_again(
            plan,
            log_level="ERROR",
            settled=settled(postgres_port=any_port(), redis_port=plan.broker_port, failover_port=any_port()),
        )

    def _on(self, fleet: Fleet, options: dict[str, Any]) -> list[table.Line]:
        recovery = options["profile"] == RECOVERY
        profile = PROFILES["smoke"] if recovery else _profile(options)
        seed = random.randrange(10_000) if options["seed"] is None else options["seed"]
        planted = f", planted: {options['plant']}" if options["plant"] else ""
        crowd = "" if recovery else f", {profile.calls} calls"
        self.stdout.write(f"Profile {options['profile']}{crowd}, seed {seed}{planted}")
        fleet.postgres.create()
        fleet.postgres.start()
        fleet.redis.start()
        fleet.start_simulator(seed=seed)
        fleet.postgres.wait()
        fleet.redis.wait()
        call_command("migrate", verbosity=0, interactive=False)
        plants.prepare_database(options["plant"])
        speed = 1 if recovery else SPEED
        pace = house.Pace(speed=speed, longest_patience_secs=profile.patience_secs * 3, wrap_up_secs=WRAP_UP_SECS)
        password = house.furnish(pace, now=timezone.now())
        supervisors.furnish(password)
        fleet.tell_telnyx_where_we_are()
        fleet.start_all()
        if recovery:
            return Recovery(fleet, ring_secs=pace.queue_settings()["ring_secs"], tell=self.stdout.write).run()
        run = Run(
            fleet,
            profile,
            seed=seed,
            pace=pace,
            password=password,
            tell=self.stdout.write,
            stops_when_caught=bool(options["plant"]),
        )
        lines = run.run()
        if options["evidence"]:
            evidence.keep(options["evidence"], fleet.simulator)
        return lines


def _profile(options: dict[str, Any]) -> Profile:
    profile = PROFILES[options["profile"]]
    if options["calls"] is not None:
        profile = profile.with_calls(options["calls"])
    if options["blackout"] is not None:
        profile = replace(profile, blackout_secs=options["blackout"])
    return profile
