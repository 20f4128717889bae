import math

import numpy as np
import pytest
from scipy.signal import lfilter

from lampion.analysis.comparison import ratio, size_dependence
from lampion.analysis.ensemble import runs_needed
from lampion.analysis.statistics import (
    Estimate,
    UnreliableError,
    autocorrelation,
    autocorrelation_time,
    block_average,
    mean_of,
    stationarity,
)
from lampion.errors import AnalysisError


def correlated(rng: np.random.Generator, n: int, tau: float) -> np.ndarray:
    """AR(1) with the integrated autocorrelation time `tau` = (1 + φ)/(1 − φ)/2."""
    phi = (2 * tau - 1) / (2 * tau + 1)
    return lfilter([1.0], [1.0, -phi], rng.normal(size=n + int(20 * tau)))[int(20 * tau) :]


def estimate(value: float, error: float, n: int = 8, unit: str = "cm²/s") -> Estimate:
    return Estimate(value=value, standard_error=error, unit=unit, n_samples=n)


def test_the_interval_is_students():
    low, high = estimate(10.0, 1.0, 8).interval(0.95)
    assert (high - low) / 2 == pytest.approx(2.3646, abs=1e-4)
    with pytest.raises(AnalysisError, match="two independent samples"):
        estimate(1.0, 0.1, 1).interval()
    with pytest.raises(AnalysisError, match="between 0 and 1"):
        estimate(1.0, 0.1).interval(68.3)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.234e-4, 4.1e-6, "1.234(41)e-4"),
        (300.123, 0.1, "300.12(10)"),
        (-0.5, 0.023, "-0.500(23)"),
        (9.99e-5, 9.96e-7, "9.99(10)e-5"),
        (1e-7, 3.0e-5, "0.0(30)e-5"),
        (5.0, math.inf, "5 ± inf"),
        (5.0, 0.0, "5 ± 0"),
    ],
)
def test_the_error_stands_in_brackets(value, error, text):
    assert str(estimate(value, error, unit="")) == text


def test_the_autocorrelation_equals_its_definition():
    x = np.random.default_rng(1).normal(size=50)
    y = x - x.mean()
    expected = [np.mean(y[: 50 - m] * y[m:]) for m in range(50)]
    assert autocorrelation(x) == pytest.approx(expected, abs=1e-12)


def test_the_autocorrelation_time_is_that_of_the_process():
    x = correlated(np.random.default_rng(2), 200_000, 10.0)
    assert autocorrelation_time(x) == pytest.approx(10.0, rel=0.1)


def test_the_error_of_a_correlated_mean_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    means = [block_average(correlated(rng, 2000, 10.0)) for _ in range(400)]
    covered = [np.mean([low < 0 < high for low, high in (m.interval(p) for m in means)]) for p in (0.683, 0.954)]
    assert covered[0] == pytest.approx(0.683, abs=0.06)
    assert covered[1] == pytest.approx(0.954, abs=0.03)


def test_too_short_a_series_is_refused_and_the_exception_carries_the_estimate():
    x = correlated(np.random.default_rng(4), 100, 30.0) + 300
    with pytest.raises(UnreliableError, match="independent ones") as caught:
        block_average(x, unit="K")
    assert caught.value.estimate.value == pytest.approx(x.mean())


def test_a_series_that_is_no_number_is_refused():
    with pytest.raises(AnalysisError, match="sample 3"):
        block_average([1.0, 2.0, 3.0, np.nan, 5.0])
    with pytest.raises(AnalysisError, match="at least 4"):
        block_average([1.0])
    with pytest.raises(AnalysisError, match="two independent"):
        mean_of([1.0])


def test_a_drift_is_seen_and_noise_is_not():
    rng = np.random.default_rng(5)
    z = np.array([stationarity(correlated(rng, 2000, 10.0)) for _ in range(200)])
    assert np.mean(np.abs(z) > 3) < 0.02
    assert z.std() == pytest.approx(1, abs=0.2)
    assert stationarity(correlated(rng, 2000, 10.0) + np.linspace(0, 10, 2000)) > 3
    assert stationarity(np.ones(10)) == 0


def test_the_plan_follows_the_pilots_own_error():
    plan = runs_needed(estimate(1.0, 0.05, 12), 0.01)
    assert plan.n_total == 12 * 25
    assert plan.expected_error == pytest.approx(0.01)
    assert plan.n_range[0] < plan.n_total < plan.n_range[1]
    assert runs_needed(estimate(1.0, 0.005, 12), 0.01).n_more == 0


def test_the_literature_can_not_plan_for_one_percent():
    plan = runs_needed(estimate(1.0, 0.05, 12), 0.01, n_hops=1e6)
    assert plan.literature_error > 0.04
    assert runs_needed(estimate(1.0, 0.05, 12), 0.05, n_hops=100).literature_error == pytest.approx(0.383)


def test_a_plan_keeps_its_promise():
    rng = np.random.default_rng(6)
    totals = [runs_needed(mean_of(rng.normal(1.0, 0.2, 12)), 0.02).n_total for _ in range(300)]
    assert np.mean(totals) == pytest.approx(100, rel=0.15)


@pytest.mark.parametrize(("value", "error", "precision"), [(1.0, 0.1, 1.5), (-1.0, 0.1, 0.1), (1.0, 0.0, 0.1)])
def test_a_plan_that_can_not_be_made_is_refused(value, error, precision):
    with pytest.raises(AnalysisError):
        runs_needed(estimate(value, error), precision)


def test_the_interval_of_a_ratio_holds_the_truth():
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(500):
        low, high = ratio(mean_of(rng.normal(2.0, 0.4, 8)), mean_of(rng.normal(1.0, 0.2, 8))).interval
        hits += low < 2.0 < high
    assert hits / 500 == pytest.approx(0.954, abs=0.03)


def test_only_numbers_of_one_unit_have_a_ratio():
    with pytest.raises(AnalysisError, match="one unit"):
        ratio(estimate(1.0, 0.1), estimate(1.0, 0.1, unit="eV"))
    with pytest.raises(AnalysisError, match="positive"):
        ratio(estimate(1.0, 0.1), estimate(-1.0, 0.1))


def test_cells_that_agree_are_told_from_cells_that_do_not():
    lengths = np.array([10.0, 20.0, 40.0])
    shifted = size_dependence(lengths, [estimate(1 - 2 / L, 0.01) for L in lengths])
    assert shifted.infinite.value == pytest.approx(1.0)
    assert shifted.slope.value == pytest.approx(-2.0)
    assert shifted.depends
    same = size_dependence(lengths, [estimate(v, 0.01) for v in (1.0, 1.005, 0.995)])
    assert not same.depends
    assert same.largest_agrees


def test_the_extrapolations_errors_are_those_of_monte_carlo():
    rng = np.random.default_rng(8)
    lengths, sigma = np.array([10.0, 15.0, 30.0]), np.array([0.02, 0.01, 0.03])
    found = [
        size_dependence(lengths, [estimate(v, s) for v, s in zip(1 + rng.normal(0, sigma), sigma, strict=True)])
        for _ in range(500)
    ]
    values = np.array([f.infinite.value for f in found])
    assert values.std() == pytest.approx(found[0].infinite.standard_error, rel=0.1)


def test_one_cell_is_no_comparison():
    with pytest.raises(AnalysisError, match="two on"):
        size_dependence([10.0, 10.0], [estimate(1.0, 0.1)] * 2)
