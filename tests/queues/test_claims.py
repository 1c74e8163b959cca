"""What a pass decided, and how much of it the rows still allow when it claims."""

import importlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from conferences import services as mirror
from conferences.models import CallLeg
from queues import engine, services
from queues.engine.agents import DIAL_CLEARS, LINE_CLEARS
from queues.engine.limits import RING_GRACE
from queues.models import Agent, Call, Offer, Queue, QueueEntry, QueueMembership, RoutingPass
from tests.queues import scene
from webhooks.models import Command, JournalEntry

pytestmark = pytest.mark.django_db

passes = importlib.import_module("queues.engine.route")  # ``engine.route`` is the function


def test_a_call_that_cannot_be_offered_holds_up_nobody_else() -> None:
    """A caller is on his way back into line and still talks, for as long as Telnyx takes to move him."""
    support, sales = scene.queue("support"), scene.queue("sales")
    for name, queue in (("anna", support), ("bert", support), ("cleo", sales)):
        scene.agent(name, serves=queue)
    moving = scene.talking(support, name="moving")
    services.requeue(moving, now=timezone.now())
    moving.entries.filter(state="waiting").update(rank_at=timezone.now() - timedelta(hours=1))
    others = [scene.waiting(queue, name=queue.name) for queue in (support, sales)]
    assert engine.route_all(now=timezone.now()) == 2
    assert {offer.call_id for offer in Offer.objects.filter(state="pending")} == {call.pk for call in others}


