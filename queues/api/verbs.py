"""How an action becomes a service call: hear the words, ask one service, answer 202 with one shape."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from conferences.models import SupervisionSession
from queues.api.asking import asked
from queues.api.words import AcceptedSerializer, Words
from webhooks.models import Command

View = Callable[..., Response]
# What a view names as its scope where no API key will do: listening needs a person who answers for it.
SIGNED_IN_USER = "user"

if TYPE_CHECKING:
    from rest_framework.decorators import ViewSetAction

    _View = GenericViewSet[Any]
else:
    _View = object


def verb(words: type[Words] = Words, **options: Any) -> "Callable[[View], ViewSetAction[View]]":
    """``POST …/{id}/<name>`` with these words, answered with 202; ``options`` are those of DRF's ``action``."""

    def declare(view: View) -> "ViewSetAction[View]":
        acting = action(detail=True, methods=["post"], **options)(view)
        return extend_schema(request=words, responses={202: AcceptedSerializer})(acting)  # in this order: see its docs

    return declare


class Verbs(_View):
    """For view sets whose actions are services of queues.supervision."""

    def hear(self, words: type[Words]) -> dict[str, Any]:
        """What the body says, under the names of the services. Raises ValidationError."""
        heard = words(data=self.request.data, context=self.get_serializer_context())
        heard.is_valid(raise_exception=True)
        return dict(heard.validated_data)

    def tell(
        self,
        service: Callable[..., SupervisionSession | None],
        said: dict[str, Any],
        *,
        call_id: UUID,
        asked_of: UUID | None = None,
        held_to_it: bool = True,
    ) -> Response:
        """Ask one service about one call. ``held_to_it``: only while the caller is in the conference asked of."""
        arguments = dict(said)
        words = asked(self.request, reason=arguments.pop("reason"), conference_id=asked_of if held_to_it else None)
        session = service(call_id=call_id, request=words, **arguments)
        command = _command_of(call_id, words.token, session)
        return Response({"call": call_id, "conference": asked_of, "command": command}, status=202)


def _command_of(call_id: UUID, token: str, session: SupervisionSession | None) -> UUID | None:
    """The order this request led to: its own, or the newest of the session it is about."""
    commands = Command.objects.filter(call_id=call_id)
    mine = commands.filter(subject_id=session.pk) if session else commands.filter(dedupe_key=token)
    return mine.order_by("-sequence").values_list("command_id", flat=True).first()
