"""What went wrong in an attempt: its exit status, and what LAMMPS said."""

import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

from lampion.run import folder as folders


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an attempt is no result."""

    cause: str
    """``input``, ``disk``, ``lost atoms``, ``not a number``, ``killed``, ``out of memory``, ``time limit``,
    ``executable``, ``ranks``, ``threads``, ``restart`` or ``incomplete``."""
    message: str


@dataclass(kw_only=True)
class _Said:
    """What the output and the log say of how the run went, gathered line by line: either may be gigabytes."""

    error: str = ""
    input_line: str = ""
    shared: str = ""
    last: str = ""
    full: str = ""
    thrown: str = ""
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
        if _ROW.fullmatch(line):
            self.nan = self.nan or bool(_NAN.search(line))
        elif line.startswith(("ERROR:", "ERROR on proc")):
            self.error = self.error or line.strip()
        elif line.startswith("Last input line"):
            self.input_line = self.input_line or line.strip()
        elif line.startswith("Total wall time"):
            # DeePMD-kit's plugin says so of a CUDA that is not there at its end too, when all is well.
            self.ended = True
        elif loop := _LOOP.match(line):
            self.procs.add(int(loop[1]))
        elif grid := _GRID.fullmatch(line):
            self.procs.add(int(grid[1]) * int(grid[2]) * int(grid[3]))
        elif threads := _THREADS.search(line):
            self.threads.add(int(threads[1]))
        elif _FULL.search(line):
            self.full = self.full or line.strip()
        elif "bad_alloc" in line:
            self.memory = True
        elif _THROWN.search(line):
            self.thrown = self.thrown or line.strip()
        elif _SHARED.search(line):
            self.shared = self.shared or line.strip()
        if not line.isspace():
            self.last = line.strip()


_FULL = re.compile("No space left on device|Disk quota exceeded|Stale file handle")
_ROW = re.compile(r"[ \t]*\d+([ \t]+[-+]?(\d[\d.]*(e[-+]?\d+)?|\.\d+|nan|inf))+\s*", re.IGNORECASE)
_THROWN = re.compile(r"what\(\):|[Ee]xception|c10::Error|RuntimeError")
_NAN = re.compile(r"\b[-+]?nan\b", re.IGNORECASE)
_LOOP = re.compile(r"Loop time of \S+ on (\d+) procs")
_GRID = re.compile(r"\s+(\d+) by (\d+) by (\d+) MPI processor grid\s*")
_THREADS = re.compile(r"(\d+) OpenMP thread\(s\) per MPI task")
_SHARED = re.compile("error while loading shared libraries|cannot open shared object")


def judge(attempt: Path, code: int, ranks: int, *, threads: int = 1, oom_killed: bool = False) -> Failure | None:
    """Say what went wrong in an attempt that ended with the exit status `code`; None where all is well."""
    said = _Said()
    # The output last: its last line is what was said last, the log's is a command.
    for name in (folders.LOG, folders.OUTPUT):
        said.read(attempt / name)
    if said.shared and not (code == 0 and said.ended):
        return Failure(cause="executable", message=said.shared)
    if said.error:
        detail = f"{said.error} [{said.input_line}]" if said.input_line else said.error
        for cause, pattern in _CAUSES:
            if re.search(pattern, said.error, re.IGNORECASE):
                return Failure(cause=cause, message=detail)
        return Failure(cause="input", message=detail)
    if said.full and not (code == 0 and said.ended):
        return Failure(cause="disk", message=said.full)
    if oom_killed or said.memory:
        return Failure(
            cause="out of memory", message="the system killed it for memory; fewer atoms or ranks need less"
        )
    if code < 0 or code in (128 + signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGSEGV, 128 + signal.SIGABRT):
        number = -code if code < 0 else code - 128
        why = f": {said.thrown}" if said.thrown else ""
        # One that ends itself would do so again; others were killed.
        cause = "input" if said.thrown and number == signal.SIGABRT else "killed"
        return Failure(cause=cause, message=f"ended by signal {number} ({signal.Signals(number).name}){why}")
    if code != 0:
        return Failure(cause="input", message=f"exit status {code}: {said.thrown or said.last or 'no output'}")
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
    ("disk", r"No space left|Disk quota|Stale file handle|Input/output error"),
    ("lost atoms", r"Lost atoms|Atoms? lost|out of range atoms"),
    ("not a number", r"Non-numeric|not a number|\bnan\b"),
    ("out of memory", r"Failed to (re)?allocate|out of memory"),
)
