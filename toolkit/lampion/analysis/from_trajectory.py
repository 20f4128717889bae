"""The analyses of a `Trajectory`: who is mobile is named by element, volumes and masses come along."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.conductivity import ConductivityResult, charges_by_element, conductivity
from lampion.analysis.density import Density, density
from lampion.analysis.diffusion import DiffusionResult, NotDiffusiveError, diffusion_coefficient
from lampion.analysis.green_kubo import GreenKubo
from lampion.analysis.hops import Hops, hops
from lampion.analysis.pairs import (
    NonGaussian,
    RadialDistribution,
    VanHove,
    half_width,
    non_gaussian_parameter,
    radial_distribution,
)
from lampion.analysis.pairs import van_hove as van_hove_of_arrays
from lampion.analysis.selection import (
    Framework,
    alike,
    cell_flags,
    chosen,
    drift_of,
    framework_of_all,
    masses_of,
    require_configurations,
    require_paths,
)
from lampion.analysis.streaming import stream_diffusion
from lampion.analysis.tensor import DiffusionTensor, diffusion_tensor
from lampion.analysis.velocity import Vibrations, green_kubo_diffusion, vibrations
from lampion.errors import AnalysisError
from lampion.trajectory import Trajectory, iterate_dump

Array = NDArray[np.float64]


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
    runs = alike(trajectories)
    mobile = chosen(runs[0], species)
    fixed, doubts = framework_of_all(runs, mobile, framework)
    flags = [*doubts, *cell_flags(runs)]
    try:
        result = diffusion_coefficient(
            [run.positions for run in runs],
            runs[0].times - runs[0].times[0],
            mobile=mobile,
            framework=fixed,
            masses=masses_of(runs[0]),
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
    runs = alike(trajectories)
    q = runs[0].charges if charges is None else charges_by_element(runs[0].species, charges)
    if q is None:
        raise AnalysisError("the trajectory holds no charges; give `charges` by element")
    moving = np.ones(runs[0].n_atoms, dtype=bool) if mobile is None else chosen(runs[0], mobile)
    fixed, doubts = framework_of_all(runs, moving, framework)
    if fixed is None and not moving.all():
        why = doubts[0] if doubts else "no element stays on its sites"
        raise AnalysisError(
            f"without a framework all ions are summed, and mobile says that some are not ({why}): name the "
            "framework, or leave mobile away"
        )
    result = conductivity(
        [run.positions for run in runs],
        runs[0].times - runs[0].times[0],
        charges=q,
        volume=float(np.mean([np.abs(np.linalg.det(run.cells)).mean() for run in runs])),
        temperature=temperature,
        framework=fixed,
        masses=masses_of(runs[0]),
        window=window,
        hop_length=hop_length,
        n_blocks=n_blocks,
    )
    return replace(result, flags=(*result.flags, *doubts, *cell_flags(runs)))


def tensor_of(
    trajectories: Trajectory | Sequence[Trajectory],
    species: str | Collection[str],
    *,
    window: tuple[float, float],
    framework: Framework = "auto",
    rotation: ArrayLike | None = None,
    n_blocks: int = 8,
) -> DiffusionTensor:
    """Return the diffusion tensor of one element (`diffusion_tensor`), in the window of its D*.

    Raises:
        AnalysisError: as `diffusion_tensor`.
    """
    runs = alike(trajectories)
    mobile = chosen(runs[0], species)
    fixed, doubts = framework_of_all(runs, mobile, framework)
    result = diffusion_tensor(
        [run.positions for run in runs],
        runs[0].times - runs[0].times[0],
        window=window,
        mobile=mobile,
        framework=fixed,
        masses=masses_of(runs[0]),
        rotation=rotation,
        n_blocks=n_blocks,
    )
    return replace(result, statement="; ".join([result.statement, *doubts, *cell_flags(runs)]))


def streamed_diffusion(
    dumps: str | Path | Sequence[str | Path],
    species: str | Collection[str],
    *,
    framework: Collection[str] | None = None,
    n_frames: int | None = None,
    window: tuple[float, float] | None = None,
    hop_length: float = 2.5,
    n_blocks: int = 8,
    **reading: Any,
) -> DiffusionResult:
    """Return D* of one element of a dump that does not fit into memory (`stream_diffusion`).

    Args:
        dumps: as `iterate_dump` takes them.
        species: the mobile element or elements.
        framework: elements of the reference; None for the centre of mass: who stays on its site is known at the end
            only.
        n_frames: how many frames there are; where not given the dump is read once more, to count them.
        window: first and last lag, ps.
        hop_length: Å.
        n_blocks: time blocks.
        reading: what `iterate_dump` takes, as ``timestep=0.001``.

    Raises:
        AnalysisError: frames that are not evenly spaced, and what `stream_diffusion` refuses.
        NotDiffusiveError: the MSD does not grow as t.
    """
    total = sum(block.n_frames for block in iterate_dump(dumps, **reading)) if n_frames is None else n_frames
    blocks = iterate_dump(dumps, **reading)
    first = next(blocks)
    if first.n_frames < 2:
        raise AnalysisError(f"{dumps}: its first block holds one frame, and motion needs two")
    dt = float(first.times[1] - first.times[0])
    ends = [float(first.times[0]) - dt]
    flags: list[str] = []

    def frames() -> Iterator[Array]:
        for block in chain([first], blocks):
            steps = np.diff(np.concatenate([ends, block.times]))
            if np.abs(steps - dt).max() > 1e-3 * dt:
                raise AnalysisError(
                    f"frames must be evenly spaced in time; the steps lie between {steps.min():g} and "
                    f"{steps.max():g} ps"
                )
            ends[:] = [float(block.times[-1])]
            flags[:] = flags or cell_flags([block])
            yield from block.positions

    result = stream_diffusion(
        frames(),
        total,
        dt,
        mobile=chosen(first, species),
        framework=None if framework is None else chosen(first, framework),
        masses=masses_of(first),
        window=window,
        hop_length=hop_length,
        n_blocks=n_blocks,
    )
    return replace(result, flags=(*result.flags, *flags))


def vibrations_of(trajectory: Trajectory, species: str | Collection[str] | None = None, **more: Any) -> Vibrations:
    """Return velocity autocorrelation and vibrational density of states (`vibrations`) from vx, vy, vz of the dump.

    Raises:
        AnalysisError: the trajectory was read without ``columns=["vx", "vy", "vz"]``; what `vibrations` refuses.
    """
    atoms = None if species is None else chosen(trajectory, species)
    v, dt = _velocities(trajectory)
    return vibrations(v, dt=dt, masses=masses_of(trajectory), atoms=atoms, **more)


def velocity_diffusion(
    trajectories: Trajectory | Sequence[Trajectory], species: str | Collection[str], **more: Any
) -> GreenKubo:
    """Return D of one element by Green and Kubo (`green_kubo_diffusion`) from vx, vy, vz of the dumps.

    Velocities are relative to the centre of mass.

    Raises:
        AnalysisError: as `vibrations_of`; what `green_kubo_diffusion` refuses.
    """
    runs = alike(trajectories)
    masses = masses_of(runs[0])
    pairs = [_velocities(run) for run in runs]
    return green_kubo_diffusion(
        [v for v, _ in pairs], dt=pairs[0][1], atoms=chosen(runs[0], species), masses=masses, **more
    )


def _velocities(trajectory: Trajectory) -> tuple[Array, float]:
    names = ("vx", "vy", "vz")
    if missing := [name for name in names if name not in trajectory.extras]:
        raise AnalysisError(f"the trajectory holds no {missing[0]}; read the dump with columns=['vx', 'vy', 'vz']")
    steps = np.diff(trajectory.times)
    if not len(steps) or np.abs(steps - steps[0]).max() > 1e-3 * steps[0]:
        raise AnalysisError("velocities need two or more frames, evenly spaced in time")
    return np.stack([trajectory.extras[name] for name in names], axis=-1), float(steps.mean())


def density_of(
    trajectory: Trajectory, species: str | Collection[str], *, framework: Framework = "auto", spacing: float = 0.25
) -> Density:
    """Return the density of one element in the cell (`density`), relative to the framework."""
    atoms = chosen(trajectory, species)
    drift, said = drift_of(trajectory, atoms, framework)
    result = density(
        trajectory.positions,
        trajectory.cells,
        atoms=atoms,
        drift=drift,
        origin=trajectory.origins[0],
        spacing=spacing,
    )
    return replace(result, reference=said)


def hops_of(
    trajectory: Trajectory,
    species: str | Collection[str],
    sites: ArrayLike,
    *,
    framework: Framework = "auto",
    radius: float = 1.0,
    dwell: float = 0.0,
    n_blocks: int = 8,
) -> Hops:
    """Return the hops of one element between sites (`hops`), relative to the framework."""
    require_paths(trajectory)
    atoms = chosen(trajectory, species)
    drift, said = drift_of(trajectory, atoms, framework)
    result = hops(
        trajectory.positions,
        trajectory.times,
        trajectory.cells,
        sites,
        radius=radius,
        dwell=dwell,
        atoms=atoms,
        drift=drift,
        n_blocks=n_blocks,
    )
    return replace(result, reference=said)


def pair_distribution(
    trajectory: Trajectory, a: str, b: str, *, r_max: float | None = None, bin_width: float = 0.05
) -> RadialDistribution:
    """Return g(r) of two elements (`radial_distribution`).

    Raises:
        AnalysisError: frames that are no configurations; what `radial_distribution` refuses.
    """
    require_configurations(trajectory)
    return radial_distribution(
        trajectory.positions,
        trajectory.cells,
        a=chosen(trajectory, a),
        b=chosen(trajectory, b),
        r_max=r_max,
        bin_width=bin_width,
    )


def van_hove_functions(
    trajectory: Trajectory,
    species: str,
    *,
    framework: Framework = "auto",
    r_max: float | None = None,
    bin_width: float = 0.1,
) -> VanHove:
    """Return the van Hove functions of one element (`pairs.van_hove`), relative to the framework.

    `r_max` is half the cell's smallest width where not given, 8 Å at the most.
    """
    require_configurations(trajectory)
    require_paths(trajectory)
    atoms = chosen(trajectory, species)
    drift, said = drift_of(trajectory, atoms, framework)
    result = van_hove_of_arrays(
        trajectory.positions,
        trajectory.times,
        cells=trajectory.cells,
        atoms=atoms,
        drift=drift,
        r_max=min(8.0, half_width(trajectory.cells)) if r_max is None else r_max,
        bin_width=bin_width,
    )
    return replace(result, reference=said)


def non_gaussian(trajectory: Trajectory, species: str, *, framework: Framework = "auto") -> NonGaussian:
    """Return α₂(t) of one element (`non_gaussian_parameter`), relative to the framework."""
    require_paths(trajectory)
    atoms = chosen(trajectory, species)
    drift, said = drift_of(trajectory, atoms, framework)
    result = non_gaussian_parameter(trajectory.positions, trajectory.times, atoms=atoms, drift=drift)
    return replace(result, reference=said)
