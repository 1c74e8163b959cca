"""What a worker does around its tasks."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from callcenter.celery import app, fixup


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_task_leaves_its_connections_in_the_pool_for_the_next() -> None:
    """Celery's own ends the pool of a worker's child after each task."""
    assert [type(each) for each in app._fixups] == [type(fixup(app))]
    child: Any = fixup(app).worker_fixup
    child.worker = SimpleNamespace(pool_cls="prefork")
    task = SimpleNamespace(request=SimpleNamespace(is_eager=False))
    connection.ensure_connection()
    pool = connection.pool  # type: ignore[attr-defined]
    child.on_task_postrun(sender=task)
    assert connection.connection is None  # Django asks whether it lives when it is taken again
    child.on_task_prerun(sender=task)
    assert connection.pool is pool  # type: ignore[attr-defined]
    child.on_worker_process_init()
    assert connection.pool is not pool  # type: ignore[attr-defined]  # of the parent, whose sockets they are
