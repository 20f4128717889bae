"""Potentials: which pair lines and files a deck needs, for which elements.

`Potential` is the union of the families; `resolve` makes the `PairSetup` of one for a structure's types.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, assert_never

from pydantic import Field

from lampion.potential.custom import Custom, resolve_custom
from lampion.potential.mlip import Deepmd, Mace, Nequip, resolve_deepmd, resolve_mace, resolve_nequip
from lampion.potential.record import PairSetup, Reference
from lampion.potential.rigid_ion import Born, Buckingham, LennardJones
from lampion.potential.rigid_ion import resolve as resolve_rigid_ion
from lampion.potential.snap import Mliap, Snap, resolve_mliap, resolve_snap
from lampion.potential.tabulated import (
    Eam,
    ManyBody,
    Meam,
    Pod,
    Uf3,
    resolve_eam,
    resolve_many_body,
    resolve_meam,
    resolve_pod,
    resolve_uf3,
)

Potential = Annotated[
    Snap
    | Mliap
    | Pod
    | Uf3
    | Eam
    | ManyBody
    | Meam
    | LennardJones
    | Buckingham
    | Born
    | Mace
    | Nequip
    | Deepmd
    | Custom,
    Field(discriminator="style"),
]

__all__ = ["PairSetup", "Potential", "Reference", "resolve"]


def resolve(
    potential: Potential,
    species: Sequence[str],
    counts: Mapping[str, int],
    periodic: bool,
    folder: Path,
    shipped: Path | None,
) -> PairSetup:
    """Return the pair lines and files of `potential` for a structure.

    Args:
        potential: the settings.
        species: element of each LAMMPS type, in order; one element may have several types (isotopes).
        counts: number of atoms of each element.
        periodic: whether the structure is periodic in all three directions.
        folder: where relative paths start, the study's folder.
        shipped: the potentials of the LAMMPS installation.

    Raises:
        PotentialError: a file is missing or unfit, or the potential does not cover the structure.
    """
    match potential:
        case Snap():
            return resolve_snap(potential, species, folder, shipped)
        case Mliap():
            return resolve_mliap(potential, species, folder, shipped)
        case Eam():
            return resolve_eam(potential, species, folder, shipped)
        case ManyBody():
            return resolve_many_body(potential, species, folder, shipped)
        case Meam():
            return resolve_meam(potential, species, folder, shipped)
        case Pod():
            return resolve_pod(potential, species, folder, shipped)
        case Uf3():
            return resolve_uf3(potential, species, folder, shipped)
        case LennardJones() | Buckingham() | Born():
            return resolve_rigid_ion(potential, species, counts, periodic)
        case Mace():
            return resolve_mace(potential, species, folder, shipped)
        case Nequip():
            return resolve_nequip(potential, species, folder, shipped)
        case Deepmd():
            return resolve_deepmd(potential, species, folder, shipped)
        case Custom():
            return resolve_custom(potential, species, counts, folder, shipped)
        case _ as unreachable:
            assert_never(unreachable)
