"""Partly occupied sites as atoms and vacancies.

How many atoms of each species go onto the sites of each kind follows from the occupancies: the total of every
species is the nearest whole number, and the count on each kind differs from N·x by less than one.
"""

from dataclasses import dataclass

import ase
import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from lampion.errors import StructureError
from lampion.structure.arrangements import LIMIT, inequivalent, number_of_arrangements
from lampion.structure.exchange import choose_sites
from lampion.structure.settings import Ordering
from lampion.structure.sites import FULL, KIND, Kind, Sites, occupy

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

APART = 0.8
"""Default least distance of two occupied sites that may be vacant, in sums of covalent radii: above the 1.7–1.9 Å
of split lithium sites, below the 2.3 Å at which lithium atoms meet in earnest."""

_WHOLE = 0.05
"""How far from a whole number of atoms a kind may be to be enumerated, for 0.333 and the like."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """The sites of one kind, and how many of its species they get."""

    kind: Kind
    sites: tuple[int, ...]
    counts: tuple[int, ...]
    """Of each species of the kind, and last the vacancies."""


def order(sites: Sites, ordering: Ordering, name: str) -> tuple[ase.Atoms, tuple[str, ...]]:
    """Atoms on partly occupied sites, by chance or by number, and the notes that say so.

    Args:
        sites: of the supercell.
        ordering: method, seed or index, least distance.
        name: how the user calls the structure, for the message.

    Raises:
        StructureError: a species would be lost or be more than half an atom off; no arrangement keeps
            the least distance; too many arrangements to enumerate, sites without a whole number of atoms, or an
            index beyond the last.
    """
    rng = np.random.default_rng(ordering.seed)
    shares = _shares(sites, rng if ordering.method == "random" else None)
    composition = _composition(sites, shares, name)
    near = _near(sites, shares, ordering.min_distance)
    if ordering.method == "random":
        chosen = _by_chance(sites, shares, near, rng, name)
        how = f"ordering: random, seed {ordering.seed}"
    else:
        chosen, n = _by_number(sites, shares, near, ordering.index, name)
        how = f"ordering: arrangement {ordering.index} of {n} that symmetry tells apart"
    notes = [how, f"composition: {composition}"]
    if any(share.counts[-1] for share in shares):
        least = f"{APART:g} times the covalent radii"
        if ordering.min_distance is not None:
            least = f"{ordering.min_distance:g} Å"
        notes.append(f"least distance of sites that may be vacant: {least}")
    return occupy(sites, chosen).atoms, tuple(notes)


def _shares(sites: Sites, rng: np.random.Generator | None) -> list[Share]:
    """Whole numbers nearest to N·x: all species' totals first, then each kind, by integer programming."""
    number = sites.atoms.arrays[KIND]
    listed = [(k, kind) for k, kind in enumerate(sites.kinds) if kind.partial and (number == k).any()]
    cells = [
        (row, symbol, float(x) * int((number == k).sum()))
        for row, (k, kind) in enumerate(listed)
        for symbol, x in (*kind.species, ("", kind.vacancy))
    ]
    # Occupancies such as 0.333 + 0.667 add up to one only nearly.
    sizes = [int((number == k).sum()) for k, _ in listed]
    sums = [sum(x for r, _, x in cells if r == row) for row in range(len(listed))]
    ideal = np.array([x * sizes[row] / sums[row] for row, _, x in cells])
    symbols = sorted({symbol for _, symbol, _ in cells})
    by_row = np.array([[float(row == r) for row, _, _ in cells] for r in range(len(listed))])
    by_symbol = np.array([[float(s == symbol) for _, s, _ in cells] for symbol in symbols])
    totals = by_symbol @ ideal
    # Between floor and ceiling |n - x| is linear in n, with the slope 1 - 2 (x - floor x): totals first.
    cost = 1e3 * (_slope(totals) @ by_symbol) + _slope(ideal)
    if rng is not None:
        cost = cost + 1e-6 * rng.random(len(cost))  # kinds that tie get the odd atom by chance
    found = milp(
        cost,
        integrality=np.ones(len(cost), dtype=int),
        bounds=Bounds(*_whole(ideal)),
        constraints=[LinearConstraint(by_row, sizes, sizes), LinearConstraint(by_symbol, *_whole(totals))],
    )
    counts = np.rint(np.asarray(found.x)).astype(int)
    return [
        Share(
            kind=kind,
            sites=tuple(int(i) for i in np.flatnonzero(number == k)),
            counts=tuple(int(n) for n, (r, _, _) in zip(counts, cells, strict=True) if r == row),
        )
        for row, (k, kind) in enumerate(listed)
    ]


def _whole(values: Floats) -> tuple[Floats, Floats]:
    """The whole numbers below and above; the same where a value is whole within round-off."""
    return np.floor(values + 1e-9), np.ceil(values - 1e-9)


