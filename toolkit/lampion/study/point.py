"""The numbers of one point: its replicas taken together, flagged ones left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampion.analysis.conductivity import (
    ConductivityResult,
    charges_by_element,
    conductivity,
    green_kubo_conductivity,
)
from lampion.analysis.diffusion import DiffusionResult
from lampion.analysis.ensemble import runs_needed
from lampion.analysis.statistics import Estimate, mean_of
from lampion.analysis.tensor import diffusion_tensor
from lampion.analysis.viscosity import green_kubo_viscosity, yeh_hummer
from lampion.errors import AnalysisError
from lampion.protocol import Diffusion, Ensemble
from lampion.study.measure import Measured, diffusion_row, one_species
from lampion.study.settings import Study

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """What the replicas of one point gave together."""

    values: Mapping[str, Any]
    temperature: float | None
    """K, the target."""
    row: Mapping[str, Any]
    flags: tuple[str, ...]
    measured_temperature: float | None = None
    """K, the mean over the runs: what its numbers are of."""
    diffusion: Mapping[str, DiffusionResult] = field(default_factory=dict)
    """By species, for pictures; a D among them that was refused is not in `D`."""
    D: Mapping[str, Estimate] = field(default_factory=dict)
    """By species, cm²/s."""
    D_infinite: Mapping[str, Estimate] = field(default_factory=dict)
    """The same, corrected to an infinite cell."""
    viscosity: Estimate | None = None
    """mPa·s."""
    charge: ConductivityResult | None = None
    green_kubo: Estimate | None = None
    """Conductivity from the current, mS/cm."""
    volume: float | None = None
    """Å³, mean."""
    notes: tuple[str, ...] = ()
    """What could not be had, and how many more runs a wanted precision needs."""


def measure_point(
    study: Study, values: Mapping[str, Any], runs: Sequence[Measured], *, n_asked: int
) -> MeasuredPoint:
    """Take the replicas of a point together; flagged ones are counted, not averaged in.

    Args:
        study: the settings of its first replica.
        values: the swept values.
        runs: its finished replicas.
        n_asked: how many replicas the study asks for.
    """
    protocol = study.protocol
    good = [r for r in runs if not r.flags]
    row: dict[str, Any] = {"runs": n_asked, "done": len(runs), "flagged": len(runs) - len(good)}
    if not isinstance(protocol, Diffusion | Ensemble):
        return MeasuredPoint(values=values, temperature=None, row=row, flags=())
    flags = [] if good else ["every run is flagged or unfinished"]
    notes: list[str] = []
    found: dict[str, DiffusionResult] = {}
    best: dict[str, Estimate] = {}
    corrected: dict[str, Estimate] = {}
    trajectories = [r.trajectory for r in good if r.trajectory is not None]
    masses = next((r.masses for r in good if r.masses is not None), None)
    if not trajectories or masses is None:
        return MeasuredPoint(values=values, temperature=protocol.temperature, row=row, flags=tuple(flags))
    mobile = protocol.mobile or tuple(sorted(set(trajectories[0].species.tolist())))
    temperature = _temperature(protocol, good, row, flags)
    viscosity = _viscosity(temperature, good, row, notes) if protocol.phase == "liquid" else None
    for species in mobile:
        result, said = one_species(study, protocol, mobile, species, trajectories, masses)
        flags += said
        if result is None:
            continue
        found[species] = result
        row.update(diffusion_row(species, result, said))
        if result.D is not None and not said:
            best[species] = result.D
            if protocol.phase == "crystal":
                _directions(mobile, species, good, result, row)
            infinite = _infinite(result.D, viscosity, good)
            if infinite is not None:
                corrected[species] = infinite
                row[f"D {species} infinite cell (cm²/s)"] = infinite.value
                row[f"D {species} infinite cell error (cm²/s)"] = infinite.standard_error
            if study.analysis.precision is not None:
                notes.append(f"D of {species}: {_more(result, study.analysis.precision, len(trajectories))}")
    charge = _charge(study, protocol, temperature, mobile, good, row, notes)
    current = _current(study, temperature, good, row, notes)
    return MeasuredPoint(
        values=values,
        temperature=protocol.temperature,
        row=row,
        flags=tuple(flags),
        diffusion=found,
        D=best,
        D_infinite=corrected,
        viscosity=viscosity,
        charge=charge,
        green_kubo=current,
        volume=_volume(good),
        measured_temperature=temperature,
        notes=tuple(notes),
    )


def _directions(
    mobile: Sequence[str],
    species: str,
    runs: Sequence[Measured],
    result: DiffusionResult,
    row: dict[str, Any],
) -> None:
    """Add D along x, y and z of the user's frame to the row of a crystal."""
    trajectories = [r.trajectory for r in runs if r.trajectory is not None]
    framework = ~np.isin(trajectories[0].species, mobile)
    tensor = diffusion_tensor(
        [t.positions for t in trajectories],
        trajectories[0].times,
        window=result.window,
        mobile=trajectories[0].species == species,
        framework=framework if framework.any() else None,
        masses=runs[0].masses,
        rotation=runs[0].rotation,
    )
    for axis, D in zip("xyz", tensor.directions, strict=True):
        _put(row, f"D {species} along {axis}", D)
    row[f"D {species} anisotropic"] = tensor.anisotropic


