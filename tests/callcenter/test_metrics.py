"""/metrics: who may read it, what is on it, what the rows answer, and at what price."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from django.db import connection
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import Settings

from callcenter import metrics
from callcenter.invariants import INVARIANTS
from callcenter.models import Correction, ProcessHeartbeat, ReconcileRun
from callcenter.sweep import Sweeper
from conferences.models import CallLeg, Conference, SupervisionSession
from queues import services
from queues.models import Agent, Offer
from tests.callcenter import clients, furniture
from tests.conftest import ROOT
from tests.journeys import house as h
from tests.journeys.test_supervision import Stage
from tests.webhooks.counts import Counts, answer, asked, grows, names, read
from tests.webhooks.sender import KEY, event, post, public
from webhooks.clock import from_now
from webhooks.models import Command, TelnyxStatus, WebhookEvent

pytestmark = pytest.mark.django_db

TOKEN = "a-token-of-the-tests-0123456789abcdef"

# RELIABILITY §5, each fault by its number, and §9's goals.
FAULTS: Mapping[int | str, tuple[str, ...]] = {
    1: ("inbox_duplicates_total",),
    2: ("inbox_out_of_order_total",),
    3: ("event_age_seconds_bucket",),
    4: ("reconcile_corrections_total", "calls_arrived_total"),
    5: ("webhook_rejected_total",),
    7: ("inbox_dead",),
    9: ("command_unknown", "command_unknown_oldest_seconds"),
    10: ("telnyx_429_total",),
    11: ("breaker_open",),
    12: ("command_rejected_total",),
    13: ("lease_expired_total",),
    14: ("fence_rejected_total",),
    15: ("nudge_failed_total", "sweeper_rescued_total"),
    16: ("db_errors_total",),
    17: ("webhook_ack_seconds_bucket",),
    18: ("webhook_skew_seconds_bucket",),
    19: ("sweeper_heartbeat_age",),
    20: ("offer_timeout_total",),
    21: ("orphan_legs",),
    22: ("late_answer_total",),
    23: ("double_answer_prevented_total",),
    24: ("conflict_total",),
    25: ("lonely_participant_seconds",),
    26: ("caller_rescued_total",),
    27: ("unqueued_alive",),
    28: ("overflow_total",),
    29: ("startup_reconcile_seconds",),
    30: ("whisper_mismatch_total",),
    "event to state": ("event_to_state_seconds_bucket",),
    "idle agent to dial": ("offer_delay_seconds_bucket", "command_wait_seconds_bucket"),
    "backlogs": ("inbox_backlog", "inbox_oldest_seconds", "outbox_backlog", "outbox_oldest_seconds"),
    "invariants": ("invariant_violations",),
}


@pytest.fixture
def token(settings: Settings) -> str:
    settings.METRICS_TOKEN = TOKEN
    return TOKEN


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test was told is not told to the next."""
    monkeypatch.setattr(metrics, "rows", metrics.Rows())


def get(authorization: str = f"Bearer {TOKEN}", path: str = "/metrics") -> HttpResponseBase:
    return Client().get(path, headers={"authorization": authorization} if authorization else {})


def page() -> str:
    answer = get()
    assert answer.status_code == 200
    assert isinstance(answer.content, bytes)
    return answer.content.decode()


# who may -----------------------------------------------------------------------------------------------------


def test_without_a_token_there_is_no_such_page(settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    assert get("Bearer ").status_code == 404
    assert get("").status_code == 404


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer é"]
)
def test_nobody_else_reads_it(authorization: str) -> None:
    refused = get(authorization)
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"].startswith("Bearer")
    assert b"inbox" not in refused.content  # type: ignore[attr-defined]


@pytest.mark.usefixtures("token")
def test_neither_a_users_session_nor_an_api_key_nor_an_address_opens_it() -> None:
    assert clients.session(clients.user(is_superuser=True)).get("/metrics").status_code == 401
    assert clients.key().get("/metrics").status_code == 401
    assert get("", path=f"/metrics?token={TOKEN}").status_code == 401


@pytest.mark.usefixtures("token")
def test_after_ten_wrong_tries_only_the_right_token_is_heard() -> None:
    assert [get("Bearer wrong").status_code for _ in range(12)] == [401] * 10 + [429] * 2
    assert get().status_code == 200


