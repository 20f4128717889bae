"""All arrangements of atoms and vacancies that a crystal's symmetry tells apart."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import comb

import ase
import numpy as np
from numpy.typing import NDArray

from lampion.structure.sites import KIND
from lampion.structure.symmetry import site_permutations

Ints = NDArray[np.int64]

LIMIT = 100_000
"""The largest number of candidates, symmetry not counted, that is enumerated."""


def number_of_arrangements(counts: Sequence[Sequence[int]]) -> int:
    """Π over kinds of (Σn)! / Π n!, n being the numbers of each species and of vacancies on its sites.

    >>> number_of_arrangements([(2, 2), (1, 1, 1)])
    36
    """
    total = 1
    for group in counts:
        rest = sum(group)
        for n in group:
            total *= comb(rest, n)
            rest -= n
    return total


def inequivalent(atoms: ase.Atoms, groups: Sequence[tuple[Ints, Sequence[int]]], near: Sequence[Ints]) -> list[Ints]:
    """One arrangement of each class, the first of its class in a fixed order.

    Args:
        atoms: all sites, with the array `KIND`; its symmetry, and that of the kinds, tells arrangements apart.
        groups: of each kind that isn't full, its sites, and the numbers of each species and last of vacancies.
        near: (n_sites) of each site those that can't be occupied along with it.

    Returns:
        Of each arrangement (n_sites,) which species of its kind stands on each site, -1 for none.
    """
    maps = site_permutations(atoms, list(atoms.arrays[KIND]))
    seen: set[bytes] = set()
    found = []
    forbidding = [i for i, others in enumerate(near) if len(others)]
    for candidate in _candidates(len(atoms), groups):
        if candidate.tobytes() in seen:
            continue
        seen.update(image.tobytes() for image in candidate[maps])
        occupied = candidate >= 0
        if not any(occupied[near[i]].any() for i in forbidding if occupied[i]):
            found.append(candidate.astype(np.int64))
    return found


def _candidates(n_sites: int, groups: Sequence[tuple[Ints, Sequence[int]]]) -> Iterator[NDArray[np.int8]]:
    for parts in product(*(list(_multisets(len(members), counts)) for members, counts in groups)):
        candidate = np.zeros(n_sites, dtype=np.int8)
        for (members, _), part in zip(groups, parts, strict=True):
            candidate[members] = part
        yield candidate


def _multisets(n: int, counts: Sequence[int]) -> Iterator[NDArray[np.int8]]:
    """Every way to put counts[s] of species s onto n places, the rest (the last of counts) being empty, -1."""

    def place(species: int, free: tuple[int, ...], part: NDArray[np.int8]) -> Iterator[NDArray[np.int8]]:
        if species == len(counts) - 1:
            yield part.copy()
            return
        for taken in combinations(free, counts[species]):
            part[list(taken)] = species
            yield from place(species + 1, tuple(i for i in free if i not in taken), part)
            part[list(taken)] = -1

    yield from place(0, tuple(range(n)), np.full(n, -1, dtype=np.int8))
