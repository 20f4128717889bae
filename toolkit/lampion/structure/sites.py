"""Crystal sites and what may occupy them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ase
import numpy as np

from lampion.errors import StructureError
from lampion.structure.symmetry import orbits

SAME_SITE = 0.05
"""Å; rows of a file that are closer than this describe one site."""

FULL = 1e-3
"""How far from 1 the occupancy of a full site may be, for 0.333 + 0.667 and the like."""

KIND = "lampion_kind"
"""Name of the array of `Sites.atoms` that says which of `Sites.kinds` each site is."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Sites that hold the same species in the same proportions."""

    label: str
    """The sites' name in the file."""
    species: tuple[tuple[str, float], ...]
    """Symbols (D for deuterium) with their occupancies, sorted by symbol."""
    masses: tuple[float | None, ...]
    """g/mol of each species, or None for the standard weight."""

    @property
    def vacancy(self) -> float:
        """1 − Σ occupancy; 0 within the tolerance of a full site."""
        rest = 1.0 - sum(occupancy for _, occupancy in self.species)
        return rest if rest > FULL else 0.0

    @property
    def partial(self) -> bool:
        """Whether chance or enumeration has to decide what stands on these sites."""
        return len(self.species) > 1 or (len(self.species) == 1 and self.vacancy > 0)

    def __str__(self) -> str:
        return f"{self.label} ({', '.join(f'{s} {x:g}' for s, x in self.species)})"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sites:
    """An `ase.Atoms` with one atom on each site, its main species, and what else may stand there."""

    atoms: ase.Atoms
    """Its array `KIND` numbers the kinds where there are any; a site without a kind is full (-1)."""
    kinds: tuple[Kind, ...] = ()

    @property
    def partial(self) -> tuple[Kind, ...]:
        """The kinds that aren't full of one species."""
        return tuple(kind for kind in self.kinds if kind.partial)


def from_occupancies(
    atoms: ase.Atoms,
    contents: Sequence[Mapping[str, float]],
    labels: Sequence[str],
    masses: Mapping[str, float],
    name: str,
) -> Sites:
    """Sites from what occupies each of them.

    Args:
        atoms: one atom on each site, of any species.
        contents: of each site, occupancy by symbol.
        labels: of each site, in the file.
        masses: g/mol of symbols that aren't elements, such as D, which becomes H.
        name: how the user calls the structure, for the message.

    Raises:
        StructureError: a site is occupied more than once.
    """
    species = []
    for content, label in zip(contents, labels, strict=True):
        total = sum(content.values())
        if total > 1 + FULL:
            raise StructureError(
                f"{name}: site {label} is occupied {total:g} times: make its occupancies add up to 1 or less"
            )
        species.append(tuple(sorted((symbol, x) for symbol, x in content.items() if x > 0)))
    # The rows of a file aren't asked which sites belong together: one in P 1 lists each site by itself.
    numbered = {content: i for i, content in enumerate(dict.fromkeys(species))}
    orbit_of = [numbered[content] for content in species]
    if any(len(content) != 1 or content[0][1] < 1 - FULL for content in numbered):
        orbit_of = orbits(atoms, orbit_of)
    kinds: dict[Kind, int] = {}
    number = np.empty(len(atoms), dtype=int)
    names: dict[int, dict[str, None]] = {}
    for orbit, label in zip(orbit_of, labels, strict=True):
        names.setdefault(orbit, {})[label] = None
    for i, orbit in enumerate(orbit_of):
        listed = list(names[orbit])
        kind = Kind(
            label=", ".join(listed if len(listed) < 4 else [*listed[:2], "…", listed[-1]]),
            species=species[i],
            masses=tuple(masses.get(symbol) for symbol, _ in species[i]),
        )
        number[i] = kinds.setdefault(kind, len(kinds))
    sites = ase.Atoms(
        numbers=np.ones(len(atoms), dtype=int), positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc
    )
    if atoms.constraints:
        sites.set_constraint(atoms.constraints)
    sites.new_array(KIND, number)
    distinct = tuple(kinds)
    occupants = np.array([_main(distinct[k]) for k in number], dtype=int)
    return occupy(Sites(atoms=sites, kinds=distinct), occupants)


def occupy(sites: Sites, occupants: np.ndarray) -> Sites:
    """The same sites with the given species standing on them.

    Args:
        sites: all of them, with the array `KIND`.
        occupants: (n_sites,) which species of its kind stands on each site; -1 leaves the site empty.
    """
    keep = occupants >= 0
    kinds = [sites.kinds[k] for k in sites.atoms.arrays[KIND][keep]]
    atoms = sites.atoms[keep]
    symbols = [kind.species[o][0] for kind, o in zip(kinds, occupants[keep], strict=True)]
    masses = [kind.masses[o] for kind, o in zip(kinds, occupants[keep], strict=True)]
    atoms.set_chemical_symbols(["H" if s == "D" else s for s in symbols])
    if any(mass is not None for mass in masses):
        standard = atoms.get_masses()
        atoms.set_masses([s if m is None else m for s, m in zip(standard, masses, strict=True)])
    return Sites(atoms=atoms, kinds=sites.kinds)


def _main(kind: Kind) -> int:
    """The species with the largest occupancy, the first of equals; -1 where there is none at all."""
    occupancies = [x for _, x in kind.species]
    return int(np.argmax(occupancies)) if occupancies else -1
