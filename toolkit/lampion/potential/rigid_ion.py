"""Pair potentials given by numbers: Lennard-Jones, Buckingham and Born–Mayer–Huggins, with long-range Coulomb.

    lj     E(r) = 4ε[(σ/r)¹² − (σ/r)⁶]
    buck   E(r) = A exp(−r/ρ) − C/r⁶
    born   E(r) = A exp((σ − r)/ρ) − C/r⁶ + D/r⁸

All in eV and Å, as LAMMPS's metal units take them; charges in e.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Annotated, Literal

from pydantic import Field

from lampion.errors import PotentialError
from lampion.potential.record import PairSetup
from lampion.settings import Element, Positive, settings

PairKey = Annotated[str, Field(pattern=r"^[A-Z][a-z]?-[A-Z][a-z]?$")]
"""Two chemical symbols, as ``Na-Cl``."""


@settings
class Kspace:
    """How long-range Coulomb forces are summed."""

    style: Literal["pppm", "ewald"] = "pppm"
    accuracy: Annotated[float, Field(gt=0, lt=0.1)] = 1e-5
    """Relative error of the forces, as `kspace_style` defines it."""


@settings
class LennardJones:
    """Lennard-Jones 12-6."""

    style: Literal["lj"]
    pairs: dict[PairKey, tuple[Positive, Positive]]
    """ε in eV and σ in Å of each pair of elements."""
    mix: Literal["arithmetic", "geometric"] | None = None
    """Rule for pairs that `pairs` leaves out; without it every pair must be given."""
    cutoff: Positive = 10.0
    """Å."""
    shift: bool = False
    """Shift the energy to zero at the cutoff."""
    charges: dict[Element, float] | None = None
    kspace: Kspace = Kspace()


@settings
class Buckingham:
    """Buckingham (exp-6)."""

    style: Literal["buck"]
    pairs: dict[PairKey, tuple[float, Positive, float]]
    """A in eV, ρ in Å and C in eV·Å⁶ of each pair of elements."""
    cutoff: Positive = 10.0
    shift: bool = False
    charges: dict[Element, float] | None = None
    kspace: Kspace = Kspace()


@settings
class Born:
    """Born–Mayer–Huggins, as in the Tosi–Fumi potentials."""

    style: Literal["born"]
    pairs: dict[PairKey, tuple[float, Positive, float, float, float]]
    """A in eV, ρ in Å, σ in Å, C in eV·Å⁶ and D in eV·Å⁸ of each pair of elements."""
    cutoff: Positive = 10.0
    shift: bool = False
    charges: dict[Element, float] | None = None
    kspace: Kspace = Kspace()


RigidIon = LennardJones | Buckingham | Born
_STYLES = {"lj": "lj/cut", "buck": "buck", "born": "born"}


def resolve(potential: RigidIon, species: Sequence[str], counts: Mapping[str, int], periodic: bool) -> PairSetup:
    """Return what a deck needs to use a rigid-ion potential.

    Raises:
        PotentialError: a pair of elements has no parameters or two sets, an element has no charge, the cell is
            not neutral, or long-range forces are asked for in a cell that is not periodic.
    """
    parameters = _by_pair(potential.pairs)
    style, commands = _STYLES[potential.style], []
    charges = potential.charges
    if charges is not None:
        require_neutral(charges, counts)
        if not periodic:
            raise PotentialError(
                "potential.charges: long-range Coulomb needs a structure that is periodic in x, y and z"
            )
        style += "/coul/long"
    commands.append(f"pair_style {style} {potential.cutoff:.10g}")
    mix = potential.mix if isinstance(potential, LennardJones) else None
    for (i, a), (j, b) in combinations_with_replacement(enumerate(species, 1), 2):
        values = parameters.get(frozenset((a, b)))
        if values is None and mix is not None and a != b:
            continue
        if values is None:
            remedy = "" if potential.style != "lj" or a == b else ", or choose potential.mix"
            raise PotentialError(f"potential.pairs: has no {a}-{b}; give its parameters{remedy}")
        commands.append(f"pair_coeff {i} {j} " + " ".join(f"{v:.10g}" for v in values))
    modify = [*(["shift yes"] if potential.shift else []), *([f"mix {mix}"] if mix else [])]
    if modify:
        # mix must be known before LAMMPS fills in the pairs that are left out, which it does at the first run.
        commands.append("pair_modify " + " ".join(modify))
    if charges is not None:
        commands.append(f"kspace_style {potential.kspace.style} {potential.kspace.accuracy:.10g}")
    return PairSetup(
        commands=tuple(commands),
        files={},
        pair_styles=(style,),
        kspace_style=potential.kspace.style if charges is not None else None,
        atom_style="charge" if charges is not None else "atomic",
        charges={s: charges[s] for s in sorted(set(species))} if charges is not None else None,
    )


def _by_pair(pairs: Mapping[str, tuple[float, ...]]) -> dict[frozenset[str], tuple[float, ...]]:
    found: dict[frozenset[str], tuple[float, ...]] = {}
    for key, values in pairs.items():
        pair = frozenset(key.split("-"))
        if pair in found and found[pair] != values:
            raise PotentialError(f"potential.pairs: {key} is given twice, with different parameters")
        found[pair] = values
    return found


def require_neutral(charges: Mapping[str, float], counts: Mapping[str, int]) -> None:
    """Refuse charges that leave an element out, or a cell that is not neutral.

    Raises:
        PotentialError: names the element, or the sum.
    """
    missing = sorted(set(counts) - set(charges))
    if missing:
        raise PotentialError(f"potential.charges: has no {', '.join(missing)}, which the structure holds")
    total = sum(charges[element] * n for element, n in counts.items())
    if abs(total) > 1e-6:
        listed = ", ".join(f"{n} {e} of {charges[e]:+g}" for e, n in sorted(counts.items()))
        raise PotentialError(f"potential.charges: the cell is not neutral: {listed} e make {total:+.6g} e")
