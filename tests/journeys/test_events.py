"""Each event of Telnyx's family of sixteen, from what brought it about to the row it writes, by its words."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from callcenter import wiring
from callcenter.simulator import queueing
from conferences.models import CallLeg, Conference, Participant, Recording
from queues.models import Call, Offer, Queue, QueueEntry
from tests.callcenter import clients
from tests.journeys import house as h
from tests.journeys.ears import leg_of, token
from tests.journeys.mirror import agrees
from webhooks import inbox, nudge
from webhooks.models import Command, WebhookEvent
from webhooks.telnyx.events import parse_instant

pytestmark = pytest.mark.django_db(transaction=True)

FILE = "https://media.example.com/file.mp3?secs=4"
EVERYONE = {"everyone": True}
Words = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One event as the simulator knows it and as our inbox has kept it."""

    at: datetime
    payload: Words
    row: WebhookEvent

    @property
    def leg(self) -> CallLeg:
        return CallLeg.objects.get(call_control_id=self.payload["call_control_id"])

    @property
    def conference(self) -> Conference:
        return Conference.objects.get(conference_id=self.payload["conference_id"])

    @property
    def participant(self) -> Participant:
        return Participant.objects.get(leg=self.leg, conference=self.conference)


class Scene:
    """A caller, anna to talk to, and a program that asks for things over our API."""

    def __init__(self, house: h.House) -> None:
        self.house = house
        self.queue = h.queue(record=Queue.Record.ON_DEMAND)
        self.client = clients.key()
        self.call: Call
        self._expected: set[str] = set()

    def waits(self) -> None:
        self.call = self.house.ring()
        self.house.until(lambda: QueueEntry.objects.filter(telnyx_enqueued_at__isnull=False).exists())

    def talks(self) -> None:
        h.agent("anna", self.queue)
        self.waits()
        self.house.until(lambda: Offer.objects.filter(state=Offer.State.CONNECTED).exists())
        self.house.advance(1)

    def ask(self, path: str, words: Words | None = None) -> None:
        """Over our API; what follows is the real stack's."""
        answer = self.client.post(f"/api/v1/{path}", words or {})
        assert answer.status_code == 202, answer.json()
        self.house.work()

    def conversation(self, verb: str, words: Words | None = None) -> None:
        self.ask(f"conferences/{Conference.objects.get().pk}/{verb}", words)

    def anna(self) -> Words:
        return {"participants": [str(leg_of(self.house, "anna").pk)]}

    def told(self, event_type: str, *, of: CallLeg | None = None) -> Told:
        """The newest of its kind (and leg): told by the simulator, delivered signed, stored as told, applied."""
        event = [
            each
            for each in self.house.ask("GET", "events?after=0")["events"]
            if each["event_type"] == event_type and (of is None or each["call_control_id"] == of.call_control_id)
        ][-1]
        parcels = [
            parcel
            for parcel in self.house.ask("GET", "deliveries")["deliveries"]
            if parcel["event_id"] == event["id"] and parcel["status"] == "delivered"
        ]
        assert [attempt["status"] for attempt in parcels[0]["attempts"]] == [200]
        row = WebhookEvent.objects.get(event_id=event["id"])
        assert (row.event_type, row.payload, row.status) == (event_type, event["payload"], WebhookEvent.Status.DONE)
        at = parse_instant(event["occurred_at"])
        assert at is not None
        assert row.occurred_at == at
        return Told(at, event["payload"], row)


# what brings each about, and what it writes ------------------------------------------------------------------


def enqueued(scene: Scene) -> None:
    scene.waits()
    told = scene.told("call.enqueued")
    assert told.leg == scene.call.leg
    assert told.leg.enqueued_at == told.at
    assert told.leg.state == "queued"
    entry = QueueEntry.objects.get()
    assert entry.telnyx_enqueued_at == told.at
    queue = Queue.objects.get(name=told.payload["queue"])
    assert queue == entry.queue
    assert queue.current_size == told.payload["current_position"]
    assert queue.average_wait_time_secs == told.payload["queue_avg_wait_time_secs"]
    assert queue.mirrored_at is not None


