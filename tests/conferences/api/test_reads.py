"""Conferences, participants and recordings as clients read them."""

from typing import Any

import pytest
from django.utils import timezone

from conferences.api.fields import masked
from conferences.models import Conference, Participant, Role
from tests.callcenter import clients
from tests.queues import scene

pytestmark = pytest.mark.django_db


def get(path: str, *scopes: str) -> Any:
    answer = clients.key(*scopes).get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.mark.parametrize(("path", "scope"), [("conferences", "conferences:read"), ("recordings", "recordings:read")])
def test_each_list_needs_its_own_scope(path: str, scope: str) -> None:
    others = {"conferences:read", "conferences:write", "recordings:read", "pii:read", "calls:read"} - {scope}
    refused = clients.key(*others).get(f"/api/v1/{path}")
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    assert clients.key(scope).get(f"/api/v1/{path}").status_code == 200


def test_a_conference() -> None:
    call = scene.talking(scene.queue())
    conference = scene.conference_of(call)
    seen = get(f"conferences/{conference.pk}", "conferences:read")
    assert (seen["id"], seen["call"], seen["status"]) == (str(conference.pk), str(call.pk), "in_progress")
    assert (seen["recording_state"], seen["floor"]) == ("off", str(call.leg_id))


def test_which_conferences() -> None:
    support = scene.queue()
    one, other = scene.talking(support, name="one"), scene.talking(support, name="other")
    Conference.objects.filter(call_id=other.pk).update(ended_at=timezone.now())

    def found(query: str) -> list[str]:
        return [seen["call"] for seen in get(f"conferences?{query}", "conferences:read")["results"]]

    assert found(f"call={one.pk}") == [str(one.pk)]
    assert found("status=in_progress") == [str(one.pk)]
    assert found("status=completed") == [str(other.pk)]
    assert found("status=init") == []


def test_who_is_in_it() -> None:
    call = scene.talking(scene.queue())
    ear = scene.listening(call, "whisper")
    agent = scene.seat(call, Role.AGENT)
    Participant.objects.filter(pk=agent.pk).update(muted=True, on_hold=True)
    seats = get(f"conferences/{ear.conference_id}/participants", "conferences:read")["results"]
    seen = {seat["role"]: seat for seat in seats}
    assert set(seen) == {"customer", "agent", "supervisor"}
    assert (seen["agent"]["muted"], seen["agent"]["on_hold"], seen["customer"]["muted"]) == (True, True, False)
    assert (seen["supervisor"]["supervisor_role"], seen["supervisor"]["whispers_to"]) == (
        "whisper",
        [str(agent.leg_id)],
    )
    assert seen["customer"]["leg"] == str(call.leg_id)
    one = get(f"conferences/{ear.conference_id}/participants/{ear.pk}", "conferences:read")
    assert one == seen["supervisor"]


def test_who_was_in_it() -> None:
    call = scene.talking(scene.queue())
    agent = scene.seat(call, Role.AGENT)
    Participant.objects.filter(pk=agent.pk).update(left_at=timezone.now())
    path = f"conferences/{agent.conference_id}/participants"
    assert [seat["role"] for seat in get(f"{path}?present=true", "conferences:read")["results"]] == ["customer"]
    assert [seat["role"] for seat in get(f"{path}?present=false", "conferences:read")["results"]] == ["agent"]


def test_a_participant_is_found_in_his_own_conference_only() -> None:
    support = scene.queue()
    one, other = scene.talking(support, name="one"), scene.talking(support, name="other")
    stranger = scene.seat(other, Role.AGENT)
    client = clients.key("conferences:read")
    path = f"/api/v1/conferences/{scene.conference_of(one).pk}/participants/{stranger.pk}"
    assert client.get(path).status_code == 404


def test_a_recording_without_its_sound() -> None:
    call = scene.talking(scene.queue())
    row = scene.recording(call)
    (seen,) = get(f"recordings?call={call.pk}", "recordings:read")["results"]
    assert seen == {
        "id": str(row.pk),
        "call": str(call.pk),
        "conference": str(row.conference_id),
        "source": "conference",
        "channels": "dual",
        "recording_started_at": "2026-03-02T10:00:00Z",
        "recording_ended_at": "2026-03-02T10:01:01Z",
        "duration_secs": 61,
    }


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+442071838750", "+4420****8750"),
        ("+12025550123", "+1202****0123"),
        ("+4420718", "****"),  # too short to hide anything in
        ("sip:anna@agents.example.com", "sip:****@agents.example.com"),
        ("anonymous", "****"),
        ("Anna Smith <+442071838750>", "****"),
        ("", ""),
    ],
)
def test_masks(number: str, shown: str) -> None:
    assert masked(number) == shown
