"""One self-contained page of a study: table, pictures, study file, versions, citations. Everything is escaped."""

import base64
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ase.io
import jinja2
import pandas as pd

from lampion import __version__, data, plot, run
from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError, LampionError
from lampion.potential.citation import entries
from lampion.study import Analysis, Collected, final_structures, until, write_tables
from lampion.study.collect import ArrheniusSeries
from lampion.study.point import MeasuredPoint

RESULTS = "results"
_METHODS = ("Thompson2022", "Larsen2017")
"""What every study cites: LAMMPS and ASE."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """The files of a report."""

    page: Path
    tables: tuple[Path, ...]
    pictures: tuple[Path, ...]


def write_report(collected: Collected) -> Written:
    """Write tables, pictures and page into the folder ``results`` beside the study.

    Raises:
        LampionError: the folder can't be written.
    """
    folder = collected.plan.path.parent / RESULTS
    tables = write_tables(collected, folder)
    try:
        structures = final_structures(collected)
        if structures:
            made = folder / f".{os.getpid()}.structures.extxyz"
            ase.io.write(made, structures, format="extxyz")
            made.replace(folder / "structures.extxyz")
        pictures = plot.save(_figures(collected), folder)
        page = folder / "report.html"
        temporary = folder / f".{os.getpid()}.report.html"
        temporary.write_text(_page(collected, pictures), encoding="utf-8")
        temporary.replace(page)
    except OSError as error:
        raise LampionError(f"{folder}: the report can't be written: {error.strerror}") from error
    return Written(page=page, tables=tuple(tables), pictures=tuple(pictures.values()))


def _figures(collected: Collected) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    by_species: dict[str, list[tuple[str, Any]]] = {}
    for point in collected.measured:
        for species, result in point.diffusion.items():
            by_species.setdefault(species, []).append((label(point.values) or species, result))
    for species, series in by_species.items():
        # More curves than colours can't be told apart: they go into further pictures.
        for part, start in enumerate(range(0, len(series), len(plot.COLOURS))):
            chunk = series[start : start + len(plot.COLOURS)]
            figures[f"msd_{species}" + (f"_{part + 1}" if part else "")] = plot.msd(chunk, title=species)
    for species in dict.fromkeys(series.species for series in collected.arrhenius):
        lines = [s for s in collected.arrhenius if s.species == species and not s.infinite]
        figures[f"arrhenius_{species}"] = plot.arrhenius(
            [(s.name or species, s.fit, s.temperatures, s.D) for s in lines],
            title=species,
            extrapolate=_reachable(lines, collected.plan.study.analysis),
        )
    return figures


def _reachable(series: Sequence[ArrheniusSeries], analysis: Analysis) -> list[float]:
    """Return the temperatures of `analysis.extrapolate` that no transition bars from any of the lines."""
    found = []
    for temperature in analysis.extrapolate:
        try:
            for one in series:
                one.fit.extrapolated(temperature, past=analysis.transitions)
        except AnalysisError:
            continue
        found.append(temperature)
    return found


def label(values: Mapping[str, Any]) -> str:
    """Return the swept values in short, as ``temperature 500``."""
    return ", ".join(f"{name.rsplit('.', 1)[-1]} {value}" for name, value in values.items())


def references(collected: Collected) -> list[dict[str, str]]:
    """Return what the study must cite, each once, with BibTeX where a doi is known."""
    found: dict[str, dict[str, str]] = {}
    for job in collected.plan.jobs:
        for reference in job.record["references"]:
            text = reference["citation"] or f"{reference['file']}: its header names no paper"
            found.setdefault(text, {"text": text, "file": reference["file"], "bibtex": reference["bibtex"]})
    known = entries()
    for key in _METHODS:
        if key in known:
            found.setdefault(key, {"text": key, "file": "", "bibtex": known[key]})
    return list(found.values())


def versions(collected: Collected) -> list[tuple[str, str]]:
    """Return the programs behind the numbers, with their versions."""
    lammps = collected.plan.lammps
    rows = [
        ("Lampion", __version__),
        ("LAMMPS", f"{lammps.version} ({lammps.git or 'no git descriptor'}), {lammps.mpi}"),
        ("Python", platform.python_version()),
    ]
    for package in ("ase", "numpy", "scipy", "pandas"):
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return rows


def _page(collected: Collected, pictures: Mapping[str, Path]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data.templates()),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plan = collected.plan
    first = run.read_json(plan.jobs[0].folder / "run.json") if (plan.jobs[0].folder / "run.json").is_file() else {}
    return environment.get_template("report.html.j2").render(
        title=plan.study.title or plan.path.stem,
        protocol=plan.study.protocol.name,
        summary=summary(collected),
        flagged=[(row["run"], row["flags"]) for _, row in collected.runs.iterrows() if row.get("flags")],
        points=_shown(collected.points),
        runs=_shown(collected.runs),
        pictures=[
            (name, "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode())
            for name, path in pictures.items()
        ],
        study=plan.path.read_text(encoding="utf-8"),
        notes=sorted({note for job in plan.jobs for note in job.record["notes"]}),
        versions=versions(collected),
        references=references(collected),
        root_seed=first.get("root_seed", "not drawn yet"),
    )


def _shown(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table's header and cells as text: errors join their values, empty columns are left out."""
    kept = [c for c in table.columns if not table[c].map(_is_empty).all()]
    error_of = {c: _error_column(c) for c in kept if _error_column(c) in table.columns}
    header = [c for c in kept if c not in error_of.values()]
    rows = [
        [_cell(row[c], row[error_of[c]] if c in error_of else None) for c in header] for _, row in table.iterrows()
    ]
    return {"header": header, "rows": rows}


