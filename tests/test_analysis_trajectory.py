from dataclasses import replace

import numpy as np
import pytest

from lampion.analysis import from_trajectory as of
from lampion.analysis import selection
from lampion.analysis.diffusion import NotDiffusiveError, diffusion_coefficient
from lampion.analysis.tensor import diffusion_tensor
from lampion.errors import AnalysisError
from lampion.study.measure import atom_masses
from lampion.trajectory import Trajectory


def brownian(rng, n_frames, n_atoms, D=0.5, dt=0.01):
    return np.cumsum(rng.normal(0.0, np.sqrt(2 * D * dt), (n_frames, n_atoms, 3)), axis=0)


def trajectory(positions, species, dt=0.01, edge=12.0, cells=None, **extra) -> Trajectory:
    f, n = positions.shape[:2]
    return Trajectory(
        positions=positions,
        cells=np.repeat(edge * np.eye(3)[None], f, axis=0) if cells is None else cells,
        origins=np.zeros((f, 3)),
        periodic=np.ones(3, dtype=bool),
        ids=np.arange(1, n + 1),
        species=np.array(species),
        steps=np.arange(f),
        times=5.0 + np.arange(f) * dt,
        unwrapping="made up",
        **extra,
    )


def solid_electrolyte(rng, n_frames=2000):
    ions, frame = brownian(rng, n_frames, 32), rng.normal(0.0, 0.1, (n_frames, 32, 3))
    shift = -0.2 * ions.mean(axis=1, keepdims=True)
    return np.concatenate([ions, frame], axis=1) + shift, ["Li"] * 32 + ["S"] * 32


def test_the_framework_is_found_and_is_the_reference():
    x, species = solid_electrolyte(np.random.default_rng(1))
    result = of.tracer_diffusion(trajectory(x, species), "Li")
    assert result.reference.kind == "framework"
    low, high = result.D.interval(0.99)
    assert low < 0.5e-4 < high
    liquid = of.tracer_diffusion(trajectory(x, species), "Li", framework=None)
    assert liquid.reference.kind == "centre of mass"


def test_a_liquid_has_no_framework():
    x = brownian(np.random.default_rng(2), 800, 64)
    result = of.tracer_diffusion(trajectory(x, ["Na", "Cl"] * 32, masses=np.tile([23.0, 35.5], 32)), "Na")
    assert result.reference.kind == "centre of mass"
    assert selection.phase_of(trajectory(x, ["Na", "Cl"] * 32)).verdict == "liquid"


def test_masses_come_from_the_elements_where_the_dump_has_none():
    x = brownian(np.random.default_rng(22), 200, 4)
    run = trajectory(x, ["Li", "Cl", "Li", "Cl"])
    assert selection.masses_of(run) == pytest.approx([6.94, 35.45, 6.94, 35.45], abs=0.01)
    assert selection.masses_of(trajectory(x, ["X"] * 4)) is None
    assert "equally heavy" not in of.tracer_diffusion(run, "Li", window=(0.01, 0.1)).reference.statement


def test_an_element_that_may_or_may_not_be_the_framework_is_flagged():
    """Planted: sulphur of which a part leaves its sites is no reference, and that is said."""
    rng = np.random.default_rng(23)
    x, species = solid_electrolyte(rng)
    x[1000:, 32:36] += 3.0
    run = trajectory(x, species)
    assert selection.phase_of(run, "S").verdict == "undecided"
    result = of.tracer_diffusion(run, "Li")
    assert result.reference.kind == "centre of mass"
    assert any("whether S is a framework is undecided" in flag for flag in result.flags)
    short = trajectory(x[:40:3], species)
    with pytest.raises(AnalysisError):
        selection.phase_of(short, "S")
    assert any("can't be told" in flag for flag in selection.framework_of(short, ~(short.species == "S"), "auto")[1])


