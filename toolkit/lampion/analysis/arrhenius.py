"""Arrhenius: an activation energy from diffusion coefficients, extrapolation with its band, a test for curvature."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError
from lampion.units import BOLTZMANN

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ArrheniusResult:
    """ln D = ln D₀ − Ea/kT, with the full covariance of both."""

    Ea: Estimate
    """eV."""
    ln_prefactor: Estimate
    """ln of D₀ in cm²/s."""
    covariance: Array
    """(2, 2) of (ln D₀, Ea)."""
    temperatures: Array
    """(n,), K, of the fit."""
    chi_square: float | None
    """Σ ((ln D − fit)/σ)²; None with two temperatures, which any line meets."""
    p_value: float | None
    """Probability of so large a chi-square if the line and the errors are right."""
    curvature: Estimate | None
    """d² ln D/d(1/kT)², eV²; None with fewer than three temperatures."""
    flags: tuple[str, ...]

    def ln_D(self, temperatures: ArrayLike) -> tuple[Array, Array]:
        """Return ln D and its standard error at `temperatures` (K): the line and its band.

        σ² = Var(ln D₀) − 2β Cov(ln D₀, Ea) + β² Var(Ea), β = 1/kT.
        """
        beta = 1 / (BOLTZMANN * np.asarray(temperatures, dtype=float))
        (a, b), (_, c) = self.covariance
        return self.ln_prefactor.value - self.Ea.value * beta, np.sqrt(
            np.maximum(a - 2 * beta * b + beta**2 * c, 0.0)
        )

    def extrapolated(self, temperature: float, *, past: Sequence[float] = ()) -> Estimate:
        """Return D at a temperature (K), its error that of ln D times D.

        Args:
            temperature: K.
            past: known transition temperatures, K.

        Raises:
            AnalysisError: a transition lies between the data and `temperature`: the line says nothing beyond it.
        """
        low, high = sorted(
            [temperature, float(np.clip(temperature, self.temperatures.min(), self.temperatures.max()))]
        )
        for transition in past:
            if low <= transition <= high and low < high:
                raise AnalysisError(
                    f"a transition at {transition:g} K lies between data and {temperature:g} K; simulate there"
                )
        value, error = (float(v) for v in self.ln_D(temperature))
        return Estimate(
            value=math.exp(value),
            standard_error=math.exp(value) * error,
            unit="cm²/s",
            n_samples=self.Ea.n_samples,
            method=f"Arrhenius line at {temperature:g} K, σ(ln D) = {error:.2f}",
        )


def arrhenius(temperatures: ArrayLike, D: Sequence[Estimate]) -> ArrheniusResult:
    """Fit ln D = ln D₀ − Ea β, β = 1/kT, weighted by 1/σ²(ln D), σ(ln D) = σ(D)/D.

    The covariance is (AᵀWA)⁻¹, from the errors of D, not rescaled by the residuals: the errors are known, and two
    temperatures leave no residual. Curvature is the second-order term of the same weighted fit.

    Args:
        temperatures: (n,), K.
        D: n estimates, cm²/s.

    Raises:
        AnalysisError: fewer than two different temperatures, a D or an error that is not positive.

    >>> values = [1e-3 * math.exp(-0.3 / (BOLTZMANN * T)) for T in (600.0, 800.0)]
    >>> made = [Estimate(value=v, standard_error=1e-7, unit="cm²/s", n_samples=8) for v in values]
    >>> f"{arrhenius([600.0, 800.0], made).Ea.value:.6f}"
    '0.300000'
    """
    T = np.asarray(temperatures, dtype=float)
    y, sigma = _logarithms(T, D)
    beta = 1 / (BOLTZMANN * T)
    (ln_prefactor, slope), covariance, chi_square = _weighted(y, sigma, beta, 1)
    # (ln D₀, slope) → (ln D₀, Ea): the slope is −Ea.
    covariance = covariance * [[1, -1], [-1, 1]]
    n_samples = min(d.n_samples for d in D) + len(T) - 2
    different = len(np.unique(T))
    flags, p_value, curvature = [], None, None
    if different == 2:
        flags.append("two temperatures fix a line, they don't test it")
    else:
        p_value = float(chdtrc(len(T) - 2, chi_square))
        middle = beta - beta.mean()
        coefficients, wide, _ = _weighted(y, sigma, middle, 2)
        curvature = Estimate(
            value=2 * coefficients[2], standard_error=2 * math.sqrt(wide[2, 2]), unit="eV²", n_samples=n_samples
        )
        if abs(curvature.value) > 2 * curvature.standard_error:
            flags.append(f"ln D is curved: second derivative {curvature}; one activation energy does not describe it")
        if p_value < 0.01:
            flags.append(f"the line misses the data: chi-square {chi_square:.1f} for {len(T) - 2} degrees of freedom")
    method = f"weighted fit of ln D against 1/kT, {len(T)} temperatures"
    return ArrheniusResult(
        Ea=Estimate(
            value=-slope, standard_error=math.sqrt(covariance[1, 1]), unit="eV", n_samples=n_samples, method=method
        ),
        ln_prefactor=Estimate(
            value=ln_prefactor,
            standard_error=math.sqrt(covariance[0, 0]),
            unit="",
            n_samples=n_samples,
            method=method,
        ),
        covariance=covariance,
        temperatures=T,
        chi_square=None if different == 2 else chi_square,
        p_value=p_value,
        curvature=curvature,
        flags=tuple(flags),
    )


def _logarithms(T: Array, D: Sequence[Estimate]) -> tuple[Array, Array]:
    value = np.array([d.value for d in D])
    error = np.array([d.standard_error for d in D])
    if T.shape != value.shape or (T <= 0).any() or len(np.unique(T)) < 2:
        raise AnalysisError(
            f"an Arrhenius line needs D at two or more temperatures, got {len(D)} D at {T.tolist()} K"
        )
    if any(d.unit != "cm²/s" for d in D):
        raise AnalysisError(f"D comes in cm²/s, got {sorted({d.unit for d in D})}")
    for t, v, e in zip(T, value, error, strict=True):
        if v <= 0 or e <= 0:
            raise AnalysisError(f"D = {v:g} ± {e:g} cm²/s at {t:g} K has no logarithm with an error; leave it out")
    return np.log(value), error / value


def _weighted(y: Array, sigma: Array, x: Array, degree: int) -> tuple[list[float], Array, float]:
    """Return coefficients (rising powers), their covariance (AᵀWA)⁻¹ and chi-square."""
    scale = float(np.abs(x).max())
    powers = scale ** np.arange(degree + 1)
    design = np.vander(x / scale, degree + 1, increasing=True) / sigma[:, None]
    covariance = np.linalg.inv(design.T @ design)
    solution = covariance @ design.T @ (y / sigma)
    residual = y / sigma - design @ solution
    return (solution / powers).tolist(), covariance / np.outer(powers, powers), float(residual @ residual)
