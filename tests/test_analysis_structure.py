import numpy as np
import pytest
from scipy.signal import lfilter

from lampion.analysis.density import ANGSTROM_IN_BOHR, cube_text, density, find_sites
from lampion.analysis.hops import hops
from lampion.analysis.msd import mean_squared_displacement
from lampion.analysis.pairs import (
    half_width,
    nearest_image,
    non_gaussian_parameter,
    radial_distribution,
    van_hove,
)
from lampion.analysis.streaming import stream_diffusion, stream_msd
from lampion.analysis.velocity import green_kubo_diffusion, vibrations
from lampion.errors import AnalysisError

SKEWED = np.array([[10.0, 0.0, 0.0], [4.0, 9.0, 0.0], [-3.0, 2.0, 8.0]])


def integral(y, x):
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


def test_the_nearest_image_is_the_shortest_in_a_skewed_cell():
    rng = np.random.default_rng(1)
    reach = half_width(SKEWED)
    v = rng.normal(size=(500, 3))
    v *= (reach * rng.uniform(0, 0.999, 500) / np.linalg.norm(v, axis=1))[:, None]
    shifted = v + rng.integers(-3, 4, (500, 3)) @ SKEWED
    assert nearest_image(shifted, SKEWED) == pytest.approx(v, abs=1e-9)


def test_g_of_r_equals_brute_force_over_images():
    rng = np.random.default_rng(2)
    x = rng.uniform(size=(8, 12, 3)) @ SKEWED
    g = radial_distribution(x, SKEWED, a=np.arange(5), b=np.arange(3, 12), bin_width=0.5)
    images = np.array([[i, j, k] for i in (-2, -1, 0, 1, 2) for j in (-2, -1, 0, 1, 2) for k in (-2, -1, 0, 1, 2)])
    counts = np.zeros(len(g.r))
    edges = np.arange(0.0, half_width(SKEWED) + 1e-9, 0.5)
    for frame in x:
        for i in range(5):
            for j in range(3, 12):
                r = np.linalg.norm(frame[j] - frame[i] + images @ SKEWED, axis=1)
                counts += np.histogram(r[r > 0], edges)[0] if i == j else np.histogram(r, edges)[0]
    shell = 4 / 3 * np.pi * np.diff(edges**3)
    pairs = 5 * 9 - 2
    expected = counts / len(x) * abs(np.linalg.det(SKEWED)) / (pairs * shell)
    assert g.g == pytest.approx(expected, abs=1e-9)


def test_coordination_counts_the_neighbours_of_a_lattice():
    lattice = 3.0 * np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    g = radial_distribution(np.repeat(lattice[None], 8, axis=0), 12 * np.eye(3), bin_width=0.1)
    assert g.coordination[np.searchsorted(g.r, 3.5)] == pytest.approx(6)
    assert g.coordination[np.searchsorted(g.r, 4.5)] == pytest.approx(18)


def test_r_max_beyond_the_cell_is_refused():
    with pytest.raises(AnalysisError, match="half the cell"):
        radial_distribution(np.zeros((8, 2, 3)), 10 * np.eye(3), r_max=6.0)
    with pytest.raises(AnalysisError, match="half the cell"):
        van_hove(np.zeros((8, 2, 3)), np.arange(8.0), cells=10 * np.eye(3))


def test_gaussian_displacements_have_no_alpha2_and_two_kinds_of_atoms_have():
    rng = np.random.default_rng(3)
    x = np.cumsum(rng.normal(size=(400, 200, 3)), axis=0)
    t = np.arange(400.0)
    gauss = non_gaussian_parameter(x, t, lags=[1, 5])
    assert np.abs(gauss.alpha2).max() < 4 * gauss.error.max() + 0.01
    # Half of the atoms at rest: α₂ = 0.6 · (5/3 σ⁴ · 9/2)/(3σ²/2)² − 1 = 1.
    x[:, 100:] = 0
    assert non_gaussian_parameter(x, t, lags=[1]).alpha2 == pytest.approx(1, abs=0.05)


