"""Atoms in LAMMPS's frame: the same crystal, a proper rotation, the same lattice."""

import ase
import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms, FixedPlane
from ase.units import fs
from hypothesis import given, settings
from hypothesis import strategies as st

from lampion.errors import StructureError
from lampion.structure import place, tensor_to_user, to_user, user_atoms, write_data
from lampion.structure.place import MARGIN

PBC = [(True,) * 3, (True, True, False), (True, False, True), (False, True, True), (True, False, False),
       (False, True, False), (False, False, True), (False,) * 3]  # fmt: skip


def random_atoms(rng: np.random.Generator, pbc=True, n: int = 6) -> ase.Atoms:
    """A cell with edges of 4 to 9 Å, of either hand, rotated at will, with atoms in and out of it."""
    while True:
        cell = rng.normal(size=(3, 3))
        cell *= rng.uniform(4, 9, size=(3, 1)) / np.linalg.norm(cell, axis=1)[:, None]
        if abs(np.linalg.det(cell)) > 40:
            break
    atoms = ase.Atoms(
        rng.choice(["Li", "S", "Cl"], n), scaled_positions=rng.uniform(-2, 2, (n, 3)), cell=cell, pbc=pbc
    )
    atoms.set_velocities(rng.normal(size=(n, 3)))
    return atoms


def lammps_atoms(placement) -> ase.Atoms:
    return ase.Atoms(
        [placement.species[t - 1] for t in placement.types],
        positions=placement.positions, cell=placement.cell, pbc=placement.periodic,
    )  # fmt: skip


def lattice_distances(atoms: ase.Atoms, reach: int = 8) -> np.ndarray:
    """Shortest distance of each pair over many images, by brute force."""
    n = [range(-reach, reach + 1) if p else (0,) for p in atoms.pbc]
    shifts = np.array([[i, j, k] for i in n[0] for j in n[1] for k in n[2]]) @ atoms.cell.array
    wrapped = atoms.copy()
    wrapped.wrap(eps=0)
    d = wrapped.positions[:, None, None] - wrapped.positions[None, :, None] + shifts
    return np.linalg.norm(d, axis=-1).min(axis=-1)


def assert_sound(atoms: ase.Atoms) -> None:
    placed = place(atoms)
    R, cell = placed.rotation, placed.cell
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1, abs=1e-12)
    assert abs(round(np.linalg.det(placed.basis))) == 1
    assert (np.triu(cell, 1) == 0).all()
    assert (cell.diagonal() > 0).all()
    periodic = np.array(placed.periodic)
    scale = np.abs(cell).max()
    assert np.allclose((placed.basis @ atoms.cell.array @ R - cell)[periodic], 0, atol=1e-11 * scale)
    # LAMMPS's rules: a tilt needs its second direction periodic, and is half an edge at most.
    for i, j in ((1, 0), (2, 0), (2, 1)):
        assert abs(cell[i, j]) <= 0.5 * cell[j, j]
        assert cell[i, j] == 0 or periodic[i]
    inside = (placed.positions - placed.origin) @ np.linalg.inv(cell)
    assert inside.min() > -1e-9
    assert inside.max() < 1 + 1e-9
    assert (placed.origin[periodic] == 0).all()
    # The atoms are where the user's are, up to a lattice vector.
    moved = to_user(placed, placed.positions) - atoms.positions
    if periodic.any():
        images = np.linalg.lstsq(atoms.cell.array[periodic].T, moved.T, rcond=None)[0]
        assert np.allclose(images, np.rint(images), atol=1e-9)
        moved = moved - np.rint(images).T @ atoms.cell.array[periodic]
    assert np.allclose(moved, 0, atol=1e-9)


# --- the equations --------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 10**9), pbc=st.sampled_from(PBC))
def test_any_cell_becomes_the_same_lattice_in_lammps_frame(seed, pbc):
    assert_sound(random_atoms(np.random.default_rng(seed), pbc))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pbc", PBC)
def test_all_pair_distances_stay(seed, pbc):
    atoms = random_atoms(np.random.default_rng(seed), pbc)
    assert np.allclose(lattice_distances(atoms), lattice_distances(lammps_atoms(place(atoms))), atol=1e-9)


