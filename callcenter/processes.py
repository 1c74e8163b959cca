"""Child processes of a command: they end with it in every case, and an end of their own is noticed.

Children are known by the pid we started and by nothing else. Start them from the main thread: on Linux the
kernel ties a child's life to the thread that started it.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
LEASH = Path(__file__).with_name("leash.py")


class PortInUse(Exception):
    """The port a user asked for is taken."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} on {LOOPBACK} is in use; name another or leave it out for a free one.")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose_port(usual: int, *, wanted: int | None = None) -> int:
    """``wanted`` or PortInUse; without it the usual port, or any free one if that is taken."""
    if wanted is not None:
        if not is_free(wanted):
            raise PortInUse(wanted)
        return wanted
    return usual if is_free(usual) else any_port()


def any_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """One process that we started."""

    def __init__(self, name: str, process: subprocess.Popen[str], *, last: bool) -> None:
        self.name = name
        self.process = process
        self.last = last
        self.is_to_end = False
        self.follower: threading.Thread | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def freeze(self) -> Callable[[], None]:
        """Stop it and its children where they are. Returns what lets them go on, if they still live."""
        os.killpg(self.pid, signal.SIGSTOP)

        def thaw() -> None:
            if self.process.poll() is None:
                os.killpg(self.pid, signal.SIGCONT)

        return thaw

    def describe_end(self) -> str:
        code = self.process.returncode
        if code is not None and code < 0:
            return f"{self.name} was ended by {signal.Signals(-code).name}."
        return f"{self.name} ended with exit code {code}."


class Processes:
    """The children of this process; leaving the ``with`` block stops those that still run.

    They run in ``folder``. ``write`` gets every line they print, prefixed with the name, from several threads
    but one at a time.
    """

    def __init__(self, *, write: Callable[[str], None], folder: Path, grace_secs: float = 6.0) -> None:
        self._write = write
        self._folder = folder
        self._grace_secs = grace_secs
        self._lock = threading.Lock()
        self._children: list[Child] = []
        self._ended: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._stopping = False

    def start(self, name: str, *command: str, env: Mapping[str, str] | None = None, last: bool = False) -> Child:
        """Start a command under a name. ``last``: stopped after the others, which need it to stop well."""
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(LEASH), str(os.getpid()), *command],
            cwd=self._folder,
            env=None if env is None else dict(env),
            stdin=subprocess.PIPE,  # held open; where the kernel cannot help, its end tells the child of ours
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # the terminal's Ctrl-C reaches us alone, and we stop them in order
        )
        child = Child(name, process, last=last)
        self._children.append(child)
        child.follower = threading.Thread(target=self._follow, args=(child,), name=f"follow-{name}", daemon=True)
        child.follower.start()
        return child

    def ended(self, timeout: float | None = None) -> Child | None:
        """The next child that ended without being asked to, or None after ``timeout`` seconds."""
        try:
            return self._ended.get(timeout=timeout) if timeout != 0 else self._ended.get_nowait()
        except queue.Empty:
            return None

    def end(self, child: Child, signum: signal.Signals = signal.SIGKILL) -> None:
        """End one child, and whatever it has started, by a signal; that it ends is no news then."""
        child.is_to_end = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signum)  # each child leads a session of its own
        _end([child], self._grace_secs)
        self._children.remove(child)

    def stop(self) -> None:
        """Ask every child to end, the ``last`` ones after the others; kill those that take too long."""
        self._stopping = True
        for last in (False, True):
            _end([child for child in self._children if child.last is last], self._grace_secs)

    def _follow(self, child: Child) -> None:
        if child.process.stdout is not None:
            with child.process.stdout as output:
                for line in output:
                    with self._lock:
                        self._write(f"{child.name:<9} | {line.rstrip()}")
        child.process.wait()
        if not (self._stopping or child.is_to_end):
            self._ended.put(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _deaf():
            self.stop()


def _end(children: list[Child], grace_secs: float) -> None:
    for child in children:
        if child.process.poll() is None and not child.is_to_end:
            child.process.terminate()
    deadline = time.monotonic() + grace_secs
    for child in children:
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        if child.process.stdin is not None:
            child.process.stdin.close()
        if child.follower is not None:
            child.follower.join(1)  # its last words; a grandchild that holds the pipe is not waited for


class Stopped(BaseException):
    """A signal asked this process to end. Not an Exception: nothing on the way may swallow it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and SIGHUP raise Stopped in the main thread, so that ``with`` blocks unwind."""

    def stop(signum: int, _frame: FrameType | None) -> None:
        raise Stopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Stopping takes bounded time and must not itself be stopped by a second Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, signal.SIG_IGN) for signum in _SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
