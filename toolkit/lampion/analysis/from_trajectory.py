"""The analyses of a `Trajectory`: who is mobile is named by element, volumes and masses come along."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lampion.analysis.conductivity import ConductivityResult, charges_by_element, conductivity
from lampion.analysis.diffusion import DiffusionResult, NotDiffusiveError, diffusion_coefficient
from lampion.analysis.msd import reference_frame
from lampion.analysis.pairs import (
    NonGaussian,
    RadialDistribution,
    VanHove,
    non_gaussian_parameter,
    radial_distribution,
)
from lampion.analysis.pairs import van_hove as van_hove_of_arrays
from lampion.analysis.phase import Phase, phase
from lampion.errors import AnalysisError
from lampion.trajectory import Trajectory

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Framework = Collection[str] | Literal["auto"] | None

_MAX_CELL_CHANGE = 1e-4


def chosen(trajectory: Trajectory, species: str | Collection[str]) -> Mask:
    """Return the mask of the atoms of one element or several.

    Raises:
        AnalysisError: an element that the trajectory does not have.
    """
    wanted = {species} if isinstance(species, str) else set(species)
    there = {str(s) for s in trajectory.species}
    if not wanted <= there:
        missing, have = ", ".join(sorted(wanted - there)), ", ".join(sorted(there))
        raise AnalysisError(f"the trajectory has no {missing}, only {have}")
    return np.isin(trajectory.species, sorted(wanted))


def framework_mask(trajectory: Trajectory, mobile: Mask, framework: Framework = "auto") -> Mask | None:
    """Return the framework's atoms; None for a liquid, whose reference is the centre of mass.

    'auto' takes every element other than the mobile ones whose atoms stay on their sites (`phase`).
    """
    if framework is None:
        return None
    if framework != "auto":
        return chosen(trajectory, framework)
    mask = np.zeros(trajectory.n_atoms, dtype=bool)
    for name in sorted({str(s) for s in trajectory.species[~mobile]}):
        atoms = (trajectory.species == name) & ~mobile
        if phase_of(trajectory, name).verdict == "solid":
            mask |= atoms
    return mask if mask.any() else None


def phase_of(trajectory: Trajectory, species: str | Collection[str] | None = None) -> Phase:
    """Return whether the trajectory, or some of its elements, is liquid or solid (`phase`)."""
    atoms = None if species is None else chosen(trajectory, species)
    return phase(trajectory.positions, trajectory.times, trajectory.cells, atoms=atoms)


def tracer_diffusion(
    trajectories: Trajectory | Sequence[Trajectory],
    species: str | Collection[str],
    *,
    framework: Framework = "auto",
    window: tuple[float, float] | None = None,
    hop_length: float = 2.5,
    n_blocks: int = 8,
) -> DiffusionResult:
    """Return D* of one element (`diffusion_coefficient`), with flags of the trajectory.

    Args:
        trajectories: one, or independent ones of the same atoms and length.
        species: the mobile element or elements.
        framework: elements of the reference; found where 'auto'; None for the centre of mass.
        window: first and last lag, ps.
        hop_length: Å.
        n_blocks: the fewest independent units.

    Raises:
        AnalysisError: trajectories of different atoms, and what `diffusion_coefficient` refuses.
        NotDiffusiveError: the MSD does not grow as t; carries the result, its flags included.
    """
    runs = _alike(trajectories)
    mobile = chosen(runs[0], species)
    flags = _flags(runs)
    try:
        result = diffusion_coefficient(
            [run.positions for run in runs],
            runs[0].times - runs[0].times[0],
            mobile=mobile,
            framework=framework_mask(runs[0], mobile, framework),
            masses=runs[0].masses,
            window=window,
            hop_length=hop_length,
            n_blocks=n_blocks,
        )
    except NotDiffusiveError as error:
        raise NotDiffusiveError(str(error), replace(error.result, flags=(*error.result.flags, *flags))) from error
    return replace(result, flags=(*result.flags, *flags))


def charge_transport(
    trajectories: Trajectory | Sequence[Trajectory],
    temperature: float,
    *,
    charges: Mapping[str, float] | None = None,
    mobile: str | Collection[str] | None = None,
    framework: Framework = "auto",
    window: tuple[float, float] | None = None,
    hop_length: float = 2.5,
    n_blocks: int = 8,
) -> ConductivityResult:
    """Return σ, Dσ, D* and the Haven ratio (`conductivity`) at the mean volume.

    Args:
        trajectories: one, or independent ones of the same atoms and length.
        temperature: K.
        charges: e, by element; the trajectory's own where not given.
        mobile: mobile elements; all where not given, and then there is no framework.
        framework: as in `tracer_diffusion`.
        window: first and last lag, ps.
        hop_length: Å.
        n_blocks: the fewest independent units.

    Raises:
        AnalysisError: no charges, or charges that don't add up to zero; what `conductivity` refuses.
        NotDiffusiveError: the MSD does not grow as t.
        UnreliableError: too few hops.
    """
    runs = _alike(trajectories)
    q = runs[0].charges if charges is None else charges_by_element(runs[0].species, charges)
    if q is None:
        raise AnalysisError("the trajectory holds no charges; give `charges` by element")
    moving = np.ones(runs[0].n_atoms, dtype=bool) if mobile is None else chosen(runs[0], mobile)
    result = conductivity(
        [run.positions for run in runs],
        runs[0].times - runs[0].times[0],
        charges=q,
        volume=float(np.mean([np.abs(np.linalg.det(run.cells)).mean() for run in runs])),
        temperature=temperature,
        framework=framework_mask(runs[0], moving, framework),
        masses=runs[0].masses,
        window=window,
        hop_length=hop_length,
        n_blocks=n_blocks,
    )
    return replace(result, flags=(*result.flags, *_flags(runs)))


def pair_distribution(
    trajectory: Trajectory, a: str, b: str, *, r_max: float | None = None, bin_width: float = 0.05
) -> RadialDistribution:
    """Return g(r) of two elements (`radial_distribution`)."""
    return radial_distribution(
        trajectory.positions,
        trajectory.cells,
        a=chosen(trajectory, a),
        b=chosen(trajectory, b),
        r_max=r_max,
        bin_width=bin_width,
    )


def van_hove_functions(
    trajectory: Trajectory, species: str, *, framework: Framework = "auto", r_max: float = 8.0, bin_width: float = 0.1
) -> VanHove:
    """Return the van Hove functions of one element (`pairs.van_hove`), relative to the framework."""
    atoms = chosen(trajectory, species)
    return van_hove_of_arrays(
        trajectory.positions,
        trajectory.times,
        cells=trajectory.cells,
        atoms=atoms,
        drift=_drift(trajectory, atoms, framework),
        r_max=r_max,
        bin_width=bin_width,
    )


def non_gaussian(trajectory: Trajectory, species: str, *, framework: Framework = "auto") -> NonGaussian:
    """Return α₂(t) of one element (`non_gaussian_parameter`), relative to the framework."""
    atoms = chosen(trajectory, species)
    drift = _drift(trajectory, atoms, framework)
    return non_gaussian_parameter(trajectory.positions, trajectory.times, atoms=atoms, drift=drift)


def _drift(trajectory: Trajectory, mobile: Mask, framework: Framework) -> Array | None:
    mask = framework_mask(trajectory, mobile, framework)
    frame = reference_frame(trajectory.n_atoms, framework=mask, masses=trajectory.masses, mobile=mobile)
    return frame.drift(trajectory.positions)


def _alike(trajectories: Trajectory | Sequence[Trajectory]) -> list[Trajectory]:
    runs = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if not runs:
        raise AnalysisError("no trajectory is given")
    for number, run in enumerate(runs):
        if run.species.tolist() != runs[0].species.tolist():
            raise AnalysisError(f"trajectory {number} has other atoms than the first; analyse them apart")
        if run.n_frames != runs[0].n_frames or not np.allclose(
            run.times - run.times[0], runs[0].times - runs[0].times[0], rtol=1e-6, atol=1e-9
        ):
            raise AnalysisError(f"trajectory {number} has other times than the first; cut both to the same frames")
    return runs


def _flags(runs: Sequence[Trajectory]) -> list[str]:
    change = max(float(np.ptp(run.cells, axis=0).max() / np.abs(run.cells).max()) for run in runs)
    if change < _MAX_CELL_CHANGE:
        return []
    return [
        f"the cell changes by {change:.1e}: distant images move with it; sample at constant volume "
        "(doi 10.1021/acs.jctc.3c00308)"
    ]
