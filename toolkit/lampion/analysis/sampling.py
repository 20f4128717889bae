"""The resampling unit: independent trajectories if there are enough, else time blocks; never ions."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.msd import checked_positions, checked_times, mean_squared_displacement
from lampion.errors import AnalysisError

Array = NDArray[np.float64]


def checked_runs(positions: ArrayLike | Sequence[ArrayLike], times: ArrayLike) -> tuple[list[Array], float]:
    """Return the trajectories as arrays of one shape, and the time between frames in ps.

    Raises:
        AnalysisError: shapes that differ, times that don't fit the frames or are not evenly spaced.
    """
    several = isinstance(positions, (list, tuple)) and np.ndim(positions[0]) == 3
    runs = [checked_positions(run) for run in cast("Sequence[ArrayLike]", positions if several else [positions])]
    for number, run in enumerate(runs):
        if run.shape != runs[0].shape:
            raise AnalysisError(
                f"trajectory {number} has the shape {run.shape}, the first {runs[0].shape}; cut them to one length"
            )
    return runs, checked_times(times, len(runs[0]))


def lag_range(n_runs: int, n_frames: int, n_units: int, wanted: float | None) -> tuple[int, int]:
    """Return the longest lag in frames and into how many blocks each trajectory is cut.

    Trajectories are the unit if there are `n_units`; their lags go to half their length. Else each is cut into
    blocks, so that there are `n_units` in all; their lags go to 0.9 of a block.

    Args:
        n_runs: independent trajectories.
        n_frames: of each.
        n_units: how many independent units there should be.
        wanted: the longest lag asked for, frames; blocks then just hold it, and at least four are needed.

    Raises:
        AnalysisError: too few frames, or `wanted` leaves fewer than four units.

    >>> lag_range(1, 2001, 8, None), lag_range(10, 2001, 8, None), lag_range(1, 2001, 8, 400)
    ((225, 8), (1000, 1), (400, 4))
    """
    split = 1 if n_runs >= n_units else math.ceil(n_units / n_runs)
    last = n_frames // 2 if split == 1 else 9 * (n_frames // split) // 10
    if wanted is not None:
        last = round(wanted)
        split = min(split, max(1, n_frames // (last + 1)))
        if n_runs * split < 4:
            raise AnalysisError(
                f"lags up to {last} of {n_frames} frames leave {n_runs * split} independent blocks, an error "
                f"needs at least 4: end the window earlier, run longer, or add independent trajectories"
            )
    if last < 8:
        raise AnalysisError(
            f"{n_frames} frames cut into {split} blocks leave lags of {last} frames, 8 are needed: write frames "
            "more often, run longer, or add independent trajectories"
        )
    return last, split


def unit_msds(
    runs: Sequence[Array], atoms: NDArray[np.intp], drifts: Sequence[Array | None], last: int, split: int
) -> tuple[Array, Array]:
    """Return the MSD of all data, (last + 1,), and of each independent unit, (n_units, last + 1), Å²."""

    def msd(run: Array, drift: Array | None, part: slice) -> Array:
        path = None if drift is None else drift[part]
        return mean_squared_displacement(run[part], atoms=atoms, drift=path, max_lag=last)

    pairs = list(zip(runs, drifts, strict=True))
    whole = np.array([msd(run, drift, slice(None)) for run, drift in pairs])
    if split == 1:
        return whole.mean(axis=0), whole
    parts = block_slices(len(runs[0]), split)
    return whole.mean(axis=0), np.array([msd(run, drift, part) for run, drift in pairs for part in parts])


def block_slices(n_frames: int, split: int) -> list[slice]:
    """Return `split` blocks of consecutive frames.

    >>> block_slices(10, 2)
    [slice(0, 5, None), slice(5, 10, None)]
    """
    return [slice(int(a), int(b)) for a, b in pairwise(np.linspace(0, n_frames, split + 1).astype(int))]
