"""At least one row of every model, and as many more conversations as asked for."""

from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.utils import timezone

from callcenter.access import keys
from callcenter.models import Correction, Doubt, IdempotencyKey, Lease, ProcessHeartbeat, ReconcileRun
from conferences.models import Recording, Role, SupervisionSession
from queues.models import AgentSkill, Call, Number, Queue, Skill, SupervisorPhone, Team
from tests.queues import scene
from webhooks import journal
from webhooks.models import Command, DispatchGate, TelnyxStatus, WebhookEvent


def furnish(name: str) -> Call:
    """A queue with its team, number, agent and skill, a conversation in it, and everything behind it."""
    now = timezone.now()
    team = Team.objects.create(name=f"team {name}")
    line = scene.queue(f"queue {name}", team=team, record=Queue.Record.ON_DEMAND)
    Number.objects.create(number=f"+44207183{Number.objects.count():04}", queue=line)
    skilled = scene.agent(f"agent {name}", serves=line, team=team)
    AgentSkill.objects.create(agent=skilled, skill=Skill.objects.create(name=f"skill-{name}"), level=3)
    call = scene.talking(line, name=name, to=skilled)
    scene.decided(scene.waiting(line, name=f"waiting {name}"))
    ear = scene.leg(f"ear {name}", at=now, direction="outgoing", role=Role.SUPERVISOR, call_id=call.pk)
    supervisor = User.objects.create_user(f"supervisor {name}")
    SupervisorPhone.objects.create(user=supervisor, address=scene.PHONE)
    SupervisionSession.objects.create(
        call_id=call.pk,
        supervisor=supervisor,
        leg=ear,
        role=SupervisionSession.Mode.MONITOR,
        state=SupervisionSession.State.ACTIVE,
        requested_at=now,
        active_at=now,
    )
    if not Recording.objects.exists():
        scene.recording(call)
    log(call, name)
    TelnyxStatus.objects.get_or_create(pk=TelnyxStatus.ONLY)
    Lease.objects.create(name=f"lease {name}", holder="here", until=now)
    ProcessHeartbeat.objects.create(name=f"process {name}", at=now)
    reconciled(call, name)
    keys.issue(name=f"key {name}", scopes=["calls:read"], now=now)
    IdempotencyKey.objects.create(principal=f"key:{name}", key="1", fingerprint="f", claimed_at=now)
    Group.objects.create(name=f"group {name}")
    return call


def log(call: Call, name: str) -> None:
    now = timezone.now()
    event(name, call=call)
    Command.objects.create(
        kind="hold", dedupe_key=name, operation="conferences.hold", target=f"{scene.TOKEN}-{name}", call_id=call.pk,
        created_at=now,
    )  # fmt: skip
    journal.note(call.pk, "offered", at=now, agent="anna", queue="support")
    journal.audit("hold", at=now, actor="sue", allowed=False, call_id=call.pk, detail={"code": "permission_denied"})


def reconciled(call: Call, name: str) -> None:
    now = timezone.now()
    run = ReconcileRun.objects.create(kind="full", state="done", created_at=now, started_at=now, ended_at=now)
    Correction.objects.create(run=run, at=now, kind="leg_gone", call_id=call.pk, remedy="call.hangup")
    Doubt.objects.create(subject=f"leg {scene.TOKEN}-{name}", looked_at=now)
    DispatchGate.objects.get_or_create(defaults={"open_until": now})


def event(name: str, *, call: Call | None = None, status: str = WebhookEvent.Status.DONE) -> WebhookEvent:
    now = timezone.now()
    return WebhookEvent.objects.create(
        event_id=name,
        event_type="call.hangup",
        call_control_id=f"{scene.TOKEN}-{name}",
        call_id=call.pk if call else None,
        occurred_at=now - timedelta(seconds=1),
        received_at=now,
        payload={"call_control_id": f"{scene.TOKEN}-{name}"},
        status=status,
        attempts=5,
        error="ValueError: nonsense" if status == WebhookEvent.Status.DEAD else "",
    )
