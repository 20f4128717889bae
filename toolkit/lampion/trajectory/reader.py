"""All frames of one dump file, text or binary, as the dump has them."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from lampion.errors import TrajectoryError
from lampion.trajectory import binary, text
from lampion.trajectory.header import Header, cells_of
from lampion.trajectory.plan import Plan, Raw, Reference, reference
from lampion.trajectory.source import PAD, PIECE, Piece, Source, line_number, opened, text_pieces
from lampion.trajectory.trouble import CutOffError, DamagedError, strange, trouble

Floats = NDArray[np.float64]

Planner = Callable[[tuple[str, ...]], Plan]


@lru_cache(maxsize=1)
def compiled() -> ModuleType | None:
    """Return the compiled loops; None where numba is missing."""
    try:
        from lampion.trajectory import kernel
    except ImportError:
        return None
    return kernel


@dataclass(kw_only=True)
class Reading:
    """What is known while the files of one run are read, one after the other."""

    planner: Planner
    """From columns to plan; raises ValueError."""
    each: bool
    """Every frame for itself, with whatever atoms it has."""
    workers: int = 1
    atoms: Reference | None = None
    """The atoms of the first frame."""
    cell: Floats | None = None
    """Of the first frame."""
    columns: tuple[str, ...] | None = None
    """Of the first frame."""
    kind: str | None = None
    """``text`` or ``binary``, of the first file: the compiled loops compare labels as that kind writes them."""
    notes: list[str] = field(default_factory=list)


def frames(path: Path, reading: Reading) -> Iterator[Raw]:
    """Yield the frames of a dump, many at a time; the arrays are the caller's.

    Raises:
        TrajectoryError: the file isn't a dump, or is damaged elsewhere than at its end.
    """
    with opened(path) as source:
        probe = bytearray(24)
        n = source.fill(memoryview(probe))
    if not n:
        raise TrajectoryError(f"{path} is empty")
    with opened(path) as source:
        reading.kind = reading.kind or ("binary" if probe.startswith(binary.MAGIC) else "text")
        if probe.startswith(binary.MAGIC):
            yield from _binary_frames(source, reading)
        elif probe.startswith(b"ITEM:"):
            yield from _text_frames(source, reading)
        elif b"\0" in probe[:n]:
            raise TrajectoryError(f"{path} is neither a text dump nor a binary one of LAMMPS since 2020")
        else:
            raise TrajectoryError(f"{path} is not a LAMMPS text dump: it doesn't begin with 'ITEM:'")


def first_step(path: Path) -> int | None:
    """Return the step of a dump's first frame, None if not even that is whole."""
    block = bytearray(1 << 16)
    with opened(path) as source:
        n = source.fill(memoryview(block)[:-PAD])
    data = np.frombuffer(block, dtype=np.uint8)
    try:
        if block.startswith(binary.MAGIC):
            return binary.head_at(data, 0, n).header.step
        return text.template_at(Piece(buffer=data, end=n, offset=0, last=True), 0).header.step
    except (CutOffError, DamagedError):
        return None


def _text_frames(source: Source, reading: Reading) -> Iterator[Raw]:
    n_waiting = 0 if reading.workers < 2 or reading.each else reading.workers
    with ThreadPoolExecutor(max_workers=reading.workers) as pool:
        waiting: deque[Future[tuple[list[Raw], bool]]] = deque()
        cut = False
        for piece in text_pieces(source, n_buffers=n_waiting + 1):
            if reading.atoms is None or not n_waiting:
                raws, cut = _text_piece(source.path, piece, reading)
                yield from raws
                continue
            if len(waiting) == n_waiting:
                yield from waiting.popleft().result()[0]
            waiting.append(pool.submit(_text_piece, source.path, piece, reading))
        while waiting:
            raws, cut = waiting.popleft().result()
            yield from raws
    if cut or source.cut:
        reading.notes.append(f"{source.path}: the last frame is cut off and was dropped")


def _text_piece(path: Path, piece: Piece, reading: Reading) -> tuple[list[Raw], bool]:
    """Read the frames of a piece; tell whether its last one is cut off."""
    kernel = compiled()
    raws: list[Raw] = []
    at = 0
    try:
        while at < piece.end:
            if piece.buffer[at] <= 32 and not piece.buffer[at : piece.end].tobytes().strip(b" \r\n"):
                break
            head = text.template_at(piece, at)
            plan = _plan(head.header, at, reading)
            atoms = reading.atoms
            if kernel and atoms and len(atoms.slots) and reading.kind == "text" and not reading.each:
                _same_number(head.header, at, atoms)
                begin = at
                apply = _applicable(plan, head.header, reading)
                parts, at, good = text.many_frames(kernel, piece, at, head, plan, atoms, apply)
                for heads, values in parts:
                    raws.append(text.raw(head, heads, values, plan, atoms, piece.offset + at, applied=apply))
                if not good or at == begin:
                    head = text.template_at(piece, at)
                    raise trouble(piece, at + head.n_bytes, head.header, plan, atoms)
                continue
            rows = text.one_frame(kernel, piece, at, head, plan)
            raws.append(_single(rows, plan, at, piece.offset, reading))
            at = rows.end
    except CutOffError:
        return raws, True
    except DamagedError as error:
        raise TrajectoryError(f"{path}:{line_number(path, piece.offset + error.at)}: {error}") from None
    except ValueError as error:
        raise TrajectoryError(
            f"{path}: between lines {line_number(path, piece.offset)} and "
            f"{line_number(path, piece.offset + piece.end)}: {error}"
        ) from None
    return raws, False


