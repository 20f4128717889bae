"""Two numbers, or several cells, set side by side with their errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.statistics import Estimate, student_t
from lampion.analysis.weighted import WeightedFit, weighted_fit
from lampion.errors import AnalysisError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """a/b of two models, functionals or cells."""

    ratio: Estimate
    interval: tuple[float, float]
    """95.4 %, from ln a − ln b: not symmetric about the ratio, and never negative."""
    z: float
    """(ln a − ln b)/σ: how far from 1."""
    differ: bool
    """Whether the 95.4 % interval leaves out 1."""


def ratio(a: Estimate, b: Estimate) -> Ratio:
    """Return a/b of independent estimates, σ(ln a/b)² = (σ_a/a)² + (σ_b/b)².

    Its number of samples is Welch's and Satterthwaite's (1946, doi 10.2307/3002019), plus one.

    Raises:
        AnalysisError: different units, or a value or an error that is not positive.

    >>> a = Estimate(value=2.0e-5, standard_error=1.0e-6, unit="cm²/s", n_samples=8)
    >>> b = Estimate(value=1.0e-5, standard_error=1.0e-6, unit="cm²/s", n_samples=8)
    >>> r = ratio(a, b)
    >>> str(r.ratio), r.differ
    ('2.00(22)', True)
    """
    if a.unit != b.unit:
        raise AnalysisError(f"only numbers of one unit have a ratio, got {a.unit!r} and {b.unit!r}")
    if min(a.value, b.value, a.standard_error, b.standard_error) <= 0:
        raise AnalysisError(f"a ratio needs positive values with positive errors, got {a} and {b}")
    sigma, dof = _together(*((e.standard_error / e.value, e.n_samples) for e in (a, b)))
    value = a.value / b.value
    half = student_t(0.954, dof) * sigma
    return Ratio(
        ratio=Estimate(
            value=value,
            standard_error=value * sigma,
            unit="",
            n_samples=math.floor(dof) + 1,
            method="ratio of independent estimates",
        ),
        interval=(value * math.exp(-half), value * math.exp(half) if half < 700 else math.inf),
        z=math.log(value) / sigma,
        differ=abs(math.log(value)) > half,
    )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """a − b of two models, functionals or cells."""

    difference: Estimate
    interval: tuple[float, float]
    """95.4 %."""
    differ: bool
    """Whether the 95.4 % interval leaves out 0."""


def difference(a: Estimate, b: Estimate) -> Difference:
    """Return a − b of independent estimates, σ² = σ_a² + σ_b²; degrees of freedom as in `ratio`.

    Raises:
        AnalysisError: different units, or an error that is not positive.

    >>> a = Estimate(value=0.30, standard_error=0.01, unit="eV", n_samples=8)
    >>> b = Estimate(value=0.25, standard_error=0.01, unit="eV", n_samples=8)
    >>> d = difference(a, b)
    >>> str(d.difference), d.differ
    ('0.050(14) eV', True)
    """
    if a.unit != b.unit:
        raise AnalysisError(f"only numbers of one unit have a difference, got {a.unit!r} and {b.unit!r}")
    if min(a.standard_error, b.standard_error) <= 0:
        raise AnalysisError(f"a difference needs positive errors, got {a} and {b}")
    sigma, dof = _together(*((e.standard_error, e.n_samples) for e in (a, b)))
    value, half = a.value - b.value, student_t(0.954, dof) * sigma
    return Difference(
        difference=Estimate(
            value=value,
            standard_error=sigma,
            unit=a.unit,
            n_samples=math.floor(dof) + 1,
            method="difference of independent estimates",
        ),
        interval=(value - half, value + half),
        differ=abs(value) > half,
    )


def _together(*errors: tuple[float, int]) -> tuple[float, float]:
    """Return the error of a sum of independent parts, given (error, samples), and its degrees of freedom."""
    variance = sum(error**2 for error, _ in errors)
    spread = sum(error**4 / max(1, n - 1) for error, n in errors)
    return math.sqrt(variance), max(1.0, variance**2 / spread)


@dataclass(frozen=True, kw_only=True)
class SizeDependence:
    """One quantity in cells of several sizes."""

    lengths: Array
    """(n,), Å."""
    infinite: Estimate
    """Extrapolated to 1/L = 0 along the weighted line; its error is that of the extrapolation."""
    slope: Estimate
    """d value/d(1/L), Å times the unit."""
    constant: Estimate
    """Weighted mean: what to report where the sizes agree."""
    p_constant: float
    """Probability of so much scatter about the mean if the size did not matter."""
    depends: bool
    """p_constant < 0.025, or a slope beyond its 97.5 % interval: 5 % in all where the size does not matter."""
    largest_agrees: bool
    """Whether the largest cell agrees with `infinite` within the errors of both, 95.4 %."""


def size_dependence(lengths: ArrayLike, values: Sequence[Estimate]) -> SizeDependence:
    """Compare cells of different sizes: value = value_∞ + s/L, weighted by 1/σ² (`weighted_fit`).

    For ions that hop in a solid there is no hydrodynamic correction; several supercells take its place (Klenk & Lai
    2016 on Li7La3Zr2O12; Grasselli 2022, arXiv 2203.09558). In a liquid s = −ξ kT/(6π η).

    Args:
        lengths: (n,), Å: cube root of the volume.
        values: n estimates of one unit.

    Raises:
        AnalysisError: fewer than two different sizes, several units, an error that is not positive.

    >>> cells = [Estimate(value=v, standard_error=0.1, unit="cm²/s", n_samples=8) for v in (0.9, 0.95)]
    >>> round(size_dependence([10.0, 20.0], cells).infinite.value, 9)
    1.0
    """
    L = np.asarray(lengths, dtype=float)
    y = np.array([v.value for v in values])
    sigma = np.array([v.standard_error for v in values])
    units = sorted({v.unit for v in values})
    if L.shape != y.shape or len(np.unique(L)) < 2 or (L <= 0).any():
        raise AnalysisError(f"sizes are compared from two on, got {len(y)} values for the lengths {L.tolist()} Å")
    if len(units) != 1 or (sigma <= 0).any():
        raise AnalysisError(
            f"cells are compared in one unit, each value with an error; got {units}, errors {sigma.tolist()}"
        )
    dof = np.array([max(1, v.n_samples - 1) for v in values], dtype=float)
    line = weighted_fit(np.stack([np.ones_like(L), 1 / L], axis=1), y, sigma, dof)
    flat = weighted_fit(np.ones((len(L), 1)), y, sigma, dof)
    unit = units[0]

    def estimate(fit: WeightedFit, vector: ArrayLike, unit: str, method: str) -> Estimate:
        value, error, free = fit.combination(vector)
        return Estimate(value=value, standard_error=error, unit=unit, n_samples=math.floor(free) + 1, method=method)

    # Two tests: each at half of 5 %.
    low, high = line.interval([0.0, 1.0], 0.975)
    big = int(L.argmax())
    p_constant = flat.p_value if flat.p_value is not None else 1.0
    return SizeDependence(
        lengths=L,
        infinite=estimate(line, [1.0, 0.0], unit, f"weighted line in 1/L through {len(L)} cells"),
        slope=estimate(line, [0.0, 1.0], f"{unit}·Å", "of the line"),
        constant=estimate(flat, [1.0], unit, "weighted mean of the cells"),
        p_constant=p_constant,
        depends=p_constant < 0.025 or not low <= 0 <= high,
        largest_agrees=_agrees(line, y, big),
    )


def _agrees(line: WeightedFit, y: Array, big: int) -> bool:
    """Return whether y_big − y_∞ is zero within its 95.4 % interval; both hang on the same y."""
    parts = np.eye(len(y))[big] - line.influence[0]
    variances = parts**2 * line.variances
    total = float(variances.sum())
    if total <= 1e-24 * float(y[big]) ** 2:
        return True
    dof = max(1.0, total**2 / float((variances**2 / line.dof).sum()))
    return bool(abs(parts @ y) <= student_t(0.954, dof) * math.sqrt(total))
