"""Frames of a text dump: the head by a template, the rows in a compiled loop, the trouble in plain Python."""

import math
import re
from dataclasses import dataclass, replace
from io import BytesIO
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from lampion.trajectory.header import Header, cells_of, read_header
from lampion.trajectory.plan import LABEL, UNUSED, Plan, Raw, Reference
from lampion.trajectory.source import Piece
from lampion.trajectory.trouble import CutOffError, DamagedError, trouble

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NUMBERS = {b"TIMESTEP": "step", b"TIME": "time", b"BOX BOUNDS": "bounds"}
_CONTROL = re.compile(rb"[^\t\r\n\x20-\x7e]")
NO_CELL = np.empty((0, 3))
_LARGEST = 2.0**53
_LONG_LABEL = np.uint64(1 << 63)


@dataclass(frozen=True, kw_only=True, eq=False)
class Template:
    """The head of one frame, made into a form for others that differ in their numbers only."""

    header: Header
    n_bytes: int
    literal: NDArray[np.uint8]
    segments: Integers
    places: dict[str, int]
    """Where step, time and bounds are among the head's numbers."""
    n_numbers: int
    width: int
    """Numbers in a line of BOX BOUNDS."""


def template_at(piece: Piece, at: int) -> Template:
    """Read the head of the frame that begins at byte `at`.

    Raises:
        CutOffError: the piece ends first.
        DamagedError: it isn't a head.
    """
    data = piece.buffer
    lines: list[bytes] = []
    begin = at
    while not lines or not lines[-1].startswith(b"ITEM: ATOMS"):
        stop = begin + 4096
        line = data[begin : min(stop, piece.end)].tobytes()
        while b"\n" not in line and stop < piece.end:
            stop += 1 << 16
            line = data[begin : min(stop, piece.end)].tobytes()
        if b"\n" not in line:
            if piece.last:
                raise CutOffError
            raise DamagedError(begin, "the frame has no 'ITEM: ATOMS'")
        line = line[: line.index(b"\n") + 1]
        if len(lines) > 64 or (not lines and not line.startswith(b"ITEM:")):
            raise DamagedError(begin, f"expected 'ITEM:', found {line[:40].decode(errors='replace').rstrip()!r}")
        if strange_byte := _CONTROL.search(line):
            raise DamagedError(begin, f"the head of the frame holds the byte {strange_byte.group()!r}")
        lines.append(line)
        begin += len(line)
    try:
        header = read_header([line.decode(errors="replace") for line in lines])
    except ValueError as error:
        raise DamagedError(at, str(error)) from None
    return _template(header, lines)


