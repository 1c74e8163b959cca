"""The Celery app. Messages are nudges: what is due stands in the rows, so any message may be lost."""

import os
from importlib import import_module
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_failure, worker_init, worker_ready

from callcenter import databases
from callcenter.checks import exit_on_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")

app = Celery("callcenter")
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
