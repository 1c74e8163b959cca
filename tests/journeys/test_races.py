"""Two things at the same instant, on a database that lets them: one of the two right ends, every time."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from conferences import services as mirror
from conferences.models import CallLeg, Participant, SupervisionSession
from queues import engine, services, supervision
from queues.errors import QueueError
from queues.models import Agent, Call, Offer, Queue, QueueEntry
from tests.callcenter import clients
from tests.journeys import house as h
from tests.journeys.mirror import agrees
from tests.queues import scene
from webhooks import inbox
from webhooks.models import AuditEntry, Command, WebhookEvent
from webhooks.telnyx.events import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

T = TypeVar("T")
Mode = SupervisionSession.Mode
TIMES = 100
CLAIMS = 25
ANSWERS = 200
AT_ONCE = 7  # the pool has eight connections, and the test itself has one of them


def at_once(*deeds: Callable[[], T]) -> list[T]:
    """Each on a thread and a connection of its own, begun together."""
    assert len(deeds) <= AT_ONCE, "more than the pool has connections for"
    start = threading.Barrier(len(deeds), timeout=10)

    def run(deed: Callable[[], T]) -> T:
        try:
            with connection.cursor():  # connected before the start
                start.wait()
            return deed()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))


# the same entry, the same agent ------------------------------------------------------------------------------


@pytest.fixture
def line() -> Queue:
    return scene.queue()


def passes(queue: Queue, count: int) -> Sequence[object]:
    return at_once(*[lambda: engine.route(queue.pk, now=timezone.now())] * count)


def forget() -> None:
    Offer.objects.all().delete()
    Command.objects.all().delete()
    Agent.objects.update(state=Agent.State.AVAILABLE, live_offer_id=None)
    QueueEntry.objects.update(state=QueueEntry.State.WAITING)


@pytest.mark.parametrize(
    ("callers", "agents"),
    [
        pytest.param(1, 1, id="one caller, one agent"),
        pytest.param(1, 3, id="one caller, three agents"),
        pytest.param(3, 1, id="three callers, one agent"),
        pytest.param(4, 4, id="four and four"),
    ],
)
def test_passes_at_once_give_one_offer_each(line: Queue, callers: int, agents: int) -> None:
    for number in range(callers):
        scene.waiting(line, name=f"caller {number}", since=30 - number)
    for number in range(agents):
        scene.agent(f"agent {number}", serves=line)
    for _ in range(CLAIMS):
        made = passes(line, 4)
        offers = list(Offer.objects.live())
        assert len(offers) == min(callers, agents) == sum(map(int, made))  # type: ignore[call-overload]
        assert len({offer.agent_id for offer in offers}) == len({offer.entry_id for offer in offers}) == len(offers)
        assert Command.objects.filter(kind="dial_agent").count() == len(offers)
        reserved = Agent.objects.filter(state=Agent.State.RESERVED)
        assert {agent.live_offer_id for agent in reserved} == {offer.pk for offer in offers}
        assert QueueEntry.objects.filter(state=QueueEntry.State.OFFERING).count() == len(offers)
        forget()


def test_passes_at_once_go_round_together_and_leave_nobody_out(line: Queue) -> None:
    """Each offer moves on from the one before it, whichever pass made that; and no pass leaves a call that it could
    have offered."""
    Queue.objects.update(strategy="round_robin")
    for number in range(8):
        line.memberships.create(agent=scene.agent(f"agent {number}"), position=number)
    for number in range(6):
        scene.waiting(line, name=f"caller {number}", since=30 - number)
    for turn in range(CLAIMS):
        made = passes(line, 4)
        assert Offer.objects.live().count() == 6 == sum(map(int, made))  # type: ignore[call-overload]
        rung = set(Offer.objects.values_list("agent__name", flat=True))
        assert rung == {f"agent {(6 * turn + number) % 8}" for number in range(6)}
        line.refresh_from_db()
        assert line.last_offered_position == (6 * turn + 5) % 8
        forget()


def test_two_queues_at_once_do_not_share_an_agent() -> None:
    first, second = scene.queue("first"), scene.queue("second")
    both = scene.agent("both", serves=first)
    second.memberships.create(agent=both)
    for queue in (first, second):
        scene.waiting(queue, name=f"caller of {queue.name}")
    for _ in range(CLAIMS):
        at_once(*[lambda queue=queue: engine.route(queue.pk, now=timezone.now()) for queue in (first, second)])
        assert Offer.objects.live().count() == 1
        forget()


def test_a_caller_who_leaves_while_he_is_offered_is_offered_to_nobody_for_long(line: Queue) -> None:
    """Settling his hang-up and a pass for him, at once: whoever comes second sees the other."""
    agent = scene.agent("anna", serves=line)
    for number in range(CLAIMS):
        call = scene.waiting(line, name=f"caller {number}")
        type(call.leg).objects.filter(pk=call.leg.pk).update(hangup_at=timezone.now(), hangup_cause="normal_clearing")
        at_once(
            lambda: engine.route(line.pk, now=timezone.now()),
            lambda call=call: engine.settle(call.pk, now=timezone.now()),
        )
        call.refresh_from_db()
        assert call.outcome == Call.Outcome.ABANDONED
        assert not Offer.objects.live().exists()
        agent.refresh_from_db()
        assert agent.state == Agent.State.AVAILABLE


def test_who_waited_for_the_lock_sees_what_was_written_under_it(line: Queue) -> None:
    """The hang-up is noted under the call's lock, while the sweeper waits for that lock to look at the call."""
    call = scene.waiting(line)
    held, waits = threading.Event(), threading.Event()

    def hears_the_hang_up() -> None:
        with transaction.atomic():
            Call.objects.lock(call.pk)
            held.set()
            assert waits.wait(10)
            time.sleep(0.3)  # the other has sent its statement by then, and hangs in it
            call.leg.__class__.objects.filter(pk=call.leg.pk).update(
                hangup_at=timezone.now(), hangup_cause="normal_clearing"
            )
            engine.settle(call.pk, now=timezone.now())

    def looks() -> None:
        assert held.wait(10)
        waits.set()
        engine.settle(call.pk, now=timezone.now())

    at_once(hears_the_hang_up, looks)
    call.refresh_from_db()
    assert (call.state, call.outcome) == (Call.State.ABANDONED, Call.Outcome.ABANDONED)
    assert call.entries.get().state == QueueEntry.State.ENDED


