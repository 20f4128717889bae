"""Distances between atoms in a periodic cell: radial distribution and van Hove functions, non-Gaussian parameter."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.msd import atom_indices, checked_positions, checked_times
from lampion.errors import AnalysisError

Array = NDArray[np.float64]

_CHUNK = 400_000


@dataclass(frozen=True, kw_only=True)
class RadialDistribution:
    """g(r) and how many neighbours lie within r."""

    r: Array
    """(n_bins,), Å, centres."""
    g: Array
    """(n_bins,)."""
    g_error: Array
    """(n_bins,), one standard error over time blocks, widened where neighbouring blocks are alike."""
    coordination: Array
    """(n_bins,): mean number of neighbours within the outer edge of each bin."""
    n_samples: int
    """Time blocks."""


@dataclass(frozen=True, kw_only=True)
class VanHove:
    """Where atoms are a time after: their own displacement, and the others'."""

    lags: Array
    """(n_lags,), ps."""
    r: Array
    """(n_bins,), Å, centres."""
    self_part: Array
    """(n_lags, n_bins), 1/Å: 4πr² G_s(r, t), whose integral is 1 where r reaches far enough."""
    distinct_part: Array | None
    """(n_lags, n_bins): G_d(r, t)/ρ, which tends to 1; at t = 0 it is g(r)."""
    self_error: Array
    """(n_lags, n_bins), 1/Å, one standard error over time blocks of twice the lag or longer; NaN where there are no
    four."""
    distinct_error: Array | None
    """(n_lags, n_bins)."""
    n_samples: int
    """Time blocks, at most."""
    reference: str = "as given"
    """What displacements are relative to, and what speaks against that."""


@dataclass(frozen=True, kw_only=True)
class NonGaussian:
    """α₂(t) = 3⟨r⁴⟩/(5⟨r²⟩²) − 1: zero for Gaussian displacements, positive where few atoms move far."""

    lags: Array
    """(n_lags,), ps."""
    alpha2: Array
    error: Array
    """(n_lags,), one standard error over time blocks of twice the lag or longer; NaN where there are no four."""
    n_samples: int
    reference: str = "as given"
    """What displacements are relative to, and what speaks against that."""


def half_width(cells: Array) -> float:
    """Return half the smallest distance between opposite faces of any cell, Å: images are unique up to there.

    Args:
        cells: (3, 3) or (n, 3, 3), rows are lattice vectors, Å.
    """
    return float(0.5 / np.linalg.norm(np.linalg.inv(cells), axis=-2).max())


def nearest_image(difference: Array, cell: Array) -> Array:
    """Return the image of each vector that is shortest wherever that is below `half_width`.

    Args:
        difference: (..., 3), Å.
        cell: (3, 3), Å.
    """
    fractional = difference @ np.linalg.inv(cell)
    return np.asarray((fractional - np.round(fractional)) @ cell, dtype=float)


