"""Several studies side by side: models, functionals or cells, as ratios with their errors."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lampion import plot
from lampion.analysis.comparison import difference, ratio
from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError, LampionError
from lampion.report import label
from lampion.study import Collected, MeasuredPoint, collect, plan

Key = tuple[str, str]
"""What is compared, as ``D Li``, and where: the swept values, or the temperature where nothing is swept."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One study's numbers."""

    name: str
    collected: Collected
    values: Mapping[Key, Estimate]


def compare_studies(studies: Sequence[Path], output: Path | None) -> Iterator[str]:
    """Say in words how the numbers of the later studies relate to the first's, point by point.

    D, D of an infinite cell, viscosity, conductivity and Haven ratio as ratios, σ(ln a/b)² = (σ_a/a)² + (σ_b/b)²;
    activation energies as differences. The estimates of two studies are independent.

    Raises:
        LampionError: fewer than two studies, or nothing that they share.
    """
    if len(studies) < 2:
        raise LampionError("compare needs at least two studies")
    if len({path.resolve() for path in studies}) < len(studies):
        raise LampionError("compare was given a study twice; it would agree with itself")
    sides = _sides(studies)
    first, *others = sides
    rows: list[dict[str, Any]] = []
    shared = False
    for key, own in first.values.items():
        row: dict[str, Any] = {"quantity": key[0], "point": key[1], "unit": own.unit, **_columns(first.name, own)}
        yield f"{key[0]}, {key[1]}: {first.name} {own}"
        for other in others:
            if key not in other.values:
                continue
            shared = True
            row.update(_columns(other.name, other.values[key]))
            said, more = _beside(key, other, first)
            row.update(more)
            yield f"  {other.name} {other.values[key]}: {said}"
        rows.append(row)
    if not shared:
        raise LampionError(
            f"the studies share no point: {first.name} has {_points(first)}, "
            f"{others[0].name} has {_points(others[0])}"
        )
    if output is not None:
        yield from _write(sides, rows, output)


def _beside(key: Key, other: Side, first: Side) -> tuple[str, dict[str, Any]]:
    """Return in words and in columns how one number relates to the first study's."""
    a, b = other.values[key], first.values[key]
    if key[0].startswith("Ea "):
        found = difference(a, b)
        between = f"{other.name} − {first.name}"
        estimate, (low, high), differ = found.difference, found.interval, found.differ
        said = f"{estimate} from {first.name} (95 %: {low:+.3f} to {high:+.3f} {estimate.unit}"
    else:
        try:
            quotient = ratio(a, b)
        except AnalysisError as error:
            return f"no ratio: {error}", {}
        between = f"{other.name} / {first.name}"
        estimate, (low, high), differ = quotient.ratio, quotient.interval, quotient.differ
        said = f"{estimate} times {first.name} (95 %: {low:.2f} to {high:.2f}"
    columns = {
        between: estimate.value,
        f"{between} error": estimate.standard_error,
        f"{between} low 95 %": low,
        f"{between} high 95 %": high,
        f"{between} differ": differ,
    }
    return f"{said}; {'they differ' if differ else 'no difference is shown'})", columns


def _sides(studies: Sequence[Path]) -> list[Side]:
    """Collect the studies; those of one title are told apart by their folder, and if need be by their number."""
    found = [collect(plan(path)) for path in studies]
    names = [c.plan.study.title or path.absolute().parent.name for c, path in zip(found, studies, strict=True)]
    twice = {name for name, n in Counter(names).items() if n > 1}
    names = [
        f"{name} ({path.absolute().parent.name}/{path.name})" if name in twice else name
        for name, path in zip(names, studies, strict=True)
    ]
    twice = {name for name, n in Counter(names).items() if n > 1}
    names = [f"{name} {number}" if name in twice else name for number, name in enumerate(names, 1)]
    return [Side(name=name, collected=c, values=_values(c)) for name, c in zip(names, found, strict=True)]


def _values(collected: Collected) -> dict[Key, Estimate]:
    values: dict[Key, Estimate] = {}
    for point in collected.measured:
        for quantity, estimate in _quantities(point).items():
            values[quantity, _place(point)] = estimate
    for series in collected.arrhenius:
        cell = " infinite cell" if series.infinite else ""
        values[f"Ea {series.species}{cell}", series.name or "all temperatures"] = series.fit.Ea
    return values


def _place(point: MeasuredPoint) -> str:
    """Return the swept values in words, 600 and 600.0 alike."""
    alike = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in point.values.items()
    }
    if alike:
        return label(alike)
    return "the only point" if point.temperature is None else f"temperature {point.temperature:g}"


def _quantities(point: MeasuredPoint) -> dict[str, Estimate]:
    """Return what a point knows; a D that was flagged is none of it."""
    found = {f"D {species}": D for species, D in point.D.items()}
    found |= {f"D {species} infinite cell": D for species, D in point.D_infinite.items()}
    if point.viscosity is not None:
        found["viscosity"] = point.viscosity
    if point.charge is not None:
        found["conductivity"] = point.charge.conductivity
        found["Dσ"] = point.charge.D_charge
        if point.charge.haven is not None:
            found["Haven ratio"] = point.charge.haven
    if point.green_kubo is not None:
        found["Green–Kubo conductivity"] = point.green_kubo
    return found


def _points(side: Side) -> str:
    return ", ".join(f"{quantity} at {place}" for quantity, place in side.values) or "no number that can be used"


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name} error": estimate.standard_error}


def _write(sides: Sequence[Side], rows: Sequence[dict[str, Any]], output: Path) -> Iterator[str]:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise LampionError(f"--output {output}: is no folder") from error
    pd.DataFrame(list(rows)).to_csv(output / "comparison.csv", index=False)
    record = {"format": 1, "studies": {side.name: str(side.collected.plan.path) for side in sides}, "rows": rows}
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    (output / "comparison.json").write_text(text + "\n", encoding="utf-8")
    yield f"written: {output / 'comparison.csv'}, {output / 'comparison.json'}"
    fits = [
        (f"{side.name} {series.species}", series.fit, series.temperatures, series.D)
        for side in sides
        for series in side.collected.arrhenius
        if not series.infinite
    ]
    if fits:
        plot.save({"comparison": plot.arrhenius(fits)}, output)
        yield f"written: {output / 'comparison.svg'}"