def test_the_self_van_hove_function_of_brownian_motion_is_maxwells():
    rng = np.random.default_rng(4)
    x = np.cumsum(rng.normal(0, 0.3, (600, 200, 3)), axis=0)
    result = van_hove(x, np.arange(600.0), lags=[4], r_max=6.0)
    s2 = 4 * 0.09
    expected = 4 * np.pi * result.r**2 * np.exp(-(result.r**2) / (2 * s2)) / (2 * np.pi * s2) ** 1.5
    assert result.self_part[0] == pytest.approx(expected, abs=0.03)
    assert integral(result.self_part[0], result.r) == pytest.approx(1, abs=1e-3)


def test_the_distinct_van_hove_function_starts_as_g_of_r():
    rng = np.random.default_rng(5)
    x = rng.uniform(size=(20, 60, 3)) @ SKEWED
    found = van_hove(x, np.arange(20.0), cells=SKEWED, lags=[0, 3], r_max=3.0, bin_width=0.5)
    g = radial_distribution(x, SKEWED, r_max=3.0, bin_width=0.5)
    assert found.distinct_part[0] == pytest.approx(g.g, rel=1e-9)
    assert found.distinct_part[1][2:] == pytest.approx(1, abs=0.15)


def test_the_density_of_states_holds_3n_states_at_the_right_places():
    t = 0.005 * np.arange(4000)
    v = np.zeros((4000, 3, 3))
    for atom, (frequency, mass) in enumerate([(3.0, 1.0), (7.0, 4.0), (12.0, 9.0)]):
        v[:, atom] = np.cos(2 * np.pi * frequency * t + np.arange(3)[:, None]).T / np.sqrt(mass)
    result = vibrations(v, dt=0.005, masses=[1.0, 4.0, 9.0])
    assert integral(result.density, result.frequencies) == pytest.approx(9, rel=1e-12)
    for frequency in (3.0, 7.0, 12.0):
        near = np.abs(result.frequencies - frequency) < 1
        assert integral(result.density[near], result.frequencies[near]) == pytest.approx(3, rel=0.02)


def test_langevin_velocities_have_a_lorentzian_spectrum_and_d_is_kt_over_m_gamma():
    rng = np.random.default_rng(6)
    gamma, dt = 5.0, 0.01
    c = np.exp(-gamma * dt)
    v = lfilter([1.0], [1.0, -c], np.sqrt(1 - c * c) * rng.normal(size=(10500, 50, 3)), axis=0)[500:]
    result = vibrations(v, dt=dt, max_lag=5.0)
    assert result.correlation[:100] == pytest.approx(np.exp(-gamma * result.lags[:100]), abs=0.04)
    low = result.frequencies < 2
    expected = 150 * 4 * gamma / (gamma**2 + (2 * np.pi * result.frequencies[low]) ** 2)
    assert result.density[low] == pytest.approx(expected, rel=0.12)
    D = green_kubo_diffusion(v, dt=dt).estimate
    low, high = D.interval(0.99)
    # The trapezoidal sum of exp(−γt), in cm²/s.
    assert low < dt * (0.5 + c / (1 - c)) * 1e-4 < high


def walk(rng, n_frames=3000, n_ions=40, rate=0.02, back=0.0, vibration=0.15):
    """Ions on a simple cubic lattice, 3 Å apart."""
    ion, frame = np.nonzero(rng.random((n_ions, n_frames)) < rate)
    step = np.zeros((n_frames, n_ions, 3))
    last = {}
    for i, k in zip(ion, frame, strict=True):
        fresh = np.zeros(3)
        fresh[rng.integers(3)] = rng.choice([-3.0, 3.0])
        last[i] = -last[i] if i in last and rng.random() < back else fresh
        step[k, i] = last[i]
    step[0] = 0
    ion_step = np.cumsum(step, axis=0) + 3.0 * rng.integers(0, 3, (1, n_ions, 3))
    sites = 3.0 * np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return ion_step + vibration * rng.normal(size=ion_step.shape), sites, int((step != 0).any(axis=2).sum())


