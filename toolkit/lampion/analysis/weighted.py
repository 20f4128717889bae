"""Weighted least squares where the errors themselves are known from a few samples only."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, fdtrc

from lampion.analysis.statistics import student_t
from lampion.errors import AnalysisError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WeightedFit:
    """y = A b, each y_i with its own standard error s_i, known from ν_i degrees of freedom."""

    coefficients: Array
    """(k,)"""
    covariance: Array
    """(k, k), with what the weights' own uncertainty adds."""
    chi_square: float
    """Σ ((y − A b)/s)²."""
    residual_dof: int
    """n − k."""
    p_value: float | None
    """Probability of so much scatter if model and errors are right; None where no residual is left."""
    influence: Array
    """(k, n): b = influence @ y."""
    variances: Array
    """(n,), s²."""
    dof: Array
    """(n,), ν."""

    def combination(self, vector: ArrayLike) -> tuple[float, float, float]:
        """Return c·b, its standard error, and its degrees of freedom (Satterthwaite 1946, doi 10.2307/3002019).

        ν = (Σ v_i)²/Σ v_i²/ν_i, v_i = (c·influence_i)² s_i².
        """
        c = np.asarray(vector, dtype=float)
        parts = (c @ self.influence) ** 2 * self.variances
        total = float(parts.sum())
        dof = total**2 / float((parts**2 / self.dof).sum()) if total else 1.0
        return float(c @ self.coefficients), math.sqrt(float(c @ self.covariance @ c)), max(1.0, dof)

    def interval(self, vector: ArrayLike, level: float) -> tuple[float, float]:
        """Return the interval of c·b that holds the truth with the probability `level`, by Student's t."""
        value, error, dof = self.combination(vector)
        half = student_t(level, dof) * error
        return value - half, value + half


def weighted_fit(design: ArrayLike, y: ArrayLike, errors: ArrayLike, dof: ArrayLike) -> WeightedFit:
    """Fit y = A b with the weights 1/s_i², for errors s_i that are themselves estimates.

    b = C AᵀW y, C = (AᵀWA)⁻¹, h = diag(A C AᵀW). Eight time blocks know an error to 27 % only, so C is too small
    and chi-square has too long a tail: treated as known, such errors reject a true line of eight points in 14 % of
    all cases at 5 %. Two corrections, both of first order in 1/ν and both gone where errors are known (ν → ∞):

    - Cov(b) = C + 2 Σ_i (2/ν_i)(1 − h_i) s_i² m_i m_iᵀ, m_i the column i of C AᵀW: half of it is the scatter that
      the weights' noise adds, half the bias of C (Kackar & Harville 1984, doi 10.2307/2288715).
    - χ²/c is F(q, q(q + 2)/(3a)), a = Σ_i (1 − h_i)²/ν_i, c = q + 2a − 6a/(q + 2), q = n − k: the Welch–James
      approximation (Johansen 1980, doi 10.1093/biomet/67.1.85).

    Args:
        design: (n, k).
        y: (n,).
        errors: (n,), standard errors, positive.
        dof: (n,), degrees of freedom of each error; infinite where it is known.

    Raises:
        AnalysisError: arrays that don't fit, fewer rows than columns, an error or dof that is not positive.

    >>> fit = weighted_fit([[1, 0], [1, 1], [1, 2]], [1.0, 2.0, 3.0], [0.1] * 3, [7] * 3)
    >>> fit.coefficients.round(9).tolist(), round(fit.p_value, 9)
    ([1.0, 1.0], 1.0)
    """
    A, values, s, nu = (np.asarray(part, dtype=float) for part in (design, y, errors, dof))
    n, k = A.shape
    if values.shape != (n,) or s.shape != (n,) or nu.shape != (n,) or n < k or (s <= 0).any() or (nu <= 0).any():
        raise AnalysisError(f"a fit of {k} numbers needs {k} or more values with positive errors, got {n}")
    scale = np.abs(A).max(axis=0)
    white = A / scale / s[:, None]
    C = np.linalg.inv(white.T @ white)
    influence = (C @ white.T / s) / scale[:, None]
    b = influence @ values
    leverage = np.einsum("ik,ki->i", A, influence)
    extra = 4 / nu * np.clip(1 - leverage, 0.0, 1.0) * s**2
    residual = (values - A @ b) / s
    chi_square, q = float(residual @ residual), n - k
    return WeightedFit(
        coefficients=b,
        covariance=C / np.outer(scale, scale) + (influence * extra) @ influence.T,
        chi_square=chi_square,
        residual_dof=q,
        p_value=_probability(chi_square, q, float(((1 - leverage) ** 2 / nu).sum())),
        influence=influence,
        variances=s**2,
        dof=nu,
    )


def _probability(chi_square: float, q: int, a: float) -> float | None:
    if q < 1:
        return None
    if a < 1e-6:
        return float(chdtrc(q, chi_square))
    c = q + 2 * a - 6 * a / (q + 2)
    return float(fdtrc(q, q * (q + 2) / (3 * a), chi_square / c))
