"""Where ions spend their time: a density on a grid, the sites in it, and a cube file that VESTA and OVITO open."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter

from lampion.analysis.msd import atom_indices, checked_positions
from lampion.analysis.pairs import nearest_image
from lampion.errors import AnalysisError
from lampion.settings import ELEMENTS

Array = NDArray[np.float64]

ANGSTROM_IN_BOHR = 1.8897261246
"""CODATA 2018."""


@dataclass(frozen=True, kw_only=True)
class Density:
    """A number density on a periodic grid."""

    values: Array
    """(n1, n2, n3), 1/Å³: point (i, j, k) lies at origin + (i/n1, j/n2, k/n3) · cell; the sum times the volume of a
    voxel is the number of ions."""
    error: Array
    """(n1, n2, n3), 1/Å³, one standard error over time blocks; NaN with a single frame."""
    cell: Array
    """(3, 3), Å, mean."""
    origin: Array
    """(3,), Å."""
    reference: str = "as given"
    """What displacements are relative to, and what speaks against that."""


def density(
    positions: ArrayLike,
    cells: ArrayLike,
    *,
    atoms: ArrayLike | None = None,
    drift: ArrayLike | None = None,
    origin: ArrayLike = (0.0, 0.0, 0.0),
    spacing: float = 0.25,
    n_blocks: int = 8,
) -> Density:
    """Return the mean number density of ions, ρ(r) = ⟨Σ_i δ(r − r_i)⟩, folded into one cell.

    Args:
        positions: (n_frames, n_atoms, 3), Å, wrapped or not.
        cells: (3, 3) or (n_frames, 3, 3), Å; the density lies in scaled coordinates of each.
        atoms: indices or mask; all where not given.
        drift: (n_frames, 3), Å, of the framework, subtracted.
        origin: (3,), Å, of the cell.
        spacing: Å, at most, between grid points.
        n_blocks: time blocks for the error.

    Raises:
        AnalysisError: arrays of other shapes, or a spacing that is not positive.

    >>> import numpy as np
    >>> rho = density(np.full((2, 1, 3), 2.0), 4 * np.eye(3), spacing=1.0)
    >>> round(float(rho.values[2, 2, 2]), 9), round(float(rho.values.sum()), 9)
    (1.0, 1.0)
    """
    x = checked_positions(positions)
    boxes = np.broadcast_to(np.asarray(cells, dtype=float), (len(x), 3, 3))
    if spacing <= 0:
        raise AnalysisError(f"the grid's spacing must be positive, got {spacing:g} Å")
    index = atom_indices(atoms, x.shape[1])
    mean = boxes.mean(axis=0)
    shape = np.maximum(1, np.ceil(np.linalg.norm(mean, axis=1) / spacing - 1e-9).astype(int))
    path = np.zeros((len(x), 3)) if drift is None else np.asarray(drift, dtype=float)
    start = np.asarray(origin, dtype=float)
    n_voxels = int(shape.prod())
    blocks = np.array_split(np.arange(len(x)), min(n_blocks, len(x)))
    ends = {int(block[-1]): number for number, block in enumerate(blocks)}
    mean_count, square, total, counts = np.zeros((4, n_voxels))
    for frame in range(len(x)):
        scaled = (x[frame, index] - path[frame] - start) @ np.linalg.inv(boxes[frame])
        # A grid point owns what is nearest to it, so that points lie on the cell's corners.
        voxel = np.round(scaled * shape).astype(np.int64) % shape
        counts += np.bincount(np.ravel_multi_index(tuple(voxel.T), tuple(shape)), minlength=n_voxels)
        if frame in ends:
            # Sums of two moments, so that the blocks' grids need not be held.
            size = len(blocks[ends[frame]])
            mean_count += counts / len(x)
            square += (counts / size) ** 2
            total += counts / size
            counts[:] = 0
    n = len(blocks)
    volume = abs(np.linalg.det(mean)) / n_voxels
    variance = np.maximum(square - total**2 / n, 0) / (n - 1) / n if n > 1 else np.full(n_voxels, np.nan)
    return Density(
        values=mean_count.reshape(shape) / volume,
        error=np.sqrt(variance).reshape(shape) / volume,
        cell=mean,
        origin=start,
    )


def find_sites(rho: Density, *, threshold: float = 0.1, separation: float = 1.5) -> Array:
    """Return the maxima of a density, (n_sites, 3), Å, the highest first.

    Each is the centre of mass of the density within half of `separation`, and none lies closer to a higher one.

    Args:
        rho: of the ions.
        threshold: fraction of the highest value below which nothing is a site.
        separation: Å, smallest distance between sites.

    Raises:
        AnalysisError: nothing is found.
    """
    v = rho.values
    peaks = np.argwhere((v == maximum_filter(v, size=3, mode="wrap")) & (v > threshold * v.max()))
    if not len(peaks):
        raise AnalysisError("the density has no maximum: there are no ions in it")
    order = np.argsort(-v[tuple(peaks.T)], kind="stable")
    points = np.stack(np.meshgrid(*(np.arange(n) / n for n in v.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    grid, weight = points @ rho.cell, v.ravel()
    sites: list[Array] = []
    for peak in peaks[order]:
        place = peak / v.shape @ rho.cell
        near = nearest_image(grid - place, rho.cell)
        inside = (near**2).sum(axis=1) <= (separation / 2) ** 2
        centre = place + (weight[inside, None] * near[inside]).sum(axis=0) / weight[inside].sum()
        apart = np.linalg.norm(nearest_image(np.array(sites).reshape(-1, 3) - centre, rho.cell), axis=1)
        if not (apart < separation).any():
            sites.append(centre)
    return np.array(sites) + rho.origin


def cube_text(rho: Density, *, positions: ArrayLike, species: ArrayLike, title: str = "ion density") -> str:
    """Return a Gaussian cube file: Bohr, density in 1/Bohr³, x the slowest.

    Args:
        rho: the density.
        positions: (n_atoms, 3), Å, of atoms to draw with it, the framework or the ions of one frame: OVITO opens no
            cube file without atoms.
        species: (n_atoms,), their symbols.
        title: first line.

    Raises:
        AnalysisError: positions and species of different lengths, no atom, or no chemical symbol.
    """
    places = np.asarray(positions, dtype=float).reshape(-1, 3)
    names = [str(name) for name in np.asarray(species).ravel()]
    if not names:
        raise AnalysisError(
            "a cube file needs an atom at least, or OVITO does not open it: give positions and species"
        )
    if len(places) != len(names) or any(name not in ELEMENTS for name in names):
        raise AnalysisError(f"a cube file needs a chemical symbol for each atom, got {names} for {len(places)} atoms")
    n = rho.values.shape
    rows = [title.replace("\n", " "), "number density in 1/Bohr^3, lengths in Bohr"]
    rows.append(f"{len(names):5d}" + _numbers(rho.origin * ANGSTROM_IN_BOHR))
    rows += [f"{n[k]:5d}" + _numbers(rho.cell[k] / n[k] * ANGSTROM_IN_BOHR) for k in range(3)]
    for name, place in zip(names, places, strict=True):
        z = ELEMENTS.index(name) + 1
        rows.append(f"{z:5d}{z:12.6f}" + _numbers(place * ANGSTROM_IN_BOHR))
    for column in rho.values.reshape(-1, n[2]) / ANGSTROM_IN_BOHR**3:
        rows += ["".join(f"{v:13.5E}" for v in column[k : k + 6]) for k in range(0, n[2], 6)]
    return "\n".join(rows) + "\n"


def _numbers(values: Array) -> str:
    return "".join(f"{v:12.6f}" for v in values)
