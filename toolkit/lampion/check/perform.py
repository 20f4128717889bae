"""Do the check of a study's potential: a small deck in LAMMPS, the same structures in the framework, a verdict."""

import hashlib
import json
import logging
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from pathlib import Path
from typing import Any

import ase
import numpy as np

from lampion import data, deck, framework, run, structure
from lampion.check.judge import (
    LIMITS,
    Finding,
    Limits,
    Point,
    derivative,
    known_cause,
    net_force,
    parity,
    ranks_agree,
)
from lampion.engine import Engine
from lampion.errors import EngineError, RunError
from lampion.framework import Environment
from lampion.protocol import Custom
from lampion.study import Job, Plan
from lampion.thermo import read_log
from lampion.trajectory import read_dump

logger = logging.getLogger("lampion")

RATTLE = 0.05
"""Å, standard deviation of the displacements that take a structure out of its symmetric place."""

NKTV2P = 1.6021765e6
"""bar per eV/Å³ as LAMMPS's metal units have it; CODATA's differs in the eighth digit."""

CALCULATOR = Path(framework.__file__).with_name("calculator.py")

# Their energies jump where a pair crosses the cutoff, so a derivative by finite steps means nothing.
_JUMPING = ("lj/", "buck", "born", "coul/")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was compared for one potential, and what came out."""

    title: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    """What could not be compared, and why."""
    cause: str = ""
    """Of a failure: the known cause that fits."""
    folder: Path
    """Where the runs lie."""

    @property
    def well(self) -> bool:
        """Whether everything that was compared passes."""
        return all(finding.well for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """Yield the verdict for people."""
        yield self.title
        for finding in self.findings:
            yield f"  {finding}"
        for note in self.notes:
            yield f"  note    {note}"
        if self.cause:
            yield f"  cause   {self.cause}"


@dataclass(frozen=True, kw_only=True)
class _Reference:
    """What a framework's own calculator reads."""

    environment: Environment
    kind: str
    model: Path
    head: str
    note: str = ""


def unchecked(plan: Plan) -> list[Job]:
    """Return a job for each model of a framework, with its LAMMPS, that no check of this study has passed."""
    return [job for job in _distinct(plan) if job.pair.framework and not _record(plan, job).is_file()]


def check(plan: Plan, jobs: Sequence[Job] | None = None) -> Iterator[Verdict]:
    """Check each potential of a study, with each LAMMPS; a verdict that passes is kept beside the study.

    Args:
        plan: the study.
        jobs: one job for each potential, as `unchecked` gives them; all potentials without it.

    Raises:
        LampionError: the check can't be done.
    """
    for job in _distinct(plan) if jobs is None else jobs:
        yield _check(plan, job)


def _distinct(plan: Plan) -> list[Job]:
    """Return the smallest job of each potential and species."""
    found: dict[tuple[Any, ...], Job] = {}
    for job in plan.jobs:
        key = (job.pair.commands, tuple(sorted(job.pair.files.items())), job.placement.species, job.lammps.identity)
        if key not in found or len(job.atoms) < len(found[key].atoms):
            found[key] = job
    return list(found.values())


def _record(plan: Plan, job: Job) -> Path:
    """Return where the verdict is kept: its name is a hash of the potential, its files and what runs it."""
    digest = hashlib.sha256(repr((job.pair.commands, job.placement.species, job.lammps.identity)).encode())
    for name, path in sorted(job.pair.files.items()):
        digest.update(f"{name}\0{_sha256(path, path.stat().st_mtime_ns)}".encode())
    return plan.path.parent / "checks" / f"{digest.hexdigest()[:24]}.json"


@lru_cache
def _sha256(path: Path, changed: int) -> str:
    del changed
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check(plan: Plan, job: Job) -> Verdict:
    atoms = _rattled(job.atoms)
    placement = structure.place(atoms)
    dtype = "float32" if job.pair.float32 else "float64"  # LAMMPS's own styles are float64
    limits = LIMITS[dtype]
    strains = _strains(job, placement.periodic)
    no_strain = (
        "the virial is not compared with the derivative by strain: that needs three periodic directions, and an "
        "energy that doesn't jump at the cutoff"
    )
    notes = [] if strains else [no_strain]
    folder = plan.path.parent / "checks"
    one, energies, n_atoms = _in_lammps(folder, job, placement, strains, limits, 1)
    findings: list[Finding] = []
    cause = ""
    theirs: Point | None = None
    swapped: Mapping[str, Point] = {}
    reference, why = _reference(job)
    if reference is None:
        notes.append(why)
    else:
        notes += [reference.note] if reference.note else []
        theirs, swapped = _in_framework(reference, atoms, dtype, folder)
        findings += parity(_user(placement, one), theirs, limits)
    if job.pair.kspace_style:
        notes.append("the sum of the forces is not zero by the grid of kspace_style, and not compared")
    else:
        findings.append(net_force(one, limits))
    if strains and one.virial is not None:
        findings.append(derivative(one.virial, strains, energies, limits))
    if job.pair.one_rank:
        notes.append(f"pair style {job.pair.pair_styles[0]} runs on one rank")
    elif plan.study.engine.kokkos is not None and plan.study.engine.kokkos.gpus == 1:
        notes.append("one GPU: one rank only")
    elif job.lammps.mpi == "STUBS" or job.lammps.mpiexec is None:
        notes.append("this LAMMPS has no MPI: one rank only")
    else:
        two, _, _ = _in_lammps(folder, job, placement, (), limits, 2)
        findings += ranks_agree(one, two, 2, limits)
    if theirs is not None and not all(f.well for f in findings):
        cause = known_cause(_user(placement, one), theirs, swapped, findings, limits)
    title = f"{' '.join(job.pair.files) or job.pair.commands[0]}: {n_atoms} atoms, {' '.join(placement.species)}"
    if reference is not None:
        versions = reference.environment.versions
        main = next(name for name in ("mace-torch", "nequip", "deepmd-kit") if name in versions)
        title += f", against {main} {versions[main]} ({reference.model.name})"
    verdict = Verdict(
        title=title, findings=tuple(findings), notes=tuple(notes), cause=cause, folder=folder
    )  # fmt: skip
    if verdict.well:
        record = {
            "format": run.FORMAT,
            "title": title,
            "lammps": job.lammps.identity,
            "dtype": dtype,
            "findings": [{"what": f.what, "value": f.value, "limit": f.limit, "unit": f.unit} for f in findings],
            "notes": notes,
        }
        run.write_json(_record(plan, job), record)
    return verdict


