"""Who takes part: elements of a trajectory, its framework, its masses, and whether several belong together."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from lampion.analysis.msd import reference_frame
from lampion.analysis.phase import Phase, phase
from lampion.errors import AnalysisError
from lampion.settings import ELEMENTS
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


def masses_of(trajectory: Trajectory) -> Array | None:
    """Return the atoms' masses, (n_atoms,), g/mol: the dump's, else the elements' standard atomic weights (of ASE).

    None where a species is no element.
    """
    if trajectory.masses is not None:
        return trajectory.masses
    names = [str(name) for name in trajectory.species]
    if not set(names) <= set(ELEMENTS):
        return None
    return np.asarray(atomic_masses[[atomic_numbers[name] for name in names]], dtype=float)


def framework_mask(trajectory: Trajectory, mobile: Mask, framework: Framework = "auto") -> Mask | None:
    """Return the framework's atoms; None for a liquid, whose reference is the centre of mass.

    'auto' takes every element other than the mobile ones whose atoms stay on their sites (`phase`).
    """
    return framework_of(trajectory, mobile, framework)[0]


def framework_of(trajectory: Trajectory, mobile: Mask, framework: Framework) -> tuple[Mask | None, list[str]]:
    """Return the framework's atoms, and a flag where it isn't clear which they are."""
    if framework is None:
        return None, []
    if framework != "auto":
        return chosen(trajectory, framework), []
    mask, flags = np.zeros(trajectory.n_atoms, dtype=bool), []
    for name in sorted({str(s) for s in trajectory.species[~mobile]}):
        try:
            found = phase_of(trajectory, name)
        except AnalysisError as error:  # a run that is too short
            flags.append(f"whether {name} is a framework can't be told ({error}): name it, or None for the liquid")
            continue
        if found.verdict == "solid":
            mask |= (trajectory.species == name) & ~mobile
        elif found.verdict == "undecided":
            flags.append(
                f"whether {name} is a framework is undecided (MSD grows as t^{found.log_slope:.2f}, Lindemann ratio "
                f"{found.lindemann:.2f}) and it is not taken for one: name the framework, or None for the liquid"
            )
    return (mask if mask.any() else None), flags


def framework_of_all(runs: Sequence[Trajectory], mobile: Mask, framework: Framework) -> tuple[Mask | None, list[str]]:
    """Return the framework's atoms in several trajectories, and a flag where they don't have the same one."""
    found = [framework_of(run, mobile, framework) for run in runs]
    masks = [np.zeros(len(mobile), dtype=bool) if mask is None else mask for mask, _ in found]
    common = np.logical_and.reduce(masks)
    flags = list(dict.fromkeys(flag for _, doubts in found for flag in doubts))
    for name in sorted({str(s) for s in runs[0].species[np.logical_or.reduce(masks) & ~common]}):
        n = sum(bool(mask[runs[0].species == name].any()) for mask in masks)
        flags.append(f"{name} stays on its sites in {n} of {len(runs)} trajectories only, and is not the framework")
    return (common if common.any() else None), flags


def phase_of(trajectory: Trajectory, species: str | Collection[str] | None = None) -> Phase:
    """Return whether the trajectory, or some of its elements, is liquid or solid (`phase`)."""
    atoms = None if species is None else chosen(trajectory, species)
    return phase(trajectory.positions, trajectory.times, trajectory.cells, atoms=atoms, masses=masses_of(trajectory))


def drift_of(trajectory: Trajectory, mobile: Mask, framework: Framework) -> tuple[Array | None, str]:
    """Return the path of the reference, (n_frames, 3), Å, and what it is, with all that speaks against it."""
    mask, doubts = framework_of(trajectory, mobile, framework)
    frame = reference_frame(trajectory.n_atoms, framework=mask, masses=masses_of(trajectory), mobile=mobile)
    return frame.drift(trajectory.positions), "; ".join([frame.statement, *doubts, *cell_flags([trajectory])])


def alike(trajectories: Trajectory | Sequence[Trajectory]) -> list[Trajectory]:
    """Return the trajectories as a list.

    Raises:
        AnalysisError: none at all, or such that have other atoms or times than the first.
    """
    runs = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if not runs:
        raise AnalysisError("no trajectory is given")
    for number, run in enumerate(runs):
        require_paths(run)
        a, b = (float(np.abs(np.linalg.det(r.cells)).mean()) for r in (run, runs[0]))
        if abs(a - b) > 0.01 * b:
            raise AnalysisError(
                f"trajectory {number} has a cell of {a:.1f} Å³, the first {b:.1f}; analyse them apart"
            )
        if any(
            run.positions is other.positions or np.array_equal(run.positions, other.positions)
            for other in runs[:number]
        ):
            raise AnalysisError(f"trajectory {number} is one that was given before, and would count twice")
        if run.species.tolist() != runs[0].species.tolist():
            raise AnalysisError(f"trajectory {number} has other atoms than the first; analyse them apart")
        if run.n_frames != runs[0].n_frames or not np.allclose(
            run.times - run.times[0], runs[0].times - runs[0].times[0], rtol=1e-6, atol=1e-9
        ):
            raise AnalysisError(f"trajectory {number} has other times than the first; cut both to the same frames")
    return runs


def require_paths(trajectory: Trajectory) -> None:
    """Refuse frames that don't follow the atoms.

    Raises:
        AnalysisError: the trajectory was read with ``unwrap="frames"``, and its cell varies.
    """
    if not trajectory.are_paths:
        raise AnalysisError(
            "displacements need paths, and these frames stand each for itself; read with unwrap='auto'"
        )


def require_configurations(trajectory: Trajectory) -> None:
    """Refuse paths where pairs are looked at.

    Raises:
        AnalysisError: the cell varies, and positions were unwrapped along the atoms' paths.
    """
    if not trajectory.are_configurations:
        raise AnalysisError(
            "the cell varies, and positions were unwrapped along the atoms' paths: pairs in these cells are not "
            "those that were; read the dump with unwrap='frames', or sample at constant volume"
        )


def cell_flags(runs: Sequence[Trajectory]) -> list[str]:
    """Return a flag where the cell changes."""
    change = max(float(np.ptp(run.cells, axis=0).max() / np.abs(run.cells).max()) for run in runs)
    if change < _MAX_CELL_CHANGE:
        return []
    return [
        f"the cell changes by {change:.1e}: distant images move with it; sample at constant volume "
        "(doi 10.1021/acs.jctc.3c00308)"
    ]
