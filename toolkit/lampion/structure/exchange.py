"""Which sites are occupied, by chance, when some can't be occupied together.

Atoms are put down at random, on sites that no neighbour forbids as long as there are any. Then the atoms that
are still too close are moved, one at a time, to the vacant site of their kind with the fewest neighbours
(Minton et al., Artif. Intell. 58, 161 (1992), doi 10.1016/0004-3702(92)90007-K), and at last every atom tries
some moves that keep the least distance, so that the order of the first steps is forgotten.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_RESTARTS = 5
_MOVES_PER_SITE = 50
_NOISE = 0.05
_MIXING_PER_ATOM = 10


def choose_sites(groups: Sequence[tuple[Ints, int]], near: Sequence[Ints], rng: np.random.Generator) -> Flags | None:
    """Which sites are occupied, or None where no arrangement was found.

    Args:
        groups: of each kind, its sites and how many of them are occupied.
        near: (n_sites) of each site those that can't be occupied along with it.
        rng: the source of chance.

    >>> pairs = [np.array([1]), np.array([0]), np.array([3]), np.array([2])]
    >>> bool(choose_sites([(np.arange(4), 2)], pairs, np.random.default_rng(0))[:2].sum() == 1)
    True
    """
    group = np.full(len(near), -1)
    for g, (members, _) in enumerate(groups):
        group[members] = g
    for _ in range(_RESTARTS):
        occupied, crowd = _start(groups, near, rng)
        if _repair(occupied, crowd, group, near, rng):
            _mix(occupied, crowd, group, near, rng)
            return occupied
    return None


def _start(groups: Sequence[tuple[Ints, int]], near: Sequence[Ints], rng: np.random.Generator) -> tuple[Flags, Ints]:
    """Occupied sites, and of each site the number of occupied neighbours."""
    occupied = np.zeros(len(near), dtype=bool)
    crowd = np.zeros(len(near), dtype=np.int64)
    for members, n in groups:
        waiting = rng.permutation(members)
        for passing in (True, False):
            for site in waiting:
                if n > 0 and not occupied[site] and not (passing and (crowd[site] or site in near[site])):
                    occupied[site] = True
                    crowd[near[site]] += 1
                    n -= 1
    return occupied, crowd


def _repair(occupied: Flags, crowd: Ints, group: Ints, near: Sequence[Ints], rng: np.random.Generator) -> bool:
    """Move atoms in place until none is too close to another; whether that came about."""
    for _ in range(1000 + _MOVES_PER_SITE * len(near)):
        close = np.flatnonzero(occupied & (crowd > 0))
        if len(close) == 0:
            return True
        i = int(rng.choice(close))
        free = np.flatnonzero(~occupied & (group == group[i]))
        if len(free) == 0:
            continue
        cost = crowd[free] - np.isin(free, near[i])
        best = free if rng.random() < _NOISE else free[cost == cost.min()]
        _move(i, int(rng.choice(best)), occupied, crowd, near)
    return False


def _mix(occupied: Flags, crowd: Ints, group: Ints, near: Sequence[Ints], rng: np.random.Generator) -> None:
    """Try moves to vacant sites of the same kind, near and far by turns, and take those that are allowed."""
    atoms = np.flatnonzero(occupied & (group >= 0))
    vacant = [np.flatnonzero(~occupied & (group == g)) for g in range(int(group.max()) + 1)]
    for step in range(_MIXING_PER_ATOM * len(atoms)):
        a = int(rng.integers(len(atoms)))
        i = int(atoms[a])
        free = vacant[group[i]]
        if step % 2:
            free = free[np.isin(free, near[i])] if len(near[i]) else free[:0]
        if len(free) == 0:
            continue
        j = int(rng.choice(free))
        if crowd[j] == int(i in near[j]) and j not in near[j]:
            _move(i, j, occupied, crowd, near)
            atoms[a] = j
            vacant[group[i]][vacant[group[i]] == j] = i


def _move(i: int, j: int, occupied: Flags, crowd: Ints, near: Sequence[Ints]) -> None:
    occupied[i], occupied[j] = False, True
    crowd[near[i]] -= 1
    crowd[near[j]] += 1
