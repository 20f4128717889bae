"""What other programs are given is what LAMMPS computed, in the user's frame."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from lampion.errors import TrajectoryError
from lampion.thermo import ThermoRun, read_log
from lampion.trajectory import Trajectory, export, read_dump

# An argon crystal in a cell that LAMMPS must turn: the rotation and the basis that a placement would give.
R = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
B = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]])
DECK = """
units metal
box tilt large
lattice fcc 5.26
region b prism 0 3 0 3 0 3 0.3 0.2 -0.1
create_box 1 b
create_atoms 1 box
mass 1 39.948
pair_style lj/cut 7.5
pair_coeff * * 0.0103 3.4
velocity all create 40 17
timestep 0.002
fix move all nve
compute virial all pressure NULL virial
thermo 10
thermo_style custom step temp pe c_virial[*]
dump d all custom 10 a.bin id type xu yu zu vx vy vz fx fy fz mass
dump_modify d time yes units yes
run 50
"""


Runs = tuple[ThermoRun, ...]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lmp = shutil.which("lmp")
    if lmp is None:
        pytest.skip("no lmp on the path")
    path = tmp_path_factory.mktemp("argon")
    (path / "in.lammps").write_text(DECK)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([lmp, "-in", "in.lammps", "-screen", "none"], cwd=path, check=True, timeout=100, env=environment)
    return path


@pytest.fixture(scope="module")
def runs(folder: Path) -> tuple[ThermoRun, ...]:
    return read_log(folder / "log.lammps")


@pytest.fixture(scope="module")
def trajectory(folder: Path) -> Trajectory:
    return read_dump(folder / "a.bin", species={1: "Ar"}, columns=["vx", "vy", "vz", "fx", "fy", "fz"])


@pytest.mark.parametrize("turned", [False, True])
def test_ase_computes_the_energies_forces_and_stresses_that_were_exported(
    trajectory: Trajectory, runs: tuple[ThermoRun, ...], turned: bool
) -> None:
    stresses = export.stresses(trajectory, runs, rotation=R if turned else None)
    energies = export.energies(trajectory, runs)
    if turned:
        trajectory = export.in_frame(trajectory, rotation=R, basis=B)
    frames = export.to_ase(trajectory, energies=energies, stresses=stresses)
    for atoms in (frames[0], frames[-1]):
        exported = {key: np.array(atoms.calc.results[key]) for key in ("energy", "forces", "stress")}
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.0103, rc=7.5, smooth=False)
        # ASE shifts the pair energy to zero at the cutoff, LAMMPS doesn't; forces and stress are the same.
        np.testing.assert_allclose(atoms.get_forces(), exported["forces"], atol=1e-6)
        np.testing.assert_allclose(atoms.get_stress(), exported["stress"], atol=1e-8)
        assert atoms.get_kinetic_energy() > 0
    kinetic = [atoms.get_kinetic_energy() for atoms in frames]
    temperatures = runs[0].columns["Temp"]
    np.testing.assert_allclose(kinetic, 1.5 * 8.617333e-5 * temperatures * (trajectory.n_atoms - 1), rtol=1e-4)


def test_the_users_frame_is_the_one_before_placement() -> None:
    atoms = bulk("NaCl", "rocksalt", 5.6) * (2, 1, 1)
    user = Trajectory(
        positions=atoms.positions[None],
        cells=atoms.cell.array[None],
        origins=np.zeros((1, 3)),
        periodic=np.ones(3, bool),
        ids=np.arange(1, len(atoms) + 1),
        species=np.array(atoms.get_chemical_symbols()),
        steps=[0],
        times=[0.0],
        unwrapping="made up",
    )
    placed = Trajectory(**{**user.__dict__, "positions": user.positions @ R, "cells": B @ user.cells @ R})
    back = export.in_frame(placed, rotation=R, basis=B)
    np.testing.assert_allclose(back.positions, user.positions, atol=1e-12)
    np.testing.assert_allclose(back.cells, user.cells, atol=1e-12)
    with pytest.raises(TrajectoryError, match="orthogonal"):
        export.in_frame(placed, rotation=2 * R)
    with pytest.raises(TrajectoryError, match="whole numbers"):
        export.in_frame(placed, rotation=R, basis=1.5 * B)


def test_extxyz_holds_what_relabelling_needs(
    trajectory: Trajectory, runs: tuple[ThermoRun, ...], tmp_path: Path
) -> None:
    energies, stresses = export.energies(trajectory, runs), export.stresses(trajectory, runs)
    path = export.write_extxyz(tmp_path / "a.extxyz", trajectory, energies=energies, stresses=stresses)
    frames = ase.io.read(path, index=":")
    assert len(frames) == trajectory.n_frames
    np.testing.assert_allclose([atoms.get_potential_energy() for atoms in frames], energies)
    np.testing.assert_allclose([atoms.get_stress(voigt=False) for atoms in frames], stresses, atol=1e-12)
    np.testing.assert_allclose([atoms.positions for atoms in frames], trajectory.positions, atol=1e-7)
    forces = np.stack([trajectory.extras[name] for name in ("fx", "fy", "fz")], axis=2)
    np.testing.assert_allclose([atoms.get_forces() for atoms in frames], forces, atol=1e-7)
    with pytest.raises(TrajectoryError, match="exists"):
        export.write_extxyz(path, trajectory)


def test_steps_that_the_log_lacks_are_refused(trajectory: Trajectory, runs: tuple[ThermoRun, ...]) -> None:
    odd = Trajectory(**{**trajectory.__dict__, "steps": trajectory.steps + 5})
    with pytest.raises(TrajectoryError, match="no row at step 5"):
        export.energies(odd, runs)
    with pytest.raises(TrajectoryError, match=r"c_other\[1\]"):
        export.stresses(trajectory, runs, compute="other")


def test_the_table_has_a_row_for_each_atom_of_each_frame(trajectory: Trajectory) -> None:
    table = export.to_pandas(trajectory)
    assert len(table) == trajectory.n_frames * trajectory.n_atoms
    row = table[(table["step"] == 20) & (table["id"] == 7)].iloc[0]
    assert row["y (Å)"] == trajectory.positions[2, 6, 1]
    assert row["vx (Å/ps)"] == trajectory.extras["vx"][2, 6]
    assert row["time (ps)"] == 0.04


@pytest.mark.physics
@pytest.mark.filterwarnings("ignore")
def test_pymatgen_gets_the_same_structure(trajectory: Trajectory) -> None:
    pytest.importorskip("pymatgen.core")
    structures = export.to_pymatgen(trajectory)
    np.testing.assert_allclose(structures[3].cart_coords + trajectory.origins[3], trajectory.positions[3], atol=1e-9)
    np.testing.assert_allclose(structures[3].lattice.matrix, trajectory.cells[3])


@pytest.mark.physics
@pytest.mark.filterwarnings("ignore")
def test_mdanalysis_gets_the_same_universe(trajectory: Trajectory) -> None:
    pytest.importorskip("MDAnalysis")
    universe = export.to_mdanalysis(trajectory)
    assert len(universe.trajectory) == trajectory.n_frames
    frame = universe.trajectory[3]
    np.testing.assert_allclose(frame.positions, trajectory.positions[3], atol=1e-5)
    np.testing.assert_allclose(frame.triclinic_dimensions, trajectory.cells[3], atol=1e-4)
    np.testing.assert_allclose(frame.time, trajectory.times[3], atol=1e-9)
    with pytest.raises(TrajectoryError, match="edges and angles"):
        export.to_mdanalysis(export.in_frame(trajectory, rotation=R))


def test_a_missing_program_is_named(trajectory: Trajectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "MDAnalysis", None)
    with pytest.raises(TrajectoryError, match="pip install MDAnalysis"):
        export.to_mdanalysis(trajectory)


def test_what_does_not_fit_is_refused_in_a_sentence(trajectory: Trajectory, tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match=r"energies must be of shape \(6,\)"):
        export.to_ase(trajectory, energies=[1.0])
    with pytest.raises(TrajectoryError, match=r"stresses must be of shape \(6, 3, 3\)"):
        export.to_ase(trajectory, stresses=np.zeros((6, 6)))
    with pytest.raises(TrajectoryError, match="there is no folder"):
        export.write_extxyz(tmp_path / "none/a.xyz", trajectory)
    nameless = replace(trajectory, species=np.full(trajectory.n_atoms, "X1"))
    for write in (export.to_ase, export.to_pymatgen):
        with pytest.raises(TrajectoryError, match="no chemical symbol"):
            write(nameless)


def test_uneven_frames_are_not_made_even_for_mdanalysis(trajectory: Trajectory) -> None:
    times = trajectory.times.copy()
    times[-1] += 0.5
    uneven = replace(trajectory, times=times)
    with pytest.raises(TrajectoryError, match="one interval between frames"):
        export.to_mdanalysis(uneven)


def test_the_energies_of_a_dump_come_from_its_part_of_the_log(trajectory: Trajectory, runs: Runs) -> None:
    """Our diffusion decks equilibrate, reset the step, and measure."""
    (run,) = runs
    other = replace(run, columns={**run.columns, "PotEng": run.columns["PotEng"] + 1}, reset=True)
    short = replace(other, columns={name: column[:2] for name, column in other.columns.items()}, reset=False)
    with pytest.raises(TrajectoryError, match="2 parts of the log"):
        export.energies(trajectory, [run, other])
    found = export.energies(trajectory, [short, replace(run, reset=True)])
    assert found == pytest.approx(run.columns["PotEng"])
