"""/metrics: what Prometheus is told. The counts of our processes (webhooks.meters), and questions to the rows.

A question is asked when Prometheus asks, at most once in five seconds by each process, and finds its answer in an
index. Totals of rows are those since midnight, UTC: they only grow until then, start again at zero as the counter of a
restarted process does, and are the same whichever process answers. Every kind is there at zero before it first happens,
or its first burst of the day would be no increase to Prometheus.
"""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

import prometheus_client
from django.conf import settings
from django.db import Error, connection
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from callcenter import databases
from callcenter.access.throttles import WrongTries
from callcenter.invariants import INVARIANTS, alone_since, counts
from callcenter.models import Correction, ProcessHeartbeat, ReconcileRun
from callcenter.reconcile.findings import Kind
from conferences.models import CallLeg, Participant, SupervisionSession
from queues.engine.facts import LEAVING
from queues.models import Call, Offer, QueueEntry
from webhooks import metering
from webhooks.clock import from_now
from webhooks.models import FAULTS, Command, JournalEntry, TelnyxStatus, WebhookEvent

logger = logging.getLogger(__name__)

KEPT_SECS = 5.0
GRACE = timedelta(seconds=10)  # RELIABILITY §9: so long a leg may outlive what it was for
# A constraint forbids it (command_one_per_intent), and the question reads every command there ever was.
NOT_ASKED = frozenset({"I9"})

Samples = Mapping[str, float]


