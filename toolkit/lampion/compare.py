"""Several studies side by side: models, functionals or cells, as ratios with their errors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lampion import plot
from lampion.analysis.comparison import ratio
from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError, LampionError
from lampion.report import label
from lampion.study import Collected, collect, plan


@dataclass(frozen=True, kw_only=True)
class Side:
    """One study's diffusion coefficients."""

    name: str
    collected: Collected
    D: Mapping[tuple[str, str], Estimate]
    """By species and by what the point is: its swept values, or its temperature where nothing is swept."""


def compare_studies(studies: Sequence[Path], output: Path | None) -> Iterator[str]:
    """Say in words how the D of the later studies relate to the first's, point by point.

    Each pair of estimates is independent; σ(ln a/b)² = (σ_a/a)² + (σ_b/b)².

    Raises:
        LampionError: fewer than two studies, or nothing that they share.
    """
    if len(studies) < 2:
        raise LampionError("compare needs at least two studies")
    sides = [_side(path) for path in studies]
    first, *others = sides
    rows: list[dict[str, Any]] = []
    for key, D in first.D.items():
        species, point = key
        row: dict[str, Any] = {"species": species, "point": point}
        row.update(_columns(first.name, D))
        yield f"D({species}, {point}): {first.name} {D}"
        for other in others:
            if key not in other.D:
                continue
            row.update(_columns(other.name, other.D[key]))
            try:
                result = ratio(other.D[key], D)
            except AnalysisError as error:
                yield f"  {other.name} {other.D[key]}: no ratio: {error}"
                continue
            row[f"{other.name} / {first.name}"] = result.ratio.value
            row[f"{other.name} / {first.name} error"] = result.ratio.standard_error
            low, high = result.interval
            verdict = "they differ" if result.differ else "no difference is shown"
            yield (
                f"  {other.name} {other.D[key]}: {result.ratio} times {first.name} "
                f"(95 %: {low:.2f} to {high:.2f}; {verdict})"
            )
        rows.append(row)
    shared = [row for row in rows if len(row) > 4]
    if not shared:
        raise LampionError(
            f"the studies share no point: {first.name} has {_points(first)}, "
            f"{others[0].name} has {_points(others[0])}"
        )
    for side in sides:
        for series in side.collected.arrhenius:
            yield f"{side.name}, {series.species}{f' ({series.name})' if series.name else ''}: Ea = {series.fit.Ea}"
    if output is not None:
        yield from _write(sides, rows, output)


def _side(path: Path) -> Side:
    collected = collect(plan(path))
    name = collected.plan.study.title or path.absolute().parent.name
    D = {
        (species, label(point.values) or f"temperature {point.temperature:g}"): estimate
        for point in collected.measured
        if not point.flags
        for species, estimate in point.D.items()
    }
    return Side(name=name, collected=collected, D=D)


def _points(side: Side) -> str:
    return ", ".join(f"{species} at {point}" for species, point in side.D) or "no D that can be used"


def _columns(name: str, D: Estimate) -> dict[str, float]:
    return {f"{name} D (cm²/s)": D.value, f"{name} D error (cm²/s)": D.standard_error}


def _write(sides: Sequence[Side], rows: Sequence[dict[str, Any]], output: Path) -> Iterator[str]:
    output.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(list(rows)).to_csv(output / "comparison.csv", index=False)
    yield f"written: {output / 'comparison.csv'}"
    fits = [
        (f"{side.name} {series.species}", series.fit, series.temperatures, series.D)
        for side in sides
        for series in side.collected.arrhenius
    ]
    if fits:
        plot.save({"comparison": plot.arrhenius(fits)}, output)
        yield f"written: {output / 'comparison.svg'}"
