"""For load balancers and supervisors of processes: am I alive, can I work? No versions, no details."""

from datetime import timedelta

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from callcenter import databases, heartbeat

SWEPT_WITHIN = timedelta(seconds=10)


@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    """GET /healthz: this process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    """GET /readyz: 200 while the database answers and a sweeper is at work, else 503 and one line.

    Without a sweeper nothing that was lost is found and no deadline fires: callers come in, and some wait for ever.
    """
    try:
        is_swept = heartbeat.anyone("sweep", within=SWEPT_WITHIN)
    except Error as error:
        databases.count(error)
        return _not_ready("the database does not answer")
    if not is_swept:
        return _not_ready("no sweeper has been heard of for 10 s")
    return HttpResponse("ok\n", content_type="text/plain")


def _not_ready(why: str) -> HttpResponse:
    return HttpResponse(f"{why}\n", status=503, content_type="text/plain")
