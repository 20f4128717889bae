"""The stated intervals of D hold the truth as often as they say: 1,000 walks a model, seeds fixed beforehand."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from lampion.analysis.conductivity import conductivity
from lampion.analysis.diffusion import NotDiffusiveError, diffusion_coefficient
from lampion.analysis.msd import NO_REFERENCE

_spec = importlib.util.spec_from_file_location(
    "diffusion_calibration", Path(__file__).parent / "benchmarks" / "diffusion_calibration.py"
)
calibration = importlib.util.module_from_spec(_spec)


@pytest.fixture(scope="module", autouse=True)
def _load():
    sys.modules[_spec.name] = calibration
    _spec.loader.exec_module(calibration)
    yield
    del sys.modules[_spec.name]


def _is_calibrated(c) -> bool:
    one, two = c.covered
    return abs(one - 0.68) <= 0.06 and abs(two - 0.95) <= 0.03 and c.refused <= 0.05


@pytest.mark.physics
@pytest.mark.parametrize("model", ["independent ions", "rigid groups of 4", "back-jumps", "framework recoil"])
def test_stated_intervals_hold_the_truth(model):
    result = calibration.calibrate(calibration.lampion, calibration.MODELS[model], 1000)
    assert _is_calibrated(result), result


def test_ordinary_least_squares_fails_the_same_test():
    result = calibration.calibrate(calibration.ordinary_least_squares, calibration.independent, 100)
    assert not _is_calibrated(result)
    assert result.scatter > 15 * result.stated


@pytest.mark.physics
def test_many_short_trajectories_hold_the_truth_of_d_and_of_the_haven_ratio(monkeypatch):
    monkeypatch.setattr(calibration, "N_FRAMES", 150)
    charges, times = np.repeat([1.0, -1.0], 64), np.arange(150)
    hits = np.zeros((2, 2))
    for seed in range(400):
        rng = np.random.default_rng(seed)
        walks = [calibration.groups_of_four(rng) for _ in range(12)]
        # A neutralising framework at rest; only the ions are summed.
        runs = [np.concatenate([w.positions, np.zeros_like(w.positions)], axis=1) for w in walks]
        result = conductivity(
            runs, times, charges=charges, volume=1.0, temperature=300.0, framework=charges < 0, hop_length=3.0
        )
        for row, (found, true) in enumerate([(result.tracer.D, walks[0].D), (result.haven, 0.25)]):
            for column, level in enumerate(calibration.LEVELS):
                low, high = found.interval(level)
                hits[row, column] += low < true < high
    # Two standard errors of a share of 400 are 4.7 and 2.1 %.
    assert np.abs(hits[:, 0] / 400 - 0.683).max() < 0.08
    assert np.abs(hits[:, 1] / 400 - 0.954).max() < 0.04


@pytest.mark.parametrize("expected", [2, 10, 30])
def test_the_upper_bound_holds_the_truth(expected):
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        step = np.zeros((1000, 64, 3))
        frame, ion = np.nonzero(rng.random((1000, 64)) < expected / 64000)
        step[frame, ion, rng.integers(0, 3, len(ion))] = 2.5 * rng.choice([-1, 1], len(ion))
        x = np.cumsum(step, axis=0) + rng.normal(0.0, 0.1, step.shape)
        try:
            result = diffusion_coefficient(x, np.arange(1000), reference=NO_REFERENCE)
        except NotDiffusiveError as error:
            result = error.result
        assert result.D is None
        hits += result.upper_bound > expected * 2.5**2 / (6 * 64 * 1000) * 1e-4
    assert hits >= 54