def taken_by_another(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Somebody else is faster with these agents. Returns whom the passes went for, in order."""
    claim, asked = passes._offer, []

    def claim_too_late(entry_id: str, agent_id: str, *args: Any, **words: Any) -> None:
        agent = Agent.objects.get(pk=agent_id)
        asked.append(agent.name)
        if agent.name in names:
            Agent.objects.filter(pk=agent.pk).update(state=Agent.State.NOT_READY)
        claim(entry_id, agent_id, *args, **words)

    monkeypatch.setattr(passes, "_offer", claim_too_late)
    return asked


def test_who_was_too_late_decides_anew_and_nobody_loses_his_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    line: Queue = scene.queue(strategy="round_robin")
    for position in range(6):
        agent = scene.agent(f"agent {position}", available_since=timezone.now())
        QueueMembership.objects.create(agent=agent, queue=line, position=position)
    for number in range(3):
        scene.waiting(line, name=f"caller {number}", since=100 - number)
    asked = taken_by_another(monkeypatch, "agent 0")
    assert engine.route(line.pk, now=timezone.now()) == 3
    assert asked == [f"agent {position}" for position in range(4)]
    line.refresh_from_db()
    assert line.last_offered_position == 3


def test_of_several_who_would_ring_those_who_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    line = scene.queue(strategy="ring_all")
    for name in ("anna", "bert", "cleo"):
        scene.agent(name, serves=line)
    scene.waiting(line)
    taken_by_another(monkeypatch, "bert")
    assert engine.route(line.pk, now=timezone.now()) == 2
    assert {offer.agent.name for offer in Offer.objects.live()} == {"anna", "cleo"}


def test_a_pass_that_made_no_offer_leaves_no_state_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    line = scene.queue()
    scene.agent("anna", serves=line)
    call = scene.waiting(line)
    engine.route(line.pk, now=timezone.now())
    assert RoutingPass.objects.count() == 1
    Offer.objects.update(state="rescinded")
    Agent.objects.update(state="available", live_offer_id=None)
    call.entries.update(state="waiting")
    taken_by_another(monkeypatch, "anna")
    assert engine.route(line.pk, now=timezone.now()) == 0
    assert RoutingPass.objects.filter(decisions__isnull=True).count() == 0


# on a snapshot that time has overtaken ------------------------------------------------------------------------


def decided() -> Any:
    """The claims of a worker that has decided, and is about to make its offers."""
    now = timezone.now()
    return passes._Claims(*engine.decide(engine.Start(), now=now), now)


def rings(offer: Offer) -> CallLeg:
    leg = mirror.note_leg(f"phone of {offer.pk}", direction="outgoing")
    mirror.leg_fact(leg, "initiated_at", timezone.now())
    services.agent_leg_known(offer, leg)
    return leg


def answers(offer: Offer) -> None:
    mirror.leg_fact(rings(offer), "answered_at", timezone.now())
    engine.settle(offer.call_id, now=timezone.now())


def declines(offer: Offer) -> None:
    mirror.leg_fact(rings(offer), "hangup_at", timezone.now(), hangup_cause="user_busy")
    engine.settle(offer.call_id, now=timezone.now())


def made_late(claims: Any) -> int:
    """Offers made by a pass that begins with these claims, and decides anew if they come too late."""
    claims.run()
    again = engine.route_all(now=timezone.now()) if claims.was_late or claims.not_to_be_offered else 0
    return int(claims.made) + again


@pytest.mark.parametrize(
    "forgets",
    [
        pytest.param({}, id="while he cools down"),
        pytest.param({"ready_at": None}, id="once he has cooled down"),
    ],
)
def test_who_has_just_declined_a_call_is_not_rung_for_it_again(forgets: dict[str, Any]) -> None:
    line = scene.queue()
    scene.agent("anna", serves=line)
    scene.waiting(line)
    late = decided()
    assert engine.route(line.pk, now=timezone.now()) == 1
    declines(Offer.objects.get())
    Agent.objects.update(state=Agent.State.AVAILABLE, **forgets)
    assert made_late(late) == 0
    assert Offer.objects.get().state == Offer.State.DECLINED


def test_who_has_begun_to_cool_down_gets_no_other_call_either() -> None:
    line = scene.queue()
    scene.agent("anna", serves=line)
    entry = scene.waiting(line, name="first").entries
    late = decided()
    entry.update(state=QueueEntry.State.OFFERING)
    scene.waiting(line, name="second")
    assert engine.route(line.pk, now=timezone.now()) == 1
    declines(Offer.objects.get())
    entry.update(state=QueueEntry.State.WAITING)
    assert made_late(late) == 0


@pytest.mark.parametrize(
    "leaves",
    [
        pytest.param(lambda his: his.all().delete(), id="he serves it no more"),
        pytest.param(lambda his: his.update(paused=True), id="he is paused there"),
    ],
)
def test_who_no_longer_serves_the_queue_is_passed_over_for_the_next(leaves: Callable[[Any], object]) -> None:
    line = scene.queue()
    anna = scene.agent("anna", serves=line)
    scene.waiting(line)
    late = decided()
    leaves(anna.memberships)
    scene.agent("bert", serves=line)
    assert made_late(late) == 1
    assert Offer.objects.get().agent.name == "bert"
    anna.refresh_from_db()
    assert anna.state == Agent.State.AVAILABLE


@pytest.mark.parametrize("what", [Agent, Call], ids=["the agent", "the caller"])
def test_what_is_no_longer_there_at_all_holds_up_nobody_else(what: type[Agent] | type[Call]) -> None:
    support, sales = scene.queue("support", weight=1), scene.queue("sales")
    for queue in (support, sales):
        scene.agent(f"agent of {queue}", serves=queue)
        scene.waiting(queue, name=queue.name)
    late = decided()
    gone = Agent.objects.filter(name="agent of support") if what is Agent else Call.objects.filter(queue=support)
    gone.delete()
    assert made_late(late) == 1
    assert Offer.objects.get().agent.name == "agent of sales"


def of_three_who_ring_at_once(*, later: str) -> tuple[Queue, Any]:
    """A ring_all queue whose caller rings two; a worker has decided for all three, as ``later`` was free by then."""
    line = scene.queue(strategy="ring_all")
    for name in ("anna", "bert", "cleo"):
        scene.agent(name, serves=line, address=f"sip:{name}@agents.example.com")
    scene.waiting(line)
    late = decided()
    Agent.objects.filter(name=later).update(state=Agent.State.NOT_READY)
    assert engine.route(line.pk, now=timezone.now()) == 2
    Agent.objects.filter(name=later).update(state=Agent.State.AVAILABLE)
    return line, late


def test_no_more_phones_ring_for_a_call_that_somebody_has_won() -> None:
    _, late = of_three_who_ring_at_once(later="cleo")
    answers(Offer.objects.get(agent__name="anna"))
    assert made_late(late) == 0
    states = dict(Offer.objects.values_list("agent__name", "state"))
    assert states == {"anna": Offer.State.CONNECTING, "bert": Offer.State.SUPERSEDED}
    assert Command.objects.filter(kind="dial_agent").count() == 2


def test_whoever_is_free_a_moment_later_may_ring_with_the_rest() -> None:
    _, late = of_three_who_ring_at_once(later="cleo")
    assert made_late(late) == 1
    assert Offer.objects.live().count() == 3


def test_a_call_rings_one_phone_or_several_and_never_both_ways_at_once() -> None:
    line, rings_all = of_three_who_ring_at_once(later="cleo")
    Offer.objects.all().delete()
    Agent.objects.update(state=Agent.State.AVAILABLE, live_offer_id=None)
    QueueEntry.objects.update(state=QueueEntry.State.WAITING)
    Queue.objects.update(strategy="longest_idle")
    assert engine.route(line.pk, now=timezone.now()) == 1
    assert made_late(rings_all) == 0
    assert Offer.objects.get().exclusive
    assert Agent.objects.filter(state=Agent.State.RESERVED).count() == 1


def in_turn(count: int) -> Queue:
    line: Queue = scene.queue(strategy="round_robin")
    for position in range(count):
        agent = scene.agent(f"agent {position}", available_since=timezone.now())
        QueueMembership.objects.create(agent=agent, queue=line, position=position)
    return line


def test_a_worker_behind_the_round_robin_decides_anew_rather_than_set_it_back() -> None:
    line = in_turn(6)
    first, agent = scene.waiting(line, name="first").entries, Agent.objects.filter(name="agent 0")
    late = decided()
    first.update(state=QueueEntry.State.OFFERING)
    agent.update(state=Agent.State.NOT_READY)
    for name in ("second", "third"):
        scene.waiting(line, name=name)
    assert engine.route(line.pk, now=timezone.now()) == 2
    first.update(state=QueueEntry.State.WAITING)
    agent.update(state=Agent.State.AVAILABLE)
    assert made_late(late) == 1
    assert sorted(Offer.objects.values_list("agent__name", flat=True)) == ["agent 1", "agent 2", "agent 3"]
    line.refresh_from_db()
    assert line.last_offered_position == 3


def test_a_worker_that_dies_has_moved_the_round_robin_as_far_as_it_made_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    line = in_turn(4)
    for number in range(3):
        scene.waiting(line, name=f"caller {number}")
    claim, claimed = passes._offer, []

    def claim_two_and_die(*args: Any, **words: Any) -> None:
        if len(claimed) == 2:
            raise KeyboardInterrupt
        claimed.append(claim(*args, **words))

    monkeypatch.setattr(passes, "_offer", claim_two_and_die)
    with pytest.raises(KeyboardInterrupt):
        engine.route(line.pk, now=timezone.now())
    line.refresh_from_db()
    assert (Offer.objects.count(), line.last_offered_position) == (2, 1)


def test_an_offer_begins_after_the_one_before_it_though_its_pass_began_earlier() -> None:
    """A pass waits for the call's lock while the offer ends that it then follows."""
    line = scene.queue()
    anna, now = scene.agent("anna", serves=line), timezone.now()
    call = scene.waiting(line)
    until = now + timedelta(seconds=0.5)
    Offer.objects.create(
        call=call,
        entry=call.entries.get(),
        agent=scene.agent("bert"),
        state="timed_out",
        offered_at=now,
        ended_at=until,
    )
    assert engine.route(line.pk, now=now) == 1
    offer = Offer.objects.get(agent=anna)
    assert offer.offered_at == until
    # The end is Telnyx's word: no clock of its puts our deadline off.
    assert offer.expires_at == now + timedelta(seconds=line.ring_secs) + RING_GRACE


def test_an_offer_begins_after_its_agent_was_given_back_though_its_pass_began_earlier() -> None:
    line, now = scene.queue(), timezone.now()
    given_back = now + timedelta(seconds=0.5)
    anna = scene.agent("anna", serves=line, state_since=given_back)
    call = scene.waiting(line)
    assert engine.route(line.pk, now=now) == 1
    offer = Offer.objects.get(agent=anna)
    assert offer.offered_at == given_back
    assert offer.expires_at == given_back + timedelta(seconds=line.ring_secs) + RING_GRACE
    anna.refresh_from_db()
    assert anna.state_since == given_back
    assert JournalEntry.objects.get(call_id=call.pk, kind="offered").at == given_back


@pytest.mark.parametrize(
    ("state", "code", "shortens"),
    [
        (Command.State.ACCEPTED, "", True),
        (Command.State.REJECTED, "90018", True),
        (Command.State.REJECTED, "lost", False),
    ],
    ids=["accepted", "over already", "nobody answered"],
)
def test_only_a_hang_up_that_telnyx_has_taken_shortens_the_time_a_phone_is_let_be(
    state: str, code: str, shortens: bool
) -> None:
    call = scene.talking(scene.queue(wrap_up_secs=0))
    offer, now = call.offers.get(), timezone.now()
    mirror.leg_fact(call.leg, "hangup_at", now, hangup_cause="normal_clearing", hangup_source="caller")
    engine.settle(call.pk, now=now)
    assert Agent.objects.get().ready_at == now + DIAL_CLEARS
    closed_at = now + timedelta(seconds=1)
    assert offer.leg is not None
    ordered = Command.objects.filter(kind="hang_up", target=offer.leg.call_control_id)
    assert ordered.update(state=state, code=code, closed_at=closed_at) == 1
    engine.settle(call.pk, now=closed_at)
    quiet = closed_at + LINE_CLEARS if shortens else now + DIAL_CLEARS
    assert Agent.objects.get().ready_at == quiet


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_would_be_let_go_at_once_is_none() -> None:
    with pytest.raises(AssertionError):
        Call.objects.lock(uuid.uuid4())
