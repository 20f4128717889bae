"""Sites of a CIF, with their occupancies.

ASE's own reader puts the main species on every site, on both halves of a split site too, and keeps one row only
where two rows share a site in equivalent coordinates. Here each row is expanded by the space group by itself, and
what falls on one site is added up.
"""

import re
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.io.cif import parse_cif
from ase.io.formats import open_with_compression
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from lampion.errors import StructureError
from lampion.settings import ELEMENTS
from lampion.structure.sites import SAME_SITE, Sites, from_occupancies
from lampion.structure.symmetry import has_origin_choices

_DEUTERIUM = 2.01410177812
"""g/mol."""

_OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
)
_NAMES = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m")


def read_cif(path: Path) -> list[Sites]:
    """Every structure in a CIF.

    Raises:
        StructureError: a site without a chemical symbol, or whose number of equivalent positions contradicts the
            file; anything that ASE's parser raises goes on to the caller.
    """
    with open_with_compression(str(path), "rb") as file:
        blocks = [block for block in parse_cif(file) if block.get("_atom_site_fract_x") is not None]
    return [_expand(path, block) for block in blocks]


def _expand(path: Path, block: Any) -> Sites:
    labels = _column(block, "_atom_site_label")
    symbols = [_symbol(path, text) for text in _column(block, "_atom_site_type_symbol") or labels]
    names = labels or symbols
    coordinates = np.array([_numbers(path, block, f"_atom_site_fract_{axis}") for axis in "xyz"], float).T
    occupancies = [
        _occupancy(path, n, x) for n, x in zip(names, _column(block, "_atom_site_occupancy"), strict=False)
    ]
    occupancies += [1.0] * (len(symbols) - len(occupancies))
    group = block.get_spacegroup(True)
    if not any(_column(block, key) for key in _OPERATIONS):
        _check_setting(path, block, group)
    cell = np.asarray(block.get_cell().array)
    rows = [np.asarray(group.equivalent_sites([x])[0]) for x in coordinates]
    _check_multiplicities(path, block, names, [len(row) for row in rows], group)
    positions, contents, named = _merge(rows, symbols, occupancies, names, cell)
    atoms = ase.Atoms(cell=cell, pbc=True, symbols=["H"] * len(positions), scaled_positions=positions)
    return from_occupancies(atoms, contents, named, {"D": _DEUTERIUM}, str(path))


def _merge(
    rows: list[NDArray[np.float64]], symbols: list[str], occupancies: list[float], names: list[str],
    cell: NDArray[np.float64],
) -> tuple[NDArray[np.float64], list[dict[str, float]], list[str]]:  # fmt: skip
    """Positions, what occupies each, and its label; rows that share a site are joined."""
    positions = np.concatenate(rows)
    row = np.repeat(np.arange(len(rows)), [len(orbit) for orbit in rows])
    site = np.arange(len(positions))
    everywhere = ase.Atoms(["H"] * len(positions), scaled_positions=positions, cell=cell, pbc=True)
    for i, j in sorted(zip(*neighbor_list("ij", everywhere, SAME_SITE), strict=True)):
        if row[j] < row[i] and site[i] == i:
            site[i] = site[j]
    contents: dict[int, dict[str, float]] = {}
    labels: dict[int, list[str]] = {}
    for i, k in enumerate(site):
        symbol, name = symbols[row[i]], names[row[i]]
        content = contents.setdefault(int(k), {})
        content[symbol] = content.get(symbol, 0.0) + occupancies[row[i]]
        labels.setdefault(int(k), []).append(name)
    joined = ["/".join(dict.fromkeys(listed)) for listed in labels.values()]
    return positions[list(contents)], list(contents.values()), joined


def _check_multiplicities(path: Path, block: Any, names: list[str], counts: list[int], group: Any) -> None:
    # SHELXL-97 wrote the order of the site's symmetry under this name, so that is let through.
    order = len(group.get_symop())
    for key in ("_atom_site_symmetry_multiplicity", "_atom_site_site_symmetry_multiplicity"):
        for name, said, count in zip(names, _column(block, key), counts, strict=False):
            if said.isdigit() and int(said) != count and int(said) * count != order:
                raise StructureError(
                    f"{path}: site {name} should have {said} equivalent positions and the space group as ASE reads "
                    f"it, {group.symbol}, makes {count}: list the symmetry operations in the file, or give it in P 1"
                )


def _check_setting(path: Path, block: Any, group: Any) -> None:
    """Refuse a space group that ASE would take in its standard setting though the file may mean another one."""
    name = next((names[0] for names in (_column(block, key) for key in _NAMES) if names), "")
    bare, _, choice = name.partition(":")
    choice = choice.strip().upper()
    if bare.split()[1:] and bare.split()[-1] in ("S", "Z", "H", "R", "HR"):
        bare, choice = bare.rsplit(maxsplit=1)[0], {"S": "1", "Z": "2"}.get(bare.split()[-1], bare.split()[-1])
    fits = not bare or _short(bare, group.no) == _short(group.symbol, group.no)
    if has_origin_choices(group.no):
        fits = fits and choice == "1"
    elif group.symbol.startswith("R"):
        fits = fits and choice != "R" and abs(float(block["_cell_angle_gamma"]) - 120) < 0.01
    elif choice and not (3 <= group.no <= 15 and choice in ("B", "B1")):
        fits = False
    if not fits:
        raise StructureError(
            f"{path}: the space group {name or group.no} has several settings and the file lists no symmetry "
            "operations: list them, or give the structure in P 1"
        )


def _short(name: str, number: int) -> str:
    """`P 1 21/c 1` as `p21/c`."""
    joined = "".join(name.split()).replace("_", "").lower()
    found = re.fullmatch(r"([a-z])1(.+)1", joined) if 3 <= number <= 15 else None
    return found.group(1) + found.group(2) if found else joined


def _column(block: Any, key: str) -> list[str]:
    value = block.get(key)
    return [] if value is None else [str(x) for x in (value if isinstance(value, list) else [value])]


def _numbers(path: Path, block: Any, key: str) -> list[float]:
    try:
        return [float(x) for x in _column(block, key)]
    except ValueError:
        raise StructureError(f"{path}: {key} holds a value that is no number: give every coordinate") from None


def _occupancy(path: Path, name: str, text: str) -> float:
    if text in ("?", "."):
        return 1.0
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1 + 1e-6:
        raise StructureError(f"{path}: site {name} has the occupancy {text}, not one between 0 and 1: correct it")
    return value


def _symbol(path: Path, text: str) -> str:
    found = re.match(r"[A-Z][a-z]?", text)
    symbol = found.group() if found else text
    if symbol not in ELEMENTS and symbol[:1] in ELEMENTS and symbol[:1] != "D":
        symbol = symbol[:1]
    if symbol not in ELEMENTS and symbol != "D":
        raise StructureError(f"{path}: {text!r} is no chemical symbol: correct _atom_site_type_symbol")
    return symbol
