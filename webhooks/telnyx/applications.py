"""The call control application: where our webhooks go, and what limits our calls."""

from webhooks.telnyx.records import Application
from webhooks.telnyx.resource import Resource


class Applications(Resource):
    """The account's call control applications; the id of one is a leg's connection_id."""

    def retrieve(self, application_id: str) -> Application:
        """One application; its timeouts are whole seconds.

        Raises NotFound, Unauthorized for a key that is not accepted, TelnyxUnavailable.

        Source: GET /v2/call_control_applications/{id}
        """
        return self._read(Application, "/call_control_applications/{id}", {"id": application_id})
