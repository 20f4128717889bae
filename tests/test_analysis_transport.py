import math

import numpy as np
import pytest
from scipy.signal import lfilter

from lampion.analysis.arrhenius import arrhenius
from lampion.analysis.conductivity import (
    E2_PER_EV_A_PS_IN_MS_PER_CM,
    charges_by_element,
    conductivity,
    green_kubo_conductivity,
)
from lampion.analysis.green_kubo import green_kubo
from lampion.analysis.statistics import Estimate, UnreliableError
from lampion.analysis.viscosity import green_kubo_viscosity, yeh_hummer
from lampion.errors import AnalysisError
from lampion.units import BOLTZMANN


def brownian(rng, n_frames, n_atoms, D=0.5, dt=0.01):
    return np.cumsum(rng.normal(0.0, np.sqrt(2 * D * dt), (n_frames, n_atoms, 3)), axis=0)


def langevin(rng, n_frames=20000, n=64, dt=0.01, gamma=4.0, speed2=100.0):
    """Exact positions (Å) and velocities (Å/ps) of free Langevin particles: D = speed2/gamma."""
    c = np.exp(-gamma * dt)
    vv, vx = speed2 * (1 - c * c), speed2 / gamma * (1 - c) ** 2
    xx = speed2 / gamma**2 * (2 * gamma * dt - 3 + 4 * c - c * c)
    a, b = rng.normal(size=(2, n_frames, n, 3))
    kick = np.sqrt(vv) * a
    kick[0] = np.sqrt(speed2) * a[0]
    v = lfilter([1.0], [1.0, -c], kick, axis=0)
    step = v[:-1] * (1 - c) / gamma + vx / np.sqrt(vv) * a[1:] + np.sqrt(xx - vx**2 / vv) * b[1:]
    return np.concatenate([np.zeros((1, n, 3)), np.cumsum(step, axis=0)]), v


def test_independent_ions_conduct_as_nernst_and_einstein_say():
    rng = np.random.default_rng(1)
    runs = [brownian(rng, 400, 32) for _ in range(40)]
    q = np.repeat([1.0, -1.0], 16)
    result = conductivity(runs, np.arange(400) * 0.01, charges=q, volume=1000.0, temperature=1000.0)
    expected = 32 * 0.5 / (1000.0 * BOLTZMANN * 1000.0) * E2_PER_EV_A_PS_IN_MS_PER_CM
    low, high = result.conductivity.interval(0.99)
    assert low < expected < high
    low, high = result.haven.interval(0.99)
    assert low < 1 < high
    assert result.haven.value == pytest.approx(result.tracer.D.value / result.D_charge.value)
    assert result.conductivity.value / result.nernst_einstein.value == pytest.approx(1 / result.haven.value)


def test_ions_in_rigid_groups_of_four_have_a_haven_ratio_of_a_quarter():
    rng = np.random.default_rng(2)
    mobile = np.repeat(brownian(rng, 3000, 16), 4, axis=1)
    x = np.concatenate([mobile, rng.normal(0.0, 0.05, (3000, 64, 3))], axis=1)
    runs = [np.concatenate([np.repeat(brownian(rng, 300, 16), 4, axis=1), x[:300, 64:]], axis=1) for _ in range(40)]
    q = np.repeat([1.0, -1.0], 64)
    result = conductivity(
        runs, np.arange(300) * 0.01, charges=q, volume=1000.0, temperature=600.0, framework=np.arange(64, 128)
    )
    low, high = result.haven.interval(0.99)
    assert low < 0.25 < high


