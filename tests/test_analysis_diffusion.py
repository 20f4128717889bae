import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from lampion.analysis.diffusion import NotDiffusiveError, diffusion_coefficient
from lampion.analysis.msd import NO_REFERENCE, displacement_tensor, mean_squared_displacement, reference_frame
from lampion.analysis.phase import phase
from lampion.analysis.sampling import lag_range
from lampion.analysis.slope import gls_weights
from lampion.errors import AnalysisError


def brownian(rng: np.random.Generator, n_frames: int, n_atoms: int, D: float = 0.5, dt: float = 0.01) -> np.ndarray:
    """D in Å²/ps."""
    return np.cumsum(rng.normal(0.0, np.sqrt(2 * D * dt), (n_frames, n_atoms, 3)), axis=0)


def brute_force(x: np.ndarray) -> np.ndarray:
    tensor = np.zeros((len(x), 3, 3))
    for m in range(1, len(x)):
        step = x[m:] - x[:-m]
        tensor[m] = np.einsum("fna,fnb->ab", step, step) / (step.shape[0] * step.shape[1])
    return tensor


@given(st.integers(2, 40), st.integers(1, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_msd_equals_its_definition(n_frames, n_atoms, seed):
    x = brownian(np.random.default_rng(seed), n_frames, n_atoms, dt=1.0)
    tensor = brute_force(x)
    assert displacement_tensor(x) == pytest.approx(tensor, abs=1e-10 * max(1.0, float(np.abs(tensor).max())))
    assert mean_squared_displacement(x) == pytest.approx(np.trace(tensor, axis1=1, axis2=2), rel=1e-10, abs=1e-12)


def test_msd_does_not_depend_on_blocks_of_atoms(monkeypatch):
    x = brownian(np.random.default_rng(1), 50, 30)
    whole = mean_squared_displacement(x)
    monkeypatch.setattr("lampion.analysis.msd._BLOCK_BYTES", 24 * 50 * 4)
    assert mean_squared_displacement(x) == pytest.approx(whole, rel=1e-12)
    chosen = np.arange(30) % 3 == 0
    assert mean_squared_displacement(x, atoms=chosen) == pytest.approx(
        mean_squared_displacement(x[:, chosen]), rel=1e-12
    )


def test_msd_does_not_depend_on_the_origin():
    x = brownian(np.random.default_rng(2), 200, 20)
    assert mean_squared_displacement(x + 1000.0) == pytest.approx(mean_squared_displacement(x), rel=1e-10)


def test_msd_does_not_depend_on_the_order_of_atoms_or_the_orientation():
    rng = np.random.default_rng(3)
    x = brownian(rng, 100, 20)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = x[:, rng.permutation(20)] @ rotation.T
    assert mean_squared_displacement(turned) == pytest.approx(mean_squared_displacement(x), rel=1e-11)
    expected = rotation @ displacement_tensor(x) @ rotation.T
    assert displacement_tensor(turned) == pytest.approx(expected, abs=1e-11)


def test_msd_of_a_ballistic_flight_is_v2_t2():
    v = np.random.default_rng(4).normal(size=(5, 3))
    x = np.arange(60)[:, None, None] * v
    assert mean_squared_displacement(x) == pytest.approx((v**2).sum(axis=1).mean() * np.arange(60) ** 2, rel=1e-10)


def test_msd_of_an_oscillator_is_its_closed_form():
    """x_k = A sin ωk gives x_{k+m} − x_k = 2A sin(ωm/2) cos(ω(k + m/2)); the sum over n = F − m origins is closed."""
    amplitude, omega, n_frames = 0.3, 2 * np.pi / 20.7, 400
    x = np.zeros((n_frames, 1, 3))
    x[:, 0, 0] = amplitude * np.sin(omega * np.arange(n_frames))
    m = np.arange(n_frames)
    n = n_frames - m
    mean = 1 + np.sin(n * omega) / np.sin(omega) * np.cos(omega * (n - 1 + m)) / n
    expected = 2 * amplitude**2 * np.sin(omega * m / 2) ** 2 * mean
    assert mean_squared_displacement(x) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_msd_of_brownian_motion_is_6Dt_within_its_errors():
    x = brownian(np.random.default_rng(5), 3000, 200, D=0.5)
    result = diffusion_coefficient(x, np.arange(3000) * 0.01, reference=NO_REFERENCE)
    ratio = (result.msd[1:] - 6 * 0.5 * result.lags[1:]) / result.msd_error[1:]
    assert np.abs(ratio).max() < 5


def test_gls_is_the_estimator_of_its_covariance():
    x = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0])
    covariance = np.outer(x, x) * np.minimum.outer(x, x)
    design = np.stack([x, np.ones_like(x)], axis=1)
    inverse = np.linalg.inv(covariance)
    expected = np.linalg.inv(design.T @ inverse @ design) @ design.T @ inverse
    assert gls_weights(x) == pytest.approx(expected, abs=1e-10)