def _rattled(atoms: ase.Atoms) -> ase.Atoms:
    made = ase.Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    made.set_masses(atoms.get_masses())
    made.positions += np.random.default_rng(0).normal(0.0, RATTLE, made.positions.shape)
    return made


def _strains(job: Job, periodic: tuple[bool, bool, bool]) -> tuple[str, ...]:
    """Return the components along which the cell can be strained."""
    if any(style.startswith(_JUMPING) for style in job.pair.pair_styles) and not job.pair.framework:
        return ()
    # change_box with remap moves the atoms along a shrink-wrapped direction too.
    return ("xx", "yy", "zz", "xy", "xz", "yz") if all(periodic) else ()


def _in_lammps(
    folder: Path, job: Job, placement: structure.Placement, strains: Sequence[str], limits: Limits, n_ranks: int
) -> tuple[Point, Any, int]:
    """Run the deck of the check; return the structure's point and the energies (n_strains, 2) of strained cells."""
    rendered = deck.render(
        placement=placement,
        potential=job.pair,
        protocol=Custom(
            name="custom",
            template=data.templates() / "check.lammps.j2",
            variables={"strains": list(strains), "strain": limits.strain},  # type: ignore[dict-item]
        ),
        seed=lambda _: 1,
        header=f"Check of {' '.join(job.pair.files)} on {n_ranks} ranks",
    )
    key = run.key(rendered, job.lammps.identity)
    root = folder / f"ranks-{n_ranks}"
    place = run.prepare(root, key, rendered, {"lammps": job.lammps.identity})
    if run.state(place).name != "done":
        failure = run.launch(place, job.lammps, Engine(ranks=n_ranks))
        if failure is not None:
            raise RunError(f"{place}: the check's own run failed ({failure.cause}): {failure.message}")
    result = run.verified(place)
    logs = read_log(result / "log.lammps")
    first = {name: float(column[0]) for name, column in logs[0].columns.items()}
    p = np.array(
        [
            [first["Pxx"], first["Pxy"], first["Pxz"]],
            [first["Pxy"], first["Pyy"], first["Pyz"]],
            [first["Pxz"], first["Pyz"], first["Pzz"]],
        ]
    )
    dump = read_dump(result / "final.dump", columns=["fx", "fy", "fz"], timestep=0.001)
    forces = np.stack([dump.extras[c][0] for c in ("fx", "fy", "fz")], axis=-1)
    strained = np.array([float(log.columns["PotEng"][0]) for log in logs[1:]]).reshape(-1, 2)
    if len(strained) != len(strains):
        raise RunError(f"{result}: holds {len(strained)} strained cells of {len(strains)}; remove it and check again")
    virial = p * first["Volume"] / NKTV2P if all(placement.periodic) else None
    return Point(energy=first["PotEng"], forces=forces, virial=virial), strained, len(forces)


def _user(placement: structure.Placement, point: Point) -> Point:
    virial = None if point.virial is None else structure.tensor_to_user(placement, point.virial)
    return Point(energy=point.energy, forces=structure.to_user(placement, point.forces), virial=virial)


def _reference(job: Job) -> tuple[_Reference | None, str]:
    """Return what the framework reads to compute the same, or why there is nothing."""
    if job.pair.framework is None:
        return None, "LAMMPS's own pair style: there is no framework to compare it with"
    try:
        environment = framework.find(job.pair.framework)
    except EngineError as error:
        return None, f"not compared with the framework: {error}"
    path = next(iter(job.pair.files.values()))
    if job.pair.framework == "deepmd":
        return _Reference(environment=environment, kind="deepmd", model=path, head=""), ""
    source, head, why = _source(path)
    if source is not None:
        return _Reference(environment=environment, kind=job.pair.framework, model=source, head=head), ""
    if job.pair.framework == "mace":
        note = f"{why}: compared with the export itself, evaluated in Python with MACE's own neighbour list"
        return _Reference(environment=environment, kind="mace-export", model=path, head="", note=note), ""
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
    if _sha256(path, path.stat().st_mtime_ns) != made:
        return None, "", f"{beside} is of another export than {path.name}"
    if not source.is_file() or _sha256(source, source.stat().st_mtime_ns) != wanted:
        return None, "", f"{source}, of which the export is, is gone or changed"
    return source, head, ""


def _in_framework(
    reference: _Reference, atoms: ase.Atoms, dtype: str, folder: Path
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


def _call(reference: _Reference, dtype: str, source: Path, target: Path) -> None:
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
