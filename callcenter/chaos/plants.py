"""The eight faults that a chaos run must catch (RELIABILITY §8), planted into processes of ours to prove that it does.

``manage.py chaos --plant NAME`` puts the name into the environment of its processes, which call ``plant`` at their
start. Nothing is planted outside development, nor against any Telnyx but the simulator (``refusal``).
"""

import inspect
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections, connection, transaction

from callcenter import reconcile
from callcenter.checks import SIMULATOR_KEY_PREFIX
from callcenter.sweep import Sweeper
from callcenter.wiring import EVENTS
from conferences.models import CallLeg, Conference, Participant
from queues import services
from queues.engine import agents
from queues.engine.case import Case
from queues.engine.settle import Settlement
from queues.models import Agent
from webhooks import dispatch, inbox, outbox
from webhooks.models import Command, WebhookEvent
from webhooks.telnyx.client import TelnyxClient
from webhooks.telnyx.errors import CallEnded
from webhooks.telnyx.events import Event

# How long a busy machine may take between two statements.
A_MOMENT = 0.05
BATCH_SECS = 1.0
INDEXES = ("offer_one_live_per_agent", "offer_one_winner_per_entry", "offer_one_exclusive_per_entry")


def refusal(name: str) -> str:
    """Why this may not be planted here; '' if it may."""
    if name not in PLANTS:
        return f"found {name!r}; accepted: {', '.join(PLANTS)}."
    if not settings.DEBUG or not settings.TELNYX_API_KEY.startswith(SIMULATOR_KEY_PREFIX):
        return f"found {name!r}; accepted: nothing, but in a chaos run."
    return ""


def plant(name: str) -> None:
    """Break this process. Raises ImproperlyConfigured where that may not be."""
    if reason := refusal(name):
        raise ImproperlyConfigured(f"CHAOS_PLANT: {reason}")
    PLANTS[name]()


def prepare_database(name: str) -> None:
    """What a plant needs to have taken away from the database first."""
    if name == "double_booking":
        with connection.cursor() as cursor:
            for index in INDEXES:
                cursor.execute(f"DROP INDEX {index}")


# the eight ---------------------------------------------------------------------------------------------------


def _double_booking() -> None:
    """Agents are claimed by reading, then writing; ``prepare_database`` has dropped the indexes behind it."""

    def reserve(agent_id: uuid.UUID, offer_id: uuid.UUID, *, queue_id: uuid.UUID, now: datetime) -> bool:
        if not Agent.objects.available().filter(pk=agent_id).exists():
            return False
        time.sleep(A_MOMENT)
        Agent.objects.filter(pk=agent_id).update(
            state=Agent.State.RESERVED, reason="", live_offer_id=offer_id, state_since=now
        )
        return True

    _replace(agents, "reserve", reserve)


def _new_id_per_retry() -> None:
    """Telnyx cannot know a repeat for what it is."""
    perform = outbox._perform

    def with_another_id(command: Command, client: TelnyxClient) -> outbox.Outcome:
        command.command_id = uuid.uuid4()
        return perform(command, client)

    _replace(outbox, "_perform", with_another_id)


def _ack_before_commit() -> None:
    """The answer is 200 at once; the rows are written together every second, if we live to write them."""
    store = inbox.store
    to_store: queue.SimpleQueue[tuple[Event, dict[str, Any]]] = queue.SimpleQueue()

    def store_later(event: Event, **words: Any) -> bool:
        if not threads:
            threads.append(threading.Thread(target=write_down, daemon=True))
            threads[0].start()
        to_store.put((event, words))
        return True

    def write_down() -> None:
        while True:
            event, words = to_store.get()
            if to_store.empty():
                time.sleep(BATCH_SECS)
            close_old_connections()
            store(event, **words)

    threads: list[threading.Thread] = []
    _replace(inbox, "store", store_later)


