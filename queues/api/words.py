"""What clients may say: every body spelt out, and nothing beside it. The names inside are those of the services."""

from collections.abc import Mapping
from typing import Any

from django.core.validators import URLValidator
from rest_framework import serializers

from conferences.models import SupervisionSession
from queues.models import Agent
from queues.models.queue import PRIORITIES
from queues.supervision import THEN

Mode = SupervisionSession.Mode
THEN_HELP = (
    "What becomes of the caller: `requeue` puts him back in line at his old place, `speak_and_hangup` reads the "
    "queue's closing text first, `hangup` does not."
)


class Words(serializers.Serializer[Any]):
    """A body in which an unknown field is an error, not a surprise."""

    reason = serializers.CharField(max_length=500, allow_blank=True, default="", help_text="Kept in the audit.")

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (strange := sorted(str(name) for name in set(data) - set(self.fields))):
            accepted = ", ".join(self.fields)
            raise serializers.ValidationError(
                {name[:40]: [f"Unknown field. Accepted: {accepted}."] for name in strange}
            )
        return super().to_internal_value(data)


class WhoWords(Words):
    """Some participants, or everyone (who is no supervisor): one of the two."""

    participants = serializers.ListField(
        source="legs",
        child=serializers.UUIDField(),
        allow_empty=False,
        max_length=20,
        required=False,
        help_text="Ids of participants, or of their legs.",
    )
    everyone = serializers.BooleanField(default=False)


class PlayWords(WhoWords):
    audio_url = serializers.CharField(
        max_length=2000, validators=[URLValidator(["http", "https"])], help_text="WAV or MP3, on a host of MEDIA_HOSTS."
    )
    loop = serializers.IntegerField(min_value=1, max_value=100, default=1, help_text="How many times.")


class SpeakWords(WhoWords):
    text = serializers.CharField(max_length=3000, help_text="Spoken in the queue's voice.")


class ThenWords(Words):
    then = serializers.ChoiceField(choices=THEN, help_text=THEN_HELP)


class JoinWords(Words):
    leg = serializers.UUIDField(source="leg_id", help_text="A live leg that belongs to this call already.")


class RemoveWords(Words):
    participant = serializers.UUIDField(source="leg_id", help_text="A participant's id, or his leg's.")


class RoleWords(Words):
    supervisor_role = serializers.ChoiceField(source="mode", choices=[Mode.MONITOR, Mode.WHISPER, Mode.BARGE])


class EnqueueWords(Words):
    queue = serializers.UUIDField(source="queue_id")


class PriorityWords(Words):
    priority = serializers.IntegerField(
        min_value=PRIORITIES[0], max_value=PRIORITIES[-1], help_text="Larger is more urgent."
    )


class NewConferenceWords(Words):
    call = serializers.UUIDField(source="call_id", help_text="A call that waits in a queue.")


class AgentStateWords(Words):
    state = serializers.ChoiceField(choices=[Agent.State.AVAILABLE, Agent.State.NOT_READY, Agent.State.OFFLINE])
    reason = serializers.CharField(
        max_length=40, allow_blank=True, default="", help_text="For `not_ready`: break, lunch, training, …"
    )


class AcceptedSerializer(serializers.Serializer[Any]):
    """The answer to every action on a call or conference: accepted, not yet done.

    What it does shows in the call, the conference and its participants; whether Telnyx took the order, in the
    command.
    """

    call = serializers.UUIDField(read_only=True)
    conference = serializers.UUIDField(read_only=True, allow_null=True, help_text="The conference it was asked of.")
    command = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="The order to Telnyx; null where what is asked for needs none yet."
    )