def test_hops_are_counted_timed_and_mapped():
    rng = np.random.default_rng(7)
    x, sites, n = walk(rng)
    result = hops(x, np.arange(3000) * 0.1, 9.0 * np.eye(3), sites, radius=1.4)
    assert len(result.events) == n
    low, high = result.rate.interval(0.99)
    assert low < 0.02 / 0.1 < high
    assert result.residence.value == pytest.approx(1 / result.rate.value)
    assert result.mean_square_length == pytest.approx(9.0)
    assert result.occupancy.sum() == pytest.approx(40)
    assert result.counts.sum() == n
    assert result.n_flickers == 0
    low, high = result.correlation_factor.interval(0.99)
    assert low < 1 < high


def test_back_jumps_lower_the_correlation_factor():
    x, sites, _ = walk(np.random.default_rng(8), back=0.5)
    result = hops(x, np.arange(3000) * 0.1, 9.0 * np.eye(3), sites, radius=1.4)
    low, high = result.correlation_factor.interval(0.99)
    assert low < 1 / 3 < high


def test_hops_between_sites_half_a_cell_apart_keep_their_direction():
    """Two sites at 0 and L/2: the nearest image of the next site is as often behind as ahead of the ion."""
    rng = np.random.default_rng(21)
    n_frames, n_ions, edge = 4000, 30, 6.0
    stepping = rng.random((n_frames, n_ions)) < 0.05
    stepping[0] = False
    step = np.where(stepping, rng.choice([-3.0, 3.0], (n_frames, n_ions)), 0.0)
    x = np.zeros((n_frames, n_ions, 3))
    x[:, :, 0] = np.cumsum(step, axis=0)
    x += 0.1 * rng.normal(size=x.shape)
    sites = [[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]
    walk_ = hops(x, np.arange(n_frames) * 0.1, edge * np.eye(3), sites, radius=1.4)
    low, high = walk_.correlation_factor.interval(0.99)
    assert low < 1 < high
    straight = np.abs(step)
    x = np.zeros_like(x)
    x[:, :, 0] = np.cumsum(straight, axis=0)
    ahead = hops(x, np.arange(n_frames) * 0.1, edge * np.eye(3), sites, radius=1.4)
    # Every hop goes on as the one before: cos θ = 1, and f has no bound.
    assert ahead.correlation_factor is None
    assert ahead.mean_square_length == pytest.approx(9.0)


def test_a_long_stay_is_a_hop_though_it_flickers():
    sites = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    where = np.array([0] * 20 + [1, 1, 1, 0] * 10 + [1] * 3)
    result = hops(sites[where][:, None], np.arange(63.0), 9.0 * np.eye(3), sites, dwell=5.0, radius=1.0)
    assert result.events.tolist() == [[20, 0, 0, 1]]
    rattling = np.array([0] * 20 + [1, 0] * 20 + [0] * 3)
    result = hops(sites[rattling][:, None], np.arange(63.0), 9.0 * np.eye(3), sites, dwell=5.0, radius=1.0)
    assert len(result.events) == 0
    assert result.n_flickers == 20


def test_flicker_is_filtered_by_the_dwell_time_and_hops_are_kept():
    sites = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0]])
    where = np.array([0] * 20 + [1] + [0] * 10 + [1] * 2 + [0] * 7 + [1] * 30 + [2] * 2 + [1] * 8)
    x = sites[where][:, None]
    options = {"radius": 1.0}
    t, cell = np.arange(len(x)) * 1.0, 9.0 * np.eye(3)
    every = hops(x, t, cell, sites, dwell=0.0, **options)
    assert len(every.events) == 7
    calm = hops(x, t, cell, sites, dwell=5.0, **options)
    assert calm.events.tolist() == [[40, 0, 0, 1]]
    assert calm.n_flickers == 3


def test_transit_neither_breaks_nor_makes_a_visit():
    sites = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    path = np.array([0.0] * 10 + [1.5] * 3 + [0.0] * 10 + [1.5] * 2 + [3.0] * 10)
    x = np.zeros((len(path), 1, 3))
    x[:, 0, 0] = path
    result = hops(x, np.arange(len(path)) * 1.0, 9.0 * np.eye(3), sites, radius=1.0, dwell=4.0)
    assert result.events.tolist() == [[25, 0, 0, 1]]
    assert result.unassigned == pytest.approx(5 / 35)


