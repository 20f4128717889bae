"""Trajectories for other programs: ASE, extxyz, pandas, pymatgen, MDAnalysis; and back in the user's frame.

The programs are imported where they are used.
"""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.errors import TrajectoryError
from lampion.settings import ELEMENTS
from lampion.thermo import Column, ThermoRun, join_runs
from lampion.trajectory.columns import UnitStyle, unit_style
from lampion.trajectory.frames import Trajectory
from lampion.units import EV_PER_A3_IN_BAR

if TYPE_CHECKING:
    import ase
    import pandas as pd

Floats = NDArray[np.float64]

_VECTORS = (("vx", "vy", "vz"), ("fx", "fy", "fz"), ("mux", "muy", "muz"))


def in_frame(trajectory: Trajectory, *, rotation: ArrayLike, basis: ArrayLike | None = None) -> Trajectory:
    """Return the trajectory in the frame it was placed in LAMMPS from.

    With rows as vectors, LAMMPS's positions are x R and its cell is B H R for the user's x and H. Here x R is
    multiplied with Rᵀ from the right and B H R with B⁻¹ from the left, too; so are velocities and forces among
    `Trajectory.extras` (all three components must be there).

    Args:
        trajectory: as read.
        rotation: (3, 3) R, orthogonal (`Placement.rotation`).
        basis: (3, 3) B, whole numbers (`Placement.basis`); None if the cell wasn't reduced.

    Raises:
        TrajectoryError: R isn't orthogonal, B isn't unimodular, or only some components of a vector are there.
    """
    r = np.asarray(rotation, dtype=np.float64)
    b = np.eye(3) if basis is None else np.asarray(basis, dtype=np.float64)
    if r.shape != (3, 3) or not np.allclose(r @ r.T, np.eye(3), atol=1e-9):
        raise TrajectoryError("the rotation must be an orthogonal (3, 3) matrix")
    if b.shape != (3, 3) or not np.array_equal(b, np.rint(b)) or not np.isclose(abs(np.linalg.det(b)), 1):
        raise TrajectoryError("the basis must be a (3, 3) matrix of whole numbers with determinant ±1")
    extras = dict(trajectory.extras)
    for names in _VECTORS:
        there = [name for name in names if name in extras]
        if there and len(there) < 3:
            raise TrajectoryError(
                f"only {' '.join(there)} of {' '.join(names)} are there: a vector needs all to be turned"
            )
        if there:
            turned = np.stack([extras[name] for name in names], axis=2) @ r.T
            extras.update({name: turned[:, :, i] for i, name in enumerate(names)})
    return replace(
        trajectory,
        positions=trajectory.positions @ r.T,
        cells=np.linalg.inv(b) @ trajectory.cells @ r.T,
        origins=trajectory.origins @ r.T,
        extras=extras,
    )


def energies(trajectory: Trajectory, runs: Sequence[ThermoRun]) -> Floats:
    """Return the potential energy (n_frames,) in eV at the trajectory's steps, from its log.

    Raises:
        TrajectoryError: the log has no column ``PotEng``, its units aren't known, or a step isn't there.
    """
    factor = _style(runs).energy
    return factor * _at_steps(trajectory, runs, ["PotEng"], "thermo_style custom step pe")[:, 0]


def stresses(
    trajectory: Trajectory, runs: Sequence[ThermoRun], *, compute: str = "virial", rotation: ArrayLike | None = None
) -> Floats:
    """Return the static stress (n_frames, 3, 3) in eV/Å³ at the trajectory's steps, from its log.

    σ = −P, positive in tension as in ASE; P is a ``compute <compute> all pressure NULL virial`` printed as
    ``c_<compute>[1]`` to ``[6]`` (xx yy zz xy xz yz). ``Pxx`` and so on are not taken: they hold the kinetic
    part, which no model is trained on.

    Args:
        trajectory: as read.
        runs: its log's.
        compute: the id of the compute.
        rotation: (3, 3) R as in `in_frame`, for a trajectory that was turned back: then R σ Rᵀ is returned.

    Raises:
        TrajectoryError: a column or a step is missing, or the pressure isn't in bar (metal units).
    """
    if {run.units for run in runs} != {"metal"}:
        raise TrajectoryError("stresses are read from logs in metal units only")
    names = [f"c_{compute}[{i}]" for i in range(1, 7)]
    xx, yy, zz, xy, xz, yz = (
        -_at_steps(trajectory, runs, names, f"compute {compute} all pressure NULL virial").T / EV_PER_A3_IN_BAR
    )
    r = np.eye(3) if rotation is None else np.asarray(rotation, dtype=np.float64)
    turned: Floats = r @ np.moveaxis(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]), 2, 0) @ r.T
    return turned


