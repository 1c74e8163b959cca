"""A Redis in Python for machines that have none: ``python -m callcenter.fake_redis --port N``. Loopback only.

It speaks enough Redis for Celery, the cache and their Lua locks; it knows no INFO and no CONFIG GET, keeps
nothing, and is one thread per connection, so connections should be few. System check E007 keeps it out of
production.
"""

import argparse
import sys
from typing import Any

from fakeredis import TcpFakeServer
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis import ResponseError

from callcenter.processes import LOOPBACK


class Handler(TCPFakeRequestHandler):
    """fakeredis hangs up on a client after each error it answers with; Redis, and we, go on."""

    disable_nagle_algorithm = True
    """Replies are written in several small pieces; with Nagle each waits 40 ms for an acknowledgement:
    11 to 21 tasks per second instead of 190."""

    def setup(self) -> None:
        super().setup()
        read = self.current_client.read_response

        def read_response(*args: Any, **kwargs: Any) -> Any:
            try:
                return read(*args, **kwargs)
            except ResponseError as error:
                return error

        self.current_client.read_response = read_response  # type: ignore[method-assign]


class Server(TcpFakeServer):
    """fakeredis' server with the handler above, and without tracebacks when a client leaves."""

    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__((LOOPBACK, port))
        self.RequestHandlerClass = Handler
        self.daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error, whatever its handler was writing or closing at that moment."""
        error = sys.exception()
        if not isinstance(error, OSError | ValueError | KeyError):
            sys.stderr.write(f"fake redis: {type(error).__name__}: {error}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="callcenter.fake_redis", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    try:
        server = Server(port)
    except OSError as error:
        parser.error(f"--port: {port} on {LOOPBACK} cannot be used ({error.strerror})")
    server.serve_forever()


if __name__ == "__main__":
    main()
