"""Repeated cells."""

import ase
import numpy as np
from ase.build.supercells import lattice_points_in_supercell
from ase.constraints import FixAtoms

from lampion.errors import StructureError
from lampion.structure.place import frozen_ids
from lampion.structure.settings import Matrix3, Vector3

LARGEST = 20_000_000
"""Atoms of a supercell; more are a mistake, or no job for a single text file."""


def repeat(atoms: ase.Atoms, supercell: Vector3 | Matrix3, name: str) -> ase.Atoms:
    """The cell P·cell and all atoms in it: image by image, each in the order of the given atoms.

    Arrays such as masses, momenta and tags are repeated, and so is FixAtoms. Positions aren't wrapped.

    Args:
        atoms: the cell to repeat.
        supercell: repetitions along a, b, c, or the integer matrix P whose rows are the new lattice vectors.
        name: how the user calls the structure, for the message.

    Raises:
        StructureError: a repetition below 1, det P ≤ 0, a direction repeated that has no lattice vector, or a
            matrix that mixes periodic directions with others.
    """
    P = np.diag(supercell).astype(object) if np.ndim(supercell) == 1 else np.array(supercell, dtype=object)
    shown = " ".join(str(x) for x in supercell)
    if max(abs(int(x)) for x in P.flat) > LARGEST or abs(int(P.diagonal().prod())) * len(atoms) > LARGEST:
        raise StructureError(f"{name}: the supercell {shown} makes more than {LARGEST:,} atoms: choose a smaller one")
    P = P.astype(int)
    if np.ndim(supercell) == 1 and P.diagonal().min() < 1:
        raise StructureError(f"{name}: the supercell {shown} has a repetition below 1: give positive ones")
    if round(float(np.linalg.det(P))) < 1:
        raise StructureError(
            f"{name}: the supercell {shown} has no positive determinant: swap two rows, or correct it"
        )
    if np.array_equal(P, np.eye(3)):
        return atoms
    periodic = np.asarray(atoms.pbc)
    for i in range(3):
        if not atoms.cell.array[i].any() and (P[i] != np.eye(3)[i]).any():
            raise StructureError(f"{name}: direction {'abc'[i]} has no lattice vector to repeat: repeat it once")
    if (P[np.ix_(periodic, ~periodic)] != 0).any() or (P[np.ix_(~periodic, periodic)] != 0).any():
        raise StructureError(f"{name}: the supercell {shown} mixes periodic directions with others: keep them apart")
    points = lattice_points_in_supercell(P) @ P @ atoms.cell.array
    fixed = np.array(frozen_ids(atoms), dtype=int) - 1
    n = len(atoms)
    one = atoms.copy()
    one.set_constraint()
    big: ase.Atoms = one[np.tile(np.arange(n), len(points))]
    big.arrays["positions"] += np.repeat(points, n, axis=0)
    big.set_cell(P @ atoms.cell.array, scale_atoms=False)
    if len(fixed):
        big.set_constraint(FixAtoms(np.concatenate([fixed + n * k for k in range(len(points))])))
    return big
