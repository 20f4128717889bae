"""In a varying cell, positions follow the toroidal recursion, through box flips, whatever was written."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lampion.analysis.from_trajectory import pair_distribution, tracer_diffusion
from lampion.errors import AnalysisError, TrajectoryError
from lampion.trajectory import export, iterate_dump, read_dump

WAYS = {
    "flags.dump": "id element x y z ix iy iz",
    "scaled.dump": "id element xs ys zs ix iy iz",
    "unwrapped.dump": "id element xu yu zu",
    "scaled_unwrapped.dump": "id element xsu ysu zsu",
    "flags.bin": "id type x y z ix iy iz",
    "unwrapped.bin": "id type xu yu zu",
}
NPT = """
units metal
lattice fcc 5.26
region b prism 0 4 0 4 0 4 0 0 0
create_box 1 b
create_atoms 1 box
mass 1 39.95
pair_style lj/cut 8.5
pair_coeff * * 0.0104 3.4
velocity all create 300 17
timestep 0.004
fix move all npt temp 300 300 0.1 tri 300 300 0.2
thermo 100
"""
FLIP = """
units metal
box tilt large
region b prism 0 20 0 18 0 17 8 1 -2 units box
create_box 1 b
create_atoms 1 random 60 4711 NULL
mass 1 6.94
pair_style zero 4.0
pair_coeff * *
neigh_modify every 1 delay 0 check no
velocity all create 1e6 17 loop local
fix move all nve
fix tilt all deform 1 xy erate 0.5 xz erate -0.8 x erate 0.1 flip yes remap none
timestep 0.001
"""


def run(folder: Path, deck: str, every: int, steps: int) -> Path:
    lmp = shutil.which("lmp")
    if lmp is None:
        pytest.skip("no lmp on the path")
    for name, columns in WAYS.items():
        dump = name.replace(".", "_")
        deck += f"dump {dump} all custom {every} {name} {columns}\ndump_modify {dump} time yes units yes"
        deck += "\n" if name.endswith("bin") else " element Ar format float %.16g\n"
    deck += f"dump v all custom {steps} velocities.dump id type x y z ix iy iz vx vy vz\n"
    (folder / "in.lammps").write_text(deck + f"run {steps}\n")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([lmp, "-in", "in.lammps", "-screen", "none"], cwd=folder, check=True, timeout=300, env=environment)
    return folder


@pytest.fixture(scope="module")
def npt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("npt"), NPT, 5, 1500)


@pytest.fixture(scope="module")
def flip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("flip"), FLIP, 1, 1500)


def wrapped(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Positions inside the cell and cells, read in plain Python from x y z and the bounding box."""
    positions, cells = [], []
    for text in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        lines = text.split("\n")
        (xlo, xhi, xy), (ylo, yhi, xz), (zlo, zhi, yz) = (map(float, line.split()) for line in lines[4:7])
        lx = xhi - max(0, xy, xz, xy + xz) - (xlo - min(0, xy, xz, xy + xz))
        ly = yhi - max(0, yz) - (ylo - min(0, yz))
        cells.append([[lx, 0, 0], [xy, ly, 0], [xz, yz, zhi - zlo]])
        low = np.array([xlo - min(0, xy, xz, xy + xz), ylo - min(0, yz), zlo])
        rows = sorted((line.split() for line in lines[8 : 8 + int(lines[2])]), key=lambda row: int(row[0]))
        x = np.array([[float(word) for word in row[2:5]] for row in rows]) - low
        # LAMMPS leaves atoms outside the cell until it rebuilds its neighbor lists.
        positions.append(low + x - np.floor(x @ np.linalg.inv(cells[-1])) @ np.array(cells[-1]))
    return np.array(positions), np.array(cells)


