r"""Atoms in LAMMPS's frame: a right-handed, lower-triangular cell that isn't strongly skewed.

Vectors are rows. With R the proper rotation (det R = +1) and B the unimodular integer matrix of a `Placement`,

    v_lammps    = v_user R            v_user = v_lammps Rᵀ
    T_lammps    = Rᵀ T_user R         T_user = R T_lammps Rᵀ
    cell_lammps = B cell_user R       (rows of periodic directions)

Nothing is mirrored and nothing translated: a left-handed cell gets c → −c, which is the same lattice, and a cell
that is skewed too much gets b → b − n a, c → c − n b − m a, which is the same lattice again. Atoms are wrapped
into the cell along periodic directions.

The edge of the box along a direction that isn't periodic is no lattice vector. It is put at a right angle to the
others, so that LAMMPS needs no tilt there, and made long enough for the user's cell and for all atoms and a
`MARGIN` on each side; LAMMPS then shrink-wraps it (boundary s). Its row of B is that of the unit matrix.
With no periodic direction at all R is the unit matrix.

The tilts are at most half the edge that they lean along, xy and xz of lx and yz of ly, which adding lattice vectors
can always reach. LAMMPS of 2025 calls a skew large by another measure, xy > ly/2, xz > lz/2 or yz > lz/2: the
primitive hexagonal cell is, in every description. That warning is about speed alone.
"""

from dataclasses import dataclass

import ase
import numpy as np
from ase.constraints import FixAtoms
from ase.units import fs
from numpy.typing import ArrayLike, NDArray

from lampion.errors import StructureError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MARGIN = 1.0
"""Å between the outermost atom and the face of the box, along a direction that isn't periodic."""

_ROUND_OFF = 1e-12
_ASE_TO_PER_PS = 1000.0 * fs


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Atoms as LAMMPS gets them; ids are 1 … N in the user's order. Its arrays can't be written to."""

    cell: Floats
    """(3, 3) Å, rows a, b, c; lower triangular with a positive diagonal."""
    origin: Floats
    """(3,) Å, xlo, ylo, zlo of the box; zero along periodic directions."""
    positions: Floats
    """(n_atoms, 3) Å."""
    types: Ints
    """(n_atoms,) counted from 1."""
    species: tuple[str, ...]
    """Element of each type; types are sorted by symbol, then mass."""
    masses: tuple[float, ...]
    """g/mol, of each type."""
    periodic: tuple[bool, bool, bool]
    """Along a, b, c."""
    frozen: tuple[int, ...]
    """Ids of the atoms that `ase.constraints.FixAtoms` holds."""
    velocities: Floats | None
    """(n_atoms, 3) Å/ps, or None where the user gave no momenta."""
    rotation: Floats
    """(3, 3) R, proper."""
    basis: Ints
    """(3, 3) B, unimodular."""

    def __post_init__(self) -> None:
        for array in (self.cell, self.origin, self.positions, self.types, self.velocities, self.rotation, self.basis):
            if array is not None:
                array.setflags(write=False)

    @property
    def boundary(self) -> str:
        """What LAMMPS's `boundary` says: p periodic, s shrink-wrapped, as in `p p s`."""
        return " ".join("p" if flag else "s" for flag in self.periodic)


def place(atoms: ase.Atoms) -> Placement:
    """Put atoms into LAMMPS's frame; see this module's equations.

    Raises:
        StructureError: no atoms, a constraint other than FixAtoms, a position that is no number, or periodic
            lattice vectors that are zero or depend on each other.

    >>> placed = place(ase.Atoms("Li", cell=[[0, 3, 0], [3, 0, 0], [0, 0, 3]], pbc=True))  # left-handed
    >>> float(np.linalg.det(placed.rotation)), placed.boundary
    (1.0, 'p p p')
    """
    if len(atoms) == 0:
        raise StructureError("the structure has no atoms: give one that has some")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise StructureError("the structure holds positions or cell vectors that are no finite numbers: correct them")
    periodic = _flags(atoms)
    rotation, basis, cell = _frame(atoms.cell.array, periodic)
    positions = atoms.positions @ rotation
    corner = np.ravel(atoms.get_celldisp()) @ rotation
    cell, origin = _hold(cell, positions, (corner, corner + (atoms.cell.array @ rotation).diagonal()), periodic)
    types, species, masses = _types(atoms)
    velocities = atoms.get_velocities() * _ASE_TO_PER_PS @ rotation if atoms.has("momenta") else None
    return Placement(
        cell=cell,
        origin=origin,
        positions=_wrap(positions, cell, periodic),
        types=types,
        species=species,
        masses=masses,
        periodic=periodic,
        frozen=frozen_ids(atoms),
        velocities=velocities,
        rotation=rotation,
        basis=basis,
    )


