"""Replicas that are added until a precision is reached, or the budget is spent: at looks that are fixed beforehand.

To look at the data and stop where they please biases errors; few looks, at numbers of runs that nobody chose, keep
that small, and every look is kept in ``<study>.looks.json``.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lampion import run
from lampion.study.settings import Until

if TYPE_CHECKING:
    from lampion.study.collect import Collected
    from lampion.study.points import Point

FEWEST = 8
"""Replicas at the first look: fewer don't know their own scatter."""


def schedule(first: int, at_most: int) -> tuple[int, ...]:
    """Return the numbers of replicas at which a point is looked at: each √2 times the one before.

    >>> schedule(8, 40)
    (8, 12, 17, 25, 36, 40)
    """
    looks = [first]
    while looks[-1] < at_most:
        looks.append(min(at_most, math.ceil(looks[-1] * math.sqrt(2))))
    return tuple(looks)


def file(path: Path) -> Path:
    """Return where a study's looks are kept."""
    return path.with_name(f"{path.stem}.looks.json")


def key(values: Mapping[str, Any]) -> str:
    """Return the name of a point in that file."""
    return json.dumps(dict(values), sort_keys=True, default=str)


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    if not file(path).is_file():
        return {}
    return dict(run.read_json(file(path), "points")["points"])


def grown(path: Path, points: Sequence["Point"]) -> "list[Point]":
    """Return the points with the replicas that earlier looks asked for.

    Raises:
        RunError: the file of the looks is damaged.
    """
    from lampion.study.points import Point

    wanted = {name: max(look["next"] for look in looks) for name, looks in _read(path).items() if looks}
    made: list[Point] = []
    for number, point in enumerate(points):
        made.append(point)
        last = number + 1 == len(points) or points[number + 1].values != point.values
        if last:
            more = range(point.replica + 1, wanted.get(key(point.values), 0) + 1)
            made += [Point(study=point.study, values=point.values, replica=r) for r in more]
    return made


def look(collected: "Collected", until: Until) -> bool:
    """Look at every point whose runs have ended; True where some need more replicas, which `grown` then gives.

    Raises:
        RunError: the file of the looks is damaged.
    """
    plan = collected.plan
    ended: dict[str, list[bool]] = {}
    for job in plan.jobs:
        ended.setdefault(key(job.point.values), []).append(run.state(job.folder).name in ("done", "failed"))
    looks, more = _read(plan.path), False
    for point in collected.measured:
        name = key(point.values)
        n = len(ended[name])
        known = looks.setdefault(name, [])
        if not all(ended[name]) or any(one["replicas"] == n for one in known):
            continue
        errors = [D.standard_error / D.value if D.value > 0 else math.inf for D in point.D.values()]
        error = max(errors) if errors and len(errors) == len(point.diffusion) else math.inf
        reached = error <= until.diffusion
        following = next((k for k in schedule(plan.study.sweep.replicas, until.at_most) if k > n), n)
        known.append(
            {
                "replicas": n,
                "relative_error": error if math.isfinite(error) else None,
                "reached": reached,
                "next": n if reached else following,
            }
        )
        more = more or (not reached and following > n)
    run.write_json(file(plan.path), {"format": run.FORMAT, "wanted": until.diffusion, "points": looks})
    return more


def words(path: Path, until: Until) -> Iterator[str]:
    """Say of each point how often it was looked at, and what that came to."""
    for name, looks in _read(path).items():
        if not looks:
            continue
        last = looks[-1]
        values = ", ".join(f"{k.rsplit('.', 1)[-1]} {v}" for k, v in json.loads(name).items())
        error = "unknown" if last["relative_error"] is None else f"{last['relative_error']:.1%}"
        end = "reached" if last["reached"] else "not reached" if last["next"] == last["replicas"] else "going on"
        yield (
            f"{values + ': ' if values else ''}{last['replicas']} replicas after {len(looks)} looks, relative error "
            f"of D {error}, {until.diffusion:.1%} wanted: {end} (stopping by the data makes the stated error "
            "a little too small)"
        )
