from hashlib import sha256
from typing import Any

import django.db.models.functions.comparison
import django.db.models.functions.text
import queues.models.agent
from django.conf import settings
from django.db import migrations, models


def take_time(apps: Any, schema_editor: Any) -> None:
    """The new column is written for every entry there is."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SET LOCAL statement_timeout = 0")


def note_profiles(apps: Any, schema_editor: Any) -> None:
    """Each agent's own, as he stands; the default has given all of them the same."""
    rows = [
        apps.get_model("queues", name).objects.using(schema_editor.connection.alias)
        for name in ("Agent", "QueueMembership", "AgentSkill")
    ]
    agents, memberships, skills = rows
    for agent_id in agents.values_list("pk", flat=True):
        serves = memberships.filter(agent=agent_id).order_by("queue_id")
        holds = skills.filter(agent=agent_id).order_by("skill_id")
        told = [
            [[str(value) for value in row] for row in part]
            for part in (
                serves.values_list("queue_id", "penalty", "delay_secs", "queue_priority", "paused"),
                holds.values_list("skill_id", "level"),
            )
        ]
        profile = sha256(repr(told).encode()).hexdigest()[:32]
        agents.filter(pk=agent_id).update(profile=profile)


class Migration(migrations.Migration):

    dependencies = [
        ('conferences', '0001_initial'),
        ('queues', '0002_routing_decisions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(take_time, migrations.RunPython.noop),
        migrations.RemoveIndex(
            model_name='queueentry',
            name='queueentry_line',
        ),
        migrations.AddField(
            model_name='agent',
            name='profile',
            field=models.CharField(default=queues.models.agent._profile_of_his_own, editable=False, help_text='the same for agents who differ in nothing but their places: see note_profile', max_length=32),
        ),
        migrations.AddField(
            model_name='queueentry',
            name='line',
            field=models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Concat(django.db.models.functions.comparison.Cast('priority', models.TextField()), models.Value(' ', output_field=models.TextField()), django.db.models.functions.comparison.Cast('required_skills', models.TextField())), help_text='the same for those of a queue who stand in one line: first come, first served', output_field=models.TextField()),
        ),
        migrations.AddField(
            model_name='routingpass',
            name='every_free_agent',
            field=models.BooleanField(default=True, help_text='no free agent was left out of the state because others like him come before'),
        ),
        migrations.AlterField(
            model_name='routingdecision',
            name='gist',
            field=models.CharField(editable=False, help_text='of a call left waiting: changes when the reasons do', max_length=64),
        ),
        migrations.RunPython(note_profiles, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='agent',
            index=models.Index(condition=models.Q(('live_offer_id__isnull', True), ('state', 'available')), fields=['profile', 'available_since', 'id'], name='agent_free'),
        ),
        migrations.AddIndex(
            model_name='offer',
            index=models.Index(condition=models.Q(('state__in', ['declined', 'timed_out'])), fields=['ended_at'], name='offer_turned_down'),
        ),
        migrations.AddIndex(
            model_name='offer',
            index=models.Index(fields=['agent', 'connected_at'], name='offer_agent'),
        ),
        migrations.AddIndex(
            model_name='queuemembership',
            index=models.Index(fields=['queue', 'position', 'agent'], name='queuemembership_position'),
        ),
        migrations.AddIndex(
            model_name='queueentry',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['queue', 'line', 'rank_at', 'id'], include=('call',), name='queueentry_line'),
        ),
    ]
