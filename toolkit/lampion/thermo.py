"""Read LAMMPS logs: the thermodynamic table of every run, and what LAMMPS said went wrong."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lampion.errors import TrajectoryError

Column = NDArray[np.float64] | NDArray[np.int64]

TIME_IN_PS: Mapping[str, float] = MappingProxyType(
    {"metal": 1.0, "real": 1e-3, "si": 1e12, "cgs": 1e12, "electron": 1e-3, "micro": 1e6, "nano": 1e3}
)
"""LAMMPS's unit of time in ps, for each of its unit styles that has one (lj has none)."""

_DEFAULT_TIMESTEP = {
    "metal": 1e-3,
    "real": 1.0,
    "si": 1e-8,
    "cgs": 1e-8,
    "electron": 1e-3,
    "micro": 2.0,
    "nano": 45e-5,
}
_LOOP = re.compile(r"Loop time of (\S+) on (\d+) procs? for (\d+) steps with (\d+) atoms")
_GRID = re.compile(r"\s+(\d+) by (\d+) by (\d+) MPI processor grid")
_THREADS = re.compile(r"(\d+) OpenMP thread\(s\) per MPI task|MPI tasks x (\d+) OpenMP threads")
_MEMORY = ("Per MPI rank memory allocation", "Memory usage per processor")
_MULTI = re.compile(r"-{3,} Step\s+(\d+) -{3,} CPU =\s+(\S+) \(sec\) -{3,}")
_HEADER = re.compile(r" {2,}Step(\s|$)")
_PART = re.compile(r"([A-Z]\w*) +\|[^|]*\| *([0-9.e+-]+) *\|")
_ALIGNED = re.compile(r"[^=]{8,}=\s+\S")
"""Of style multi: names are padded to eight columns, which a line of a fix is not."""
_PAIR = re.compile(r"(\S+)\s*=\s*(\S+)")


@dataclass(frozen=True, kw_only=True)
class ThermoRun:
    """The thermodynamic table of one ``run`` or ``minimize``, and how the run went.

    The columns keep LAMMPS's own names and units (``Step``, ``Temp``, ``PotEng``, ``Press``, ...).
    """

    columns: Mapping[str, Column]
    """Each column (n_rows,), in the units of `units`; ``Step`` is int64, the others float64."""

    units: str | None
    """LAMMPS's unit style as the log echoes it; None if it doesn't."""

    timestep: float | None
    """ps; None where the log doesn't say, where it varied (``fix dt/reset``), and in lj units."""

    n_atoms: int | None
    """None if the run didn't end."""

    n_procs: int | None
    n_threads: int | None
    """OpenMP threads of each MPI task."""

    n_steps: int | None
    """Steps of this run; None if it didn't end."""

    loop_time: float | None
    """Wall time of the run in s; None if it didn't end."""

    complete: bool
    """LAMMPS printed the run's "Loop time"."""

    breakdown: Mapping[str, float] = field(default_factory=dict)
    """Wall time in s of each part (``Pair``, ``Neigh``, ``Comm``, ``Output``, ``Modify``, ``Other``), mean over the
    MPI ranks; empty if LAMMPS didn't print it."""

    reset: bool = False
    """``reset_timestep`` stands before it: its steps don't go on from those of the run before."""

    errors: tuple[str, ...] = ()
    """The ERROR lines during this run and up to the next."""

    warnings: tuple[str, ...] = ()
    """The WARNING lines while the table was printed, each once."""

    @property
    def steps_per_second(self) -> float | None:
        """Steps in a second of wall time; None if the run didn't end, or had no steps."""
        return self.n_steps / self.loop_time if self.n_steps and self.loop_time else None