def radial_distribution(
    positions: ArrayLike,
    cells: ArrayLike,
    *,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    r_max: float | None = None,
    bin_width: float = 0.05,
    n_blocks: int = 8,
) -> RadialDistribution:
    """Return g_ab(r) = V/(N_a N_b) ⟨Σ_i Σ_{j≠i} δ(r − r_ij)⟩/(4πr²).

    Args:
        positions: (n_frames, n_atoms, 3), Å.
        cells: (3, 3) or (n_frames, 3, 3), Å.
        a: indices or mask of the central atoms; all where not given.
        b: of their neighbours; those of `a` where not given.
        r_max: Å; half the cell's smallest width where not given.
        bin_width: Å.
        n_blocks: time blocks for the error.

    Raises:
        AnalysisError: `r_max` beyond half the cell's smallest width, or fewer frames than blocks.

    >>> import numpy as np
    >>> gas = np.random.default_rng(0).uniform(0, 10, (40, 100, 3))
    >>> g = radial_distribution(gas, 10 * np.eye(3), bin_width=1.0)
    >>> bool(np.abs(g.g[1:] - 1).max() < 0.05)
    True
    """
    x = checked_positions(positions)
    boxes = np.broadcast_to(np.asarray(cells, dtype=float), (len(x), 3, 3))
    first = atom_indices(a, x.shape[1])
    second = first if b is None else atom_indices(b, x.shape[1])
    limit = half_width(boxes)
    reach = limit if r_max is None else r_max
    if reach > limit * (1 + 1e-9):
        raise AnalysisError(f"r_max {reach:g} Å exceeds half the cell's smallest width, {limit:g} Å; lower it")
    if not 0 < bin_width <= reach:
        raise AnalysisError(f"bins of {bin_width:g} Å don't fit into r_max {reach:g} Å; they must be positive")
    if len(x) < n_blocks:
        raise AnalysisError(f"{len(x)} frames can't be cut into {n_blocks} blocks; give more frames or fewer blocks")
    edges = np.arange(0.0, reach + 1e-9, bin_width)
    shell = 4 / 3 * math.pi * np.diff(edges**3)
    volumes = np.abs(np.linalg.det(boxes))
    common = len(np.intersect1d(first, second))
    pairs = len(first) * len(second) - common
    if not pairs:
        raise AnalysisError("one atom has no neighbours; choose others")
    curves = np.zeros((len(x), len(shell)))
    for frame in range(len(x)):
        counts = _pair_counts(x[frame, first], x[frame, second], boxes[frame], edges)
        # An atom with itself: distance zero.
        counts[0] -= common
        curves[frame] = counts * volumes[frame] / (pairs * shell)
    blocks = np.array([part.mean(axis=0) for part in np.array_split(curves, n_blocks)])
    g = curves.mean(axis=0)
    density = pairs / len(first) * float((1 / volumes).mean())
    return RadialDistribution(
        r=(edges[1:] + edges[:-1]) / 2,
        g=g,
        g_error=_correlated(blocks) * blocks.std(axis=0, ddof=1) / math.sqrt(n_blocks),
        coordination=np.cumsum(g * shell) * density,
        n_samples=n_blocks,
    )


def _correlated(blocks: Array) -> float:
    """Return √((1 + ρ)/(1 − ρ)), ρ the correlation of a block with the next, the mean over all bins: 1 if none."""
    deviation = blocks - blocks.mean(axis=0)
    n, power = len(blocks), float((deviation**2).sum())
    if n < 4 or power == 0:
        return 1.0
    # Deviations from a mean of n are anticorrelated by 1/n on their own.
    rho = float((deviation[1:] * deviation[:-1]).sum()) / power * n / (n - 1) + 1 / n
    rho = min(max(rho, 0.0), 0.8)
    return math.sqrt((1 + rho) / (1 - rho))