def recursion(x: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Bullerjahn 2023, eq. 4: u(i+1) = u(i) + dx − floor(dx/L + 1/2) L, with the cell of i+1."""
    u = [x[0]]
    for i in range(1, len(x)):
        step = (x[i] - x[i - 1]) @ np.linalg.inv(cells[i])
        u.append(u[-1] + (step - np.floor(step + 0.5)) @ cells[i])
    return np.array(u)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("kind", ["npt", "flip"])
def test_a_varying_cell_is_unwrapped_by_the_recursion(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    x, cells = wrapped(folder / "flags.dump")
    expected = recursion(x, cells)
    trajectory = read_dump(folder / name, species={1: "Ar"})
    np.testing.assert_allclose(trajectory.cells, cells, atol=1e-12)
    moved, should = trajectory.positions - trajectory.positions[0], expected - expected[0]
    np.testing.assert_allclose(moved, should, rtol=0, atol=1e-9)
    assert "toroidal" in trajectory.unwrapping


def test_the_cell_flips_in_the_flipping_run(flip: Path) -> None:
    cells = read_dump(flip / "flags.dump").cells
    assert np.sum(np.abs(np.diff(cells[:, 1, 0])) > 5) >= 1
    assert np.sum(np.abs(np.diff(cells[:, 2, 0])) > 5) >= 1


@pytest.mark.parametrize("name", ["flags.dump", "unwrapped.bin"])
def test_free_ions_fly_straight_through_a_flipping_cell(flip: Path, name: str) -> None:
    trajectory = read_dump(flip / name, species={1: "Ar"})
    velocities = read_dump(flip / "velocities.dump", species={1: "Ar"}, columns=["vx", "vy", "vz"]).extras
    v = np.stack([velocities[name][0] for name in ("vx", "vy", "vz")], axis=1)
    flown = trajectory.positions - trajectory.positions[0]
    straight = trajectory.times[:, None, None] * v
    assert np.abs(straight).max() > 60
    # LAMMPS wraps with the cell of the step before: the recursion is off by its change, 0.016 Å, at each crossing.
    crossings = np.abs(straight).max() / 17
    np.testing.assert_allclose(flown, straight, rtol=0, atol=0.016 * crossings)
    # What x + n H would give is wrong by many Å.
    plain = read_dump(flip / "velocities.dump", species={1: "Ar"})
    naive = np.array([row.split()[2:8] for row in rows(flip / "velocities.dump", -1)], dtype=float)
    assert np.abs(naive[:, :3] + naive[:, 3:] @ plain.cells[-1] - plain.positions[0] - straight[-1]).max() > 100


def rows(path: Path, frame: int) -> list[str]:
    text = path.read_text().split("ITEM: ATOMS")[frame].split("\n")[1:]
    return sorted((row for row in text if row), key=lambda row: int(row.split()[0]))


@pytest.mark.parametrize("name", ["flags.dump", "unwrapped.dump", "flags.bin"])
@pytest.mark.parametrize("n_frames", [1, 7, 400])
def test_blocks_go_on_where_the_block_before_ended(flip: Path, name: str, n_frames: int) -> None:
    whole = read_dump(flip / name, species={1: "Ar"})
    blocks = [block.positions for block in iterate_dump(flip / name, species={1: "Ar"}, n_frames=n_frames)]
    np.testing.assert_allclose(np.concatenate(blocks), whole.positions, atol=1e-9)


def test_a_cell_that_jumps_is_refused(tmp_path: Path) -> None:
    frame = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n{}"
    frame += "ITEM: ATOMS id element xu yu zu\n1 Li 1 2 3\n"
    path = tmp_path / "a.dump"
    path.write_text(frame.format(0, "0 10\n" * 3) + frame.format(1, "0 25\n" * 3))
    with pytest.raises(TrajectoryError, match="changes too much"):
        read_dump(path, timestep=0.001)


@pytest.mark.parametrize("name", WAYS)
def test_frames_for_themselves_are_the_configurations_that_were(npt: Path, name: str) -> None:
    """Planted: paths in a varying cell were exported as configurations, with atoms 2.4 Å apart that were 3.1."""
    species = {1: "Ar"}
    frames = read_dump(npt / name, species=species, unwrap="frames")
    paths = read_dump(npt / name, species=species)
    assert frames.are_configurations
    assert not frames.are_paths
    assert paths.are_paths
    assert not paths.are_configurations
    x, cells = wrapped(npt / "flags.dump")
    away = (frames.positions - x) @ np.linalg.inv(cells)
    assert np.abs(away - np.rint(away)).max() < 1e-9
    for refuse in (export.to_ase, export.to_pymatgen):
        with pytest.raises(TrajectoryError, match="read the dump with unwrap='frames'"):
            refuse(paths)
    with pytest.raises(AnalysisError, match="read the dump with unwrap='frames'"):
        pair_distribution(paths, "Ar", "Ar")
    with pytest.raises(AnalysisError, match="displacements need paths"):
        tracer_diffusion(frames, "Ar")
    between = x[:, :, None] - x[:, None]
    n = between @ np.linalg.inv(cells)[:, None]
    distance = np.linalg.norm((n - np.rint(n)) @ cells[:, None], axis=3) + 99 * np.eye(x.shape[1])
    found = pair_distribution(frames, "Ar", "Ar", bin_width=0.1)
    assert found.r[np.argmax(found.g > 0)] == pytest.approx(distance.min(), abs=0.051)
    assert len(export.to_ase(frames)) == frames.n_frames