# the caller's hang-up and the agent's answer -----------------------------------------------------------------


def test_an_agent_who_leaves_is_not_rung_for_the_next_call(line: Queue) -> None:
    """He asks while his call's end and his next offer are being written: it is taken back, or he is told to repeat."""
    anna = scene.agent("anna", serves=line, address="sip:anna@agents.example.com")
    first = scene.waiting(line, name="first", since=60)
    engine.route(line.pk, now=timezone.now())
    scene.waiting(line, name="second", since=30)
    is_held, asks = threading.Event(), threading.Event()

    def end_and_offer_again() -> None:
        with transaction.atomic():
            Call.objects.lock(first.pk)
            is_held.set()
            assert asks.wait(10)
            time.sleep(0.3)  # until he waits for the lock
            mirror.leg_fact(first.leg, "hangup_at", timezone.now(), hangup_cause="normal_clearing")
            engine.settle(first.pk, now=timezone.now())
            assert engine.route(line.pk, now=timezone.now()) == 1

    def leave() -> str:
        assert is_held.wait(10)
        asks.set()
        try:
            services.go_not_ready(anna.pk, "lunch", now=timezone.now())
        except QueueError as error:
            return error.code
        return "left"

    _, said = at_once(end_and_offer_again, leave)
    assert said == "agent_moved_on"
    services.go_not_ready(anna.pk, "lunch", now=timezone.now())
    assert not Offer.objects.live().exists()
    assert Agent.objects.get().state == Agent.State.NOT_READY


def let_go(house: h.House) -> None:
    """Open every gate, and have what comes in applied by as many threads at once as there are events."""
    house.sim("DELETE", "gates")
    house.simulator.drain()
    events = list(WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW).values_list("pk", flat=True))
    assert len(events) >= 2
    at_once(*[lambda pk=pk: house.run(("webhooks.apply", str(pk))) for pk in events])


