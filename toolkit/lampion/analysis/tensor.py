"""Diffusion by direction: the tensor D_αβ in the user's frame, its principal values and axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.msd import atom_indices, displacement_tensor, reference_frame
from lampion.analysis.sampling import block_slices, checked_runs, lag_range
from lampion.analysis.slope import gls_weights
from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError
from lampion.units import A2_PER_PS_IN_CM2_PER_S

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DiffusionTensor:
    """D_αβ = lim d⟨Δr_α Δr_β⟩/dt/2."""

    D: Array
    """(3, 3), cm²/s."""
    error: Array
    """(3, 3), cm²/s, one standard error over the units."""
    directions: tuple[Estimate, Estimate, Estimate]
    """D_xx, D_yy, D_zz."""
    isotropic: Estimate
    """Trace/3: D*."""
    principal: Array
    """(3,), cm²/s, descending."""
    principal_error: Array
    """(3,), cm²/s, one standard error of D along these axes, over the units."""
    axes: Array
    """(3, 3): row i is the direction of principal value i."""
    anisotropic: bool
    """Whether some D_αα differs from the mean, or some off-diagonal from zero, by more than four of its errors."""
    statement: str
    """What displacements are measured against, and the frame."""


def diffusion_tensor(
    positions: ArrayLike | Sequence[ArrayLike],
    times: ArrayLike,
    *,
    window: tuple[float, float],
    mobile: ArrayLike | None = None,
    framework: ArrayLike | None = None,
    masses: ArrayLike | None = None,
    rotation: ArrayLike | None = None,
    n_blocks: int = 8,
) -> DiffusionTensor:
    """Return the diffusion tensor in a window, usually that of `diffusion_coefficient`, with the same units and fit.

    Args:
        positions: one array or several, (n_frames, n_atoms, 3), Å, unwrapped, in LAMMPS's frame.
        times: (n_frames,), ps, evenly spaced.
        window: first and last lag, ps.
        mobile: indices or mask of the diffusing atoms.
        framework: indices or mask of the reference's atoms.
        masses: (n_atoms,), g/mol.
        rotation: (3, 3), orthogonal: user's vector = rotation @ LAMMPS's vector; D → R D Rᵀ.
        n_blocks: the fewest independent units.

    Raises:
        AnalysisError: a rotation that is not orthogonal, and what `diffusion_coefficient` refuses.
    """
    runs, dt = checked_runs(positions, times)
    n_atoms = runs[0].shape[1]
    atoms = atom_indices(mobile, n_atoms)
    turn = np.eye(3) if rotation is None else np.asarray(rotation, dtype=float)
    if turn.shape != (3, 3) or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-6:
        raise AnalysisError("a rotation is an orthogonal (3, 3) matrix: user's vector = rotation @ LAMMPS's vector")
    frame = reference_frame(n_atoms, framework=framework, masses=masses, mobile=atoms)
    last, split = lag_range(len(runs), len(runs[0]), n_blocks, window[1] / dt)
    first = max(1, round(window[0] / dt))
    if last - first < 3:
        raise AnalysisError(f"the window {window[0]:g} to {window[1]:g} ps holds fewer than 4 lags; widen it")
    weights = gls_weights(np.arange(first, last + 1) * dt)[0]

    def fitted(run: Array, drift: Array | None) -> Array:
        moments = displacement_tensor(run, atoms=atoms, drift=drift, max_lag=last)[first:]
        D = np.tensordot(weights, moments, axes=1) / 2 * A2_PER_PS_IN_CM2_PER_S
        return np.asarray(turn @ D @ turn.T, dtype=float)

    paths = [frame.drift(run) for run in runs]
    whole = np.mean([fitted(run, path) for run, path in zip(runs, paths, strict=True)], axis=0)
    units = np.array(
        [
            fitted(run[part], None if path is None else path[part])
            for run, path in zip(runs, paths, strict=True)
            for part in block_slices(len(run), split)
        ]
    )
    return _result(whole, units, (first * dt, last * dt), frame.statement, rotation is not None)


def _result(D: Array, units: Array, window: tuple[float, float], statement: str, turned: bool) -> DiffusionTensor:
    n = len(units)
    error = units.std(axis=0, ddof=1) / math.sqrt(n)

    def estimate(value: float, spread: float, what: str) -> Estimate:
        return Estimate(value=value, standard_error=spread, unit="cm²/s", n_samples=n, window=window, method=what)

    traces = np.trace(units, axis1=1, axis2=2) / 3
    values, vectors = np.linalg.eigh(D)
    deviation = D - np.trace(D) / 3 * np.eye(3)
    scatter = (units - traces[:, None, None] * np.eye(3)).std(axis=0, ddof=1) / math.sqrt(n)
    along = np.einsum("ik,uij,jk->uk", vectors, units, vectors)
    x, y, z = (estimate(float(D[k, k]), float(error[k, k]), f"GLS slope along {'xyz'[k]}") for k in range(3))
    return DiffusionTensor(
        D=D,
        error=error,
        directions=(x, y, z),
        isotropic=estimate(float(np.trace(D)) / 3, float(traces.std(ddof=1)) / math.sqrt(n), "a third of the trace"),
        principal=values[::-1],
        principal_error=along.std(axis=0, ddof=1)[::-1] / math.sqrt(n),
        axes=vectors.T[::-1],
        anisotropic=bool((np.abs(deviation) > 4 * scatter).any()),
        statement=f"{statement}; in the {'user' if turned else 'positions'}'{'s' if turned else ''} frame",
    )