def dequeued(scene: Scene) -> None:
    scene.waits()
    scene.ask(f"calls/{scene.call.pk}/leave_queue", {"then": "speak_and_hangup"})
    told = scene.told("call.dequeued")
    assert (told.leg.dequeued_at, told.leg.dequeue_reason) == (told.at, told.payload["reason"])
    assert told.leg.state == "answered"
    entry = QueueEntry.objects.get()
    assert (entry.telnyx_dequeued_at, entry.dequeue_reason) == (told.at, "leave")


def created(scene: Scene) -> None:
    scene.waits()
    scene.ask("conferences", {"call": str(scene.call.pk)})
    told = scene.told("conference.created")
    made = told.conference
    assert (made.created_at, made.call_id, made.connection_id) == (
        told.at,
        scene.call.pk,
        told.payload["connection_id"],
    )
    (truth,) = scene.house.ask("GET", "state")["conferences"]
    assert (made.name, made.region) == (truth["name"], truth["region"])


def ended(scene: Scene) -> None:
    scene.talks()
    scene.conversation("end")
    told = scene.told("conference.ended")
    assert (told.conference.ended_at, told.conference.end_reason) == (told.at, told.payload["reason"])
    assert told.conference.status == Conference.Status.COMPLETED
    assert not Participant.objects.present().exists()


def floor_changed(scene: Scene) -> None:
    scene.talks()
    scene.house.sim("POST", f"calls/{token(scene.house, 'anna')}/talk", {"secs": 2})
    scene.house.work()
    told = scene.told("conference.floor.changed")
    assert told.leg == leg_of(scene.house, "anna")
    assert told.conference.floor_call_control_id == told.payload["call_control_id"]
    assert told.conference.floor_changed_at == told.at


def joined(scene: Scene) -> None:
    scene.talks()
    told = scene.told("conference.participant.joined")
    assert told.leg == leg_of(scene.house, "anna")
    assert told.participant.joined_at == told.at
    assert told.participant.is_present
    assert Participant.objects.present().count() == 2


def left(scene: Scene) -> None:
    scene.talks()
    scene.conversation("leave", {"then": "requeue"})
    told = scene.told("conference.participant.left", of=scene.call.leg)
    assert told.participant.left_at == told.at
    assert not told.participant.is_present
    assert told.leg.hangup_at is None


def sounds(verb: str, words: Words, kind: str, *, to_all: bool, ends: bool) -> Callable[[Scene], None]:
    """Played or spoken to everyone or to anna, told at its beginning or its end."""
    event_type = f"conference.{'' if to_all else 'participant.'}{kind}.{'ended' if ends else 'started'}"

    def run(scene: Scene) -> None:
        scene.talks()
        scene.conversation(verb, words | (EVERYONE if to_all else scene.anna()))
        began = scene.house.now
        if ends:
            scene.house.advance(6)
        told = scene.told(event_type)
        row: Any = told.conference if to_all else told.participant
        assert getattr(row, f"{kind}_{'ended' if ends else 'started'}_at") == told.at
        assert getattr(row, f"{kind}_started_at") == began
        assert (getattr(row, f"{kind}_ended_at") is not None) == ends
        if to_all:
            assert "call_control_id" not in told.payload
        else:
            assert told.leg == leg_of(scene.house, "anna")
        if kind == "playback":
            assert told.payload["media_url"] == FILE
        assert told.row.call_id == scene.call.pk

    return run


def saved(scene: Scene) -> None:
    scene.talks()
    scene.conversation("record_start")
    scene.house.advance(7)
    scene.conversation("record_stop")
    told = scene.told("conference.recording.saved")
    recording = Recording.objects.get()
    assert recording.recording_id == recording.key == told.payload["recording_id"]
    assert (recording.conference, recording.call_id) == (told.conference, scene.call.pk)
    assert (recording.source, recording.channels) == (Recording.Source.CONFERENCE, told.payload["channels"])
    assert recording.recording_started_at == parse_instant(told.payload["recording_started_at"])
    assert recording.recording_ended_at == parse_instant(told.payload["recording_ended_at"]) == told.at
    assert recording.duration_secs == 7
    assert recording.recording_urls == told.payload["recording_urls"]


PLAY, SPEAK = {"audio_url": FILE, "loop": 1}, {"text": "One moment, please."}

