"""Estimates with honest errors: means of correlated series, resampling units, drift of the mean.

Every number that Lampion reports is an `Estimate`. What the data can't carry is refused with `UnreliableError`, which
brings the unreliable estimate along.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import stdtrit

from lampion.errors import AnalysisError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number, its standard error, and where both come from.

    >>> D = Estimate(value=1.234e-4, standard_error=4.1e-6, unit="cm²/s", n_samples=8, method="8 time blocks")
    >>> str(D)
    '1.234(41)e-4 cm²/s'
    >>> f"{D:.2f}"
    '0.00 ± 0.00 cm²/s'
    >>> low, high = D.interval(0.954)
    >>> f"{low:.3g} {high:.3g}"
    '0.000113 0.000133'
    """

    value: float
    standard_error: float
    """One standard error, in the unit of the value."""
    unit: str
    n_samples: int
    """How many independent samples the error was found from; Student's t has one degree of freedom less."""
    window: tuple[float, float] | None = None
    """From and to, ps: the lags, or the times, that were used."""
    method: str = ""
    """How value and error were found, in a phrase."""

    def interval(self, level: float = 0.683) -> tuple[float, float]:
        """Return value ± t(level, n_samples − 1) · standard_error (Student 1908, doi 10.1093/biomet/6.1.1).

        Raises:
            AnalysisError: `level` is not between 0 and 1, or there are fewer than two samples.
        """
        half = student_t(level, self.n_samples - 1) * self.standard_error
        return self.value - half, self.value + half

    def scaled(self, factor: float, unit: str) -> "Estimate":
        """Return the same estimate in another unit: `factor` is one old unit in new ones."""
        return replace(self, value=self.value * factor, standard_error=self.standard_error * abs(factor), unit=unit)

    def __str__(self) -> str:
        return f"{_shorthand(self.value, self.standard_error)} {self.unit}".rstrip()

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        return f"{self.value:{spec}} ± {self.standard_error:{spec}} {self.unit}".rstrip()


class UnreliableError(AnalysisError):
    """Data too short or too scattered for the number asked for; `estimate` is what they would have given."""

    def __init__(self, message: str, estimate: Estimate | None = None) -> None:
        super().__init__(message)
        self.estimate = estimate


def student_t(level: float, dof: float) -> float:
    """Return the half-width of the central interval of Student's t that holds the probability `level`.

    Raises:
        AnalysisError: `level` is not between 0 and 1, or `dof` is less than one.

    >>> f"{student_t(0.95, 7):.4f}"
    '2.3646'
    """
    if not 0 < level < 1:
        raise AnalysisError(f"a confidence level lies between 0 and 1, {level:g} does not")
    if dof < 1:
        raise AnalysisError("fewer than two independent samples give no interval; run longer or more often")
    return float(stdtrit(dof, 0.5 + level / 2))


def _shorthand(value: float, error: float) -> str:
    """Two digits of the error in brackets: ``1.234(41)e-4``."""
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0:
        return f"{value:.6g} ± {error:.2g}"
    power = math.floor(math.log10(max(abs(value), error)))
    scale = power if power < -2 or power > 4 else 0
    last = math.floor(math.log10(error)) - 1
    if round(error / 10.0**last) == 100:
        last += 1
    digits = max(0, scale - last)
    bracket = round(error / 10.0 ** (scale - digits))
    exponent = f"e{scale}" if scale else ""
    return f"{value / 10.0**scale:.{digits}f}({bracket}){exponent}"


def autocorrelation(series: ArrayLike, *, centre: bool = True) -> Array:
    """Return ⟨δA(0) δA(t)⟩ of a series about its mean, each lag divided by its own number of origins.

    C(m) = 1/(n − m) Σ_k δA_k δA_{k+m}, by FFT (Wiener–Khinchin).

    Args:
        series: (n,) or (n, n_components), whose products are then summed over components.
        centre: subtract the mean; not where it is known to vanish.

    Returns:
        (n,), in the unit of the series squared.

    >>> autocorrelation([1.0, -1.0, 1.0, -1.0]).round(12).tolist()
    [1.0, -1.0, 1.0, -1.0]
    """
    x = np.asarray(series, dtype=float)
    x = x.reshape(len(x), -1)
    x = x - x.mean(axis=0) if centre else x
    n = len(x)
    spectrum = rfft(x, next_fast_len(2 * n, real=True), axis=0)
    total = irfft((spectrum.real**2 + spectrum.imag**2).sum(axis=1), next_fast_len(2 * n, real=True))[:n]
    return np.asarray(total / np.arange(n, 0, -1), dtype=float)