# the door ----------------------------------------------------------------------------------------------------


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics for ``Authorization: Bearer METRICS_TOKEN``; 404 where no token is set.

    A setting rather than an API key: what the processes count is asked for most when the database is away.
    """
    if not settings.METRICS_TOKEN:
        raise Http404
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not constant_time_compare(token.strip(), settings.METRICS_TOKEN):
        return _refuse(request)
    try:
        counted = metering.counted()
    except OSError as error:
        logger.warning("counts cannot be read error=%s", error)
        return HttpResponse("the counts cannot be read\n", status=503, content_type="text/plain")
    asked = CollectorRegistry()
    asked.register(rows)
    return HttpResponse(
        counted + prometheus_client.generate_latest(asked), content_type=prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
    )


def _refuse(request: HttpRequest) -> HttpResponse:
    tries = WrongTries("metrics", request)
    if wait := tries.wait():
        return HttpResponse(
            "too many wrong tries\n", status=429, headers={"Retry-After": str(wait), "Content-Type": "text/plain"}
        )
    tries.count()
    headers = {"WWW-Authenticate": 'Bearer realm="metrics"', "Content-Type": "text/plain"}
    return HttpResponse("send the token of METRICS_TOKEN\n", status=401, headers=headers)


# the questions -----------------------------------------------------------------------------------------------


def gauge(name: str, said: str, value: float) -> Metric:
    return GaugeMetricFamily(name, said, value=value)


def gauges(name: str, said: str, label: str, samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, said, labels=[label])
    for kind in sorted(samples):
        family.add_metric([kind], samples[kind])
    return family


def total(name: str, said: str, value: float) -> Metric:
    return CounterMetricFamily(name, f"{said} Since midnight, UTC.", value=value)


def totals(name: str, said: str, label: str, samples: Samples) -> Metric:
    family = CounterMetricFamily(name, f"{said} Since midnight, UTC.", labels=[label])
    for kind in sorted(samples):
        family.add_metric([kind], samples[kind])
    return family


def midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def age_secs(since: datetime | None, now: datetime) -> float:
    """Of the oldest of something; 0 where there is none."""
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def inbox(now: datetime) -> Iterator[Metric]:
    new = WebhookEvent.objects.filter(status=WebhookEvent.Status.NEW)
    seen = new.aggregate(count=Count("id"), oldest=Min("received_at"))
    yield gauge("inbox_backlog", "Events not applied yet.", seen["count"])
    yield gauge("inbox_oldest_seconds", "Age of the oldest of them.", age_secs(seen["oldest"], now))
    dead = WebhookEvent.objects.filter(status=WebhookEvent.Status.DEAD).count()
    yield gauge("inbox_dead", "Events set aside after five attempts.", dead)


def outbox(now: datetime) -> Iterator[Metric]:
    unknown = Q(state=Command.State.UNKNOWN)
    seen = Command.objects.filter(state__in=Command.OPEN).aggregate(
        count=Count("sequence"),
        oldest=Min("created_at"),
        unknown=Count("sequence", filter=unknown),
        unknown_oldest=Min("first_sent_at", filter=unknown),
    )
    yield gauge("outbox_backlog", "Commands without an outcome.", seen["count"])
    yield gauge("outbox_oldest_seconds", "Age of the oldest of them.", age_secs(seen["oldest"], now))
    yield gauge("command_unknown", "Commands that nobody answered for 20 s, and a look is due.", seen["unknown"])
    said = "How long ago the oldest of them was first sent."
    yield gauge("command_unknown_oldest_seconds", said, age_secs(seen["unknown_oldest"], now))
    unapplied = Command.objects.filter(closed_at__isnull=False, applied_at__isnull=True).count()
    yield gauge("outbox_unapplied", "Outcomes whose effects are not applied yet.", unapplied)


def legs(now: datetime) -> Iterator[Metric]:
    count = orphan_legs(before=now - GRACE).count()
    yield gauge("orphan_legs", "Legs that live 10 s after what they were for.", count)


def orphan_legs(*, before: datetime) -> QuerySet[CallLeg]:
    """Live legs whose call, offer or supervision was over by then, and those we dialled that belong to no call."""
    ended = Q(ended_at__lt=before)
    call = Call.objects.filter(ended, pk=OuterRef("call_id"))
    offer = Offer.objects.filter(ended, leg=OuterRef("pk")).exclude(state__in=Offer.LIVE)
    session = SupervisionSession.objects.filter(ended, leg=OuterRef("pk"), state=SupervisionSession.State.ENDED)
    nobodys = Q(direction=CallLeg.Direction.OUTGOING, call_id__isnull=True, initiated_at__lt=before)
    return CallLeg.objects.live().filter(Q(Exists(call)) | Q(Exists(offer)) | Q(Exists(session)) | nobodys)


def lonely(now: datetime) -> Iterator[Metric]:
    longest = max((age_secs(since, now) for _, since in alone_since()), default=0.0)
    said = "How long the loneliest has been the only one in a conference, but for callers who wait on hold."
    yield gauge("lonely_participant_seconds", said, longest)


def unqueued(now: datetime) -> Iterator[Metric]:
    left = Q(telnyx_dequeued_at__gte=F("telnyx_enqueued_at"))
    never_in = Q(telnyx_enqueued_at__isnull=True, entered_at__lt=now - GRACE)
    waiting = QueueEntry.objects.filter(
        left | never_in,
        state__in=[QueueEntry.State.WAITING, QueueEntry.State.OFFERING],
        call__ended_at__isnull=True,
        call__leg__hangup_at__isnull=True,
    )
    seats = Participant.objects.present().filter(leg=OuterRef("call__leg"))
    taken = Offer.objects.filter(entry=OuterRef("pk"), state__in=Offer.WON)
    count = waiting.exclude(Exists(seats)).exclude(Exists(taken)).count()
    yield gauge("unqueued_alive", "Callers who wait in our line and not in Telnyx's queue.", count)


def processes(now: datetime) -> Iterator[Metric]:
    """On the database's clock, by which they beat."""
    beats = ProcessHeartbeat.objects.filter(at__gte=from_now(-timedelta(hours=1))).values_list("name", "at", Now())
    ages: dict[str, float] = {"sweep": math.inf, "worker": math.inf}
    alive: Counter[str] = Counter(dict.fromkeys(ages, 0))
    for name, at, clock in beats:
        kind, age = name.partition(":")[0], (clock - at).total_seconds()
        ages[kind] = min(age, ages.get(kind, math.inf))
        alive[kind] += age <= GRACE.total_seconds()
    yield gauge("sweeper_heartbeat_age", "Seconds since any sweeper was heard of.", ages["sweep"])
    yield gauges("processes_alive", "Processes heard of within 10 s.", "kind", alive)


def calls(now: datetime) -> Iterator[Metric]:
    arrived = Call.objects.filter(arrived_at__gte=midnight(now)).count()
    yield total("calls_arrived_total", "Calls that came in.", arrived)
    told = JournalEntry.objects.filter(kind__in=FAULTS, at__gte=midnight(now))
    lines = told.values("kind", reason=KT("facts__reason")).annotate(times=Count("id")).order_by()
    times: Counter[tuple[str, str]] = Counter()
    for line in lines:
        times[line["kind"], line["reason"] or ""] += line["times"]

    def of(kind: str) -> int:
        return sum(count for (told_kind, _), count in times.items() if told_kind == kind)

    timed_out = {"timed_out": of("offer_timed_out"), "expired": of("offer_expired")}
    yield totals("offer_timeout_total", "Offers that nobody answered, by how they ended.", "as", timed_out)
    yield total("caller_rescued_total", "Callers put back in line when their agent was lost.", of("rescued"))
    away = {"timeout": 0, "queue_full": 0} | {why: times[kind, why] for kind, why in times if kind == "sent_away"}
    yield totals("overflow_total", "Callers sent away by a rule of their queue.", "reason", away)
    mismatches = times["supervision_ended", "whisper_mismatch"]
    yield total("whisper_mismatch_total", "Supervisors taken off who whispered to others than told.", mismatches)


