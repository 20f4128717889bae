"""From what a study says to atoms that can be simulated."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ase

from lampion.errors import StructureError
from lampion.structure.check import check_cell, check_overlap, check_species
from lampion.structure.ordering import order
from lampion.structure.read import read_crystal, read_file
from lampion.structure.settings import Structure
from lampion.structure.sites import KIND, Sites
from lampion.structure.supercell import repeat


@dataclass(frozen=True, kw_only=True, eq=False)
class Built:
    """Atoms in the user's own frame, and what was done on the way."""

    atoms: ase.Atoms
    notes: tuple[str, ...]
    """Sentences for the user: how disorder was resolved, what ASE warned about."""


def build(structure: Structure, folder: Path) -> Built:
    """Read or build a structure, then scale, repeat, order and check it, in this order.

    Args:
        structure: what the study says.
        folder: where a relative path of a file counts from.

    Raises:
        StructureError: the file can't be read or holds several structures; sites are partly occupied and no
            ordering is given, or none is possible; atoms overlap; a position is no number; there are no atoms;
            a periodic direction has no lattice vector; the cell has no volume; a species or constraint is
            unknown; the supercell has no positive determinant.

    >>> from lampion.structure import Crystal
    >>> li = Crystal(lattice="bcc", formula="Li", a=3.51)
    >>> len(build(Structure(crystal=li, supercell=(2, 2, 2)), Path()).atoms)
    16
    """
    name, sites, notes = _read(structure, folder)
    atoms = sites.atoms.copy()
    if structure.pbc is not None:
        atoms.pbc = structure.pbc
    check_cell(atoms, name)
    check_species(atoms, name)
    _scale(atoms, structure.scale)
    sites = Sites(atoms=repeat(atoms, structure.supercell, name), kinds=sites.kinds)
    atoms, told = _resolve(sites, structure, name)
    if structure.masses is not None:
        _weigh(atoms, structure.masses, name)
    check_overlap(atoms, name)
    return Built(atoms=atoms, notes=(*notes, *told))


def _read(structure: Structure, folder: Path) -> tuple[str, Sites, list[str]]:
    """How the user calls the structure, its sites, and notes."""
    if structure.file is not None:
        return str(structure.file), *read_file(folder / structure.file, structure)
    if structure.crystal is not None:
        return f"crystal {structure.crystal.formula}", *read_crystal(structure.crystal)
    raise StructureError("the structure is neither a file nor a crystal: give one of them")


def _scale(atoms: ase.Atoms, factor: float) -> None:
    atoms.arrays["positions"] *= factor  # set_positions would leave fixed atoms behind
    atoms.set_cell(atoms.cell.array * factor, scale_atoms=False)


def _resolve(sites: Sites, structure: Structure, name: str) -> tuple[ase.Atoms, tuple[str, ...]]:
    if not sites.partial:
        atoms = sites.atoms.copy()
        notes: tuple[str, ...] = ()
        if structure.ordering is not None:
            notes = ("every site is full, so that there was nothing to order",)
    elif structure.ordering is None:
        listed = ", ".join(str(kind) for kind in sites.partial)
        raise StructureError(f"{name}: sites are partly occupied, {listed}: say how with ordering")
    else:
        atoms, notes = order(sites, structure.ordering, name)
    atoms.arrays.pop(KIND, None)
    return atoms, notes


def _weigh(atoms: ase.Atoms, masses: Mapping[str, float], name: str) -> None:
    symbols = atoms.get_chemical_symbols()
    absent = sorted(set(masses) - set(symbols))
    if absent:
        raise StructureError(f"{name}: masses names {' '.join(absent)}, which isn't in the structure: leave it away")
    velocities = atoms.get_velocities() if atoms.has("momenta") else None
    new = [masses.get(symbol, mass) for symbol, mass in zip(symbols, atoms.get_masses(), strict=True)]
    atoms.set_masses(new)
    if velocities is not None:
        # ASE keeps momenta, and what the user gave are velocities.
        atoms.set_array("momenta", velocities * atoms.get_masses()[:, None])
