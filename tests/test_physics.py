"""Laws that the rendered decks must keep in real LAMMPS, each with a planted fault that breaks it.

Tolerances are those of issue 2 or follow from the standard error of the run; none was tuned to a result.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest
from ase.constraints import FixAtoms

from decks import SILICON, SW, Floats, Outcome, Settings, build, rattled, render, run, static, with_types
from lampion import deck, structure
from lampion.analysis.statistics import Estimate, block_average
from lampion.errors import TrajectoryError
from lampion.thermo import ThermoRun
from lampion.trajectory import Trajectory, read_dump

pytestmark = pytest.mark.physics

KB = 8.617333262e-5  # eV/K
BAR = 1 / 1.602176634e6  # eV/Å³
SI = build(SILICON)
ARGON = build({"crystal": {"lattice": "fcc", "formula": "Ar", "a": 5.5}, "supercell": [3, 3, 3]})
LJ: Settings = {"style": "lj", "pairs": {"Ar-Ar": [0.0104, 3.4]}, "cutoff": 7.5}


def column(tables: ThermoRun | tuple[ThermoRun, ...], name: str) -> Floats:
    several = (tables,) if isinstance(tables, ThermoRun) else tables
    return np.concatenate([np.asarray(t.columns[name], dtype=float) for t in several])


def md(atoms: ase.Atoms, pair: Settings, folder: Path, *stages: Settings, **more: Any) -> Outcome:
    what = {"name": "md", "thermo_every": 0.005, "dump_every": 0.05, **more, "stages": list(stages)}
    return run(render(atoms, pair, what), folder)


# ---- Constant energy -------------------------------------------------------------------------------


def drift(outcome: Outcome, timestep: float) -> tuple[float, float]:
    """Slope of the total energy after 1 ps, eV/atom/ps, and its scatter about the line, eV/atom."""
    table = outcome.log[-1]
    t, e = column(table, "Step") * timestep, column(table, "TotEng") / (table.n_atoms or 0)
    later = t >= 1.0
    slope, start = np.polyfit(t[later], e[later], 1)
    return float(slope), float((e - slope * t - start)[later].std())


def constant_energy(folder: Path, timestep: float, time: float, **more: Any) -> tuple[float, float]:
    outcome = md(
        SI, SW, folder, {"ensemble": "nve", "time": time}, velocities=600.0, timestep=timestep,
        thermo_every=max(0.004, timestep), **more,
    )  # fmt: skip
    return drift(outcome, timestep)


def test_energy_drifts_less_than_1e_7_ev_per_atom_and_ps_at_half_a_femtosecond(tmp_path: Path) -> None:
    slope, _ = constant_energy(tmp_path / "nve", 0.0005, 40.0)
    assert abs(slope) < 1e-7


def test_the_fluctuation_of_the_energy_scales_as_the_square_of_the_timestep(tmp_path: Path) -> None:
    scatter = {dt: constant_energy(tmp_path / str(dt), dt, 20.0)[1] for dt in (0.001, 0.0005)}
    assert scatter[0.001] / scatter[0.0005] == pytest.approx(4.0, abs=0.5)


def test_the_drift_law_catches_a_timestep_that_is_too_long_and_a_fix_that_pushes(tmp_path: Path) -> None:
    slope, _ = constant_energy(tmp_path / "long", 0.010, 40.0)
    assert abs(slope) > 1e-7
    pushed = {"fixes": {"push": "all addforce 0.001 0.0 0.0"}}
    slope, _ = constant_energy(tmp_path / "pushed", 0.0005, 5.0, hooks=pushed)
    assert abs(slope) > 1e-5


# ---- Constant temperature and pressure -------------------------------------------------------------


def canonical(kinetic: Floats, temperature: float, dof: int) -> tuple[float, float, Estimate, Estimate]:
    """By how many standard errors mean and variance of the kinetic energy differ from those of kT/2 χ²(dof)."""
    mean, variance = dof * KB * temperature / 2, dof * (KB * temperature) ** 2 / 2
    first, second = block_average(kinetic), block_average((kinetic - mean) ** 2)
    return (
        (first.value - mean) / first.standard_error,
        (second.value - variance) / second.standard_error,
        first,
        second,
    )


def kinetic_energies(folder: Path, thermostat: str, **more: Any) -> Floats:
    settle = {"ensemble": "nvt", "temperature": 600.0, "thermostat": thermostat, "time": 5.0}
    outcome = md(SI, SW, folder, settle, {**settle, "time": 120.0}, velocities=600.0, thermo_every=0.01, **more)
    return column(outcome.log[-1], "KinEng")


@pytest.mark.parametrize("thermostat", ["nose-hoover", "csvr", "langevin"])
def test_a_thermostat_gives_the_canonical_distribution_of_the_kinetic_energy(thermostat: str, tmp_path: Path) -> None:
    z_mean, z_variance, mean, variance = canonical(
        kinetic_energies(tmp_path / "nvt", thermostat), 600.0, 3 * len(SI) - 3
    )
    assert mean.standard_error < 0.01 * mean.value
    assert variance.standard_error < 0.1 * variance.value
    assert abs(z_mean) < 4
    assert abs(z_variance) < 4


def test_the_canonical_law_catches_a_thermostat_that_suppresses_fluctuations(tmp_path: Path) -> None:
    hooks = {"fixes": {"berendsen": "all temp/berendsen 600 600 0.05"}}
    outcome = md(
        SI, SW, tmp_path / "nvt", {"ensemble": "nve", "time": 30.0}, velocities=1200.0, thermo_every=0.01, hooks=hooks
    )
    kinetic = column(outcome.log[-1], "KinEng")[500:]
    _, z_variance, _, _ = canonical(kinetic, 600.0, 3 * len(SI) - 3)
    assert z_variance < -6


@pytest.mark.parametrize("thermostat", ["nose-hoover", "csvr", "langevin"])
def test_atoms_among_held_ones_have_three_degrees_of_freedom_each(thermostat: str, tmp_path: Path) -> None:
    """With all others held, 8 atoms have 24 degrees of freedom, not 21: nothing conserves their momentum."""
    hooks = {"groups": {"free": "id 1:8", "held": "subtract all free"}, "frozen": "held"}
    z_mean, z_variance, mean, _ = canonical(
        kinetic_energies(tmp_path / "held", thermostat, hooks=hooks), 600.0, 3 * 8
    )
    assert mean.standard_error < 0.02 * mean.value  # 21 in place of 24 would be 12 %
    assert abs(z_mean) < 4
    # A deterministic chain is not ergodic for so few, nearly harmonic atoms: its variance is wrong by nature.
    assert abs(z_variance) < 4 or thermostat == "nose-hoover"


@pytest.mark.parametrize("coupling", ["iso", "aniso", "tri"])
def test_a_barostat_holds_the_mean_pressure_at_its_target(coupling: str, tmp_path: Path) -> None:
    stage = {"ensemble": "npt", "temperature": 300.0, "pressure": 20000.0, "coupling": coupling, "time": 5.0}
    outcome = md(SI, SW, tmp_path / "npt", stage, {**stage, "time": 60.0}, pressure_damping=0.3)
    names = ["Press"] if coupling == "iso" else ["Pxx", "Pyy", "Pzz"]
    for name in names:
        pressure = block_average(column(outcome.log[-1], name))
        assert pressure.standard_error < 500
        assert abs(pressure.value - 20000.0) < 4 * pressure.standard_error
    moved = {n: np.ptp(column(outcome.log[-1], n)) > 0 for n in ("Lx", "Xy", "Xz", "Yz")}
    assert moved == {"Lx": True, "Xy": coupling == "tri", "Xz": coupling == "tri", "Yz": coupling == "tri"}
    if coupling == "iso":
        assert np.allclose(column(outcome.log[-1], "Lx"), column(outcome.log[-1], "Ly"), rtol=1e-12)


def test_ramps_end_at_their_final_temperature_and_pressure(tmp_path: Path) -> None:
    hot = {"ensemble": "nvt", "temperature": 300.0, "final_temperature": 900.0, "time": 10.0}
    squeezed = {
        "ensemble": "npt",
        "temperature": 900.0,
        "final_temperature": 450.0,
        "final_pressure": 50000.0,
        "time": 10.0,
    }
    outcome = md(SI, SW, tmp_path / "ramp", hot, squeezed, velocities=300.0, pressure_damping=0.3)
    n = 200  # the last picosecond, in the middle of which 95 % of the ramp are done
    first, second = outcome.log
    for table, name, start, end in (
        (first, "Temp", 300.0, 900.0), (second, "Temp", 900.0, 450.0), (second, "Press", 0.0, 50000.0)
    ):  # fmt: skip
        last = column(table, name)[-n:]
        expected = start + 0.95 * (end - start)
        assert last.mean() == pytest.approx(expected, abs=5 * last.std() / np.sqrt(n / 20))
        assert last.mean() == pytest.approx(expected, rel=0.1)


# ---- Static: what must not change, and what must turn along ----------------------------------------

SIC = rattled(build({"crystal": {"lattice": "zincblende", "formula": "SiC", "a": 4.36}, "supercell": [2, 2, 2]}))
MULTI: dict[str, Settings] = {
    "tersoff": {"style": "tersoff", "file": "SiC.tersoff"},
    "meam": {"style": "meam", "library": "library.meam", "file": "SiC.meam", "names": ["Si", "C"]},
}


def in_user_frame(atoms: ase.Atoms, pair: Settings, folder: Path) -> tuple[float, Floats, Floats]:
    """Energy (eV), forces (eV/Å) and virial stress (eV/Å³), as the user's axes have them."""
    placed = structure.place(atoms)
    outcome = static(placed, pair, folder)
    stress = -structure.tensor_to_user(placed, outcome.pressure) * BAR
    return outcome.energy, structure.to_user(placed, outcome.forces), stress


