"""How a process counts, so that counting neither fails nor delays what it counts.

With PROMETHEUS_MULTIPROC_DIR set, each process of a host counts into files of its own in that folder, and whoever is
asked reads them all; without it, a process knows its own counts only. The folder belongs into memory (tmpfs): a slow
disk would delay, and its being full is met at a process's start, not at a count.

A process holds a lock on its files while it lives. The counts of those that ended are folded into one file, so that
sums never fall and files do not pile up.
"""

import fcntl
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import prometheus_client
from django.db import transaction
from prometheus_client import CollectorRegistry, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger(__name__)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
OTHER = "other"
FILE_BYTES = 1 << 16  # what the library maps at first, and more than all our meters take
KINDS = ("counter", "histogram")
DEAD = "dead"
PATIENCE_SECS = 2.0

# Around every count and held across a fork: a child must not inherit a lock of the library's that nobody will open.
_lock = threading.Lock()


class Folder:
    """Where the processes of a host count, each in its own files. Raises OSError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: list[int] = []
        self.enter()

    @staticmethod
    def process() -> str:
        """The name of this process in file names: containers that share a folder share neither names nor pids."""
        return f"{socket.gethostname().replace('_', '-')}-{os.getpid()}"

    def enter(self) -> None:
        """Make and lock the files of this process; anew in a forked child."""
        for held in self._held:  # our parent's, whose lock would outlive it in us
            os.close(held)
        self._held = []
        for kind in KINDS:
            self._held.append(self._hold(self.path / f"{kind}_{self.process()}.db"))

    def _hold(self, path: Path) -> int:
        while True:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(held, fcntl.LOCK_SH)  # another of our name has ended, and is being folded away
                if os.fstat(held).st_nlink:
                    _reserve(held)
                    return held
            except OSError:
                os.close(held)
                raise
            os.close(held)

    def counted(self) -> bytes:
        """As below, of all processes. Raises OSError."""
        everyone = CollectorRegistry()
        with self._to_ourselves():
            self._fold_the_dead()
            MultiProcessCollector(everyone, str(self.path))
            return prometheus_client.generate_latest(everyone)

    @contextmanager
    def _to_ourselves(self) -> Iterator[None]:
        """Nobody else reads or folds meanwhile. Raises TimeoutError after two seconds."""
        lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            patience = time.monotonic() + PATIENCE_SECS
            while not _taken(lock):
                if time.monotonic() > patience:
                    raise TimeoutError("another process reads the counts, or was stopped as it did")
                time.sleep(0.01)
            yield
        finally:
            os.close(lock)

    def _fold_the_dead(self) -> None:
        """Add the counts of processes that ended to those of the dead, and remove their files."""
        for kind in KINDS:
            dead = self.path / f"{kind}_{DEAD}.db"
            for path in self.path.glob(f"{kind}_*.db"):
                if path != dead:
                    _fold(path, into=dead)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _reserve(descriptor: int) -> None:
    """Take the room now: a mapped page that later finds none kills its process."""
    size = os.fstat(descriptor).st_size
    if size < FILE_BYTES:
        os.pwrite(descriptor, bytes(FILE_BYTES - size), size)


def _fold(path: Path, *, into: Path) -> None:
    with path.open("rb") as file:
        if not _taken(file.fileno()):
            return  # it lives
        try:
            counts = list(MmapedDict.read_all_values_from_file(str(path)))
        except (struct.error, RuntimeError, UnicodeDecodeError):
            logger.warning("the counts of a process that died at its start are lost file=%s", path.name)
            counts = []
        with into.open("ab") as reserved:
            _reserve(reserved.fileno())
        sums = MmapedDict(str(into))
        try:
            for key, value, _, _ in counts:
                sums.write_value(key, sums.read_value(key)[0] + value, 0.0)
        finally:
            sums.close()
        path.unlink()


def _open() -> Folder | None:
    """The folder, if one is named and can be used."""
    path = os.environ.get(FOLDER)
    if not path:
        return None
    try:
        return Folder(Path(path))
    except OSError as error:
        logger.error("%s cannot be used; this process counts for itself: %s", FOLDER, error)
        return None


folder = _open()
# As the library itself would choose by the variable, but with names that differ between containers, and only where
# the folder can be used: its own choice fails at the first meter.
values.ValueClass = values.MultiProcessValue(Folder.process) if folder else values.MutexValue
prometheus_client.disable_created_metrics()
_own = CollectorRegistry()


class _Recording:
    """Whether this process counts; off after a fork that could not make its files."""

    is_on = True
    has_failed = False


def _after_fork() -> None:
    _lock.release()
    if folder is not None:
        try:
            folder.enter()
            _Recording.is_on = True
        except OSError as error:
            _Recording.is_on = False
            logger.error("counts of process %s are lost: %s", os.getpid(), error)


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)


def _record(count: Callable[[], None]) -> None:
    """Whatever happens to a count, nothing happens to what is counted."""
    if not _Recording.is_on:
        return
    try:
        with _lock:
            count()
    except Exception:
        if not _Recording.has_failed:
            _Recording.has_failed = True
            logger.exception("a count was lost; further ones are lost silently")


class Counter:
    """How often something has happened. With ``label``, of which kind: one of ``among``, else ``other``.

    The kinds are named in advance, so that each is there at zero before it first happens (a count that appears as 1
    is no increase to Prometheus), and no sender of ours chooses how many series there are.
    """

    def __init__(self, name: str, said: str, *, label: str = "", among: Sequence[str] = ()) -> None:
        self.name = name
        meter = prometheus_client.Counter(name, said, [label] if label else [], registry=_own)
        self._one_of = {kind: meter.labels(kind) for kind in (*among, OTHER)} if label else {"": meter}

    def inc(self, kind: str = "") -> None:
        def count() -> None:
            meter = self._one_of.get(kind) or self._one_of[OTHER]
            meter.inc()

        _record(count)

    def inc_on_commit(self, kind: str = "") -> None:
        """Once the transaction stands; at once where there is none. For what a rollback would undo and repeat."""

        def count() -> None:  # a function, not a partial: Django reports a failed robust hook by its __qualname__
            self.inc(kind)

        transaction.on_commit(count, robust=True)


class Histogram:
    """How long something took, in seconds; ``among`` as for Counter."""

    def __init__(
        self, name: str, said: str, *, buckets: Sequence[float], label: str = "", among: Sequence[str] = ()
    ) -> None:
        self.name = name
        meter = prometheus_client.Histogram(name, said, [label] if label else [], buckets=buckets, registry=_own)
        self._one_of = {kind: meter.labels(kind) for kind in among} if label else {"": meter}

    def observe(self, secs: float, kind: str = "") -> None:
        _record(lambda: self._one_of[kind].observe(secs))


def counted() -> bytes:
    """What the processes of this host have counted, in Prometheus's text format.

    Raises OSError where the folder cannot be read, or is being read by another for too long.
    """
    if folder is None:
        return prometheus_client.generate_latest(_own)
    return folder.counted()