@dataclass(frozen=True, kw_only=True)
class LogMessages:
    """What LAMMPS complained of, anywhere in a log, each line once and in order."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def read_log(path: str | Path) -> tuple[ThermoRun, ...]:
    """Read the thermodynamic output of every ``run`` and ``minimize`` in a LAMMPS log.

    Styles ``one``, ``multi`` and ``yaml`` are read, with warnings and other output between the rows: a line of
    ``fix print`` that holds as many numbers as a row is told by its indent, and by a step that doesn't grow. A row
    that was cut off (a killed run) is dropped. A log without any run gives an empty tuple.

    Args:
        path: the log.

    Returns:
        One `ThermoRun` for each table, in the order of the log.

    Raises:
        TrajectoryError: there is no such file, it isn't a LAMMPS log, or a row doesn't fit its header.
    """
    log = _Log()
    for number, line in enumerate(_lines(path), start=1):
        try:
            log.read(line)
        except ValueError as error:
            raise TrajectoryError(f"{path}:{number}: {error}") from error
    runs = log.finish()
    if not log.is_log:
        raise TrajectoryError(f"{path} is not a LAMMPS log: no line starts with 'LAMMPS (' and it holds no run")
    return runs


def read_messages(path: str | Path) -> LogMessages:
    """Read the ERROR and WARNING lines of a LAMMPS log, also of one that failed before its first run.

    Raises:
        TrajectoryError: there is no such file.
    """
    errors: dict[str, None] = {}
    warnings: dict[str, None] = {}
    for line in _lines(path):
        if line.startswith(("ERROR:", "ERROR on")):
            errors[line.strip()] = None
        elif line.startswith("WARNING:"):
            warnings[line.strip()] = None
    return LogMessages(errors=tuple(errors), warnings=tuple(warnings))


def join_runs(runs: Sequence[ThermoRun]) -> dict[str, Column]:
    """Join the tables of consecutive runs (a restarted run, a ``run`` after a ``run``) into one.

    Where a run repeats steps of those before it, the later rows count: the restart went back, and its rows
    belong to the trajectory that went on. Only the columns that all runs have are joined.

    Raises:
        TrajectoryError: no run has a ``Step`` column in common, the units differ, or a run begins anew
            (``reset_timestep``): its steps say nothing about those before.
    """
    units = {run.units for run in runs}
    if len(units) > 1:
        raise TrajectoryError(f"runs in different units can't be joined: {', '.join(sorted(map(str, units)))}")
    names = [name for name in runs[0].columns if all(name in run.columns for run in runs)] if runs else []
    if "Step" not in names:
        raise TrajectoryError("runs without a common column 'Step' can't be joined: put 'step' into thermo_style")
    joined: dict[str, Column] = {name: runs[0].columns[name] for name in names}
    for number, run in enumerate(runs[1:], 1):
        if not len(run.columns["Step"]):
            continue
        keep = joined["Step"] < run.columns["Step"][0]
        if run.reset or (len(keep) > 1 and not keep.any()):
            raise TrajectoryError(
                f"run {number} begins anew at step {run.columns['Step'][0]} (reset_timestep?), so its rows don't go "
                f"on from those before; join runs[:{number}] and runs[{number}:] apart"
            )
        joined = {name: np.concatenate([joined[name][keep], run.columns[name]]) for name in names}
    return joined


def _lines(path: str | Path) -> Iterator[str]:
    try:
        with Path(path).open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file
    except OSError as error:
        raise TrajectoryError(f"the log {path} can't be read: {error.strerror}") from error


@dataclass
class _Log:
    """What the lines read so far say. Lives only while a log is read."""

    is_log: bool = False
    units: str | None = None
    timestep: float | None = None
    n_procs: int | None = None
    n_threads: int | None = None
    runs: list[ThermoRun] = field(default_factory=list)
    header_follows: bool = False
    table: "_Table | None" = None
    after_run: bool = False
    reset: bool = False

    def read(self, line: str) -> None:
        """Take in one line, its newline included."""
        if line.startswith("LAMMPS ("):
            self.is_log = True
            self._close()
            self.units = self.timestep = self.n_procs = self.n_threads = None
            self.reset = False
        elif line.startswith(("ERROR:", "ERROR on")):
            self._error(line.strip())
        elif line.startswith("WARNING:"):
            if self.table is not None:
                self.table.warnings[line.strip()] = None
        elif line.startswith(_MEMORY):
            self.is_log = True
            self._close()
            self.header_follows = True
        elif line.startswith("Loop time of"):
            self.is_log = True
            self._close(_LOOP.match(line))
        elif self.table is not None:
            self.table.read(line)
        elif self.header_follows or _HEADER.match(line):
            self._header(line)
        else:
            self._command(line)

    def finish(self) -> tuple[ThermoRun, ...]:
        """Close the last table and return the runs."""
        self._close()
        return tuple(self.runs)

    def _header(self, line: str) -> None:
        words = line.split()
        if not words or _numbers(words) is not None or line.startswith("---\n"):
            return
        self.header_follows = False
        self.table = _Table()
        self.table.header(line)

    def _command(self, line: str) -> None:
        words = line.split("#")[0].split()
        if grid := _GRID.match(line):
            self.n_procs = math.prod(map(int, grid.groups()))
        if threads := _THREADS.search(line):
            self.n_threads = int(threads[1] or threads[2])
            if self.after_run and self.runs[-1].n_threads is None:
                self.runs[-1] = replace(self.runs[-1], n_threads=self.n_threads)
        if self.after_run and (part := _PART.match(line)):
            last = self.runs[-1]
            self.runs[-1] = replace(last, breakdown={**last.breakdown, part[1]: float(part[2])})
        if len(words) < 2:
            return
        if words[0] == "units" and "$" not in words[1]:
            self.units, self.timestep = words[1], _DEFAULT_TIMESTEP.get(words[1])
        elif words[0] == "timestep" and "$" not in words[1]:
            number = _numbers(words[1:2])
            self.timestep = number[0] if number else None
        elif words[0] == "read_restart" or words[:2] in (["echo", "none"], ["echo", "screen"]):
            # A restart brings its own timestep, and what isn't echoed can't be known.
            self.timestep = None
        elif words[0] == "fix" and words[3:4] == ["dt/reset"]:
            self.timestep = math.nan
        elif words[0] == "reset_timestep":
            self.reset = True

    def _error(self, line: str) -> None:
        self._close()
        if self.runs:
            self.runs[-1] = replace(self.runs[-1], errors=(*self.runs[-1].errors, line))

    def _close(self, loop: re.Match[str] | None = None) -> None:
        self.header_follows = False
        table, self.table = self.table, None
        if table is None:
            return
        columns = table.columns(complete=loop is not None)
        self.after_run = True
        self.runs.append(
            ThermoRun(
                columns=columns,
                units=self.units,
                timestep=self._picoseconds(columns),
                n_atoms=int(loop[4]) if loop else None,
                n_procs=int(loop[2]) if loop else self.n_procs,
                n_threads=self.n_threads,
                n_steps=int(loop[3]) if loop else None,
                loop_time=float(loop[1]) if loop else None,
                complete=loop is not None,
                reset=self.reset,
                warnings=tuple(table.warnings),
            )
        )
        self.reset = False

    def _picoseconds(self, columns: Mapping[str, Column]) -> float | None:
        """Return the timestep in ps, from the command if echoed, else from the columns Time and Step."""
        unit = TIME_IN_PS.get(self.units or "")
        if unit is None or (self.timestep is not None and math.isnan(self.timestep)):
            return None
        if self.timestep is not None:
            return self.timestep * unit
        if "Time" not in columns or "Step" not in columns or len(columns["Step"]) < 2:
            return None
        steps, times = np.diff(columns["Step"]), np.diff(columns["Time"])
        if not np.all(steps > 0):
            return None
        ratio = float(times.sum() / steps.sum())
        return ratio * unit if np.allclose(times / steps, ratio, rtol=1e-3) else None


@dataclass
class _Table:
    """The rows of one run, as they come."""

    style: str = "one"
    names: list[str] = field(default_factory=list)
    by_width: list[str] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    records: list[dict[str, float]] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    cut: bool = False
    indented: bool | None = None
    """Whether LAMMPS's own rows are; known from the first, before which no fix prints."""
    end: bool = False
    """Whether LAMMPS's own rows end as it ends them, known from the first."""

    def header(self, line: str) -> None:
        if _MULTI.match(line):
            self.style = "multi"
            self.read(line)
        elif line.startswith("keywords:"):
            self.style = "yaml"
            self.names = re.findall(r"'([^']*)'", line)
        else:
            self.names = line.split()
            self.by_width = re.split(r"\s{2,}", line.strip())
        self.cut = not line.endswith("\n")

    def read(self, line: str) -> None:
        self.cut = not line.endswith("\n")
        if self.style == "multi":
            self._record(line)
        elif self.style == "yaml":
            if line.lstrip().startswith("- [") and line.rstrip().endswith("]"):
                if not self.rows:
                    self.end = line.rstrip().endswith(", ]")
                if self.end and not line.rstrip().endswith(", ]"):
                    return
                numbers = _numbers(line.strip()[3:-1].replace(",", " ").split())
                if not numbers or len(numbers) != len(self.names) or self._goes_on(numbers):
                    self._row(numbers)
        elif not self.cut:
            self._line(line)

    def _line(self, line: str) -> None:
        words = line.split()
        numbers = _numbers(words)
        if not numbers:
            return
        if self.indented is None:
            self.indented, self.end = line[0].isspace(), line.rstrip("\r\n")[-1:].isspace()
        if self.end and not line.rstrip("\r\n")[-1:].isspace():
            return  # LAMMPS ends each field of a row with a blank
        # Only a step of as many digits as its column fills the indent.
        if self.indented and not line[0].isspace() and len(words[0]) < 8:
            return
        if len(numbers) in (len(self.names), len(self.by_width)):
            if self._goes_on(numbers, sure=line[0].isspace()):
                self._row(numbers)
        elif self.indented and words[0].isdigit():
            raise ValueError(f"{len(numbers)} values under {len(self.names)} columns")

    def _goes_on(self, numbers: list[float], *, sure: bool = True) -> bool:
        """Return whether a row's step is a whole number that goes on from the last row's.

        A fix prints before the table does: of two rows at one step the later counts. Where nothing else tells a row
        from a line of a fix, its step must also be as far from the last as that from the one before.
        """
        if "Step" not in self.names or self.names.index("Step") >= len(numbers):
            return True
        at = self.names.index("Step")
        step = numbers[at]
        if step != int(step):
            return False
        if self.rows and step == self.rows[-1][at]:
            self.rows.pop()
        if not self.rows:
            return True
        if not sure and len(self.rows) > 1 and step - self.rows[-1][at] != self.rows[-1][at] - self.rows[-2][at]:
            return False
        return step > self.rows[-1][at]

    def _row(self, numbers: list[float] | None) -> None:
        if not numbers:
            return
        if len(numbers) != len(self.names) and len(numbers) == len(self.by_width):
            # thermo_modify colname allows blanks in a name; then only two blanks part the names.
            self.names = self.by_width
        if len(numbers) == len(self.names):
            self.rows.append(numbers)
        elif self.style == "yaml":
            raise ValueError(f"{len(numbers)} values under {len(self.names)} keywords")

    def _record(self, line: str) -> None:
        if head := _MULTI.match(line):
            cpu = _numbers([head[2]])
            self.records.append({"Step": float(head[1]), "CPU": cpu[0] if cpu else math.nan})
        elif self.records and _ALIGNED.match(line):
            for name, text in _PAIR.findall(line):
                number = _numbers([text])
                if number:
                    self.records[-1][name] = number[0]

    def columns(self, *, complete: bool) -> Mapping[str, Column]:
        names, rows = self.names, self.rows
        if self.style == "multi":
            whole = self.records
            if whole and not complete and (self.cut or len(whole[-1]) < len(whole[0])):
                whole = whole[:-1]
            names = list(whole[0]) if whole else []
            rows = [[record[name] for name in names] for record in whole if all(name in record for name in names)]
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(names))
        return {
            name: table[:, column].astype(np.int64) if name == "Step" else np.ascontiguousarray(table[:, column])
            for column, name in enumerate(names)
        }


def _numbers(words: Sequence[str]) -> list[float] | None:
    try:
        return [float(word) for word in words]
    except ValueError:
        return None
