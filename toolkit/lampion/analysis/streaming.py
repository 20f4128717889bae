"""A mean squared displacement from frames that come one by one: memory does not grow with their number."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.diffusion import DiffusionResult, fit_diffusion, shift_flags
from lampion.analysis.msd import Reference, atom_indices, reference_frame
from lampion.errors import AnalysisError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class StreamedMSD:
    """Mean squared displacements at lags that double in spacing from level to level."""

    lags: NDArray[np.intp]
    """(n_lags,), frames, rising from zero."""
    msd: Array
    """(n_lags,), Å², over all origins that the level keeps."""
    units: Array
    """(n_blocks, n_lags), Å², of each time block on its own."""
    n_atoms: int
    drift: float
    """Å, the furthest that the reference strayed."""
    reference: Reference
    framework_shift: Array | None = None
    """(n_framework, 3), Å: each framework atom's mean position in the last quarter less that in the first."""


def stream_msd(
    frames: Iterable[ArrayLike],
    n_frames: int,
    *,
    mobile: ArrayLike | None = None,
    framework: ArrayLike | None = None,
    masses: ArrayLike | None = None,
    n_blocks: int = 8,
    width: int = 16,
) -> StreamedMSD:
    """Return MSDs at `width` lags of each level l, in steps of 2^l frames; exact, with origins every 2^l frames.

    The multiple-tau scheme (Ramírez et al. 2010, doi 10.1063/1.3491098) without its averaging, which would shrink
    displacements. Memory is that of `width` frames of the chosen atoms for each level, log₂(n_frames) levels.

    Args:
        frames: n_frames arrays (n_atoms, 3), Å, unwrapped, evenly spaced in time.
        n_frames: how many there are; time blocks are cut from it.
        mobile: indices or mask of the diffusing atoms.
        framework: indices or mask of the reference's atoms.
        masses: (n_atoms,), g/mol.
        n_blocks: time blocks; lags go to 0.9 of one.
        width: lags kept at each level, even.

    Raises:
        AnalysisError: other than `n_frames` frames, or so few that blocks hold no lags.
    """
    last = 9 * (n_frames // n_blocks) // 10
    if last < 8:
        raise AnalysisError(f"{n_frames} frames cut into {n_blocks} blocks leave lags of {last} frames, 8 are needed")
    n_levels = max(1, math.ceil(math.log2(last / width)) + 1)
    sums = np.zeros((2, n_levels, width + 1, n_blocks + 1))
    block_of = np.minimum(np.arange(n_frames) * n_blocks // n_frames, n_blocks - 1)
    buffers: list[Array] = []
    index, start = np.zeros(0, dtype=np.intp), np.zeros(3)
    reference, drift, frame = None, 0.0, -1
    fixed, shift, quarter = np.zeros(0, dtype=np.intp), np.zeros((0, 3)), max(1, n_frames // 4)
    for frame, raw in enumerate(frames):
        x = np.asarray(raw, dtype=float)
        if frame >= n_frames:
            raise AnalysisError(f"more than the {n_frames} frames announced; give their right number")
        if reference is None:
            index = atom_indices(mobile, len(x))
            reference = reference_frame(len(x), framework=framework, masses=masses, mobile=index)
            buffers = [np.empty((width, len(index), 3)) for _ in range(n_levels)]
            start = np.asarray(reference.weights) @ x
            fixed = fixed if framework is None else atom_indices(framework, len(x))
            shift = np.zeros((len(fixed), 3))
        if frame < quarter or frame >= n_frames - quarter:
            shift += (-1 if frame < quarter else 1) * x[fixed] / quarter
        path = np.asarray(reference.weights) @ x - start
        drift = max(drift, float(np.linalg.norm(path)))
        here = x[index] - path
        for level in range(n_levels):
            if frame % 2**level:
                break
            _add(sums[:, level], buffers[level], here, frame, level, block_of, last)
    if frame + 1 != n_frames or reference is None:
        raise AnalysisError(f"{frame + 1} frames came where {n_frames} were announced")
    made = _collected(sums, last, width, len(index), drift, reference)
    return made if framework is None else replace(made, framework_shift=shift)


def _add(
    sums: Array, buffer: Array, here: Array, frame: int, level: int, block_of: NDArray[np.intp], last: int
) -> None:
    """Add the displacements from the frames in the buffer to `here`; then put `here` into it."""
    width, step = len(buffer), 2**level
    place = frame // step
    if not np.isfinite(here.sum()):
        raise AnalysisError(f"a position of frame {frame} is not a finite number: the run blew up")
    # Lags up to half the width belong to the level below.
    for k in range(1 if level == 0 else width // 2 + 1, min(width, place) + 1):
        if k * step > last:
            break
        difference = here - buffer[(place - k) % width]
        square = float(np.einsum("nc,nc->", difference, difference)) / len(here)
        begin = block_of[frame - k * step]
        sums[:, k, -1] += square, 1.0
        if begin == block_of[frame]:
            sums[:, k, begin] += square, 1.0
    buffer[place % width] = here


def _collected(sums: Array, last: int, width: int, n_atoms: int, drift: float, reference: Reference) -> StreamedMSD:
    keys = [(k * 2**level, level, k) for level in range(sums.shape[1]) for k in range(1, width + 1)]
    used = [(lag, level, k) for lag, level, k in keys if lag <= last and sums[1, level, k].all()]
    total = np.array([sums[:, level, k] for _, level, k in used])
    means = total[:, 0] / total[:, 1]
    means = np.concatenate([np.zeros((1, means.shape[1])), means])
    return StreamedMSD(
        lags=np.array([0, *(lag for lag, _, _ in used)], dtype=np.intp),
        msd=means[:, -1],
        units=means[:, :-1].T,
        n_atoms=n_atoms,
        drift=drift,
        reference=reference,
    )


def stream_diffusion(
    frames: Iterable[ArrayLike],
    n_frames: int,
    dt: float,
    *,
    mobile: ArrayLike | None = None,
    framework: ArrayLike | None = None,
    masses: ArrayLike | None = None,
    window: tuple[float, float] | None = None,
    hop_length: float = 2.5,
    n_blocks: int = 8,
) -> DiffusionResult:
    """Return D* as `diffusion_coefficient` does, from frames that come one by one.

    The slope is the generalised least squares of the same lags' covariance; the arguments are those of
    `stream_msd` and `diffusion_coefficient`, `dt` the time between frames in ps.

    Raises:
        AnalysisError: as `stream_msd`.
        NotDiffusiveError: the MSD does not grow as t anywhere; carries the result.
    """
    streamed = stream_msd(frames, n_frames, mobile=mobile, framework=framework, masses=masses, n_blocks=n_blocks)
    return fit_diffusion(
        streamed.lags.astype(float) * dt,
        streamed.msd,
        streamed.units,
        n_atoms=streamed.n_atoms,
        duration=(n_frames - 1) * dt,
        reference=streamed.reference,
        drift=streamed.drift,
        window=window,
        hop_length=hop_length,
        unit="time blocks",
        flags=[] if streamed.framework_shift is None else shift_flags([streamed.framework_shift], hop_length),
    )
