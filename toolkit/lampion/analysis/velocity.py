"""What velocities tell: their autocorrelation, the vibrational density of states, diffusion by Green–Kubo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.green_kubo import GreenKubo, green_kubo, with_method
from lampion.analysis.msd import atom_indices, checked_positions, reference_frame
from lampion.analysis.statistics import autocorrelation
from lampion.errors import AnalysisError
from lampion.units import A2_PER_PS_IN_CM2_PER_S

Array = NDArray[np.float64]

_BLOCK_BYTES = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Vibrations:
    """A mass-weighted velocity autocorrelation and its spectrum."""

    lags: Array
    """(n_lags,), ps."""
    correlation: Array
    """(n_lags,): Σ m⟨v(0)·v(t)⟩/Σ m⟨v²⟩, one at zero."""
    frequencies: Array
    """(n_lags,), THz."""
    density: Array
    """(n_lags,), states/THz: its trapezoidal integral over the frequencies is 3N."""
    density_error: Array
    """(n_lags,), states/THz, one standard error over time blocks, each normalised by itself; NaN where the run has
    no two blocks of twice the longest lag."""
    n_atoms: int
    resolution: float
    """THz: the width that the window gives a sharp line."""


def vibrations(
    velocities: ArrayLike,
    *,
    dt: float,
    masses: ArrayLike | None = None,
    atoms: ArrayLike | None = None,
    max_lag: float | None = None,
) -> Vibrations:
    """Return the velocity autocorrelation and the vibrational density of states.

    The centre of mass's mean velocity is taken out, so that a drift of the whole is no vibration.
    g(ν) = 3N · 4 ∫₀^∞ C(t)/C(0) cos(2πνt) w(t) dt, ∫₀^∞ g dν = 3N (Dickey & Paskin 1969, doi
    10.1103/PhysRev.188.1407), w Hann's window. g(0) = 12 N m D/kT is what diffuses.

    Args:
        velocities: (n_frames, n_atoms, 3), Å/ps, evenly spaced.
        dt: ps between frames: half a period of the fastest vibration or less.
        masses: (n_atoms,), g/mol; equal where not given.
        atoms: indices or mask; all where not given.
        max_lag: ps, longest lag; an eighth of the run where not given.

    Raises:
        AnalysisError: arrays of other shapes, a longest lag that does not fit, or atoms at rest.

    >>> import numpy as np
    >>> v = np.cos(2 * np.pi * 5.0 * 0.01 * np.arange(2000))[:, None, None] * np.ones((1, 2, 3))
    >>> result = vibrations(v, dt=0.01)
    >>> peak = float(result.frequencies[result.density.argmax()])
    >>> middle = (result.density[1:] + result.density[:-1]) / 2
    >>> print(f"{peak:.1f} THz, {middle.sum() * result.frequencies[1]:.3f} states")
    5.0 THz, 6.000 states
    """
    v = checked_positions(velocities)
    index = atom_indices(atoms, v.shape[1])
    m = np.ones(v.shape[1]) if masses is None else np.asarray(masses, dtype=float)
    last = len(v) // 8 if max_lag is None else round(max_lag / dt)
    if m.shape != (v.shape[1],) or (m <= 0).any() or dt <= 0 or not 4 <= last < len(v):
        raise AnalysisError(
            f"needed: {v.shape[1]} positive masses, a positive dt, and a longest lag of 4 to {len(v) - 1} frames, "
            f"got {last}"
        )
    v = v - np.einsum("fnc,n->c", v, m / m.sum()) / len(v)
    correlation = _correlation(v, m, index)[: last + 1]
    if not correlation[0] > 0:
        raise AnalysisError("the atoms don't move: they have no density of states")
    n_blocks = min(8, len(v) // (2 * last))
    parts = np.array_split(np.arange(len(v)), max(1, n_blocks))
    blocks = [_correlation(v[p[0] : p[-1] + 1], m, index)[: last + 1] for p in parts]
    window = 0.5 * (1 + np.cos(np.pi * np.arange(last + 1) / last))

    def spectrum(c: Array) -> Array:
        # A cosine transform of the even extension: real, and its sum over frequencies is C(0) exactly.
        return np.asarray(3 * len(index) * 2 * dt * np.fft.hfft(c / c[0] * window, 2 * last)[: last + 1], dtype=float)

    spread = np.array([spectrum(block) for block in blocks])
    return Vibrations(
        lags=np.arange(last + 1, dtype=float) * dt,
        correlation=correlation / correlation[0],
        frequencies=np.arange(last + 1, dtype=float) / (2 * last * dt),
        density=spectrum(correlation),
        density_error=spread.std(axis=0, ddof=1) / math.sqrt(n_blocks) if n_blocks > 1 else np.full(last + 1, np.nan),
        n_atoms=len(index),
        resolution=1 / (last * dt),
    )


def _correlation(v: Array, m: Array, index: NDArray[np.intp]) -> Array:
    """Return Σ m v(0)·v(t), (n_frames,), a few atoms at a time."""
    total = np.zeros(len(v))
    size = max(1, _BLOCK_BYTES // (24 * len(v)))
    for start in range(0, len(index), size):
        part = index[start : start + size]
        weighted = v[:, part] * np.sqrt(m[part])[:, None]
        total += autocorrelation(weighted.reshape(len(v), -1), centre=False)
    return total


def green_kubo_diffusion(
    velocities: ArrayLike | Sequence[ArrayLike],
    *,
    dt: float,
    atoms: ArrayLike | None = None,
    framework: ArrayLike | None = None,
    masses: ArrayLike | None = None,
    cutoff: float | None = None,
    n_blocks: int = 8,
) -> GreenKubo:
    """Return D = ∫₀^tc ⟨v_α(0) v_α(t)⟩ dt, averaged over atoms and directions, in cm²/s.

    Velocities are relative to that of the framework's mean, or of the centre of mass where there is none. Cut-off and
    error as in `green_kubo`; the unit is the run or the time block, never the atom. Atoms are taken a few at a time:
    memory does not grow with their number.

    Args:
        velocities: one array or several, one for each independent run, (n_frames, n_atoms, 3), Å/ps.
        dt: ps between frames.
        atoms: indices or mask; all where not given.
        framework: indices or mask of the reference's atoms.
        masses: (n_atoms,), g/mol, for the centre of mass; equal where not given.
        cutoff: ps, in place of the one found.
        n_blocks: the fewest independent units.

    Raises:
        AnalysisError: arrays of other shapes.
        UnreliableError: blocks shorter than five cut-offs; carries the estimate.
    """
    several = isinstance(velocities, (list, tuple)) and np.ndim(velocities[0]) == 3
    runs = [checked_positions(v) for v in cast("Sequence[ArrayLike]", velocities if several else [velocities])]
    index = atom_indices(atoms, runs[0].shape[1])
    frame = reference_frame(runs[0].shape[1], framework=framework, masses=masses, mobile=index)
    size = max(1, _BLOCK_BYTES // (24 * len(runs[0])))
    parts = [index[start : start + size] for start in range(0, len(index), size)]

    def correlation(block: Array) -> Array:
        mean = np.einsum("fnc,n->fc", block, np.asarray(frame.weights))
        total = np.zeros(len(block))
        for part in parts:
            total += autocorrelation((block[:, part] - mean[:, None]).reshape(len(block), -1), centre=False)
        return total / (3 * len(index))

    result = green_kubo(
        runs,
        dt=dt,
        factor=A2_PER_PS_IN_CM2_PER_S,
        unit="cm²/s",
        cutoff=cutoff,
        n_blocks=n_blocks,
        correlation=correlation,
    )
    return with_method(result, f"velocities {frame.statement}")
