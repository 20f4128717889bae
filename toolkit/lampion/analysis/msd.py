"""Mean squared displacements over all time origins, and the drift that they are measured against."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft

from lampion.errors import AnalysisError

Array = NDArray[np.float64]

_BLOCK_BYTES = 2_000_000


def mean_squared_displacement(
    positions: ArrayLike,
    *,
    atoms: ArrayLike | None = None,
    drift: ArrayLike | None = None,
    max_lag: int | None = None,
) -> Array:
    """Return the mean squared displacement over all atoms and all time origins.

    MSD(m) = 1/(N (F − m)) Σ_i Σ_k |r_i(k + m) − r_i(k)|², for all lags at once by FFT:
    MSD(m) = [Σ_{k<F−m} r²(k) + Σ_{k≥m} r²(k) − 2 Σ_k r(k)·r(k + m)]/(F − m)
    (Kneller et al. 1995, doi 10.1016/0010-4655(95)00048-K). One inverse FFT serves all atoms: spectra are summed.

    Args:
        positions: (n_frames, n_atoms, 3), Å, unwrapped, evenly spaced in time.
        atoms: indices or mask of the atoms to average over; all where not given.
        drift: (n_frames, 3), Å, subtracted from every atom.
        max_lag: the longest lag, in frames; all lags where not given.

    Returns:
        (max_lag + 1,), Å²; entry m is lag m, the first is zero.

    Raises:
        AnalysisError: an array of another shape, no atoms, or `max_lag` beyond the frames.

    >>> import numpy as np
    >>> steady = np.arange(5.0)[:, None, None] * [1.0, 0.0, 0.0]
    >>> mean_squared_displacement(steady).round(9).tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0]
    """
    tensor = displacement_tensor(positions, atoms=atoms, drift=drift, max_lag=max_lag, _trace=True)
    return np.asarray(np.trace(tensor, axis1=1, axis2=2), dtype=float)


def displacement_tensor(
    positions: ArrayLike,
    *,
    atoms: ArrayLike | None = None,
    drift: ArrayLike | None = None,
    max_lag: int | None = None,
    _trace: bool = False,
) -> Array:
    """Return ⟨Δr_α Δr_β⟩ over all atoms and origins; the trace is the mean squared displacement.

    Args and Raises as in `mean_squared_displacement`.

    Returns:
        (max_lag + 1, 3, 3), Å², symmetric.

    >>> import numpy as np
    >>> steady = np.arange(5.0)[:, None, None] * [1.0, 2.0, 0.0]
    >>> displacement_tensor(steady)[1].round(9).tolist()
    [[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 0.0]]
    """
    x = checked_positions(positions)
    n_frames = len(x)
    index = atom_indices(atoms, x.shape[1])
    last = n_frames - 1 if max_lag is None else int(max_lag)
    if not 0 <= last < n_frames:
        raise AnalysisError(f"a lag of {last} frames does not fit into {n_frames} frames; lower max_lag")
    n_fft = next_fast_len(n_frames + last, real=True)
    pairs = [(0, 0), (1, 1), (2, 2)] if _trace else [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    power = np.zeros((len(pairs), n_fft // 2 + 1))
    product = np.zeros((len(pairs), n_frames))
    for part in _blocks(x, index, None if drift is None else np.asarray(drift, dtype=float)):
        spectrum = rfft(part, n_fft, axis=-1, overwrite_x=False)
        for row, (a, b) in enumerate(pairs):
            power[row] += np.einsum("if,if->f", spectrum[a].real, spectrum[b].real)
            power[row] += np.einsum("if,if->f", spectrum[a].imag, spectrum[b].imag)
            product[row] += np.einsum("if,if->f", part[a], part[b])
    lags = np.arange(last + 1)
    head = np.concatenate([np.zeros((len(pairs), 1)), np.cumsum(product, axis=1)], axis=1)
    sums = head[:, n_frames - lags] + (head[:, -1:] - head[:, lags])
    values = (sums - 2 * irfft(power, n_fft, axis=1)[:, : last + 1]) / ((n_frames - lags) * len(index))
    values[:, 0] = 0.0
    tensor = np.zeros((last + 1, 3, 3))
    for row, (a, b) in enumerate(pairs):
        tensor[:, a, b] = tensor[:, b, a] = values[row]
    return tensor


def _blocks(x: Array, index: NDArray[np.intp], drift: Array | None) -> Iterator[Array]:
    """Yield (3, atoms in the block, n_frames) about each atom's mean: memory stays bounded whatever the input."""
    size = max(1, _BLOCK_BYTES // (24 * len(x)))
    whole = len(index) == x.shape[1]
    for start in range(0, len(index), size):
        part = x[:, start : start + size] if whole else x[:, index[start : start + size]]
        moved = part - drift[:, None, :] if drift is not None else part
        # The MSD does not depend on the origin, its round-off does.
        yield np.ascontiguousarray((moved - moved.mean(axis=0)).transpose(2, 1, 0))


def checked_positions(positions: ArrayLike) -> Array:
    """Return `positions` as floats of shape (n_frames, n_atoms, 3).

    Raises:
        AnalysisError: another shape, or a coordinate that is not a number.
    """
    x = np.asarray(positions, dtype=float)
    if x.ndim != 3 or x.shape[2] != 3 or 0 in x.shape:
        raise AnalysisError(f"positions have the shape (n_frames, n_atoms, 3), got {x.shape}")
    # The sum of all is finite only if each is: one pass, no temporary array of flags.
    if not np.isfinite(x.sum()):
        raise AnalysisError("a position is not a finite number: the run blew up")
    return x


def checked_times(times: ArrayLike, n_frames: int) -> float:
    """Return the time between frames, ps.

    Raises:
        AnalysisError: another number of times than of frames, or times that are not evenly spaced and rising.
    """
    t = np.asarray(times, dtype=float)
    if t.shape != (n_frames,):
        raise AnalysisError(f"times have the shape {t.shape}, but there are {n_frames} frames")
    if n_frames < 2:
        raise AnalysisError("one frame shows no motion; at least two are needed")
    steps = np.diff(t)
    dt = float(t[-1] - t[0]) / (n_frames - 1)
    if not dt > 0 or np.abs(steps - dt).max() > 1e-3 * dt:
        raise AnalysisError(
            f"frames must be evenly spaced in time; the steps lie between {steps.min():g} and {steps.max():g} ps"
        )
    return dt


def atom_indices(atoms: ArrayLike | None, n_atoms: int) -> NDArray[np.intp]:
    """Return the indices that a mask or a list of indices selects; all where `atoms` is None.

    Raises:
        AnalysisError: nothing is selected, or an index or the length of the mask doesn't fit `n_atoms`.
    """
    if atoms is None:
        return np.arange(n_atoms)
    chosen = np.asarray(atoms)
    if chosen.dtype == bool:
        if chosen.shape != (n_atoms,):
            raise AnalysisError(f"a mask of shape {chosen.shape} does not select among {n_atoms} atoms")
        chosen = np.flatnonzero(chosen)
    if chosen.ndim != 1 or not len(chosen):
        raise AnalysisError("no atoms are selected; check the species")
    if not np.issubdtype(chosen.dtype, np.integer) or chosen.min() < 0 or chosen.max() >= n_atoms:
        raise AnalysisError(f"atoms are selected by a mask or by indices from 0 to {n_atoms - 1}")
    return chosen.astype(np.intp)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What displacements are measured against, and what that does to them."""

    kind: str
    """'framework', 'centre of mass' or 'none'."""
    weights: Array | None
    """(n_atoms,), sum 1: the reference point is Σ_j w_j r_j."""
    bias: float
    """⟨|u_i − Σ_j w_j u_j|²⟩/⟨|u_i|²⟩ if all atoms of the reference moved independently and alike: 1 − 1/N for N
    equal masses. Stated, not divided out: with total momentum conserved, the run itself has this bias."""
    statement: str

    def drift(self, positions: Array) -> Array | None:
        """Return the path of the reference point, (n_frames, 3), Å, from zero; None if there is no reference."""
        if self.weights is None:
            return None
        path = np.einsum("fnc,n->fc", positions, self.weights)
        return np.asarray(path - path[0], dtype=float)


def reference_frame(
    n_atoms: int,
    *,
    framework: ArrayLike | None = None,
    masses: ArrayLike | None = None,
    mobile: ArrayLike | None = None,
) -> Reference:
    """Return the reference for displacements: the mean of a framework, else the centre of mass of all atoms.

    An ion in a solid moves relative to the framework: all-atom centre of mass would count the framework's recoil,
    which is wrong by the mass fraction for collective motion. In a liquid the centre of mass serves, with the
    bias 1 − 2 w_i + Σ_j w_j², w = m/Σm.

    Args:
        n_atoms: of the trajectory.
        framework: indices or mask of the framework's atoms.
        masses: (n_atoms,), g/mol; equal where not given.
        mobile: indices or mask of the atoms whose displacement is measured, for the bias.

    Raises:
        AnalysisError: masses of another shape or not positive, or a mobile atom is part of the framework.

    >>> reference_frame(4).bias
    0.75
    """
    chosen = atom_indices(mobile, n_atoms)
    weights = np.zeros(n_atoms)
    if framework is not None:
        fixed = atom_indices(framework, n_atoms)
        if np.intersect1d(fixed, chosen).size:
            raise AnalysisError("an atom is both mobile and framework; a framework is what does not diffuse")
        weights[fixed] = 1 / len(fixed)
        text = f"relative to the mean of {len(fixed)} framework atoms"
        return Reference(kind="framework", weights=weights, bias=1.0, statement=text)
    m = np.ones(n_atoms) if masses is None else np.asarray(masses, dtype=float)
    if m.shape != (n_atoms,) or not (m > 0).all():
        raise AnalysisError(f"masses are {n_atoms} positive numbers, one for each atom")
    weights = m / m.sum()
    bias = float(1 - 2 * weights[chosen].mean() + (weights**2).sum())
    text = f"relative to the centre of mass of all {n_atoms} atoms"
    text += "" if masses is not None else " taken as equally heavy"
    text += f"; for independent atoms that alone scales D by {bias:.4f}, which is not corrected"
    return Reference(kind="centre of mass", weights=weights, bias=bias, statement=text)


NO_REFERENCE = Reference(kind="none", weights=None, bias=1.0, statement="as given, drift not removed")