def _blocks_for(lag: int, n_frames: int, n_blocks: int) -> list[slice]:
    """Return blocks of frames at least twice as long as a lag, `n_blocks` or fewer; none where not even four fit.

    Displacements over a lag that reach from one block into the next would make the blocks alike.
    """
    n = min(n_blocks, n_frames // max(2 * lag, 2))
    if n < 4:
        return []
    return [slice(int(a), int(b)) for a, b in pairwise(np.linspace(0, n_frames, n + 1).astype(int))]


def _pair_counts(a: Array, b: Array, cell: Array, edges: Array) -> Array:
    counts = np.zeros(len(edges) - 1)
    for part in np.array_split(a, max(1, len(a) * len(b) // _CHUNK)):
        distance = np.linalg.norm(nearest_image(b[None] - part[:, None], cell), axis=2)
        counts += np.histogram(distance, edges)[0]
    return counts


def log_spaced_lags(n_frames: int, per_octave: int = 4) -> NDArray[np.intp]:
    """Return lags in frames, spaced evenly in their logarithm, up to half of `n_frames`.

    >>> log_spaced_lags(20, 1).tolist()
    [1, 2, 5, 10]
    """
    last = max(1, n_frames // 2)
    count = max(2, round(per_octave * math.log2(last)) + 1) if last > 1 else 1
    return np.unique(np.round(np.geomspace(1, last, count)).astype(np.intp))


def non_gaussian_parameter(
    positions: ArrayLike,
    times: ArrayLike,
    *,
    atoms: ArrayLike | None = None,
    drift: ArrayLike | None = None,
    lags: ArrayLike | None = None,
    n_blocks: int = 8,
) -> NonGaussian:
    """Return α₂(t) (Rahman 1964, doi 10.1103/PhysRev.136.A405) at log-spaced lags over all origins.

    Its maximum is not the start of the diffusive regime: `diffusion_coefficient` finds that itself.

    Args:
        positions: (n_frames, n_atoms, 3), Å, unwrapped.
        times: (n_frames,), ps, evenly spaced.
        atoms: indices or mask; all where not given.
        drift: (n_frames, 3), Å, subtracted.
        lags: in frames.
        n_blocks: time blocks for the error, at most.

    Raises:
        AnalysisError: fewer than 2 · n_blocks frames, times that are not even, or atoms at rest.

    >>> import numpy as np
    >>> gauss = np.cumsum(np.random.default_rng(0).normal(size=(200, 200, 3)), axis=0)
    >>> bool(np.abs(non_gaussian_parameter(gauss, np.arange(200.0)).alpha2[:4]).max() < 0.02)
    True
    """
    x = checked_positions(positions)
    if len(x) < 2 * n_blocks:
        raise AnalysisError(f"needed: {2 * n_blocks} frames, got {len(x)}")
    dt = checked_times(times, len(x))
    index = atom_indices(atoms, x.shape[1])
    steps = log_spaced_lags(len(x)) if lags is None else np.asarray(lags, dtype=np.intp)
    alpha, error = np.zeros(len(steps)), np.zeros(len(steps))
    for row, m in enumerate(steps):
        moments = np.array([[(r2).mean(), (r2**2).mean()] for r2 in _squares(x, index, drift, int(m))])
        two, four = moments.T
        if not two.mean() > 0:
            raise AnalysisError("the atoms don't move: α₂ is not defined")
        alpha[row] = 0.6 * four.mean() / two.mean() ** 2 - 1
        blocks = [
            moments[part.start : part.stop - int(m)].mean(axis=0) for part in _blocks_for(int(m), len(x), n_blocks)
        ]
        group = [0.6 * four_ / two_**2 - 1 for two_, four_ in blocks]
        error[row] = np.std(group, ddof=1) / math.sqrt(len(group)) if group else np.nan
    return NonGaussian(lags=steps.astype(float) * dt, alpha2=alpha, error=error, n_samples=n_blocks)


def _squares(x: Array, index: NDArray[np.intp], drift: ArrayLike | None, m: int) -> Iterator[Array]:
    """Yield |Δr|², (n_atoms,), for each origin."""
    path = np.zeros((len(x), 3)) if drift is None else np.asarray(drift, dtype=float)
    for k in range(len(x) - m):
        step = x[k + m, index] - x[k, index] - (path[k + m] - path[k])
        yield np.einsum("nc,nc->n", step, step)


def van_hove(
    positions: ArrayLike,
    times: ArrayLike,
    *,
    cells: ArrayLike | None = None,
    atoms: ArrayLike | None = None,
    drift: ArrayLike | None = None,
    lags: ArrayLike | None = None,
    r_max: float = 8.0,
    bin_width: float = 0.1,
    max_origins: int = 500,
    n_blocks: int = 8,
) -> VanHove:
    """Return the van Hove functions (1954, doi 10.1103/PhysRev.95.249), self and, where cells are given, distinct.

    G_s(r, t) = ⟨δ(r − |r_i(t) − r_i(0)|)⟩/(4πr²); G_d(r, t)/ρ is g(r) between the places at 0 and at t of different
    atoms.

    Args:
        positions: (n_frames, n_atoms, 3), Å, unwrapped.
        times: (n_frames,), ps, evenly spaced.
        cells: (3, 3) or (n_frames, 3, 3), Å, for the distinct part, which needs r_max below half their width.
        atoms: indices or mask; all where not given.
        drift: (n_frames, 3), Å, subtracted.
        lags: in frames, zero allowed; log-spaced where not given.
        r_max: Å.
        bin_width: Å.
        max_origins: evenly spaced origins that are used at most.
        n_blocks: time blocks for the error, at most.

    Raises:
        AnalysisError: times or lags that don't fit, or `r_max` too large for the cell.
    """
    x = checked_positions(positions)
    n_frames = len(x)
    index = atom_indices(atoms, x.shape[1])
    steps = log_spaced_lags(n_frames, 1) if lags is None else np.asarray(lags, dtype=np.intp)
    dt = checked_times(times, n_frames)
    if steps.min() < 0 or steps.max() >= n_frames:
        raise AnalysisError(f"lags up to {steps.max()} frames don't fit {n_frames} frames")
    if not 0 < bin_width <= r_max:
        raise AnalysisError(f"bins of {bin_width:g} Å don't fit into r_max {r_max:g} Å; they must be positive")
    if cells is not None and len(index) < 2:
        raise AnalysisError("one atom has no distinct part; leave the cells away")
    boxes = None if cells is None else np.broadcast_to(np.asarray(cells, dtype=float), (n_frames, 3, 3))
    if boxes is not None and r_max > half_width(boxes) * (1 + 1e-9):
        raise AnalysisError(
            f"r_max {r_max:g} Å exceeds half the cell's smallest width, {half_width(boxes):g} Å; lower it"
        )
    path = np.zeros((n_frames, 3)) if drift is None else np.asarray(drift, dtype=float)
    edges = np.arange(0.0, r_max + 1e-9, bin_width)
    n_bins = len(edges) - 1
    own, own_error, others, others_error = np.zeros((4, len(steps), n_bins))
    for row, m in enumerate(steps):
        origins = np.unique(np.linspace(0, n_frames - 1 - m, min(max_origins, n_frames - m)).astype(int))
        curves = np.zeros((2, len(origins), n_bins))
        for number, k in enumerate(origins):
            start, end = x[k, index] - path[k], x[k + m, index] - path[k + m]
            curves[0, number] = np.histogram(np.linalg.norm(end - start, axis=1), edges)[0]
            if boxes is not None:
                curves[1, number] = _distinct(start, end, boxes[k], edges)
        curves[0] /= len(index) * bin_width
        own[row], others[row] = curves.mean(axis=1)
        inside = [(origins >= p.start) & (origins + m < p.stop) for p in _blocks_for(int(m), n_frames, n_blocks)]
        means = np.array([curves[:, chosen].mean(axis=1) for chosen in inside if chosen.any()])
        enough = len(means) >= 4
        spread = means.std(axis=0, ddof=1) / math.sqrt(len(means)) if enough else np.full((2, n_bins), np.nan)
        own_error[row], others_error[row] = spread
    return VanHove(
        lags=steps.astype(float) * dt,
        r=(edges[1:] + edges[:-1]) / 2,
        self_part=own,
        distinct_part=None if boxes is None else others,
        self_error=own_error,
        distinct_error=None if boxes is None else others_error,
        n_samples=n_blocks,
    )


def _distinct(start: Array, end: Array, cell: Array, edges: Array) -> Array:
    n = len(start)
    counts = _pair_counts(start, end, cell, edges)
    counts -= np.histogram(np.linalg.norm(nearest_image(end - start, cell), axis=1), edges)[0]
    shell = 4 / 3 * math.pi * np.diff(edges**3)
    return np.asarray(counts * abs(np.linalg.det(cell)) / (n * (n - 1) * shell), dtype=float)
