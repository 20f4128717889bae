"""Do the check of a study's potential: a small deck in LAMMPS, the same structures in the framework, a verdict."""

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np

from lampion import data, deck, run, structure
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
from lampion.check.reference import in_framework, reference_of, sha256
from lampion.engine import Engine
from lampion.errors import RunError
from lampion.protocol import Custom
from lampion.study import Job, Plan
from lampion.thermo import read_log
from lampion.trajectory import read_dump

logger = logging.getLogger("lampion")

RATTLE = 0.05
"""Å, standard deviation of the displacements that take a structure out of its symmetric place."""

NKTV2P = 1.6021765e6
"""bar per eV/Å³ as LAMMPS's metal units have it; CODATA's differs in the eighth digit."""


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
        digest.update(f"{name}\0{sha256(path, path.stat().st_mtime_ns)}".encode())
    return plan.path.parent / "checks" / f"{digest.hexdigest()[:24]}.json"


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
    reference, why = reference_of(job.pair)
    if reference is None:
        notes.append(why)
    else:
        notes += [reference.note] if reference.note else []
        theirs, swapped = in_framework(reference, atoms, dtype, folder)
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
    # One that compared nothing with the framework is no verdict for good: its environment may come yet.
    if verdict.well and (reference is not None or job.pair.framework is None):
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
    while run.state(place).name != "done":
        try:
            failure = run.launch(place, job.lammps, Engine(ranks=n_ranks))
        except run.Busy:  # another driver of this study checks the same
            time.sleep(1.0)
            continue
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
