"""What a check found, held against limits that were fixed beforehand, and the known cause that fits a failure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """Energy, forces and virial of one structure."""

    energy: float
    """eV"""
    forces: Floats
    """(n_atoms, 3) eV/Å"""
    virial: Floats | None = None
    """(3, 3) −∂E/∂strain, eV; None where nobody says it."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest deviations that pass."""

    energy: float
    """eV/atom"""
    forces: float
    """eV/Å"""
    virial: float
    """Of the largest component."""
    ranks_energy: float
    ranks_forces: float
    net_force: float
    """eV/Å, of the sum over all atoms."""
    strain: float
    """Step of the numerical derivative by strain."""
    derivative: float
    """Of the largest component of the virial."""


LIMITS = {
    "float64": Limits(
        energy=1e-8, forces=1e-6, virial=1e-7, ranks_energy=1e-9, ranks_forces=1e-7, net_force=1e-6, strain=1e-4,
        derivative=1e-4,
    ),
    "float32": Limits(
        energy=1e-5, forces=1e-4, virial=1e-4, ranks_energy=1e-5, ranks_forces=1e-4, net_force=1e-2, strain=5e-3,
        derivative=2e-2,
    ),
}  # fmt: skip
"""By the model's numbers. Those of float64 leave three to five digits to round-off; float32 has seven in all."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison."""

    what: str
    value: float
    limit: float
    unit: str = ""

    @property
    def well(self) -> bool:
        """Whether it passes; not a number doesn't."""
        return bool(self.value <= self.limit)

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{'ok    ' if self.well else 'FAILED'}  {self.what}: {self.value:.1e}{unit} (limit {self.limit:.0e})"


def parity(lammps: Point, theirs: Point, limits: Limits) -> list[Finding]:
    """Compare LAMMPS with the framework's own calculator, on the same structure in the same frame."""
    n = len(theirs.forces)
    found = [
        Finding(
            what="energy against the framework", value=abs(lammps.energy - theirs.energy) / n, limit=limits.energy,
            unit="eV/atom",
        ),
        Finding(
            what="forces against the framework", value=_most(lammps.forces - theirs.forces), limit=limits.forces,
            unit="eV/Å",
        ),
    ]  # fmt: skip
    if lammps.virial is not None and theirs.virial is not None:
        deviation = _most(lammps.virial - theirs.virial) / _scale(theirs.virial, n)
        found.append(Finding(what="virial against the framework", value=deviation, limit=limits.virial))
    return found


def net_force(lammps: Point, limits: Limits) -> Finding:
    """Compare the sum of all forces with zero."""
    return Finding(
        what="sum of the forces", value=_most(lammps.forces.sum(axis=0)), limit=limits.net_force, unit="eV/Å"
    )


def ranks_agree(one: Point, several: Point, n_ranks: int, limits: Limits) -> list[Finding]:
    """Compare several MPI ranks with one."""
    return [
        Finding(
            what=f"energy on {n_ranks} ranks against 1", value=abs(several.energy - one.energy) / len(one.forces),
            limit=limits.ranks_energy, unit="eV/atom",
        ),
        Finding(
            what=f"forces on {n_ranks} ranks against 1", value=_most(several.forces - one.forces),
            limit=limits.ranks_forces, unit="eV/Å",
        ),
    ]  # fmt: skip


def derivative(virial: Floats, strains: Sequence[str], energies: Floats, limits: Limits) -> Finding:
    """Compare the virial with −(E(+h) − E(−h)) / 2h, component by component, in LAMMPS's frame.

    Args:
        virial: (3, 3) eV.
        strains: which components, as ``xx``.
        energies: (n_strains, 2) eV, at +h and at −h.
        limits: h, and the largest deviation of the largest component.
    """
    numerical = -(energies[:, 0] - energies[:, 1]) / (2 * limits.strain)
    stated = np.array([virial["xyz".index(i), "xyz".index(j)] for i, j in map(tuple, strains)])
    # A virial near zero (atoms apart) leaves the derivative's own round-off, of the energies' last digits.
    scale = max(_most(virial), 1e-10 * _most(energies) / limits.strain)
    return Finding(
        what="virial against the derivative by strain",
        value=_most(numerical - stated) / scale if scale > 0 else _most(numerical - stated),
        limit=limits.derivative,
    )


def known_cause(
    lammps: Point, theirs: Point, swapped: Mapping[str, Point], findings: Sequence[Finding], limits: Limits
) -> str:
    """Say which of the known causes fits what failed.

    Args:
        lammps: what LAMMPS said.
        theirs: what the framework said.
        swapped: what the framework says with the structure's species exchanged, by what was exchanged.
        findings: all comparisons.
        limits: what passes.
    """
    failed = {f.what for f in findings if not f.well}
    n = len(theirs.forces)
    d_energy, d_forces = abs(lammps.energy - theirs.energy) / n, _most(lammps.forces - theirs.forces)
    for what, other in swapped.items():
        if all(f.well for f in parity(lammps, other, limits)):
            return f"the species are swapped: LAMMPS computes the structure with {what}"
    if "sum of the forces" in failed:
        return (
            "forces on ghost atoms are lost: newton is off, by the deck or the command line (-pk kokkos newton off)"
        )
    if lammps.virial is not None and theirs.virial is not None and d_forces <= limits.forces:
        if _most(lammps.virial + theirs.virial) / _scale(theirs.virial, n) <= limits.virial:
            return "the virial has the other sign"
        if d_energy <= limits.energy and "virial against the framework" in failed:
            return "energy and forces agree and the virial doesn't: it lacks a part, or is in other units"
    if d_forces <= limits.forces and d_energy > limits.energy:
        return "the forces agree and the energy doesn't: another head, or other energies of isolated atoms"
    if any("ranks" in what for what in failed) and not any("framework" in what for what in failed):
        return "the ranks disagree: the shell of ghost atoms is too thin for the model's layers"
    if d_energy < 1e-4 and d_forces < 1e-2:
        return "the deviations are those of float32: one of the two computes with fewer digits"
    return (
        "no known cause fits; is the export of this very model, without a pair style (ZBL, dispersion) beside it "
        "that the framework doesn't have?"
    )


def _most(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0))


def _scale(virial: Floats, n_atoms: int) -> float:
    return max(_most(virial), 1e-3 * n_atoms)
