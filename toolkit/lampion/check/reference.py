"""The framework's own calculator on the structures of a check."""

import hashlib
import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from typing import Any

import ase
import numpy as np

from lampion import framework
from lampion.check.judge import Point
from lampion.errors import EngineError
from lampion.framework import Environment
from lampion.potential import PairSetup

CALCULATOR = Path(framework.__file__).with_name("calculator.py")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a framework's own calculator reads."""

    environment: Environment
    kind: str
    model: Path
    head: str
    note: str = ""


@lru_cache
def sha256(path: Path, changed: int) -> str:
    """Return the hash of a file, read once as long as its time of change stays."""
    del changed
    return hashlib.sha256(path.read_bytes()).hexdigest()


def reference_of(pair: PairSetup) -> tuple[Reference | None, str]:
    """Return what the framework reads to compute the same, or why there is nothing."""
    if pair.framework is None:
        return None, "LAMMPS's own pair style: there is no framework to compare it with"
    try:
        environment = framework.find(pair.framework)
    except EngineError as error:
        return None, f"not compared with the framework: {error}"
    path = next(iter(pair.files.values()))
    if pair.framework == "deepmd":
        return Reference(environment=environment, kind="deepmd", model=path, head=""), ""
    source, head, why = _source(path)
    if source is not None:
        return Reference(environment=environment, kind=pair.framework, model=source, head=head), ""
    if pair.framework == "mace":
        note = f"{why}: compared with the export itself, evaluated in Python with MACE's own neighbour list"
        return Reference(environment=environment, kind="mace-export", model=path, head="", note=note), ""
    return None, f"{why}: not compared with the framework"


def _source(path: Path) -> tuple[Path | None, str, str]:
    """Return the model that an export was made from, with its head, where it is still there and unchanged.

    `lampion model export` made it of a file that the user trusted, so that it may be loaded again.
    """
    beside = path.with_name(f"{path.name}.json")
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
        source, wanted, made = Path(record["source"]), str(record["source_sha256"]), str(record["sha256"])
        head = str(record.get("head") or "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, "", f"{beside} does not say which model the export is of"
    if sha256(path, path.stat().st_mtime_ns) != made:
        return None, "", f"{beside} is of another export than {path.name}"
    if not source.is_file() or sha256(source, source.stat().st_mtime_ns) != wanted:
        return None, "", f"{source}, of which the export is, is gone or changed"
    return source, head, ""


def in_framework(
    reference: Reference, atoms: ase.Atoms, dtype: str, folder: Path
) -> tuple[Point, Mapping[str, Point]]:
    """Return what the framework's calculator says of the structure, and of it with species exchanged."""
    kinds = list(dict.fromkeys(atoms.get_chemical_symbols()))
    variants: dict[str, ase.Atoms] = {"": atoms}
    for other in list(permutations(kinds))[1:6] if len(kinds) > 1 else []:
        exchanged = dict(zip(kinds, other, strict=True))
        made = atoms.copy()
        made.set_chemical_symbols([exchanged[s] for s in atoms.get_chemical_symbols()])
        variants[", ".join(f"{new} in place of {old}" for old, new in exchanged.items() if old != new)] = made
    given: dict[str, Any] = {}
    for k, one in enumerate(variants.values()):
        given |= {f"symbols:{k}": np.array(one.get_chemical_symbols()), f"positions:{k}": one.positions}
        given |= {f"cell:{k}": one.cell.array, f"pbc:{k}": one.pbc}
    scratch = folder / f".framework-{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    source, target = scratch / "given.npz", scratch / "said.npz"
    try:
        np.savez(source, **given)
        _call(reference, dtype, source, target)
        with np.load(target) as said:
            points = [
                Point(
                    energy=float(said[f"energy:{k}"]),
                    forces=said[f"forces:{k}"],
                    virial=said.get(f"virial:{k}"),
                )
                for k in range(len(variants))
            ]
    finally:
        for path in scratch.iterdir():
            path.unlink()
        scratch.rmdir()
    return points[0], dict(zip(list(variants)[1:], points[1:], strict=True))


def _call(reference: Reference, dtype: str, source: Path, target: Path) -> None:
    words = [reference.kind, str(reference.model), dtype, reference.head, str(source), str(target)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(reference.environment.python), str(CALCULATOR), *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not target.is_file():
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise EngineError(
            f"{reference.model}: {reference.environment.name} can't compute the check's structure: "
            f"{lines[-1] if lines else 'it said nothing'}"
        )
