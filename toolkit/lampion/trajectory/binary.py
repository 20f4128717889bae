"""Frames of LAMMPS's own binary dumps (``.bin``).

A frame is its head and then the rows, all columns as float64, in one chunk for each MPI rank that wrote:

    int64 −n, n characters (``DUMPCUSTOM`` or ``DUMPATOM``), int32 byte order (1), int32 revision (2 or more),
    int64 step, int64 number of atoms, int32 triclinic (0, 1, or 2 for a general cell), 6 int32 boundaries (0 is
    periodic), 6, 9 or 12 float64 of the cell, int32 number of columns, int32 length and name of the units (0 if not
    said), int8 and float64 time (only the first if not said), int32 length and names of the columns, int32 number
    of chunks; then for each chunk int32 number of values, and the values.

Strings (``element``) are written as the type's number.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lampion.trajectory.header import Header, cells_of
from lampion.trajectory.plan import LABEL, Plan, Reference
from lampion.trajectory.text import NO_CELL, Rows
from lampion.trajectory.trouble import CutOffError, DamagedError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

MAGIC = (b"\xf6\xff\xff\xff\xff\xff\xff\xffDUMPCUSTOM", b"\xf8\xff\xff\xff\xff\xff\xff\xffDUMPATOM")
_WIDTHS = {0: 2, 1: 3, 2: 4}


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """The head of one frame, and which of its bytes may differ in others of the same dump."""

    header: Header
    n_bytes: int
    """Up to the first chunk."""
    n_chunks: int
    pattern: Bytes
    fixed: NDArray[np.bool_]
    """(n_bytes,) the bytes that must be the same"""
    numbers: Integers
    """Where float64 stand that belong to the head: the cell, then the time."""
    step_at: int
    width: int


class _Bytes:
    """A place in a buffer, moving on as values are taken."""

    def __init__(self, buffer: Bytes, at: int, end: int) -> None:
        self.buffer, self.at, self.end = buffer, at, end

    def take(self, kind: str) -> tuple[float, ...]:
        return struct.unpack("<" + kind, self.text(struct.calcsize("<" + kind)))

    def text(self, n: int) -> bytes:
        if n < 0 or n > 1 << 20:
            raise ValueError("a length that can't be")
        if self.at + n > self.end:
            raise CutOffError
        self.at += n
        return self.buffer[self.at - n : self.at].tobytes()


def head_at(buffer: Bytes, at: int, end: int) -> Head:
    """Read the head of the frame that begins at byte `at`.

    Raises:
        CutOffError: the buffer ends first.
        DamagedError: it isn't a head, or one that is older than the self-describing format (2020).
    """
    place = _Bytes(buffer, at, end)
    try:
        (length,) = place.take("q")
        if not -32 <= length < 0 or place.text(int(-length)) not in (b"DUMPCUSTOM", b"DUMPATOM"):
            raise ValueError("no 'DUMPCUSTOM' where a frame of a binary dump should begin")
        endian, revision = place.take("ii")
        if endian != 1 or revision < 2:
            raise ValueError(f"byte order {endian}, revision {revision}: only 1 and 2 or more can be read")
        step_at = place.at - at
        step, n_atoms, triclinic = place.take("qqi")
        boundary = place.take("6i")
        if triclinic not in _WIDTHS or n_atoms < 0:
            raise ValueError(f"a cell of kind {triclinic} with {n_atoms} atoms can't be")
        width = _WIDTHS[int(triclinic)]
        cell_at = place.at - at
        cell = place.take(f"{3 * width}d")
        (n_columns,) = place.take("i")
        units = place.text(int(place.take("i")[0])).decode()
        (timed,) = place.take("b")
        time_at = place.at - at
        time = place.take("d")[0] if timed else None
        columns = tuple(place.text(int(place.take("i")[0])).decode().split())
        (n_chunks,) = place.take("i")
        if len(columns) != n_columns or len(set(columns)) != len(columns) or n_chunks < 0:
            raise ValueError(f"{n_columns} columns are announced, and their names are {' '.join(columns)}")
        if not np.all(np.isfinite([*cell, time or 0.0])):
            raise ValueError("the cell or the time is not a number")
        cells, origins = cells_of(bounds(np.array([cell]), width))
    except (ValueError, UnicodeDecodeError) as error:
        raise DamagedError(at, str(error)) from None
    n_bytes = place.at - at
    fixed = np.ones(n_bytes, dtype=np.bool_)
    fixed[step_at : step_at + 8] = False
    fixed[cell_at : cell_at + 24 * width] = False
    numbers = [cell_at + 8 * i for i in range(3 * width)]
    if timed:
        fixed[time_at : time_at + 8] = False
        numbers.append(time_at)
    header = Header(
        step=int(step),
        n_atoms=int(n_atoms),
        cell=cells[0],
        origin=origins[0],
        periodic=(boundary[0] == 0, boundary[2] == 0, boundary[4] == 0),
        columns=columns,
        time=time,
        units=units or None,
    )
    return Head(
        header=header,
        n_bytes=n_bytes,
        n_chunks=int(n_chunks),
        pattern=buffer[at : at + n_bytes].copy(),
        fixed=fixed,
        numbers=np.array(numbers, dtype=np.int64),
        step_at=step_at,
        width=width,
    )


def bounds(cell: Floats, width: int) -> Floats:
    """Bring the float64 of a head's cell into the order of the lines of BOX BOUNDS, (n_frames, 3, width)."""
    n = len(cell)
    if width == 4:
        return np.concatenate([cell[:, :9].reshape(n, 3, 3), cell[:, 9:].reshape(n, 3, 1)], axis=2)
    low_high = cell[:, :6].reshape(n, 3, 2)
    return low_high if width == 2 else np.concatenate([low_high, cell[:, 6:].reshape(n, 3, 1)], axis=2)


