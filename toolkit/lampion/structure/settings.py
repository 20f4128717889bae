"""What a study says about a structure: a file or a crystal, its supercell, and how disorder is resolved."""

from typing import Annotated, Literal

from pydantic import Field

from lampion.settings import Element, File, Flags3, Line, Positive, settings

Index = Annotated[int, Field(ge=0)]
Length = Annotated[float, Field(ge=0.5, le=1000)]
"""A lattice parameter, Å."""

Vector3 = tuple[int, int, int]
Matrix3 = tuple[Vector3, Vector3, Vector3]


@settings
class Crystal:
    """A crystal of a simple lattice, built by `ase.build.bulk`."""

    lattice: Literal[
        "sc", "fcc", "bcc", "hcp", "diamond", "zincblende", "rocksalt", "cesiumchloride", "fluorite", "wurtzite"
    ]
    """Name of the lattice."""

    formula: Line
    """Chemical symbols of one formula unit, such as `Li` or `NaCl`."""

    a: Length
    """Lattice parameter, Å."""

    c: Length | None = None
    """Second lattice parameter of hcp and wurtzite, Å; the ideal ratio if not given."""

    u: float | None = None
    """Internal coordinate of wurtzite, a fraction of c."""

    cubic: bool = True
    """The conventional cubic cell rather than the primitive one; hcp and wurtzite have none and ignore this."""


@settings
class Ordering:
    """How partly occupied sites become atoms and vacancies."""

    method: Literal["random", "enumerate"]
    """`random`: one arrangement by chance. `enumerate`: one of all that the crystal's symmetry tells apart."""

    seed: Index = 0
    """Seed of the random arrangement."""

    index: Index = 0
    """Which of the enumerated arrangements, counted from 0."""

    min_distance: Positive | None = None
    """Two sites that may be vacant and are closer than this (Å) are never both occupied; 0.8 times the sum of
    the two covalent radii if not given (2.05 Å for Li–Li)."""


@settings
class Structure:
    """The atoms that a study starts from: a file or a crystal, exactly one of them."""

    file: File | None = None
    """A file that ASE reads, or a LAMMPS data file; relative to the study file's folder."""

    crystal: Crystal | None = None
    """A crystal to build."""

    format: Line | None = None
    """ASE's name of the file's format, or `lammps-data`; found out from the file if not given."""

    frame: int | None = None
    """Which structure of a file that holds several, counted from 0; -1 is the last."""

    types: dict[int, Element] | None = None
    """Element of each atom type of a LAMMPS data or dump file."""

    atom_style: Literal["atomic", "charge", "full", "molecular"] | None = None
    """Atom style of a LAMMPS data file that doesn't name it after `Atoms`."""

    scale: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    """Factor on all lengths of the cell; positions follow."""

    supercell: Vector3 | Matrix3 = (1, 1, 1)
    """Repetitions along a, b and c, or a matrix whose rows are the new lattice vectors in terms of the old."""

    ordering: Ordering | None = None
    """What to do with partly occupied sites; they are refused without it."""

    pbc: Flags3 | None = None
    """Which directions are periodic, in place of what the file says."""

    masses: dict[Element, Positive] | None = None
    """g/mol, in place of the standard atomic weight or of what the file says."""

    def __post_init__(self) -> None:
        if (self.file is None) == (self.crystal is None):
            raise ValueError("a structure is either a file or a crystal: give exactly one of the two")
        if self.file is None:
            for name in ("format", "frame", "types", "atom_style"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} belongs to a file, and this structure is a crystal: leave {name} away")