@pytest.mark.usefixtures("token")
def test_it_is_read_and_nothing_else() -> None:
    assert Client().post("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 405
    shown = get()
    assert shown["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "no-store" in shown["Cache-Control"]


# what is on it -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault_has_its_metric(fault: int | str) -> None:
    shown = names(page())
    for name in FAULTS[fault]:
        assert name in shown


@pytest.mark.usefixtures("token")
def test_every_alert_asks_for_what_is_there() -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    shown = names(page())
    wanted = {name for rule in rules for name in metrics_in(rule["expr"])}
    assert wanted <= shown | {"up"}
    assert {name for names in FAULTS.values() for name in names} <= wanted | UNALERTED
    for rule in rules:
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.usefixtures("token")
def test_alerts_add_up_counts_over_the_hosts_and_take_the_rows_word_once() -> None:
    """Each host tells the rows' answers: their sum would be as many times too large as there are hosts."""
    from_rows, everything = asked(), read(page())
    labels = {name: {label for label, _ in labels} for name, labels in everything}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        for name in metrics_in(rule["expr"]):
            over_hosts = "max|min" if name in {name for name, _ in from_rows} else "sum"
            of_one = rf"\b({over_hosts})(?: by \(([^)]*)\))? ?\((?:(?:increase|rate)\()?{name}\b"
            found = re.findall(of_one, rule["expr"])
            assert len(found) == len(re.findall(rf"\b{name}\b", rule["expr"])), (rule["alert"], name)
            assert {label for _, by in found for label in by.split(", ") if label} <= labels[name], (
                rule["alert"],
                name,
            )


@pytest.mark.usefixtures("token")
def test_every_total_is_there_at_zero_before_it_first_happens() -> None:
    """To Prometheus a count that appears as 50 has not increased."""
    everything = read(page())
    assert {name for name in names(page()) if name.endswith("_total")} <= {name for name, _ in everything}
    told = {dict(labels)["kind"] for name, labels in everything if name == "reconcile_corrections_total"}
    assert "leg_gone" in told
    assert all(value == 0 for value in asked_totals().values())


def asked_totals() -> Counts:
    return {sample: value for sample, value in asked().items() if sample[0].endswith("_total")}


ALERTS = ROOT / "docs" / "alerts.yml"
# Denominators, and what only tells of load.
UNALERTED = {"offer_delay_seconds_bucket", "inbox_backlog", "outbox_backlog"}
_WORDS = frozenset({"by", "le", "and", "or", "unless", "on", "ignoring", "offset", "without", "bool"})


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in PromQL: what is no function, label, matcher, range or word of the language."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|without|on|ignoring) *\([^)]*\)", " ", expression)
    return {word for word in re.findall(r"[a-zA-Z_][\w:]*(?!\w| *\()", bare) if word not in _WORDS}


def test_metrics_are_told_from_the_rest_of_an_expression() -> None:
    told = 'histogram_quantile(0.99, sum by (le) (rate(a_bucket{x="y_z"}[5m]))) > 1 and increase(b_total[1h]) > 0'
    assert metrics_in(told) == {"a_bucket", "b_total"}


@pytest.mark.usefixtures("token")
def test_the_handbook_names_every_metric() -> None:
    told = (ROOT / "docs" / "operations.md").read_text()
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names(page())}
    missing = {name for name in shown if f"`{name}" not in told and f"`{name}_total" not in told}
    assert missing == set()


# what the rows answer ----------------------------------------------------------------------------------------


def test_what_waits_in_the_inbox_and_what_was_set_aside() -> None:
    before = timezone.now() - timedelta(seconds=30)
    furniture.event("waits", status=WebhookEvent.Status.NEW)
    furniture.event("dead", status=WebhookEvent.Status.DEAD)
    WebhookEvent.objects.filter(event_id="waits").update(received_at=before)
    seen = asked()
    assert (seen["inbox_backlog", ()], seen["inbox_dead", ()]) == (1, 1)
    assert 30 <= seen["inbox_oldest_seconds", ()] < 60
    violated = {
        dict(labels)["invariant"]: value for (name, labels), value in seen.items() if name == "invariant_violations"
    }
    assert {name for name, found in violated.items() if found} == {"I8", "I11"}
    assert violated.keys() == INVARIANTS.keys() - metrics.NOT_ASKED


def test_what_waits_in_the_outbox() -> None:
    now = timezone.now()
    for state, key in ((Command.State.NEW, 1), (Command.State.UNKNOWN, 2), (Command.State.ACCEPTED, 3)):
        Command.objects.create(
            kind="speak",
            dedupe_key=str(key),
            operation="calls.speak",
            state=state,
            created_at=now - timedelta(seconds=50),
            first_sent_at=now - timedelta(seconds=40),
            closed_at=now if state == Command.State.ACCEPTED else None,
        )
    seen = asked()
    assert [seen[name, ()] for name in ("outbox_backlog", "command_unknown", "outbox_unapplied")] == [2, 1, 1]
    assert 50 <= seen["outbox_oldest_seconds", ()] < 80
    assert 40 <= seen["command_unknown_oldest_seconds", ()] < 70


