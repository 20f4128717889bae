"""From finished runs to one table: estimates with errors and units, and what must be flagged.

Nothing here is state: every table, picture and page can be made again from the runs.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pandas as pd
from ase.calculators.singlepoint import SinglePointCalculator

from lampion import run, structure
from lampion.analysis.arrhenius import ArrheniusResult, arrhenius
from lampion.analysis.comparison import SizeDependence, size_dependence
from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError, LampionError, RunError, TrajectoryError
from lampion.study.measure import Measured, measure
from lampion.study.point import MeasuredPoint, measure_point
from lampion.study.work import Job, Plan
from lampion.trajectory import read_dump


@dataclass(frozen=True, kw_only=True)
class ArrheniusSeries:
    """Points that differ in temperature alone, and the line through them."""

    name: str
    """The other swept values, in words; empty where there are none."""
    species: str
    temperatures: tuple[float, ...]
    """K."""
    D: tuple[Estimate, ...]
    """cm²/s, at each temperature."""
    fit: ArrheniusResult
    infinite: bool
    """Whether D is that of an infinite cell (Yeh–Hummer)."""


@dataclass(frozen=True, kw_only=True)
class SizeSeries:
    """Points that differ in their supercell alone."""

    name: str
    """The other swept values, in words."""
    species: str
    dependence: SizeDependence


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a study gave so far."""

    plan: Plan
    runs: pd.DataFrame
    """One row a run."""
    points: pd.DataFrame
    """One row a point: its replicas taken together, flagged ones left out."""
    measured: tuple[MeasuredPoint, ...]
    """The points' numbers, in the rows' order."""
    arrhenius: tuple[ArrheniusSeries, ...] = ()
    sizes: tuple[SizeSeries, ...] = ()
    notes: tuple[str, ...] = field(default=())


def collect(plan: Plan) -> Collected:
    """Read every finished run of `plan` and make its tables; one whose files can't be read is flagged."""
    measured: dict[str, Measured] = {}
    rows = []
    for job in plan.jobs:
        state = run.state(job.folder)
        row: dict[str, Any] = {"run": job.key[:12], **job.point.values, "replica": job.point.replica}
        row["state"] = state.name if state.name != "failed" else f"failed: {state.cause}"
        if state.name == "done":
            if job.key not in measured:
                measured[job.key] = _measured(job)
            row.update(measured[job.key].row)
            row["remarks"] = "; ".join(measured[job.key].remarks)
            row["flags"] = "; ".join(measured[job.key].flags)
        else:
            row["flags"] = state.message
        rows.append(row)
    points = _points(plan, measured)
    table = pd.DataFrame([{**p.values, **p.row, "flags": "; ".join(p.flags)} for p in points])
    fits, notes = _arrhenius(points)
    sizes, more = _sizes(points)
    return Collected(
        plan=plan,
        runs=pd.DataFrame(_columns_in_order(rows)),
        points=table,
        measured=tuple(points),
        arrhenius=fits,
        sizes=sizes,
        notes=(*notes, *more),
    )


def _columns_in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every row every column, flags last."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "flags"))
    return [{name: row.get(name) for name in [*names, "flags"]} for row in rows]


def _measured(job: Job) -> Measured:
    """Return a run's numbers; what is wrong with its files or its data is its flag, and costs the others nothing."""
    try:
        folder = run.verified(job.folder)
        record = run.read_json(job.folder / "run.json", "species", "masses", "counts", "rotation")
        return measure(job.point.study, folder, record)
    except (AnalysisError, TrajectoryError, RunError) as error:
        return Measured(row={}, flags=(str(error),))


def _points(plan: Plan, measured: Mapping[str, Measured]) -> list[MeasuredPoint]:
    groups: dict[str, list[Job]] = {}
    for job in plan.jobs:
        groups.setdefault(repr(sorted(job.point.values.items(), key=str)), []).append(job)
    points = []
    for jobs in groups.values():
        first = jobs[0].point
        done = [measured[j.key] for j in jobs if j.key in measured]
        point = measure_point(first.study, first.values, done, n_asked=len(jobs))
        points.append(point)
    return points


