"""Is it a liquid or a solid? From how the mean squared displacement grows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from lampion.analysis.msd import (
    atom_indices,
    checked_positions,
    checked_times,
    mean_squared_displacement,
    reference_frame,
)
from lampion.analysis.slope import log_slope_weights
from lampion.errors import AnalysisError


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A verdict on a run, and the numbers behind it."""

    verdict: Literal["liquid", "solid", "undecided"]
    """'solid' where the atoms stay on their sites, 'liquid' where they leave them; 'undecided' where the run is too
    short to tell, or a part of the atoms moves."""
    log_slope: float
    """d ln MSD/d ln t over the last half of the lags: 1 in a liquid, 0 on a lattice."""
    lindemann: float
    """√(MSD/2) at the longest lag over the distance between neighbours: a crystal melts at 0.1 to 0.15."""
    fraction_moved: float
    """Share of the atoms whose mean positions in the first and last quarter lie half a neighbour distance apart."""


def phase(
    positions: ArrayLike,
    times: ArrayLike,
    cell: ArrayLike,
    *,
    atoms: ArrayLike | None = None,
    masses: ArrayLike | None = None,
) -> Phase:
    """Tell a liquid from a solid by displacements relative to the centre of mass.

    In a solid √⟨u²⟩ stays below about 0.15 of the distance a between neighbours (Lindemann's criterion), and
    MSD → 2⟨u²⟩; in a liquid MSD → 6Dt. a = 2^(1/6) (V/N)^(1/3), as in fcc.

    Args:
        positions: (n_frames, n_atoms, 3), Å, unwrapped.
        times: (n_frames,), ps, evenly spaced.
        cell: (3, 3) or (n_frames, 3, 3), Å.
        atoms: indices or mask of the atoms that are judged, all where not given; the reference and the distance
            between neighbours are those of all atoms.
        masses: (n_atoms,), g/mol, for the centre of mass; equal where not given.

    Raises:
        AnalysisError: fewer than 20 frames, or arrays that don't fit.

    >>> import numpy as np
    >>> vibrating = np.random.default_rng(0).normal(0.0, 0.1, (100, 32, 3))
    >>> phase(vibrating, np.arange(100.0), 8.0 * np.eye(3)).verdict
    'solid'
    >>> phase(np.cumsum(5 * vibrating, axis=0), np.arange(100.0), 8.0 * np.eye(3)).verdict
    'liquid'
    """
    x = checked_positions(positions)
    n_frames, n_atoms = x.shape[:2]
    chosen = atom_indices(atoms, n_atoms)
    if n_frames < 20:
        raise AnalysisError(f"a phase needs 20 frames, got {n_frames}")
    checked_times(times, n_frames)
    drift = reference_frame(n_atoms, masses=masses).drift(x)
    last = n_frames // 2
    msd = mean_squared_displacement(x, atoms=chosen, drift=drift, max_lag=last)
    lags = np.arange(max(1, last // 8), last + 1)
    slope = float(log_slope_weights(lags) @ np.log(np.maximum(msd[lags], 1e-12)))
    volume = float(np.abs(np.linalg.det(np.asarray(cell, dtype=float))).mean())
    neighbour = 2 ** (1 / 6) * (volume / n_atoms) ** (1 / 3)
    lindemann = float(np.sqrt(max(0.0, msd[last]) / 2)) / neighbour
    quarter = n_frames // 4
    moved = x[-quarter:, chosen].mean(axis=0) - x[:quarter, chosen].mean(axis=0)
    if drift is not None:
        moved = moved - (drift[-quarter:].mean(axis=0) - drift[:quarter].mean(axis=0))
    distance = np.linalg.norm(moved, axis=1)
    fraction = float((distance > neighbour / 2).mean())
    # 0.79 for Gaussian displacements of all atoms alike; near zero where a few atoms make the whole mean square.
    shared = float(np.median(distance**2) / max((distance**2).mean(), 1e-12))
    return Phase(
        verdict=_verdict(slope, lindemann, fraction, shared),
        log_slope=slope,
        lindemann=lindemann,
        fraction_moved=fraction,
    )


def _verdict(
    slope: float, lindemann: float, fraction: float, shared: float
) -> Literal["liquid", "solid", "undecided"]:
    if fraction < 0.05 and (slope < 0.3 or lindemann < 0.1):
        return "solid" if slope < 0.5 else "undecided"
    if slope > 0.6 and lindemann > 0.15 and shared > 0.25:
        return "liquid"
    return "undecided"
