"""Unwrap positions: where an atom would be had it never been put back into the cell.

At a constant cell H (rows are lattice vectors) an atom at x with image flags n is at

    u = x + n H.

Under a barostat that is wrong: every fluctuation of H would rescale the distant images, and the mean squared
displacement would grow with them. There the toroidal recursion is taken (Bullerjahn, von Bülow, Heidari,
Hénin & Hummer, J. Chem. Theory Comput. 2023, 19, 3406, doi 10.1021/acs.jctc.3c00308):

    u(0) = x(0) + n(0) H(0),   u(i) = u(i−1) + x(i) − x(i−1) + [n(i) − n(i−1)] H(i).

When ``fix npt`` flips a tilted cell, the new lattice vectors are integer combinations of the old, H(i) ≈ F H(i−1),
and n(i−1) is expressed in the new ones, n(i−1) F⁻¹, before the difference is taken.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampion.errors import TrajectoryError

Floats = NDArray[np.float64]

# Where no step comes nearer to half a cell than this, one beyond half a cell is most unlikely.
MAX_STEP = 0.4


@dataclass(frozen=True, kw_only=True, eq=False)
class Last:
    """The last frame of a block, from which the next goes on."""

    positions: Floats
    """(n_atoms, 3) as given, or inside the cell if the cell has varied"""
    images: Floats | None
    cell: Floats
    origin: Floats
    unwrapped: Floats
    varied: bool
    """The cell has changed since the first frame."""


def unwrapped(
    positions: Floats,
    images: Floats | None,
    cells: Floats,
    origins: Floats,
    periodic: NDArray[np.bool_],
    last: Last | None,
) -> tuple[Floats, Last]:
    """Unwrap a block of frames and return it with the state from which the next block goes on.

    Args:
        positions: (n_frames, n_atoms, 3) Å; unwrapped by LAMMPS if `images` is None, else wrapped.
        images: (n_frames, n_atoms, 3), whole numbers.
        cells: (n_frames, 3, 3) Å.
        origins: (n_frames, 3) Å.
        periodic: (3,); only these directions are unwrapped.
        last: what the block before left; None at the start.

    Raises:
        TrajectoryError: the lattice vectors of one frame aren't integer combinations of those before.
    """
    first = cells[:1] if last is None else last.cell[None]
    same = np.all(cells[:, periodic] == first[:, periodic], axis=(1, 2))
    varied = last is not None and last.varied
    n_same = 0 if varied else int(np.argmin(same)) if not same.all() else len(same)
    # With the first frame's cell the flags are exact. Frames with other cells are overwritten below.
    if images is not None:
        out = _shifted(positions, images, cells[0])
    else:
        out = positions if n_same == len(cells) else positions.copy()
    if n_same:
        i = n_same - 1
        last = Last(
            positions=positions[i].copy(),
            images=None if images is None else images[i].copy(),
            cell=cells[i],
            origin=origins[i],
            unwrapped=out[i].copy(),
            varied=False,
        )
    if last is None:
        raise TrajectoryError("there are no frames to unwrap")
    if n_same == len(cells):
        return out, last
    with np.errstate(over="ignore", invalid="ignore"):
        inside, flags = _split(positions, images, cells, origins, periodic)
        _recur(out, inside, flags, cells, periodic, last, n_same)
    if not np.all(np.isfinite(out)):
        raise TrajectoryError("positions are so large that they overflow")
    return out, Last(
        positions=inside[-1].copy(),
        images=flags[-1].copy(),
        cell=cells[-1],
        origin=origins[-1],
        unwrapped=out[-1].copy(),
        varied=True,
    )


def _shifted(positions: Floats, images: Floats, cell: Floats) -> Floats:
    """Return positions + images @ cell."""
    edges = np.diag(cell)
    out = images * edges if np.array_equal(cell, np.diag(edges)) else images @ cell
    out += positions
    return out


def _recur(
    out: Floats,
    inside: Floats,
    flags: Floats,
    cells: Floats,
    periodic: NDArray[np.bool_],
    last: Last,
    start: int,
) -> None:
    """Apply the recursion from frame `start` on, in place of what stands in `out`."""
    x, n, cell, u = last.positions, last.images, last.cell, last.unwrapped
    if not last.varied or n is None:
        before = _split(x[None], None if n is None else n[None], cell[None], last.origin[None], periodic)
        x, n = before[0][0], before[1][0]
    here = cells[start:]
    x_before = np.concatenate([x[None], inside[start:-1]])
    n_before = np.concatenate([n[None], flags[start:-1]])
    for i, turned in flips(np.concatenate([cell[None], here[:-1]]), here, periodic):
        n_before[i] = np.rint(n_before[i] @ np.linalg.inv(turned))
    steps = (inside[start:] - x_before) + (flags[start:] - n_before) @ here
    out[start:] = u + np.cumsum(steps, axis=0)


def flips(old: Floats, new: Floats, periodic: NDArray[np.bool_]) -> list[tuple[int, Floats]]:
    """Return the frames (n_frames, 3, 3) where the cell flips, and the whole numbers F with ``new ≈ F old``.

    Raises:
        TrajectoryError: F doesn't keep the volume: the frames lie too far apart to tell how the cell changed.
    """
    # A cell that shrink-wraps its atoms may grow as it likes in the directions that aren't periodic.
    old, new = (np.where(periodic[:, None], cells, np.eye(3)) for cells in (old, new))
    turned = np.rint(new @ np.linalg.inv(old))
    found = np.flatnonzero(np.any(turned != np.eye(3), axis=(1, 2))).tolist()
    if any(abs(abs(np.linalg.det(turned[i])) - 1) > 1e-6 for i in found):
        raise TrajectoryError("the cell changes too much between two frames to follow it; write frames more often")
    return [(i, turned[i]) for i in found]


def _split(
    positions: Floats, images: Floats | None, cells: Floats, origins: Floats, periodic: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return positions inside the cell and their image flags.

    LAMMPS wraps only when it rebuilds its neighbor lists: in between, atoms lie outside the cell. The recursion takes
    the cell of the frame in which the flag changes, so that its result would depend on that.
    """
    scaled = (positions - origins[:, None]) @ np.linalg.inv(cells)
    outside = np.where(periodic, np.floor(scaled), 0.0)
    return positions - outside @ cells, outside if images is None else images + outside


