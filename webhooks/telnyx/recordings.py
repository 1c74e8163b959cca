"""Finished recordings of calls and conferences."""

from collections.abc import Iterator

from webhooks.telnyx.records import Recording
from webhooks.telnyx.resource import LARGEST_PAGE, Resource


class Recordings(Resource):
    """The account's recordings."""

    def list(
        self,
        *,
        call_control_id: str | None = None,
        call_leg_id: str | None = None,
        call_session_id: str | None = None,
        conference_id: str | None = None,
        conference_region: str | None = None,
        connection_id: str | None = None,
        sip_call_id: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        created_at_gte: str | None = None,
        created_at_lte: str | None = None,
        start_time_gte: str | None = None,
        start_time_lte: str | None = None,
        end_time_gte: str | None = None,
        end_time_lte: str | None = None,
        page_size: int = LARGEST_PAGE,
    ) -> Iterator[Recording]:
        """The recordings that match every filter given, all pages, ``page_size`` (1 to 250) by each request.

        Bounds are ISO 8601 instants. The download links are good for about 10 minutes.

        Raises InvalidRequest at once; while iterating TelnyxRejected, TelnyxUnavailable.

        Source: GET /v2/recordings
        """
        query = {
            "filter[call_control_id]": call_control_id,
            "filter[call_leg_id]": call_leg_id,
            "filter[call_session_id]": call_session_id,
            "filter[conference_id]": conference_id,
            "filter[conference_region]": conference_region,
            "filter[connection_id]": connection_id,
            "filter[sip_call_id]": sip_call_id,
            "filter[from]": from_,
            "filter[to]": to,
            "filter[created_at][gte]": created_at_gte,
            "filter[created_at][lte]": created_at_lte,
            "filter[start_time][gte]": start_time_gte,
            "filter[start_time][lte]": start_time_lte,
            "filter[end_time][gte]": end_time_gte,
            "filter[end_time][lte]": end_time_lte,
        }
        return self._list(Recording, "/recordings", {}, query, page_size)

    def retrieve(self, recording_id: str) -> Recording:
        """One recording, with links to its files that are good for about 10 minutes.

        Raises NotFound, TelnyxUnavailable.

        Source: GET /v2/recordings/{recording_id}
        """
        return self._read(Recording, "/recordings/{recording_id}", {"recording_id": recording_id})

    def delete(self, recording_id: str) -> None:
        """Delete a recording and its files for good.

        Raises NotFound if it is gone, which is as good; TelnyxUnavailable.

        Source: DELETE /v2/recordings/{recording_id}
        """
        self._wire.request("DELETE", "/recordings/{recording_id}", {"recording_id": recording_id})
