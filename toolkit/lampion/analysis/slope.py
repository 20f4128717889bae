"""The slope of a mean squared displacement by generalised least squares, and the window in which it is one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.statistics import student_t
from lampion.errors import AnalysisError

Array = NDArray[np.float64]


def gls_weights(lags: ArrayLike) -> Array:
    """Return the weights W that turn a mean squared displacement into slope and intercept: (slope, c) = W · MSD.

    MSD_i = slope x_i + c + noise of covariance S_ij ∝ x_i x_j min(x_i, x_j), which depends on the lags alone
    (McCluskey, Coles & Morgan 2025, doi 10.1021/acs.jctc.4c01249; Bullerjahn, von Bülow & Hummer 2020,
    doi 10.1063/5.0008312). (Aᵀ S⁻¹ A)⁻¹ Aᵀ S⁻¹ is closed: z_i = MSD_i/x_i has the covariance min(x_i, x_j) of a
    Brownian path, whose increments are independent with variance x_{i+1} − x_i.

    Args:
        lags: (n,), positive and rising, n ≥ 3.

    Returns:
        (2, n): weights of the slope, in 1/unit of the lags, and of the intercept.

    Raises:
        AnalysisError: fewer than three lags, or not positive and rising.

    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 3.0, 5.0])
    >>> (gls_weights(x) @ (6 * x + 0.5)).round(9).tolist()
    [6.0, 0.5]
    """
    x = np.asarray(lags, dtype=float)
    if x.ndim != 1 or len(x) < 3 or x[0] <= 0 or (np.diff(x) <= 0).any():
        raise AnalysisError("a slope needs at least three lags, positive and rising")
    # Rows of the whitening: z_1/√x_1 and (z_{i+1} − z_i)/√(x_{i+1} − x_i), with z = MSD/x.
    width = np.sqrt(np.diff(x, prepend=0.0))
    design = np.stack([np.ones_like(x), 1 / x], axis=1)
    white = np.diff(design, axis=0, prepend=np.zeros((1, 2))) / width[:, None]
    solve = np.linalg.solve(white.T @ white, white.T) / width
    # Transpose of the differencing, then of the division by x.
    return np.asarray((solve - np.concatenate([solve[:, 1:], np.zeros((2, 1))], axis=1)) / x, dtype=float)


def log_slope_weights(lags: ArrayLike) -> Array:
    """Return weights w with w · ln MSD = d ln MSD/d ln t, every octave of lags counting alike.

    >>> import numpy as np
    >>> x = np.arange(1.0, 40.0)
    >>> round(float(log_slope_weights(x) @ np.log(3 * x**0.5)), 9)
    0.5
    """
    x = np.asarray(lags, dtype=float)
    u = np.log(x)
    weight = 1 / x
    u = u - (weight * u).sum() / weight.sum()
    return np.asarray(weight * u / (weight * u * u).sum(), dtype=float)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A fitted window: slope and intercept of the mean, the same for each independent unit."""

    window: tuple[float, float]
    """First and last lag, ps, both included."""
    slope: float
    """Å²/ps."""
    intercept: float
    """Å²."""
    unit_slopes: Array
    unit_intercepts: Array
    log_slope: float
    """d ln MSD/d ln t in the window."""
    exponent: float
    """d ln(MSD(t) − MSD(t_c))/d ln(t − t_c), t_c an eighth of the window's start: the growth beyond the cage. An
    ion that vibrates on its site adds a constant to the MSD, which the intercept takes and this leaves out."""
    exponent_error: float

    @property
    def slope_error(self) -> float:
        """Standard error of the slope, from the scatter of the units."""
        return float(self.unit_slopes.std(ddof=1) / np.sqrt(len(self.unit_slopes)))


