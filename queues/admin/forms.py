"""The forms behind the pages: each answers nonsense with one line that says what is accepted."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Max
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from queues.models import Agent, Queue, QueueMembership, Skill
from queues.models.queue import HIGHEST_PENALTY
from queues.routing.shapes import problem, shown
from queues.routing.state_json import InvalidState, parse
from queues.routing.state_shape import QUEUE
from queues.routing.strategies import STRATEGIES
from queues.templatetags.live import levels_as_text

PENALTY_LIMITS = ("min_penalty", "max_penalty", "raise_penalty")
PROMISE = "promise"
HIGHEST_LEVEL = 5
LONGEST_WAIT = 86_400  # nobody waits for a day
LONGEST_MEMORY = 315_360_000  # ten years: a customer is known for long
RINGS_LIKE = '[{"after": 30, "levels": {"spanish": 2}}, {"after": 60, "drop": ["spanish"]}]'
RULES_LIKE = '[{"after": 60, "max_penalty": 2}, {"after": 120, "max_penalty": null}]'
STICKY_LIKE = '{"hold_seconds": 30, "max_age": 86400}'
RINGS_HELP = (
    "Which skills a call asks for less after how many seconds of waiting: levels lowers, drop asks no more; nothing "
    f"is ever raised. {RINGS_LIKE}; [] for never. The preview of a saved queue shows who could take a call then."
)
RULES_HELP = (
    "Which limits hold after how many seconds of waiting; each rule replaces those it names, null lifts one. "
    f"Limits are {', '.join(PENALTY_LIMITS)}. {RULES_LIKE}; [] for the same ones all the time."
)
STICKY_HELP = (
    "Calls from a number are kept for the agent who last talked with it: he is asked first, whatever the strategy, "
    "and while he is coming back soon a call waits for him, up to hold_seconds. What was said more than max_age "
    f"seconds ago does not count. {STICKY_LIKE}; null for not at all."
)
HELP = {
    "strategy": "Which of the free agents is asked first; among equals, whoever has been idle longest. "
    "Promise brings its scoring along.",
    "record": "Always: the greeting says so, and recording begins when the agent joins.",
    "greeting_text": "Read to the caller before he enters the line; empty for none.",
    "closing_text": "Read to a caller who is sent away: the line is full, or his wait became too long.",
    "hold_music_url": "Played while callers wait and while they are on hold.",
    "voice": "Telnyx's name of the voice that reads the texts.",
    "ring_secs": "How long an agent's phone rings, 5 to 600 s.",
    "wrap_up_secs": "Pause after each call; 0 for none.",
    "max_wait_secs": "After that the caller is sent away.",
    "max_size": "When as many wait, the next caller is sent away.",
    "service_level_secs": "Answered within this time counts as in time.",
    "short_abandon_secs": "Who hangs up sooner does not count as abandoned.",
    "idle_basis": "From when an agent's idle time runs.",
    "scoring": "In which order the calls are served. Promise weighs calls and agents together, so it is a strategy "
    "too; queues that share agents should have one scoring.",
    "aging_seconds_per_point": "For aged scoring: one point of priority is worth so many seconds of waiting.",
    "promise_secs": "For promise scoring: the wait that is promised. Agents of penalty 1 are asked after half of it, "
    "those of penalty 2 after all of it; sooner while main agents, of penalty 0, are plentiful.",
    "beta": "For promise scoring: 1 is fair, 0.25 protects those whose promise can still be kept.",
    "min_penalty": "Agents below it are not asked.",
    "max_penalty": "Agents above it are not asked.",
    "raise_penalty": "Agents below it are treated as if they had it.",
    "penalty_members_limit": "With as many agents or fewer, penalties do not count.",
}
MEMBERSHIP_HELP = {
    "penalty": "Lower is asked first. For promise: 0 main agent, 1 second choice, 2 last resort.",
    "delay_secs": "He is asked only for callers who have waited so long.",
    "queue_priority": "While a queue of a lower number needs him, this one does not get him.",
    "paused": "He stays in the queue and is not asked.",
}


class SkillLevelsField(forms.CharField):
    """``spanish 3, billing 2`` for ``{"spanish": 3, "billing": 2}``."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return levels_as_text(value) if isinstance(value, Mapping) else value

    def clean(self, value: Any) -> dict[str, int]:
        text = str(super().clean(value) or "")
        levels: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, level = (each.strip() for each in part.rpartition(" "))
            if not name or level not in ("1", "2", "3", "4", "5"):
                raise ValidationError(f"{part!r} is not a skill and a level from 1 to 5. Write: spanish 3, billing 2.")
            if name in levels:
                raise ValidationError(f"{name!r} is there twice.")
            levels[name] = int(level)
        return levels

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class RoutingField(forms.CharField):
    """One of a queue's settings that are JSON, read and judged as ``manage.py route`` does.

    A pass that cannot read one queue's nonsense would stop all of its neighbours. Empty is ``nothing``.
    """

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 3})

    def __init__(self, setting: str, *, like: str, nothing: list[Any] | None, help_text: str) -> None:
        super().__init__(required=False, help_text=help_text)
        self._setting, self._like, self._nothing = setting, like, nothing

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return self._nothing
        try:
            said = parse(text.encode(), self._setting)
        except InvalidState as error:
            raise ValidationError([f"{line}. For example: {self._like}." for line in error.problems]) from None
        if problems := list(QUEUE[self._setting].problems(said, self._setting)):
            raise ValidationError(problems)
        return said

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


