"""What makes a structure unfit for a simulation, each in a sentence."""

import ase
import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from lampion.errors import StructureError
from lampion.structure.place import frozen_ids

CLOSEST = 0.5
"""Two atoms closer than this times the sum of their covalent radii are refused."""


def check_cell(atoms: ase.Atoms, name: str) -> None:
    """Refuse a structure without atoms, finite numbers, or lattice vectors along periodic directions.

    Args:
        atoms: the structure as read.
        name: how the user calls it, for the message.

    Raises:
        StructureError: any of these; the message names the atom or the direction.
    """
    if len(atoms) == 0:
        raise StructureError(f"{name}: the structure has no atoms: give one that has some")
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(bad):
        x = " ".join(f"{value:g}" for value in atoms.positions[bad[0]])
        raise StructureError(f"{name}: atom {bad[0] + 1} has the position {x}: give finite numbers")
    if not np.isfinite(atoms.cell.array).all():
        raise StructureError(f"{name}: the cell holds values that are no finite numbers: correct it")
    if atoms.has("momenta") and not np.isfinite(atoms.get_momenta()).all():
        raise StructureError(f"{name}: the velocities hold values that are no finite numbers: correct or remove them")
    lengths = np.linalg.norm(atoms.cell.array, axis=1)
    for i in range(3):
        if atoms.pbc[i] and lengths[i] < 1e-6:
            raise StructureError(
                f"{name}: direction {'abc'[i]} is periodic and has no lattice vector: give it, or pbc"
            )
    vectors = atoms.cell.array[np.asarray(atoms.pbc)]
    if len(vectors) and np.linalg.svd(vectors / np.linalg.norm(vectors, axis=1)[:, None])[1].min() < 1e-6:
        raise StructureError(
            f"{name}: the cell's periodic vectors depend on each other (no volume): correct the cell"
        )


def check_species(atoms: ase.Atoms, name: str) -> None:
    """Refuse atoms that are no element, masses that aren't positive, and constraints other than FixAtoms.

    Raises:
        StructureError: any of these.
    """
    unknown = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > 118))
    if len(unknown):
        raise StructureError(f"{name}: atom {unknown[0] + 1} is of an unknown species (X): give its element")
    masses = atoms.get_masses()
    bad = np.flatnonzero(~(np.isfinite(masses) & (masses > 0)))
    if len(bad):
        i = bad[0]
        raise StructureError(f"{name}: atom {i + 1} has the mass {masses[i]:g} g/mol: give a positive one")
    try:
        frozen_ids(atoms)
    except StructureError as error:
        raise StructureError(f"{name}: {error}") from None


def check_overlap(atoms: ase.Atoms, name: str) -> None:
    """Refuse two atoms, or an atom and a periodic image, that sit on one another.

    The closest pair counts, measured by d / (r_i + r_j) with covalent radii r; the search is linear in n_atoms.

    Raises:
        StructureError: that ratio is below `CLOSEST`.
    """
    radii = covalent_radii[atoms.numbers]
    first, second, d = neighbor_list("ijd", atoms, CLOSEST * radii)
    if len(d) == 0:
        return
    k = int(np.argmin(d / (radii[first] + radii[second])))
    i, j = int(first[k]), int(second[k])
    limit = CLOSEST * (radii[i] + radii[j])
    what = (
        f"atom {i + 1} ({atoms.symbols[i]}) and its own periodic image"
        if i == j
        else f"atoms {i + 1} ({atoms.symbols[i]}) and {j + 1} ({atoms.symbols[j]})"
    )
    raise StructureError(
        f"{name}: {what} are {d[k]:.3f} Å apart, less than {limit:.2f} Å: remove or move one of them"
    )