def to_ase(
    trajectory: Trajectory, *, energies: ArrayLike | None = None, stresses: ArrayLike | None = None
) -> "list[ase.Atoms]":
    """Return the frames as `ase.Atoms`, positions unwrapped.

    Velocities and forces among the extras (``vx vy vz``, ``fx fy fz``) go along; ``info`` holds ``step`` and
    ``time`` (ps).

    Args:
        trajectory: as read.
        energies: (n_frames,) eV.
        stresses: (n_frames, 3, 3) eV/Å³, as `stresses` returns them.

    Raises:
        TrajectoryError: a species is no chemical symbol; energies or stresses are not one for each frame.
    """
    import ase
    from ase.calculators.singlepoint import SinglePointCalculator

    _require_elements(trajectory)
    _require_configurations(trajectory)
    n = trajectory.n_frames
    energy = None if energies is None else _values(energies, (n,), "energies")
    stress = None if stresses is None else _values(stresses, (n, 3, 3), "stresses")
    frames = []
    for i in range(trajectory.n_frames):
        atoms = ase.Atoms(
            symbols=trajectory.species.tolist(),
            positions=trajectory.positions[i],
            cell=trajectory.cells[i],
            celldisp=trajectory.origins[i],
            pbc=trajectory.periodic,
            masses=trajectory.masses,
            charges=trajectory.charges,
            info={"step": int(trajectory.steps[i]), "time": float(trajectory.times[i])},
        )
        if all(name in trajectory.extras for name in _VECTORS[0]):
            # ASE's unit of time is Å (u/eV)^½.
            atoms.set_velocities(_vector(trajectory, _VECTORS[0], i) / (1000 * ase.units.fs))
        results: dict[str, Any] = {}
        if energy is not None:
            results["energy"] = float(energy[i])
        if all(name in trajectory.extras for name in _VECTORS[1]):
            results["forces"] = _vector(trajectory, _VECTORS[1], i)
        if stress is not None:
            results["stress"] = stress[i].ravel()[[0, 4, 8, 5, 2, 1]]
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def write_extxyz(
    path: str | Path,
    trajectory: Trajectory,
    *,
    energies: ArrayLike | None = None,
    stresses: ArrayLike | None = None,
) -> Path:
    """Write the frames as extended XYZ, with energy (eV), forces (eV/Å) and stress (eV/Å³) where they are known.

    Raises:
        TrajectoryError: the file exists or its folder doesn't, energies or stresses are not one for each frame, or a
            species is no chemical symbol.
    """
    from ase.io import write

    target = Path(path)
    if target.exists():
        raise TrajectoryError(f"{target} exists; nothing is overwritten")
    if not target.parent.is_dir():
        raise TrajectoryError(f"{target}: there is no folder {target.parent}; make it")
    write(target, to_ase(trajectory, energies=energies, stresses=stresses), format="extxyz")
    return target


def to_pandas(trajectory: Trajectory) -> "pd.DataFrame":
    """Return a table with a row for each atom of each frame."""
    import pandas as pd

    f, n = trajectory.n_frames, trajectory.n_atoms
    columns: dict[str, Any] = {
        "step": np.repeat(trajectory.steps, n),
        "time (ps)": np.repeat(trajectory.times, n),
        "id": np.tile(trajectory.ids, f),
        "species": np.tile(trajectory.species, f),
    }
    for i, axis in enumerate("xyz"):
        columns[f"{axis} (Å)"] = trajectory.positions[:, :, i].ravel()
    known = {"v": "Å/ps", "f": "eV/Å"}
    for name, values in trajectory.extras.items():
        unit = known[name[0]] if name in (*_VECTORS[0], *_VECTORS[1]) else ""
        columns[f"{name} ({unit})" if unit else name] = values.ravel()
    return pd.DataFrame(columns)


def to_pymatgen(trajectory: Trajectory) -> list[Any]:
    """Return the frames as `pymatgen.core.Structure`, positions unwrapped and counted from the cell's corner.

    Raises:
        TrajectoryError: pymatgen isn't there, or a species is no chemical symbol.
    """
    _require_elements(trajectory)
    _require_configurations(trajectory)
    core = _optional("pymatgen.core", "pymatgen")
    species = trajectory.species.tolist()
    return [
        core.Structure(
            core.Lattice(cell, pbc=tuple(trajectory.periodic)), species, x - origin, coords_are_cartesian=True
        )
        for cell, origin, x in zip(trajectory.cells, trajectory.origins, trajectory.positions, strict=True)
    ]