def test_gls_has_less_scatter_than_least_squares():
    rng = np.random.default_rng(5)
    lags = np.arange(1, 100)
    curves = np.array([mean_squared_displacement(brownian(rng, 400, 4, dt=1.0), max_lag=99)[1:] for _ in range(100)])
    gls = curves @ gls_weights(lags)[0]
    ols = np.polyfit(lags, curves.T, 1)[0]
    assert gls.std() < 0.6 * ols.std()


def test_brownian_motion_gives_its_D_within_the_interval():
    x = brownian(np.random.default_rng(6), 3000, 100, D=0.5)
    result = diffusion_coefficient(x, np.arange(3000) * 0.01, reference=NO_REFERENCE)
    low, high = result.D.interval(0.99)
    assert low < 0.5e-4 < high
    assert result.D.standard_error < 0.03 * result.D.value
    assert result.log_slope == pytest.approx(1, abs=0.1)
    assert result.flags == ()


def test_D_does_not_depend_on_origin_order_or_orientation():
    rng = np.random.default_rng(7)
    x = brownian(rng, 1000, 30)
    t = np.arange(1000) * 0.01
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    moved = x[:, rng.permutation(30)] @ rotation.T + 1000.0
    one, other = diffusion_coefficient(x, t), diffusion_coefficient(moved, t)
    assert other.D.value == pytest.approx(one.D.value, rel=1e-9)
    assert other.D.standard_error == pytest.approx(one.D.standard_error, rel=1e-7)


def test_eight_trajectories_are_the_unit_and_fewer_are_cut_into_blocks():
    rng = np.random.default_rng(8)
    runs = [brownian(rng, 400, 20) for _ in range(10)]
    t = np.arange(400) * 0.01
    many = diffusion_coefficient(runs, t, reference=NO_REFERENCE)
    assert (many.D.n_samples, many.D.method.split()[-1]) == (10, "trajectories")
    few = diffusion_coefficient(runs[:3], t, reference=NO_REFERENCE)
    assert (few.D.n_samples, few.D.method.split()[-1]) == (9, "blocks")
    assert few.lags[-1] < 400 / 3 * 0.01


def test_atoms_that_move_together_widen_the_error():
    rng = np.random.default_rng(9)
    alone = [brownian(rng, 200, 64) for _ in range(60)]
    together = [np.repeat(brownian(rng, 200, 16), 4, axis=1) for _ in range(60)]
    t = np.arange(200) * 0.01
    errors = [diffusion_coefficient(x, t, window=(0.05, 0.5), reference=NO_REFERENCE).D for x in (alone, together)]
    assert errors[1].standard_error / errors[0].standard_error == pytest.approx(2, rel=0.35)


def test_a_crystal_is_refused_with_the_slope_in_the_message():
    x = np.random.default_rng(10).normal(0.0, 0.1, (1000, 64, 3))
    with pytest.raises(
        NotDiffusiveError, match=r"MSD grows as t\^-?0\.0\d between .* ps, not as t: use longer"
    ) as caught:
        diffusion_coefficient(x, np.arange(1000) * 0.1)
    assert caught.value.result.D is None
    # Poisson: no hop seen, three may have happened.
    assert caught.value.result.upper_bound == pytest.approx(3.0 * 2.5**2 / (6 * 64 * 99.9) * 1e-4, rel=0.1)


def test_subdiffusion_is_refused():
    rng = np.random.default_rng(11)
    n = 2048
    k = np.fft.rfftfreq(2 * n)[1:]
    # Fractional Brownian motion, MSD ~ t^0.5: power spectrum k^-1.5.
    noise = rng.normal(size=(128, 3, len(k))) + 1j * rng.normal(size=(128, 3, len(k)))
    x = np.fft.irfft(np.concatenate([np.zeros((128, 3, 1)), noise * k**-0.75], axis=2), axis=2)[:, :, :n]
    with pytest.raises(NotDiffusiveError, match=r"t\^0\.[456]"):
        diffusion_coefficient(30 * x.transpose(2, 0, 1), np.arange(n) * 0.1, reference=NO_REFERENCE)


