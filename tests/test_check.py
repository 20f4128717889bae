"""The check of a potential: the comparisons catch planted faults, and the deck is right for any cell."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk

from lampion.check import LIMITS, Point, check, derivative, known_cause, net_force, parity, ranks_agree, unchecked
from lampion.study import plan

LIMIT = LIMITS["float64"]


def point(seed: int = 0, n: int = 8) -> Point:
    rng = np.random.default_rng(seed)
    forces = rng.normal(size=(n, 3))
    virial = rng.normal(size=(3, 3))
    return Point(energy=-10.0 * n + seed, forces=forces - forces.mean(axis=0), virial=virial + virial.T)


def failures(lammps: Point, theirs: Point) -> list[str]:
    return [f.what for f in [*parity(lammps, theirs, LIMIT), net_force(lammps, LIMIT)] if not f.well]


def cause(lammps: Point, theirs: Point, swapped: dict[str, Point] | None = None) -> str:
    findings = [*parity(lammps, theirs, LIMIT), net_force(lammps, LIMIT)]
    return known_cause(lammps, theirs, swapped or {}, findings, LIMIT)


def test_the_same_numbers_pass_and_round_off_does_too() -> None:
    theirs = point()
    assert failures(theirs, theirs) == []
    assert theirs.virial is not None
    near = Point(energy=theirs.energy + 1e-9, forces=theirs.forces + 1e-9, virial=theirs.virial * (1 + 1e-9))
    assert failures(near, theirs) == []


def test_swapped_species_are_seen_and_named() -> None:
    theirs, other = point(), point(1)
    assert len(failures(other, theirs)) == 3
    assert "Cl in place of Li" in cause(other, theirs, {"Cl in place of Li, Li in place of Cl": other})


def test_the_other_sign_of_the_virial_is_seen_and_named() -> None:
    theirs = point()
    assert theirs.virial is not None
    wrong = dataclasses.replace(theirs, virial=-theirs.virial)
    assert failures(wrong, theirs) == ["virial against the framework"]
    assert "other sign" in cause(wrong, theirs)


def test_newton_off_is_seen_and_named() -> None:
    theirs = point()
    wrong = dataclasses.replace(theirs, forces=theirs.forces + np.eye(8, 3))
    assert "sum of the forces" in failures(wrong, theirs)
    assert "newton" in cause(wrong, theirs)


def test_another_head_is_named_and_float32_too() -> None:
    theirs = point()
    assert "head" in cause(dataclasses.replace(theirs, energy=theirs.energy + 3), theirs)
    rounded = dataclasses.replace(theirs, forces=theirs.forces * (1 + 3e-6), energy=theirs.energy * (1 + 1e-7))
    assert "forces against the framework" in failures(rounded, theirs)
    assert "float32" in cause(rounded, theirs)


def test_not_a_number_never_passes() -> None:
    theirs = point()
    wrong = dataclasses.replace(theirs, forces=np.full_like(theirs.forces, np.nan), energy=np.nan)
    assert {"energy against the framework", "forces against the framework"} <= set(failures(wrong, theirs))


def test_ranks_that_disagree_are_seen() -> None:
    one = point()
    assert all(f.well for f in ranks_agree(one, one, 2, LIMIT))
    wrong = dataclasses.replace(one, forces=one.forces + 1e-6)
    assert [f.well for f in ranks_agree(one, wrong, 2, LIMIT)] == [True, False]


def test_the_derivative_sees_a_virial_of_the_wrong_sign_or_size() -> None:
    """A quadratic energy, E = −W·ε + εᵀε, whose derivative is −W at ε = 0."""
    strains = ("xx", "yy", "zz", "xy", "xz", "yz")
    virial, h = point().virial, LIMIT.strain
    assert virial is not None
    flat = np.array([virial["xyz".index(i), "xyz".index(j)] for i, j in map(tuple, strains)])
    energies = np.stack([-flat * h + h * h, flat * h + h * h], axis=1)
    assert derivative(virial, strains, energies, LIMIT).well
    assert not derivative(-virial, strains, energies, LIMIT).well
    assert not derivative(virial * 1.001, strains, energies, LIMIT).well
    assert not derivative(virial[::-1], strains, energies, LIMIT).well


STUDY = """
structure: {{file: s.xyz}}
potential: {potential}
protocol: {{name: static}}
"""


def study(folder: Path, potential: str, atoms: ase.Atoms) -> Path:
    ase.io.write(folder / "s.xyz", atoms, format="extxyz")
    path = folder / "study.yaml"
    path.write_text(STUDY.format(potential=potential))
    return path


def indium_phosphide() -> ase.Atoms:
    atoms = bulk("InP", "zincblende", a=5.83) * (2, 2, 2)
    skew = np.array([[1, 0.1, 0], [0, -1, 0.2], [0.05, 0, 1]])  # left-handed and rotated too
    atoms.set_cell(atoms.cell[:] @ skew, scale_atoms=True)
    return atoms


def test_a_shipped_potential_passes_in_a_skewed_cell(tmp_path: Path) -> None:
    planned = plan(study(tmp_path, "{style: mliap, file: InP_JCPA2020.mliap}", indium_phosphide()))
    (verdict,) = check(planned)
    assert verdict.well, list(verdict.lines())
    whats = [finding.what for finding in verdict.findings]
    assert "virial against the derivative by strain" in whats
    assert "forces on 2 ranks against 1" in whats
    assert unchecked(planned) == []  # no framework, so nothing that a run must wait for


def test_what_was_checked_is_not_run_again(tmp_path: Path) -> None:
    planned = plan(study(tmp_path, "{style: sw, file: Si.sw}", bulk("Si", "diamond", a=5.43, cubic=True)))
    list(check(planned))
    before = sorted(p.stat().st_mtime_ns for p in tmp_path.glob("checks/ranks-*/*/*/attempts/1/log.lammps"))
    (verdict,) = check(planned)
    assert verdict.well
    assert sorted(p.stat().st_mtime_ns for p in tmp_path.glob("checks/ranks-*/*/*/attempts/*/log.lammps")) == before


def test_an_energy_that_jumps_and_a_slab_say_that_they_have_no_derivative(tmp_path: Path) -> None:
    argon = bulk("Ar", "fcc", a=5.4, cubic=True) * (3, 3, 3)
    (verdict,) = check(plan(study(tmp_path, "{style: lj, cutoff: 7.0, pairs: {Ar-Ar: [0.01, 3.4]}}", argon)))
    assert verdict.well, list(verdict.lines())
    assert "jump" in " ".join(verdict.notes)


def test_the_command_prints_the_verdict(tmp_path: Path) -> None:
    path = study(tmp_path, "{style: sw, file: Si.sw}", bulk("Si", "diamond", a=5.43, cubic=True))
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ok      virial against the derivative by strain" in done.stdout