def _more(result: DiffusionResult, precision: float, n_runs: int) -> str:
    """Say how many more runs a precision needs; a pilot's own scatter counts runs only where they are its unit."""
    if result.D is None or result.D.n_samples != n_runs:
        return f"how many runs {precision:.2%} needs is told from 8 replicas on, not from {n_runs}"
    return runs_needed(result.D, precision, n_hops=result.n_hops).statement


def _put(row: dict[str, Any], name: str, estimate: Estimate) -> None:
    unit = f" ({estimate.unit})" if estimate.unit else ""
    row[f"{name}{unit}"] = estimate.value
    row[f"{name} error{unit}"] = estimate.standard_error


def _volume(runs: Sequence[Measured]) -> float:
    return float(np.mean([r.health.volume for r in runs if r.health is not None]))


def _temperature(
    protocol: Diffusion | Ensemble, runs: Sequence[Measured], row: dict[str, Any], flags: list[str]
) -> float:
    """Return the mean of the runs' own temperatures, K, flagged where it is off the target.

    Numbers that hold kT are of the temperature that was, not of the one that was asked for.
    """
    seen = [r.health.temperature for r in runs if r.health is not None and r.health.temperature is not None]
    if not seen:
        return protocol.temperature
    mean = mean_of([T.value for T in seen], unit="K") if len(seen) > 1 else seen[0]
    row["T (K)"], row["T error (K)"] = mean.value, mean.standard_error
    off = abs(mean.value - protocol.temperature)
    if off > max(4 * mean.standard_error, 0.03 * protocol.temperature):
        flags.append(f"the mean temperature of the runs {mean} is off its target of {protocol.temperature:g} K")
    return mean.value


def _viscosity(
    temperature: float, runs: Sequence[Measured], row: dict[str, Any], notes: list[str]
) -> Estimate | None:
    """Add the Green–Kubo viscosity of a liquid's runs to the row."""
    stresses = _of_one_length([r.stress for r in runs if r.stress is not None], "stress", notes)
    if not stresses:
        return None
    reason = ""
    for n_blocks in (8, 4):
        # Four long blocks where eight would be too short: an error with fewer degrees of freedom, said in its method.
        try:
            result = green_kubo_viscosity(
                stresses,
                volume=_volume(runs),
                temperature=temperature,
                dt=runs[0].stress_interval,
                n_blocks=n_blocks,
            )
        except AnalysisError as error:
            reason = str(error)
            continue
        break
    else:
        notes.append(f"no viscosity: {reason}")
        return None
    _put(row, "viscosity", result.estimate)
    return result.estimate