def test_motion_faster_than_diffusion_is_refused_without_a_bound():
    """Velocities that live longer than the run: D is 30 times what the displacements of the run would bound."""
    rng = np.random.default_rng(51)
    c = np.exp(-1 / 2000)
    v = lfilter([1.0], [1.0, -c], np.sqrt(1 - c * c) * 0.01 * rng.normal(size=(21000, 40, 3)), axis=0)[20000:]
    with pytest.raises(NotDiffusiveError) as refusal:
        diffusion_coefficient(np.cumsum(v, axis=0), np.arange(1000.0), reference=NO_REFERENCE)
    assert "is below" not in str(refusal.value)
    assert np.isinf(refusal.value.result.upper_bound)


def test_a_ballistic_flight_is_refused():
    v = np.random.default_rng(12).normal(size=(20, 3))
    with pytest.raises(NotDiffusiveError, match=r"t\^2\.00"):
        diffusion_coefficient(np.arange(500)[:, None, None] * v, np.arange(500) * 0.01, reference=NO_REFERENCE)


def test_few_hops_give_an_upper_bound_in_place_of_D():
    rng = np.random.default_rng(13)
    hop = np.zeros((4000, 64, 3))
    for ion in range(8):
        hop[rng.integers(200, 3800), ion, rng.integers(3)] = 2.5
    x = np.cumsum(hop, axis=0) + rng.normal(0.0, 0.05, hop.shape)
    result = diffusion_coefficient(x, np.arange(4000) * 0.1, reference=NO_REFERENCE)
    true = 8 * 2.5**2 / (6 * 64 * 400) * 1e-4
    assert result.D is None
    assert result.n_hops == pytest.approx(8, abs=4)
    assert true < result.upper_bound < 3.5 * true
    assert any("hops" in flag for flag in result.flags)


def test_few_hops_are_flagged_in_a_chosen_window_too():
    rng = np.random.default_rng(16)
    x = np.cumsum(rng.normal(0.0, 0.02, (400, 4, 3)), axis=0)
    result = diffusion_coefficient(x, np.arange(400) * 0.1, window=(0.5, 4.0), reference=NO_REFERENCE)
    assert result.n_hops < 50
    assert result.D is not None
    assert result.D.value < result.upper_bound
    assert any("the upper bound is safer" in flag for flag in result.flags)


def test_the_window_can_be_chosen_and_is_then_not_refused():
    x = np.random.default_rng(14).normal(0.0, 0.1, (1000, 64, 3))
    result = diffusion_coefficient(x, np.arange(1000) * 0.1, window=(1.0, 10.0))
    assert result.window == pytest.approx((1.0, 10.0))
    assert any("not as t" in flag for flag in result.flags)


def test_the_cage_is_left_out_of_the_window():
    rng = np.random.default_rng(15)
    # Ornstein–Uhlenbeck about a centre that diffuses: MSD = 6Dt + 6⟨u²⟩(1 − exp(−t/τ)), τ = 10 frames.
    u = np.zeros((4000, 100, 3))
    for k in range(1, 4000):
        u[k] = np.exp(-0.1) * u[k - 1] + np.sqrt(1 - np.exp(-0.2)) * rng.normal(size=(100, 3))
    x = u + np.cumsum(rng.normal(0.0, np.sqrt(2 * 0.02), u.shape), axis=0)
    result = diffusion_coefficient(x, np.arange(4000.0), reference=NO_REFERENCE)
    low, high = result.D.interval(0.99)
    assert result.window[0] > 15
    # Before the cage is left D is too high; from the window on it stays.
    assert result.D_by_start[0] > 1.5 * result.D.value
    late = result.starts >= result.window[0]
    assert (np.abs(result.D_by_start[late] - result.D.value) < 4 * result.D_by_start_error[late]).all()
    assert low < 0.02e-4 < high


