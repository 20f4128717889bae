"""Read dumps: whole, in blocks, or frame by frame where the atoms change."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lampion.errors import TrajectoryError
from lampion.trajectory.frames import CONFIGURATIONS, Frame, Trajectory
from lampion.trajectory.growing import Block, Growing
from lampion.trajectory.meaning import Meaning, meaning_of
from lampion.trajectory.plan import Raw, plan
from lampion.trajectory.reader import Reading, first_step, frames
from lampion.trajectory.source import files, size
from lampion.trajectory.unwrap import Last, minimum_image_flags, unwrapped

Floats = NDArray[np.float64]
Unwrap = Literal["auto", "minimum_image", "frames"]
Paths = str | Path | Sequence[str | Path]

# Dumps smaller than this (bytes) are read before a second thread has started.
_WORTH_THREADS = 32 << 20
_BLOCK_BYTES = 32 << 20


def read_dump(
    paths: Paths,
    *,
    species: Mapping[int, str] | None = None,
    timestep: float | None = None,
    unwrap: Unwrap = "auto",
    columns: Collection[str] | None = None,
    units: str | None = None,
    workers: int | None = None,
) -> Trajectory:
    """Read the dumps of one run, text or ``.bin``, also compressed (gz, zst, lz4, bz2), into one trajectory.

    Positions are unwrapped. At a constant cell H, ``xu yu zu`` are taken as they are, and wrapped coordinates x with
    image flags n become u = x + n H. Where the cell varies, both are unwrapped by the toroidal recursion
    u(i) = u(i−1) + x(i) − x(i−1) + [n(i) − n(i−1)] H(i) (Bullerjahn et al., J. Chem. Theory Comput. 2023, 19, 3406,
    doi 10.1021/acs.jctc.3c00308), because x + n H would rescale distant images with every fluctuation of the cell.
    The result's `Trajectory.unwrapping` says which was done.

    Args:
        paths: a dump; or several, in the order of the run; a ``*`` in a name stands for any text (one file per step).
            Where files overlap (a restart), the later file counts from its first step on.
        species: chemical symbol of each type. Needed where the dump has a column ``type`` but no ``element``, and for
            every ``.bin``; where a text dump has both, this counts.
        timestep: ps. Needed only where neither ``ITEM: TIME`` nor the ``log.lammps`` beside the dump says it.
        unwrap: ``auto`` takes unwrapped coordinates or image flags; ``minimum_image`` also unwraps coordinates
            without flags, taking each step between two frames as the shortest one; ``frames`` gives each frame for
            itself, x + n H with its own cell: configurations to export or to take g(r) from, not paths, where the
            cell varies.
        columns: further columns to keep, by name, as `Trajectory.extras`; None keeps none. Velocities, forces,
            charges and lengths are converted; what a compute, fix or variable made stands as it is.
        units: LAMMPS's unit style, where the dump doesn't say (``dump_modify units yes``); else that of the log
            beside it, else metal. The result is in Å, ps, g/mol and e.
        workers: threads that parse text; None takes two for large dumps, where there are two cores.

    Returns:
        The trajectory, sorted by id; `Trajectory.notes` says what was dropped (a last frame cut off by a killed run,
        repeated steps), what is missing (gaps), and what was assumed.

    Raises:
        TrajectoryError: a file can't be read, is damaged elsewhere than at its end, or doesn't carry what a
            trajectory needs (time, species, the same atoms in all frames, a way to unwrap).
    """
    wish = _Wish(species=species, timestep=timestep, unwrap=unwrap, columns=columns, units=units, workers=workers)
    growing = Growing(True)
    for block in _blocks(paths, wish):
        growing.add(block)
    return growing.trajectory()


def iterate_dump(
    paths: Paths,
    *,
    species: Mapping[int, str] | None = None,
    timestep: float | None = None,
    unwrap: Unwrap = "auto",
    columns: Collection[str] | None = None,
    units: str | None = None,
    workers: int | None = None,
    n_frames: int | None = None,
) -> Iterator[Trajectory]:
    """Read dumps as `read_dump` does, in blocks of successive frames, in bounded memory.

    The blocks are unwrapped as one trajectory: the first frame of a block goes on from the last of the block before.

    Args:
        paths: as in `read_dump`, as are those that follow.
        species: chemical symbol of each type.
        timestep: ps.
        unwrap: how.
        columns: further columns.
        units: LAMMPS's unit style.
        workers: threads.
        n_frames: frames of a block (the last may have fewer); None takes blocks of about 32 MB.

    Yields:
        Blocks; the last one carries all the notes.

    Raises:
        TrajectoryError: as `read_dump`.
    """
    if n_frames is not None and n_frames < 1:
        raise TrajectoryError(f"n_frames is {n_frames}; a block has 1 or more")
    wish = _Wish(species=species, timestep=timestep, unwrap=unwrap, columns=columns, units=units, workers=workers)
    growing = Growing(False)
    for block in _blocks(paths, wish):
        growing.add(block)
        size = n_frames or max(1, _BLOCK_BYTES // max(1, growing.bytes_per_frame))
        # One frame more than a block is awaited, so that the last block is known when it comes.
        while growing.n_frames > size:
            yield growing.trajectory(size)
            growing = growing.rest(size)
    size = n_frames or growing.n_frames
    while growing.n_frames > size:
        yield growing.trajectory(size)
        growing = growing.rest(size)
    yield growing.trajectory()


def iterate_frames(
    paths: Paths,
    *,
    species: Mapping[int, str] | None = None,
    timestep: float | None = None,
    columns: Collection[str] | None = None,
    units: str | None = None,
) -> Iterator[Frame]:
    """Read dumps frame by frame, with whatever atoms each has (deposition, exchange), in bounded memory.

    A frame by itself can be unwrapped only as u = x + n H; where there are neither flags nor unwrapped coordinates
    it stays wrapped. `Frame.unwrapping` says so.

    Args:
        paths: as in `read_dump`, as are those that follow.
        species: chemical symbol of each type.
        timestep: ps.
        columns: further columns.
        units: LAMMPS's unit style.

    Yields:
        Frames, sorted by id.

    Raises:
        TrajectoryError: as `read_dump`, but for the atoms.
    """
    wish = _Wish(species=species, timestep=timestep, unwrap="auto", columns=columns, units=units, workers=1)
    notes: list[str] = []
    meaning: Meaning | None = None
    past: tuple[int, float] | None = None
    for raw, path in _raws(paths, wish, each=True, notes=notes):
        if meaning is None or meaning.columns != raw.plan.columns:
            meaning = meaning_of(raw, path, species, timestep, units, notes)
        time = float(meaning.times(raw, past)[0])
        past = int(raw.steps[0]), time
        positions, images = meaning.positions(raw)
        if images is not None:
            positions = positions + images @ raw.cells
        extras = {name: meaning.column(raw, name)[0] for name in wish.extras}
        yield Frame(
            step=int(raw.steps[0]),
            time=time,
            cell=raw.cells[0] * meaning.length,
            origin=raw.origins[0] * meaning.length,
            periodic=np.array(raw.header.periodic),
            ids=raw.ids,
            species=meaning.species(raw),
            positions=positions[0] * meaning.length,
            extras=extras,
            unwrapping=raw.plan.where.alone(),
        )


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """The arguments of the readers."""

    species: Mapping[int, str] | None
    timestep: float | None
    unwrap: Unwrap
    columns: Collection[str] | None
    units: str | None
    workers: int | None

    @property
    def extras(self) -> tuple[str, ...]:
        if self.unwrap not in ("auto", "minimum_image", "frames"):
            raise TrajectoryError(f"unwrap is {self.unwrap!r}; it must be auto, minimum_image or frames")
        if isinstance(self.columns, str):
            raise TrajectoryError(f"columns must be a list of names, as ['{self.columns}']")
        return tuple(self.columns or ())


def _raws(paths: Paths, wish: _Wish, *, each: bool, notes: list[str]) -> Iterator[tuple[Raw, Path]]:
    """Yield the frames of all files in the order of the run, each step once."""
    names = files(paths)
    by_type = wish.species is not None
    extras = wish.extras
    reading = Reading(
        planner=lambda columns: plan(columns, extras, by_type=by_type),
        each=each,
        workers=_workers(names, wish.workers),
        notes=notes,
    )
    starts = [first_step(path) for path in names] if len(names) > 1 else [None]
    last: int | None = None
    for number, path in enumerate(names):
        # A later file that goes back to an earlier step is a restart: it counts from there.
        limit = min((start for start in starts[number + 1 :] if start is not None), default=None)
        dropped, first_kept = 0, None
        for raw in frames(path, reading):
            keep = raw.steps < (np.iinfo(np.int64).max if limit is None else limit)
            before = np.concatenate([[raw.steps[0] - 1 if last is None else last], raw.steps[:-1]])
            again = raw.steps == before
            if np.any(raw.steps < before):
                at = int(np.argmax(raw.steps < before))
                raise TrajectoryError(
                    f"{path}: step {before[at]} is followed by step {raw.steps[at]}: a run that went back (a "
                    "restart, appended to its dump, or reset_timestep); split the dump there and name "
                    "the parts in their order"
                )
            last = int(raw.steps[-1])
            dropped += int(np.sum(~keep | again))
            if np.any(keep & ~again):
                first_kept = int(raw.steps[0])
                yield (raw if np.all(keep & ~again) else _kept(raw, keep & ~again)), path
        last = last if limit is None or last is None else min(last, limit - 1)
        if dropped and first_kept is None and number + 1 < len(names):
            raise TrajectoryError(
                f"{path}: a later file begins at step {limit}, at or before its first, and nothing of it would "
                "count; name the files in the order of the run, or read independent runs apart"
            )
        if dropped:
            notes.append(f"{path}: {dropped} frames at steps that come again were dropped")


def _kept(raw: Raw, keep: NDArray[np.bool_]) -> Raw:
    taken: dict[str, Any] = {name: getattr(raw, name)[keep] for name in ("steps", "cells", "origins", "values")}
    times = None if raw.times is None else raw.times[keep]
    return Raw(**{**raw.__dict__, **taken, "times": times})


def _workers(names: Sequence[Path], asked: int | None) -> int:
    if asked is not None:
        if asked < 1:
            raise TrajectoryError(f"workers is {asked}; it must be 1 or more")
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    large = any(path.is_file() and path.stat().st_size > _WORTH_THREADS for path in names)
    return min(2, cores) if large else 1


def _blocks(paths: Paths, wish: _Wish) -> Iterator[Block]:
    notes: list[str] = []
    meaning: Meaning | None = None
    last: Last | None = None
    past: tuple[int, float] | None = None
    before: dict[Path, int] = {}
    total = 0
    found = False
    read_from: Path | None = None
    joined_at: Path | None = None
    in_file = 0
    for path in files(paths):
        before[path], total = total, total + size(path)
    for raw, path in _raws(paths, wish, each=False, notes=notes):
        if meaning is None:
            meaning = meaning_of(raw, path, wish.species, wish.timestep, wish.units, notes)
            where = raw.plan.where
            if not where.unwrapped and not where.images and wish.unwrap == "auto":
                raise TrajectoryError(
                    f"{path}: {' '.join(where.columns)} are wrapped and there are no image flags ix iy iz; dump xu "
                    "yu zu, or pass unwrap='minimum_image' if frames lie close in time"
                )
            species, periodic = meaning.species(raw), np.array(raw.header.periodic)
            read_from = joined_at = path
        if raw.header.periodic != tuple(periodic.tolist()):
            raise TrajectoryError(f"{path}: other directions are periodic from step {raw.steps[0]} on than before")
        if path != read_from:
            # One file per step has one log: it is looked at again in another folder only.
            if path.parent != meaning.path.parent or raw.header.units:
                now = meaning_of(raw, path, wish.species, wish.timestep, wish.units, [])
                _same_meaning(meaning, now)
            read_from = path
        times = meaning.times(raw, past)
        past = int(raw.steps[-1]), float(times[-1])
        positions, images = meaning.positions(raw)
        try:
            if wish.unwrap == "frames":
                last = None
            elif not raw.plan.where.unwrapped and not raw.plan.where.images:
                images = minimum_image_flags(positions, raw.cells, periodic, last, raw.steps)
            if wish.unwrap == "frames":
                positions = positions if images is None else positions + images @ raw.cells
            else:
                # One file per step is a run's own: nothing was restarted between two of them.
                seam = last if joined_at != path and in_file > 1 else None
                in_file = len(raw.steps) + (in_file if joined_at == path else 0)
                joined_at = path
                positions, last = unwrapped(positions, images, raw.cells, raw.origins, periodic, last)
                _seamless(seam, positions[0], raw.cells[0], raw.origins[0], periodic)
        except TrajectoryError as error:
            raise TrajectoryError(f"{path}: {error}") from None
        constants = {"masses": "mass", "charges": "q"}
        arrays: dict[str, NDArray[Any]] = {
            "positions": positions if meaning.length == 1 else positions * meaning.length,
            "cells": raw.cells * meaning.length,
            "origins": raw.origins * meaning.length,
            "steps": raw.steps,
            "times": times,
            **{f"extras/{name}": meaning.column(raw, name) for name in wish.extras},
            **{key: meaning.column(raw, name) for key, name in constants.items() if name in raw.plan.names},
        }
        common = {
            "periodic": periodic,
            "ids": raw.ids,
            "species": species,
            "unwrapping": CONFIGURATIONS if last is None else raw.plan.where.how(varied=last.varied),
        }
        found = True
        yield Block(arrays=arrays, common=common, notes=notes, progress=min(1.0, (before[path] + raw.stop) / total))
    if not found:
        raise TrajectoryError("; ".join(["there is no complete frame of atoms", *dict.fromkeys(notes)]))


def _same_meaning(first: Meaning, now: Meaning) -> None:
    """Refuse files of one run that differ in units or timestep: the first one's would be taken for all.

    Raises:
        TrajectoryError: they differ.
    """
    if first.style != now.style:
        raise TrajectoryError(f"{now.path} is in other units than {first.path}: read them apart")
    one, two = first.timestep, now.timestep
    if one is not None and two is not None and not first.timed and abs(one - two) > 1e-6 * one:
        raise TrajectoryError(
            f"{now.path} has a timestep of {two:g} ps and {first.path} of {one:g} ps: read them apart, or write "
            "dump_modify time yes"
        )


def _seamless(
    last: Last | None, positions: Floats, cell: Floats, origin: Floats, periodic: NDArray[np.bool_]
) -> None:
    """Refuse a file that begins inside the cell where the one before had left it: its image flags were lost.

    Raises:
        TrajectoryError: atoms that were outside are all inside again, some of them over half a cell away.
    """
    if last is None or last.varied or last.unwrapped.shape != positions.shape:
        return
    turn = np.linalg.inv(cell)
    before, now = ((x - origin) @ turn for x in (last.unwrapped, positions))
    inside = np.all((now[:, periodic] > -0.1) & (now[:, periodic] < 1.1))
    if inside and (np.abs(now - before)[:, periodic] > 0.5).any():
        raise TrajectoryError(
            "the atoms are all back in the cell, some of them from over half a cell away: image flags were lost in "
            "the restart; read the files apart"
        )
