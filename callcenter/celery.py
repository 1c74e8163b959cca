"""The Celery app. Messages are nudges: what is due stands in the rows, so any message may be lost."""

import os
from functools import cached_property
from importlib import import_module
from typing import Any

from celery import Celery
from celery.fixups import django as django_fixup
from celery.signals import setup_logging, task_failure, worker_init, worker_ready
from django.db import connections

from callcenter import databases
from callcenter.checks import exit_on_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")


class _WorkerFixup(django_fixup.DjangoWorkerFixup):  # type: ignore[name-defined, misc]
    def close_database(self, **_: Any) -> None:
        """Between two tasks, connections go back into the pool, as between two requests of a web process.

        Celery's own ends the pool of a forked child with each task: then each connects anew, to a server process that
        has no plan ready for what it is asked.
        """
        connections.close_all()


class _Fixup(django_fixup.DjangoFixup):
    @cached_property
    def worker_fixup(self) -> _WorkerFixup:
        return _WorkerFixup(self.app)


def fixup(app: Celery) -> _Fixup:
    made = _Fixup(app)
    made.install()
    return made


app = Celery("callcenter", fixups=["callcenter.celery:fixup"])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()  # never force=True: it loads Django before the command line has read its options


@setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Having a receiver stops Celery from replacing the handlers of ``settings.LOGGING``."""


@worker_init.connect
def refuse_to_work_misconfigured(**_: Any) -> None:
    """Celery runs Django's checks at start and throws the answers away; this one reads them."""
    exit_on_errors()


@task_failure.connect
def count_what_the_database_failed(exception: BaseException, **_: Any) -> None:
    databases.count(exception)


@worker_ready.connect
def say_that_a_worker_is_alive(**_: Any) -> None:
    """While one is, the sweeper leaves fresh work to it. (Models load after this module, hence by name.)"""
    import_module("callcenter.heartbeat").start("worker")