EVENTS: dict[str, Callable[[Scene], None]] = {
    "call.enqueued": enqueued,
    "call.dequeued": dequeued,
    "conference.created": created,
    "conference.ended": ended,
    "conference.floor.changed": floor_changed,
    "conference.participant.joined": joined,
    "conference.participant.left": left,
    "conference.participant.playback.started": sounds("play", PLAY, "playback", to_all=False, ends=False),
    "conference.participant.playback.ended": sounds("play", PLAY, "playback", to_all=False, ends=True),
    "conference.participant.speak.started": sounds("speak", SPEAK, "speak", to_all=False, ends=False),
    "conference.participant.speak.ended": sounds("speak", SPEAK, "speak", to_all=False, ends=True),
    "conference.playback.started": sounds("play", PLAY, "playback", to_all=True, ends=False),
    "conference.playback.ended": sounds("play", PLAY, "playback", to_all=True, ends=True),
    "conference.speak.started": sounds("speak", SPEAK, "speak", to_all=True, ends=False),
    "conference.speak.ended": sounds("speak", SPEAK, "speak", to_all=True, ends=True),
    "conference.recording.saved": saved,
}


def test_the_table_is_the_whole_family() -> None:
    """The sixteen the issue names, each with a handler of ours, and no conference event besides."""
    assert len(EVENTS) == 16
    queue_and_conference = {
        name for name in wiring.EVENTS if name.startswith("conference.") or name in ("call.enqueued", "call.dequeued")
    }
    assert set(EVENTS) == queue_and_conference


@pytest.fixture
def scene(house: h.House) -> Scene:
    return Scene(house)


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_and_the_row_it_writes(scene: Scene, event_type: str) -> None:
    EVENTS[event_type](scene)
    agrees(scene.house)
    scene.house.check()


@pytest.mark.parametrize("fault", ["duplicate", "duplicate_new_id"])
@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_that_comes_twice_writes_what_it_wrote(scene: Scene, event_type: str, fault: str) -> None:
    scene.house.sim("PUT", "faults", {fault: {"share": 1.0, "match": {"event_type": event_type}}})
    EVENTS[event_type](scene)
    assert scene.house.sim("GET", "faults")["injected"][fault] > 0
    agrees(scene.house)
    scene.house.check()


# why a caller left the queue, and why a conference ended -----------------------------------------------------


def leaves(scene: Scene) -> None:
    scene.waits()
    scene.ask(f"calls/{scene.call.pk}/leave_queue", {"then": "speak_and_hangup"})


def hangs_up(scene: Scene) -> None:
    scene.waits()
    scene.house.hang_up(scene.call.leg)


def bridged_otherwise(scene: Scene) -> None:
    scene.house.sim("PUT", "switches", {"dequeue_reason_on_conference": "bridging-in-process"})
    scene.talks()


def times_out(scene: Scene) -> None:
    """Telnyx's own limit, a minute behind ours: it takes nobody out of our line."""
    scene.waits()
    world = scene.house.simulator.world
    with world.step():
        queueing.dequeue(world, world.legs[scene.call.leg.call_control_id], "timeout")
    scene.house.work()
    assert QueueEntry.objects.get().state == QueueEntry.State.WAITING
    assert scene.house.media(scene.call.leg) == ["playback"]


REASONS: dict[str, Callable[[Scene], None]] = {
    "bridged": Scene.talks,
    "bridging-in-process": bridged_otherwise,
    "hangup": hangs_up,
    "leave": leaves,
    "timeout": times_out,
}


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_for_leaving_the_queue_is_kept(scene: Scene, reason: str) -> None:
    REASONS[reason](scene)
    told = scene.told("call.dequeued")
    assert told.payload["reason"] == reason
    entry = QueueEntry.objects.get()
    assert (told.leg.dequeue_reason, entry.dequeue_reason) == (reason, reason)
    assert entry.telnyx_dequeued_at == told.at
    scene.house.check()


def over(scene: Scene) -> bool:
    return Conference.objects.filter(ended_at__isnull=False).exists()


@pytest.mark.parametrize("reason", ["all_left", "host_left", "ended_via_api"])
def test_every_reason_for_the_end_of_a_conference_is_kept(scene: Scene, reason: str) -> None:
    """Known to Telnyx's events or only to its resource: no reason is refused."""
    scene.house.sim("PUT", "switches", {"ended_via_api_reason": reason})
    scene.talks()
    scene.conversation("end")
    told = scene.told("conference.ended")
    assert told.payload["reason"] == reason
    assert told.conference.end_reason == reason
    scene.house.check()