@pytest.mark.parametrize("answers_first", [True, False])
def test_the_caller_hangs_up_as_the_agent_answers(house: h.House, answers_first: bool) -> None:
    """Both are true at Telnyx when we hear of either. He left: the agent's leg goes too, and nobody is connected."""
    support = h.queue(greeting_text="")
    anna = h.agent("anna", support)
    for _ in range(TIMES // 2):
        house.phone(anna.address, on_ring="answer", after_secs=1)
        call = house.ring()
        house.until(lambda call=call: call.offers.filter(state=Offer.State.RINGING).exists())
        offer = h.only_offer(call)
        assert offer.leg is not None
        house.sim("POST", "gates", {"event_type": "call.hangup", "leg": call.leg.call_control_id})
        house.sim("POST", "gates", {"event_type": "call.answered", "leg": offer.leg.call_control_id})
        if answers_first:
            house.advance(1)
            house.sim("POST", f"calls/{call.leg.call_control_id}/hangup")
        else:
            house.simulator.advance(0.9)
            house.sim("POST", f"calls/{call.leg.call_control_id}/hangup")
            house.advance(0.5)
        assert len(house.sim("GET", "gates")["gates"]) == 2
        let_go(house)
        house.advance(2)
        right_end(house, call)
        anna.refresh_from_db()
        assert anna.state == Agent.State.AVAILABLE
        house.check()


def test_the_caller_hangs_up_while_he_is_being_connected(house: h.House) -> None:
    """The answer has been heard and the conference is made, step by step, with his hang-up at any of the steps."""
    support = h.queue(greeting_text="")
    anna = h.agent("anna", support)
    house.phone(anna.address, on_ring="answer", after_secs=1)
    ends = set()
    for number in range(TIMES // 4):
        call = house.ring()
        house.until(lambda call=call: call.offers.filter(state=Offer.State.RINGING).exists())
        gate = house.sim("POST", "gates", {"event_type": "call.answered"})["id"]
        house.advance(1)
        house.sim("DELETE", f"gates/{gate}")
        for _ in range(number % 12):
            house.step()
        house.sim("POST", f"calls/{call.leg.call_control_id}/hangup")
        house.simulator.drain()
        jobs = house.jobs()
        for first in range(0, len(jobs), AT_ONCE):
            at_once(*[lambda job=job: house.run(job) for job in jobs[first : first + AT_ONCE]])
        house.advance(3)
        ends.add(right_end(house, call))
        anna.refresh_from_db()
        assert anna.state == Agent.State.AVAILABLE
        house.check()
    assert ends == {Call.Outcome.ABANDONED, Call.Outcome.ANSWERED}


def right_end(house: h.House, call: Call) -> str:
    """Either he left and nobody spoke with him, or they were connected and it ended; all legs gone either way."""
    call.refresh_from_db()
    offer = h.only_offer(call)
    entry = call.entries.get()
    assert not any(leg["is_alive"] for leg in house.sim("GET", "state")["legs"])
    assert entry.state == QueueEntry.State.ENDED
    if call.outcome == Call.Outcome.ABANDONED:
        assert (call.state, offer.state, entry.outcome) == ("abandoned", Offer.State.CALLER_LEFT, "abandoned")
        assert offer.connected_at is None
    else:
        assert (call.state, offer.state, entry.outcome) == ("closed", Offer.State.ENDED, "answered")
        assert offer.connected_at is not None
        assert offer.ended_at is not None
        assert offer.connected_at <= offer.ended_at
    return call.outcome


# two agents' answers -----------------------------------------------------------------------------------------


def test_two_agents_answer_at_once(line: Queue) -> None:
    """Each answer is applied by a worker of its own: one of them has the call, the other's leg is hung up, once."""
    Queue.objects.update(strategy="ring_all")
    names = {scene.agent(name, serves=line, address=f"sip:{name}@agents.example.com").name for name in ("anna", "bert")}
    winners = Counter[str]()
    for number in range(ANSWERS):
        call = scene.waiting(line, name=f"caller {number}")
        assert engine.route(line.pk, now=timezone.now()) == 2
        answers = [answered(offer) for offer in call.offers.all()]
        at_once(*[lambda pk=pk: inbox.apply(pk) for pk in answers])
        winner = call.offers.select_related("leg", "agent").get(state__in=Offer.WON)
        loser = call.offers.select_related("leg", "agent").exclude(pk=winner.pk).get()
        assert (winner.state, loser.state) == (Offer.State.CONNECTING, Offer.State.SUPERSEDED)
        assert [hang_ups(leg) for leg in (loser.leg, winner.leg, call.leg)] == [1, 0, 0]
        states = dict(Agent.objects.values_list("name", "state"))
        assert states == {winner.agent.name: Agent.State.RESERVED, loser.agent.name: Agent.State.AVAILABLE}
        mirror.leg_fact(call.leg, "hangup_at", timezone.now(), hangup_cause="normal_clearing")
        engine.settle(call.pk, now=timezone.now())
        assert [hang_ups(leg) for leg in (loser.leg, winner.leg)] == [1, 1]
        for leg in CallLeg.objects.filter(call_id=call.pk, role="agent"):  # both phones are quiet, and may ring again
            mirror.leg_fact(leg, "hangup_at", timezone.now(), hangup_cause="normal_clearing")
        engine.settle(call.pk, now=timezone.now())
        winners[winner.agent.name] += 1
    assert set(winners) == names, "always the same is no race"
    assert not Offer.objects.live().exists()


def answered(offer: Offer) -> int:
    """The offer's phone rings, and its answer is stored, to be applied."""
    leg = mirror.note_leg(f"phone of {offer.pk}", direction="outgoing")
    mirror.leg_fact(leg, "initiated_at", timezone.now())
    services.agent_leg_known(offer, leg)
    words = {"call_control_id": leg.call_control_id}
    event = Event(id=str(uuid4()), event_type="call.answered", occurred_at=timezone.now(), payload=words)
    assert inbox.store(event, received_at=timezone.now())
    return WebhookEvent.objects.get(event_id=event.id).pk


def hang_ups(leg: CallLeg | None) -> int:
    assert leg is not None
    return Command.objects.filter(kind="hang_up", target=leg.call_control_id).count()


def test_who_answers_second_is_hung_up_at_telnyx(house: h.House) -> None:
    """The same from the first ring to the last hang-up: the caller talks with the one, the other's phone is silent."""
    support = h.queue(greeting_text="", strategy="ring_all")
    for name in ("anna", "bert"):
        house.phone(h.agent(name, support).address, on_ring="answer", after_secs=1)
    for _ in range(TIMES // 10):
        call = house.ring()
        house.until(lambda call=call: call.offers.filter(state=Offer.State.RINGING).count() == 2)
        house.sim("POST", "gates", {"event_type": "call.answered"})
        house.simulator.advance(1)
        let_go(house)
        house.advance(0.5)
        talking = call.offers.select_related("leg").get(state=Offer.State.CONNECTED)
        assert talking.leg is not None
        alive = {leg["call_control_id"] for leg in house.sim("GET", "state")["legs"] if leg["is_alive"]}
        assert alive == {call.leg.call_control_id, talking.leg.call_control_id}
        house.hang_up(call.leg)
        assert set(Agent.objects.values_list("state", flat=True)) == {Agent.State.AVAILABLE}
        house.check()


# two supervisors' clicks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("_", range(3))
def test_two_supervisors_take_a_call_over_at_once(house: h.House, _: int) -> None:
    """One has it; the other is told whose it is now, and stays as he was."""
    support = h.queue()
    h.agent("anna", support)
    people = [h.supervisor("sue"), h.supervisor("tom")]
    call = house.ring()
    house.until(call.offers.filter(state=Offer.State.CONNECTED).exists)
    for person in people:
        supervision.supervise(call.pk, Mode.MONITOR, h.request(person, house))
    listening = SupervisionSession.objects.filter(call_id=call.pk, state=SupervisionSession.State.ACTIVE)
    house.until(lambda: listening.count() == 2)
    seat = Participant.objects.filter(leg__call_id=call.pk).first()
    assert seat is not None
    path = f"/api/v1/conferences/{seat.conference_id}/take_over"
    clicks = [partial(clients.session(person).post, path) for person in people]

    answers = {person.username: answer for person, answer in zip(people, at_once(*clicks), strict=True)}
    [winner] = [name for name, answer in answers.items() if answer.status_code == 202]
    [loser] = answers.keys() - {winner}
    said = answers[loser].json()
    assert answers[loser].status_code == 409
    assert (said["code"], said["detail"]) == ("taken_over", f"{winner} has taken this call over already.")
    house.advance(2)
    roles = dict(listening.values_list("supervisor__username", "role"))
    assert roles == {winner: Mode.TAKEOVER, loser: Mode.MONITOR}
    taken = AuditEntry.objects.filter(action="takeover", call_id=call.pk).values_list("user__username", "allowed")
    assert sorted(taken) == sorted([(winner, True), (loser, False)])
    agrees(house)
    house.check()


@pytest.mark.parametrize("_", range(3))
def test_a_supervisor_listens_to_two_calls_at_once(house: h.House, _: int) -> None:
    """In two windows: one of them is told that he is on the other's call, and his phone rings once."""
    support = h.queue()
    sue = h.supervisor("sue")
    calls = []
    for name in ("anna", "ben"):
        h.agent(name, support)
        calls.append(call := house.ring())
        house.until(call.offers.filter(state=Offer.State.CONNECTED).exists)
    seats = [Participant.objects.get(leg=call.leg) for call in calls]
    clicks = [partial(clients.session(sue).post, f"/api/v1/conferences/{seat.conference_id}/monitor") for seat in seats]

    answers = at_once(*clicks)
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    [refused] = [answer.json()["code"] for answer in answers if answer.status_code == 409]
    assert refused == "on_another_call"
    house.advance(3)
    assert SupervisionSession.objects.get().state == SupervisionSession.State.ACTIVE
    assert Command.objects.filter(kind="dial_supervisor").count() == 1
    house.check()