def fit_line(lags: Array, msd: Array, units: Array, first: int) -> Line:
    """Fit slope and intercept from the lag of index `first` to the last; errors from the scatter of the units.

    Args:
        lags: (n_lags,), ps, rising from zero.
        msd: (n_lags,), Å², of all data.
        units: (n_units, n_lags), Å², of each independent unit.
        first: index of the first lag.
    """
    x = lags[first:]
    weights = gls_weights(x)
    slope, intercept = weights @ msd[first:]
    slopes, intercepts = weights @ units[:, first:].T
    cage = int(np.searchsorted(lags, lags[first] / 8 * (1 + 1e-9), side="right")) - 1
    u, grown = x - lags[cage], msd[first:] - msd[cage]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_slope = float(log_slope_weights(x) @ np.log(msd[first:]))
        exponent = float(log_slope_weights(u) @ np.log(grown))
        # ln of a unit's own MSD is biased by its noise; linearised about the mean it is not.
        scatter = ((units[:, first:] - units[:, cage, None]) / grown) @ log_slope_weights(u)
    return Line(
        window=(float(x[0]), float(x[-1])),
        slope=float(slope),
        intercept=float(intercept),
        unit_slopes=slopes,
        unit_intercepts=intercepts,
        log_slope=log_slope,
        exponent=exponent,
        exponent_error=float(scatter.std(ddof=1) / np.sqrt(len(units))),
    )


def is_diffusive(line: Line, tolerance: float = 0.05) -> bool:
    """Return whether the growth's exponent is 1 within `tolerance` and two standard errors, at most 0.2 in all."""
    return bool(abs(line.exponent - 1) <= min(0.2, tolerance + 2 * line.exponent_error))


def growth(line: Line) -> str:
    """Say in words how the mean squared displacement grows in a window where that is not as t."""
    span = f"between {line.window[0]:.3g} and {line.window[1]:.3g} ps"
    if not np.isfinite(line.log_slope):
        return f"MSD does not grow {span}"
    if is_diffusive(line):
        return f"MSD grows as t^{line.log_slope:.2f} {span}, but its slope changes with the start of the fit"
    if abs(line.log_slope - 1) < 0.1:
        return f"MSD grows as t^{line.exponent:.2f} {span} beyond its value in the cage, not as t"
    return f"MSD grows as t^{line.log_slope:.2f} {span}, not as t"


def candidate_starts(lags: Array) -> list[int]:
    """Return indices of lags that a window may start at: four an octave, up to a third of the longest lag.

    >>> import numpy as np
    >>> candidate_starts(np.arange(31.0))
    [1, 2, 3, 4, 5, 6, 7, 8, 10]
    """
    high = lags[-1] / 3
    grid = np.geomspace(lags[1], high, max(2, int(np.ceil(4 * np.log2(high / lags[1]))) + 1))
    nearest = [int(np.abs(lags - lag).argmin()) for lag in grid]
    return [m for m in sorted(set(nearest)) if 1 <= m <= len(lags) - 4]


def plateau(lags: Array, msd: Array, units: Array) -> list[Line]:
    """Return the line for each candidate start, earliest first: D against its start.

    Args:
        lags: (n_lags,), ps, rising from zero.
        msd: (n_lags,), Å².
        units: (n_units, n_lags), Å².
    """
    return [fit_line(lags, msd, units, start) for start in candidate_starts(lags)]


def find_window(lines: list[Line], *, level: float = 0.99, margin: int = 2) -> tuple[Line, bool]:
    """Return the line from the earliest start where the MSD is diffusive, and whether there is one.

    A start serves if the growth's exponent is 1 (`is_diffusive`) and D is on its plateau: no later start gives a D
    that differs, in the paired differences of the units, by more than Student's t at `level`. What just passes is
    on the edge, so the window starts `margin` candidates (half an octave) later: without it, ions with back-jumps
    come out 1 to 3 % high in the calibration.

    Args:
        lines: of `plateau`.
        level: of the plateau's test; a lower one lets noise choose the window, which widens the scatter of D.
        margin: candidates.
    """
    limit = student_t(level, len(lines[0].unit_slopes) - 1)
    for number, line in enumerate(lines):
        if is_diffusive(line) and all(_agree(line, later, limit) for later in lines[number + 1 :]):
            return lines[min(number + margin, len(lines) - 1)], True
    return lines[-1], False


def _agree(line: Line, later: Line, limit: float) -> bool:
    difference = line.unit_slopes - later.unit_slopes
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(abs(line.slope - later.slope) <= limit * error + 1e-9 * abs(line.slope))
