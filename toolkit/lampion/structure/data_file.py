"""A placement as the text of a LAMMPS data file."""

from collections.abc import Mapping

from lampion.errors import StructureError
from lampion.structure.place import Floats, Placement


def write_data(placement: Placement, charges: Mapping[str, float] | None = None) -> str:
    """Text of a LAMMPS data file, atom_style atomic, or charge where charges are given.

    Numbers have 17 significant digits, which is each float64 exactly; the same placement gives the same text.
    Periodic directions and frozen atoms aren't in a data file: see `Placement.boundary` and `Placement.frozen`.

    Args:
        placement: what `place` returned.
        charges: of each element, in elementary charges.

    Raises:
        StructureError: an element without a charge, where charges are given.
    """
    if charges is not None:
        missing = sorted(set(placement.species) - set(charges))
        if missing:
            raise StructureError(f"no charge is given for {' '.join(missing)}: give the charge of every element")
    n = len(placement.positions)
    lines = [
        f"# Lampion, metal units, types {' '.join(placement.species)}",
        "",
        f"{n} atoms",
        f"{len(placement.species)} atom types",
        "",
        *_box(placement),
        "",
        "Masses",
        "",
    ]
    for i, (symbol, mass) in enumerate(zip(placement.species, placement.masses, strict=True), 1):
        lines.append(f"{i} {mass:.17g} # {symbol}")
    lines += ["", f"Atoms # {'atomic' if charges is None else 'charge'}", ""]
    for i, (kind, x) in enumerate(zip(placement.types, placement.positions, strict=True), 1):
        charge = "" if charges is None else f"{charges[placement.species[kind - 1]]:.17g} "
        lines.append(f"{i} {kind} {charge}{_triple(x)}")
    if placement.velocities is not None:
        lines += ["", "Velocities", ""]
        lines += [f"{i} {_triple(v)}" for i, v in enumerate(placement.velocities, 1)]
    return "\n".join(lines) + "\n"


def _box(placement: Placement) -> list[str]:
    cell, low = placement.cell, placement.origin
    lines = [f"{low[i]:.17g} {low[i] + cell[i, i]:.17g} {name}lo {name}hi" for i, name in enumerate("xyz")]
    tilts = (cell[1, 0], cell[2, 0], cell[2, 1])
    if any(tilts):
        lines.append(" ".join(f"{tilt + 0.0:.17g}" for tilt in tilts) + " xy xz yz")
    return lines


def _triple(vector: Floats) -> str:
    x, y, z = vector
    return f"{x:.17g} {y:.17g} {z:.17g}"
