"""The numbers of one run, and of one point's replicas taken together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampion import deck as decks
from lampion import run
from lampion.analysis.diffusion import FEW_HOPS, DiffusionResult, NotDiffusiveError, diffusion_coefficient
from lampion.analysis.phase import phase
from lampion.errors import AnalysisError, TrajectoryError
from lampion.protocol import Custom, Diffusion, DumpFormat, Ensemble, Md, Minimize
from lampion.study.health import Health, health, mean_of_series
from lampion.study.settings import Study
from lampion.thermo import ThermoRun, join_runs, read_log
from lampion.trajectory import Trajectory, read_dump
from lampion.units import EV_PER_A3_IN_BAR

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run gave."""

    row: Mapping[str, Any]
    """Columns of the table."""
    flags: tuple[str, ...] = ()
    """Why it is left out of every average."""
    remarks: tuple[str, ...] = ()
    """What else a reader must know; a run too short for a D of its own still adds to its point's."""
    health: Health | None = None
    trajectory: Trajectory | None = None
    masses: Floats | None = None
    rotation: Floats | None = None
    """(3, 3): user's vector = rotation @ LAMMPS's vector."""
    stress: Floats | None = None
    """(n, 6), bar, and…"""
    stress_interval: float = 0.0
    """… ps between its rows."""
    current: Floats | None = None
    """(n, 3 × n_elements), Å/ps: each element's summed velocity, elements in alphabetical order, and…"""
    current_interval: float = 0.0
    """… ps between its rows."""
    diffusion: Mapping[str, DiffusionResult] = field(default_factory=dict)


def frames_file(dump_format: DumpFormat) -> str:
    """Return the name of the dump that our templates write in a format."""
    return {"text": "trajectory.dump", "zst": "trajectory.dump.zst", "binary": "trajectory.bin"}[dump_format]


def measure(study: Study, folder: Path, record: Mapping[str, Any]) -> Measured:
    """Read the attempt in `folder` and return its numbers.

    Args:
        study: the run's settings.
        folder: the published attempt.
        record: the run's `run.json`.

    Raises:
        TrajectoryError: the log or a dump can't be read.
        AnalysisError: they hold too little.
    """
    segments = run.segments(folder)
    log = _log(segments)
    if not isinstance(study.protocol, Custom) and not (log and len(log[-1].columns.get("Step", ()))):
        raise AnalysisError(f"{folder / 'log.lammps'}: holds no row of a run")
    match study.protocol:
        case (Diffusion() | Ensemble()) as protocol:
            return _diffusion(study, protocol, log, segments, record)
        case Md() as protocol:
            last = protocol.stages[-1]
            target = last.temperature if last.final_temperature in (None, last.temperature) else None
            checked = health(
                log,
                record["species"],
                temperature=target,
                pressure=last.pressure if last.ensemble == "npt" else None,
                equilibrated=target is not None or last.ensemble == "nve",
            )
            row = {**_targets(target, last.pressure if last.ensemble == "npt" else None), **_health_row(checked)}
            return Measured(row=row, flags=checked.flags, health=checked)
        case Custom():
            return _custom(study, log, folder, record)
        case _:
            return _final(study, log, folder, record)