def test_what_a_dump_holds_is_analysed_by_element(tmp_path):
    rng = np.random.default_rng(24)
    x, species = solid_electrolyte(rng, 1200)
    run = trajectory(x, species)
    window = (0.1, 1.0)
    whole = of.tracer_diffusion(run, "Li", framework=["S"], window=window)
    tensor = of.tensor_of(run, "Li", window=window)
    assert tensor.isotropic.value == pytest.approx(whole.D.value, rel=1e-9)
    assert of.density_of(run, "S").values.sum() > 0
    with pytest.raises(AnalysisError, match="read the dump with columns"):
        of.vibrations_of(run)
    v = rng.normal(size=(1200, 64, 3))
    moving = replace(run, extras=dict(zip(("vx", "vy", "vz"), np.moveaxis(v, -1, 0), strict=True)))
    assert of.vibrations_of(moving, "Li").n_atoms == 32
    assert of.velocity_diffusion(moving, "Li", cutoff=0.05).estimate.value > 0
    hopping = of.hops_of(run, "S", [[0.0, 0, 0], [6.0, 0, 0]])
    assert hopping.site_of.shape == (1200, 32)
    rows = "".join(
        f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n64\nITEM: BOX BOUNDS pp pp pp\n0 12\n0 12\n0 12\n"
        "ITEM: ATOMS id element xu yu zu\n"
        + "".join(f"{i + 1} {species[i]} {a:.9g} {b:.9g} {c:.9g}\n" for i, (a, b, c) in enumerate(x[k]))
        for k in range(1200)
    )
    (tmp_path / "d.dump").write_text(rows)
    streamed = of.streamed_diffusion(tmp_path / "d.dump", "Li", framework=["S"], window=window, timestep=0.01)
    assert streamed.D.value == pytest.approx(whole.D.value, rel=0.1)
    assert streamed.reference.kind == "framework"


def test_every_analysis_says_what_it_is_relative_to_and_what_speaks_against_it():
    x, species = solid_electrolyte(np.random.default_rng(26))
    x[1000:, 32:36] += 3.0
    run, short = trajectory(x, species), trajectory(x[900:1100], species)
    results = [
        of.tensor_of(run, "Li", window=(0.1, 1.0)).statement,
        of.density_of(run, "Li", spacing=3.0).reference,
        of.van_hove_functions(short, "Li").reference,
        of.non_gaussian(short, "Li").reference,
        of.hops_of(run, "Li", [[0.0, 0, 0], [6.0, 0, 0]]).reference,
    ]
    for said in results:
        assert "relative to the" in said
    assert "undecided" in results[0]
    with pytest.raises(AnalysisError, match="name the framework, or leave mobile away"):
        of.charge_transport(run, 600.0, charges={"Li": 1, "S": -1}, mobile="Li")


def test_van_hove_functions_reach_as_far_as_the_cell_allows():
    x, species = solid_electrolyte(np.random.default_rng(7), 64)
    assert of.van_hove_functions(trajectory(x, species, edge=10.0), "Li").r[-1] == pytest.approx(5.0, abs=0.1)


def test_charge_is_transported_by_the_ions_that_move():
    rng = np.random.default_rng(3)
    runs = []
    for _ in range(10):
        x, species = solid_electrolyte(rng, 600)
        runs.append(trajectory(x, species))
    result = of.charge_transport(runs, 600.0, charges={"Li": 1, "S": -1}, mobile="Li")
    assert result.tracer.reference.kind == "framework"
    assert result.conductivity.n_samples == 10
    low, high = result.haven.interval(0.99)
    assert low < 1 < high
    with pytest.raises(AnalysisError, match="no charges"):
        of.charge_transport(runs, 600.0)


def test_a_cell_that_changes_is_flagged():
    x = brownian(np.random.default_rng(4), 500, 32)
    cells = 12.0 * np.eye(3) * (1 + 0.01 * np.sin(np.arange(500))[:, None, None])
    assert any(
        "constant volume" in flag for flag in of.tracer_diffusion(trajectory(x, ["Li"] * 32, cells=cells), "Li").flags
    )
    assert not of.tracer_diffusion(trajectory(x, ["Li"] * 32), "Li").flags


