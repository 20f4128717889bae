"""What the numbers of a dump mean: units, times, species."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lampion.errors import TrajectoryError
from lampion.thermo import ThermoRun, read_log
from lampion.trajectory.columns import UnitStyle, factor, unit_style
from lampion.trajectory.plan import Raw

Floats = NDArray[np.float64]

# A longer timestep than this (ps) is taken for femtoseconds where nothing says what the unit of ITEM: TIME is.
_LONGEST_TIMESTEP = 0.02
_LARGEST_FLAG = 1e8


@dataclass(frozen=True, kw_only=True, eq=False)
class Meaning:
    """How the frames of one run are to be taken."""

    path: Path
    columns: tuple[str, ...]
    style: UnitStyle
    units_known: bool
    timestep: float | None
    """ps, where the dump has no times of its own"""
    asked: float | None
    """ps, passed by the user"""
    timed: bool
    symbols: Mapping[int, str] | None
    notes: list[str]
    foreign_log: str = ""
    """Why the log beside the dump isn't believed."""

    @property
    def length(self) -> float:
        """Å in the dump's unit."""
        return self.style.length

    def times(self, raw: Raw, before: tuple[int, float] | None) -> Floats:
        """Return the frames' times in ps, given step and time (ps) of the frame before.

        Raises:
            TrajectoryError: they aren't known, don't grow, or can't be in the unit assumed.
        """
        if self.timed and raw.times is not None:
            times = raw.times * self.style.time
            self._check(times, raw.steps, before)
            return times
        if self.timestep is None:
            why = f" ({self.foreign_log})" if self.foreign_log else ""
            raise TrajectoryError(
                f"{self.path}: the time isn't known: the dump has no 'ITEM: TIME' and no log.lammps beside it "
                f"says the timestep{why}; pass timestep=0.001 (ps), or write dump_modify time yes"
            )
        return np.asarray(raw.steps * self.timestep, dtype=np.float64)

    def _check(self, times: Floats, steps: NDArray[np.int64], before: tuple[int, float] | None) -> None:
        if before is not None:
            steps, times = np.append(before[0], steps), np.append(before[1], times)
        if len(times) < 2:
            return
        rates = np.diff(times) / np.diff(steps)
        if not np.all(rates > 0):
            at = int(np.argmin(rates))
            raise TrajectoryError(
                f"{self.path}: the time goes from {times[at]:g} ps at step {steps[at]} to {times[at + 1]:g} ps "
                f"at step {steps[at + 1]} (a minimization?); dump each run into a file of its own"
            )
        if self.asked is not None and np.abs(rates - self.asked).max() > 1e-3 * self.asked:
            raise TrajectoryError(
                f"{self.path}: a step takes {np.median(rates):g} ps by its own 'ITEM: TIME', and "
                f"timestep={self.asked:g} was passed"
            )
        if not self.units_known and np.median(rates) > _LONGEST_TIMESTEP:
            raise TrajectoryError(
                f"{self.path}: one step takes {np.median(rates):g} of the dump's unit of time, too long for ps, and "
                "neither 'ITEM: UNITS' nor a log says the unit; pass units='real', or write dump_modify units yes"
            )

    def positions(self, raw: Raw) -> tuple[Floats, Floats | None]:
        """Return positions (n_frames, n_atoms, 3) in the dump's unit of length, and image flags yet to be applied.

        Raises:
            TrajectoryError: a flag is no whole number.
        """
        where = raw.plan.where
        positions = raw.values[:, :, :3]
        if where.scaled:
            positions = raw.origins[:, None] + positions @ raw.cells
        if not where.images or raw.applied:
            return positions, None
        images = raw.values[:, :, 3:6]
        if not np.all(np.abs(images) < _LARGEST_FLAG) or np.any(images % 1):
            raise TrajectoryError(
                f"{self.path}: an image flag from step {raw.steps[0]} on is no whole number that can be"
            )
        return positions, images

    def column(self, raw: Raw, name: str) -> Floats:
        """Return a column (n_frames, n_atoms) in Å, ps, eV, g/mol and e, where its unit is known."""
        scale = factor(name, self.style)
        if scale is None:
            note = f"the unit of '{name}' isn't known, and its values stand as they are in the dump"
            if note not in self.notes:
                self.notes.append(note)
        values = raw.column(name)
        return values if scale in (None, 1.0) else values * scale

    def species(self, raw: Raw) -> NDArray[np.str_]:
        """Return the species of each atom.

        Raises:
            TrajectoryError: they can't be known.
        """
        labels, label = raw.labels, raw.plan.label
        if label is None:
            note = "the dump has no column 'element' or 'type': all species are X"
            if note not in self.notes:
                self.notes.append(note)
            return np.full(len(raw.ids), "X")
        # A binary dump writes the type's number where the element should stand.
        numbers = all(word.isdigit() for word in set(labels.tolist()))
        if not numbers:
            if (
                label == "element"
                and "type" in raw.plan.columns
                and len(labels) > 1
                and set(labels.tolist()) == {"C"}
            ):
                self._default_element(raw)
            return labels
        known = {str(number): symbol for number, symbol in (self.symbols or {}).items()}
        if missing := sorted(set(labels.tolist()) - set(known)):
            raise TrajectoryError(
                f"{self.path}: no species for type {', '.join(missing)}; pass species={{{missing[0]}: 'Li', ...}}, "
                "or write a text dump with dump_modify element"
            )
        return np.array([known[word] for word in labels.tolist()], dtype=np.str_)

    def _default_element(self, raw: Raw) -> None:
        kinds = np.unique(raw.column("type")[0]) if "type" in raw.plan.names else np.zeros(1)
        if len(kinds) > 1:
            raise TrajectoryError(
                f"{self.path}: all {len(kinds)} types have the element C, LAMMPS's default; pass species="
                "{1: 'Li', ...}, or write dump_modify element"
            )