def test_a_left_handed_cell_is_not_mirrored():
    # Four atoms that make a chiral object: its signed volume changes sign under a mirror.
    x = np.array([[1, 1, 1], [2, 1, 1], [1, 2.2, 1], [1, 1, 2.5]], float)
    atoms = ase.Atoms("Li4", positions=x, cell=[[0, 9, 0], [9, 0, 0], [0, 0, 9]], pbc=True)
    assert np.linalg.det(atoms.cell.array) < 0
    y = to_user(place(atoms), np.eye(3))
    assert np.linalg.det(y) == pytest.approx(1)
    p = lammps_atoms(place(atoms))
    d = p.get_distances(0, [1, 2, 3], mic=True, vector=True)
    assert np.linalg.det(d) == pytest.approx(np.linalg.det(x[1:] - x[0]))


def test_a_strong_skew_is_reduced_by_lattice_vectors():
    atoms = ase.Atoms("Li", positions=[[1, 2, 3]], cell=[[10, 0, 0], [37, 10, 0], [-52, 81, 10]], pbc=True)
    placed = place(atoms)
    assert placed.cell.diagonal() == pytest.approx([10, 10, 10])
    assert placed.cell[1, 0] == pytest.approx(-3)
    assert (np.abs(placed.cell - np.diag(placed.cell.diagonal())) <= 5).all()
    assert_sound(atoms)


def test_a_cell_along_the_axes_stays_as_it_is():
    atoms = bulk("Li", "bcc", a=3.51, cubic=True).repeat((2, 3, 1))
    placed = place(atoms)
    assert (placed.rotation == np.eye(3)).all()
    assert (placed.basis == np.eye(3)).all()
    assert (placed.cell == atoms.cell.array).all()
    assert (placed.positions == atoms.positions).all()


def test_tilts_of_round_off_are_zero_and_not_written():
    angle = 0.3
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    atoms = ase.Atoms("Li", cell=4.321 * turn, pbc=True)
    placed = place(atoms)
    assert (placed.cell == np.diag(placed.cell.diagonal())).all()
    assert "xy xz yz" not in write_data(placed)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**9))
def test_vectors_and_tensors_come_back_in_the_users_frame(seed):
    rng = np.random.default_rng(seed)
    placed = place(random_atoms(rng))
    v, w = rng.normal(size=(2, 5, 3))
    R = placed.rotation
    assert np.allclose(to_user(placed, v @ R), v)
    # The outer product of two vectors is a tensor, and T_lammps is made of their LAMMPS components.
    T = np.einsum("ni,nj->nij", v, w)
    T_lammps = np.einsum("ni,nj->nij", v @ R, w @ R)
    assert np.allclose(tensor_to_user(placed, T_lammps), T)
    assert np.allclose(R.T @ T @ R, T_lammps)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**9), pbc=st.sampled_from(PBC))
def test_what_lammps_returns_becomes_the_users_cell_again(seed, pbc):
    rng = np.random.default_rng(seed)
    atoms = random_atoms(rng, pbc)
    placed = place(atoms)
    back = user_atoms(placed, placed.positions, placed.cell, atoms)
    assert np.allclose(back.cell.array, atoms.cell.array, atol=1e-10)
    assert np.allclose(lattice_distances(back), lattice_distances(atoms), atol=1e-9)
    assert back.get_chemical_symbols() == atoms.get_chemical_symbols()


def test_a_dilated_box_dilates_the_users_cell():
    atoms = random_atoms(np.random.default_rng(1))
    placed = place(atoms)
    back = user_atoms(placed, 1.1 * placed.positions, 1.1 * placed.cell, atoms)
    assert back.cell.array == pytest.approx(1.1 * atoms.cell.array)
    assert not back.has("momenta")


def test_fixed_atoms_come_back_where_lammps_put_them():
    atoms = ase.Atoms("Li2", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True, constraint=FixAtoms([0]))
    placed = place(atoms)
    back = user_atoms(placed, placed.positions + 0.5, placed.cell, atoms)
    assert back.positions[0] == pytest.approx([0.5, 0.5, 0.5])
    assert len(back.constraints) == 1


# --- directions that aren't periodic --------------------------------------------------------------------------


def test_a_slab_with_a_leaning_c_gets_an_upright_box_that_holds_it():
    slab = fcc111("Cu", (2, 2, 3), a=3.6, vacuum=6.0)
    slab.pbc = (True, True, False)
    cell = slab.cell.array.copy()
    cell[2] += [3.0, 1.0, 0.0]
    slab.set_cell(cell)
    placed = place(slab)
    assert placed.boundary == "p p s"
    assert (placed.cell[2, :2] == 0).all()
    assert placed.cell[2, 2] == pytest.approx(cell[2, 2])
    assert_sound(slab)