def test_charge_that_does_not_diffuse_in_the_window_of_the_ions_is_flagged():
    """Ions that walk in step with a swinging current: their own displacements are diffusive, the sum is not."""
    rng = np.random.default_rng(33)
    n, t = 200, np.arange(2000) * 0.01
    q = np.tile([1.0, -1.0], n // 2)
    x = np.cumsum(rng.normal(0.0, 0.1, (2000, n, 3)), axis=0)
    free = conductivity(x, t, charges=q, volume=1e4, temperature=1000.0, window=(0.1, 1.0))
    assert not any("collective" in flag for flag in free.flags)
    swing = 3.0 * np.sin(2 * np.pi * t / 1.5)[:, None, None] * q[:, None] * [1.0, 1.0, 1.0]
    bound = conductivity(x + swing / 3, t, charges=q, volume=1e4, temperature=1000.0, window=(0.1, 1.0))
    assert abs(bound.log_slope - 1) > 0.2
    assert any("the collective displacement is not diffusive" in flag for flag in bound.flags)


def test_the_conductivity_tensor_is_that_of_anisotropic_motion_and_turns_with_the_frame():
    rng = np.random.default_rng(34)
    n, t = 64, np.arange(3000) * 0.01
    D = np.array([1.0, 0.5, 0.1])
    x = np.cumsum(rng.normal(size=(3000, n, 3)) * np.sqrt(2 * D * 0.01), axis=0)
    q = np.tile([1.0, -1.0], n // 2)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    options = {"charges": q, "volume": 1e4, "temperature": 1000.0, "window": (0.05, 1.0)}
    plain = conductivity(x, t, **options)
    turned = conductivity(x, t, rotation=turn, **options)
    assert np.trace(plain.tensor) / 3 == pytest.approx(plain.conductivity.value, rel=1e-9)
    assert turned.tensor == pytest.approx(turn @ plain.tensor @ turn.T, rel=1e-9, abs=1e-12)
    expected = np.diag(n * D / (1e4 * BOLTZMANN * 1000.0) * E2_PER_EV_A_PS_IN_MS_PER_CM)
    assert (np.abs(plain.tensor - expected) < 5 * plain.tensor_error).all()


def test_pairs_of_opposite_charge_carry_no_current():
    rng = np.random.default_rng(3)
    pair = brownian(rng, 3000, 32)
    x = np.concatenate([pair, pair + rng.normal(0.0, 0.1, pair.shape)], axis=1)
    q = np.repeat([1.0, -1.0], 32)
    result = conductivity(x, np.arange(3000) * 0.01, charges=q, volume=1000.0, temperature=600.0)
    assert abs(result.D_charge.value) < 0.05 * result.tracer.D.value
    assert result.haven is None
    assert any("no Haven ratio" in flag for flag in result.flags)


def test_the_recoil_of_the_framework_changes_neither_number():
    rng = np.random.default_rng(4)
    ions = brownian(rng, 1000, 32)
    shift = -0.3 * ions.mean(axis=1, keepdims=True)
    vibration = rng.normal(0.0, 0.05, (1000, 64, 3))
    still = np.concatenate([ions, np.zeros((1000, 32, 3))], axis=1) + vibration
    q, t = np.repeat([1.0, -1.0], 32), np.arange(1000) * 0.01
    options = {"charges": q, "volume": 1000.0, "temperature": 600.0, "framework": q < 0}
    one, other = conductivity(still, t, **options), conductivity(still + shift, t, **options)
    assert other.D_charge.value == pytest.approx(one.D_charge.value, rel=1e-9)
    assert other.tracer.D.value == pytest.approx(one.tracer.D.value, rel=1e-9)


def test_the_charge_displacement_of_all_ions_does_not_depend_on_the_reference():
    rng = np.random.default_rng(5)
    x, t, q = brownian(rng, 1000, 32), np.arange(1000) * 0.01, np.repeat([1.0, -1.0], 16)
    options = {"charges": q, "volume": 1000.0, "temperature": 600.0, "window": (0.05, 0.5)}
    one = conductivity(x, t, **options)
    other = conductivity(x + np.linspace(0, 50, 1000)[:, None, None], t, masses=1 + 9.0 * (q < 0), **options)
    assert other.D_charge.value == pytest.approx(one.D_charge.value, rel=1e-7)


def test_charges_must_be_complete_and_neutral():
    with pytest.raises(AnalysisError, match="no charge is given for Cl"):
        charges_by_element(["Na", "Cl"], {"Na": 1})
    with pytest.raises(AnalysisError, match=r"\+1 e"):
        charges_by_element(["Na", "Cl", "Na"], {"Na": 1, "Cl": -1})
    with pytest.raises(AnalysisError, match="not to zero"):
        conductivity(np.zeros((50, 2, 3)), np.arange(50.0), charges=[1.0, 1.0], volume=1.0, temperature=1.0)


def test_green_kubo_and_einstein_conductivities_of_one_run_agree():
    x, v = langevin(np.random.default_rng(6), n_frames=40000)
    q = np.repeat([1.0, -1.0], 32)
    options = {"volume": 8000.0, "temperature": 1000.0}
    einstein = conductivity(x, np.arange(40000) * 0.01, charges=q, **options).conductivity
    kubo = green_kubo_conductivity(np.einsum("fnc,n->fc", v, q), dt=0.01, **options).estimate
    expected = 64 * 25.0 / (8000.0 * BOLTZMANN * 1000.0) * E2_PER_EV_A_PS_IN_MS_PER_CM
    assert kubo.value == pytest.approx(einstein.value, rel=0.2)
    assert abs(kubo.value - einstein.value) < 2 * math.hypot(kubo.standard_error, einstein.standard_error)
    for found in (einstein, kubo):
        low, high = found.interval(0.99)
        assert low < expected < high


def stress(rng, n, tau=0.1, dt=0.005, size=1000.0):
    """Ornstein–Uhlenbeck stress, bar, isotropic: the diagonal scatters √2 times as much."""
    c = np.exp(-dt / tau)
    noise = rng.normal(size=(n + 2000, 6)) * size * np.sqrt(1 - c * c) * ([2**0.5] * 3 + [1.0] * 3)
    return lfilter([1.0], [1.0, -c], noise, axis=0)[2000:], c


def test_the_viscosity_is_the_integral_of_its_correlation():
    rng = np.random.default_rng(7)
    hits, values = 0, []
    for _ in range(50):
        series, c = stress(rng, 20000)
        result = green_kubo_viscosity(series, volume=1000.0, temperature=1000.0, dt=0.005).estimate
        # SI: V/kT · ∫, with the trapezoidal sum of a geometric series.
        integral = (1000.0 * 1e5) ** 2 * 0.005e-12 * (0.5 + c / (1 - c))
        expected = 1000.0e-30 / (1.380649e-23 * 1000.0) * integral * 1e3
        low, high = result.interval(0.954)
        hits += low < expected < high
        values.append(result.value / expected)
    assert np.mean(values) == pytest.approx(1, abs=0.03)
    assert hits >= 43


def test_a_pressure_offset_does_not_change_the_viscosity():
    series, _ = stress(np.random.default_rng(8), 20000)
    options = {"volume": 1000.0, "temperature": 300.0, "dt": 0.005, "cutoff": 0.5}
    moved = series + np.array([5000.0, 5000.0, 5000.0, 0.0, 0.0, 0.0])
    one, other = (green_kubo_viscosity(s, **options).estimate.value for s in (series, moved))
    assert other == pytest.approx(one, rel=1e-9)


def test_too_short_a_run_has_no_viscosity_but_an_estimate():
    series, _ = stress(np.random.default_rng(9), 2000)
    with pytest.raises(UnreliableError, match="five cut-offs") as caught:
        green_kubo_viscosity(series, volume=1000.0, temperature=300.0, dt=0.005, cutoff=0.5)
    assert caught.value.estimate.unit == "mPa·s"
    with pytest.raises(AnalysisError, match=r"\(n, 6\)"):
        green_kubo_viscosity(series[:, :3], volume=1000.0, temperature=300.0, dt=0.005)


def test_the_finite_size_correction_is_yehs_and_hummers():
    D = Estimate(value=2.0e-5, standard_error=1e-7, unit="cm²/s", n_samples=8)
    eta = Estimate(value=0.5, standard_error=0.05, unit="mPa·s", n_samples=8)
    corrected = yeh_hummer(D, temperature=450.0, length=15.0, viscosity=eta)
    shift = 2.837297 * 1.380649e-23 * 450 / (6 * math.pi * 0.5e-3 * 15e-10) * 1e4
    assert corrected.value - D.value == pytest.approx(shift, rel=1e-6)
    assert corrected.standard_error == pytest.approx(math.hypot(1e-7, 0.1 * shift), rel=1e-6)
    with pytest.raises(AnalysisError, match="mPa·s"):
        yeh_hummer(D, temperature=450.0, length=15.0, viscosity=D)


GARNET = [
    (600, 1.24e-6, 3.4e-7), (650, 1.56e-6, 4.05e-7), (700, 2.13e-6, 5.57e-7), (720, 1.85e-6, 3.87e-7),
    (800, 3.51e-6, 7e-7), (900, 4.85e-6, 6.99e-7), (1050, 8.24e-6, 1.34e-6), (1200, 1.38e-5, 1.49e-6),
    (1500, 1.83e-5, 2.58e-6),
]  # fmt: skip
"""Li56La24Zr16O96, K and cm²/s, from mogroupumd/aimd."""


def line(points, n=8):
    T, D, error = np.array(points).T
    made = [Estimate(value=d, standard_error=e, unit="cm²/s", n_samples=n) for d, e in zip(D, error, strict=True)]
    return arrhenius(T, made)


def test_the_published_garnet_table_gives_the_published_line():
    """The published fit takes the published errors as known."""
    result = line(GARNET, n=10**9)
    assert result.Ea.value == pytest.approx(0.2581, abs=5e-5)
    assert result.Ea.standard_error == pytest.approx(0.0168, abs=5e-5)
    room = result.extrapolated(300.0)
    assert room.value == pytest.approx(6.81e-9, abs=5e-12)
    assert room.standard_error / room.value == pytest.approx(0.45, abs=0.005)
    assert result.flags == ()


def test_the_covariance_of_the_fit_is_that_of_monte_carlo():
    rng = np.random.default_rng(10)
    T, sigma = np.array([600.0, 700.0, 900.0, 1200.0]), np.array([0.2, 0.15, 0.1, 0.05])
    true = np.exp(-5 - 0.3 / (BOLTZMANN * T))
    found = [line(np.stack([T, true * np.exp(rng.normal(0, sigma)), true * sigma]).T) for _ in range(800)]
    Ea, at300 = np.array([[f.Ea.value, f.ln_D(300.0)[0]] for f in found]).T
    exact = line(np.stack([T, true, true * sigma]).T)
    assert Ea.std() == pytest.approx(exact.Ea.standard_error, rel=0.15)
    assert at300.std() == pytest.approx(float(exact.ln_D(300.0)[1]), rel=0.15)


def test_two_temperatures_make_a_line_that_is_not_tested():
    result = line(GARNET[::8])
    assert (result.chi_square, result.p_value, result.curvature) == (None, None, None)
    assert "two temperatures" in result.flags[0]


def test_a_bent_line_is_flagged():
    T = np.array([500.0, 600.0, 800.0, 1000.0, 1300.0])
    beta = 1 / (BOLTZMANN * T)
    D = np.exp(-5 - 0.3 * beta - 0.01 * (beta - beta.mean()) ** 2)
    result = line(np.stack([T, D, 0.02 * D]).T)
    assert result.curvature.value == pytest.approx(-0.02, rel=1e-6)
    assert any("curved" in flag for flag in result.flags)


def test_there_is_no_extrapolation_past_a_transition():
    result = line(GARNET)
    with pytest.raises(AnalysisError, match="transition at 450 K"):
        result.extrapolated(300.0, past=[450.0])
    assert result.extrapolated(500.0, past=[450.0]).value > 0


def test_a_line_through_two_phases_is_extrapolated_to_neither_side():
    """Planted: only a transition beyond the data was looked at."""
    result = line(GARNET)
    for temperature in (300.0, 1600.0):
        with pytest.raises(AnalysisError, match="transition at 775 K lies between data and"):
            result.extrapolated(temperature, past=[775.0])
    assert result.extrapolated(300.0, past=[200.0, 1700.0]).value > 0


def test_an_arrhenius_line_needs_two_temperatures_and_positive_D():
    with pytest.raises(AnalysisError, match="two or more"):
        line([GARNET[0], GARNET[0]])
    with pytest.raises(AnalysisError, match="no logarithm"):
        line([GARNET[0], (700, -1e-7, 1e-7)])


def test_a_weak_slow_tail_is_integrated_to_its_end():
    """Fast noise and a slow tail, which is 2 % of the correlation and two thirds of the integral."""
    rng = np.random.default_rng(11)
    n, runs, dt, tau = 20_000, 8, 0.01, 0.5
    series = []
    a = np.exp(-dt / tau)
    for _ in range(runs):
        slow = lfilter([np.sqrt(1 - a**2)], [1, -a], rng.normal(0.0, 1.0, (n, 3)), axis=0)
        series.append(rng.normal(0.0, 1.0, (n, 3)) + np.sqrt(0.02) * slow)
    result = green_kubo(series, dt=dt, factor=1.0, unit="a.u.")
    truth = dt / 2 + 0.02 * tau
    early = green_kubo(series, dt=dt, factor=1.0, unit="a.u.", cutoff=0.1)
    assert abs(result.estimate.value - truth) < 4 * result.estimate.standard_error
    assert early.estimate.value < truth - 4 * early.estimate.standard_error, "the fault that the plateau must catch"


def _white(rng, n):
    return rng.normal(0.0, 1.0, (n, 3)), 0.005


def _exponential(rng, n):
    a = np.exp(-0.01 / 0.1)
    slow = lfilter([np.sqrt(1 - a**2)], [1, -a], rng.normal(0.0, 1.0, (n, 3)), axis=0)
    return rng.normal(0.0, 1.0, (n, 3)) + np.sqrt(5) * slow, 0.005 + 5 * 0.01 * (1 / (1 - a) - 0.5)


def _oscillating(rng, n):
    """C(t) = exp(-10 t) cos(40 t), as the current of a molten salt, whose integral is small."""
    z = np.exp((-10 + 40j) * 0.01)
    kicks = (rng.normal(size=(n, 3)) + 1j * rng.normal(size=(n, 3))) * np.sqrt(1 - abs(z) ** 2)
    return lfilter([1], [1, -z], kicks, axis=0).real, 0.01 * float((1 / (1 - z)).real - 0.5)


@pytest.mark.physics
@pytest.mark.parametrize("model", [_white, _exponential, _oscillating])
def test_stated_intervals_of_green_kubo_hold_the_truth(model):
    rng = np.random.default_rng(3)
    within = np.zeros(2)
    for _ in range(300):
        series, truth = zip(*[model(rng, 3000) for _ in range(8)], strict=True)
        estimate = green_kubo(series, dt=0.01, factor=1.0, unit="a.u.").estimate
        for i, level in enumerate((0.683, 0.954)):
            low, high = estimate.interval(level)
            within[i] += low <= truth[0] <= high
    assert abs(within[0] / 300 - 0.68) <= 0.06
    assert abs(within[1] / 300 - 0.95) <= 0.03