def unknown_skills(names: Iterable[str]) -> list[str]:
    """Those of the names that no skill has, in ASCII. They are compared here: what is typed may be more than SQL can
    take, and more than a page can show.
    """
    unknown = set(names) - set(Skill.objects.values_list("name", flat=True))
    return sorted(json.dumps(name)[1:-1] for name in unknown)


def skills_of(rings: Iterable[Mapping[str, Any]]) -> set[str]:
    """The skills that rings name."""
    return {skill for ring in rings for skill in (*ring.get("drop", ()), *ring.get("levels", {}))}


def uses_of(skill: str) -> list[str]:
    """Where queues name it: ``required by sales``, ``in the rings of support``."""
    uses = []
    for queue, required, rings in Queue.objects.values_list("name", "required_skills", "rings"):
        if skill in required:
            uses.append(f"required by {queue}")
        if skill in skills_of(rings):
            uses.append(f"in the rings of {queue}")
    return uses


class SkillForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Skill
        fields = "__all__"  # noqa: DJ007

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        known_as = self.initial.get("name", name)
        if name != known_as and (uses := uses_of(known_as)):
            raise ValidationError(f"{known_as!r} is {', '.join(uses)}. Take it out there first.")
        return name


class QueueForm(forms.ModelForm):  # type: ignore[type-arg]
    required_skills = SkillLevelsField(
        required=False, help_text="What its calls need, levels 1 to 5: spanish 3, billing 2. Add the skills first."
    )
    rings = RoutingField("rings", like=RINGS_LIKE, nothing=[], help_text=RINGS_HELP)
    penalty_rules = RoutingField("penalty_rules", like=RULES_LIKE, nothing=[], help_text=RULES_HELP)
    sticky = RoutingField("sticky", like=STICKY_LIKE, nothing=None, help_text=STICKY_HELP)

    class Meta:
        model = Queue
        fields = "__all__"  # noqa: DJ007  the page's fieldsets say which
        error_messages = {
            "strategy": {
                "invalid_choice": f"“%(value)s” is not a strategy. Choose one of: {', '.join(STRATEGIES)}.",
            },
            "hold_music_url": {"required": "A queue needs hold music: callers never wait in silence."},
        }
        help_texts = HELP
        widgets = {
            name: UnfoldAdminTextareaWidget(attrs={"rows": 3})
            for name in ("greeting_text", "consent_text", "closing_text")
        }

    def clean_hold_music_url(self) -> str:
        """Telnyx fetches it, so only hosts the settings name will do."""
        url: str = self.cleaned_data["hold_music_url"]
        host = urlsplit(url).hostname
        if not host:
            raise ValidationError("Give the address of an audio file: https://host/file.mp3.")
        if host not in settings.MEDIA_HOSTS and not (settings.DEBUG and not settings.MEDIA_HOSTS):
            accepted = ", ".join(settings.MEDIA_HOSTS) or "none; name them in MEDIA_HOSTS"
            raise ValidationError(f"Music may not be fetched from {host!r}. Accepted hosts: {accepted}.")
        return url

    def clean_rings(self) -> list[dict[str, Any]]:
        rings: list[dict[str, Any]] = self.cleaned_data["rings"]
        if unknown := unknown_skills(skills_of(rings)):
            raise ValidationError(f"rings: unknown skill {', '.join(unknown)}. Add it first.")
        if idle := list(_idle_rings(rings)):
            raise ValidationError(idle)
        return rings

    def clean_penalty_rules(self) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = self.cleaned_data["penalty_rules"]
        if idle := list(_idle_rules(rules)):
            raise ValidationError(idle)
        return rules

    def clean_sticky(self) -> dict[str, Any] | None:
        sticky: dict[str, Any] | None = self.cleaned_data["sticky"]
        if sticky is not None and (idle := list(_too_long(sticky))):
            raise ValidationError(idle)
        return sticky

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("strategy") == PROMISE and self._is_news("strategy") and not self._is_news("scoring"):
            cleaned["scoring"] = PROMISE
        if cleaned.get("scoring") == PROMISE and cleaned.get("strategy", PROMISE) != PROMISE:
            self.add_error(
                "scoring", "Promise scoring chooses the agents too: choose promise as the strategy, or another scoring."
            )
        most, raised_to = cleaned.get("max_penalty"), cleaned.get("raise_penalty")
        if raised_to is not None and most is not None and raised_to > most:
            self.add_error("raise_penalty", f"Everybody would be raised above the greatest penalty, {most}.")
        if raised := _first_raised(cleaned.get("rings") or [], cleaned.get("required_skills") or {}):
            self.add_error("rings", raised)
        if crossed := _first_crossed(cleaned):
            self.add_error("penalty_rules", crossed)
        return cleaned

    def _is_news(self, field: str) -> bool:
        return field in self.changed_data