@pytest.mark.parametrize("pbc", PBC[1:])
def test_the_box_grows_to_hold_atoms_outside_it(pbc):
    atoms = ase.Atoms("Li2", positions=[[-7, -7, -7], [11, 11, 11]], cell=[4, 4, 4], pbc=pbc)
    placed = place(atoms)
    free = ~np.array(pbc)
    high = placed.origin + placed.cell.diagonal()
    assert np.allclose(placed.origin[free], -7 - MARGIN)
    assert np.allclose(high[free], 11 + MARGIN)
    assert np.allclose(placed.cell.diagonal()[~free], 4)


def test_a_cluster_without_a_cell_keeps_its_frame():
    atoms = ase.Atoms("Li3", positions=[[0, 0, 0], [3, 0, 0], [0, 3, 1]])
    placed = place(atoms)
    assert placed.boundary == "s s s"
    assert (placed.rotation == np.eye(3)).all()
    assert (placed.positions == atoms.positions).all()


@pytest.mark.parametrize("axis", range(3))
def test_a_wire_along_an_axis_keeps_its_frame(axis):
    cell = np.zeros((3, 3))
    cell[axis, axis] = 5.0
    atoms = ase.Atoms("Li2", positions=[[1, 1, 1], [2, 3, 2]], cell=cell, pbc=np.arange(3) == axis)
    placed = place(atoms)
    assert np.allclose(placed.rotation, np.eye(3))
    assert placed.boundary.split().index("p") == axis


# --- types, ids, constraints, velocities ----------------------------------------------------------------------


def test_isotopes_are_types_of_their_own_sorted_by_symbol_and_mass():
    atoms = ase.Atoms(
        "LiClLiLi", positions=2 * np.eye(4)[:, :3], cell=[9, 9, 9], pbc=True, masses=[7.016, 35.45, 6.015, 7.016]
    )
    placed = place(atoms)
    assert placed.species == ("Cl", "Li", "Li")
    assert placed.masses == (35.45, 6.015, 7.016)
    assert list(placed.types) == [3, 1, 2, 3]


def test_frozen_ids_count_from_one_and_other_constraints_are_refused():
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.set_constraint([FixAtoms([3, 1]), FixAtoms([1])])
    assert place(atoms).frozen == (2, 4)
    atoms.set_constraint(FixedPlane(0, [0, 0, 1]))
    with pytest.raises(StructureError, match="FixedPlane"):
        place(atoms)


def test_velocities_are_in_angstrom_per_picosecond():
    atoms = ase.Atoms("Li", cell=[4, 4, 4], pbc=True)
    assert place(atoms).velocities is None
    atoms.set_velocities([[0, 0.01 / fs, 0]])  # 0.01 Å/fs = 10 Å/ps
    assert place(atoms).velocities[0] == pytest.approx([0, 10, 0])


@pytest.mark.parametrize(
    ("atoms", "part"),
    [
        (ase.Atoms(), "no atoms"),
        (ase.Atoms("Li", positions=[[0, np.nan, 0]]), "no finite numbers"),
        (ase.Atoms("Li", cell=[4, 4, 0], pbc=True), "depend on each other"),
        (ase.Atoms("Li", cell=[[4, 0, 0], [8, 0, 0], [0, 0, 4]], pbc=True), "depend on each other"),
        (ase.Atoms("Li", cell=[[4, 0, 0], [8, 0, 0], [0, 0, 4]], pbc=(1, 1, 0)), "depend on each other"),
        (ase.Atoms("Li", pbc=(1, 0, 0)), "depend on each other"),
    ],
)
def test_what_has_no_place_in_lammps_is_refused(atoms, part):
    with pytest.raises(StructureError, match=part):
        place(atoms)


# --- the data file --------------------------------------------------------------------------------------------


def test_the_data_file_is_the_same_text_each_time_and_carries_every_digit():
    atoms = random_atoms(np.random.default_rng(3))
    placed = place(atoms)
    text = write_data(placed)
    assert text == write_data(place(atoms))
    rows = [line.split() for line in text.split("Atoms # atomic\n\n")[1].split("\n\n")[0].splitlines()]
    assert (np.array([row[2:] for row in rows], float) == placed.positions).all()
    assert [int(row[0]) for row in rows] == list(range(1, 7))
    velocities = [line.split()[1:] for line in text.split("Velocities\n\n")[1].splitlines()]
    assert (np.array(velocities, float) == placed.velocities).all()


def test_charges_stand_between_type_and_position_and_none_may_lack():
    placed = place(ase.Atoms("LiCl", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True))
    assert "\n2 1 -1 2 2 2\n" in write_data(placed, {"Li": 1.0, "Cl": -1.0})
    with pytest.raises(StructureError, match="no charge is given for Cl"):
        write_data(placed, {"Li": 1.0})