def rows_at(buffer: Bytes, at: int, end: int, head: Head) -> tuple[Floats, int]:
    """Return the rows (n_atoms, n_columns) of the frame that begins at byte `at`, and where the next begins.

    Raises:
        CutOffError: the buffer ends first.
        DamagedError: the chunks don't hold whole rows, or not as many as there are atoms.
    """
    width = len(head.header.columns)
    chunks: list[Floats] = []
    place = at + head.n_bytes
    left = head.header.n_atoms * width
    for _ in range(head.n_chunks):
        if place + 4 > end:
            raise CutOffError
        n = int(buffer[place : place + 4].view("<i4")[0])
        if n < 0 or n > left or n % width:
            raise DamagedError(
                place, f"a chunk of {n} values doesn't fit {head.header.n_atoms} rows of {width} columns"
            )
        if place + 4 + 8 * n > end:
            raise CutOffError
        chunks.append(np.frombuffer(buffer[place + 4 : place + 4 + 8 * n].tobytes(), dtype="<f8"))
        left -= n
        place += 4 + 8 * n
    if left:
        raise DamagedError(
            at, f"{left // width} of {head.header.n_atoms} rows are missing in step {head.header.step}"
        )
    return np.concatenate([np.empty(0), *chunks]).reshape(-1, width), place


def one_frame(buffer: Bytes, at: int, end: int, head: Head, plan: Plan) -> Rows:
    """Read one frame.

    Raises:
        CutOffError: the buffer ends first.
        DamagedError: a value is wrong.
    """
    table, after = rows_at(buffer, at, end, head)
    columns = list(plan.columns)
    ids = table[:, columns.index("id")]
    values = table[:, [columns.index(name) for name in plan.names]]
    if not _whole(ids, -9e15, 9e15):
        raise DamagedError(at, f"an id that is no whole number in step {head.header.step}")
    bad = ~np.isfinite(values[:, : plan.n_finite])
    if bad.any():
        row, column = np.argwhere(bad)[0]
        sentence = f"column '{plan.names[column]}' of atom {ids[row]:.0f} is {values[row, column]}"
        raise DamagedError(at, f"{sentence} in step {head.header.step}")
    labels = table[:, columns.index(plan.label)] if plan.label else np.zeros(len(table))
    if not _whole(labels, 0, 1e9):
        raise DamagedError(at, f"column '{plan.label}' holds what is no type in step {head.header.step}")
    return Rows(
        header=head.header,
        ids=ids.astype(np.int64),
        labels=np.array([f"{label:.0f}" for label in labels], dtype=np.str_),
        codes=labels.astype(np.uint64),
        values=values,
        end=after,
    )


def _whole(values: Floats, low: float, high: float) -> bool:
    # floor and not the remainder, which warns of infinities
    return bool(np.all((values >= low) & (values < high) & (np.floor(values) == values)))


def many_frames(
    buffer: Bytes, at: int, end: int, head: Head, plan: Plan, atoms: Reference, apply: bool
) -> tuple[Integers, Floats, Floats, int, bool]:
    """Read the successive frames that fit this head; with `apply` as in `lampion.trajectory.text.many_frames`.

    Returns:
        Steps (n,), the heads' numbers (n, n_numbers), values (n, n_atoms, n_names), where it stopped, and whether
        that is because another head came or the buffer ended, rather than trouble.
    """
    n = len(atoms.ids)
    size = head.n_bytes + 4 * head.n_chunks + 8 * n * len(plan.columns)
    n_frames = (end - at) // size
    steps, heads = np.empty(n_frames, dtype=np.int64), np.empty((n_frames, len(head.numbers)))
    values = np.empty((n_frames, n, len(plan.names) - (3 if apply else 0)))
    from lampion.trajectory import kernel, kernel_binary

    status, done, place = kernel_binary.take_frames(
        buffer, at, head.pattern, head.fixed, head.numbers, head.step_at, head.n_chunks, plan.roles, plan.n_finite,
        head.header.cell if apply else NO_CELL, 3 * head.width if apply else 0, atoms.ids[0], atoms.slots,
        atoms.kinds, atoms.codes.astype(np.float64), steps, heads, values, bool(np.any(plan.roles == LABEL)),
    )  # fmt: skip
    return steps[:done], heads[:done], values[:done], int(place), status in (kernel.DONE, kernel.HEAD)