def _template(header: Header, lines: list[bytes]) -> Template:
    literal, n = b"", 0
    segments: list[list[int]] = []
    places: dict[str, int] = {}
    item = b""
    bounds = 0
    for line in lines:
        if line.startswith(b"ITEM:"):
            said = line[6:].strip()  # as `read_header` reads it
            item = next((name for name in _NUMBERS if said == name or said.startswith(name + b" ")), b"")
        if line.startswith(b"ITEM:") or not item:
            if segments and segments[-1][0] >= 0:
                segments[-1][1] += len(line)
            else:
                segments.append([len(literal), len(literal) + len(line)])
            literal += line
        else:
            width = len(line.split())
            places.setdefault(_NUMBERS[item], n)
            segments.append([-1, width])
            n += width
            bounds = width if item == b"BOX BOUNDS" else bounds
    return Template(
        header=header,
        n_bytes=sum(map(len, lines)),
        literal=np.frombuffer(literal, dtype=np.uint8),
        segments=np.array(segments, dtype=np.int64),
        places=places,
        n_numbers=n,
        width=bounds,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """One frame, its rows in the dump's order."""

    header: Header
    ids: Integers
    labels: NDArray[np.str_]
    codes: NDArray[np.uint64]
    """What the compiled loops take for the labels."""
    values: Floats
    """(n_atoms, n_names)"""
    end: int
    """Where the next frame begins."""


def one_frame(kernel: ModuleType | None, piece: Piece, at: int, head: Template, plan: Plan) -> Rows:
    """Read one frame.

    Raises:
        CutOffError: the dump ends first.
        DamagedError: a row can't be read.
    """
    n = head.header.n_atoms
    begin = at + head.n_bytes
    # Two bytes are the least for a value: a number of atoms that can't be true mustn't ask for memory.
    if 2 * n * len(plan.columns) > piece.end - begin + 1:
        if piece.last and b"ITEM:" not in piece.buffer[begin : piece.end].tobytes():
            raise CutOffError
        raise trouble(piece, begin, head.header, plan, None)
    if kernel is None:
        return _by_pandas(piece, begin, head, plan)
    values, heads = np.empty((1, n, len(plan.names))), np.empty((1, head.n_numbers))
    ids, codes = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.uint64)
    status, _, end = kernel.parse_frames(
        piece.buffer, at, piece.end, head.literal, head.segments, n, plan.roles, plan.n_finite, NO_CELL, 0, 0,
        0, np.empty(0, dtype=np.int32), np.empty(0, dtype=np.uint16), np.empty(0, dtype=np.uint64),
        heads, values, ids, codes,
    )  # fmt: skip
    if status not in (kernel.DONE, kernel.FULL):
        if status == kernel.CUT and piece.last:
            raise CutOffError
        raise trouble(piece, begin, head.header, plan, None)
    # The cell as the loops parse it, so that a constant cell is the same to the last bit in all frames.
    cells, origins = cells_of(heads[:, head.places["bounds"] :][:, : 3 * head.width].reshape(1, 3, head.width))
    return Rows(
        header=replace(head.header, cell=cells[0], origin=origins[0]),
        ids=ids, labels=_decoded(piece, begin, codes, plan), codes=codes, values=values[0], end=int(end),
    )  # fmt: skip


def _decoded(piece: Piece, begin: int, codes: NDArray[np.uint64], plan: Plan) -> NDArray[np.str_]:
    unique, back = np.unique(codes, return_inverse=True)
    if len(unique) and unique[-1] >= _LONG_LABEL:
        column = int(np.argmax(plan.roles == LABEL))
        rows = piece.buffer[begin : piece.end].tobytes().split(b"\n", len(codes))[: len(codes)]
        return np.array([row.split()[column].decode(errors="replace") for row in rows])
    words = unique.astype("<u8").view("S8") if len(unique) else np.empty(0, dtype="S8")
    return np.array([word.decode(errors="replace") for word in words], dtype=np.str_)[back]