def to_mdanalysis(trajectory: Trajectory) -> Any:
    """Return an MDAnalysis `Universe` that holds the trajectory in memory, positions unwrapped, float32.

    Raises:
        TrajectoryError: MDAnalysis isn't there; or the cell isn't a restricted one (a along x, b in the plane of x
            and y): MDAnalysis knows edges and angles only; or frames are not evenly spaced: it knows one interval.
    """
    _require_configurations(trajectory)
    if np.any(np.abs(trajectory.cells[:, [0, 0, 1], [1, 2, 2]]) > 1e-9):
        raise TrajectoryError(
            "MDAnalysis knows cells by edges and angles only: export in LAMMPS's frame, not turned back"
        )
    steps = np.diff(trajectory.times) if trajectory.n_frames > 1 else np.ones(1)
    step = float(steps.mean())
    if np.abs(steps - step).max() > 1e-6 * step:
        raise TrajectoryError(
            f"MDAnalysis knows one interval between frames, and they lie {steps.min():g} to {steps.max():g} ps "
            "apart; take a part that is even"
        )
    mda = _optional("MDAnalysis", "MDAnalysis")
    universe = mda.Universe.empty(trajectory.n_atoms, trajectory=False)
    universe.add_TopologyAttr("names", trajectory.species.astype(object))
    universe.add_TopologyAttr("elements", trajectory.species.astype(object))
    universe.add_TopologyAttr("types", trajectory.species.astype(object))
    universe.add_TopologyAttr("ids", trajectory.ids)
    for name, values in (("masses", trajectory.masses), ("charges", trajectory.charges)):
        if values is not None:
            universe.add_TopologyAttr(name, values)
    edges = np.linalg.norm(trajectory.cells, axis=2)
    dots = np.einsum("fij,fkj->fik", trajectory.cells, trajectory.cells)
    angles = [np.degrees(np.arccos(dots[:, i, j] / (edges[:, i] * edges[:, j]))) for i, j in ((1, 2), (0, 2), (0, 1))]
    universe.load_new(
        trajectory.positions.astype(np.float32),
        order="fac",
        dimensions=np.column_stack([edges, *angles]).astype(np.float32),
        dt=step,
        time_offset=float(trajectory.times[0]),
    )
    return universe


def _optional(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise TrajectoryError(f"this needs {package}: pip install {package}") from None


def _require_configurations(trajectory: Trajectory) -> None:
    if not trajectory.are_configurations:
        raise TrajectoryError(
            "the cell varies, and positions were unwrapped along the atoms' paths: with these cells they are no "
            "configurations that were; read the dump with unwrap='frames'"
        )


def _require_elements(trajectory: Trajectory) -> None:
    if unknown := sorted(set(trajectory.species.tolist()) - set(ELEMENTS)):
        raise TrajectoryError(f"{unknown[0]!r} is no chemical symbol; read the dump with species={{1: 'Li', ...}}")


def _vector(trajectory: Trajectory, names: tuple[str, ...], frame: int) -> Floats:
    return np.stack([trajectory.extras[name][frame] for name in names], axis=1)


def _style(runs: Sequence[ThermoRun]) -> UnitStyle:
    units = {run.units for run in runs}
    if len(units) != 1 or None in units:
        raise TrajectoryError("the log doesn't say its units")
    try:
        return unit_style(str(units.pop()))
    except ValueError as error:
        raise TrajectoryError(str(error).replace("dump", "log")) from None


def _one_part(trajectory: Trajectory, runs: Sequence[ThermoRun]) -> dict[str, Column]:
    """Return the joined rows of that part of a log, between two resets of the step, that the trajectory lies in."""
    starts = [i for i, run in enumerate(runs) if i == 0 or run.reset]
    parts = [join_runs(runs[a:b]) for a, b in pairwise([*starts, len(runs)])]
    holding = [part for part in parts if np.isin(trajectory.steps, part["Step"]).all()]
    if len(holding) > 1:
        raise TrajectoryError(
            f"{len(holding)} parts of the log, between resets of the step, hold the dump's steps; pass one's runs"
        )
    return holding[0] if holding else parts[-1] if parts else join_runs(runs)


def _values(values: ArrayLike, shape: tuple[int, ...], what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise TrajectoryError(f"{what} must be of shape {shape}, one for each frame, not {array.shape}")
    return array


def _at_steps(trajectory: Trajectory, runs: Sequence[ThermoRun], names: Sequence[str], remedy: str) -> Floats:
    table = _one_part(trajectory, runs)
    if missing := [name for name in names if name not in table]:
        raise TrajectoryError(f"the log has no column '{missing[0]}'; print it ({remedy})")
    rows = np.searchsorted(table["Step"], trajectory.steps)
    found = np.append(table["Step"], -1)[rows] == trajectory.steps
    if not np.all(found):
        step = trajectory.steps[int(np.argmin(found))]
        raise TrajectoryError(f"the log has no row at step {step} of the dump; print thermo as often as the dump")
    return np.stack([table[name][rows] for name in names], axis=1).astype(np.float64)
