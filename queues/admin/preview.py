"""On a queue's page: who could take a call with these skills now, and after it has waited."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone

from queues import reasons, services
from queues.admin.forms import SkillLevelsField, unknown_skills
from queues.engine.preview import Column, Prospect
from queues.models import Agent, Queue
from queues.routing.eligibility import READY
from queues.routing.explain import GATE

State = Agent.State
SOONEST_FREE_FIRST = (State.AVAILABLE, State.WRAP_UP, State.RESERVED, State.BUSY, State.NOT_READY, State.OFFLINE)


class PreviewForm(forms.Form):
    skills = SkillLevelsField(
        label="A call that needs",
        required=False,
        max_length=1000,
        help_text="Skills and levels 1 to 5: spanish 3, billing 2. Empty for a call that needs none.",
    )

    def clean_skills(self) -> dict[str, int]:
        levels: dict[str, int] = self.cleaned_data["skills"]
        if unknown := unknown_skills(levels):
            raise ValidationError(f"Unknown skill: {', '.join(unknown)}. Add it first, or correct the name.")
        return levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """Agents who qualify, by what keeps them busy."""

    state: str
    label: str
    prospects: Collection[Prospect]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownColumn:
    """One wait's answer, in words."""

    column: Column
    if_free: list[Doing]
    excluded: Mapping[str, Collection[Agent]]


def preview_of(queue: Queue, query: QueryDict) -> dict[str, Any]:
    """What the section is drawn from: the queue's own skills until others are asked for.

    Without columns where what was typed makes no sense; the form says why.
    """
    form = PreviewForm(query if "skills" in query else None, initial={"skills": queue.required_skills})
    if not form.is_bound:
        skills = queue.required_skills
    elif form.is_valid():
        skills = form.cleaned_data["skills"]
    else:
        return {"queue": queue, "form": form}
    preview = services.preview(queue, skills, now=timezone.now())
    return {
        "queue": queue,
        "form": form,
        "preview": preview,
        "columns": [_shown(column) for column in preview.columns],
        "before_its_time": reasons.WORDS[GATE],
    }


def _shown(column: Column) -> ShownColumn:
    return ShownColumn(
        column=column,
        if_free=_by_state(column.if_free),
        excluded={reasons.WORDS.get(rule, rule): agents for rule, agents in column.excluded.items()},
    )


def _by_state(prospects: Iterable[Prospect]) -> list[Doing]:
    doing: dict[str, list[Prospect]] = defaultdict(list)
    for prospect in prospects:
        doing[prospect.agent.state].append(prospect)
    return [
        Doing(state=state, label=_label(state), prospects=doing[state]) for state in SOONEST_FREE_FIRST if doing[state]
    ]


def _label(state: State) -> str:
    """Who is available and yet may not have a call has just missed one, or had one fail."""
    return reasons.WORDS[READY] if state == State.AVAILABLE else str(state.label)
