"""Run LAMMPS in an attempt's folder, follow it, and say what went wrong."""

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lampion import deck as decks
from lampion import engine as engines
from lampion.engine import Engine
from lampion.lammps import Lammps
from lampion.run import folder as folders
from lampion.run import lease as leases
from lampion.run import resume as resumes
from lampion.run.judge import Failure, judge
from lampion.slots import Slot

POLL = 0.1
"""Seconds between looks at a running LAMMPS."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a running LAMMPS is."""

    step: int
    n_steps: int
    rate: float
    """Steps per second of wall time; 0 until known."""
    timestep: float | None
    """ps."""


class Busy(Exception):  # noqa: N818 (nothing went wrong: another works on it)
    """Another driver works on the run, or ended it."""


class Stopped(Exception):  # noqa: N818 (nothing went wrong: the user asked)
    """The study is being stopped; the run will be redone."""


def launch(
    folder: Path,
    lammps: Lammps,
    engine: Engine,
    *,
    slot: Slot | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Failure | None:
    """Run the deck in `folder` in a new attempt and publish it, or record why it is no result.

    Args:
        folder: of the run.
        lammps: what runs it.
        engine: how.
        slot: the cores and GPUs that it may use; all where not given.
        stop: ends it when set.
        on_progress: is told how far it is.

    Raises:
        Busy: another driver works on the run, or is done with it.
        Stopped: `stop` was set; the attempt is left without result and cause.
    """
    found = resumes.resumption(folder)
    attempt = folders.new_attempt(folder)
    if attempt is None:
        raise Busy
    try:
        if found is not None:
            resumes.take_up(attempt, found)
        deck = decks.DECK if found is None else found.deck
        return _launched(folder, attempt, deck, lammps, engine, slot, stop, on_progress)
    finally:
        leases.release(attempt)


def _launched(
    folder: Path,
    attempt: Path,
    deck: str,
    lammps: Lammps,
    engine: Engine,
    slot: Slot | None,
    stop: threading.Event | None,
    on_progress: Callable[[Progress], None] | None,
) -> Failure | None:
    n_steps = int(folders.read_json(folder / "run.json", "n_steps")["n_steps"])
    words = engines.command(lammps, engine, deck)
    (attempt / "run.sh").write_text(_script(words, lammps, engine))
    oom = _oom_kills()
    output = attempt / folders.OUTPUT
    late = False
    _pin(slot)
    try:
        with output.open("wb") as out:
            process = subprocess.Popen(
                [*_die_with_us(engine), *words],
                cwd=attempt,
                env={**engines.environment(lammps, engine), **_visible(slot)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        return _record(
            attempt, Failure(cause="executable", message=f"{words[0]}: can't be started: {error.strerror}")
        )
    start = time.monotonic()
    follow = _Follower(attempt / folders.LOG, n_steps)
    shown, renewed = 0.0, start
    while process.poll() is None:
        if time.monotonic() - renewed > leases.BEAT:
            renewed = time.monotonic()
            leases.renew(attempt)
        if stop is not None and stop.is_set():
            _terminate(process)
            raise Stopped
        if engine.timeout is not None and time.monotonic() - start > engine.timeout:
            late = True
            _terminate(process)
        if on_progress is not None and time.monotonic() - shown > 0.5:
            shown = time.monotonic()
            on_progress(follow.look())
        _wait(process, POLL)
    if late:
        failure: Failure | None = Failure(
            cause="time limit", message=f"stopped after engine.timeout of {engine.timeout:g} s; raise it or run less"
        )
    else:
        failure = judge(
            attempt, process.returncode, engine.ranks, threads=engine.threads, oom_killed=_oom_kills() > oom
        )
    if failure is not None and failure.cause == "input" and deck != decks.DECK:
        # The state that it was to go on from may be at fault: the next attempt begins afresh.
        failure = Failure(cause="restart", message=failure.message)
    if failure is not None:
        return _record(attempt, failure)
    cores = engine.ranks * engine.threads
    earlier = [segment.folder for segment in resumes.segments(attempt)[:-1]]
    folders.publish(folder, attempt, wall=time.monotonic() - start, cores=cores, earlier=earlier)
    return None


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Return when the process ends, or after `seconds`; where the kernel can tell, at once when it ends."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return
    try:
        select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)


def _pin(slot: Slot | None) -> None:
    """Let this thread, and the LAMMPS that it starts, use the slot's cores alone."""
    if slot is not None and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # not allowed everywhere; the locks hold all the same
            os.sched_setaffinity(0, slot.cores)


def _visible(slot: Slot | None) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": ",".join(slot.gpus)} if slot is not None and slot.gpus else {}


def _record(attempt: Path, failure: Failure) -> Failure:
    folders.write_json(
        attempt / "failed.json", {"format": folders.FORMAT, "cause": failure.cause, "message": failure.message}
    )
    return failure


def _oom_kills() -> int:
    """Return how often the kernel killed something in this control group for memory."""
    try:
        text = Path("/sys/fs/cgroup/memory.events").read_text()
    except OSError:
        return 0
    found = re.search(r"^oom_kill (\d+)", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _die_with_us(engine: Engine) -> list[str]:
    """Return the prefix that ends LAMMPS when its driver is killed, so that none runs beside its successor.

    mpiexec gets SIGTERM, on which it ends its ranks.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM" if engine.ranks > 1 else "KILL", "--"] if setpriv else []


def _terminate(process: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return


def _script(words: list[str], lammps: Lammps, engine: Engine) -> str:
    """Return a script that repeats the run by hand."""
    import shlex

    variables = {**lammps.environment, "OMP_NUM_THREADS": str(engine.threads)}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    return f"#!/bin/sh\n# Repeats this run in the folder that it lies in.\n{exports}exec {shlex.join(words)}\n"


class _Follower:
    """Reads a growing log from where it stopped reading."""

    def __init__(self, log: Path, n_steps: int) -> None:
        self.log, self.n_steps = log, n_steps
        self.offset, self.finished, self.first, self.step = 0, 0, None, 0  # type: tuple[int, int, int | None, int]
        self.timestep: float | None = None
        self.began = time.monotonic()

    def look(self) -> Progress:
        """Return how far the run is by now."""
        try:
            with self.log.open("rb") as file:
                file.seek(self.offset)
                chunk = file.read()
        except OSError:
            chunk = b""
        end = chunk.rfind(b"\n") + 1
        self.offset += end
        for line in chunk[:end].decode("utf-8", errors="replace").splitlines():
            self._take(line)
        done = self.finished + (self.step - self.first if self.first is not None else 0)
        elapsed = time.monotonic() - self.began
        return Progress(step=done, n_steps=self.n_steps, rate=done / elapsed if done else 0.0, timestep=self.timestep)

    def _take(self, line: str) -> None:
        words = line.split()
        if words and words[0].isdigit() and len(words) > 2:
            self.step = int(words[0])
            if self.first is None:
                self.first = self.step
        elif ended := re.match(r"Loop time of \S+ on \d+ procs for (\d+) steps", line):
            self.finished, self.first = self.finished + int(ended.group(1)), None
        elif line.startswith("timestep ") and len(words) == 2:
            try:
                self.timestep = float(words[1])
            except ValueError:
                self.timestep = None
        elif words and words[0] == "Step":
            self.first = None
