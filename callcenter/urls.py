"""Every URL of the service starts here."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from callcenter import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/", include("callcenter.api")),
    path("webhooks/", include("webhooks.urls")),
    path("healthz", health.live, name="healthz"),
    path("readyz", health.ready, name="readyz"),
]
handler500 = "callcenter.problems.server_error"
