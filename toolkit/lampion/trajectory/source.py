"""The bytes of a dump: which files there are, decompressed, in pieces of bounded size."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lampion.errors import TrajectoryError

Bytes = NDArray[np.uint8]

# Bytes behind the end of a piece which the compiled loops may look at; they are newlines.
PAD = 64
PIECE = 4 << 20
# A failing decompressor loses what the call that failed had given: keep that small.
_GULP = 1 << 18
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"BZh": "bz2"}
# How much smaller compression makes a dump: more than it does, as too much memory reserved costs nothing.
_RATIO = 6
_START = b"ITEM: TIMESTEP"


@dataclass(kw_only=True)
class Source:
    """An open dump, decompressed on the fly."""

    path: Path
    file: BinaryIO
    compressed: bool
    cut: bool = False
    """The compressed file ends in the middle of its stream (a killed run)."""

    def fill(self, view: memoryview) -> int:
        """Read into `view` and return how many bytes came: fewer than asked for only at the end.

        Raises:
            TrajectoryError: the disk or the decompressor fails elsewhere than at the end.
        """
        done = 0
        while done < len(view) and not self.cut:
            part = view[done : done + _GULP] if self.compressed else view[done:]
            try:
                n = self.file.readinto(part)  # type: ignore[attr-defined]
            except OSError as error:
                if not (self.compressed and "Truncated" in str(error)):
                    raise TrajectoryError(f"{self.path} is damaged: {error}") from error
                self.cut = True
                break
            if not n:
                break
            done += n
        return done


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """Consecutive bytes of a dump, from the start of a frame to the start of another or the end."""

    buffer: Bytes
    """Longer than `end` by at least PAD."""
    end: int
    offset: int
    """Of the first byte, in the decompressed dump."""
    last: bool


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a dump, whatever it is compressed with.

    Raises:
        TrajectoryError: it can't be read.
    """
    stream: Any = None
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(4)
            file.seek(0)
            kind = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
            if kind is not None:
                import pyarrow as pa

                stream = pa.input_stream(str(path), compression=kind, buffer_size=1 << 18)
            yield Source(path=path, file=stream or file, compressed=kind is not None)
    except OSError as error:
        raise TrajectoryError(f"the dump {path} can't be read: {error.strerror or error}") from error
    finally:
        if stream is not None:
            stream.close()


def text_pieces(source: Source, *, size: int = PIECE, n_buffers: int = 1) -> Iterator[Piece]:
    """Yield a text dump in pieces of whole frames.

    A piece is valid until `n_buffers` further ones are asked for: the memory is used again.
    """
    buffers = [bytearray(size + PAD) for _ in range(n_buffers)]
    carry, offset, turn = b"", 0, 0
    while True:
        room = max(size, 2 * len(carry)) + PAD
        if len(buffers[turn % n_buffers]) < room:
            buffers[turn % n_buffers] = bytearray(room)
        buffer = buffers[turn % n_buffers]
        buffer[: len(carry)] = carry
        have = len(carry) + source.fill(memoryview(buffer)[len(carry) : -PAD])
        last = have < len(buffer) - PAD
        end = have if last else _last_start(buffer, have)
        if end <= 0 and not last:
            carry = bytes(memoryview(buffer)[:have])
            continue
        carry = bytes(memoryview(buffer)[end:have])
        buffer[end : end + PAD] = b"\n" * PAD
        if end:
            yield Piece(buffer=np.frombuffer(buffer, dtype=np.uint8), end=end, offset=offset, last=last)
        if last:
            return
        offset += end
        turn += 1


def _last_start(buffer: bytearray, have: int) -> int:
    """Return where the last frame in the buffer begins; 0 or less if it is the first, too."""
    at = buffer.rfind(_START, 0, have)
    while at > 0 and buffer[at - 1] != 10:
        at = buffer.rfind(_START, 0, at)
    while at > 0:
        # ITEM: UNITS and ITEM: TIME, with a value each, may stand before ITEM: TIMESTEP.
        value = buffer.rfind(b"\n", 0, at - 1)
        item = buffer.rfind(b"\n", 0, max(value, 0)) + 1
        if value < 0 or not buffer.startswith((b"ITEM: TIME", b"ITEM: UNITS"), item):
            break
        at = item
    return at


def line_number(path: Path, offset: int) -> int:
    """Count the lines up to a byte of the decompressed dump, the first being 1."""
    number, left = 1, offset
    block = bytearray(PIECE)
    with opened(path) as source:
        while left > 0 and (n := source.fill(memoryview(block)[: min(len(block), left)])):
            number += block.count(b"\n", 0, n)
            left -= n
    return number


def size(path: Path) -> int:
    """Return about how many bytes the decompressed dump has.

    Raises:
        TrajectoryError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(4).startswith(tuple(_MAGIC))
    except OSError as error:
        raise TrajectoryError(f"the dump {path} can't be read: {error.strerror or error}") from error
    return path.stat().st_size * (_RATIO if packed else 1)


def files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the files that are meant: a `*` stands for any text, and its matches are ordered by the number in them.

    Raises:
        TrajectoryError: nothing matches.
    """
    found: list[Path] = []
    for given in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(given)
        if "*" not in path.name or path.exists():
            found.append(path)
            continue
        matches = list(path.parent.glob(path.name))
        if not matches:
            raise TrajectoryError(f"no file matches {path}")
        found += sorted(matches, key=_numbers)
    if not found:
        raise TrajectoryError("no dump was named")
    return found


def _numbers(path: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)], path.name
