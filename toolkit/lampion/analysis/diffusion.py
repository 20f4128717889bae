"""The tracer diffusion coefficient: a slope, its error from independent units, and the window it holds in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv

from lampion.analysis.msd import Reference, atom_indices, reference_frame
from lampion.analysis.sampling import checked_runs, lag_range, unit_msds
from lampion.analysis.slope import Line, find_window, fit_line, growth, is_diffusive, plateau
from lampion.analysis.statistics import Estimate, UnreliableError, student_t
from lampion.errors import AnalysisError
from lampion.units import A2_PER_PS_IN_CM2_PER_S

Array = NDArray[np.float64]

FEW_HOPS = 50
"""Below so many hops in all, an upper bound is reported in place of D."""


@dataclass(frozen=True, kw_only=True)
class DiffusionResult:
    """A tracer diffusion coefficient, and all that is needed to judge and to draw it."""

    D: Estimate | None
    """cm²/s; None where there were too few hops."""
    upper_bound: float
    """One-sided 95 % upper bound of D, cm²/s; infinite where the motion is faster than diffusive."""
    lags: Array
    """(n_lags,), ps, from zero."""
    msd: Array
    """(n_lags,), Å²."""
    msd_error: Array
    """(n_lags,), Å², one standard error of the mean over the units."""
    line: Array
    """(n_lags,), Å²: slope · lag + intercept, NaN outside the window."""
    band: Array
    """(n_lags,), Å²: one standard error of the line, NaN outside the window."""
    window: tuple[float, float]
    """Lags that were fitted, ps."""
    intercept: float
    """Å²: twice the mean square vibration, less what short-time memory takes away."""
    log_slope: float
    """d ln MSD/d ln t in the window: 1 where the motion is diffusive."""
    log_slope_error: float
    """Of the growth beyond the cage, from the units."""
    n_hops: float
    """Displacements of one hop length in all: N T · slope/a²."""
    hop_length: float
    """a, Å, that hops are counted with."""
    n_atoms: int
    unit_values: Array
    """(n_units,), cm²/s: D of each independent unit (its scatter is the error)."""
    starts: Array
    """(n_starts,), ps: the first lags that were tried."""
    D_by_start: Array
    """(n_starts,), cm²/s: D of a fit from each to the longest lag; the window lies on its plateau."""
    D_by_start_error: Array
    """(n_starts,), cm²/s, one standard error."""
    reference: Reference
    drift: float
    """Å: the furthest that the reference point strayed from its start; it was taken out."""
    flags: tuple[str, ...]
    """What a reader must know before trusting the number; empty if nothing."""


class NotDiffusiveError(UnreliableError):
    """The MSD does not grow as t; `result` is the fit all the same, at the longest lags."""

    def __init__(self, message: str, result: DiffusionResult) -> None:
        super().__init__(message, result.D)
        self.result = result


def diffusion_coefficient(
    positions: ArrayLike | Sequence[ArrayLike],
    times: ArrayLike,
    *,
    mobile: ArrayLike | None = None,
    framework: ArrayLike | None = None,
    masses: ArrayLike | None = None,
    reference: Reference | None = None,
    window: tuple[float, float] | None = None,
    hop_length: float = 2.5,
    n_blocks: int = 8,
) -> DiffusionResult:
    """Return D* = lim d⟨|Δr|²⟩/dt/6 of the mobile atoms (Einstein 1905, doi 10.1002/andp.19053220806).

    One slope by generalised least squares with an intercept (`gls_weights`) through the MSD of all the data. Its
    error is the scatter of the same slope over independent units: the trajectories, if there are `n_blocks` or more,
    else time blocks longer than the longest lag. Ions are never the unit: those that move together
    would halve the error. The window is found from the data (`find_window`) unless given.

    Args:
        positions: one array or several, one for each independent trajectory, (n_frames, n_atoms, 3), Å, unwrapped.
        times: (n_frames,), ps, evenly spaced, the same for all trajectories.
        mobile: indices or mask of the diffusing atoms; all where not given.
        framework: indices or mask of atoms that don't diffuse, whose mean is the reference.
        masses: (n_atoms,), g/mol, for the centre of mass, which is the reference where there is no framework.
        reference: another reference, `NO_REFERENCE` among them.
        window: first and last lag, ps, in place of the one found; then nothing is refused, only flagged.
        hop_length: Å, between neighbouring sites; counts hops.
        n_blocks: the fewest independent units.

    Raises:
        AnalysisError: arrays of other shapes, uneven times, too few frames, a window that the run can't carry.
        NotDiffusiveError: the MSD does not grow as t anywhere; carries the result.

    >>> import numpy as np
    >>> from lampion.analysis.msd import NO_REFERENCE
    >>> steps = np.random.default_rng(7).normal(0.0, 0.1, (2000, 100, 3))
    >>> result = diffusion_coefficient(np.cumsum(steps, axis=0), np.arange(2000) * 0.01, reference=NO_REFERENCE)
    >>> print(result.D, "true: 0.5e-4 cm²/s")
    5.007(34)e-5 cm²/s true: 0.5e-4 cm²/s
    """
    runs, dt = checked_runs(positions, times)
    n_atoms = runs[0].shape[1]
    atoms = atom_indices(mobile, n_atoms)
    frame = reference or reference_frame(n_atoms, framework=framework, masses=masses, mobile=atoms)
    drifts = [frame.drift(run) for run in runs]
    last, split = lag_range(len(runs), len(runs[0]), n_blocks, None if window is None else window[1] / dt)
    msd, units = unit_msds(runs, atoms, drifts, last, split)
    return fit_diffusion(
        np.arange(last + 1, dtype=float) * dt,
        msd,
        units,
        n_atoms=len(atoms),
        duration=len(runs) * (len(runs[0]) - 1) * dt,
        reference=frame,
        drift=max((float(np.linalg.norm(path, axis=1).max()) for path in drifts if path is not None), default=0.0),
        window=window,
        hop_length=hop_length,
        unit="trajectories" if split == 1 else "time blocks",
        flags=framework_flags(runs, framework, hop_length),
    )


def fit_diffusion(
    lags: Array,
    msd: Array,
    units: Array,
    *,
    n_atoms: int,
    duration: float,
    reference: Reference,
    drift: float = 0.0,
    window: tuple[float, float] | None = None,
    hop_length: float = 2.5,
    unit: str = "trajectories",
    flags: Sequence[str] = (),
) -> DiffusionResult:
    """Return the diffusion coefficient from mean squared displacements that are at hand.

    Args:
        lags: (n_lags,), ps, rising from zero; the fit goes to the last.
        msd: (n_lags,), Å², of all data.
        units: (n_units, n_lags), Å², of each independent unit.
        n_atoms: how many atoms the MSD averages over.
        duration: ps, of all trajectories together.
        reference: what the displacements are measured against.
        drift: Å, of the reference.
        window: first and last lag, ps, in place of the one found.
        hop_length: Å.
        unit: what the units are, for the estimate's method.
        flags: what is known already.

    Raises:
        AnalysisError: a window with fewer than four lags.
        NotDiffusiveError: the MSD does not grow as t anywhere; carries the result.
    """
    lines = plateau(lags, msd, units)
    line, found = find_window(lines) if window is None else _given(lags, msd, units, window)
    ion_time = n_atoms * duration
    n_hops = max(0.0, line.slope) * ion_time / hop_length**2
    few = n_hops < FEW_HOPS
    D = _estimate(line, f"{len(units)} {unit}")
    inside = lags >= line.window[0]
    unit_lines = np.where(inside[:, None], np.outer(lags, line.unit_slopes) + line.unit_intercepts, np.nan)
    result = DiffusionResult(
        D=None if few and window is None else D,
        upper_bound=math.inf if _fast(line) else _upper_bound(D, n_hops, ion_time, hop_length),
        lags=lags,
        msd=msd,
        msd_error=units.std(axis=0, ddof=1) / math.sqrt(len(units)),
        line=np.where(inside, line.slope * lags + line.intercept, np.nan),
        band=unit_lines.std(axis=1, ddof=1) / math.sqrt(len(units)),
        window=line.window,
        intercept=line.intercept,
        log_slope=line.log_slope,
        log_slope_error=line.exponent_error,
        n_hops=n_hops,
        hop_length=hop_length,
        n_atoms=n_atoms,
        unit_values=line.unit_slopes / 6 * A2_PER_PS_IN_CM2_PER_S,
        starts=np.array([each.window[0] for each in lines]),
        D_by_start=np.array([each.slope for each in lines]) / 6 * A2_PER_PS_IN_CM2_PER_S,
        D_by_start_error=np.array([each.slope_error for each in lines]) / 6 * A2_PER_PS_IN_CM2_PER_S,
        reference=reference,
        drift=drift,
        flags=(*_flags(line, found, few, n_hops, chosen=window is not None), *flags),
    )
    if window is None and not found and (not few or n_hops < 1):
        bound = f" (with hops of {hop_length:g} Å, D is below {result.upper_bound:.1e} cm²/s)"
        said = f"{growth(line)}: use longer lags, or run longer"
        raise NotDiffusiveError(said + (bound if math.isfinite(result.upper_bound) else ""), result)
    return result


def _fast(line: Line) -> bool:
    """Return whether the MSD grows faster than t: its slope still rises, and bounds nothing."""
    return bool(line.log_slope > 1.1 and line.exponent > 1 + 2 * line.exponent_error)


def framework_flags(runs: Sequence[Array], framework: ArrayLike | None, hop_length: float = 2.5) -> list[str]:
    """Return a flag if atoms of the framework left their sites: it melts, or some of it diffuses.

    An atom has left if its mean position of the last quarter lies further than half a hop from that of the first,
    relative to the framework's own mean. Vibrations are averaged out.
    """
    if framework is None:
        return []
    index = atom_indices(framework, runs[0].shape[1])
    quarter = max(1, len(runs[0]) // 4)
    return shift_flags(
        [run[-quarter:, index].mean(axis=0) - run[:quarter, index].mean(axis=0) for run in runs], hop_length
    )


def shift_flags(shifts: Sequence[Array], hop_length: float) -> list[str]:
    """Return the flag of `framework_flags` from how far each atom went, (n_atoms, 3) Å for each run."""
    moved = sum(
        int((np.linalg.norm(shift - np.median(shift, axis=0), axis=1) > hop_length / 2).sum()) for shift in shifts
    )
    if not moved:
        return []
    total = sum(len(shift) for shift in shifts)
    return [f"the framework moves: {moved} of {total} of its atoms left their sites by over {hop_length / 2:g} Å"]


def _given(lags: Array, msd: Array, units: Array, window: tuple[float, float]) -> tuple[Line, bool]:
    keep = lags <= window[1] * (1 + 1e-9)
    first = max(1, int(np.searchsorted(lags, window[0] * (1 - 1e-9))))
    if keep.sum() - first < 4:
        raise AnalysisError(f"the window {window[0]:g} to {window[1]:g} ps holds fewer than 4 lags; widen it")
    line = fit_line(lags[keep], msd[keep], units[:, keep], first)
    return line, is_diffusive(line)


def _estimate(line: Line, unit: str) -> Estimate:
    return Estimate(
        value=line.slope / 6 * A2_PER_PS_IN_CM2_PER_S,
        standard_error=line.slope_error / 6 * A2_PER_PS_IN_CM2_PER_S,
        unit="cm²/s",
        n_samples=len(line.unit_slopes),
        window=line.window,
        method=f"GLS slope of the MSD with intercept, error from {unit}",
    )


def _upper_bound(D: Estimate, n_hops: float, ion_time: float, hop_length: float) -> float:
    """Return the larger of Student's 95 % bound and Poisson's: χ²₀.₉₅(2n + 2)/2 hops where n were seen."""
    poisson = float(gammaincinv(n_hops + 1, 0.95)) * hop_length**2 / (6 * ion_time) * A2_PER_PS_IN_CM2_PER_S
    return max(poisson, D.value + student_t(0.90, D.n_samples - 1) * D.standard_error)


def _flags(line: Line, found: bool, few: bool, n_hops: float, *, chosen: bool) -> list[str]:
    flags = [] if found else [growth(line)]
    if few:
        instead = "the upper bound is safer than D in the chosen window" if chosen else "an upper bound in place of D"
        flags.append(f"only {n_hops:.0f} hops in all, {FEW_HOPS} are needed: {instead}")
    if (chosen or not few) and line.slope_error > 0.5 * abs(line.slope):
        flags.append(f"the error of D is {100 * line.slope_error / abs(line.slope):.0f} %: run longer")
    return flags
