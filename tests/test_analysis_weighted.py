"""Weighted fits whose errors are themselves known from a few samples."""

import numpy as np
import pytest
from scipy.special import chdtrc

from lampion.analysis.arrhenius import arrhenius
from lampion.analysis.statistics import Estimate
from lampion.analysis.weighted import weighted_fit
from lampion.errors import AnalysisError
from lampion.units import BOLTZMANN

TRIALS = 1000


def trials(n: int, nu: int, seed: int):
    """Yield fits of a true straight line, each error drawn as from nu + 1 samples, and the line's design."""
    rng = np.random.default_rng(seed)
    design = np.vander(np.linspace(-0.5, 0.5, n), 2, increasing=True)
    sigma = np.linspace(0.05, 0.3, n)
    for _ in range(TRIALS):
        y = 1.0 + 2.0 * design[:, 1] + rng.normal(0.0, sigma)
        yield weighted_fit(design, y, sigma * np.sqrt(rng.chisquare(nu, n) / nu), np.full(n, nu))


@pytest.mark.parametrize("n", [3, 4, 8])
def test_a_true_line_is_rejected_and_held_as_often_as_is_stated(n: int) -> None:
    fits = list(trials(n, 7, seed=n))
    rejected = np.mean([fit.p_value < 0.05 for fit in fits])
    assert 0.02 < rejected < 0.08
    held = np.mean([low <= 2.0 <= high for low, high in (fit.interval([0.0, 1.0], 0.954) for fit in fits)])
    assert 0.924 < held < 0.984


def test_chi_square_that_takes_the_errors_as_known_fails_the_same_test() -> None:
    """Planted: what most Arrhenius fits do."""
    fits = list(trials(8, 7, seed=8))
    assert np.mean([chdtrc(fit.residual_dof, fit.chi_square) < 0.05 for fit in fits]) > 0.10


def test_with_known_errors_it_is_the_textbooks_fit() -> None:
    rng = np.random.default_rng(1)
    A, s = np.vander(np.arange(5.0), 2, increasing=True), rng.uniform(0.1, 0.5, 5)
    y = rng.normal(size=5)
    fit = weighted_fit(A, y, s, np.full(5, np.inf))
    W = np.diag(s**-2)
    assert np.allclose(fit.covariance, np.linalg.inv(A.T @ W @ A), rtol=1e-12)
    assert np.allclose(fit.coefficients, np.linalg.solve(A.T @ W @ A, A.T @ W @ y), rtol=1e-12)
    assert fit.p_value == pytest.approx(chdtrc(3, fit.chi_square))


def test_a_fit_needs_as_many_values_as_numbers() -> None:
    with pytest.raises(AnalysisError, match="a fit of 2 numbers needs 2 or more values"):
        weighted_fit([[1.0, 0.0]], [1.0], [0.1], [7])


def test_an_extrapolated_D_has_an_interval_that_holds_it_and_is_never_negative() -> None:
    """Far from the data σ(ln D) is large: D ± t σ(D) would reach below zero."""
    rng = np.random.default_rng(5)
    T = np.array([600.0, 700.0, 800.0])
    true, room = np.exp(-5 - 0.3 / (BOLTZMANN * T)), np.exp(-5 - 0.3 / (BOLTZMANN * 300.0))
    held = []
    for _ in range(400):
        s = 0.15 * np.sqrt(rng.chisquare(7, 3) / 7)
        D = true * np.exp(rng.normal(0.0, 0.15, 3))
        made = [Estimate(value=d, standard_error=d * e, unit="cm²/s", n_samples=8) for d, e in zip(D, s, strict=True)]
        low, high = arrhenius(T, made).interval(300.0)
        assert 0 < low < high
        held.append(low <= room <= high)
    assert 0.92 < np.mean(held) < 0.985