def _custom(study: Study, log: Sequence[ThermoRun], folder: Path, record: Mapping[str, Any]) -> Measured:
    """Means of the last run's columns, and the numbers of our own protocols where its log has their columns.

    Columns without a unit are in those of the deck's `units`.
    """
    if not log:
        said = "log.lammps holds no run: the template runs nothing, or logs elsewhere"
        return Measured(row={}, flags=(said,))
    # A `run 0` at the end has no means: those of the last run that has some rows.
    last = next((r for r in reversed(log) if len(r.columns.get("Step", ())) >= 4), log[-1])
    row: dict[str, Any] = {"units": last.units}
    atoms = [r.n_atoms for r in log if r.n_atoms is not None]
    lost = (
        (f"atoms were lost: of {atoms[0]} there are {atoms[-1]} at the end",)
        if atoms and atoms[-1] < atoms[0]
        else ()
    )
    for name, column in last.columns.items():
        if name not in ("Step", "Time", "CPU", "Elapsed", "Dt"):
            mean = mean_of_series(column, "")
            row[f"{name} last"] = float(column[-1]) if len(column) else None
            row[f"{name} mean"] = mean.value if mean else None
            row[f"{name} error"] = mean.standard_error if mean else None
    if last.units != "metal":
        return Measured(row=row, remarks=lost)
    if set(log[-1].columns) >= _FINAL and not _normalised(folder):
        final = _final(study, log, folder, record)
        row = {**final.row, **row}
    if all(set(run.columns) >= _HEALTH for run in log):
        checked = health(log, record["species"], temperature=None, pressure=None, equilibrated=False)
        return Measured(row={**_health_row(checked), **row}, flags=checked.flags, remarks=lost, health=checked)
    return Measured(row=row, remarks=lost)


def _normalised(folder: Path) -> bool:
    """Return whether the deck lets LAMMPS print energies per atom."""
    text = (folder / decks.DECK).read_text(encoding="utf-8", errors="replace")
    return re.search(r"^\s*thermo_modify\s.*\bnorm\s+yes\b", text, re.MULTILINE) is not None


_FINAL = {"PotEng", "Press", "Volume", "Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz"}
_HEALTH = {"Step", "Time", "Temp", "Press", "PotEng", "Econserve", "Volume", "c_closest"}


def _final(study: Study, log: Sequence[ThermoRun], folder: Path, record: Mapping[str, Any]) -> Measured:
    """Energy, forces and stress of the last row, in the user's frame."""
    if not len(log[-1].columns.get("Step", ())):
        raise AnalysisError("the log holds no row of a run")
    last = {name: float(column[-1]) for name, column in log[-1].columns.items()}
    n_atoms = log[-1].n_atoms or sum(record["counts"].values())
    p = np.array(
        [
            [last["Pxx"], last["Pxy"], last["Pxz"]],
            [last["Pxy"], last["Pyy"], last["Pyz"]],
            [last["Pxz"], last["Pyz"], last["Pzz"]],
        ]
    )
    R = np.array(record["rotation"])
    stress = -(R @ p @ R.T) / EV_PER_A3_IN_BAR
    row: dict[str, Any] = {
        "energy (eV)": last["PotEng"],
        "energy per atom (eV)": last["PotEng"] / n_atoms,
        "volume (Å³)": last["Volume"],
        "pressure (bar)": last["Press"],
    }
    for name, i, j in (("xx", 0, 0), ("yy", 1, 1), ("zz", 2, 2), ("yz", 1, 2), ("xz", 0, 2), ("xy", 0, 1)):
        row[f"stress {name} (eV/Å³)"] = float(stress[i, j])
    flags = []
    final = folder / "final.dump"
    if final.is_file():
        dump = read_dump(final, columns=["fx", "fy", "fz"], timestep=0.001)
        forces = np.stack([dump.extras[c][-1] for c in ("fx", "fy", "fz")], axis=-1)
        largest = float(np.linalg.norm(forces, axis=1).max())
        row["largest force (eV/Å)"] = largest
        if isinstance(study.protocol, Minimize) and largest > 1.01 * study.protocol.force_tolerance:
            flags.append(
                f"not converged: the largest force is {largest:.2e} eV/Å, above {study.protocol.force_tolerance:g}"
            )
    return Measured(row=row, flags=tuple(flags))


def _log(segments: Sequence[run.Segment]) -> tuple[ThermoRun, ...]:
    """Return the runs of a log, as if attempts that go on from one another had been one."""
    log: tuple[ThermoRun, ...] = ()
    for segment in segments:
        new = read_log(segment.folder / "log.lammps")
        n = segment.runs_before
        if len(log) > n and new and _begins_later(new[0], log[n]):
            # The stage that was cut: its rows up to the state that it was taken up from, then those that followed.
            new = (replace(new[0], columns=join_runs([replace(log[n], reset=False), new[0]])), *new[1:])
        log = (*log[:n], *new)
    return log