def _error_column(name: str) -> str:
    """Return the column that holds the error of the column `name`.

    >>> _error_column("D Li (cm²/s)")
    'D Li error (cm²/s)'
    """
    quantity, bracket, unit = name.partition(" (")
    return f"{quantity} error{bracket}{unit}"


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _cell(value: Any, error: Any = None) -> str:
    if _is_empty(value):
        return ""
    if not _is_empty(error):
        return str(Estimate(value=float(value), standard_error=float(error), unit="", n_samples=2))
    if isinstance(value, float):
        return f"{value:.4g}" if value != int(value) or abs(value) >= 1e6 else f"{value:g}"
    return str(value)


def summary(collected: Collected) -> list[str]:
    """Return the results in words: every estimate with its error, window and number of samples."""
    lines = [line for point in collected.measured for line in _point(point)]
    lines += dict.fromkeys(
        f"Displacements of {species} are {result.reference.statement}."
        for point in collected.measured
        for species, result in point.diffusion.items()
    )
    for series in collected.arrhenius:
        lines += _arrhenius_words(series, collected.plan.study.analysis)
    for sizes in collected.sizes:
        found = sizes.dependence
        where = f" ({sizes.name})" if sizes.name else ""
        lengths = ", ".join(f"{length:.1f}" for length in found.lengths)
        verdict = (
            f"it depends on the size; along 1/L an infinite cell has {found.infinite}, with which the largest cell "
            f"{'agrees' if found.largest_agrees else 'does not agree'}"
            if found.depends
            else f"no dependence on the size is shown; together {found.constant}"
        )
        lines.append(f"D({sizes.species}){where} in cells of {lengths} Å: {verdict}")
    wanted = collected.plan.study.sweep.until
    looks = [] if wanted is None else list(until.words(collected.plan.path, wanted))
    return [*lines, *looks, *collected.notes]


def _arrhenius_words(series: ArrheniusSeries, analysis: Analysis) -> Iterator[str]:
    fit = series.fit
    chi = f", probability of so much scatter about the line {fit.p_value:.2f}" if fit.p_value is not None else ""
    where = f" ({series.name})" if series.name else ""
    cell = "of an infinite cell" if series.infinite else "not corrected for size"
    yield (
        f"Arrhenius for {series.species}{where}, {cell}: Ea = {fit.Ea}, "
        f"ln(D0 / cm²/s) = {fit.ln_prefactor}{chi}" + "".join(f"; {flag}" for flag in fit.flags)
    )
    for temperature in analysis.extrapolate:
        try:
            D = fit.extrapolated(temperature, past=analysis.transitions)
        except AnalysisError as error:
            yield f"No D of {series.species} at {temperature:g} K: {error}"
            continue
        low, high = fit.interval(temperature)
        yield (
            f"Extrapolated along that line, D({series.species}, {temperature:g} K) = {D.value:.2e} cm²/s "
            f"(95 %: {low:.1e} to {high:.1e})"
        )


def _point(point: MeasuredPoint) -> Iterator[str]:
    where = label(point.values)
    for species, result in point.diffusion.items():
        head = f"D({species}{', ' + where if where else ''})"
        D = point.D.get(species)
        if D is None:
            reasons = [f for f in point.flags if f"of {species}:" in f] or [
                f"below {result.upper_bound:.1e} cm²/s (95 %): too few hops for a value"
            ]
            kept = result.D is not None and not any(reason.startswith("no D") for reason in reasons)
            yield f"{head}: {f'{result.D} is flagged and not used' if kept else 'no value'}; " + "; ".join(reasons)
            continue
        low, high = D.interval(0.954)
        text = f"{head} = {D} (95 %: {low:.2e} to {high:.2e})"
        if species in point.D_infinite:
            text += (
                f"; for an infinite cell {point.D_infinite[species]} "
                f"(Yeh–Hummer, with the runs' own viscosity of {point.viscosity})"
            )
        yield f"{text}; MSD fitted from {result.window[0]:g} to {result.window[1]:g} ps, {D.method}"
    if point.charge is not None:
        charge = point.charge
        haven = f"Haven ratio {charge.haven}" if charge.haven is not None else "too uncertain for a Haven ratio"
        by_current = f" ({point.green_kubo} by Green and Kubo)" if point.green_kubo is not None else ""
        yield (
            f"Conductivity{', ' + where if where else ''} = {charge.conductivity}{by_current}, "
            f"Dσ = {charge.D_charge}, {haven}"
        )
    yield from (f"{where}: {note}" if where else note for note in point.notes)
