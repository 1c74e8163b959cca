"""The routing lane's entry points: thin, named, safe to run twice, late or never."""

from uuid import UUID

from celery import shared_task
from django.db import transaction
from django.utils import timezone

from queues import engine


@shared_task(name="queues.route", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def route(queue_id: str) -> None:
    engine.route(UUID(queue_id), now=timezone.now())


@shared_task(name="queues.agent_freed", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def agent_freed(agent_id: str) -> None:
    engine.route_for_agent(UUID(agent_id), now=timezone.now())


@shared_task(name="queues.settle", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def settle(call_id: str) -> None:
    with transaction.atomic():
        engine.settle(UUID(call_id), now=timezone.now())