def to_user(placement: Placement, vectors: ArrayLike) -> Floats:
    """Vectors in the user's frame: v_user = v_lammps Rᵀ.

    Args:
        placement: what `place` returned.
        vectors: (…, 3) in LAMMPS's frame, of any unit; velocities, forces, displacements, positions.
    """
    return np.asarray(np.asarray(vectors, float) @ placement.rotation.T)


def tensor_to_user(placement: Placement, tensor: ArrayLike) -> Floats:
    """Tensors of rank two in the user's frame: T_user = R T_lammps Rᵀ.

    With row vectors, w = v T in LAMMPS's frame becomes w Rᵀ = (v Rᵀ)(R T Rᵀ).

    Args:
        placement: what `place` returned.
        tensor: (…, 3, 3) in LAMMPS's frame, of any unit; stress, diffusion.
    """
    R = placement.rotation
    return np.asarray(R @ np.asarray(tensor, float) @ R.T)


def user_atoms(placement: Placement, positions: ArrayLike, cell: ArrayLike, template: ase.Atoms) -> ase.Atoms:
    """Atoms that LAMMPS returned, in the user's frame and in terms of the user's lattice vectors.

    cell_user = B⁻¹ cell_lammps Rᵀ along periodic directions; along the others the template's vector stays.

    Args:
        placement: what `place` returned for the template.
        positions: (n_atoms, 3) Å in LAMMPS's frame, in the order of the ids, wrapped or not: they stay so.
        cell: (3, 3) Å, rows, LAMMPS's box at the end. A run that flips the box (`flip yes`) changes B by itself;
            the lattice is still right, its vectors are then another choice.
        template: the atoms that were placed; species, masses, constraints and tags are theirs.

    Raises:
        StructureError: another number of atoms than the template's.
    """
    x = np.asarray(positions, float)
    if x.shape != (len(template), 3):
        raise StructureError(f"positions of shape {x.shape} came back for {len(template)} atoms: give all of them")
    atoms: ase.Atoms = template.copy()
    atoms.arrays.pop("momenta", None)
    inverse = np.rint(np.linalg.inv(placement.basis))
    lattice = inverse @ np.asarray(cell, float) @ placement.rotation.T
    keep = np.array(placement.periodic)
    atoms.set_cell(np.where(keep[:, None], lattice, template.cell.array), scale_atoms=False)
    atoms.arrays["positions"][:] = to_user(placement, x)
    return atoms


def frozen_ids(atoms: ase.Atoms) -> tuple[int, ...]:
    """Ids, counted from 1, of the atoms that FixAtoms holds.

    Raises:
        StructureError: a constraint of another kind.
    """
    indices: set[int] = set()
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            raise StructureError(
                f"the structure has a constraint of type {type(constraint).__name__}, "
                "and only FixAtoms can be carried over: remove it, or fix whole atoms"
            )
        indices.update(int(i) for i in constraint.get_indices())
    return tuple(sorted(i + 1 for i in indices))


def _flags(atoms: ase.Atoms) -> tuple[bool, bool, bool]:
    a, b, c = (bool(flag) for flag in atoms.pbc)
    return a, b, c


def _types(atoms: ase.Atoms) -> tuple[Ints, tuple[str, ...], tuple[float, ...]]:
    # Masses that differ by less than a microdalton are one isotope written with other digits.
    labels = [(s, round(float(m), 6)) for s, m in zip(atoms.get_chemical_symbols(), atoms.get_masses(), strict=True)]
    kinds = sorted(set(labels))
    number = {kind: i for i, kind in enumerate(kinds, 1)}
    types = np.array([number[label] for label in labels], dtype=np.int64)
    return types, tuple(symbol for symbol, _ in kinds), tuple(mass for _, mass in kinds)


