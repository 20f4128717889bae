"""What is taken from a dump's rows, and in which order."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lampion.trajectory.columns import Coordinates, coordinates
from lampion.trajectory.header import Header

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# What a column is to the compiled loops; a number from 0 on is its place among the values.
UNUSED, LABEL, ID = -3, -2, -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Which columns hold what."""

    columns: tuple[str, ...]
    where: Coordinates
    label: str | None
    """``element``, ``typelabel`` or ``type``: the column that tells the species."""
    names: tuple[str, ...]
    """The columns taken as numbers: positions, image flags, then the others."""
    roles: Integers
    """(n_columns,)"""
    n_finite: int
    """So many of the first `names` must be finite."""
    applicable: bool
    """Image flags may be applied while reading: nobody asks for them, or for wrapped positions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The atoms that every frame must have."""

    ids: Integers
    """(n_atoms,) ascending"""
    labels: NDArray[np.str_]
    """(n_atoms,)"""
    kinds: NDArray[np.uint16]
    """(n_atoms,) place of the label's code among `codes`"""
    codes: NDArray[np.uint64]
    """The labels as the compiled loops see them: their text in a number, or the type's number in a binary dump."""
    slots: NDArray[np.int32]
    """Row of the id `ids[0]` + i, or −1; empty where the ids lie too far apart for a table."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Raw:
    """Successive frames of the same atoms, sorted by id, as the dump has them: in its units, not unwrapped."""

    header: Header
    """Of the first frame."""
    plan: Plan
    steps: Integers
    times: Floats | None
    cells: Floats
    origins: Floats
    values: Floats
    """(n_frames, n_atoms, n_names), without the image flags if they are applied"""
    applied: bool
    """The positions are x + n H already."""
    ids: Integers
    labels: NDArray[np.str_]
    stop: int
    """Where the next frame begins (at the earliest), in bytes of the decompressed dump."""

    def column(self, name: str) -> Floats:
        """Return a column (n_frames, n_atoms)."""
        place = self.plan.names.index(name)
        return self.values[:, :, place - 3 if self.applied else place]


def plan(columns: tuple[str, ...], extras: Collection[str], *, by_type: bool) -> Plan:
    """Decide what to take from rows with these columns.

    Args:
        columns: the dump's.
        extras: further columns to take.
        by_type: the species follow from the type, because the user gave a map.

    Raises:
        ValueError: a column is missing.
    """
    where = coordinates(columns)
    if missing := [name for name in ("id", *extras) if name not in columns]:
        raise ValueError(f"no column '{missing[0]}'; columns are {' '.join(columns)}")
    label = next((name for name in ("element", "typelabel", "type") if name in columns), None)
    if by_type and "type" in columns:
        label = "type"
    strict = [*where.columns, *(("ix", "iy", "iz") if where.images else ())]
    others: list[str] = [name for name in ("mass", "q") if name in columns]
    if label == "element" and "type" in columns:
        # LAMMPS writes the element C for every type, unless told: the types tell that apart from carbon.
        others.append("type")
    names = list(dict.fromkeys([*strict, *others, *extras]))
    roles = np.full(len(columns), UNUSED, dtype=np.int64)
    for place, name in enumerate(names):
        roles[columns.index(name)] = place
    # A column can have one role only: what is id or label can't be a value as well.
    if clash := [name for name in extras if name in ("id", label)]:
        raise ValueError(
            f"'{clash[0]}' is kept as {'ids' if clash[0] == 'id' else 'species'} and can't be an extra column"
        )
    roles[columns.index("id")] = ID
    if label is not None:
        roles[columns.index(label)] = LABEL
    return Plan(
        columns=columns,
        where=where,
        label=label,
        names=tuple(names),
        roles=roles,
        n_finite=len(strict),
        applicable=where.images and not where.scaled and not set(strict) & set(extras),
    )


def reference(ids: Integers, labels: NDArray[np.str_], codes: NDArray[np.uint64]) -> Reference:
    """Return the reference for these atoms, which must be sorted by id."""
    slots = np.empty(0, dtype=np.int32)
    distinct, kinds = np.unique(codes, return_inverse=True)
    span = int(ids[-1] - ids[0]) + 1 if len(ids) else 0
    if 0 < span <= max(16 * len(ids), 10_000_000) and len(distinct) <= 1 << 16:
        slots = np.full(span, -1, dtype=np.int32)
        slots[ids - ids[0]] = np.arange(len(ids))
    return Reference(ids=ids, labels=labels, kinds=kinds.astype(np.uint16), codes=distinct, slots=slots)