def _slope(values: Floats) -> Floats:
    return np.asarray(1.0 - 2.0 * (values - _whole(values)[0]))


def _composition(sites: Sites, shares: list[Share], name: str) -> str:
    """`Li 24 (of 24)` and so on; refuses what is too far from the occupancies."""
    number = sites.atoms.arrays[KIND]
    ideal: dict[str, float] = {}
    count: dict[str, int] = {}
    for k, kind in enumerate(sites.kinds):
        n = int((number == k).sum())
        for symbol, x in kind.species:
            ideal[symbol] = ideal.get(symbol, 0.0) + (x if kind.partial else 1.0) * n
            count[symbol] = count.get(symbol, 0) + (0 if kind.partial else n)
    for share in shares:
        for (symbol, _), n in zip(share.kind.species, share.counts, strict=False):
            count[symbol] += n
    for symbol, x in sorted(ideal.items()):
        # The tolerance of a full site (0.333 + 0.667) adds up over the sites.
        if abs(count[symbol] - x) > 0.5 + FULL * len(sites.atoms) or (count[symbol] == 0 and x > 1e-6):
            raise StructureError(
                f"{name}: the occupancies ask for {x:.8g} atoms of {symbol} and the nearest arrangement has "
                f"{count[symbol]}: take a larger supercell"
            )
    return ", ".join(f"{symbol} {count[symbol]} for {ideal[symbol]:.8g}" for symbol in sorted(ideal))


def _near(sites: Sites, shares: list[Share], distance: float | None) -> list[Ints]:
    """Of each site those that can't be occupied along with it; a site beside its own image lists itself."""
    n = len(sites.atoms)
    radii = np.zeros(n)
    for share in shares:
        if share.counts[-1] > 0:
            listed = [covalent_radii[atomic_numbers["H" if s == "D" else s]] for s, _ in share.kind.species]
            radii[list(share.sites)] = max(listed) * APART if distance is None else distance / 2
    open_sites = np.flatnonzero(radii)
    near: list[Ints] = [np.empty(0, dtype=np.int64)] * n
    if len(open_sites) == 0:
        return near
    bare = ase.Atoms(positions=sites.atoms.positions, cell=sites.atoms.cell, pbc=sites.atoms.pbc)[open_sites]
    first, second = neighbor_list("ij", bare, radii[open_sites])
    by_first = np.argsort(first, kind="stable")
    ends = np.searchsorted(first[by_first], np.arange(1, len(open_sites)))
    for site, others in zip(open_sites, np.split(second[by_first], ends), strict=True):
        near[site] = np.unique(open_sites[others])
    return near


def _by_chance(
    sites: Sites, shares: list[Share], near: list[Ints], rng: np.random.Generator, name: str
) -> NDArray[np.int64]:
    occupied = choose_sites(
        [(np.array(share.sites), len(share.sites) - share.counts[-1]) for share in shares], near, rng
    )
    if occupied is None:
        raise StructureError(
            f"{name}: no arrangement was found in which sites closer than the least distance are never both "
            "occupied: give a smaller min_distance in ordering, or correct the occupancies"
        )
    chosen = np.zeros(len(sites.atoms), dtype=np.int64)
    for share in shares:
        members = np.array(share.sites)
        chosen[members] = -1
        stands = members[occupied[members]]
        chosen[stands] = rng.permutation(np.repeat(np.arange(len(share.counts) - 1), share.counts[:-1]))
    return chosen


def _by_number(
    sites: Sites, shares: list[Share], near: list[Ints], index: int, name: str
) -> tuple[NDArray[np.int64], int]:
    for share in shares:
        wanted = [x * len(share.sites) for _, x in share.kind.species]
        if any(abs(n - x) > _WHOLE for n, x in zip(share.counts, wanted, strict=False)):
            raise StructureError(
                f"{name}: the {len(share.sites)} sites {share.kind} don't hold whole numbers of atoms: "
                "take a supercell in which they do, or the method random"
            )
    candidates = number_of_arrangements([share.counts for share in shares])
    if candidates > LIMIT:
        raise StructureError(
            f"{name}: there are {candidates:.3g} arrangements, more than the {LIMIT} that can be enumerated: "
            "take a smaller supercell, or the method random"
        )
    groups = [(np.array(share.sites), share.counts) for share in shares]
    found = inequivalent(sites.atoms, groups, near)
    if not found:
        raise StructureError(
            f"{name}: none of the {candidates} arrangements keeps the least distance: give a smaller min_distance in "
            "ordering, or correct the occupancies"
        )
    if index >= len(found):
        raise StructureError(
            f"{name}: there is no arrangement {index} among the {len(found)} that symmetry tells apart: "
            f"give an index from 0 to {len(found) - 1}"
        )
    return found[index], len(found)
