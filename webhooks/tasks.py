"""The lanes' entry points: thin, named, safe to run twice, late or never."""

from celery import shared_task

from webhooks import inbox, outbox
from webhooks.telnyx import conf


@shared_task(name="webhooks.apply", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def apply(*event_pks: str) -> None:
    for event_pk in event_pks:
        inbox.apply(int(event_pk))


@shared_task(name="webhooks.send", acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def send(sequence: str) -> None:
    outbox.send(int(sequence), conf.client())
