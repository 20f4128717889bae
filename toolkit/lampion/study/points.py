"""Expand a study into its points, and give each run its seeds."""

import copy
import dataclasses
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lampion.study.document import Document, Place
from lampion.study.read import validate
from lampion.study.settings import Study, Sweep

MAX_SEED = 900_000_000
"""LAMMPS refuses larger ones."""

MAX_RUNS = 1_000_000

SWEPT = ("structure", "potential", "protocol")
"""Blocks whose values can be swept."""

Choice = tuple[str, Any, int]
"""A swept name, one of its values, and that value's place in the list."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One combination of the swept values, and one of its replicas."""

    study: Study
    values: Mapping[str, Any]
    """The swept values by their dotted names."""
    replica: int
    """Counted from 1."""


def expand(document: Document) -> list[Point]:
    """Return every run that a study asks for, in the order of its lists.

    Raises:
        SettingError: the file, or one of the swept values, is not right.
    """
    sweep = _sweep(document)
    grid: list[list[Choice]] = [
        [(name, value, i) for i, value in enumerate(values)] for name, values in sweep.grid.items()
    ]
    lengths = {name: len(values) for name, values in sweep.zip.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise document.refuse(("sweep", "zip"), f"its lists must be of one length: {listed}")
    rows = [
        [(name, values[i], i) for name, values in sweep.zip.items()] for i in range(next(iter(lengths.values()), 1))
    ]
    _check_names(sweep, document)
    n_runs = sweep.replicas * len(rows) * math.prod(len(column) for column in grid)
    if n_runs > MAX_RUNS:
        raise document.refuse(("sweep",), f"asks for {n_runs:,} runs; at most {MAX_RUNS:,} are taken")
    # The sweep is judged; copied into every point it would cost the square of its length.
    base = {key: value for key, value in document.values.items() if key != "sweep"}
    points = []
    seen: dict[bytes, dict[str, Place]] = {}
    for combination, row in itertools.product(itertools.product(*grid), rows):
        chosen: list[Choice] = [*combination, *row]
        values = copy.deepcopy(base)
        swept: dict[str, Place] = {}
        for name, value, i in chosen:
            at: Place = ("sweep", "grid" if name in sweep.grid else "zip", name, i)
            _set(values, name, value, document, at)
            swept[name] = at
        study = dataclasses.replace(validate(document, values, swept), sweep=sweep)
        said = repr((study.structure, study.potential, study.protocol))
        _refuse_twin(document, seen.setdefault(hashlib.sha256(said.encode()).digest(), swept), swept)
        points += [
            Point(study=study, values={n: v for n, v, _ in chosen}, replica=r + 1) for r in range(sweep.replicas)
        ]
    return points


def _sweep(document: Document) -> Sweep:
    """Return the sweep block, which must be right before anything is filled in."""
    raw = document.values.get("sweep")
    if raw is None:
        return Sweep()
    # Fill what a sweep may leave out of the base, so that only the block itself is judged here.
    trial = {
        "structure": {"crystal": {"lattice": "sc", "formula": "H", "a": 1}},
        "potential": {"style": "sw", "file": "x"},
        "protocol": {"name": "static"},
        "sweep": raw,
    }
    return validate(document, trial, {}).sweep


def _check_names(sweep: Sweep, document: Document) -> None:
    """Refuse swept names that nothing can be put in, or of which one would overwrite another."""
    names: dict[str, Place] = {}
    for kind, lists in (("grid", sweep.grid), ("zip", sweep.zip)):
        for name in lists:
            where: Place = ("sweep", kind, name)
            first, *rest = name.split(".")
            if first not in SWEPT or not all(rest):
                meant = [
                    f"{block}.{name}" for block in SWEPT if first and first in (document.values.get(block) or {})
                ]
                hint = f"; did you mean {meant[0]}?" if meant else ", by a name such as protocol.temperature"
                raise document.refuse(
                    where, f"only values of {', '.join(SWEPT[:-1])} and {SWEPT[-1]} can be swept{hint}"
                )
            for other, place in names.items():
                if name == other:
                    raise document.refuse(where, f"is in {place[1]} as well; keep one")
                if f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}."):
                    raise document.refuse(where, f"overlaps with {other}: one is a part of the other; keep one")
            names[name] = where


def _refuse_twin(document: Document, first: Mapping[str, Place], second: Mapping[str, Place]) -> None:
    """Refuse a point that asks for what an earlier one asks for: its runs would count twice."""
    if first is second:
        return
    name, place = next((name, place) for name, place in second.items() if first[name] != place)
    line = document.line(first[name])
    where = "" if line == document.line(place) else f", as line {line} does"
    raise document.refuse(place, f"asks for a run that the sweep has already{where}; for more set sweep.replicas")


def _set(values: dict[str, Any], name: str, value: Any, document: Document, at: Place) -> None:
    """Put `value` in its place; parts of the name that the file leaves out are made."""
    parts = name.split(".")
    node: Any = values
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(node, list):
            if not re.fullmatch(r"0|[1-9][0-9]{0,8}", part) or int(part) >= len(node):
                raise document.refuse(at[:3], f"has no item {part}; the list has {len(node)}, counted from 0")
            if last:
                node[int(part)] = value
            else:
                node = node[int(part)]
        elif isinstance(node, dict):
            if last:
                node[part] = copy.deepcopy(value)
            else:
                if node.get(part) is None:
                    node[part] = {}
                node = node[part]
        else:
            raise document.refuse(at[:3], f"{'.'.join(parts[:i])} is a value, so it has no {part}")


def content(value: Any) -> Any:
    """Return what a setting says beyond its defaults, as JSON can hold it.

    Seeds follow from it, so a new setting with a default changes none. Of an absolute path only the last part counts,
    so a moved folder changes none either; a relative one counts whole, so a/POSCAR and b/POSCAR differ.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        said = {}
        for f in dataclasses.fields(value):
            now = getattr(value, f.name)
            default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
            if now != default:
                said[f.name] = content(now)
        return said
    if isinstance(value, Mapping):
        return {str(k): content(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [content(v) for v in value]
    if isinstance(value, Path):
        return value.name if value.is_absolute() else value.as_posix()
    return value


def seeds(root: int, point: Point) -> Callable[[str], int]:
    """Return the function that gives a run its seeds by name.

    A seed is a hash of (root seed, the point's content, replica, name), never of its place in the list, so adding
    a value or a replica changes no other run.
    """
    study = point.study
    said = json.dumps([content(study.structure), content(study.potential), content(study.protocol)], sort_keys=True)

    def seed(name: str) -> int:
        digest = hashlib.sha256(f"{root}\0{said}\0{point.replica}\0{name}".encode()).digest()
        return 1 + int.from_bytes(digest[:8], "big") % MAX_SEED

    return seed