@pytest.mark.parametrize("name", MULTI)
def test_nothing_depends_on_the_order_of_atoms_or_species(name: str, tmp_path: Path) -> None:
    energy, forces, stress = in_user_frame(SIC, MULTI[name], tmp_path / "as given")
    order = np.random.default_rng(5).permutation(len(SIC))
    permuted = in_user_frame(SIC[order], MULTI[name], tmp_path / "permuted")
    placed = with_types(structure.place(SIC), ["Si", "C"])
    outcome = static(placed, MULTI[name], tmp_path / "other types")
    renumbered = outcome.energy, outcome.forces, -structure.tensor_to_user(placed, outcome.pressure) * BAR
    for (e, f, s), at in ((permuted, order), (renumbered, np.arange(len(SIC)))):
        assert e == pytest.approx(energy, rel=1e-10)
        assert f == pytest.approx(forces[at], rel=1e-10, abs=1e-10 * np.abs(forces).max())
        assert s == pytest.approx(stress, rel=1e-10, abs=1e-10 * np.abs(stress).max())


def turn(seed: int) -> Floats:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.linalg.det(q))


BASES = {
    "the same": np.eye(3),
    "left-handed": np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
    "strongly skewed": np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]]),
    "skewed and left-handed": np.array([[1, 0, 0], [2, 1, 0], [0, 3, -1]]),
}


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("name", MULTI)
def test_a_turned_crystal_in_any_cell_has_turned_forces_and_stress(name: str, basis: str, tmp_path: Path) -> None:
    strained = SIC.copy()
    strain = np.array([[1.01, 0.02, 0.0], [0.0, 0.99, -0.01], [0.0, 0.0, 1.02]])
    strained.set_cell(SIC.cell.array @ strain, scale_atoms=True)
    energy, forces, stress = in_user_frame(strained, MULTI[name], tmp_path / "as given")
    R = turn(11)
    other = strained.copy()
    other.set_cell(BASES[basis] @ strained.cell.array @ R, scale_atoms=False)
    other.positions = strained.positions @ R
    e, f, s = in_user_frame(other, MULTI[name], tmp_path / "turned")
    assert e == pytest.approx(energy, rel=1e-10)
    assert f == pytest.approx(forces @ R, rel=1e-9, abs=1e-9 * np.abs(forces).max())
    assert s == pytest.approx(R.T @ stress @ R, rel=1e-9, abs=1e-9 * np.abs(stress).max())
    untouched = -static(structure.place(other), MULTI[name], tmp_path / "untouched").pressure * BAR
    assert np.abs(untouched - R.T @ stress @ R).max() > 1e-3 * np.abs(stress).max()  # LAMMPS's own frame is another


