"""What a run's log says of its health, and what must be flagged before its numbers are used."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from lampion.analysis.statistics import Estimate, UnreliableError, block_average, stationarity
from lampion.errors import AnalysisError
from lampion.thermo import ThermoRun
from lampion.units import BOLTZMANN


@dataclass(frozen=True, kw_only=True)
class Health:
    """Means and checks of the measured part of a run."""

    temperature: Estimate | None
    pressure: Estimate | None
    drift: float | None
    """Slope of the conserved energy, eV/atom/ps."""
    stationarity: float | None
    """z-score of the potential energy's second half against its first."""
    closest: float
    """Smallest distance between atoms in any row of the log, Å."""
    volume: float
    """Mean, Å³."""
    flags: tuple[str, ...] = field(default=())
    """Sentences; a flagged run is not averaged in."""


def health(
    log: Sequence[ThermoRun],
    species: Sequence[str],
    *,
    temperature: float | None,
    pressure: float | None,
    equilibrated: bool = True,
    tolerance: float = 0.05,
) -> Health:
    """Judge the last run of a log, and what came before it for signs of a blow-up.

    A run is flagged where atoms came closer than half the sum of their covalent radii, where the volume or the
    temperature went where no condensed phase goes, where the mean temperature is off its target, where the
    conserved energy drifts by more than 0.05 kT an atom over the measurement, or where the potential energy
    still changes (|z| > 4).

    Args:
        log: the runs of one log, in order.
        species: chemical symbols in the structure.
        temperature: target of the last run, K; None where it has none.
        pressure: target of the last run, bar; None where the cell is fixed.
        equilibrated: whether the last run should be stationary.
        tolerance: how far the mean temperature may lie from its target, as a fraction. At constant energy each of an
            ensemble's runs has its own: leaving out the far ones would bias the mean, so only gross misses are.
    """
    last = log[-1].columns
    flags: list[str] = []
    closest = min(float(np.min(run.columns["c_closest"])) for run in log)
    # Two of the smallest atoms set the bound: the log doesn't say whose distance it is.
    radius = min(float(covalent_radii[atomic_numbers[s]]) for s in species)
    if closest < radius:
        flags.append(
            f"atoms came as close as {closest:.2f} Å, under half of two covalent radii: the model failed there"
        )
    volumes = np.concatenate([run.columns["Volume"] for run in log])
    if volumes.max() > 3 * volumes[0]:
        flags.append(f"the volume grew {volumes.max() / volumes[0]:.1f}-fold: it evaporated or blew up")
    T = last["Temp"]
    if temperature is not None and T.max() > 3 * temperature + 300:
        flags.append(f"the temperature reached {T.max():.0f} K with a target of {temperature:.0f} K: it blew up")
    mean_T, mean_P = mean_of_series(T, "K"), mean_of_series(last["Press"], "bar")
    if (
        temperature is not None
        and mean_T is not None
        and abs(mean_T.value - temperature) > max(4 * mean_T.standard_error, tolerance * temperature)
    ):
        flags.append(f"the mean temperature {mean_T} is off its target of {temperature:g} K")
    if (
        pressure is not None
        and mean_P is not None
        and abs(mean_P.value - pressure) > max(5 * mean_P.standard_error, 2000.0)
    ):
        flags.append(f"the mean pressure {mean_P} is off its target of {pressure:g} bar")
    drift = _drift(log[-1])
    duration = _duration(log[-1])
    kT = BOLTZMANN * (temperature or float(np.mean(T)) or 1.0)
    if drift is not None and abs(drift) * duration > 0.05 * kT and equilibrated:
        flags.append(f"the conserved energy drifts by {drift:.1e} eV/atom/ps: try a smaller timestep")
    z = None
    if equilibrated and len(last["PotEng"]) >= 16:
        z = float(stationarity(last["PotEng"]))
        if abs(z) > 4:
            flags.append(f"the potential energy still changes (z = {z:.1f} between the halves): equilibrate longer")
    return Health(
        temperature=mean_T,
        pressure=mean_P,
        drift=drift,
        stationarity=z,
        closest=closest,
        volume=float(np.mean(last["Volume"])),
        flags=tuple(flags),
    )


def mean_of_series(series: np.ndarray, unit: str) -> Estimate | None:
    """Return the mean with its error; None where the series is too short or is no number."""
    try:
        return block_average(series, unit=unit)
    except UnreliableError as error:
        return error.estimate
    except AnalysisError:  # fewer than four rows: a run too short for a mean with an error
        return None


def _duration(run: ThermoRun) -> float:
    steps = run.columns["Step"]
    return float(steps[-1] - steps[0]) * (run.timestep or 0.0)


def _drift(run: ThermoRun) -> float | None:
    """Return the least-squares slope of the conserved energy per atom, eV/atom/ps."""
    times, energy = run.columns["Time"], run.columns["Econserve"]
    if len(times) < 4 or not run.n_atoms or times[-1] == times[0]:
        return None
    return float(np.polyfit(times - times[0], energy - energy[0], 1)[0]) / run.n_atoms
