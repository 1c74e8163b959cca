"""What can be done to a live conversation: one service of queues.supervision behind each verb."""

from collections.abc import Callable
from functools import partial
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conferences.api.views import ConferenceViewSet
from conferences.models import SupervisionSession
from queues import supervision
from queues.api.verbs import SIGNED_IN_USER, Verbs, verb
from queues.api.words import (
    AcceptedSerializer,
    JoinWords,
    NewConferenceWords,
    PlayWords,
    RemoveWords,
    RoleWords,
    SpeakWords,
    ThenWords,
    WhoWords,
    Words,
)
from queues.errors import QueueError

Mode = SupervisionSession.Mode


class ConversationViewSet(Verbs, ConferenceViewSet):
    """Conferences, and the verbs of whoever looks after them."""

    write_scope = "conferences:write"

    @extend_schema(request=NewConferenceWords, responses={202: AcceptedSerializer})
    def create(self, request: Request, **_: Any) -> Response:
        """Move a waiting caller into a conference of his own, ahead of any agent.

        He hears the queue's music there and keeps his place in line; the next agent joins him.
        """
        said = self.hear(NewConferenceWords)
        return self.tell(supervision.create_conference, said, call_id=said.pop("call_id"))

    # who hears and is heard --------------------------------------------------------------------------------

    @verb(WhoWords)
    def hold(self, request: Request, **_: Any) -> Response:
        """Put participants on hold with the queue's music; `everyone` leaves supervisors out."""
        return self._ask(supervision.hold, WhoWords)

    @verb(WhoWords)
    def unhold(self, request: Request, **_: Any) -> Response:
        """Take participants off hold."""
        return self._ask(supervision.unhold, WhoWords)

    @verb(WhoWords)
    def mute(self, request: Request, **_: Any) -> Response:
        """Mute participants; `everyone` leaves supervisors out."""
        return self._ask(supervision.mute, WhoWords)

    @verb(WhoWords)
    def unmute(self, request: Request, **_: Any) -> Response:
        """Unmute participants. Refused for a monitoring or whispering supervisor: it would open his microphone."""
        return self._ask(supervision.unmute, WhoWords)

    # who is in ---------------------------------------------------------------------------------------------

    @verb(JoinWords)
    def join(self, request: Request, **_: Any) -> Response:
        """Bring a leg into the conference that belongs to this call already, and is no supervisor's."""
        return self._ask(supervision.join, JoinWords)

    @verb(ThenWords)
    def leave(self, request: Request, **_: Any) -> Response:
        """Take the caller out of the conference."""
        return self._ask(supervision.leave, ThenWords)

    @verb(RemoveWords)
    def remove(self, request: Request, **_: Any) -> Response:
        """Hang one participant up. An agent's going ends the call as if he had hung up."""
        return self._ask(supervision.remove_participant, RemoveWords)

    @verb()
    def end(self, request: Request, **_: Any) -> Response:
        """End the conversation for everybody."""
        return self._ask(supervision.end_conference, Words)

    # sound -------------------------------------------------------------------------------------------------

    @verb(PlayWords)
    def play(self, request: Request, **_: Any) -> Response:
        """Play a file to participants, or to everyone."""
        return self._ask(supervision.play, PlayWords)

    @verb(SpeakWords)
    def speak(self, request: Request, **_: Any) -> Response:
        """Speak a text to participants, or to everyone."""
        return self._ask(supervision.speak, SpeakWords)

    @verb(WhoWords)
    def stop(self, request: Request, **_: Any) -> Response:
        """Stop what is being played or spoken."""
        return self._ask(supervision.stop_audio, WhoWords)

    @verb()
    def record_start(self, request: Request, **_: Any) -> Response:
        """Start recording, both channels. Refused where the queue says never."""
        return self._ask(supervision.record_start, Words)

    @verb()
    def record_pause(self, request: Request, **_: Any) -> Response:
        """Pause the recording, for card data for instance."""
        return self._ask(supervision.record_pause, Words)

    @verb()
    def record_resume(self, request: Request, **_: Any) -> Response:
        """Go on with a paused recording."""
        return self._ask(supervision.record_resume, Words)

    @verb()
    def record_stop(self, request: Request, **_: Any) -> Response:
        """Stop recording; the recording is saved."""
        return self._ask(supervision.record_stop, Words)

    # listening: for people, never for keys -----------------------------------------------------------------

    @verb(write_scope=SIGNED_IN_USER)
    def monitor(self, request: Request, **_: Any) -> Response:
        """Ring your supervisor phone and listen, heard by nobody. If you are in already, your role is switched."""
        return self._ask(partial(supervision.supervise, mode=Mode.MONITOR), Words)

    @verb(write_scope=SIGNED_IN_USER)
    def whisper(self, request: Request, **_: Any) -> Response:
        """Listen, and be heard by the agent only."""
        return self._ask(partial(supervision.supervise, mode=Mode.WHISPER), Words)

    @verb(write_scope=SIGNED_IN_USER)
    def barge(self, request: Request, **_: Any) -> Response:
        """Talk with both."""
        return self._ask(partial(supervision.supervise, mode=Mode.BARGE), Words)

    @verb(RoleWords, url_path="update", url_name="update", write_scope=SIGNED_IN_USER)
    def switch_role(self, request: Request, **_: Any) -> Response:
        """Switch the role of your own leg, without ringing anybody."""
        return self._ask(supervision.switch_role, RoleWords)

    @verb(write_scope=SIGNED_IN_USER)
    def take_over(self, request: Request, **_: Any) -> Response:
        """Become the caller's partner; the agent leaves. You must be in the conversation already."""
        return self._ask(supervision.take_over, Words)

    @verb(write_scope=SIGNED_IN_USER)
    def stop_supervising(self, request: Request, **_: Any) -> Response:
        """End your own session: your leg is hung up."""
        return self._ask(supervision.stop_supervising, Words, held_to_it=False)

    def _ask(
        self,
        service: Callable[..., SupervisionSession | None],
        words: type[Words],
        *,
        held_to_it: bool = True,
    ) -> Response:
        conference = self.get_object()
        said = self.hear(words)
        if conference.call_id is None:
            raise QueueError("no_call", "This conference belongs to no call.")
        return self.tell(service, said, call_id=conference.call_id, asked_of=conference.pk, held_to_it=held_to_it)
