"""Every public URL of the API, on one screen."""

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.urls import include, path, re_path
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSetMixin

from callcenter.access.once import once
from conferences.api.views import IDENT, CommandViewSet, ParticipantViewSet, RecordingViewSet
from queues.api.conversations import ConversationViewSet
from queues.api.views import AgentViewSet, CallViewSet, QueueViewSet


class Router(SimpleRouter):
    """Paths end without a slash; every unsafe request may carry an Idempotency-Key."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False)

    def register(self, prefix: str, viewset: type[ViewSetMixin], basename: str | None = None) -> None:
        super().register(prefix, once(viewset), basename)


router = Router()
router.register("queues", QueueViewSet, "queue")
router.register("agents", AgentViewSet, "agent")
router.register("calls", CallViewSet, "call")
router.register("conferences", ConversationViewSet, "conference")
router.register(rf"conferences/(?P<conference>{IDENT})/participants", ParticipantViewSet, "participant")
router.register("recordings", RecordingViewSet, "recording")
router.register("commands", CommandViewSet, "command")


class Docs(LoginRequiredMixin, SpectacularSwaggerSplitView):
    """Swagger, from our own static files."""

    url_name = "api-schema"


class Nothing(APIView):
    """Whatever is not on this screen: 404, as a problem, for whoever may ask at all."""

    permission_classes = [IsAuthenticated]

    @extend_schema(exclude=True)
    def get(self, request: Request, **_: Any) -> Response:
        hint = " Paths end without a slash." if request.path.endswith("/") else ""
        raise NotFound(f"There is no such path.{hint}")

    post = put = patch = delete = get


urlpatterns = [
    path("v1/", include(router.urls)),
    path("schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs", Docs.as_view(), name="api-docs"),
    re_path(r"^.*$", Nothing.as_view()),
]
