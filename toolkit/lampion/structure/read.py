"""Files and simple crystals as sites."""

import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.build import bulk
from ase.io.formats import filetype

from lampion.errors import StructureError
from lampion.structure.cif import read_cif
from lampion.structure.lammps_file import is_data_file, species_of_dump, species_of_types
from lampion.structure.settings import Crystal, Structure
from lampion.structure.sites import FULL, Sites, from_occupancies

_RES_ATOM = re.compile(r"^[ \t]*([A-Za-z]\w*)[ \t]+\d+(?:[ \t]+-?\d*\.\d+){3}[ \t]+(\d+(?:\.\d*)?)", re.MULTILINE)
"""An atom of a SHELX file: its label and its occupancy."""


def read_crystal(crystal: Crystal) -> tuple[Sites, list[str]]:
    """Build a simple crystal.

    Raises:
        StructureError: ASE can't build it, such as a formula that doesn't fit the lattice.
    """
    notes = []
    options: dict[str, Any] = {"a": crystal.a, "c": crystal.c, "u": crystal.u, "cubic": crystal.cubic}
    hexagonal = crystal.lattice in ("hcp", "wurtzite")
    if hexagonal and crystal.c is None:
        options["c"] = crystal.a * math.sqrt(8 / 3)  # ASE would take the c/a that it knows of the element
    if hexagonal and crystal.cubic:
        options["cubic"] = False
        notes.append(f"{crystal.lattice} has no cubic cell, so that the hexagonal one was built")
    try:
        atoms = bulk(crystal.formula, crystal.lattice, **options)
    except Exception as error:
        raise StructureError(
            f"crystal {crystal.formula!r} in the lattice {crystal.lattice} can't be built ({_said(error)}): "
            "correct the formula or the lattice"
        ) from error
    return Sites(atoms=ase.Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)), notes


def read_file(path: Path, structure: Structure) -> tuple[Sites, list[str]]:
    """Read one structure from a file.

    Raises:
        StructureError: the file is missing or can't be read, holds several structures of which none is chosen,
            has types that are no elements, or has occupancies that don't add up.
    """
    if not path.is_file():
        raise StructureError(f"{path}: there is no such file: correct the path, which counts from the study's folder")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = _frames(path, structure)
        except StructureError:
            raise
        except Exception as error:
            raise StructureError(
                f"{path}: ASE can't read this file ({_said(error)}): {_remedy(error, structure.format)}"
            ) from error
    notes = sorted({f"ASE on {path.name}: {' '.join(str(w.message).split())}" for w in caught})
    chosen = _choose(path, found, structure.frame)
    return (chosen if isinstance(chosen, Sites) else _with_occupancies(path, chosen)), notes


def _frames(path: Path, structure: Structure) -> list[Any]:
    name = structure.format
    if name == "lammps-data" or (name is None and is_data_file(path)):
        species = species_of_types(path, structure.types)
        numbers = {kind: ase.data.atomic_numbers[symbol] for kind, symbol in species.items()}
        options: Any = {"Z_of_type": numbers, "atom_style": structure.atom_style, "units": "metal"}
        return [ase.io.read(path, format="lammps-data", **options)]
    name = name or filetype(str(path))
    if structure.atom_style is not None or (structure.types is not None and not name.startswith("lammps-dump")):
        raise StructureError(f"{path}: types and atom_style are for LAMMPS files and this is {name}: leave them away")
    if name == "cif":
        return list(read_cif(path))
    if name == "res":
        _check_res(path)
    extra: Any = {}
    if name.startswith("lammps-dump"):
        extra = {"specorder": species_of_dump(path, structure.types)}
    return list(ase.io.read(path, index=":", format=name, **extra))


def _check_res(path: Path) -> None:
    """Refuse occupancies in a SHELX file, which ASE leaves out; SHELX adds 10 to one that isn't refined."""
    for found in _RES_ATOM.finditer(path.read_text(encoding="latin1")):
        if float(found.group(2)) not in (1.0, 11.0):
            raise StructureError(
                f"{path}: site {found.group(1)} has the occupancy {found.group(2)}: give a CIF, whose sites "
                "can be ordered"
            )


def _choose(path: Path, found: list[Any], frame: int | None) -> Any:
    n = len(found)
    if n == 0:
        raise StructureError(f"{path}: no structure was found: give a file that holds one")
    if frame is None:
        if n > 1:
            raise StructureError(
                f"{path}: the file holds {n} structures: choose one with frame, 0 to {n - 1}, or -1 for the last"
            )
        return found[0]
    if not -n <= frame < n:
        raise StructureError(f"{path}: there is no frame {frame} among {n}: choose 0 to {n - 1}, or -1 for the last")
    return found[frame]


def _with_occupancies(path: Path, atoms: ase.Atoms) -> Sites:
    """Sites of other files than CIF: ASE carries occupancies by kind in `info`, or as an array."""
    for name in ("occupancy", "occupancies"):
        values = atoms.arrays.get(name)
        if values is not None and np.any(np.abs(np.asarray(values, float) - 1) > FULL):
            i = int(np.flatnonzero(np.abs(np.asarray(values, float) - 1) > FULL)[0])
            raise StructureError(
                f"{path}: atom {i + 1} ({atoms.symbols[i]}) has the occupancy {float(values[i]):g}: give a CIF, "
                "whose sites can be ordered, or a file of whole atoms"
            )
    table, kinds = atoms.info.get("occupancy"), atoms.arrays.get("spacegroup_kinds")
    if not isinstance(table, Mapping):
        return Sites(atoms=atoms)
    contents = {str(key): {str(s): float(x) for s, x in value.items()} for key, value in table.items()}
    if all(len(c) == 1 and abs(sum(c.values()) - 1) <= FULL for c in contents.values()):
        return Sites(atoms=atoms)
    if kinds is None or not {str(k) for k in kinds} <= set(contents):
        raise StructureError(f"{path}: sites are partly occupied and can't be told apart: give the CIF itself")
    names = [str(k) for k in kinds]
    return from_occupancies(
        atoms, [contents[name] for name in names], [f"kind {name}" for name in names], {}, str(path)
    )


def _said(error: BaseException) -> str:
    """What a library said, on one line, without its exception's type where it said anything."""
    text = " ".join(str(error).split()).rstrip(".")
    return (text if len(text) <= 160 else f"{text[:157]}...") or "it gave no reason"


def _remedy(error: BaseException, name: str | None) -> str:
    if isinstance(error, KeyError) and error.args and error.args[0] in ("D", "T"):
        return f"write hydrogen as H, and give the isotope {error.args[0]} its mass in a masses column"
    if name is None:
        return "name its format, or correct the file"
    return f"check that it is of the format {name}, or correct the file"