# the floor ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enveloped", [True, False], ids=["in its envelope", "flat"])
def test_the_floor_moves_from_speaker_to_speaker(scene: Scene, enveloped: bool) -> None:
    bodies: list[Words] = []
    post = scene.house.simulator.delivery.post

    def listen(url: str, body: bytes, headers: Any) -> int:
        bodies.append(json.loads(body))
        return post(url, body, headers)

    scene.house.simulator.delivery.post = listen
    scene.house.sim("PUT", "switches", {"floor_changed_enveloped": enveloped})
    scene.talks()
    bodies.clear()
    for name in ("caller", "anna", "caller"):
        scene.house.advance(1)
        scene.house.sim("POST", f"calls/{token(scene.house, name)}/talk", {"secs": 1})
        scene.house.work()
        assert ("data" in bodies[-1]) == enveloped
        conference = Conference.objects.get()
        assert conference.floor_call_control_id == token(scene.house, name)
        assert conference.floor_changed_at == scene.house.now
        (truth,) = scene.house.ask("GET", "state")["conferences"]
        assert truth["floor_call_control_id"] == conference.floor_call_control_id
    assert WebhookEvent.objects.filter(event_type="conference.floor.changed", status="done").count() == 3
    scene.house.check()


def test_a_late_word_about_the_floor_does_not_take_it_back(scene: Scene) -> None:
    scene.talks()
    caller, anna = token(scene.house, "caller"), token(scene.house, "anna")
    gate = scene.house.sim("POST", "gates", {"event_type": "conference.floor.changed", "leg": caller})["id"]
    for leg in (caller, anna):
        scene.house.sim("POST", f"calls/{leg}/talk", {"secs": 1})
        scene.house.advance(1)
    at = Conference.objects.get().floor_changed_at
    scene.house.sim("DELETE", f"gates/{gate}")
    scene.house.advance(1)
    conference = Conference.objects.get()
    assert (conference.floor_call_control_id, conference.floor_changed_at) == (anna, at)
    assert WebhookEvent.objects.filter(event_type="conference.floor.changed", status="done").count() == 2


def test_a_floor_of_a_conference_we_have_not_heard_of_is_kept(scene: Scene) -> None:
    gates = [
        scene.house.sim("POST", "gates", {"event_type": event_type})["id"]
        for event_type in ("conference.created", "conference.participant.joined")
    ]
    scene.house.sim(
        "PUT", "faults", {"api_timeout_after_effect": {"share": 1, "match": {"operation": "conferences.create"}}}
    )
    h.agent("anna", scene.queue)
    scene.waits()
    scene.house.until(lambda: scene.house.ask("GET", "state")["conferences"] != [])
    assert not Conference.objects.exists()
    caller = token(scene.house, "caller")
    world = scene.house.simulator.world
    (conference_id,) = world.conferences
    world.conferences[conference_id].started = True
    scene.house.sim("POST", f"calls/{caller}/talk", {"secs": 1})
    scene.house.work()
    conference = Conference.objects.get()
    assert (conference.conference_id, conference.floor_call_control_id) == (conference_id, caller)
    for gate in gates:
        scene.house.sim("DELETE", f"gates/{gate}")
    scene.house.work()
    assert Conference.objects.get().created_at is not None


def test_the_floor_costs_one_conditional_update_and_no_routing(scene: Scene) -> None:
    """It comes at every change of speaker."""
    scene.talks()
    scene.house.sim("POST", f"calls/{token(scene.house, 'anna')}/talk", {"secs": 1})
    nudged: list[str] = []
    before = Command.objects.count()
    sink = nudge.set_sink(lambda task, ident: nudged.append(task))
    try:
        scene.house.simulator.drain()
        assert nudged == ["webhooks.apply"]
        event = WebhookEvent.objects.get(event_type="conference.floor.changed")
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert inbox.apply(event.pk, now=scene.house.now)
    finally:
        nudge.set_sink(sink)
    sql = [query["sql"] for query in captured.captured_queries]
    (update,) = [each for each in sql if "conferences_conference" in each]
    assert update.startswith("UPDATE")
    assert "floor_changed_at" in update.partition("WHERE")[2]
    changed = {each.split()[1].strip('"') for each in sql if each.startswith(("UPDATE", "INSERT"))}
    assert changed == {"conferences_conference", "webhooks_webhookevent"}
    assert nudged == ["webhooks.apply"]
    assert Command.objects.count() == before