def in_vain(now: datetime) -> Iterator[Metric]:
    """By facts that stay, not by state, which an earlier fact may still correct: a total must not fall."""
    taken_away = Offer.objects.filter(state__in=Offer.TAKEN_AWAY, ended_at__gte=midnight(now))
    beaten = Q(rescind_reason=Offer.State.SUPERSEDED)
    over = Q(ended_at__lte=F("leg__answered_at")) | _by_our_clock("rescinded_at") | _by_our_clock("expired_at")
    seen = taken_away.filter(connected_at__isnull=True, leg__answered_at__isnull=False).aggregate(
        beaten=Count("id", filter=beaten), late=Count("id", filter=over & ~beaten)
    )
    yield total("late_answer_total", "Agents who answered an offer that was over.", seen["late"])
    said = "Agents who answered a call that another of those rung had taken."
    yield total("double_answer_prevented_total", said, seen["beaten"])


def _by_our_clock(ended_at: str) -> Q:
    """We took it back before we heard of the answer; the answer's instant is of Telnyx's clock."""
    return Q(**{f"{ended_at}__lte": F("leg__answered_at") + LEAVING})


def telnyx(now: datetime) -> Iterator[Metric]:
    is_open = TelnyxStatus.objects.filter(opened_at__isnull=False).exists()
    yield gauge("breaker_open", "1 while Telnyx does not answer and no offers are made.", float(is_open))


def reconciliation(now: datetime) -> Iterator[Metric]:
    made = Correction.objects.filter(at__gte=midnight(now)).order_by().values_list("kind")
    kinds = dict.fromkeys(get_args(Kind), 0) | dict(made.annotate(times=Count("pk")))
    yield totals("reconcile_corrections_total", "What our rows had wrong, by what it was.", "kind", kinds)
    finished = ReconcileRun.objects.filter(in_the_dark=True, state=ReconcileRun.State.DONE)
    lately = finished.filter(created_at__gte=now - timedelta(days=1)).order_by("-created_at")
    last = lately.values_list("created_at", "ended_at").first()
    said = "How long the last day's last comparison took after a time in which nothing of ours lived."
    took_secs = (last[1] - last[0]).total_seconds() if last and last[1] else math.nan
    yield gauge("startup_reconcile_seconds", said, took_secs)


def invariants(now: datetime) -> Iterator[Metric]:
    found = counts(now, of=INVARIANTS.keys() - NOT_ASKED)
    yield gauges("invariant_violations", "Rows that say what may never be, by invariant.", "invariant", found)


Question = Callable[[datetime], Iterable[Metric]]
QUESTIONS: Sequence[Question] = (
    inbox,
    outbox,
    legs,
    lonely,
    unqueued,
    processes,
    calls,
    in_vain,
    telnyx,
    reconciliation,
    invariants,
)


class Rows(Collector):
    """The answers to all questions. One that fails is left out; without a database all are, but for the count of them.

    One thread asks, once in ``keep_secs``; the others are told the same.
    """

    def __init__(self, questions: Sequence[Question] = QUESTIONS, *, keep_secs: float = KEPT_SECS) -> None:
        self._questions, self._keep_secs = questions, keep_secs
        self._lock = threading.Lock()
        self._asked_at = -math.inf
        self._answers: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask."""
        return []

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() - self._asked_at >= self._keep_secs:
                self._answers = list(self._ask(timezone.now()))
                self._asked_at = time.monotonic()
            return self._answers

    def _ask(self, now: datetime) -> Iterator[Metric]:
        unanswered = 0
        for number, question in enumerate(self._questions):
            try:
                yield from list(question(now))
            except Error as error:
                databases.count(error)
                logger.warning("rows did not answer question=%s error=%s", question.__name__, type(error).__name__)
                unanswered += 1
                if not connection.is_usable():
                    unanswered = len(self._questions) - number
                    break
        yield gauge("rows_unanswered", "Questions that the database did not answer.", unanswered)


rows = Rows()