def test_forces_and_stress_are_derivatives_of_the_energy(tmp_path: Path) -> None:
    pair, h = MULTI["tersoff"], 1e-4
    _, forces, stress = in_user_frame(SIC, pair, tmp_path / "here")
    for atom, axis in ((0, 0), (7, 1), (20, 2)):
        energies = []
        for sign in (1, -1):
            moved = SIC.copy()
            moved.positions[atom, axis] += sign * h
            energies.append(static(moved, pair, tmp_path / f"{atom}{axis}{sign}").energy)
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(forces[atom, axis], rel=1e-5, abs=1e-6)
    for i, j in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * h
            strained = SIC.copy()
            strained.set_cell(SIC.cell.array @ strain, scale_atoms=True)
            energies.append(static(strained, pair, tmp_path / f"s{i}{j}{sign}").energy)
        slope = (energies[0] - energies[1]) / (2 * h) / SIC.get_volume()
        # h² times a third derivative of some 20 eV/Å³ is what the difference quotient leaves out.
        assert slope == pytest.approx(stress[i, j], rel=1e-5, abs=2e-7)


# ---- The diffusion deck ----------------------------------------------------------------------------

LIQUID: Settings = {
    "name": "diffusion", "temperature": 110.0, "phase": "liquid", "melt": {"temperature": 200.0, "time": 3.0},
    "equilibrate": 6.0, "sample": 20.0, "timestep": 0.004, "dump_every": 0.2, "thermo_every": 0.004,
    "pressure_damping": 2.0, "temperature_damping": 0.4,
}  # fmt: skip


