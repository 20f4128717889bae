"""What is wrong with a frame, in a sentence, and where: looked for in plain Python once a frame can't be read."""

import math

import numpy as np

from lampion.trajectory.header import Header
from lampion.trajectory.plan import LABEL, UNUSED, Plan, Reference
from lampion.trajectory.source import Piece


class DamagedError(ValueError):
    """A frame that can't be read: the byte of the piece where, and a sentence."""

    def __init__(self, at: int, sentence: str) -> None:
        super().__init__(sentence)
        self.at = at


class CutOffError(Exception):
    """The piece ends within a frame."""


def trouble(piece: Piece, begin: int, header: Header, plan: Plan, atoms: Reference | None) -> Exception:
    """Look at the rows of a frame one by one and return what is wrong, with the place."""
    seen: set[int] = set()
    at = begin
    columns = plan.columns
    text = piece.buffer[begin : piece.end].tobytes().split(b"\n", header.n_atoms)
    whole = len(text) - 1
    for row in range(header.n_atoms):
        ended = row < whole
        line = text[row] if row < len(text) else b""
        if not ended and piece.last and not line.startswith(b"ITEM:"):
            return CutOffError()
        words = line.split()
        if len(words) != len(columns):
            what = f"{len(words)} values in {len(columns)} columns {' '.join(columns)}"
            if line.startswith(b"ITEM:"):
                what = f"the frame of step {header.step} has {row} rows, not {header.n_atoms}"
            return DamagedError(at, what)
        for name, role, word in zip(columns, plan.roles.tolist(), words, strict=True):
            if sentence := _wrong(name, role, word, plan.n_finite):
                return DamagedError(at, f"{sentence} in step {header.step}")
        identity = int(float(words[columns.index("id")]))
        if sentence := strange(
            identity, seen, atoms, words[columns.index(plan.label)].decode() if plan.label else ""
        ):
            return DamagedError(at, f"{sentence} in step {header.step}")
        seen.add(identity)
        at += len(line) + 1
    return DamagedError(begin, f"the frame of step {header.step} can't be read")


def _wrong(name: str, role: int, word: bytes, n_finite: int) -> str:
    if role in (UNUSED, LABEL):
        return ""
    try:
        value = float(word)
    except ValueError:
        return f"column '{name}' is {word[:40].decode(errors='replace')!r}, not a number,"
    if role < n_finite and not math.isfinite(value):
        return f"column '{name}' is {word.decode()}"
    if name in ("ix", "iy", "iz") and role < n_finite and (value != math.floor(value) or abs(value) >= 1e8):
        return f"the image flag '{name}' is {word.decode()}, not a whole number that can be,"
    if role == -1 and (value != math.floor(value) or abs(value) >= 9e15):
        return f"the id is {word.decode()}, not a whole number,"
    return ""


def strange(identity: int, seen: set[int], atoms: Reference | None, label: str) -> str:
    """Say what is wrong with an atom's id or label; nothing if all is well."""
    if identity in seen:
        return f"id {identity} comes twice"
    if atoms is None:
        return ""
    row = int(np.searchsorted(atoms.ids, identity))
    if row >= len(atoms.ids) or atoms.ids[row] != identity:
        return f"other ids than before: id {identity}"
    if label != atoms.labels[row]:
        return (
            f"atom {identity} is {label}, before it was {atoms.labels[row]}; a Trajectory's atoms keep their species,"
        )
    return ""
