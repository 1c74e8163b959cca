"""Children end with their parent however it ends, and their own end is noticed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from callcenter.processes import LEASH, LOOPBACK, PortInUse, Processes, any_port, choose_port
from tests.conftest import ROOT

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
PARENT = f"""
import sys, time
from pathlib import Path
from callcenter.processes import Processes, signals_raise, Stopped
try:
    with signals_raise(), Processes(write=lambda line: None, folder=Path(".")) as processes:
        children = [processes.start(str(n), sys.executable, "-c", {SLEEPER!r}) for n in range(2)]
        print(*(child.pid for child in children), flush=True)
        time.sleep(60)
except Stopped as stopped:
    sys.exit(stopped.exit_code)
"""


def eventually(condition: Callable[[], object], *, secs: float = 10) -> bool:
    deadline = time.monotonic() + secs
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def runs(pid: int) -> bool:
    """Whether the process lives; one that is dead and not yet collected by its new parent does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_children_end_with_their_parent(signum: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(runs(pid) for pid in children)
        parent.send_signal(signum)
        parent.wait(10)
    assert parent.returncode == (-9 if signum == signal.SIGKILL else 128 + signum)
    assert eventually(lambda: not any(runs(pid) for pid in children))


def test_without_the_kernels_help_a_child_ends_when_its_input_closes() -> None:
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    leash = subprocess.Popen(
        [sys.executable, "-S", "-E", str(LEASH), "--watch", str(os.getpid()), sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert leash.stdout is not None
    assert leash.stdin is not None
    child = int(leash.stdout.readline())
    assert runs(child)
    leash.stdin.close()
    assert leash.wait(10) != 0
    assert eventually(lambda: not runs(child))
    leash.stdout.close()


def test_a_child_whose_parent_is_already_gone_does_not_start() -> None:
    done = subprocess.run(
        [sys.executable, str(LEASH), "1", sys.executable, "-c", "print('started')"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")


@pytest.fixture
def lines() -> list[str]:
    return []


def test_output_is_prefixed_with_the_name(lines: list[str]) -> None:
    script = "import sys; print('one'); print('two', file=sys.stderr); sys.stdout.buffer.write(b'\\xff\\n')"
    with Processes(write=lines.append, folder=ROOT) as processes:
        processes.start("web", sys.executable, "-u", "-c", script)
        assert processes.ended(timeout=10) is not None
    assert lines == ["web       | one", "web       | two", "web       | \ufffd"]


@pytest.mark.parametrize(
    ("script", "described"),
    [
        ("raise SystemExit(4)", "worker ended with exit code 4."),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "worker was ended by SIGKILL."),
    ],
)
def test_a_child_that_ends_by_itself_is_reported(lines: list[str], script: str, described: str) -> None:
    with Processes(write=lines.append, folder=ROOT) as processes:
        processes.start("web", sys.executable, "-c", SLEEPER)
        processes.start("worker", sys.executable, "-c", script)
        child = processes.ended(timeout=10)
        assert child is not None
        assert child.describe_end() == described
        assert processes.ended(timeout=0) is None


def test_stopping_is_no_unexpected_end_and_kills_what_does_not_obey(lines: list[str]) -> None:
    with Processes(write=lines.append, folder=ROOT, grace_secs=0.5) as processes:
        pids = [processes.start("stubborn", sys.executable, "-c", STUBBORN).pid]
        pids.append(processes.start("store", sys.executable, "-c", SLEEPER, last=True).pid)
        assert eventually(lambda: len(lines) == 2)
    assert processes.ended(timeout=0) is None
    assert not any(runs(pid) for pid in pids)


def test_what_others_need_is_stopped_last(lines: list[str]) -> None:
    told = (
        "import signal, sys, time\n"
        "def stop(*_):\n    time.sleep({pause}); print('down', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop); print('up', flush=True); time.sleep(60)"
    )
    with Processes(write=lines.append, folder=ROOT) as processes:
        processes.start("broker", sys.executable, "-c", told.format(pause=0), last=True)
        processes.start("worker", sys.executable, "-c", told.format(pause=0.3))
        assert eventually(lambda: len(lines) == 2)
        processes.stop()
        assert eventually(lambda: len(lines) == 4)
    assert lines[2:] == ["worker    | down", "broker    | down"]


def test_a_port_that_was_asked_for_and_is_taken_is_refused_in_one_line() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        taken = server.getsockname()[1]
        with pytest.raises(PortInUse, match=f"^Port {taken} on 127.0.0.1 is in use; name another"):
            choose_port(1, wanted=taken)
        assert choose_port(taken) != taken
    free = any_port()
    assert choose_port(free) == free
    assert choose_port(1, wanted=free) == free


def test_a_child_that_was_killed_on_purpose_takes_its_own_with_it_and_is_no_news(tmp_path: Path) -> None:
    said: list[str] = []
    family = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid, flush=True); "
    with Processes(write=said.append, folder=tmp_path) as processes:
        child = processes.start("one", sys.executable, "-c", family + SLEEPER)
        assert eventually(lambda: len(said) == 3)
        [grandchild] = [int(line.split()[-1]) for line in said if line.split()[-1].isdigit()]
        processes.end(child)
        assert eventually(lambda: not runs(child.pid) and not runs(grandchild))
        assert processes.ended(timeout=0.2) is None


def test_a_frozen_child_stands_still_and_goes_on_when_thawed(lines: list[str]) -> None:
    ticks = "import time\nfor n in range(1000): print(n, flush=True); time.sleep(0.02)"
    with Processes(write=lines.append, folder=ROOT) as processes:
        child = processes.start("ticks", sys.executable, "-c", ticks)
        assert eventually(lambda: lines)
        thaw = child.freeze()
        assert eventually(lambda: _stands_still(lines))
        thaw()
        said = len(lines)
        assert eventually(lambda: len(lines) > said)


def _stands_still(lines: list[str]) -> bool:
    before = len(lines)
    time.sleep(0.2)
    return len(lines) == before