def _of_one_length(series: Sequence[Floats], what: str, notes: list[str]) -> list[Floats]:
    """Return the series cut to the shortest; a note says so where they differ."""
    lengths = {len(s) for s in series}
    if len(lengths) > 1:
        notes.append(f"the runs hold {min(lengths)} to {max(lengths)} rows of {what}; all are cut to the fewest")
    return [s[: min(lengths)] for s in series]


def _charges(study: Study) -> Mapping[str, float] | None:
    """Return the charges that the study gives to elements, for the analysis or in its potential."""
    given = study.analysis.charges or getattr(study.potential, "charges", None)
    return dict(given) if given else None


def _charge(
    study: Study,
    protocol: Diffusion | Ensemble,
    temperature: float,
    mobile: Sequence[str],
    runs: Sequence[Measured],
    row: dict[str, Any],
    notes: list[str],
) -> ConductivityResult | None:
    """Add conductivity, charge diffusion and Haven ratio to the row, where charges are given."""
    charges = _charges(study)
    trajectories = [r.trajectory for r in runs if r.trajectory is not None]
    if charges is None or not trajectories:
        return None
    framework = ~np.isin(trajectories[0].species, mobile)
    try:
        result = conductivity(
            [t.positions for t in trajectories],
            trajectories[0].times,
            charges=charges_by_element(trajectories[0].species, charges),
            volume=_volume(runs),
            temperature=temperature,
            framework=framework if protocol.phase == "crystal" and framework.any() else None,
            masses=runs[0].masses,
            window=study.analysis.window,
            hop_length=study.analysis.hop_length,
        )
    except AnalysisError as error:
        notes.append(f"no conductivity: {error}")
        return None
    _put(row, "conductivity", result.conductivity)
    _put(row, "Nernst–Einstein conductivity", result.nernst_einstein)
    _put(row, "Dσ", result.D_charge)
    if result.haven is not None:
        _put(row, "Haven ratio", result.haven)
    notes += result.flags
    return result


def _current(
    study: Study, temperature: float, runs: Sequence[Measured], row: dict[str, Any], notes: list[str]
) -> Estimate | None:
    """Add the Green–Kubo conductivity to the row, where the decks wrote the current and charges are given."""
    charges = _charges(study)
    trajectory = runs[0].trajectory
    if charges is None or trajectory is None:
        return None
    sums = _of_one_length([r.current for r in runs if r.current is not None], "current", notes)
    if not sums:
        return None
    q = np.array([charges[element] for element in sorted(set(trajectory.species.tolist()))])
    currents = [np.einsum("e,tex->tx", q, s.reshape(len(s), -1, 3)) for s in sums]
    try:
        result = green_kubo_conductivity(
            currents, volume=_volume(runs), temperature=temperature, dt=runs[0].current_interval
        )
    except AnalysisError as error:
        notes.append(f"no Green–Kubo conductivity: {error}")
        return None
    _put(row, "Green–Kubo conductivity", result.estimate)
    return result.estimate


def _infinite(D: Estimate, viscosity: Estimate | None, runs: Sequence[Measured]) -> Estimate | None:
    """Return D corrected for the size of a cubic cell (Yeh–Hummer); None where the cell is no cube."""
    trajectory, checked = runs[0].trajectory, runs[0].health
    if viscosity is None or trajectory is None or checked is None or checked.temperature is None:
        return None
    cell = trajectory.cells[0]
    lengths = np.linalg.norm(cell, axis=1)
    if viscosity.value <= 0 or np.ptp(lengths) > 1e-3 * lengths[0] or abs(cell - np.diag(np.diag(cell))).max() > 1e-6:
        return None
    return yeh_hummer(D, temperature=checked.temperature.value, length=float(lengths.mean()), viscosity=viscosity)
