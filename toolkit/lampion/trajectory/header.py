"""The head of a frame in a text dump: step, time, units, cell, columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Lengths beyond these, in whatever unit, are damage; they would overflow.
_SMALLEST, _LARGEST = 1e-15, 1e15


@dataclass(frozen=True, kw_only=True, eq=False)
class Header:
    """What stands before the rows of a frame, in the dump's own units."""

    step: int
    n_atoms: int
    cell: Floats
    """(3, 3); rows are the lattice vectors."""
    origin: Floats
    """(3,)"""
    periodic: tuple[bool, bool, bool]
    columns: tuple[str, ...]
    time: float | None = None
    units: str | None = None


def read_header(lines: list[str]) -> Header:
    """Read the lines from the first ``ITEM:`` to ``ITEM: ATOMS``, both included.

    Raises:
        ValueError: a sentence without the place.
    """
    items: dict[str, tuple[str, list[str]]] = {}
    values: list[str] = []
    for line in lines:
        if line.startswith("ITEM: "):
            name, rest = _item(line[6:].strip())
            values = []
            if name in items:
                raise ValueError(f"'ITEM: {name}' comes twice in one frame")
            items[name] = (rest, values)
        else:
            values.append(line.strip())
    for name in ("TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS", "ATOMS"):
        if name not in items:
            raise ValueError(f"the frame has no 'ITEM: {name}'")
    cell, origin, periodic = _box(*items["BOX BOUNDS"])
    n_atoms = _integer(items["NUMBER OF ATOMS"][1], "NUMBER OF ATOMS")
    if n_atoms < 0:
        raise ValueError(f"the number of atoms is {n_atoms}")
    columns = tuple(items["ATOMS"][0].split())
    if len(set(columns)) != len(columns):
        raise ValueError(f"a column comes twice; columns are {' '.join(columns)}")
    return Header(
        step=_integer(items["TIMESTEP"][1], "TIMESTEP"),
        n_atoms=n_atoms,
        cell=cell,
        origin=origin,
        periodic=periodic,
        columns=columns,
        time=_floats(items["TIME"][1], 1, "TIME")[0] if "TIME" in items else None,
        units=items["UNITS"][1][0] if "UNITS" in items and items["UNITS"][1] else None,
    )


def _item(text: str) -> tuple[str, str]:
    for name in ("TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS", "ATOMS", "TIME", "UNITS"):
        if text == name or (text.startswith(name + " ") and name in ("BOX BOUNDS", "ATOMS")):
            return name, text[len(name) :].strip()
    raise ValueError(f"'ITEM: {text}' is nothing that a dump of atoms has")


def _integer(values: list[str], name: str) -> int:
    try:
        (text,) = values
        return int(text)
    except ValueError:
        raise ValueError(f"'ITEM: {name}' is followed by {values}, not by one whole number") from None


def _floats(values: list[str], n: int, name: str) -> list[float]:
    try:
        numbers = [float(word) for line in values for word in line.split()]
    except ValueError:
        numbers = []
    if len(numbers) != n or not np.all(np.isfinite(numbers)):
        raise ValueError(f"'ITEM: {name}' is followed by {values}, not by {n} numbers")
    return numbers


def _box(rest: str, values: list[str]) -> tuple[Floats, Floats, tuple[bool, bool, bool]]:
    words = rest.split()
    width = 4 if words[:2] == ["abc", "origin"] else 3 if words[:3] == ["xy", "xz", "yz"] else 2
    # Very old dumps have no letters for the boundaries: LAMMPS's default is periodic.
    flags = words[{4: 2, 3: 3, 2: 0}[width] :] or ["pp", "pp", "pp"]
    if len(flags) != 3 or any(len(flag) != 2 or set(flag) - set("pfsm") for flag in flags):
        raise ValueError(f"the boundaries in 'ITEM: BOX BOUNDS {rest}' are not three times two letters of p f s m")
    if [len(line.split()) for line in values] != [width] * 3:
        raise ValueError(f"'ITEM: BOX BOUNDS' is followed by {values}, not by three lines of {width} numbers")
    table = np.array(_floats(values, 3 * width, "BOX BOUNDS")).reshape(1, 3, width)
    cells, origins = cells_of(table)
    return cells[0], origins[0], (flags[0] == "pp", flags[1] == "pp", flags[2] == "pp")


def cells_of(bounds: Floats) -> tuple[Floats, Floats]:
    """Return cells and origins from the lines of BOX BOUNDS.

    For a tilted cell LAMMPS writes the box that bounds it, not the cell: xlo_bound = xlo + min(0, xy, xz, xy + xz),
    xhi_bound = xhi + max(0, xy, xz, xy + xz), ylo_bound = ylo + min(0, yz), yhi_bound = yhi + max(0, yz).

    Args:
        bounds: (n_frames, 3, 2), lo and hi; (n_frames, 3, 3), lo, hi and xy, xz, yz down the last column; or
            (n_frames, 3, 4), the vectors of a general cell with the origin down the last column.

    Returns:
        (n_frames, 3, 3) with rows as lattice vectors, and (n_frames, 3).

    Raises:
        ValueError: a cell has no volume.
    """
    if not np.all(np.abs(bounds) < _LARGEST):
        raise ValueError(f"the cell's bounds reach {np.abs(bounds).max():g}, which can't be")
    if bounds.shape[2] == 4:
        cells, origins = np.ascontiguousarray(bounds[:, :, :3]), np.ascontiguousarray(bounds[:, :, 3])
        if not np.all(np.abs(np.linalg.det(cells)) > _SMALLEST**3):
            raise ValueError("the cell has no volume")
        return cells, origins
    origins, high = bounds[:, :, 0].copy(), bounds[:, :, 1].copy()
    cells = np.zeros((len(bounds), 3, 3))
    if bounds.shape[2] == 3:
        xy, xz, yz = bounds[:, :, 2].T
        zero = np.zeros_like(xy)
        origins[:, 0] -= np.min([zero, xy, xz, xy + xz], axis=0)
        high[:, 0] -= np.max([zero, xy, xz, xy + xz], axis=0)
        origins[:, 1] -= np.minimum(zero, yz)
        high[:, 1] -= np.maximum(zero, yz)
        cells[:, 1, 0], cells[:, 2, 0], cells[:, 2, 1] = xy, xz, yz
    edges = high - origins
    if not np.all(edges > _SMALLEST):
        a, b, c = edges[int(np.argmin(edges.min(axis=1)))]
        raise ValueError(f"the cell has edges {a:g} {b:g} {c:g}: each must be positive")
    cells[:, [0, 1, 2], [0, 1, 2]] = edges
    return cells, origins