def _binary_frames(source: Source, reading: Reading) -> Iterator[Raw]:
    buffer = np.empty(PIECE, dtype=np.uint8)
    have, offset = 0, 0
    while True:
        got = source.fill(buffer.data[have:])
        have += got
        last = have < len(buffer)
        at = 0
        try:
            while at < have:
                head = binary.head_at(buffer, at, have)
                plan = _plan(head.header, at, reading)
                atoms = reading.atoms
                if compiled() and atoms and len(atoms.slots) and reading.kind == "binary" and not reading.each:
                    _same_number(head.header, at, atoms)
                    apply = _applicable(plan, head.header, reading)
                    steps, numbers, values, after, good = binary.many_frames(
                        buffer, at, have, head, plan, atoms, apply
                    )
                    if len(steps):
                        yield _binary_raw(head, steps, numbers, values, plan, atoms, offset + after, apply)
                    at = after
                    if good and len(steps):
                        continue
                    if at < have:
                        # What is left is a frame in trouble, one with another head, or one cut off.
                        head = binary.head_at(buffer, at, have)
                    else:
                        continue
                rows = binary.one_frame(buffer, at, have, head, plan)
                yield _single(rows, plan, at, offset, reading)
                at = rows.end
        except CutOffError:
            if last:
                reading.notes.append(f"{source.path}: the last frame is cut off and was dropped")
                return
        except DamagedError as error:
            raise TrajectoryError(f"{source.path}, byte {offset + error.at}: {error}") from None
        except ValueError as error:
            raise TrajectoryError(f"{source.path}, byte {offset + at}: {error}") from None
        if last:
            return
        left = have - at
        if at == 0:
            buffer = np.concatenate([buffer, np.empty(len(buffer), dtype=np.uint8)])
        else:
            buffer[:left] = buffer[at:have].copy()
        have, offset = left, offset + at


def _plan(header: Header, at: int, reading: Reading) -> Plan:
    if reading.columns is None:
        reading.columns = header.columns
    elif reading.columns != header.columns and not reading.each:
        was, now = " ".join(reading.columns), " ".join(header.columns)
        raise DamagedError(at, f"columns are {now} in step {header.step}, before they were {was}")
    try:
        return reading.planner(header.columns)
    except ValueError as error:
        raise DamagedError(at, str(error)) from None


def _same_number(header: Header, at: int, atoms: Reference) -> None:
    if header.n_atoms != len(atoms.ids):
        raise DamagedError(
            at,
            f"{header.n_atoms} atoms in step {header.step}, {len(atoms.ids)} before; a Trajectory has the same atoms "
            "throughout, use iterate_frames",
        )


def _applicable(plan: Plan, header: Header, reading: Reading) -> bool:
    """Tell whether image flags may be applied at once: they are exact while the cell is that of the first frame."""
    return plan.applicable and reading.cell is not None and np.array_equal(header.cell, reading.cell)


def _single(rows: text.Rows, plan: Plan, at: int, offset: int, reading: Reading) -> Raw:
    """Sort one frame by id and compare its atoms with those before."""
    header = rows.header
    order = np.argsort(rows.ids, kind="stable")
    ids, labels, codes = rows.ids[order], rows.labels[order], rows.codes[order]
    if len(twice := ids[1:][ids[1:] == ids[:-1]]):
        raise DamagedError(at, f"id {twice[0]} comes twice in step {header.step}")
    atoms = reading.atoms
    if not reading.each:
        if atoms is None:
            reading.atoms, reading.cell = reference(ids, labels, codes), header.cell
        else:
            _same_number(header, at, atoms)
            if np.any(changed := (ids != atoms.ids) | (labels != atoms.labels)):
                row = int(np.argmax(changed))
                what = strange(int(ids[row]), set(), atoms, str(labels[row]))
                raise DamagedError(at, f"{what} in step {header.step}")
    return Raw(
        header=header,
        plan=plan,
        steps=np.array([header.step], dtype=np.int64),
        times=None if header.time is None else np.array([header.time]),
        cells=header.cell[None],
        origins=header.origin[None],
        values=rows.values[order][None],
        applied=False,
        ids=ids,
        labels=labels,
        stop=offset + rows.end,
    )


def _binary_raw(
    head: binary.Head,
    steps: NDArray[np.int64],
    numbers: Floats,
    values: Floats,
    plan: Plan,
    atoms: Reference,
    stop: int,
    applied: bool,
) -> Raw:
    if not np.all(np.isfinite(numbers)):
        raise ValueError("a cell or a time is not a number")
    cells, origins = cells_of(binary.bounds(numbers[:, : 3 * head.width], head.width))
    return Raw(
        header=head.header,
        plan=plan,
        steps=steps,
        times=numbers[:, -1].copy() if head.header.time is not None else None,
        cells=cells,
        origins=origins,
        values=values,
        applied=applied,
        ids=atoms.ids,
        labels=atoms.labels,
        stop=stop,
    )