def _frame(user: Floats, periodic: tuple[bool, bool, bool]) -> tuple[Floats, Ints, Floats]:
    """R, B and the lower-triangular cell; rows of directions that aren't periodic are unit vectors."""
    basis = np.eye(3, dtype=np.int64)
    if not any(periodic):
        return np.eye(3), basis, np.eye(3)
    cell = _complete(user, periodic)
    volume = float(np.linalg.det(cell))
    if abs(volume) <= 1e-6 * float(np.prod(np.linalg.norm(cell, axis=1))):
        raise StructureError(
            "the periodic lattice vectors are zero or depend on each other: correct the cell, or pbc"
        )
    if volume < 0:
        basis[2] *= -1
        cell = basis @ cell
    x = cell[0] / np.linalg.norm(cell[0])
    normal = np.cross(cell[0], cell[1])
    z = normal / np.linalg.norm(normal)
    rotation = np.column_stack([x, np.cross(z, x), z])
    lower = np.tril(cell @ rotation)
    return rotation, _unskew(lower, periodic) @ basis, lower


def _complete(user: Floats, periodic: tuple[bool, bool, bool]) -> Floats:
    """The periodic lattice vectors, and unit vectors at a right angle to them and to each other."""
    cell = np.array(user, dtype=float)
    free = [i for i in range(3) if not periodic[i]]
    if len(free) == 1:
        i = free[0]
        cell[i] = _unit(np.cross(cell[i - 2], cell[i - 1]))
    elif len(free) == 2:
        (p,) = (i for i in range(3) if periodic[i])
        axis = _unit(cell[p])
        i, j = (p + 1) % 3, (p + 2) % 3
        # The user's own direction where there is one, so that a box along x, y, z stays as it is.
        guess = cell[i] - (cell[i] @ axis) * axis
        if np.linalg.norm(guess) <= 1e-6 * max(1.0, float(np.linalg.norm(cell[i]))):
            e = np.eye(3)[int(np.argmin(np.abs(axis)))] if abs(axis[i]) > 0.9 else np.eye(3)[i]
            guess = e - (e @ axis) * axis
        cell[i] = _unit(guess)
        cell[j] = np.cross(axis, cell[i])
    return cell


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length) if length > 0 else vector


def _unskew(cell: Floats, periodic: tuple[bool, bool, bool]) -> Ints:
    """Reduce the tilts of a lower-triangular cell in place to half an edge; the integer matrix that does it."""
    change = np.eye(3, dtype=np.int64)
    for i, j in ((1, 0), (2, 1), (2, 0)):
        if not (periodic[i] and periodic[j]):
            cell[i, j] = 0.0  # at a right angle by construction
        elif abs(cell[i, j]) > 0.5 * cell[j, j]:
            n = round(float(cell[i, j] / cell[j, j]))
            cell[i] -= n * cell[j]
            change[i] -= n * change[j]
    tilts = np.tril(cell, -1)
    cell[np.tril(np.abs(cell) < _ROUND_OFF * cell.diagonal().max(), -1) & (tilts != 0)] = 0.0
    return change


def _hold(
    cell: Floats, positions: Floats, faces: tuple[Floats, Floats], periodic: tuple[bool, bool, bool]
) -> tuple[Floats, Floats]:
    """Cell and origin, long enough along the directions that aren't periodic for the user's faces and all atoms."""
    cell, origin = cell.copy(), np.zeros(3)
    for i in range(3):
        if periodic[i]:
            continue
        # The edge is LAMMPS's axis i itself, so the extent is that of one Cartesian coordinate.
        low = min(float(faces[0][i]), float(faces[1][i]), float(positions[:, i].min()) - MARGIN)
        high = max(float(faces[0][i]), float(faces[1][i]), float(positions[:, i].max()) + MARGIN)
        origin[i] = low
        cell[i] = 0.0
        cell[i, i] = high - low
    return cell, origin


def _wrap(positions: Floats, cell: Floats, periodic: tuple[bool, bool, bool]) -> Floats:
    # An atom that sits on a face within round-off stays where it is: LAMMPS wraps it without moving it.
    images = np.floor(positions @ np.linalg.inv(cell) + 1e-12)
    images[:, ~np.array(periodic)] = 0.0
    return np.asarray(positions - images @ cell + 0.0)  # no -0 in the data file
