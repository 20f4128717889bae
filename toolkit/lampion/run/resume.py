"""Where a killed run is taken up: from its last whole restart file, else from the stage's start, else afresh.

An attempt that goes on from another holds ``from.restart`` and ``continues.json``, which names that one; `segments`
follows them back to the beginning.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lampion import deck as decks
from lampion.run.folder import FORMAT, read_json, state, write_json

FROM = "from.restart"
CONTINUES = "continues.json"
_MAGIC = b"LammpS RestartT"

RESUMABLE = ("killed", "time limit", "disk", "out of memory")
"""Causes after which the state that was left is good. A run whose restart failed begins afresh."""


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """How an attempt goes on from an earlier one."""

    attempt: int
    """The one that left the state."""
    restart: Path
    deck: str
    """Name of the deck that goes on from it."""
    runs_before: int
    """``run`` commands of the whole deck before the stage that it goes on in."""


def resumption(folder: Path) -> Resumption | None:
    """Return how the next attempt of a run goes on from the last; None where it begins afresh."""
    now = state(folder)
    ladder = folder / decks.LADDER
    if not ladder.is_file() or now.name not in ("stopped", "failed"):
        return None
    if now.name == "failed" and now.cause not in RESUMABLE:
        return None
    rungs: Sequence[Mapping[str, Any]] = json.loads(ladder.read_text(encoding="utf-8"))
    for number in range(now.attempts, 0, -1):
        attempt = folder / "attempts" / str(number)
        for rung in reversed(rungs):
            left = [attempt / name for name in rung["middle"]]
            for restart in sorted(filter(_is_whole, left), key=lambda p: p.stat().st_mtime_ns, reverse=True):
                return _from(restart, number, rung["middle_deck"], rung)
            if rung["start"] is not None and _is_whole(attempt / rung["start"]):
                return _from(attempt / rung["start"], number, rung["start_deck"], rung)
    return None


def _from(restart: Path, number: int, deck: str, rung: Mapping[str, Any]) -> Resumption:
    return Resumption(attempt=number, restart=restart, deck=deck, runs_before=int(rung["runs_before"]))


def _is_whole(path: Path) -> bool:
    """Return whether a restart file was written to its end, where LAMMPS repeats the word that it begins with."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
            file.seek(-64, os.SEEK_END)
            return begin == _MAGIC and _MAGIC in file.read()
    except OSError:
        return False


def take_up(attempt: Path, found: Resumption) -> None:
    """Lay what an attempt goes on from into its folder."""
    shutil.copyfile(found.restart, attempt / FROM)
    write_json(
        attempt / CONTINUES,
        {"format": FORMAT, "attempt": found.attempt, "runs_before": found.runs_before, "from": found.restart.name},
    )


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One attempt of those that make up a result."""

    folder: Path
    runs_before: int
    """``run`` commands of the whole deck before the first of this attempt's; 0 for one that began afresh."""


def segments(attempt: Path) -> tuple[Segment, ...]:
    """Return the attempts that led to this one, the first one first.

    Raises:
        RunError: a record is damaged.
    """
    found: list[Segment] = []
    while True:
        record = attempt / CONTINUES
        if not record.is_file():
            return (Segment(folder=attempt, runs_before=0), *reversed(found))
        said = read_json(record, "attempt", "runs_before")
        found.append(Segment(folder=attempt, runs_before=int(said["runs_before"])))
        attempt = attempt.parent / str(said["attempt"])
