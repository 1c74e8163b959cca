"""The whole service against a local Telnyx, for daily work."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from callcenter import stand
from callcenter.arguments import whole_number
from callcenter.checks import exit_on_errors
from callcenter.demo import house, traffic
from callcenter.embedded import StoreUnavailable
from callcenter.processes import PortInUse, Processes, Stopped, signals_raise
from queues.models import Agent, Queue


class Command(BaseCommand):
    help = "Run web, worker, sweep and a simulated Telnyx; Ctrl-C stops them all."
    requires_system_checks: list[str] = []  # they run below, once the environment is laid out

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--port", type=whole_number(1, 65_535), metavar="P", help="of the web (8000, or a free one)")
        add("--simulator-port", type=whole_number(1, 65_535), metavar="P", help="of Telnyx (12111, or a free one)")

    def handle(self, *_args: Any, port: int | None, simulator_port: int | None, **_options: Any) -> None:
        try:
            with signals_raise():
                self._run(port, simulator_port)
        except (PortInUse, StoreUnavailable, stand.StandError) as error:
            raise CommandError(str(error)) from error
        except Stopped:
            self.stdout.write("Stopped.")

    def _run(self, port: int | None, simulator_port: int | None) -> None:
        plan = stand.prepare(folder=settings.DEV_DIR, web_port=port, simulator_port=simulator_port, log_level="INFO")
        exit_on_errors()
        with Processes(write=self.stdout.write, folder=stand.BASE_DIR) as processes:
            here = stand.Stand(plan, processes)
            here.start_broker()
            here.start_simulator()
            call_command("migrate", verbosity=0, interactive=False)
            self._furnish_if_empty()
            here.start_web()
            here.start_worker()
            here.start_sweep()
            self.stdout.write(
                f"Ready at {plan.address}/admin/ with {plan.database} and {plan.broker}; "
                f"the simulated Telnyx is on port {plan.simulator_port}. Ctrl-C stops all."
            )
            here.wait()

    def _furnish_if_empty(self) -> None:
        """A new database gets the demo's queues, agents and supervisors; what stands in one is left alone."""
        if Queue.objects.exists() or Agent.objects.exists():
            return
        pace = house.Pace(speed=1, longest_patience_secs=traffic.longest_patience_secs(1))
        password = house.furnish(pace, now=timezone.now())
        users = " or ".join(house.SUPERVISORS)
        self.stdout.write(f"The database was empty. Sign in as {users} with the password {password}")
