"""How a leg is to be in a conference, and the dial that goes straight into one."""

from collections.abc import Mapping
from typing import Any

from callcenter.simulator import conferencing, endings, errors
from callcenter.simulator.model import Conference, Leg
from callcenter.simulator.world import World


def stay(body: Mapping[str, Any]) -> dict[str, Any]:
    """How a leg is to be in the conference, from a join's body or a dial's ``conference_config``."""
    return {
        "mute": body.get("mute") is True,
        "hold": body.get("hold") is True,
        "hold_media": conferencing.as_hold_media(dict(body), "hold_audio_url", "hold_media_name"),
        "supervisor_role": body.get("supervisor_role") or "none",
        "whisper_call_control_ids": body.get("whisper_call_control_ids") or (),
        "start_conference_on_enter": body.get("start_conference_on_enter") is True,
        "end_conference_on_exit": body.get("end_conference_on_exit") is True,
        "soft_end_conference_on_exit": body.get("soft_end_conference_on_exit") is True,
        "beep_enabled": body.get("beep_enabled"),
    }


def check_config(world: World, config: Mapping[str, Any]) -> None:
    """Whether a dial's ``conference_config`` names something there is or can be. Raises ApiError."""
    if config.get("id") is not None and config["id"] not in world.conferences:
        raise errors.refusal("90058")
    if config.get("id") is None and not config.get("conference_name"):
        raise errors.refusal("10004", "conference_name", pointer="/conference_config/conference_name")


def enter_by_config(world: World, leg: Leg, config: Mapping[str, Any]) -> None:
    """On the answer, or on ringback when early media is wanted; a conference of that name is made if need be."""

    def enter() -> None:
        conference = _of_config(world, config)
        if conference is None and leg.is_answered:
            conferencing.create(
                world,
                leg,
                name=str(config["conference_name"]),
                client_state=leg.client_state,
                region=conferencing.DEFAULT_REGION,
                max_participants=conferencing.DEFAULT_MAX_PARTICIPANTS,
                beep_enabled=config.get("beep_enabled") or "never",
                started=config.get("start_conference_on_create") is not False,
                hold_media=conferencing.as_hold_media(dict(config), "hold_audio_url", "hold_media_name"),
                duration_minutes=None,
            )
        elif conference is not None and leg.participant is None:
            try:
                conferencing.check_join(conference, leg)
            except errors.ApiError:
                endings.hang_up(world, leg, "normal_clearing")
            else:
                conferencing.join(world, conference, leg, **stay(config))

    leg.on_answer.append(enter)
    if config.get("early_media") is not False and _of_config(world, config) is not None:
        enter()


def _of_config(world: World, config: Mapping[str, Any]) -> Conference | None:
    if config.get("id") is not None:
        return world.conferences.get(config["id"])
    return world.active_conferences.get(str(config.get("conference_name")))