def _idle_rings(rings: list[dict[str, Any]]) -> Iterator[str]:
    """Rings that a pass could read and that would never do what was meant."""
    for number, ring in enumerate(rings):
        yield from _above(LONGEST_WAIT, f"rings[{number}].after", ring["after"], "which is a day")
        if not ring.get("drop") and not ring.get("levels"):
            yield f"rings[{number}]: found nothing that is asked for less; accepted: levels, drop, or both."
        for skill, level in ring.get("levels", {}).items():
            yield from _above(HIGHEST_LEVEL, f"rings[{number}].levels.{skill}", level)


def _idle_rules(rules: list[dict[str, Any]]) -> Iterator[str]:
    for number, rule in enumerate(rules):
        yield from _above(LONGEST_WAIT, f"penalty_rules[{number}].after", rule["after"], "which is a day")
        if not rule.keys() & set(PENALTY_LIMITS):
            yield f"penalty_rules[{number}]: found no limit; accepted: one or more of {', '.join(PENALTY_LIMITS)}."
        for name in PENALTY_LIMITS:
            yield from _above(HIGHEST_PENALTY, f"penalty_rules[{number}].{name}", rule.get(name))


def _too_long(sticky: Mapping[str, Any]) -> Iterator[str]:
    yield from _above(LONGEST_WAIT, "sticky.hold_seconds", sticky["hold_seconds"], "which is a day")
    however_long = "which is ten years; null for however long ago"
    yield from _above(LONGEST_MEMORY, "sticky.max_age", sticky.get("max_age"), however_long)