def meaning_of(
    raw: Raw,
    path: Path,
    symbols: Mapping[int, str] | None,
    timestep: float | None,
    units: str | None,
    notes: list[str],
) -> Meaning:
    """Find out units and timestep: from the dump, then the arguments, then the log beside it.

    Raises:
        TrajectoryError: the units can't be read, or contradict each other.
    """
    log = _log_beside(path, raw)
    said = raw.header.units
    if said and units and said != units:
        raise TrajectoryError(f"{path} is in {said} units, as it says itself, and units={units!r} was passed")
    if log.foreign:
        notes.append(log.foreign)
    name = said or units or log.units
    if name is None:
        notes.append("neither dump nor log says the units: metal is assumed")
    try:
        style = unit_style(name or "metal")
    except ValueError as error:
        raise TrajectoryError(f"{path}: {error}") from None
    if timestep is not None and not timestep > 0:
        raise TrajectoryError(f"timestep is {timestep} ps; it must be positive")
    if (
        timestep is not None
        and raw.times is None
        and log.timestep is not None
        and abs(log.timestep - timestep) > 1e-3 * timestep
    ):
        notes.append(f"the log beside the dump says a timestep of {log.timestep:g} ps; {timestep:g} ps was passed")
    return Meaning(
        path=path,
        columns=raw.plan.columns,
        style=style,
        units_known=name is not None,
        timestep=timestep if timestep is not None else log.timestep,
        asked=timestep,
        timed=raw.times is not None,
        symbols=symbols,
        notes=notes,
        foreign_log=log.foreign,
    )


@dataclass(frozen=True, kw_only=True)
class _Beside:
    """What the log.lammps in the dump's folder says of it."""

    units: str | None = None
    timestep: float | None = None
    foreign: str = ""
    """Why it isn't believed; empty where it is, and where there is none."""


def _log_beside(path: Path, raw: Raw) -> _Beside:
    """Read the log beside a dump, if its runs can have written the dump: a stale one gives a wrong time mutely."""
    log = path.parent / "log.lammps"
    if not log.is_file():
        return _Beside()
    try:
        runs = read_log(log)
    except TrajectoryError as error:
        return _Beside(foreign=f"{error}; it isn't used")
    n_atoms, first, last = len(raw.ids), int(raw.steps[0]), int(raw.steps[-1])
    most = max((run.n_atoms for run in runs if run.n_atoms is not None), default=n_atoms)
    if n_atoms > most:
        return _Beside(foreign=f"{log} is of another run, and isn't used: it has {most} atoms, the dump {n_atoms}")
    fitting = [run for run in runs if _covers(run, first, last)]
    if runs and not fitting:
        return _Beside(
            foreign=f"{log} is of another run, and isn't used: none of its runs is at steps {first} to {last}, "
            "as the dump is"
        )
    # A stage that only ends where the dump begins did not write it, if another goes on from there.
    fitting = [run for run in fitting if not _ends(run, first)] or fitting
    units, steps = {run.units for run in fitting}, {run.timestep for run in fitting}
    several = ""
    if len(steps) > 1:
        listed = " and ".join(sorted(f"{step:g} ps" if step is not None else "an unknown one" for step in steps))
        several = f"{log} has several timesteps where the dump may belong: {listed}"
    elif steps == {None}:
        several = f"{log} says no timestep, or not its units"
    return _Beside(
        units=units.pop() if len(units) == 1 else None,
        timestep=steps.pop() if len(steps) == 1 else None,
        foreign=several,
    )


def _ends(run: ThermoRun, step: int) -> bool:
    steps = run.columns.get("Step")
    return steps is not None and len(steps) > 1 and run.complete and bool(steps[-1] == step)


def _covers(run: ThermoRun, first: int, last: int) -> bool:
    steps = run.columns.get("Step")
    if steps is None or not len(steps):
        return True
    return bool(steps[0] <= last and (first <= steps[-1] or not run.complete))