def many_frames(
    kernel: ModuleType, piece: Piece, at: int, head: Template, plan: Plan, atoms: Reference, apply: bool
) -> tuple[list[tuple[Floats, Floats]], int, bool]:
    """Read successive frames whose heads fit the template, straight to the rows of their ids.

    With `apply` the image flags are applied as x + n H, as long as the cell is that of the first frame here.

    Returns:
        Heads (n_frames, n_numbers) and values (n_frames, n_atoms, n_names) in one or more parts; where it stopped;
        and whether that is because another head came or the end, rather than trouble.
    """
    n = len(atoms.ids)
    parts: list[tuple[Floats, Floats]] = []
    size = 0
    while at < piece.end:
        n_frames = math.ceil((piece.end - at) / size * 1.02) + 1 if size else 4
        heads = np.empty((n_frames, head.n_numbers))
        values = np.empty((n_frames, n, len(plan.names) - (3 if apply else 0)))
        status, done, end = kernel.parse_frames(
            piece.buffer, at, piece.end, head.literal, head.segments, n, plan.roles, plan.n_finite,
            head.header.cell if apply else NO_CELL, head.places["bounds"], 3 * head.width if apply else 0,
            atoms.ids[0], atoms.slots, atoms.kinds, atoms.codes, heads, values,
            np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64),
        )  # fmt: skip
        first = slice(head.places["bounds"], head.places["bounds"] + 3 * head.width)
        if apply and parts and done and not np.array_equal(heads[0, first], parts[0][0][0, first]):
            return parts, at, True
        if done:
            parts.append((heads[:done], values[:done]))
            size = max(1, (int(end) - at) // int(done))
        at = int(end)
        if status != kernel.FULL:
            return parts, at, status in (kernel.DONE, kernel.HEAD)
    return parts, at, True


def _by_pandas(piece: Piece, begin: int, head: Template, plan: Plan) -> Rows:
    """Read the rows of one frame where numba is missing."""
    import pandas as pd

    n = head.header.n_atoms
    window = 64 * n
    data = piece.buffer[begin : min(begin + window, piece.end)]
    while len(ends := np.flatnonzero(data == 10)[:n]) < n and begin + window < piece.end:
        window *= 2
        data = piece.buffer[begin : min(begin + window, piece.end)]
    if len(ends) < n:
        raise trouble(piece, begin, head.header, plan, None)
    stop = int(ends[-1]) + 1 if n else 0
    labels = np.full(n, "", dtype=np.str_)
    wanted = [name for name, role in zip(plan.columns, plan.roles, strict=True) if role != UNUSED]
    kinds = {name: (str if name == plan.label else np.float64) for name in wanted}
    if np.any(data[:stop] == 0):  # some releases of pandas end a number there, and read on
        raise trouble(piece, begin, head.header, plan, None)
    try:
        table = pd.read_csv(
            BytesIO(data[:stop].tobytes()), sep=r"\s+", header=None, names=list(plan.columns), usecols=wanted,
            dtype=kinds, engine="c", na_filter=False, index_col=False, nrows=n,
        )  # fmt: skip
        ids = table["id"].to_numpy()
        values = table[list(plan.names)].to_numpy()
    except (ValueError, KeyError):
        raise trouble(piece, begin, head.header, plan, None) from None
    # pandas forgives rows of another length: count the words.
    blank = (data[:stop] == 32) | (data[:stop] == 9) | (data[:stop] == 13) | (data[:stop] == 10)
    starts = ~blank & np.concatenate([[True], blank[:-1]])
    counts = np.add.reduceat(starts, np.concatenate([[0], ends[:-1] + 1])) if n else np.empty(0)
    bad = not np.all(np.isfinite(values[:, : plan.n_finite])) or not np.all(np.isfinite(ids)) or np.any(ids % 1)
    if bad or np.any(counts != len(plan.columns)):
        raise trouble(piece, begin, head.header, plan, None)
    if plan.label is not None:
        labels = table[plan.label].to_numpy(dtype=np.str_)
    codes = np.zeros(n, dtype=np.uint64)
    return Rows(
        header=head.header, ids=ids.astype(np.int64), labels=labels, codes=codes, values=values, end=begin + stop
    )


def raw(
    head: Template, heads: Floats, values: Floats, plan: Plan, atoms: Reference, stop: int, *, applied: bool
) -> Raw:
    """Give the numbers of the heads their names.

    Raises:
        ValueError: a step is no whole number, or a cell has no volume.
    """
    steps = heads[:, head.places["step"]]
    strange = (np.floor(steps) != steps) | ~(np.abs(steps) <= _LARGEST)
    if strange.any():
        raise ValueError(f"the step {steps[int(np.argmax(strange))]} is not a whole number")
    first = head.places["bounds"]
    bounds = heads[:, first : first + 3 * head.width].reshape(len(heads), 3, head.width)
    cells, origins = cells_of(bounds)
    return Raw(
        header=head.header,
        plan=plan,
        steps=steps.astype(np.int64),
        times=heads[:, head.places["time"]].copy() if "time" in head.places else None,
        cells=cells,
        origins=origins,
        values=values,
        ids=atoms.ids,
        labels=atoms.labels,
        applied=applied,
        stop=stop,
    )