def test_a_crystal_is_refused_with_its_flags():
    x = np.random.default_rng(5).normal(0.0, 0.1, (500, 32, 3))
    with pytest.raises(NotDiffusiveError, match="not as t"):
        of.tracer_diffusion(trajectory(x, ["Li"] * 32), "Li")


def test_trajectories_of_other_atoms_or_times_are_refused():
    rng = np.random.default_rng(6)
    a = trajectory(brownian(rng, 400, 8), ["Li"] * 8)
    with pytest.raises(AnalysisError, match="other atoms"):
        of.tracer_diffusion([a, trajectory(brownian(rng, 400, 8), ["Na"] * 8)], "Li")
    with pytest.raises(AnalysisError, match="other times"):
        of.tracer_diffusion([a, trajectory(brownian(rng, 400, 8), ["Li"] * 8, dt=0.02)], "Li")
    with pytest.raises(AnalysisError, match="no Na, only Li"):
        of.tracer_diffusion(a, "Na")


def test_pair_functions_of_a_trajectory():
    x, species = solid_electrolyte(np.random.default_rng(7), 64)
    run = trajectory(x, species)
    assert of.pair_distribution(run, "Li", "S").g.shape == (120,)
    found = of.van_hove_functions(run, "Li", r_max=5.0)
    assert found.self_part.shape == found.distinct_part.shape
    assert of.non_gaussian(run, "Li").alpha2[0] == pytest.approx(0, abs=0.2)


def test_the_tensor_is_that_of_anisotropic_motion_and_turns_with_the_frame():
    rng = np.random.default_rng(8)
    true = np.diag([1.0, 0.5, 0.1])
    x = np.cumsum(rng.normal(size=(3000, 64, 3)) * np.sqrt(2 * np.diag(true) * 0.01), axis=0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    t = np.arange(3000) * 0.01
    plain = diffusion_tensor(x, t, window=(0.02, 1.0))
    turned = diffusion_tensor(x, t, window=(0.02, 1.0), rotation=rotation)
    assert pytest.approx(rotation @ plain.D @ rotation.T, rel=1e-9) == turned.D
    assert turned.principal == pytest.approx(plain.principal, rel=1e-9)
    assert plain.anisotropic
    assert np.abs(plain.D - true * 1e-4 * 63 / 64).max() < 5 * plain.error.max()
    assert np.abs(plain.axes) == pytest.approx(np.eye(3), abs=0.1)


def test_the_tensors_trace_is_the_diffusion_coefficient():
    rng = np.random.default_rng(9)
    x, t = brownian(rng, 2000, 32), np.arange(2000) * 0.01
    window = (0.05, 1.0)
    scalar = diffusion_coefficient(x, t, window=window).D
    tensor = diffusion_tensor(x, t, window=window)
    assert tensor.isotropic.value == pytest.approx(scalar.value, rel=1e-9)
    assert tensor.isotropic.standard_error == pytest.approx(scalar.standard_error, rel=1e-9)
    assert not tensor.anisotropic
    with pytest.raises(AnalysisError, match="orthogonal"):
        diffusion_tensor(x, t, window=window, rotation=2 * np.eye(3))


def test_the_atoms_of_a_study_have_the_masses_of_their_isotopes():
    """Planted: a mapping by element gave both isotopes of lithium the mass of the second."""
    x = brownian(np.random.default_rng(31), 30, 3)
    record = {"species": ["Li", "Li", "S"], "masses": [6.015, 7.016, 32.06]}
    kinds = np.tile([2.0, 1.0, 3.0], (30, 1))
    run = trajectory(x, ["Li", "Li", "S"], extras={"type": kinds})
    assert atom_masses(run, record).tolist() == [7.016, 6.015, 32.06]
    alone = {"species": ["Li", "S"], "masses": [6.94, 32.06]}
    assert atom_masses(trajectory(x, ["Li", "S", "Li"]), alone).tolist() == [6.94, 32.06, 6.94]