def test_whether_telnyx_answers() -> None:
    assert answer("breaker_open") == 0
    TelnyxStatus.objects.create(failures=5, opened_at=timezone.now())
    assert answer("breaker_open") == 1


def test_what_had_to_be_corrected_and_how_long_nobody_was_dialled() -> None:
    now = timezone.now()
    assert math.isnan(answer("startup_reconcile_seconds"))
    began = {"kind": ReconcileRun.Kind.FULL, "created_at": now - timedelta(seconds=12)}
    run = ReconcileRun.objects.create(state=ReconcileRun.State.DONE, in_the_dark=True, ended_at=now, **began)
    ReconcileRun.objects.create(state=ReconcileRun.State.DONE, ended_at=now + timedelta(seconds=60), **began)
    for at in (metrics.midnight(now), now, now - timedelta(days=1)):
        Correction.objects.create(run=run, at=at, kind="hangup", remedy="call.hangup")
    seen = asked()
    assert seen["startup_reconcile_seconds", ()] == 12
    assert seen["reconcile_corrections_total", (("kind", "hangup"),)] == 2


def test_who_is_alive() -> None:
    assert answer("sweeper_heartbeat_age") == float("inf")
    for name, secs in (("sweep:a:1", 300), ("sweep:b:2", 20), ("worker:a:3", 1), ("worker:b:4", 90)):
        ProcessHeartbeat.objects.create(name=name, at=timezone.now())
        ProcessHeartbeat.objects.filter(name=name).update(at=from_now(-timedelta(seconds=secs)))
    seen = asked()
    assert 20 <= seen["sweeper_heartbeat_age", ()] < 50
    assert seen["processes_alive", (("kind", "sweep"),)] == 0
    assert seen["processes_alive", (("kind", "worker"),)] == 1


def test_a_leg_that_outlives_its_call() -> None:
    call = furniture.furnish("one")
    assert answer("orphan_legs") == 0
    ended = timezone.now() - timedelta(seconds=11)
    type(call).objects.filter(pk=call.pk).update(ended_at=ended)
    CallLeg.objects.filter(pk=call.leg_id).update(hangup_at=ended)
    assert answer("orphan_legs") == CallLeg.objects.live().filter(call_id=call.pk).count() > 0


def test_a_leg_that_outlives_its_supervision_while_the_call_goes_on() -> None:
    furniture.furnish("one")
    session = SupervisionSession.objects.get()
    since = timezone.now() - timedelta(seconds=11)
    SupervisionSession.objects.update(state="ended", ended_at=timezone.now())
    assert answer("orphan_legs") == 0
    SupervisionSession.objects.update(ended_at=since)
    assert answer("orphan_legs") == 1
    assert session.leg is not None
    CallLeg.objects.filter(pk=session.leg.pk).update(hangup_at=timezone.now())
    assert answer("orphan_legs") == 0


def test_a_leg_of_whoever_took_over_outlives_his_ownership() -> None:
    furniture.furnish("one")
    since = timezone.now() - timedelta(seconds=60)
    SupervisionSession.objects.update(role="takeover", took_over_at=since)
    assert answer("orphan_legs") == 0
    SupervisionSession.objects.update(state="ended", ended_at=since)
    assert answer("orphan_legs") == 1


def test_an_agents_leg_that_outlives_a_conversation_whose_caller_is_in_line_again() -> None:
    call = furniture.furnish("one")
    now = timezone.now()
    Offer.objects.filter(call=call).update(state=Offer.State.ENDED, ended_at=now)
    assert answer("orphan_legs") == 0
    Offer.objects.filter(call=call).update(ended_at=now - timedelta(seconds=11))
    assert answer("orphan_legs") == 1


def test_answers_are_kept_for_a_while() -> None:
    rows = metrics.Rows()
    list(rows.collect())
    with CaptureQueriesContext(connection) as queries:
        list(rows.collect())
    assert len(queries) == 0


def test_a_scrape_costs_the_same_however_much_goes_on(settings: Settings) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            list(metrics.Rows().collect())
        return len(asked)

    furniture.furnish("first")
    few = queries()
    for number in range(4):
        furniture.furnish(f"more {number}")
    assert queries() == few <= 40


