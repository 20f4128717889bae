"""Hand runs to an executor: as many at a time as this machine has cores for."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from lampion.engine import Engine
from lampion.lammps import Lammps
from lampion.run import Failure, Progress, Stopped, launch

POLL = 0.2
"""Seconds between looks for Ctrl-C."""


def slots(engine: Engine) -> int:
    """Return how many runs fit on this machine at a time; ranks are never oversubscribed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = max(1, cores // (engine.ranks * engine.threads))
    return min(engine.parallel, fitting) if engine.parallel else fitting


def run_all(
    folders: Mapping[Path, Lammps],
    engine: Engine,
    *,
    on_progress: Callable[[Path, Progress], None] | None = None,
    on_end: Callable[[Path, Failure | None], None] | None = None,
) -> bool:
    """Run the deck in each folder with its LAMMPS; True when all were tried, False when the user stopped it.

    Ctrl-C and SIGTERM end the running LAMMPS's and leave a study that resumes.
    """
    stop = threading.Event()

    def one(folder: Path) -> Failure | None:
        def tell(progress: Progress) -> None:
            if on_progress is not None:
                on_progress(folder, progress)

        if stop.is_set():
            raise Stopped
        return launch(folder, folders[folder], engine, stop=stop, on_progress=tell)

    with _stops_on_signals(stop), ThreadPoolExecutor(slots(engine)) as pool:
        pending = {pool.submit(one, folder): folder for folder in folders}
        waiting = set(pending)
        try:
            while waiting and not stop.is_set():
                ended, waiting = wait(waiting, timeout=POLL, return_when=FIRST_COMPLETED)
                for future in ended:
                    try:
                        failure = future.result()
                    except Stopped:
                        continue
                    if on_end is not None:
                        on_end(pending[future], failure)
        finally:
            if waiting:
                stop.set()
                pool.shutdown(cancel_futures=True)
    return not stop.is_set()


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
