"""Which element each atom type of a LAMMPS data or dump file is."""

import re
from collections.abc import Mapping
from pathlib import Path

from ase.data import atomic_masses, chemical_symbols

from lampion.errors import StructureError
from lampion.settings import ELEMENTS

_HEADER = re.compile(r"^\s*(\d+)\s+atom\s+types\b", re.MULTILINE)
_MASS_TOLERANCE = 0.02
"""g/mol; Co and Ni, the closest of common elements, differ by 0.24."""


def is_data_file(path: Path) -> bool:
    """Whether the file's beginning has the line `N atom types` of a LAMMPS data file."""
    with path.open("rb") as file:
        return _HEADER.search(file.read(4096).decode("latin1")) is not None


def species_of_types(path: Path, given: Mapping[int, str] | None) -> dict[int, str]:
    """Element of each atom type of a data file: as given, or else from its labels, comments or masses.

    Raises:
        StructureError: no header, a type without an element, or a mass that belongs to no element.
    """
    text = path.read_text(encoding="latin1")
    header = _HEADER.search(text)
    if header is None:
        raise StructureError(f"{path}: no line with the number of atom types: give a LAMMPS data file")
    n = int(header.group(1))
    if given is not None:
        if set(given) != set(range(1, n + 1)):
            listed = " ".join(str(kind) for kind in sorted(given))
            raise StructureError(
                f"{path}: the file has the types 1 to {n} and types names {listed}: name each of them"
            )
        return dict(given)
    labels = {kind: label for kind, label, _ in _section(text, "Atom Type Labels")}
    masses = {kind: (mass, comment) for kind, mass, comment in _section(text, "Masses")}
    return {kind: _species(path, kind, labels.get(kind), masses.get(kind)) for kind in range(1, n + 1)}


def species_of_dump(path: Path, given: Mapping[int, str] | None) -> list[str] | None:
    """Elements in the order of the types, for a dump without a column `element`.

    Raises:
        StructureError: neither that column nor `types`; ASE would take type 1 for hydrogen.
    """
    with path.open("rb") as file:
        start = file.read(65536).decode("latin1")
    columns = re.search(r"^ITEM: ATOMS (.*)$", start, re.MULTILINE)
    if columns and "element" in columns.group(1).split():
        return None
    if given is None or set(given) != set(range(1, len(given) + 1)):
        raise StructureError(f"{path}: the dump names no elements: give types, the element of each type from 1 on")
    return [given[kind] for kind in range(1, len(given) + 1)]


def _section(text: str, title: str) -> list[tuple[int, str, str]]:
    """Type, second column and comment of each line of a section."""
    body = re.search(rf"^\s*{title}\b[^\n]*\n\s*\n((?:[ \t]*\d+[ \t]+[^\n]*(?:\n|$))+)", text, re.MULTILINE)
    rows = []
    for line in body.group(1).splitlines() if body else ():
        columns, _, comment = line.partition("#")
        fields = columns.split()
        if len(fields) >= 2:
            rows.append((int(fields[0]), fields[1], comment.strip()))
    return rows


def _species(path: Path, kind: int, label: str | None, mass: tuple[str, str] | None) -> str:
    if label in ELEMENTS:
        return str(label)
    if mass is not None:
        value, comment = mass
        if comment in ELEMENTS:
            return comment
        near = [i for i in range(1, 119) if abs(atomic_masses[i] - float(value)) < _MASS_TOLERANCE]
        if len(near) == 1:
            return str(chemical_symbols[near[0]])
    said = "has no mass" if mass is None else f"has the mass {mass[0]} g/mol, which is that of no single element"
    raise StructureError(f"{path}: atom type {kind} {said}: give types, the element of each type")
