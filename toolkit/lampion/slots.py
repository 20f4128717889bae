"""Cores and GPUs of this machine, handed out so that no run shares one: also between several drivers.

Each core and each GPU is a file that is locked while a run uses it. The kernel gives a lock back when its driver
ends, however it ends.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lampion.errors import EngineError

logger = logging.getLogger("lampion")

POLL = 0.1
"""Seconds between looks for a free core or GPU."""
PATIENCE = 10.0
"""Seconds of waiting after which that is said."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one run may use."""

    cores: tuple[int, ...]
    gpus: tuple[str, ...] = ()
    """As CUDA_VISIBLE_DEVICES names them."""


def cores() -> tuple[int, ...]:
    """Return the cores that this process may use: an allocation's, a container's, or the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(os.getpid())))  # the main thread's: others may be pinned
    return tuple(range(os.cpu_count() or 1))


def gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else those that nvidia-smi lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(part.strip() for part in named.split(",") if part.strip() not in ("", "-1", "NoDevFiles"))
    return _listed()


@lru_cache
def _listed() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [program, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
    return ()


def fitting(n_cores: int, n_gpus: int) -> int:
    """Return how many runs fit on this machine at a time; one that wants more cores than there are gets all.

    Raises:
        EngineError: there are fewer GPUs than one run wants.
    """
    at_a_time = max(1, len(cores()) // n_cores)
    if not n_gpus:
        return at_a_time
    there = gpus()
    if len(there) < n_gpus:
        raise EngineError(
            f"engine: a run wants {n_gpus} GPUs and this machine shows {len(there)} "
            "(CUDA_VISIBLE_DEVICES, else nvidia-smi)"
        )
    return min(at_a_time, len(there) // n_gpus)


@contextlib.contextmanager
def held(n_cores: int, n_gpus: int = 0, *, stop: threading.Event | None = None) -> Iterator[Slot | None]:
    """Hold cores and GPUs for one run, waiting until they are free; None where `stop` was set meanwhile."""
    begun, said = time.monotonic(), False
    with contextlib.ExitStack() as stack:
        while stop is None or not stop.is_set():
            taken = contextlib.ExitStack()
            own = _take("core", [str(core) for core in cores()], min(n_cores, len(cores())), taken)
            devices = _take("gpu", gpus(), n_gpus, taken) if own is not None and n_gpus else ()
            if own is None or devices is None:
                # All or nothing: two drivers that hold half each would wait for ever.
                taken.close()
                _wait(stop)
                if not said and time.monotonic() - begun > PATIENCE:
                    said = True
                    logger.warning("waiting for %d cores and %d GPUs that other runs use", n_cores, n_gpus)
                continue
            stack.push(taken.pop_all())
            yield Slot(cores=tuple(int(core) for core in own), gpus=tuple(devices))
            return
        yield None


def _wait(stop: threading.Event | None) -> None:
    (stop or threading.Event()).wait(POLL)


def _take(kind: str, names: Sequence[str], n: int, stack: contextlib.ExitStack) -> list[str] | None:
    """Lock `n` of the named files; None, with none of them kept for long, where fewer are free."""
    folder = _folder()
    found: list[str] = []
    for name in names:
        if len(found) == n:
            break
        descriptor = os.open(
            folder / f"{kind}-{name.replace('/', '_')}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        stack.callback(os.close, descriptor)
        found.append(name)
    return found if len(found) == n else None


def _folder() -> Path:
    """Return the folder of the locks, which belongs to this machine and user: home may be shared by many machines.

    $LAMPION_SLOTS names another, whose drivers share cores among themselves only.
    """
    named = os.environ.get("LAMPION_SLOTS")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"lampion-slots-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