def frames(outcome: Outcome) -> Trajectory:
    return read_dump(outcome.folder / "trajectory.dump")


def centre(trajectory: Trajectory) -> Floats:
    """How far the centre of equal masses has moved, Å."""
    path = trajectory.positions.mean(axis=1)
    return np.asarray(np.abs(path - path[0]).max())


@pytest.fixture(scope="module")
def liquid(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(render(ARGON, LJ, LIQUID), tmp_path_factory.mktemp("liquid"))


def test_the_frames_are_unwrapped_and_evenly_spaced(liquid: Outcome) -> None:
    found = frames(liquid)
    assert found.steps.tolist() == list(range(0, 5001, 50))
    assert np.diff(found.times) == pytest.approx(0.2, rel=1e-12)
    cell = found.cells[0]
    assert np.array_equal(found.cells, np.broadcast_to(cell, found.cells.shape))
    jumps = np.diff(found.positions, axis=0)
    images = np.rint(jumps @ np.linalg.inv(cell))
    assert not images.any()
    inside = (found.positions - found.origins[:, None]) @ np.linalg.inv(cell)
    assert (inside < 0).any()
    assert (inside > 1).any()  # some atoms have left the cell, and were not brought back


def test_a_dump_of_wrapped_coordinates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(
        '{% include "_setup.j2" %}\nvelocity all create 300 {{ seed("v") }}\nfix move all nve\n'
        "dump trajectory all custom 10 trajectory.dump id type element x y z\n"
        "dump_modify trajectory element Ar\nrun 20\n"
    )
    outcome = run(render(ARGON, LJ, {"name": "custom", "template": "mine.j2"}, folder=tmp_path), tmp_path / "run")
    with pytest.raises(TrajectoryError, match="wrap"):
        frames(outcome)


@pytest.mark.parametrize("measured", ["nvt nose-hoover", "nvt csvr", "nve nose-hoover"])
def test_no_net_momentum_is_pumped_into_the_measurement(measured: str, tmp_path: Path) -> None:
    ensemble, thermostat = measured.split()
    what = {**LIQUID, "ensemble": ensemble, "thermostat": thermostat, "sample": 10.0, "thermo_every": 0.5}
    assert centre(frames(run(render(ARGON, LJ, what), tmp_path / "run"))) < 1e-6


def test_the_momentum_law_catches_a_fix_that_pushes(tmp_path: Path) -> None:
    what = {**LIQUID, "sample": 10.0, "thermo_every": 0.5, "hooks": {"fixes": {"push": "all print 1000 x screen no"}}}
    made = render(ARGON, LJ, what)
    text = made.files[deck.DECK].replace("all print 1000 x screen no", "all addforce 1e-5 0.0 0.0")
    assert text != made.files[deck.DECK]
    pushed = replace(made, files={**made.files, deck.DECK: text})
    assert centre(frames(run(pushed, tmp_path / "run"))) > 1e-3


def test_a_measured_liquid_is_at_its_temperature_and_near_its_pressure(liquid: Outcome) -> None:
    sampled = liquid.log[-1]
    temperature = block_average(column(sampled, "Temp"))
    assert abs(temperature.value - 110.0) < 4 * temperature.standard_error
    # The volume is the mean of 3 ps; its own error is a part of the pressure's.
    assert abs(block_average(column(sampled, "Press"), minimum=0).value) < 200


CRYSTAL: Settings = {
    "name": "diffusion", "temperature": 300.0, "phase": "crystal", "equilibrate": 2.0, "sample": 0.5,
    "dump_every": 0.025, "thermo_every": 0.001, "pressure_damping": 0.5,
}  # fmt: skip
EDGES = ("Lx", "Ly", "Lz", "Xy", "Xz", "Yz")


@pytest.mark.parametrize("coupling", [None, "iso", "aniso", "tri"])
def test_the_measured_cell_is_the_mean_of_the_equilibration(coupling: str | None, tmp_path: Path) -> None:
    # Not cubic, so that lengths and tilts have different means.
    atoms = SI.copy()
    atoms.set_cell(SI.cell.array @ np.array([[1.01, 0.0, 0.0], [0.01, 1.0, 0.0], [0.0, 0.0, 0.99]]), scale_atoms=True)
    outcome = run(render(atoms, SW, {**CRYSTAL, "coupling": coupling}), tmp_path / "run")
    averaged, sampled = outcome.log[1], outcome.log[-1]
    final = {name: column(sampled, name) for name in (*EDGES, "Volume")}
    assert all(np.ptp(values) == 0 for values in final.values())
    if coupling == "iso":
        assert final["Volume"][0] == pytest.approx(column(averaged, "Volume").mean(), rel=1e-10)
    else:
        for name in EDGES[:3] if coupling != "tri" else EDGES:
            mean = column(averaged, name).mean()
            assert final[name][0] == pytest.approx(mean, rel=1e-9, abs=1e-9)
    ratios = [final[name][0] / column(outcome.log[0], name)[0] for name in EDGES[:3]]
    assert (np.ptp(ratios) < 1e-9) == (coupling == "iso")
    kept = np.array([final[name][0] for name in EDGES])
    cell = frames(outcome).cells[-1]
    assert [cell[0, 0], cell[1, 1], cell[2, 2], cell[1, 0], cell[2, 0], cell[2, 1]] == pytest.approx(kept, abs=1e-6)


def test_a_fixed_cell_stays_the_structures(tmp_path: Path) -> None:
    outcome = run(render(SI, SW, {**CRYSTAL, "coupling": "fixed", "equilibrate": 0.2}), tmp_path / "run")
    assert np.unique(column(outcome.log, "Volume")) == pytest.approx([SI.get_volume()], rel=1e-11)


# ---- Relaxing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "pressure"), [("fixed", 0.0), ("iso", 0.0), ("aniso", 20000.0), ("tri", -10000.0)])
def test_a_strained_crystal_relaxes_to_the_target_pressure_and_force(
    cell: str, pressure: float, tmp_path: Path
) -> None:
    strained = rattled(SI, by=0.05)
    strain = np.array([[1.02, 0.0, 0.0], [0.03, 0.99, 0.0], [-0.02, 0.01, 1.01]])
    strained.set_cell(SI.cell.array @ (strain if cell == "tri" else np.diag(strain.diagonal())), scale_atoms=True)
    what = {"name": "minimize", "cell": cell, "pressure": pressure, "force_tolerance": 1e-4}
    outcome = run(render(strained, SW, what), tmp_path / "run")
    assert np.linalg.norm(outcome.forces, axis=1).max() < 1e-4
    p = outcome.pressure
    if cell == "fixed":
        assert column(outcome.log[-1], "Volume")[-1] == pytest.approx(strained.get_volume(), rel=1e-12)
    elif cell == "iso":
        assert np.trace(p) / 3 == pytest.approx(pressure, abs=10.0)
    else:
        assert p.diagonal() == pytest.approx(pressure, abs=10.0)
    if cell == "tri":
        assert p == pytest.approx(pressure * np.eye(3), abs=10.0)
        edges = [column(outcome.log[-1], name)[-1] for name in EDGES]
        assert np.ptp(edges[:3]) < 1e-3  # cubic again
        assert edges[3:] == pytest.approx([0.0] * 3, abs=1e-3)


def test_the_relaxed_lattice_constant_of_silicon_is_the_potentials(tmp_path: Path) -> None:
    """Stillinger–Weber diamond: a = 5.4309 Å, -4.3366 eV an atom."""
    outcome = run(render(SI, SW, {"name": "minimize", "cell": "iso"}), tmp_path / "run")
    assert column(outcome.log[-1], "Lx")[-1] / 2 == pytest.approx(5.4309, abs=1e-3)
    assert outcome.energy / len(SI) == pytest.approx(-4.3366, abs=1e-3)


# ---- Held atoms ------------------------------------------------------------------------------------


def moved(outcome: Outcome) -> Floats:
    """How far each atom has been from its start, Å."""
    positions = frames(outcome).positions
    return np.asarray(np.linalg.norm(positions - positions[0], axis=2).max(axis=0))


def assert_held(outcome: Outcome, held: list[int]) -> None:
    far = moved(outcome)
    rest = np.setdiff1d(np.arange(len(SI)), held)
    assert (far[held] == 0).all()
    assert (far[rest] > 1e-3).all()


HEAT: Settings = {"ensemble": "nvt", "temperature": 600.0, "time": 0.5}


def test_atoms_frozen_by_a_hook_do_not_move(tmp_path: Path) -> None:
    hooks = {"groups": {"hold": "id 1 2 3 40"}, "frozen": "hold"}
    assert_held(md(SI, SW, tmp_path / "run", HEAT, {"ensemble": "nve", "time": 0.5}, hooks=hooks), [0, 1, 2, 39])


@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
@pytest.mark.parametrize("protocol", ["md", "diffusion", "minimize"])
def test_atoms_fixed_in_a_file_do_not_move(suffix: str, protocol: str, tmp_path: Path) -> None:
    atoms = rattled(SI)
    atoms.set_constraint(FixAtoms([0, 5, 63]))
    ase.io.write(tmp_path / f"held.{suffix}", atoms)
    read = build({"file": f"held.{suffix}"}, tmp_path)
    if protocol == "minimize":
        outcome = run(render(read, SW, {"name": "minimize"}), tmp_path / "run")
        dump = outcome.dump()
        final = np.column_stack([dump["xu"], dump["yu"], dump["zu"]])
        far = np.linalg.norm(final - structure.place(read).positions, axis=1)
        assert (far[[0, 5, 63]] < 1e-12).all()
        assert np.median(far) > 1e-2
        return
    what: Mapping[str, Any] = {
        "md": {"name": "md", "stages": [HEAT], "dump_every": 0.05},
        "diffusion": {**CRYSTAL, "coupling": "fixed", "equilibrate": 0.1, "ensemble": "nve"},
    }[protocol]
    assert_held(run(render(read, SW, what), tmp_path / "run"), [0, 5, 63])


def test_held_atoms_keep_their_forces_where_nothing_moves(tmp_path: Path) -> None:
    free = rattled(SI)
    held = free.copy()
    held.set_constraint(FixAtoms([0, 5, 63]))
    one, other = static(free, SW, tmp_path / "free"), static(held, SW, tmp_path / "held")
    assert np.array_equal(one.forces, other.forces)
    assert one.energy == other.energy