def test_sites_closer_than_two_radii_are_refused():
    with pytest.raises(AnalysisError, match="closer than two radii"):
        hops(np.zeros((20, 1, 3)), np.arange(20.0), 9.0 * np.eye(3), [[0, 0, 0], [1.0, 0, 0]])


def test_a_density_integrates_to_the_number_of_ions_and_its_maxima_are_the_sites():
    rng = np.random.default_rng(9)
    fractional = np.array([[0.1, 0.1, 0.1], [0.6, 0.1, 0.9], [0.3, 0.7, 0.5]])
    x = fractional @ SKEWED + rng.normal(0, 0.3, (2000, 3, 3)) + rng.integers(-2, 3, (2000, 3, 3)) @ SKEWED
    rho = density(x, SKEWED, spacing=0.4)
    volume = abs(np.linalg.det(SKEWED))
    assert rho.values.sum() * volume / rho.values.size == pytest.approx(3)
    sites = find_sites(rho, threshold=0.3, separation=2.0)
    assert len(sites) == 3
    for site in fractional @ SKEWED:
        assert np.linalg.norm(nearest_image(sites - site, SKEWED), axis=1).min() < 0.1


def test_a_cube_file_is_read_back_by_ase():
    import io

    from ase.io.cube import read_cube

    rng = np.random.default_rng(10)
    rho = density(rng.uniform(size=(50, 4, 3)) @ SKEWED, SKEWED, spacing=1.0)
    text = cube_text(rho, positions=[[1.0, 2.0, 3.0]], species=["La"])
    found = read_cube(io.StringIO(text), read_data=True)
    assert found["atoms"].get_chemical_symbols() == ["La"]
    assert found["atoms"].positions[0] == pytest.approx([1.0, 2.0, 3.0], abs=1e-5)
    assert found["atoms"].cell[:] == pytest.approx(SKEWED, abs=1e-4)
    assert found["data"] * ANGSTROM_IN_BOHR**3 == pytest.approx(rho.values, rel=1e-5)


def test_a_cube_file_is_opened_by_ovito_and_one_without_atoms_is_not_written(tmp_path):
    ovito = pytest.importorskip("ovito.io")
    rho = density(np.random.default_rng(10).uniform(size=(50, 4, 3)) @ SKEWED, SKEWED, spacing=1.0)
    (tmp_path / "rho.cube").write_text(cube_text(rho, positions=[[1.0, 2.0, 3.0]], species=["Li"]))
    data = ovito.import_file(str(tmp_path / "rho.cube")).compute()
    (grid,) = data.grids.values()
    assert grid.shape == rho.values.shape
    assert pytest.approx(SKEWED, abs=1e-4) == np.asarray(data.cell[:, :3]).T
    assert np.asarray(data.particles.positions)[0] == pytest.approx([1.0, 2.0, 3.0], abs=1e-4)
    with pytest.raises(AnalysisError, match="an atom at least"):
        cube_text(rho, positions=[], species=[])


def test_a_stream_says_too_that_its_framework_moves():
    rng = np.random.default_rng(13)
    x = np.cumsum(rng.normal(0, 0.2, (640, 24, 3)), axis=0)
    held = np.arange(24) >= 12
    x[:, held] = rng.normal(0, 0.1, (640, 12, 3))
    options = {"mobile": ~held, "framework": held, "window": (0.05, 0.5)}
    assert stream_diffusion(iter(x), 640, 0.01, **options).flags == ()
    x[320:, 12] += 3.0
    (flag,) = stream_diffusion(iter(x), 640, 0.01, **options).flags
    assert flag.startswith("the framework moves: 1 of 12 of its atoms")


def test_green_kubo_diffusion_is_relative_to_the_reference_and_its_memory_is_bounded():
    import tracemalloc

    rng = np.random.default_rng(14)
    c = np.exp(-0.05)
    v = lfilter([1.0], [1.0, -c], np.sqrt(1 - c * c) * rng.normal(size=(2500, 400, 3)), axis=0)[500:]
    still = green_kubo_diffusion(v, dt=0.01, cutoff=0.4).estimate
    drifting = v + np.array([5.0, 0.0, 0.0])
    tracemalloc.start()
    moved = green_kubo_diffusion(drifting, dt=0.01, cutoff=0.4).estimate
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert moved.value == pytest.approx(still.value, rel=1e-9)
    assert peak < 0.6 * drifting.nbytes