def test_a_question_that_fails_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def fails(now: datetime) -> Iterator[Any]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")
        yield from ()

    if connection.vendor == "postgresql":
        pytest.skip("the test's own transaction would be broken by it")
    answers = {metric.name: metric for metric in metrics.Rows([fails, metrics.inbox]).collect()}
    assert {"inbox_dead", "rows_unanswered"} <= answers.keys()
    assert answers["rows_unanswered"].samples[0].value == 1


# the house ---------------------------------------------------------------------------------------------------


@pytest.fixture
def house(transactional_db: None) -> Iterator[h.House]:
    with h.House() as house:
        yield house


def test_an_offer_nobody_answers(house: h.House) -> None:
    anna = h.agent("anna", h.queue(ring_secs=10))
    house.phone(anna.address, on_ring="no_answer")
    with grows("offer_delay_seconds_count"):
        call = house.ring()
        house.until(lambda: call.offers.filter(state=Offer.State.TIMED_OUT).exists())
    assert asked()["offer_timeout_total", (("as", "timed_out"),)] == 1
    assert asked()["calls_arrived_total", ()] == 1
    house._traveller.move_to(house.now + timedelta(days=1))
    assert asked()["offer_timeout_total", (("as", "timed_out"),)] == 0


def test_a_caller_who_waits_too_long_and_one_for_whom_there_is_no_room(house: h.House) -> None:
    h.queue(max_wait_secs=20, max_size=1)
    house.ring()
    house.advance(10)
    house.ring(from_="+447700900002")
    house.advance(30)
    seen = asked()
    assert seen["overflow_total", (("reason", "timeout"),)] == 1
    assert seen["overflow_total", (("reason", "queue_full"),)] == 1


def test_a_caller_whose_agent_is_lost(house: h.House) -> None:
    anna = h.agent("anna", h.queue())
    house.phone(anna.address, drop_after_secs=5)
    call = house.ring()
    house.until(lambda: call.entries.count() == 2)
    assert answer("caller_rescued_total") == 1


@pytest.mark.parametrize("known", [True, False], ids=["and we knew", "which we hear later"])
def test_an_agent_who_answers_a_caller_who_has_gone(house: h.House, known: bool) -> None:
    """His leg is not hung up in time, because Telnyx does not answer us or has not told us yet."""
    anna = h.agent("anna", h.queue(greeting_text=""))
    house.phone(anna.address, on_ring="answer", after_secs=3)
    call = house.ring()
    house.until(call.offers.filter(state=Offer.State.RINGING).exists)
    house.sim("PUT", "faults", {"api_timeout": {"share": 1, "match": {"operation": "calls.hangup"}}})
    gate = None if known else house.sim("POST", "gates", {"event_type": "call.hangup"})["id"]
    house.hang_up(call.leg)
    house.advance(4)
    if gate:
        house.sim("DELETE", f"gates/{gate}")
    house.advance(1)
    assert h.only_offer(call).state == Offer.State.CALLER_LEFT
    assert in_vain() == {"late": 1, "beaten": 0}
    house._traveller.move_to(house.now + timedelta(days=1))
    assert in_vain() == {"late": 0, "beaten": 0}


def in_vain() -> dict[str, float]:
    seen = asked()
    return {"late": seen["late_answer_total", ()], "beaten": seen["double_answer_prevented_total", ()]}


@pytest.mark.parametrize("known", [True, False], ids=["and we knew", "which we hear later"])
def test_an_agent_who_answers_as_his_offer_is_taken_back(house: h.House, known: bool) -> None:
    """He goes for a break by his program, and picks up; the answer is told after that, or has been before."""
    anna = h.agent("anna", h.queue(greeting_text=""))
    house.phone(anna.address, on_ring="answer", after_secs=3)
    call = house.ring()
    house.until(call.offers.filter(state=Offer.State.RINGING).exists)
    house.sim("PUT", "faults", {"api_timeout": {"share": 1, "match": {"operation": "calls.hangup"}}})
    gate = house.sim("POST", "gates", {"event_type": "call.answered"})["id"]
    if known:
        services.go_not_ready(anna.pk, "break", now=house.now)
    house.simulator.advance(4)
    if not known:
        services.go_not_ready(anna.pk, "break", now=house.now)
    house.sim("DELETE", f"gates/{gate}")
    house.advance(1)
    assert h.only_offer(call).state == Offer.State.RESCINDED
    assert in_vain() == {"late": 1, "beaten": 0}


