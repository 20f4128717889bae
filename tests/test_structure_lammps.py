"""LAMMPS finds the same energy, forces and stress in every description of one crystal."""

import os
import subprocess
import sys
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.units import fs

from lampion.structure import place, tensor_to_user, to_user, write_data

DECK = """units metal
boundary {boundary}
read_data data.lammps
pair_style lj/cut 5.5
pair_coeff * * 0.1 2.3
pair_coeff 1 1 0.2 2.1
neigh_modify one 10000
compute p all pressure NULL virial
thermo_style custom pe c_p[1] c_p[2] c_p[3] c_p[4] c_p[5] c_p[6]
thermo_modify format float %.17g
dump 1 all custom 1 forces.dump id fx fy fz
dump_modify 1 sort id format float %.17g
run 0
"""


def run(folder: Path, deck: str) -> str:
    """Run LAMMPS in a folder; what it printed."""
    (folder / "in.lammps").write_text(deck)
    lmp = Path(sys.executable).parent / "lmp"
    ran = subprocess.run(
        [str(lmp), "-in", "in.lammps", "-log", "none"],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def lammps(folder: Path, atoms: ase.Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy (eV), forces and virial pressure (bar), in the user's frame."""
    folder.mkdir()
    placed = place(atoms)
    (folder / "data.lammps").write_text(write_data(placed))
    lines = run(folder, DECK.format(boundary=placed.boundary)).splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["PotEng"])
    e, xx, yy, zz, xy, xz, yz = (float(x) for x in lines[start + 1].split())
    forces = np.loadtxt(folder / "forces.dump", skiprows=9, ndmin=2)
    assert (forces[:, 0] == np.arange(1, len(atoms) + 1)).all()
    stress = tensor_to_user(placed, [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return e, to_user(placed, forces[:, 1:]), stress


def crystal(pbc=True) -> ase.Atoms:
    """Orthogonal and along the axes, with two species and atoms off their places."""
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True).repeat((2, 1, 1))
    atoms.pbc = pbc
    atoms.positions += np.random.default_rng(0).normal(scale=0.15, size=atoms.positions.shape)
    return atoms


def rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def other_basis(atoms: ase.Atoms, basis) -> ase.Atoms:
    same = atoms.copy()
    same.set_cell(np.array(basis) @ atoms.cell.array, scale_atoms=False)
    return same


BASES = {
    "left-handed": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
    "inverted": [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "skewed": [[1, 0, 0], [2, 1, 0], [-3, 4, 1]],
    "skewed and left-handed": [[1, 0, 0], [1, 0, 1], [2, 1, -3]],
    "triclinic": [[1, 0, 0], [0, 1, 0], [0, 1, 1]],
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return lammps(tmp_path_factory.mktemp("lammps") / "reference", crystal())


@pytest.mark.parametrize("name", BASES)
def test_energy_forces_and_stress_do_not_depend_on_the_description(tmp_path, reference, name):
    energy, forces, stress = reference
    Q = rotation(len(name))
    atoms = other_basis(crystal(), BASES[name])
    atoms.set_cell(atoms.cell.array @ Q, scale_atoms=False)
    atoms.positions = atoms.positions @ Q
    e, f, s = lammps(tmp_path / "run", atoms)
    assert e == pytest.approx(energy, abs=1e-10)
    assert np.abs(f - forces @ Q).max() < 1e-10
    assert np.abs(s - Q.T @ stress @ Q).max() < 1e-8 * np.abs(stress).max()


def test_a_mirrored_crystal_would_have_been_noticed(reference):
    # The stress has shear parts, which a mirror z → -z turns around; the tests above aren't blind to it.
    stress = reference[2]
    assert np.abs(stress[[0, 0, 1], [1, 2, 2]]).min() > 1e-3 * np.abs(stress).max()


@pytest.mark.parametrize("pbc", [(1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1), (0, 1, 0), (0, 0, 0)])
def test_slabs_wires_and_clusters_do_not_depend_on_the_description_either(tmp_path, pbc):
    plain = crystal(pbc)
    plain.set_cell(plain.cell.array * np.where(pbc, 1.0, 5.0)[:, None], scale_atoms=False)
    energy, forces, _ = lammps(tmp_path / "plain", plain)
    Q = rotation(7)
    turned = plain.copy()
    cell = plain.cell.array.copy()
    for i in range(3):
        if not pbc[i]:
            cell[i] += 1.3  # leans
    turned.set_cell(cell @ Q, scale_atoms=False)
    turned.positions = plain.positions @ Q
    e, f, _ = lammps(tmp_path / "turned", turned)
    assert e == pytest.approx(energy, abs=1e-10)
    assert np.abs(f - forces @ Q).max() < 1e-10


def test_atoms_keep_their_ids_types_and_velocities(tmp_path):
    atoms = other_basis(crystal(), BASES["left-handed"])
    atoms.set_velocities(np.random.default_rng(1).normal(size=atoms.positions.shape) * 1e-3)
    placed = place(atoms)
    (tmp_path / "data.lammps").write_text(write_data(placed))
    dump = "write_dump all custom v.dump id type vx vy vz modify sort id format float %.17g"
    run(tmp_path, f"units metal\nread_data data.lammps\n{dump}\n")
    table = np.loadtxt(tmp_path / "v.dump", skiprows=9)
    assert (table[:, 1] == placed.types).all()
    assert np.allclose(to_user(placed, table[:, 2:]), atoms.get_velocities() * 1000 * fs, atol=1e-12)