def autocorrelation_time(series: ArrayLike, *, widths: float = 5.0) -> float:
    """Return the integrated autocorrelation time in samples, τ = 1/2 + Σ_{m=1}^{M} C(m)/C(0).

    M is the first lag with M ≥ `widths` · τ(M) (Sokal 1997, doi 10.1007/978-1-4899-0319-8_6). Samples that are
    independent give 1/2; a constant series too.

    Args:
        series: (n,).
        widths: how many τ are summed.

    >>> autocorrelation_time([1.0, 1.0, 1.0])
    0.5
    """
    x = np.asarray(series, dtype=float)
    if np.ptp(x) <= 1e-14 * max(1.0, float(np.abs(x).max())):
        return 0.5
    c = autocorrelation(x)
    # The biased normalisation (1/n) keeps the sum finite where few origins are left.
    rho = c * np.arange(len(x), 0, -1) / (len(x) * c[0])
    tau = np.cumsum(rho) - 0.5
    inside = np.arange(len(x)) >= widths * tau
    return max(0.5, float(tau[int(np.argmax(inside))] if inside.any() else tau.max()))


def block_average(series: ArrayLike, *, dt: float | None = None, unit: str = "", minimum: int = 12) -> Estimate:
    """Return the mean of a correlated series with an honest error.

    SE² = s²·2τ/(n − 2τ), with τ the integrated autocorrelation time in samples (Sokal 1997,
    doi 10.1007/978-1-4899-0319-8_6), which is the plateau of blocking (Flyvbjerg & Petersen 1989,
    doi 10.1063/1.457480) without choosing a block by eye. n/2τ is the number of independent samples.

    Args:
        series: (n,), evenly spaced.
        dt: time between samples, ps; gives the window.
        unit: of the series.
        minimum: the fewest independent samples that carry an error.

    Raises:
        AnalysisError: fewer than four samples, or one that is not a number.
        UnreliableError: fewer than `minimum` independent samples; carries the estimate.

    >>> import numpy as np
    >>> white = np.random.default_rng(1).normal(300.0, 2.0, 400)
    >>> str(block_average(white, unit="K"))
    '299.836(91) K'
    """
    x = np.asarray(series, dtype=float)
    if x.ndim != 1 or len(x) < 4:
        raise AnalysisError(
            f"a mean with an error needs at least 4 samples in a row, got an array of shape {x.shape}"
        )
    if not np.isfinite(x).all():
        raise AnalysisError(f"sample {int(np.argmin(np.isfinite(x)))} of the series is not a number: the run blew up")
    tau = autocorrelation_time(x)
    independent = len(x) / (2 * tau)
    error = float(x.std()) / math.sqrt(max(independent - 1, 1e-9))
    estimate = Estimate(
        value=float(x.mean()),
        standard_error=error,
        unit=unit,
        n_samples=max(1, math.floor(independent)),
        window=None if dt is None else (0.0, (len(x) - 1) * dt),
        method=f"mean of {len(x)} samples, autocorrelation time {tau:.3g} samples",
    )
    if independent < minimum:
        raise UnreliableError(
            f"{len(x)} samples with an autocorrelation time of {tau:.3g} are only {independent:.1f} independent ones "
            f"(mean {estimate}); run at least {math.ceil(2 * minimum * tau)} samples long",
            estimate,
        )
    return estimate


def mean_of(samples: ArrayLike, *, unit: str = "", method: str = "") -> Estimate:
    """Return the mean of independent samples, error s/√n.

    Raises:
        AnalysisError: fewer than two samples.

    >>> str(mean_of([1.0, 2.0, 3.0], unit="eV"))
    '2.00(58) eV'
    """
    x = np.asarray(samples, dtype=float)
    if x.ndim != 1 or len(x) < 2:
        raise AnalysisError(f"an error needs at least two independent samples, got an array of shape {x.shape}")
    error = float(x.std(ddof=1)) / math.sqrt(len(x))
    return Estimate(value=float(x.mean()), standard_error=error, unit=unit, n_samples=len(x), method=method)


def stationarity(series: ArrayLike) -> float:
    """Return by how many standard errors the mean of the second half lies above that of the first.

    z = (Ā₂ − Ā₁)/√(SE₁² + SE₂²), each half's error with its own autocorrelation time (`block_average`); the
    comparison of early and late parts is Geweke's (1992, in Bayesian Statistics 4). |z| > 3 is a drift.

    Args:
        series: (n,), evenly spaced.

    Raises:
        AnalysisError: fewer than eight samples, or one that is not a number.

    >>> import numpy as np
    >>> noise = np.random.default_rng(1).normal(size=1000)
    >>> bool(abs(stationarity(noise)) < 3), bool(stationarity(noise + np.linspace(0, 1, 1000)) > 3)
    (True, True)
    """
    x = np.asarray(series, dtype=float)
    if x.ndim != 1 or len(x) < 8:
        raise AnalysisError(f"a test for drift needs a series of at least 8 samples, got an array of shape {x.shape}")
    early, late = (block_average(half, minimum=0) for half in (x[: len(x) // 2], x[len(x) // 2 :]))
    error = math.hypot(early.standard_error, late.standard_error)
    difference = late.value - early.value
    if error == 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / error
