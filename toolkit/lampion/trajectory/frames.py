"""What a trajectory is: frozen arrays, and slices of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.errors import TrajectoryError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


CONFIGURATIONS = "each frame with its own cell"
"""How `Trajectory.unwrapping` begins where frames are configurations and no paths."""


def _varies(cells: Floats) -> bool:
    return bool(len(cells) > 1 and np.ptp(cells, axis=0).max() > 1e-9 * np.abs(cells).max())


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """The same atoms at successive times, sorted by id, unwrapped.

    The arrays are read-only; a slice of them is a view where that is possible.
    """

    positions: Floats
    """(n_frames, n_atoms, 3) Å, unwrapped."""

    cells: Floats
    """(n_frames, 3, 3) Å; rows are the lattice vectors."""

    origins: Floats
    """(n_frames, 3) Å, the cell's lower corner."""

    periodic: NDArray[np.bool_]
    """(3,)"""

    ids: Integers
    """(n_atoms,) LAMMPS's atom ids, ascending, not necessarily 1, 2, 3, ..."""

    species: NDArray[np.str_]
    """(n_atoms,) chemical symbols, ``X`` where the dump doesn't say."""

    steps: Integers
    """(n_frames,)"""

    times: Floats
    """(n_frames,) ps"""

    masses: Floats | None = None
    """(n_atoms,) g/mol, if the dump holds them."""

    charges: Floats | None = None
    """(n_atoms,) e, if the dump holds them and they don't change in time."""

    extras: Mapping[str, Floats] = field(default_factory=dict)
    """Named columns (n_frames, n_atoms), the ones asked for."""

    unwrapping: str
    """How the positions were unwrapped."""

    notes: tuple[str, ...] = ()
    """What was left out or assumed in reading, each in a sentence."""

    @property
    def are_configurations(self) -> bool:
        """Whether each frame is the configuration that was: its positions and its cell belong together.

        Under a barostat the toroidal recursion follows each atom's path, which leaves the lattice of the later cells.
        """
        return self.unwrapping.startswith(CONFIGURATIONS) or not _varies(self.cells)

    @property
    def are_paths(self) -> bool:
        """Whether positions follow the atoms from frame to frame, as displacements need."""
        return not self.unwrapping.startswith(CONFIGURATIONS) or not _varies(self.cells)

    def __post_init__(self) -> None:
        """Check the shapes and make the arrays read-only.

        Raises:
            TrajectoryError: an array has another shape than the positions ask for.
        """
        shape = np.shape(self.positions)
        if len(shape) != 3 or shape[2] != 3:
            raise TrajectoryError(f"positions must be (n_frames, n_atoms, 3), not {shape}")
        f, n = shape[:2]
        shapes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "positions": (np.float64, (f, n, 3)),
            "cells": (np.float64, (f, 3, 3)),
            "origins": (np.float64, (f, 3)),
            "periodic": (np.bool_, (3,)),
            "ids": (np.int64, (n,)),
            "species": (np.str_, (n,)),
            "steps": (np.int64, (f,)),
            "times": (np.float64, (f,)),
            "masses": (np.float64, (n,)),
            "charges": (np.float64, (n,)),
        }
        for name, (kind, expected) in shapes.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _frozen(name, value, kind, expected))
        extras = {name: _frozen(name, value, np.float64, (f, n)) for name, value in self.extras.items()}
        object.__setattr__(self, "extras", MappingProxyType(extras))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.positions.shape[0])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.positions.shape[1])

    def select(
        self,
        *,
        species: str | Collection[str] | None = None,
        times: tuple[float | None, float | None] | None = None,
        atoms: ArrayLike | None = None,
        frames: slice | None = None,
    ) -> "Trajectory":
        """Return the part of the trajectory with these species, times, atoms and frames, all at once.

        Times, frames, and atoms that lie regularly are taken as views, without a copy.

        Args:
            species: one chemical symbol or several.
            times: (from, to) in ps, both included; None is open. A tenth of a microfemtosecond is forgiven.
            atoms: ids, as LAMMPS counts them (not row numbers), in any order; the result is sorted by id.
            frames: a slice of the frames, applied after `times`.

        Raises:
            TrajectoryError: a species or an id that isn't there, or nothing left.
        """
        chosen = np.ones(self.n_atoms, dtype=np.bool_)
        if species is not None:
            wanted = [species] if isinstance(species, str) else list(species)
            there = sorted(set(self.species.tolist()))
            if missing := [symbol for symbol in wanted if symbol not in there]:
                raise TrajectoryError(
                    f"no atom of species {', '.join(missing)}; the trajectory has {', '.join(there)}"
                )
            chosen &= np.isin(self.species, wanted)
        if atoms is not None:
            ids = np.unique(np.asarray(atoms, dtype=np.int64))
            if len(unknown := np.setdiff1d(ids, self.ids)):
                raise TrajectoryError(f"no atom with id {unknown[0]}; ids go from {self.ids[0]} to {self.ids[-1]}")
            chosen &= np.isin(self.ids, ids)
        window = slice(None)
        if times is not None:
            window = _window(self.times, times)
        picked = np.arange(self.n_frames)[window][frames if frames is not None else slice(None)]
        when, who = _regular(picked), _regular(np.flatnonzero(chosen))
        if not len(picked) or not chosen.any():
            raise TrajectoryError(
                f"nothing is left of {self.n_frames} frames ({_span(self.times)}) and {self.n_atoms} atoms: "
                "choose a wider selection"
            )
        return replace(
            self,
            positions=_taken(self.positions, when, who),
            cells=self.cells[when],
            origins=self.origins[when],
            steps=self.steps[when],
            times=self.times[when],
            ids=self.ids[who],
            species=self.species[who],
            masses=None if self.masses is None else self.masses[who],
            charges=None if self.charges is None else self.charges[who],
            extras={name: _taken(column, when, who) for name, column in self.extras.items()},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One frame by itself, sorted by id: for runs whose atoms come and go."""

    step: int
    time: float
    """ps"""

    cell: Floats
    """(3, 3) Å; rows are the lattice vectors."""

    origin: Floats
    """(3,) Å"""

    periodic: NDArray[np.bool_]
    """(3,)"""

    ids: Integers
    """(n_atoms,) ascending"""

    species: NDArray[np.str_]
    """(n_atoms,)"""

    positions: Floats
    """(n_atoms, 3) Å"""

    extras: Mapping[str, Floats] = field(default_factory=dict)
    """Named columns (n_atoms,), the ones asked for."""

    unwrapping: str
    """What the positions are."""

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.ids)


def _frozen(name: str, value: Any, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.asarray(value, dtype=kind).view()
    if array.shape != shape:
        raise TrajectoryError(f"{name} must have shape {shape}, not {array.shape}")
    array.flags.writeable = False
    return array


def _window(values: Floats, limits: tuple[float | None, float | None]) -> slice:
    low = -np.inf if limits[0] is None else limits[0] - 1e-10
    high = np.inf if limits[1] is None else limits[1] + 1e-10
    return slice(int(np.searchsorted(values, low, "left")), int(np.searchsorted(values, high, "right")))


def _span(times: Floats) -> str:
    return f"{times[0]:g} to {times[-1]:g} ps" if len(times) else "none"


def _regular(rows: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return a slice that picks these ascending rows, where there is one: it makes a view, not a copy."""
    if len(rows) < 2:
        return slice(int(rows[0]), int(rows[0]) + 1) if len(rows) else slice(0, 0)
    stride = int(rows[1] - rows[0])
    if stride > 0 and np.all(np.diff(rows) == stride):
        return slice(int(rows[0]), int(rows[-1]) + 1, stride)
    return rows


def _taken(array: Floats, when: slice | NDArray[np.intp], who: slice | NDArray[np.intp]) -> Floats:
    return array[when][:, who]