def test_a_recoiling_framework_is_the_reference_and_the_centre_of_mass_is_not():
    rng = np.random.default_rng(16)
    ions = brownian(rng, 2000, 32)
    shift = -0.5 * ions.mean(axis=1, keepdims=True)
    x = np.concatenate([ions + shift, np.repeat(shift, 32, axis=1)], axis=1)
    mobile = np.arange(64) < 32
    exact = mean_squared_displacement(ions)
    frame = reference_frame(64, framework=~mobile, mobile=mobile)
    assert mean_squared_displacement(x, atoms=mobile, drift=frame.drift(x)) == pytest.approx(exact, rel=1e-9)
    result = diffusion_coefficient(x, np.arange(2000) * 0.01, mobile=mobile, framework=~mobile)
    assert "32 framework atoms" in result.reference.statement
    assert result.drift == pytest.approx(np.linalg.norm(shift - shift[0], axis=2).max())


def test_the_bias_of_the_centre_of_mass_is_one_less_one_over_n():
    rng = np.random.default_rng(17)
    x = brownian(rng, 20000, 4)
    frame = reference_frame(4)
    biased = (
        mean_squared_displacement(x, drift=frame.drift(x), max_lag=5)[5] / mean_squared_displacement(x, max_lag=5)[5]
    )
    assert frame.bias == 0.75
    assert biased == pytest.approx(0.75, abs=0.02)


def test_a_framework_that_moves_is_flagged():
    rng = np.random.default_rng(18)
    ions, frame = brownian(rng, 1000, 32), rng.normal(0.0, 0.1, (1000, 16, 3))
    mobile = np.arange(48) < 32
    still = diffusion_coefficient(
        np.concatenate([ions, frame], 1), np.arange(1000) * 0.01, mobile=mobile, framework=~mobile
    )
    assert not any("framework" in flag for flag in still.flags)
    frame[500:, 3] += 2.0
    moved = diffusion_coefficient(
        np.concatenate([ions, frame], 1), np.arange(1000) * 0.01, mobile=mobile, framework=~mobile
    )
    assert any("1 of 16" in flag for flag in moved.flags)


@pytest.mark.parametrize(
    ("shape", "times", "options", "message"),
    [
        ((100, 3), np.arange(100.0), {}, "shape"),
        ((100, 4, 3), np.arange(99.0), {}, "100 frames"),
        ((100, 4, 3), np.arange(100.0) ** 1.1, {}, "evenly spaced"),
        ((20, 4, 3), np.arange(20.0), {}, "20 frames"),
        ((100, 4, 3), np.arange(100.0), {"mobile": [7]}, "0 to 3"),
        ((100, 4, 3), np.arange(100.0), {"mobile": np.zeros(4, bool)}, "no atoms"),
        ((100, 4, 3), np.arange(100.0), {"mobile": [0], "framework": [0, 1]}, "both"),
        ((100, 4, 3), np.arange(100.0), {"masses": [1.0]}, "masses"),
        ((100, 4, 3), np.arange(100.0), {"window": (1.0, 60.0)}, "at least 4"),
    ],
)
def test_what_can_not_be_analysed_is_refused_in_a_sentence(shape, times, options, message):
    with pytest.raises(AnalysisError, match=message):
        diffusion_coefficient(np.random.default_rng(0).normal(size=shape), times, **options)


def test_a_run_that_blew_up_is_refused():
    x = np.zeros((100, 4, 3))
    x[50, 2, 1] = np.nan
    with pytest.raises(AnalysisError, match="blew up"):
        diffusion_coefficient(x, np.arange(100.0))


def test_blocks_are_longer_than_the_longest_lag():
    for n_runs in range(1, 12):
        last, split = lag_range(n_runs, 1000, 8, None)
        assert n_runs * split >= 8
        assert last < 1000 / split


def test_a_liquid_is_told_from_a_crystal_and_from_a_run_that_is_too_short():
    rng = np.random.default_rng(19)
    cell, t = 12.0 * np.eye(3), np.arange(400) * 0.1
    assert phase(rng.normal(0.0, 0.2, (400, 64, 3)), t, cell).verdict == "solid"
    assert phase(brownian(rng, 400, 64, D=0.3, dt=0.1), t, cell).verdict == "liquid"
    assert phase(brownian(rng, 400, 64, D=0.0005, dt=0.1), t, cell).verdict == "undecided"
    sublattice = rng.normal(0.0, 0.1, (400, 64, 3))
    sublattice[:, :32] += brownian(rng, 400, 32, D=0.3, dt=0.1)
    assert phase(sublattice, t, cell, atoms=np.arange(32, 64)).verdict == "solid"


def test_atoms_at_rest_are_refused_without_a_slope():
    with pytest.raises(NotDiffusiveError, match="MSD does not grow"):
        diffusion_coefficient(np.zeros((500, 4, 3)), np.arange(500.0))