def minimum_image_flags(
    positions: Floats, cells: Floats, periodic: NDArray[np.bool_], last: Last | None, steps: NDArray[Any]
) -> Floats:
    """Return image flags of wrapped positions, taking each step between two frames as the shortest one.

    With ds the step in units of the cell, n(i) = n(i−1) − round(ds).

    Raises:
        TrajectoryError: a step comes near half a cell, where the shortest may be the wrong one, or the cell flips.
    """
    before = positions[:1] if last is None else last.positions[None]
    cell = cells[:1] if last is None else last.cell[None]
    start = np.zeros_like(before[0]) if last is None or last.images is None else last.images
    if flips(np.concatenate([cell, cells[:-1]]), cells, periodic):
        raise TrajectoryError(
            "the cell flips, and wrapped coordinates without image flags can't follow; write xu yu zu"
        )
    jump = np.diff(np.concatenate([before, positions]), axis=0) @ np.linalg.inv(cells)
    crossed = np.where(periodic, np.rint(jump), 0.0)
    left = np.abs(np.where(periodic, jump - crossed, 0.0))
    if left.size and left.max() > MAX_STEP:
        frame, atom, _ = np.unravel_index(int(left.argmax()), left.shape)
        raise TrajectoryError(
            f"step {steps[frame]}: the atom in row {atom} moves {left.max():.2f} of the cell between two frames, too "
            "near to half a cell for the minimum image; write frames more often, or write xu yu zu or ix iy iz"
        )
    flags: Floats = start - np.cumsum(crossed, axis=0)
    return flags
