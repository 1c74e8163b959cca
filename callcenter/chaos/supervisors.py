"""Two supervisors who act on the same call in the same moment, and a stranger who is to hear nothing."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urljoin
from uuid import UUID

import httpx
from django.contrib.auth.models import User
from django.urls import reverse

from callcenter.demo import house
from conferences.models import Conference, SupervisionSession
from queues.models import Call

STRANGER = "mallory"
TIMEOUT_SECS = 5.0
LISTENING = ("monitor", "whisper", "barge")
ENOUGH = 0.15  # of the rounds in which both listen, they stop instead of taking over
ELSEWHERE = 0.1  # of the looks at which somebody listens


def furnish(password: str) -> None:
    """A user who may sign in, and may listen to nobody."""
    user, _ = User.objects.get_or_create(username=STRANGER)
    user.set_password(password)
    user.save()


class Supervisors:
    """Each asks a web of his own, with a session as a browser has one. ``act`` never waits for an answer.

    ``webs``: their addresses. ``is_attended``: whether a 5xx given now is nobody's fault but ours.
    """

    def __init__(
        self, webs: Mapping[int, str], password: str, rng: random.Random, *, is_attended: Callable[[], bool]
    ) -> None:
        doors = sorted(webs.values())
        names = (*house.SUPERVISORS, STRANGER)
        self._people = {name: _Person(name, password, doors[n % len(doors)]) for n, name in enumerate(names)}
        self._pool = ThreadPoolExecutor(len(names), thread_name_prefix="supervisor")
        self._rng = rng
        self._is_attended = is_attended
        self._asked: list[tuple[str, str, UUID, Future[int]]] = []
        self.answers: Counter[str] = Counter()
        self.let_in: list[str] = []
        self.failed: list[str] = []
        self._went_home = False
        self._taken: Counter[UUID] = Counter()

    def act(self) -> None:
        """Once the last round has been answered: the next, all three at once, on one call."""
        if self._went_home or not all(future.done() for *_, future in self._asked):
            return
        self._note()
        found = self._choose()
        if found is None:
            return
        conference, verbs = found
        for name, verb in {**verbs, STRANGER: self._rng.choice((*LISTENING, "take_over"))}.items():
            future = self._pool.submit(self._people[name].ask, conference, verb)
            self._asked.append((name, verb, conference, future))

    def finish(self) -> None:
        """Wait for the last answers; nobody acts any more."""
        self._went_home = True
        self._pool.shutdown(wait=True)
        self._note()
        for person in self._people.values():
            person.close()

    @property
    def taken_twice(self) -> list[str]:
        """Conferences that were given to both."""
        return [f"conference {conference} was taken over {n} times" for conference, n in self._taken.items() if n > 1]

    def in_words(self) -> str:
        return ", ".join(f"{times} {what}" for what, times in self.answers.most_common()) or "nothing to listen to"

    def _choose(self) -> tuple[UUID, Mapping[str, str]] | None:
        """A conversation, and what each of the two does about it: first listen, then take it over or stop."""
        talking = Conference.objects.filter(
            ended_at__isnull=True,
            call_id__in=Call.objects.filter(state=Call.State.CONNECTED, ended_at__isnull=True).values("pk"),
        )
        calls = {call_id: pk for call_id, pk in talking.values_list("call_id", "pk") if call_id is not None}
        listening = list(SupervisionSession.objects.exclude(state=SupervisionSession.State.ENDED))
        if not listening:
            return (self._rng.choice([*calls.values()]), self._each(LISTENING)) if calls else None
        # One call at a time: they have one phone each, and are told so if they try another.
        conference = calls.pop(listening[0].call_id, None)
        if calls and self._rng.random() < ELSEWHERE:
            return self._rng.choice([*calls.values()]), self._each(LISTENING)
        waits_for_more = any(session.state != SupervisionSession.State.ACTIVE for session in listening)
        if conference is None or waits_for_more or any(session.took_over_at for session in listening):
            return None
        return conference, self._each(("stop_supervising",) if self._rng.random() < ENOUGH else ("take_over",))

    def _each(self, verbs: Sequence[str]) -> Mapping[str, str]:
        return {name: self._rng.choice(verbs) for name in house.SUPERVISORS}

    def _note(self) -> None:
        for name, verb, conference, future in self._asked:
            self.learn(name, verb, conference, future.result())
        self._asked = []

    def learn(self, name: str, verb: str, conference: UUID, status: int) -> None:
        """What came of one click. ``status`` is HTTP's, 0 for no answer."""
        told = f"{name} was answered {status} to {verb} of conference {conference}"
        accepted = 200 <= status < 300
        if name == STRANGER:
            self.let_in += [told] if accepted else []
            return
        self.answers[_word(verb, status)] += 1
        self.failed += [told] if status >= 500 and self._is_attended() else []
        self._taken[conference] += verb == "take_over" and accepted


class _Person:
    def __init__(self, name: str, password: str, door: str) -> None:
        self._credentials = {"username": name, "password": password}
        self._client = httpx.Client(base_url=urljoin(door, "/"), timeout=TIMEOUT_SECS, trust_env=False)
        self._is_in = False

    def ask(self, conference: UUID, verb: str) -> int:
        """The status of the answer; 0 where there was none."""
        try:
            if not self._is_in:
                self._sign_in()
            path = reverse(f"conference-{verb.replace('_', '-')}", args=[conference])
            return self._client.post(path, json={"reason": "chaos"}, headers=self._headers()).status_code
        except httpx.HTTPError:
            return 0

    def close(self) -> None:
        self._client.close()

    def _sign_in(self) -> None:
        page = reverse("login")
        self._client.get(page).raise_for_status()
        answer = self._client.post(page, data=self._credentials, headers=self._headers())
        self._is_in = answer.status_code == httpx.codes.FOUND

    def _headers(self) -> dict[str, str]:
        cookies = {cookie.name: cookie.value or "" for cookie in self._client.cookies.jar}
        return {"x-csrftoken": cookies.get("csrftoken", "")}


def _word(verb: str, status: int) -> str:
    said = verb.replace("_", " ")
    if 200 <= status < 300:
        return said
    return f"{said} refused" if status in range(400, 500) else f"{said} unanswered"
