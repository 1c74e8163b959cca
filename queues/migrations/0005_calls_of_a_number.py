from typing import Any

from django.db import migrations, models


def take_time(apps: Any, schema_editor: Any) -> None:
    """An index is built over every call there is: by itself, so that only calls cannot be written meanwhile."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SET LOCAL statement_timeout = 0")


class Migration(migrations.Migration):

    dependencies = [
        ('queues', '0004_preferred_agents'),
    ]

    operations = [
        migrations.RunPython(take_time, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='call',
            index=models.Index(fields=['from_number', '-arrived_at'], name='call_from'),
        ),
    ]
