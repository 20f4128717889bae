"""The symmetry of sites, from spglib (doi 10.1080/27660400.2024.2384822)."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import ase
import numpy as np
import spglib
from numpy.typing import NDArray
from scipy.spatial import cKDTree

SYMPREC = 0.01
"""Å; how far symmetry may move a site."""


def orbits(atoms: ase.Atoms, contents: Sequence[int]) -> list[int]:
    """Of each site the first site that symmetry brings it to; itself where spglib finds no symmetry.

    Args:
        atoms: the sites.
        contents: (n_sites,) sites of the same number may be the same by symmetry.
    """
    with _as_before():
        found = spglib.get_symmetry_dataset(_cell(atoms, contents), symprec=SYMPREC)
    return list(range(len(atoms))) if found is None else [int(o) for o in found.crystallographic_orbits]


def site_permutations(atoms: ase.Atoms, contents: Sequence[int]) -> NDArray[np.intp]:
    """(n_operations, n_sites): the site that each operation brings each site to, each permutation once.

    Args:
        atoms: the sites.
        contents: (n_sites,) sites of the same number may be the same by symmetry.
    """
    with _as_before():
        operations = spglib.get_symmetry(_cell(atoms, contents), symprec=SYMPREC)
    x, kinds = atoms.get_scaled_positions(), np.asarray(contents)
    maps: list[NDArray[np.intp]] = [np.arange(len(atoms), dtype=np.intp)]
    if operations is not None:
        # 1 - 1e-17 is 1 in a float, which a periodic tree refuses: hence the second modulo.
        tree = cKDTree(x % 1.0 % 1.0, boxsize=np.ones(3))
        for rotation, translation in zip(operations["rotations"], operations["translations"], strict=True):
            image = np.asarray(tree.query((x @ rotation.T + translation) % 1.0 % 1.0)[1], dtype=np.intp)
            # Within the tolerance a site may have two that are as near: no permutation, so not a symmetry to use.
            if len(np.unique(image)) == len(atoms) and (kinds[image] == kinds).all():
                maps.append(image)
    return np.unique(np.array(maps), axis=0)


def has_origin_choices(number: int) -> bool:
    """Whether the space group has two origins in the International Tables, such as 227 (1 at -43m, 2 at -3m)."""
    with _as_before():
        listed = [spglib.get_spacegroup_type(hall) for hall in range(1, 531)]
    return any(kind is not None and kind.number == number and kind.choice.startswith("2") for kind in listed)


def _cell(atoms: ase.Atoms, contents: Sequence[int]) -> tuple[list[list[float]], list[list[float]], list[int]]:
    return atoms.cell.array.tolist(), atoms.get_scaled_positions().tolist(), [int(c) + 1 for c in contents]


@contextmanager
def _as_before() -> Iterator[None]:
    """Spglib 2.7 and later warn, at each call, that they will raise errors one day instead of returning None."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*OLD_ERROR_HANDLING.*")
        yield