def _arrhenius(points: Sequence[MeasuredPoint]) -> tuple[tuple[ArrheniusSeries, ...], tuple[str, ...]]:
    """Fit each series of points that differ in temperature alone; a D that was flagged is not among them."""
    series: dict[tuple[str, str, bool], list[tuple[float, Estimate]]] = {}
    for point in points:
        if point.temperature is None:
            continue
        name = _others(point, "protocol.temperature")
        for infinite, estimates in ((False, point.D), (True, point.D_infinite)):
            for species, estimate in estimates.items():
                seen = point.measured_temperature or point.temperature
                series.setdefault((name, species, infinite), []).append((seen, estimate))
    fits, notes = [], []
    for (name, species, infinite), values in series.items():
        T, D = tuple(t for t, _ in values), tuple(d for _, d in values)
        # Of an infinite cell only where all its points are.
        if len(set(T)) < 2 or (infinite and len(values) < len(series[name, species, False])):
            continue
        try:
            fit = arrhenius(T, D)
        except AnalysisError as error:
            notes.append(f"no Arrhenius fit for {species}{f' ({name})' if name else ''}: {error}")
            continue
        fits.append(ArrheniusSeries(name=name, species=species, temperatures=T, D=D, fit=fit, infinite=infinite))
    return tuple(fits), tuple(notes)


def _others(point: MeasuredPoint, left_out: str) -> str:
    return ", ".join(f"{n} = {v}" for n, v in point.values.items() if n != left_out)


def _sizes(points: Sequence[MeasuredPoint]) -> tuple[tuple[SizeSeries, ...], tuple[str, ...]]:
    """Compare the points that differ in their supercell alone."""
    series: dict[tuple[str, str], list[tuple[float, Estimate]]] = {}
    for point in points:
        if "structure.supercell" not in point.values or point.volume is None:
            continue
        for species, estimate in point.D.items():
            series.setdefault((_others(point, "structure.supercell"), species), []).append(
                (point.volume ** (1 / 3), estimate)
            )
    found, notes = [], []
    for (name, species), values in series.items():
        if len({round(length, 3) for length, _ in values}) < 2:
            continue
        try:
            dependence = size_dependence([length for length, _ in values], [D for _, D in values])
        except AnalysisError as error:
            notes.append(f"no comparison of cells for {species}{f' ({name})' if name else ''}: {error}")
            continue
        found.append(SizeSeries(name=name, species=species, dependence=dependence))
    return tuple(found), tuple(notes)


def write_tables(collected: Collected, folder: Path) -> list[Path]:
    """Write ``runs`` and ``points`` as CSV and Parquet into `folder`; each file is whole or the old one.

    Raises:
        LampionError: the folder can't be written.
    """
    written = []
    try:
        folder.mkdir(exist_ok=True)
        for name, table in (("runs", collected.runs), ("points", collected.points)):
            csv, parquet = folder / f"{name}.csv", folder / f"{name}.parquet"
            _replace(csv, partial(table.to_csv, index=False, lineterminator="\n"))
            _replace(parquet, partial(_parquet, table))
            written += [csv, parquet]
    except OSError as error:
        raise LampionError(f"{folder}: the tables can't be written: {error.strerror}") from error
    return written


def _replace(path: Path, write: Any) -> None:
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # several drivers may end at once
    write(temporary)
    temporary.replace(path)


def _parquet(table: pd.DataFrame, path: Path) -> None:
    """Write Parquet with the format's number; a column of mixed swept values becomes text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = table.copy()
    for name in plain.columns:
        if plain[name].map(lambda v: isinstance(v, list | dict | tuple)).any():
            plain[name] = plain[name].map(str)
    try:
        arrow = pa.Table.from_pandas(plain, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        mixed = [n for n in plain.columns if plain[n].map(type).nunique() > 1 and plain[n].dtype == object]
        plain[mixed] = plain[mixed].astype(str)
        arrow = pa.Table.from_pandas(plain, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), b"format": str(run.FORMAT).encode()}
    pq.write_table(arrow.replace_schema_metadata(metadata), path)


def final_structures(collected: Collected) -> list[ase.Atoms]:
    """Return what `static` and `minimize` runs ended in: atoms with energy, forces and stress in the user's frame.

    A run whose files can't be read is flagged in the table, and left out here.
    """
    found = []
    for job in collected.plan.jobs:
        row = collected.runs.loc[collected.runs["run"] == job.key[:12]].iloc[0]
        if row["state"] != "done" or pd.isna(row.get("energy (eV)")):
            continue
        folder = run.verified(job.folder)
        if not (folder / "final.dump").is_file():
            continue
        dump = read_dump(folder / "final.dump", columns=["fx", "fy", "fz"], timestep=0.001)
        forces = np.stack([dump.extras[c][-1] for c in ("fx", "fy", "fz")], axis=-1)
        atoms = structure.user_atoms(job.placement, dump.positions[-1], dump.cells[-1], job.atoms)
        stress = [row[f"stress {name} (eV/Å³)"] for name in ("xx", "yy", "zz", "yz", "xz", "xy")]
        atoms.calc = SinglePointCalculator(
            atoms, energy=row["energy (eV)"], forces=structure.to_user(job.placement, forces), stress=stress
        )
        atoms.info["run"] = job.key[:12]
        found.append(atoms)
    return found