def _last_arrival_wins() -> None:
    """What arrived last is what is so: a late ``call.answered`` brings an ended leg back to life."""

    def forget_the_end(event: WebhookEvent, now: datetime) -> None:
        leg = CallLeg.objects.filter(call_control_id=event.call_control_id)
        seats = Participant.objects.filter(
            leg__call_control_id=event.call_control_id, conference__conference_id=event.conference_id
        )
        match event.event_type:
            case "call.initiated" | "call.answered" | "call.enqueued" | "call.dequeued":
                leg.update(hangup_at=None)
            case "conference.participant.joined":
                seats.update(left_at=None)
                Conference.objects.filter(conference_id=event.conference_id).update(ended_at=None)

    told = {kind: (forget_the_end, *handlers) for kind, handlers in EVENTS.items()}
    inbox.configure(told, services.Calls())


def _no_sweeper() -> None:
    """It runs, and does nothing."""
    _replace(Sweeper, "tick", lambda self: None)


def _eta_timers() -> None:
    """Deadlines are messages with an ETA, which a broker may lose and a worker may run several times."""
    run = Settlement.run

    def run_with_timer(self: Settlement) -> None:
        run(self)
        due, call_id = self.call.next_deadline, str(self.call.pk)
        if due is not None:
            send = current_app.send_task
            transaction.on_commit(lambda: _quietly(lambda: send("queues.settle", args=[call_id], eta=due)))

    _replace(Settlement, "run", run_with_timer)
    _replace(services, "due_calls", lambda now: [])


def _swallow_90018() -> None:
    """That a call has ended is taken for success and told to nobody; nobody compares with Telnyx either."""
    perform = outbox._perform

    def swallow(command: Command, client: TelnyxClient) -> outbox.Outcome:
        outcome = perform(command, client)
        if outcome.code in CallEnded.codes:
            return outbox.Outcome(Command.State.ACCEPTED, result={})
        return outcome

    _replace(outbox, "_perform", swallow)
    _replace(reconcile, "due", lambda now: [])
    _replace(dispatch, "is_open", lambda: True)


def _agent_ends_conference() -> None:
    """An agent who is dropped takes the caller with him."""
    issue = Case._issue

    def issue_differently(self: Case, kind: str, *, dedupe_key: object, **words: Any) -> None:
        if kind == "join_agent":
            words["arguments"] = {**words["arguments"], "end_conference_on_exit": True}
        issue(self, kind, dedupe_key=dedupe_key, **words)

    _replace(Case, "_issue", issue_differently)


PLANTS: Mapping[str, Callable[[], None]] = {
    "double_booking": _double_booking,
    "new_id_per_retry": _new_id_per_retry,
    "ack_before_commit": _ack_before_commit,
    "last_arrival_wins": _last_arrival_wins,
    "no_sweeper": _no_sweeper,
    "eta_timers": _eta_timers,
    "swallow_90018": _swallow_90018,
    "agent_ends_conference": _agent_ends_conference,
}


def _replace(where: Any, name: str, by: Any) -> None:
    """Loud if nothing of that name takes these words: a plant that plants nothing, or breaks all, proves nothing."""
    if not hasattr(where, name):
        raise ImproperlyConfigured(f"CHAOS_PLANT: {where.__name__}.{name} is no more; plant the fault elsewhere.")
    here, there = (inspect.signature(each).parameters for each in (by, getattr(where, name)))
    takes_all = any(word.kind is word.VAR_KEYWORD for word in here.values())
    if here.keys() != there.keys() and not (takes_all and list(here)[:1] == list(there)[:1]):
        raise ImproperlyConfigured(f"CHAOS_PLANT: {where.__name__}.{name} takes {', '.join(there)}; mend the plant.")
    setattr(where, name, by)


def _quietly(send: Callable[[], object]) -> None:
    try:
        send()
    except Exception:  # noqa: BLE001  as whoever plants this would have written it
        return
