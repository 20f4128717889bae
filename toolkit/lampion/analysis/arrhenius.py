"""Arrhenius: an activation energy from diffusion coefficients, extrapolation with its band, a test for curvature."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.statistics import Estimate, student_t
from lampion.analysis.weighted import WeightedFit, weighted_fit
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
    fit: WeightedFit
    """Of ln D = b₀ + b₁ β, β = 1/kT − `centre`."""
    centre: float
    """1/eV."""
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
        """Return D at a temperature (K), its error that of ln D times D; `interval` is right far from the data.

        Args:
            temperature: K.
            past: known transition temperatures, K.

        Raises:
            AnalysisError: a transition lies between `temperature` and some of the data: the line is of another phase,
                or of two.
        """
        for transition in past:
            if ((self.temperatures - transition) * (temperature - transition) <= 0).any():
                raise AnalysisError(
                    f"a transition at {transition:g} K lies between data and {temperature:g} K; simulate that "
                    "phase alone"
                )
        value, error, dof = self.fit.combination(self._row(temperature))
        return Estimate(
            value=math.exp(value),
            standard_error=math.exp(value) * error,
            unit="cm²/s",
            n_samples=math.floor(dof) + 1,
            method=f"Arrhenius line at {temperature:g} K, σ(ln D) = {error:.2f}",
        )

    def interval(self, temperature: float, level: float = 0.954) -> tuple[float, float]:
        """Return the interval of D at a temperature (K), cm²/s, from that of ln D: never negative, nor symmetric."""
        low, high = self.fit.interval(self._row(temperature), level)
        return math.exp(low), math.exp(high)

    def _row(self, temperature: float) -> list[float]:
        return [1.0, 1 / (BOLTZMANN * temperature) - self.centre]


def arrhenius(temperatures: ArrayLike, D: Sequence[Estimate]) -> ArrheniusResult:
    """Fit ln D = ln D₀ − Ea β, β = 1/kT, weighted by 1/σ²(ln D), σ(ln D) = σ(D)/D.

    The covariance is that of `weighted_fit`: from the errors of D, with what their own uncertainty adds, not rescaled
    by the residuals, of which two temperatures leave none. Curvature is the second-order term of the same fit.

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
    centre = float(beta.mean())
    dof = np.array([max(1, d.n_samples - 1) for d in D], dtype=float)
    fit = weighted_fit(np.vander(beta - centre, 2, increasing=True), y, sigma, dof)
    # (b₀, b₁) → (ln D₀, Ea) = (b₀ − b₁ centre, −b₁).
    turn = np.array([[1.0, -centre], [0.0, -1.0]])
    method = f"weighted fit of ln D against 1/kT, {len(T)} temperatures"

    def estimate(vector: ArrayLike, unit: str) -> Estimate:
        value, error, free = fit.combination(vector)
        return Estimate(value=value, standard_error=error, unit=unit, n_samples=math.floor(free) + 1, method=method)

    different = len(np.unique(T))
    flags, curvature = [], None
    if different == 2:
        flags.append("two temperatures fix a line, they don't test it")
    else:
        bent = weighted_fit(np.vander(beta - centre, 3, increasing=True), y, sigma, dof)
        value, error, free = bent.combination([0.0, 0.0, 2.0])
        curvature = Estimate(value=value, standard_error=error, unit="eV²", n_samples=math.floor(free) + 1)
        if abs(value) > student_t(0.954, free) * error:
            flags.append(f"ln D is curved: second derivative {curvature}; one activation energy does not describe it")
        if fit.p_value is not None and fit.p_value < 0.01:
            flags.append(
                f"the line misses the data: chi-square {fit.chi_square:.1f} for {fit.residual_dof} degrees of freedom"
            )
    return ArrheniusResult(
        Ea=estimate(turn[1], "eV"),
        ln_prefactor=estimate(turn[0], ""),
        covariance=turn @ fit.covariance @ turn.T,
        temperatures=T,
        chi_square=None if different == 2 else fit.chi_square,
        p_value=None if different == 2 else fit.p_value,
        curvature=curvature,
        fit=fit,
        centre=centre,
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
