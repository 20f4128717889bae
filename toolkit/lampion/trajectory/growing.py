"""Blocks of frames, put together."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampion.errors import TrajectoryError
from lampion.trajectory.frames import Trajectory

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Frames in Å and ps, unwrapped, and what they have in common."""

    arrays: dict[str, NDArray[Any]]
    """By the names of Trajectory's fields, or ``extras/`` and the column; the first axis is the frame."""
    common: dict[str, Any]
    notes: list[str]
    progress: float
    """How much of all files has been read, about, from 0 to 1."""


@dataclass(kw_only=False)
class Growing:
    """Blocks put one behind the other."""

    whole: bool
    """All blocks are to come here."""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Floats | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    n_frames: int = 0

    @property
    def bytes_per_frame(self) -> int:
        """Memory that a frame takes."""
        return sum(int(array.itemsize * np.prod(array.shape[1:])) for array in self.arrays.values())

    def add(self, block: Block) -> None:
        """Append a block."""
        for name in ("masses", "charges"):
            if name in block.arrays:
                rows = block.arrays.pop(name)
                known = self.constants.setdefault(name, rows[0].copy())
                if known is not None and not np.all(rows == known):
                    self.constants[name] = None
        n = len(block.arrays["steps"])
        for name, rows in block.arrays.items():
            array = self.arrays.setdefault(name, rows[:0])
            if self.n_frames + n > len(array):
                # Room for all that is expected to come: memory that is never written to costs nothing.
                expected = (self.n_frames + n) * (1.05 / block.progress if self.whole else 2.0)
                self.arrays[name] = np.empty((int(expected) + 16, *rows.shape[1:]), dtype=rows.dtype)
                self.arrays[name][: self.n_frames] = array[: self.n_frames]
            self.arrays[name][self.n_frames : self.n_frames + n] = rows
        self.n_frames += n
        self.common, self.notes = block.common, block.notes

    def trajectory(self, n_frames: int | None = None) -> Trajectory:
        """Return the first frames, or all of them with the notes."""
        if not self.n_frames:
            raise TrajectoryError("; ".join(["the dump holds no complete frame", *self.notes]))
        whole = n_frames is None
        n = self.n_frames if n_frames is None else n_frames
        taken: dict[str, Any] = {
            name: array[:n] if whole else array[:n].copy() for name, array in self.arrays.items()
        }
        extras = {name.removeprefix("extras/"): taken.pop(name) for name in list(taken) if name.startswith("extras/")}
        notes = [*self.notes, *gaps(taken["steps"])] if whole else list(self.notes)
        for name, column in (("masses", "mass"), ("charges", "q")):
            if name in self.constants and self.constants[name] is None:
                notes.append(f"the {name} change in time and are left out; read them with columns=['{column}']")
        taken.update(self.common, **self.constants)
        return Trajectory(**taken, extras=extras, notes=tuple(dict.fromkeys(notes)))

    def rest(self, n_frames: int) -> "Growing":
        """Return what is left without the first frames."""
        arrays = {name: array[n_frames : self.n_frames].copy() for name, array in self.arrays.items()}
        return Growing(False, arrays, dict(self.common), dict(self.constants), self.notes, self.n_frames - n_frames)


def gaps(steps: NDArray[np.int64]) -> list[str]:
    """Say where frames are missing, if nearly all others lie one stride apart."""
    strides = np.diff(steps)
    if len(strides) < 3:
        return []
    stride = int(np.median(strides))
    wide = np.flatnonzero(strides > stride)
    if not len(wide) or np.mean(strides == stride) < 0.8:
        return []
    listed = ", ".join(f"{steps[i]} and {steps[i + 1]}" for i in wide[:3])
    more = f" and {len(wide) - 3} more times" if len(wide) > 3 else ""
    return [f"frames are {stride} steps apart, but none lies between steps {listed}{more}"]