def _begins_later(run: ThermoRun, than: ThermoRun) -> bool:
    steps, before = run.columns.get("Step", np.zeros(0)), than.columns.get("Step", np.zeros(0))
    return bool(len(steps) and len(before) and steps[0] > before[0])


def _diffusion(
    study: Study,
    protocol: Diffusion | Ensemble,
    log: Sequence[ThermoRun],
    segments: Sequence[run.Segment],
    record: Mapping[str, Any],
) -> Measured:
    fixed = protocol.coupling == "fixed"
    constant_energy = isinstance(protocol, Ensemble) or protocol.ensemble == "nve"
    checked = health(
        log,
        record["species"],
        temperature=protocol.temperature,
        pressure=None if fixed else protocol.pressure,
        tolerance=0.2 if constant_energy else 0.05,
    )
    isotopes = len(set(record["species"])) < len(record["species"])
    frames = [segment.folder / frames_file(protocol.dump_format) for segment in segments]
    trajectory = read_dump(
        [path for path in frames if path.is_file()],
        species=dict(enumerate(record["species"], 1)),
        timestep=protocol.timestep,
        columns=["type"] if isotopes else None,
    )
    masses = atom_masses(trajectory, record)
    stress, interval = _series(segments, "stress.dat", protocol.timestep, 6)
    n_elements = len(set(record["species"]))
    current, current_interval = _series(segments, "current.dat", protocol.timestep, 3 * n_elements)
    flags = list(checked.flags)
    mobile = protocol.mobile or tuple(sorted(set(record["species"])))
    flags += _phase_flags(protocol, mobile, trajectory, masses)
    row = {**_targets(protocol.temperature, None if fixed else protocol.pressure), **_health_row(checked)}
    results: dict[str, DiffusionResult] = {}
    remarks: list[str] = []
    for species in mobile:
        result, said = one_species(study, protocol, mobile, species, [trajectory], masses)
        remarks += said
        if result is not None:
            results[species] = result
            row.update(diffusion_row(species, result, said))
    return Measured(
        row=row,
        flags=tuple(dict.fromkeys(flags)),
        remarks=tuple(remarks),
        health=checked,
        trajectory=trajectory,
        masses=masses,
        rotation=np.array(record["rotation"], dtype=float),
        stress=stress,
        stress_interval=interval,
        current=current,
        current_interval=current_interval,
        diffusion=results,
    )


def atom_masses(trajectory: Trajectory, record: Mapping[str, Any]) -> Floats:
    """Return each atom's mass: that of its element, or of its type where an element has several (isotopes)."""
    if "type" in trajectory.extras:
        kinds = trajectory.extras["type"][0].astype(int) - 1
        return np.asarray(np.array(record["masses"], dtype=float)[kinds], dtype=float)
    mass_of = dict(zip(record["species"], record["masses"], strict=True))
    return np.array([mass_of[s] for s in trajectory.species], dtype=float)


def _phase_flags(
    protocol: Diffusion | Ensemble, mobile: Sequence[str], trajectory: Trajectory, masses: Floats
) -> list[str]:
    """Return what speaks against the phase that the study says it is."""
    flags = []
    kinds = sorted(set(trajectory.species))
    for species in kinds:
        verdict = phase(
            trajectory.positions,
            trajectory.times,
            trajectory.cells[0],
            atoms=trajectory.species == species,
            masses=masses,
        )
        seen = f"(Lindemann ratio {verdict.lindemann:.2f}, MSD grows as t^{verdict.log_slope:.2f})"
        if protocol.phase == "liquid" and verdict.verdict == "solid":
            flags.append(f"{species} is solid {seen}, not liquid: melt it hotter or longer")
        if protocol.phase == "crystal" and species not in mobile and verdict.verdict == "liquid":
            flags.append(f"the framework species {species} flows {seen}: it melted")
    return flags