def test_an_agent_who_is_asked_for_a_key_and_thinks_too_long_has_not_answered_late(house: h.House) -> None:
    anna = h.agent("anna", h.queue(greeting_text=""), confirm=Agent.Confirm.PRESS_1)
    house.phone(anna.address, on_ring="voicemail")
    call = house.ring()
    house.until(call.offers.filter(state=Offer.State.TIMED_OUT).exists)
    assert in_vain() == {"late": 0, "beaten": 0}


def test_two_agents_who_answer_at_once(house: h.House) -> None:
    support = h.queue(greeting_text="", strategy="ring_all")
    for name in ("anna", "bert"):
        house.phone(h.agent(name, support).address, on_ring="answer", after_secs=1)
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.RINGING).count() == 2)
    gate = house.sim("POST", "gates", {"event_type": "call.answered"})["id"]
    house.simulator.advance(1)
    house.sim("DELETE", f"gates/{gate}")
    house.advance(0.5)
    assert call.offers.filter(state=Offer.State.CONNECTED).count() == 1
    assert in_vain() == {"late": 0, "beaten": 1}


def test_a_caller_alone_in_a_conference(house: h.House) -> None:
    h.agent("anna", h.queue())
    call = house.ring()
    house.until(lambda: call.offers.filter(state=Offer.State.CONNECTED).exists())
    house.advance(10)
    assert answer("lonely_participant_seconds") == 0
    assert answer("unqueued_alive") == 0
    leg = h.only_offer(call).leg
    assert leg is not None
    CallLeg.objects.filter(pk=leg.pk).update(hangup_at=house.now - timedelta(seconds=7))  # and nobody has settled it
    assert answer("lonely_participant_seconds") == 7


def test_a_caller_whom_telnyx_has_let_out_of_its_queue(house: h.House) -> None:
    h.queue()
    call = house.ring()
    house.until(lambda: call.entries.filter(telnyx_enqueued_at__isnull=False).exists())
    assert answer("unqueued_alive") == 0
    call.entries.update(telnyx_dequeued_at=house.now)
    assert answer("unqueued_alive") == 1


def test_a_whisper_that_reached_others(house: h.House) -> None:
    stage = Stage(house)
    stage.listens("monitor")
    caller = stage.call.leg.call_control_id

    def misheard() -> None:
        for leg in house.simulator.world.legs.values():
            if leg.participant is not None and leg.participant.supervisor_role == "whisper":
                leg.participant.whisper_call_control_ids = [caller]

    house.watch(misheard)
    stage.ask("whisper")
    house.work()
    assert answer("whisper_mismatch_total") == 1


def test_what_the_api_refuses_because_it_is_not_so_any_more(house: h.House) -> None:
    stage = Stage(house)
    conference = Conference.objects.get(call_id=stage.call.pk)
    client = clients.session(stage.sue)
    with grows("conflict_total"):
        refused = client.post(f"/api/v1/conferences/{conference.pk}/take_over", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_in_conversation")


# the sweeper, the database -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_the_sweeper_finds_that_no_nudge_started(settings: Settings) -> None:
    settings.TELNYX_PUBLIC_KEY = public(KEY)
    assert post(event()).status_code == 200
    sweeper = Sweeper()
    with grows("sweeper_rescued_total", task="webhooks.apply"):
        sweeper.tick()
        sweeper.rest()
    assert WebhookEvent.objects.get().status == WebhookEvent.Status.DONE


DATABASE_AWAY = """
import django
django.setup()
from django.test import Client
from tests.webhooks.counts import read
client = Client(raise_request_exception=False)
ready = client.get("/readyz").status_code
login = client.get("/api/v1/queues", headers={"authorization": "Bearer cc_00000000_" + "x" * 43}).status_code
page = client.get("/metrics", headers={"authorization": "Bearer TOKEN"})
counts = read(page.content.decode())
print(ready, login, page.status_code, counts["db_errors_total", ()], counts["rows_unanswered", ()])
"""


def test_without_the_database_the_counts_are_told_all_the_same() -> None:
    more = {
        "DJANGO_SETTINGS_MODULE": "callcenter.settings",
        "ALLOWED_HOSTS": "testserver",
        "DATABASE_URL": "postgres://u:p@127.0.0.1:1/x?connect_timeout=1",
        "METRICS_TOKEN": TOKEN,
        "REDIS_URL": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", DATABASE_AWAY.replace("TOKEN", TOKEN)],
        cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["503", "500", "200", "2.0", str(float(len(metrics.QUESTIONS)))]
