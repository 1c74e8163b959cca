"""``python -m callcenter.simulator``: a local Telnyx with a port on the loopback interface."""

import argparse
import logging
import math
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import uvicorn
from nacl.signing import SigningKey

from callcenter.simulator.asgi import SimulatorApp
from callcenter.simulator.simulator import DEFAULT_CONNECTION_ID, Simulator

DEFAULT_PORT = 12111
KEY_FILE = "webhook_signing_key"
HOST = "127.0.0.1"


class CommandLineError(Exception):
    """One clear line for whoever started us."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted. Exit status 2 with one line on stderr for anything wrong with the command line."""
    options = _parser().parse_args(argv)
    try:
        simulator = Simulator(
            webhook_url=options.webhook_url,
            api_key=options.api_key,
            connection_id=options.connection_id,
            seed=options.seed,
            speed=options.speed,
            clock=options.clock,
            key=_key(options.keys),
            webhook_timeout_secs=options.webhook_timeout,
        )
        listener = _listen(options.port)
    except CommandLineError as wrong:
        sys.stderr.write(f"simulator: {wrong}\n")
        return 2
    config = uvicorn.Config(
        SimulatorApp(simulator),
        log_level="critical",
        access_log=False,
        lifespan="on",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
    logging.basicConfig(level=logging.WARNING, format="simulator: %(message)s")
    Server(config).run(sockets=[listener])
    return 0


class Server(uvicorn.Server):
    """Says where it listens, once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            sys.stdout.write(f"simulator listening on http://{HOST}:{listener.getsockname()[1]}\n")
            sys.stdout.flush()


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"simulator: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m callcenter.simulator", description="A local Telnyx.")
    add = parser.add_argument
    add("--port", type=_port, default=DEFAULT_PORT, help="0 picks a free one (default %(default)s)")
    add("--webhook-url", type=_url, required=True, metavar="URL", help="where events are posted")
    add("--api-key", metavar="K", help="the only key let in; without it every key is")
    add("--connection-id", metavar="ID", type=_digits, default=DEFAULT_CONNECTION_ID)
    add("--seed", type=int, metavar="N", help="the same ids and faults each time")
    add("--speed", type=_positive, default=1.0, metavar="X", help="divides the seconds of callers and phones")
    add("--clock", choices=("real", "manual"), default="real", help="manual: only /_sim/clock moves it")
    add("--keys", type=Path, metavar="DIR", help="where the signing key is kept between runs")
    add("--webhook-timeout", type=_positive, default=2.0, metavar="SECS", help="default %(default)s")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"found {text!r}, accepted are 0 to 65535")
    return int(text)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (a bad port is found only when it is read)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise argparse.ArgumentTypeError(f"found {text!r}, accepted is an http or https URL")
    return text


def _digits(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"found {text!r}, accepted are digits")
    return text


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"found {text!r}, accepted is a number above 0")
    return value


def _key(directory: Path | None) -> SigningKey:
    """The key kept in this directory, made there if there is none; without a directory, a fresh one."""
    if directory is None:
        return SigningKey.generate()
    path = directory / KEY_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(SigningKey.generate()).hex().encode() + b"\n")
        return SigningKey(bytes.fromhex(path.read_text().strip()))
    except OSError as wrong:
        raise CommandLineError(f"--keys: {directory} cannot be used: {wrong.strerror}") from None
    except ValueError:
        raise CommandLineError(f"--keys: {path} holds no signing key; remove it to have one made") from None


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        # Bound without listening, a port still lets a second process bind it.
        listener.listen(1024)
    except OSError as wrong:
        listener.close()
        raise CommandLineError(f"--port: {HOST}:{port} cannot be used: {wrong.strerror}") from None
    return listener


if __name__ == "__main__":
    sys.exit(main())
