"""Transport coefficients as time integrals of equilibrium correlations (Green 1954, doi 10.1063/1.1740082)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.statistics import Estimate, UnreliableError, autocorrelation, student_t
from lampion.errors import AnalysisError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GreenKubo:
    """A transport coefficient and the running integral that it was read from."""

    estimate: Estimate
    """Its window ends at the cut-off."""
    lags: Array
    """(n_lags,), ps."""
    correlation: Array
    """(n_lags,), mean over the components, in the unit of the series squared."""
    running: Array
    """(n_lags,), the integral up to each lag, in the unit of the estimate."""
    running_error: Array
    """(n_lags,), one standard error over the units."""
    unit_values: Array
    """(n_units,), the integral of each independent unit."""
    cutoff: float
    """ps: where the integral was read."""


def green_kubo(
    series: Sequence[ArrayLike],
    *,
    dt: float,
    factor: float,
    unit: str,
    cutoff: float | None = None,
    n_blocks: int = 8,
    correlation: Callable[[Array], Array] | None = None,
) -> GreenKubo:
    """Return factor · ∫₀^tc ⟨A(0) A(t)⟩ dt, averaged over components whose mean vanishes, by the trapezoidal rule.

    The cut-off is twice the later of two lags: five integrated correlation times (Sokal 1997,
    doi 10.1007/978-1-4899-0319-8_6), and the lag from which on, up to its double, the correlation is no larger than
    its own error, because an oscillating correlation has a short time and a long tail. Twice, because a slow tail
    sinks into the noise point by point before its integral does: without it the viscosity of Lennard-Jones near its
    triple point comes out 7 % low. From there on the integral must be on its plateau (`_plateau`). The error is
    the scatter of the integral over independent runs if there are `n_blocks`, else over time blocks.

    Args:
        series: one array for each independent run, (n, n_components), evenly spaced, mean zero by symmetry: a
            block's own mean is not subtracted, for that would bias the integral.
        dt: ps between samples.
        factor: turns the integral, unit² · ps, into the result.
        unit: of the result.
        cutoff: ps, in place of the one found.
        n_blocks: the fewest independent units.
        correlation: gives the mean correlation, (n,), of a block of a series, which may then have any shape.

    Raises:
        AnalysisError: series of other shapes, not finite, or a cut-off beyond the blocks.
        UnreliableError: blocks shorter than five cut-offs; carries the estimate.

    >>> import numpy as np
    >>> white = np.random.default_rng(0).normal(0.0, 1.0, (4000, 3))
    >>> print(green_kubo([white], dt=1.0, factor=2.0, unit="a.u.").estimate, "true: 1")
    1.031(51) a.u. true: 1
    """
    runs = [np.asarray(s, dtype=float) for s in series]
    for number, run in enumerate(runs):
        fits = run.shape[1:] == runs[0].shape[1:] and (run.ndim == 2 or correlation is not None)
        if not fits or not np.isfinite(run.sum()):
            raise AnalysisError(f"series {number} must be finite and of shape (n, components), got {run.shape}")
    if dt <= 0:
        raise AnalysisError(f"the time between samples must be positive, got {dt:g} ps")
    split = 1 if len(runs) >= n_blocks else math.ceil(n_blocks / len(runs))
    parts = [run[a:b] for run in runs for a, b in pairwise(np.linspace(0, len(run), split + 1).astype(int))]
    length = min(len(part) for part in parts)
    if length < 20:
        raise AnalysisError(f"blocks of {length} samples are too short to integrate; run longer")
    units = np.array([(correlation or _mean_correlation)(part)[:length] for part in parts])
    mean, errors = units.mean(axis=0), units.std(axis=0, ddof=1) / math.sqrt(len(units))
    integral = (np.cumsum(units, axis=1) - (units[:, :1] + units) / 2) * dt * factor
    stop = _plateau(integral, _cutoff(mean, errors)) if cutoff is None else round(cutoff / dt)
    if not 1 <= stop < length:
        raise AnalysisError(
            f"the cut-off {stop * dt:g} ps does not fit into blocks of {length * dt:g} ps; run longer"
        )
    spread = integral.std(axis=0, ddof=1) / math.sqrt(len(units))
    estimate = Estimate(
        value=float(integral[:, stop].mean()),
        standard_error=float(spread[stop]),
        unit=unit,
        n_samples=len(units),
        window=(0.0, stop * dt),
        method=f"Green–Kubo, error from {len(units)} {'runs' if split == 1 else 'time blocks'}",
    )
    if length < 5 * stop:
        raise UnreliableError(
            f"blocks of {length * dt:.3g} ps are shorter than five cut-offs of {stop * dt:.3g} ps ({estimate}): "
            f"run at least {5 * stop * dt * split:.3g} ps",
            estimate,
        )
    keep = slice(0, min(length - 1, 4 * stop) + 1)
    return GreenKubo(
        estimate=estimate,
        lags=np.arange(length, dtype=float)[keep] * dt,
        correlation=mean[keep],
        running=integral.mean(axis=0)[keep],
        running_error=spread[keep],
        unit_values=integral[:, stop],
        cutoff=stop * dt,
    )


def _mean_correlation(part: Array) -> Array:
    return np.asarray(autocorrelation(part, centre=False) / part.shape[1], dtype=float)


def _cutoff(correlation: Array, errors: Array) -> int:
    n = len(correlation)
    tau = (np.cumsum(correlation) - correlation[0] / 2) / correlation[0]
    inside = np.arange(n) >= 5 * np.maximum(tau, 0.5)
    sokal = max(1, int(np.argmax(inside))) if inside.any() else n
    # |C| over its error is 0.8 to 0.9 on average where there is nothing but noise.
    ratio = np.concatenate([[0.0], np.cumsum(np.abs(correlation) / np.maximum(errors, 1e-300))])
    starts = np.arange(1, n // 2)
    quiet = (ratio[2 * starts] - ratio[starts]) / starts < 1.3
    return 2 * max(sokal, int(starts[np.argmax(quiet)]) if quiet.any() else n)


def _plateau(integral: Array, first: int) -> int:
    """Return the cut-off, doubled from `first` on while the integral still changes beyond it.

    In molten NaCl the current's fast oscillation is over after 0.2 ps, and a weak negative tail then takes a quarter
    of the integral away until 0.7 ps: the correlation drowns in its noise there, its integral does not. It changes
    where the paired differences of the units, to twice and to four times the cut-off, leave Student's t at 99 %. Only
    two comparisons a step: against many lags noise alone would always find one that differs. Where runs are too short
    to show a weak tail, the integral still ends before it: with a tail of 2 % that makes two thirds of the integral,
    and eight runs of 60 of its times, the interval of 95 % held the truth in 76 % of 300 trials.
    """
    limit = student_t(0.99, len(integral) - 1)
    stop, last = first, integral.shape[1] // 5
    while 2 * stop <= last:
        later = [lag for lag in (2 * stop, 4 * stop) if lag <= last]
        differences = integral[:, later] - integral[:, stop, None]
        errors = differences.std(axis=0, ddof=1) / math.sqrt(len(integral))
        if (np.abs(differences.mean(axis=0)) <= limit * errors).all():
            break
        stop *= 2
    return stop


def with_method(result: GreenKubo, method: str) -> GreenKubo:
    """Return the same result with a word on what was integrated."""
    return replace(result, estimate=replace(result.estimate, method=f"{result.estimate.method}; {method}"))
