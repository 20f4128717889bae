"""Hand runs to an executor: as many at a time as this machine has cores and GPUs for, shared with other drivers."""

import contextlib
import errno
import logging
import os
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from lampion import run, slots
from lampion.engine import Engine
from lampion.errors import RunError
from lampion.lammps import Lammps
from lampion.run import Busy, Failure, Progress, Stopped, launch

logger = logging.getLogger("lampion")

POLL = 0.2
"""Seconds between looks for Ctrl-C."""
ELSEWHERE = 2.0
"""Seconds between looks at runs that other drivers work on."""
PAUSE = 10.0
"""Seconds between looks whether a folder can be written again."""
ROOM = 1 << 20
"""Bytes that must be free before a run is tried again after the disk was full."""

AGAIN = ("killed", "disk")
"""Causes that another try may help."""
_PAUSING = (errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO, errno.EROFS, errno.ENOTCONN, errno.EHOSTDOWN)


def at_a_time(engine: Engine) -> int:
    """Return how many runs fit on this machine at a time; neither cores nor GPUs are oversubscribed.

    Raises:
        EngineError: there are fewer GPUs than one run wants.
    """
    fitting = slots.fitting(engine.ranks * engine.threads, engine.gpus_of_a_run)
    return min(engine.parallel, fitting) if engine.parallel else fitting


@dataclass(frozen=True)
class _Elsewhere:
    """Another driver works on the run."""


def run_all(
    folders: Mapping[Path, Lammps],
    engine: Engine,
    *,
    prepare: Callable[[Path], None] | None = None,
    share: bool = False,
    on_progress: Callable[[Path, Progress], None] | None = None,
    on_end: Callable[[Path, Failure | None], None] | None = None,
) -> bool:
    """Run the deck in each folder with its LAMMPS; True when all were tried, False when the user stopped it.

    `prepare` writes a run's folder when its turn comes.

    Several drivers share the work: what another one has begun is waited for, and taken over where that one dies; with
    `share` it is left to that one. Ctrl-C and SIGTERM end the running LAMMPS's and leave a study that resumes. A disk
    that is full pauses it.
    """
    stop = threading.Event()
    known = {folder: run.state(folder).attempts for folder in folders}

    def one(folder: Path) -> Failure | _Elsewhere | None:
        def tell(progress: Progress) -> None:
            if on_progress is not None:
                on_progress(folder, progress)

        if stop.is_set():
            raise Stopped
        if prepare is not None and (failure := _prepared(folder, prepare, stop)):
            return failure
        return _tried(folder, folders[folder], engine, stop, tell, known[folder])

    workers = at_a_time(engine)
    todo = deque(folders)
    with _stops_on_signals(stop), ThreadPoolExecutor(workers) as pool:
        pending: dict[Future[Failure | _Elsewhere | None], Path] = {}
        elsewhere: set[Path] = set()
        looked = time.monotonic()
        try:
            while (todo or pending or elsewhere) and not stop.is_set():
                # A few at a time: to wait for thousands of futures costs as much at each that ends.
                while todo and len(pending) < 4 * workers:
                    folder = todo.popleft()
                    pending[pool.submit(one, folder)] = folder
                ended, _ = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED) if pending else (set(), None)
                for future in ended:
                    folder = pending.pop(future)
                    try:
                        outcome = future.result()
                    except Stopped:
                        continue
                    if isinstance(outcome, _Elsewhere):
                        if not share:
                            elsewhere.add(folder)
                    elif on_end is not None:
                        on_end(folder, outcome)
                if not pending and not todo:
                    stop.wait(POLL)
                if elsewhere and (time.monotonic() - looked > ELSEWHERE or not pending):
                    looked = time.monotonic()
                    back = [folder for folder in elsewhere if run.state(folder).name != "running"]
                    elsewhere.difference_update(back)
                    todo.extend(back)
        finally:
            if pending:
                stop.set()
                pool.shutdown(cancel_futures=True)
    return not stop.is_set()


def _prepared(folder: Path, prepare: Callable[[Path], None], stop: threading.Event) -> Failure | None:
    """Write a run's folder; one that can't be is that run's failure, and a full disk is waited for."""
    while True:
        try:
            prepare(folder)
        except RunError as error:
            cause = error.__cause__
            failure = Failure(cause="folder", message=str(error))
            if not (isinstance(cause, OSError) and cause.errno in _PAUSING):
                return failure
            _wait_for_room(next(place for place in folder.parents if place.is_dir()), failure, stop)
            if stop.wait(POLL):
                raise Stopped from error
        else:
            return None


def _tried(
    folder: Path,
    lammps: Lammps,
    engine: Engine,
    stop: threading.Event,
    tell: Callable[[Progress], None],
    known: int,
) -> Failure | _Elsewhere | None:
    """Run one deck, and once more where that can help; what another driver ended meanwhile is not done again."""
    now = run.state(folder)
    if now.name == "done":
        return None
    if now.name == "failed" and now.attempts > known:
        return Failure(cause=now.cause, message=now.message)
    tries = 0
    while True:
        with slots.held(engine.ranks * engine.threads, engine.gpus_of_a_run, stop=stop) as slot:
            if slot is None:
                raise Stopped
            try:
                failure = launch(folder, lammps, engine, slot=slot, stop=stop, on_progress=tell)
            except Busy:
                return _Elsewhere()
            except OSError as error:
                if error.errno not in _PAUSING:
                    raise
                failure = Failure(cause="disk", message=f"{folder}: {error.strerror}")
        if failure is not None and failure.cause == "disk":
            _wait_for_room(folder, failure, stop)
        if failure is None or failure.cause not in AGAIN or tries >= engine.retries:
            return failure
        tries += 1
        logger.info(
            "%s: %s (%s); trying again, %d of %d", folder, failure.cause, failure.message, tries, engine.retries
        )


def _wait_for_room(folder: Path, failure: Failure, stop: threading.Event) -> None:
    """Wait until the folder can be written again.

    Raises:
        Stopped: `stop` was set meanwhile.
    """
    said = False
    while not _has_room(folder):
        if not said:
            logger.warning("%s: %s; waiting until it can be written again (or Ctrl-C)", folder, failure.message)
            said = True
        if stop.wait(PAUSE):
            raise Stopped


def _has_room(folder: Path) -> bool:
    probe = folder / f".room-{uuid.uuid4().hex}"
    try:
        with probe.open("wb") as file:
            file.write(b"\0" * ROOM)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def _stops_on_signals(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM set `stop`: an exception in their place can be lost where Python ignores it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
