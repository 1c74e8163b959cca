from typing import Any

from django.db import migrations, models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now


def end_the_earlier_ones(apps: Any, schema_editor: Any) -> None:
    """A supervisor who is on several calls stays on the newest; the reconciler hangs the other legs up."""
    live = apps.get_model('conferences', 'SupervisionSession').objects.exclude(state='ended')
    newer = live.filter(
        Q(requested_at__gt=OuterRef('requested_at')) | Q(requested_at=OuterRef('requested_at'), pk__gt=OuterRef('pk')),
        supervisor=OuterRef('supervisor'),
    )
    earlier = list(live.filter(Exists(newer)).values_list('pk', flat=True))
    live.filter(pk__in=earlier).update(state='ended', ended_at=Now(), end_reason='on_another_call')


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