def test_streamed_msds_are_those_of_the_array():
    rng = np.random.default_rng(11)
    x = np.cumsum(rng.normal(size=(640, 10, 3)), axis=0)
    streamed = stream_msd(iter(x), 640)
    drift = x.mean(axis=1) - x[0].mean(axis=0)
    y = x - drift[:, None]
    whole = mean_squared_displacement(y)
    for lag, value in zip(streamed.lags, streamed.msd, strict=True):
        step = 1 if lag <= 16 else 2 ** int(np.ceil(np.log2(lag / 16)))
        square = [((y[k + lag] - y[k]) ** 2).sum(axis=1).mean() for k in range(0, 640 - lag, step)]
        assert value == pytest.approx(np.mean(square), rel=1e-9)
        assert value == pytest.approx(whole[lag], rel=0.3)
    assert streamed.lags[-1] <= 72
    first_block = mean_squared_displacement(y[:80])
    assert streamed.units[0, :17] == pytest.approx(first_block[:17], rel=1e-9)


def test_streamed_diffusion_holds_the_truth():
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(20):
        x = np.cumsum(rng.normal(0, np.sqrt(0.01), (600, 20, 3)), axis=0)
        low, high = stream_diffusion(iter(x), 600, 0.01).D.interval(0.954)
        # The centre of mass of 20 atoms takes a twentieth.
        hits += low < 0.5e-4 * 0.95 < high
    assert hits >= 16


def test_a_stream_of_another_length_is_refused():
    with pytest.raises(AnalysisError, match="99 frames came"):
        stream_msd(iter(np.zeros((99, 2, 3))), 100)
    with pytest.raises(AnalysisError, match="more than"):
        stream_msd(iter(np.zeros((101, 2, 3))), 100)


def test_ions_that_rest_have_no_hops_and_say_so():
    result = hops(np.zeros((500, 4, 3)), np.arange(500.0), 9.0 * np.eye(3), [[0, 0, 0], [3.0, 0, 0]])
    assert (result.rate.value, result.correlation_factor, result.edges.shape) == (0.0, None, (0, 2))
    assert result.rate.standard_error > 0
    assert any("only 0 hops" in flag for flag in result.flags)


def scatter_and_stated(draw, n=80):
    """Return the scatter of a curve over fresh data, and the root mean square of its stated error."""
    pairs = [draw(np.random.default_rng(k)) for k in range(n)]
    values, errors = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    return values.std(axis=0, ddof=1), np.sqrt((errors**2).mean(axis=0))


def test_the_errors_of_curves_and_maps_are_their_scatter():
    def hove(rng):
        x = np.cumsum(rng.normal(0, 0.5, (160, 8, 3)), axis=0)
        found = van_hove(x, np.arange(160.0), lags=[4], r_max=4.0, bin_width=1.0)
        return found.self_part[0], found.self_error[0]

    def cloud(rng):
        found = density(rng.uniform(0, 4, (160, 10, 3)), 4 * np.eye(3), spacing=2.0)
        return found.values.ravel(), found.error.ravel()

    def states(rng):
        c = np.exp(-0.2)
        v = lfilter([1.0], [1.0, -c], rng.normal(size=(1300, 6, 3)), axis=0)[20:]
        found = vibrations(v, dt=0.01, max_lag=0.4)
        return found.density[2:12], found.density_error[2:12]

    for draw in (hove, cloud, states):
        scatter, stated = scatter_and_stated(draw)
        assert stated.mean() == pytest.approx(scatter.mean(), rel=0.2), draw.__name__


def test_rates_along_edges_hold_the_truth():
    x, sites, _ = walk(np.random.default_rng(7))
    result = hops(x, np.arange(3000) * 0.1, 9.0 * np.eye(3), sites, radius=1.4)
    # 0.02 hops a frame of 0.1 ps to one of six neighbours.
    pull = (result.edge_rates - 0.2 / 6) / result.edge_rate_errors
    assert (np.abs(pull) < 2).mean() > 0.85
    assert np.abs(pull).max() < 6


