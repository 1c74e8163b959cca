from typing import Any

from django.db import migrations, models
from django.db.models.functions import Now


def end_the_earlier_ones(apps: Any, schema_editor: Any) -> None:
    """A supervisor who is on several calls stays on the one he has taken over, whose caller has nobody else, or on
    the newest; the reconciler hangs the other legs up."""
    live = apps.get_model('conferences', 'SupervisionSession').objects.exclude(state='ended')
    ranked = sorted(live, key=lambda one: (one.took_over_at is not None, one.requested_at, one.pk), reverse=True)
    kept: dict[Any, Any] = {}
    for one in ranked:
        kept.setdefault(one.supervisor_id, one.pk)
    ended = {'state': 'ended', 'ended_at': Now(), 'end_reason': 'on_another_call', 'expires_at': None}
    live.exclude(pk__in=kept.values()).update(**ended)


class Migration(migrations.Migration):

    dependencies = [
        ('conferences', '0004_live_conferences'),
    ]

    operations = [
        migrations.RunPython(end_the_earlier_ones, migrations.RunPython.noop),
        migrations.RemoveConstraint(
            model_name='supervisionsession',
            name='supervisionsession_one_live',
        ),
        migrations.AddConstraint(
            model_name='supervisionsession',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'ended'), _negated=True), fields=('supervisor',), name='supervisionsession_one_live'),
        ),
    ]
