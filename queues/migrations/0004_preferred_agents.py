from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def take_time(apps: Any, schema_editor: Any) -> None:
    """Every stay there is is looked at for the indexes."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SET LOCAL statement_timeout = 0")


class Migration(migrations.Migration):

    dependencies = [
        ('conferences', '0001_initial'),
        ('queues', '0003_heads_of_lines'),
    ]

    operations = [
        migrations.RunPython(take_time, migrations.RunPython.noop),
        migrations.RemoveIndex(
            model_name='queueentry',
            name='queueentry_line',
        ),
        migrations.AddField(
            model_name='queueentry',
            name='preferred_agent',
            field=models.ForeignKey(blank=True, db_index=False, help_text='who last talked with this caller; asked in sticky queues only', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='preferred_by', to='queues.agent'),
        ),
        migrations.AddField(
            model_name='queueentry',
            name='preferred_agent_at',
            field=models.DateTimeField(blank=True, help_text='when they last talked: the end of it, or its beginning if it went on', null=True),
        ),
        migrations.AddIndex(
            model_name='queueentry',
            index=models.Index(condition=models.Q(('state', 'waiting')), fields=['queue', 'line', 'rank_at', 'id'], include=('preferred_agent', 'preferred_agent_at'), name='queueentry_line'),
        ),
        migrations.AddIndex(
            model_name='queueentry',
            index=models.Index(condition=models.Q(('preferred_agent__isnull', False)), fields=['preferred_agent', 'state'], name='queueentry_preferred'),
        ),
    ]