def test_errors_at_long_lags_are_the_scatter_or_are_not_given():
    """Planted: origins in a row share their displacements once the lag is longer than the row."""

    def alpha(rng):
        x = np.cumsum(rng.normal(size=(400, 30, 3)), axis=0)
        found = non_gaussian_parameter(x, np.arange(400.0), lags=[20, 45, 190])
        return found.alpha2, found.error

    scatter, stated = scatter_and_stated(alpha, 60)
    assert stated[:2] == pytest.approx(scatter[:2], rel=0.3)
    assert np.isnan(stated[2]), "four blocks of twice the lag do not fit"


def test_pair_errors_hold_where_blocks_remember_a_little():
    """A block in which atoms move by about a bin: the next one is still alike."""

    def slow(rng):
        x = rng.uniform(0, 8, (1, 40, 3)) + np.cumsum(rng.normal(0, 0.2, (240, 40, 3)), axis=0)
        found = radial_distribution(x, 8.0 * np.eye(3), bin_width=1.0)
        return found.g[1:], found.g_error[1:]

    scatter, stated = scatter_and_stated(slow, 60)
    assert (stated / scatter).mean() == pytest.approx(1, abs=0.25)


def test_a_drift_is_no_vibration_and_atoms_at_rest_have_none():
    rng = np.random.default_rng(41)
    v = rng.normal(size=(800, 5, 3))
    assert vibrations(v + np.array([0.0, 3.0, 0.0]), dt=0.01).density == pytest.approx(
        vibrations(v, dt=0.01).density, rel=1e-9, abs=1e-12
    )
    with pytest.raises(AnalysisError, match="don't move"):
        vibrations(np.zeros((800, 5, 3)), dt=0.01)


def test_an_ion_that_flickers_between_two_new_sites_has_left_the_old_one():
    sites = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [6.0, 0.0, 0.0]])
    where = np.array([0] * 20 + [1, 1, 2, 2] * 20)
    result = hops(sites[where][:, None], np.arange(100.0), 9.0 * np.eye(3), sites, dwell=5.0, radius=1.0)
    assert result.events[0].tolist() == [20, 0, 0, 1]
    assert result.occupancy[0] == pytest.approx(0.2)


def test_a_short_visit_at_the_beginning_is_flicker_too():
    sites = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    where = np.array([1] + [0] * 59)
    result = hops(sites[where][:, None], np.arange(60.0), 9.0 * np.eye(3), sites, dwell=5.0, radius=1.0)
    assert len(result.events) == 0
    assert result.n_flickers == 1
    assert result.occupancy.tolist() == pytest.approx([59 / 60, 0])


UNEVEN = np.array([*np.arange(59.0), 200.0])


def test_what_has_no_number_is_refused_and_not_nan():
    rng = np.random.default_rng(43)
    x, cell = rng.uniform(0, 9, (60, 3, 3)), 9.0 * np.eye(3)
    one = x[:, :1]
    for act, words in (
        (lambda: radial_distribution(one, cell), "one atom has no neighbours"),
        (lambda: radial_distribution(x, cell, bin_width=0.0), "must be positive"),
        (lambda: radial_distribution(x, cell, r_max=0.1, bin_width=1.0), "don't fit"),
        (lambda: van_hove(one, np.arange(60.0), cells=cell, r_max=4.0), "one atom has no distinct part"),
        (lambda: van_hove(x, UNEVEN), "evenly spaced"),
        (lambda: van_hove(x, -np.arange(60.0)), "evenly spaced"),
        (lambda: non_gaussian_parameter(x, UNEVEN), "evenly spaced"),
        (lambda: non_gaussian_parameter(np.zeros((60, 3, 3)), np.arange(60.0)), "don't move"),
        (lambda: hops(x, UNEVEN, cell, [[0, 0, 0], [4, 0, 0]]), "evenly spaced"),
        (lambda: hops(x, -np.arange(60.0), cell, [[0, 0, 0], [4, 0, 0]]), "evenly spaced"),
    ):
        with pytest.raises(AnalysisError, match=words):
            act()
