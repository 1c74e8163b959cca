"""Run a command that ends when its parent does, however that ends: ``leash.py PARENT_PID COMMAND …``.

On Linux the kernel is asked to kill the process with its parent, and the command takes this process over.
Elsewhere (or with ``--watch`` first) this process stays, watches its standard input, which the parent holds
open, and stops the command when that closes. Standard library only: it runs before every child.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from types import FrameType

PR_SET_PDEATHSIG = 1
GRACE_SECS = 3


def main(arguments: list[str]) -> int:
    watch = arguments[0] == "--watch"
    parent, *command = arguments[1:] if watch else arguments
    if not watch and _die_with_parent():
        if os.getppid() != int(parent):  # it ended before we asked
            return 1
        os.execvp(command[0], command)
    return _watch(command)


def _die_with_parent() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) == 0)


def _watch(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        child.send_signal(signum)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    threading.Thread(target=_stop_when_input_closes, args=(child,), daemon=True).start()
    return child.wait()


def _stop_when_input_closes(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    child.terminate()
    try:
        child.wait(GRACE_SECS)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