def _above(most: int, place: str, value: int | None, which: str = "") -> Iterator[str]:
    if value is not None and value > most:
        yield f"{problem(place, f'found {shown(value)}', f'up to {most}')}{', ' if which else ''}{which}."


def _first_raised(rings: list[dict[str, Any]], required: Mapping[str, int]) -> str:
    """A pass only ever lowers: a ring that asks for more than what was asked before it is a slip."""
    asked = dict(required)
    for ring in sorted(rings, key=lambda ring: ring["after"]):
        for skill, level in ring.get("levels", {}).items():
            if level > asked.get(skill, level):
                return (
                    f"rings: after {ring['after']} s found {skill} {level}; "
                    f"accepted: the {asked[skill]} asked for before it, or less."
                )
            asked[skill] = level
        for skill in ring.get("drop", ()):
            asked[skill] = 0
    return ""


def _first_crossed(cleaned: Mapping[str, Any]) -> str:
    """Rules replace limits one after the other; whatever else is above the greatest penalty would admit nobody."""
    limits = {name: cleaned.get(name) for name in PENALTY_LIMITS}
    for rule in sorted(cleaned.get("penalty_rules") or [], key=lambda rule: rule["after"]):
        limits |= {name: limit for name, limit in rule.items() if name != "after"}
        most = limits["max_penalty"]
        for name in ("min_penalty", "raise_penalty"):
            if most is not None and limits[name] is not None and limits[name] > most:
                return (
                    f"penalty_rules: after {rule['after']} s found {name} {limits[name]}; "
                    f"accepted: max_penalty {most} or less."
                )
    return ""


class AgentForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Agent
        fields = "__all__"  # noqa: DJ007
        error_messages = {
            "address": {"required": "An agent needs an address: an E.164 number or sip:user@host."},
            "name": {"unique": "Another agent has this name already."},
            "user": {"unique": "This user is another agent already."},
        }


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]
    """An empty position is the next free one of the queue."""

    position = forms.IntegerField(
        required=False, widget=UnfoldAdminIntegerFieldWidget(), help_text="Empty: after the last."
    )

    class Meta:
        model = QueueMembership
        fields = "__all__"  # noqa: DJ007
        help_texts = MEMBERSHIP_HELP

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.initial.pop("position", None)

    def save(self, commit: bool = True) -> QueueMembership:
        if self.instance.position is None:
            here = QueueMembership.objects.filter(queue_id=self.instance.queue_id)
            last = here.aggregate(last=Max("position"))["last"]
            self.instance.position = 0 if last is None else last + 1
        saved: QueueMembership = super().save(commit)
        return saved


class OwnPositionForm(MembershipForm):
    """For one membership by itself: its position is nobody else's where the strategy goes by it in turn."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        queue, position = cleaned.get("queue"), cleaned.get("position")
        if queue is not None and position is not None and _goes_in_turn(queue):
            others = QueueMembership.objects.filter(queue=queue, position=position).exclude(pk=self.instance.pk)
            if other := others.select_related("agent").first():
                self.add_error("position", _taken(position, str(other.agent)))
        return cleaned


class MembershipsOfQueue(PaginationInlineFormSet):
    """A queue's members together, so that two may change places in one go."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors) or not _goes_in_turn(self.instance):
            return
        kept = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        positions = Counter(form.cleaned_data.get("position") for form in kept)
        for form in kept:
            position = form.cleaned_data.get("position")
            if position is not None and positions[position] > 1:
                raise ValidationError(_taken(position, "more than one agent"))


def _goes_in_turn(queue: Queue) -> bool:
    strategy = STRATEGIES.get(queue.strategy)
    return strategy is not None and strategy.has_memory


def _taken(position: int, by: str) -> str:
    return f"Position {position} is taken by {by}; in a queue that goes in turn every agent has his own."
