"""What the buttons do: each POST is one verb of queues.supervision, and its answer is a message.

Permission, scope and state are the service's to check; a refusal is said, not raised. ``token`` comes from the
form that was shown, so that a double click is one action.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from conferences.models import SupervisionSession
from queues import supervision
from queues.errors import QueueError, WrongWords
from queues.models import Agent
from queues.supervision import Actor, Request
from webhooks.admin import as_uuid

MOST_SPOKEN = 3000
LONGEST_REASON = 500

Act = Callable[[uuid.UUID, Request, QueryDict], str]


@dataclass(frozen=True, slots=True)
class _OnTalkers:
    """A verb about chosen participants, or about everyone who is no supervisor; the form says which."""

    do: Callable[..., None]
    done: str

    def __call__(self, call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
        legs = [_leg(text) for text in form.getlist("leg") if text]
        self.do(call_id, asked, legs=legs, everyone=form.get("everyone") == "1")
        return self.done


@dataclass(frozen=True, slots=True)
class _Simply:
    """A verb about the whole conversation."""

    do: Callable[..., None]
    done: str

    def __call__(self, call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
        self.do(call_id, asked)
        return self.done


@dataclass(frozen=True, slots=True)
class _Listen:
    mode: str

    def __call__(self, call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
        session = supervision.supervise(call_id, self.mode, asked)
        if session.state in (SupervisionSession.State.DIALING, SupervisionSession.State.CONFIRMING):
            return f"Your phone is rung; you join as soon as you answer. Role: {session.get_role_display()}."
        return f"Your role is being switched to {session.get_role_display()}."


def _take_over(call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
    supervision.take_over(call_id, asked)
    return "The call is yours; the agent leaves it."


def _stop(call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
    supervision.stop_supervising(call_id, asked)
    return "You have left the conversation."


def _speak(call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
    text = form.get("text", "").strip()
    if not 1 <= len(text) <= MOST_SPOKEN:
        raise WrongWords("text_required", f"Write what is to be spoken, 1 to {MOST_SPOKEN} characters.")
    supervision.speak(call_id, asked, text=text, everyone=True)
    return "The text will be spoken to everybody in the conversation."


def _play(call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
    url = form.get("audio_url", "").strip()
    try:
        URLValidator(["http", "https"])(url)
    except ValidationError:
        raise WrongWords("audio_url_required", "Give the address of an audio file, http or https.") from None
    supervision.play(call_id, asked, audio_url=url, everyone=True)
    return "The file will be played to everybody in the conversation."


def _stop_audio(call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
    supervision.stop_audio(call_id, asked, everyone=True)
    return "What is played or spoken will stop."


def _remove(call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
    supervision.remove_participant(call_id, _leg(form.get("leg", "")), asked)
    return "The participant will be hung up."


def _set_priority(call_id: uuid.UUID, asked: Request, form: QueryDict) -> str:
    try:
        priority = int(form.get("priority", ""))
    except ValueError:
        raise WrongWords("priority_required", "Give a whole number; larger is more urgent.") from None
    supervision.set_priority(call_id, asked, priority=priority)
    return f"The caller's priority is {priority} now."


VERBS: Mapping[str, Act] = {
    "monitor": _Listen("monitor"),
    "whisper": _Listen("whisper"),
    "barge": _Listen("barge"),
    "take_over": _take_over,
    "stop": _stop,
    "hold": _OnTalkers(supervision.hold, "On hold, with music."),
    "unhold": _OnTalkers(supervision.unhold, "No longer on hold."),
    "mute": _OnTalkers(supervision.mute, "Muted."),
    "unmute": _OnTalkers(supervision.unmute, "No longer muted."),
    "record_start": _Simply(supervision.record_start, "Recording will start."),
    "record_pause": _Simply(supervision.record_pause, "Recording will pause."),
    "record_resume": _Simply(supervision.record_resume, "Recording will go on."),
    "record_stop": _Simply(supervision.record_stop, "Recording will stop."),
    "speak": _speak,
    "play": _play,
    "stop_audio": _stop_audio,
    "remove": _remove,
    "set_priority": _set_priority,
    "end": _Simply(supervision.end_conference, "The conversation will end."),
}


@require_POST
def act_on_call(request: HttpRequest, call_id: uuid.UUID) -> HttpResponse:
    """One verb on one call; ``next`` says where to go afterwards."""

    def act(asked: Request) -> str:
        verb = VERBS.get(request.POST.get("verb", ""))
        if verb is None:
            raise WrongWords("unknown_verb", "There is no such action.")
        return verb(call_id, asked, request.POST)

    return _answer(request, act, otherwise=reverse("admin:queues_call_change", args=[call_id]))


@require_POST
def set_agent_state(request: HttpRequest, agent_id: uuid.UUID) -> HttpResponse:
    """Set an agent's state for him."""

    def act(asked: Request) -> str:
        verb = request.POST.get("verb", "")
        if verb == "end_wrap_up":
            agent = supervision.end_wrap_up(agent_id, asked)
        else:
            agent = supervision.force_agent_state(agent_id, verb, asked)
        later = f", then {Agent.State(agent.pending_state).label}" if agent.pending_state else ""
        return f"{agent.name} is {agent.get_state_display()}{later}."

    return _answer(request, act, otherwise=reverse("admin:queues_agent_change", args=[agent_id]))


def _answer(request: HttpRequest, act: Callable[[Request], str], *, otherwise: str) -> HttpResponse:
    try:
        messages.success(request, act(_asked(request)))
    except QueueError as refusal:
        messages.error(request, refusal.detail)
    return HttpResponseRedirect(_next(request, otherwise))


def _asked(request: HttpRequest) -> Request:
    token = as_uuid(request.POST.get("token", ""))
    if token is None:
        raise WrongWords("token_required", "This form is incomplete; load the page again and repeat.")
    return Request(
        actor=actor(request.user),
        token=str(token),
        now=timezone.now(),
        reason=request.POST.get("reason", "").strip()[:LONGEST_REASON],
    )


def actor(user: Any) -> Actor:
    """A signed-in user as queues.supervision knows him."""
    assert isinstance(user, User)  # noqa: S101  admin_view lets nobody else in
    return Actor(name=user.get_username(), user=user)


def _next(request: HttpRequest, otherwise: str) -> str:
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if wanted and ours else otherwise


def _leg(text: str) -> uuid.UUID:
    leg = as_uuid(text)
    if leg is None:
        raise WrongWords("unknown_participant", "There is no such participant.")
    return leg
