"""Hand runs to an executor: as many at a time as this machine has cores for."""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

from lampion.engine import Engine
from lampion.lammps import Lammps
from lampion.run import Failure, Progress, Stopped, launch


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

    Ctrl-C ends the running LAMMPS's and leaves a study that resumes.
    """
    stop = threading.Event()

    def one(folder: Path) -> Failure | None:
        def tell(progress: Progress) -> None:
            if on_progress is not None:
                on_progress(folder, progress)

        if stop.is_set():
            raise Stopped
        return launch(folder, folders[folder], engine, stop=stop, on_progress=tell)

    with ThreadPoolExecutor(slots(engine)) as pool:
        pending = {pool.submit(one, folder): folder for folder in folders}
        waiting = set(pending)
        try:
            while waiting:
                ended, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in ended:
                    failure = future.result()
                    if on_end is not None:
                        on_end(pending[future], failure)
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(cancel_futures=True)
            return False
        except BaseException:
            stop.set()
            raise
    return True