def one_species(
    study: Study,
    protocol: Diffusion | Ensemble,
    mobile: Sequence[str],
    species: str,
    runs: Sequence[Trajectory],
    masses: Floats,
) -> tuple[DiffusionResult | None, list[str]]:
    """Return the result of one species, and what speaks against it; none where there is nothing to draw either."""
    first = runs[0]
    framework = ~np.isin(first.species, mobile) if protocol.phase == "crystal" else None
    try:
        result = diffusion_coefficient(
            [t.positions for t in runs] if len(runs) > 1 else first.positions,
            first.times,
            mobile=first.species == species,
            framework=framework if framework is not None and framework.any() else None,
            masses=masses,
            window=study.analysis.window,
            hop_length=study.analysis.hop_length,
        )
    except NotDiffusiveError as error:
        return error.result, [f"no D of {species}: {error}"]
    except AnalysisError as error:
        return None, [f"no D of {species}: {error}"]
    return result, [f"D of {species}: {flag}" for flag in result.flags]


def diffusion_row(species: str, result: DiffusionResult, flags: Sequence[str]) -> dict[str, Any]:
    """Return the columns of one species' result; D is left empty where it was refused."""
    D = None if any(f.startswith("no D") for f in flags) else result.D
    return {
        f"D {species} (cm²/s)": D.value if D else None,
        f"D {species} error (cm²/s)": D.standard_error if D else None,
        f"D {species} upper bound 95 % (cm²/s)": None
        if (D and result.n_hops >= FEW_HOPS) or not np.isfinite(result.upper_bound)
        else result.upper_bound,
        f"D {species} window start (ps)": result.window[0],
        f"D {species} window end (ps)": result.window[1],
        f"D {species} independent samples": len(result.unit_values),
        f"D {species} log-log slope": result.log_slope,
        f"D {species} hops": result.n_hops,
        f"D {species} reference drift (Å)": result.drift,
    }


def _targets(temperature: float | None, pressure: float | None) -> dict[str, Any]:
    return {"T target (K)": temperature, "P target (bar)": pressure}


def _health_row(checked: Health) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, estimate, unit in (("T", checked.temperature, "K"), ("P", checked.pressure, "bar")):
        row[f"{name} ({unit})"] = estimate.value if estimate else None
        row[f"{name} error ({unit})"] = estimate.standard_error if estimate else None
    row["volume (Å³)"] = checked.volume
    row["energy drift (eV/atom/ps)"] = checked.drift
    row["stationarity z"] = checked.stationarity
    row["closest distance (Å)"] = checked.closest
    return row


def _series(
    segments: Sequence[run.Segment], name: str, timestep: float, n_columns: int
) -> tuple[Floats | None, float]:
    """Return the rows of a `fix ave/time` file, without the step, and the ps between them; none where it is not."""
    whole = np.zeros((0, n_columns + 1))
    for segment in segments:
        path = segment.folder / name
        if not path.is_file():
            continue
        rows = _rows(path)
        if not len(rows):
            continue
        if rows.shape[1] != n_columns + 1:
            raise TrajectoryError(f"{path}: has {rows.shape[1]} columns where {n_columns + 1} belong")
        whole = np.concatenate([whole[whole[:, 0] < rows[0, 0]], rows])
    if len(whole) < 2:
        return None, 0.0
    steps = np.diff(whole[:, 0])
    if (steps != steps[0]).any():
        at = whole[int(np.argmax(steps != steps[0])), 0]
        raise TrajectoryError(f"{segments[-1].folder / name}: a row is missing after step {at:.0f}")
    return whole[:, 1:], float(steps[0]) * timestep


def _rows(path: Path) -> Floats:
    """Return a table of numbers; its last line may be cut off."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return np.loadtxt(text[: text.rfind("\n") + 1].splitlines(), comments="#", ndmin=2)
    except ValueError as error:
        raise TrajectoryError(f"{path}: is no table of numbers: {error}") from error
