"""Telnyx's queues and the calls in them. A queue is addressed by its name, 1 to 255 characters.

Telnyx makes a queue at the first ``enqueue`` and clears an empty one away after a time it does not tell:
NotFound means empty. None of these takes a command_id; repeating one is harmless.
"""

from collections.abc import Iterator

from webhooks.telnyx.limits import check
from webhooks.telnyx.records import Queue, QueueCall
from webhooks.telnyx.resource import LARGEST_PAGE, Resource, record_from


class Queues(Resource):
    """The account's queues."""

    def create(self, *, queue_name: str, max_size: int | None = None) -> Queue:
        """Make a queue for ``max_size`` calls, from 1 up (Telnyx's default 300).

        Raises InvalidRequest, TelnyxRejected, TelnyxUnavailable.

        Source: POST /v2/queues
        """
        body = {"queue_name": queue_name, "max_size": max_size}
        check(body)
        return record_from(Queue, self._send("POST", "/queues", {}, body))

    def list(self, *, page_size: int = LARGEST_PAGE) -> Iterator[Queue]:
        """All queues, all pages, ``page_size`` (1 to 250) by each request.

        Raises InvalidRequest at once; while iterating TelnyxRejected, TelnyxUnavailable.

        Source: GET /v2/queues
        """
        return self._list(Queue, "/queues", {}, {}, page_size)

    def retrieve(self, queue_name: str) -> Queue:
        """One queue with its sizes and average wait in seconds.

        Raises NotFound for an empty or unknown queue, TelnyxUnavailable.

        Source: GET /v2/queues/{queue_name}
        """
        return self._read(Queue, "/queues/{queue_name}", {"queue_name": queue_name})

    def update(self, queue_name: str, *, max_size: int) -> Queue:
        """Let the queue hold ``max_size`` calls, from 1 up, which an ``enqueue`` cannot do.

        Raises NotFound, InvalidRequest, TelnyxUnavailable.

        Source: POST /v2/queues/{queue_name}
        """
        body = {"max_size": max_size}
        check(body)
        return record_from(Queue, self._send("POST", "/queues/{queue_name}", {"queue_name": queue_name}, body))

    def delete(self, queue_name: str) -> None:
        """Remove an empty queue.

        Raises QueueNotEmpty, NotFound, TelnyxUnavailable.

        Source: DELETE /v2/queues/{queue_name}
        """
        self._wire.request("DELETE", "/queues/{queue_name}", {"queue_name": queue_name})

    def list_calls(self, queue_name: str, *, page_size: int = LARGEST_PAGE) -> Iterator[QueueCall]:
        """The calls in a queue, all pages, ``page_size`` (1 to 250) by each request.

        Raises InvalidRequest at once; while iterating NotFound for an empty or unknown queue,
        TelnyxUnavailable.

        Source: GET /v2/queues/{queue_name}/calls
        """
        return self._list(QueueCall, "/queues/{queue_name}/calls", {"queue_name": queue_name}, {}, page_size)

    def retrieve_call(self, queue_name: str, call_control_id: str) -> QueueCall:
        """One call in a queue, its wait in seconds, its position from 1.

        Raises NotFound if it is not in that queue, TelnyxUnavailable.

        Source: GET /v2/queues/{queue_name}/calls/{call_control_id}
        """
        ids = {"queue_name": queue_name, "call_control_id": call_control_id}
        return self._read(QueueCall, "/queues/{queue_name}/calls/{call_control_id}", ids)

    def update_call(self, queue_name: str, call_control_id: str, *, keep_after_hangup: bool) -> None:
        """Choose whether a call stays in the queue, dead, after its hang-up.

        Raises NotFound if it is not in that queue, TelnyxUnavailable.

        Source: PATCH /v2/queues/{queue_name}/calls/{call_control_id}
        """
        ids = {"queue_name": queue_name, "call_control_id": call_control_id}
        body = {"keep_after_hangup": keep_after_hangup}
        self._wire.request("PATCH", "/queues/{queue_name}/calls/{call_control_id}", ids, body=body)

    def remove_call(self, queue_name: str, call_control_id: str) -> None:
        """Remove a call that hung up and was kept; a live one leaves by ``calls.leave_queue``.

        Raises NotFound if it is not in that queue, TelnyxUnavailable.

        Source: DELETE /v2/queues/{queue_name}/calls/{call_control_id}
        """
        ids = {"queue_name": queue_name, "call_control_id": call_control_id}
        self._wire.request("DELETE", "/queues/{queue_name}/calls/{call_control_id}", ids)
