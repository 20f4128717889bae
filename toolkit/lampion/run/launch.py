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
from dataclasses import dataclass
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
    ``ranks`` or ``incomplete``."""
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
        failure = judge(attempt, process.returncode, engine.ranks, oom_killed=_oom_kills() > oom)
    if failure is not None:
        return _record(attempt, failure)
    folders.publish(folder, attempt)
    return None


def _record(attempt: Path, failure: Failure) -> Failure:
    folders.write_json(
        attempt / "failed.json", {"format": folders.FORMAT, "cause": failure.cause, "message": failure.message}
    )
    return failure


def judge(attempt: Path, code: int, ranks: int, *, oom_killed: bool = False) -> Failure | None:
    """Say what went wrong in an attempt that ended with the exit status `code`; None where all is well."""
    log = _text(attempt / folders.LOG)
    output = _text(attempt / folders.OUTPUT)
    said = next((line.strip() for line in (output + "\n" + log).splitlines() if line.startswith("ERROR")), "")
    last = next((line.strip() for line in output.splitlines() if line.startswith("Last input line")), "")
    detail = f"{said} [{last}]" if said and last else said
    # DeePMD-kit's plugin says so of a CUDA that is not there at its end too, when all is well.
    ended = code == 0 and "Total wall time" in output + log
    if not ended and re.search("error while loading shared libraries|cannot open shared object", output):
        return Failure(cause="executable", message=_first(output, "shared"))
    if said:
        for cause, pattern in _CAUSES:
            if re.search(pattern, said, re.IGNORECASE):
                return Failure(cause=cause, message=detail)
        return Failure(cause="input", message=detail)
    if oom_killed or "bad_alloc" in output:
        return Failure(
            cause="out of memory", message="the system killed it for memory; fewer atoms or ranks need less"
        )
    if code < 0 or code in (128 + signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGSEGV):
        number = -code if code < 0 else code - 128
        return Failure(cause="killed", message=f"ended by signal {number} ({signal.Signals(number).name})")
    if code != 0:
        lines = [line for line in output.splitlines() if line.strip()]
        return Failure(cause="input", message=f"exit status {code}: {lines[-1] if lines else 'no output'}")
    if "Total wall time" not in output + log:
        return Failure(cause="incomplete", message="LAMMPS ended without its closing line; the deck may quit early")
    if re.search(r"^ *\d+ .*\b[-+]?nan\b", log, re.MULTILINE | re.IGNORECASE):
        return Failure(
            cause="not a number", message="the log holds nan: the dynamics blew up; try a smaller timestep"
        )
    used = [int(n) for n in re.findall(r"^Loop time of \S+ on (\d+) procs", log, re.MULTILINE)]
    used += [x * y * z for x, y, z in _grids(log)]
    wrong = [n for n in used if n != ranks]
    if wrong:
        return Failure(
            cause="ranks",
            message=f"{ranks} ranks were asked for and LAMMPS ran on {wrong[0]}: mpiexec is not of its MPI",
        )
    return None


_CAUSES = (
    ("lost atoms", r"Lost atoms|Atoms? lost|out of range atoms"),
    ("not a number", r"Non-numeric|not a number|\bnan\b"),
    ("out of memory", r"Failed to (re)?allocate|out of memory"),
)


def _grids(log: str) -> list[tuple[int, int, int]]:
    found = re.findall(r"(\d+) by (\d+) by (\d+) MPI processor grid", log)
    return [(int(x), int(y), int(z)) for x, y, z in found]


def _text(path: Path, limit: int = 50_000_000) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(limit).decode("utf-8", errors="replace")


def _first(text: str, word: str) -> str:
    return next((line.strip() for line in text.splitlines() if word in line), text.strip()[:200])


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
