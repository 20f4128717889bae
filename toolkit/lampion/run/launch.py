"""Run LAMMPS in an attempt's folder, follow it, and say what went wrong."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lampion import engine as engines
from lampion.engine import Engine
from lampion.lammps import Lammps
from lampion.run import folder as folders

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


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt is no result."""

    cause: str
    """``input``, ``lost atoms``, ``not a number``, ``killed``, ``out of memory``, ``time limit``, ``executable``,
    ``ranks``, ``threads`` or ``incomplete``."""
    message: str


class Stopped(Exception):  # noqa: N818 (nothing went wrong: the user asked)
    """The study is being stopped; the run will be redone."""


def launch(
    folder: Path,
    lammps: Lammps,
    engine: Engine,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Failure | None:
    """Run the deck in `folder` in a new attempt and publish it, or record why it is no result.

    Raises:
        Stopped: `stop` was set; the attempt is left without result and cause.
    """
    attempt = folders.new_attempt(folder)
    n_steps = int(folders.read_json(folder / "run.json", "n_steps")["n_steps"])
    words = engines.command(lammps, engine)
    (attempt / "run.sh").write_text(_script(words, lammps, engine))
    oom = _oom_kills()
    output = attempt / folders.OUTPUT
    late = False
    try:
        with output.open("wb") as out:
            process = subprocess.Popen(
                [*_die_with_us(engine), *words],
                cwd=attempt,
                env=engines.environment(lammps, engine),
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
    shown = 0.0
    while process.poll() is None:
        if stop is not None and stop.is_set():
            _terminate(process)
            raise Stopped
        if engine.timeout is not None and time.monotonic() - start > engine.timeout:
            late = True
            _terminate(process)
        if on_progress is not None and time.monotonic() - shown > 0.5:
            shown = time.monotonic()
            on_progress(follow.look())
        time.sleep(POLL)
    if late:
        failure: Failure | None = Failure(
            cause="time limit", message=f"stopped after engine.timeout of {engine.timeout:g} s; raise it or run less"
        )
    else:
        failure = judge(
            attempt, process.returncode, engine.ranks, threads=engine.threads, oom_killed=_oom_kills() > oom
        )
    if failure is not None:
        return _record(attempt, failure)
    folders.publish(folder, attempt)
    return None


def _record(attempt: Path, failure: Failure) -> Failure:
    folders.write_json(
        attempt / "failed.json", {"format": folders.FORMAT, "cause": failure.cause, "message": failure.message}
    )
    return failure


@dataclass(kw_only=True)
class _Said:
    """What the output and the log say of how the run went, gathered line by line: either may be gigabytes."""

    error: str = ""
    input_line: str = ""
    shared: str = ""
    last: str = ""
    memory: bool = False
    nan: bool = False
    ended: bool = False
    procs: set[int] = field(default_factory=set)
    threads: set[int] = field(default_factory=set)

    def read(self, path: Path) -> None:
        """Take in a file; one that is not there says nothing."""
        if not path.is_file():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                self._take(line)

    def _take(self, line: str) -> None:
        if _ROW.match(line):
            self.nan = self.nan or bool(_NAN.search(line))
        elif line.startswith("ERROR"):
            self.error = self.error or line.strip()
        elif line.startswith("Last input line"):
            self.input_line = self.input_line or line.strip()
        elif line.startswith("Total wall time"):
            # DeePMD-kit's plugin says so of a CUDA that is not there at its end too, when all is well.
            self.ended = True
        elif loop := _LOOP.match(line):
            self.procs.add(int(loop[1]))
        elif grid := _GRID.search(line):
            self.procs.add(int(grid[1]) * int(grid[2]) * int(grid[3]))
        elif threads := _THREADS.search(line):
            self.threads.add(int(threads[1]))
        elif "bad_alloc" in line:
            self.memory = True
        elif _SHARED.search(line):
            self.shared = self.shared or line.strip()
        if not line.isspace():
            self.last = line.strip()


_ROW = re.compile(r" *\d+ ")
_NAN = re.compile(r"\b[-+]?nan\b", re.IGNORECASE)
_LOOP = re.compile(r"Loop time of \S+ on (\d+) procs")
_GRID = re.compile(r"(\d+) by (\d+) by (\d+) MPI processor grid")
_THREADS = re.compile(r"(\d+) OpenMP thread\(s\) per MPI task")
_SHARED = re.compile("error while loading shared libraries|cannot open shared object")


def judge(attempt: Path, code: int, ranks: int, *, threads: int = 1, oom_killed: bool = False) -> Failure | None:
    """Say what went wrong in an attempt that ended with the exit status `code`; None where all is well."""
    said = _Said()
    for name in (folders.OUTPUT, folders.LOG):
        said.read(attempt / name)
    if said.shared and not (code == 0 and said.ended):
        return Failure(cause="executable", message=said.shared)
    if said.error:
        detail = f"{said.error} [{said.input_line}]" if said.input_line else said.error
        for cause, pattern in _CAUSES:
            if re.search(pattern, said.error, re.IGNORECASE):
                return Failure(cause=cause, message=detail)
        return Failure(cause="input", message=detail)
    if oom_killed or said.memory:
        return Failure(
            cause="out of memory", message="the system killed it for memory; fewer atoms or ranks need less"
        )
    if code < 0 or code in (128 + signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGSEGV):
        number = -code if code < 0 else code - 128
        return Failure(cause="killed", message=f"ended by signal {number} ({signal.Signals(number).name})")
    if code != 0:
        return Failure(cause="input", message=f"exit status {code}: {said.last or 'no output'}")
    if not said.ended:
        return Failure(cause="incomplete", message="LAMMPS ended without its closing line; the deck may quit early")
    if said.nan:
        return Failure(
            cause="not a number", message="the log holds nan: the dynamics blew up; try a smaller timestep"
        )
    return _elsewhere(said, ranks, threads)


def _elsewhere(said: _Said, ranks: int, threads: int) -> Failure | None:
    """Say where LAMMPS ran on other ranks or threads than were asked for."""
    if wrong := said.procs - {ranks}:
        return Failure(
            cause="ranks",
            message=f"{ranks} ranks were asked for and LAMMPS ran on {min(wrong)}: mpiexec is not of its MPI",
        )
    if wrong := said.threads - {threads}:
        return Failure(
            cause="threads",
            message=f"{threads} threads a rank were asked for and LAMMPS ran on {min(wrong)}: the deck sets its own "
            "number (`package omp`); set engine.threads to it",
        )
    return None


_CAUSES = (
    ("lost atoms", r"Lost atoms|Atoms? lost|out of range atoms"),
    ("not a number", r"Non-numeric|not a number|\bnan\b"),
    ("out of memory", r"Failed to (re)?allocate|out of memory"),
)


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
