"""The correctness matrix: whatever LAMMPS writes is read as LAMMPS's own xu yu zu say, and a fault would show.

LAMMPS runs once for each cell; the ions fly through many images; one dump for each way of writing them.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lampion.errors import TrajectoryError
from lampion.trajectory import columns as columns_module
from lampion.trajectory import header as header_module
from lampion.trajectory import iterate_dump, iterate_frames, read_dump
from lampion.trajectory import plan as plan_module
from lampion.trajectory import reader as reader_module

SPECIES = {1: "Li", 2: "S"}
STYLES = {
    "wrapped": "x y z ix iy iz",
    "scaled": "xs ys zs ix iy iz",
    "unwrapped": "xu yu zu",
    "scaled_unwrapped": "xsu ysu zsu",
}
PROGRAMS = {"gz": "gzip", "zst": "zstd", "lz4": "lz4"}
FORMATS = ("dump", "dump.gz", "dump.zst", "dump.lz4", "bin")
HEADERS = {"plain": "", "full": "time yes units yes"}
CELLS = {
    "orthogonal": "block 1 21 2 20 -3 14",
    "triclinic": "prism 1 21 2 20 -3 14 7 4 -5",
}
START = """
units metal
atom_style charge
atom_modify map array sort 3 4.0
box tilt large
region b {region} units box
create_box 2 b
create_atoms 1 random 80 4711 NULL
set type 1 type/fraction 2 0.3 99
mass 1 6.94
mass 2 32.06
set type 1 charge 1
set type 2 charge -2
group gone id 7 23 24
delete_atoms group gone compress no
pair_style zero 4.0
pair_coeff * *
neigh_modify every 1 delay 0 check no
velocity all create 3e6 17 loop local
fix move all nve
timestep 0.001
"""


def run_lammps(folder: Path, deck: str) -> Path:
    lmp = shutil.which("lmp")
    if lmp is None:
        pytest.skip("no lmp on the path")
    (folder / "in.lammps").write_text(deck)
    done = subprocess.run(
        [lmp, "-in", "in.lammps", "-log", "log.lammps", "-screen", "none"],
        cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, (folder / "log.lammps").read_text()[-500:]
    return folder


@pytest.fixture(scope="module", params=CELLS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    deck = START.format(region=CELLS[request.param])
    names = ["truth"]
    deck += "dump truth all custom 20 truth.dump id element type xu yu zu vx q\n"
    deck += "dump_modify truth element Li S format float %.17g\n"
    for style, columns in STYLES.items():
        for suffix in FORMATS:
            if suffix.startswith("dump.") and shutil.which(PROGRAMS[suffix[5:]]) is None:
                continue  # compressed below
            for head, options in HEADERS.items():
                name = f"{style}-{head}.{suffix}"
                names.append(name)
                deck += f"dump {name.replace('.', '_')} all custom 20 {name} type {columns} id element q\n"
                digits = "" if suffix == "bin" else "format float %.12g element Li S"
                if digits or options:
                    deck += f"dump_modify {name.replace('.', '_')} {digits} {options}\n"
    deck += "dump atom all atom 20 atom.dump\ndump_modify atom image yes scale yes\n"
    deck += "dump each all custom 20 each.*.dump id type xu yu zu\ndump_modify each format float %.12g\n"
    deck += "dump each_bin all custom 20 each.*.bin id type xu yu zu\n"
    deck += "dump flags all custom 20 noflags.dump id type x y z\ndump_modify flags format float %.12g\n"
    deck += "dump dense all custom 2 dense.dump id type x y z\ndump_modify dense format float %.12g\n"
    run_lammps(path, deck + "run 400\n")
    for name in (f"{style}-{head}.{suffix}" for style in STYLES for head in HEADERS for suffix in FORMATS):
        if not (path / name).exists():
            # LAMMPS pipes its text through this program, which this machine lacks.
            with pa.output_stream(path / name, compression=PROGRAMS[name.rsplit(".", 1)[1]]) as out:
                out.write((path / name.rsplit(".", 1)[0]).read_bytes())
    return path


@pytest.fixture(scope="module")
def truth(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(n_frames, n_atoms, 3) of LAMMPS's xu yu zu, read in plain Python, and the ids."""
    return plain(folder / "truth.dump")


def plain(path: Path) -> tuple[np.ndarray, np.ndarray]:
    frames, ids = [], []
    for text in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        head, rows = text.split("ITEM: ATOMS ")
        names, *lines = rows.strip().split("\n")
        table = sorted(([line.split() for line in lines]), key=lambda row: int(row[names.split().index("id")]))
        frames.append([[float(row[names.split().index(name)]) for name in ("xu", "yu", "zu")] for row in table])
        ids = [int(row[names.split().index("id")]) for row in table]
        assert len(lines) == int(head.split("\n")[2])
    return np.array(frames), np.array(ids)


def tolerance(name: str) -> float:
    if name == "atom.dump":
        return 1e-4  # dump atom has six digits, of scaled coordinates
    # Scaled coordinates and flags go through the cell once more; text has 12 digits of numbers below 1000.
    return 2e-12 if name.endswith("bin") else 3e-9


MATRIX = [f"{style}-{head}.{suffix}" for style in STYLES for suffix in FORMATS for head in HEADERS]


@pytest.mark.parametrize("name", MATRIX)
def test_every_way_of_writing_gives_the_same_positions(
    folder: Path, truth: tuple[np.ndarray, np.ndarray], name: str
) -> None:
    if not (folder / name).exists():
        pytest.skip("the program that compresses is missing")
    trajectory = read_dump(folder / name, species=SPECIES)
    positions, ids = truth
    assert np.ptp(positions[:, :, 0]) > 100  # many images
    np.testing.assert_array_equal(trajectory.ids, ids)
    np.testing.assert_allclose(trajectory.positions, positions, rtol=0, atol=tolerance(name))
    np.testing.assert_allclose(trajectory.times, 0.02 * np.arange(21), rtol=1e-12)
    np.testing.assert_array_equal(trajectory.charges, np.where(trajectory.species == "Li", 1, -2))
    assert trajectory.unwrapping.endswith("constant cell")
    assert trajectory.notes == ()


@pytest.mark.parametrize("name", ["wrapped-plain.dump", "scaled-full.bin", "wrapped-full.dump.gz"])
def test_the_cell_is_the_cell_and_not_its_bounding_box(folder: Path, name: str) -> None:
    trajectory = read_dump(folder / name, species=SPECIES)
    tilted = folder.name.startswith("triclinic")
    cell = [[20, 0, 0], [7, 18, 0], [4, -5, 17]] if tilted else np.diag([20, 18, 17])
    np.testing.assert_allclose(trajectory.cells, np.broadcast_to(cell, (21, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(trajectory.origins, np.broadcast_to([1, 2, -3], (21, 3)), atol=1e-12)


@pytest.mark.parametrize("name", ["atom.dump", "each.*.dump", "each.*.bin"])
def test_dumps_of_other_shapes_give_the_same_positions(
    folder: Path, truth: tuple[np.ndarray, np.ndarray], name: str
) -> None:
    trajectory = read_dump(folder / name, species=SPECIES)
    np.testing.assert_allclose(trajectory.positions, truth[0], rtol=0, atol=tolerance(name))


@pytest.mark.physics
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in MATRIX if not name.endswith(("lz4", "zst"))])
def test_ovito_reads_the_same(folder: Path, name: str) -> None:
    ovito = pytest.importorskip("ovito.io")
    pipeline = ovito.import_file(str(folder / name), sort_particles=True)
    trajectory = read_dump(folder / name, species=SPECIES)
    assert pipeline.source.num_frames == trajectory.n_frames
    for frame in (0, 7, 20):
        data = pipeline.source.compute(frame)
        cell = np.array(data.cell[:3, :3]).T
        positions = np.array(data.particles.positions)
        if "Periodic Image" in data.particles:
            positions = positions + np.array(data.particles["Periodic Image"]) @ cell
        np.testing.assert_allclose(trajectory.cells[frame], cell, atol=1e-9)
        np.testing.assert_allclose(trajectory.origins[frame], data.cell[:3, 3], atol=1e-9)
        np.testing.assert_array_equal(trajectory.ids, data.particles.identifiers)
        np.testing.assert_allclose(trajectory.positions[frame], positions, atol=1e-9)


def test_species_and_extras_are_those_of_their_atoms(folder: Path) -> None:
    by_element = read_dump(folder / "truth.dump", columns=["vx"])
    by_type = read_dump(folder / "wrapped-plain.bin", species=SPECIES)
    assert set(by_element.species) == {"Li", "S"}
    np.testing.assert_array_equal(by_element.species, by_type.species)
    # Free flight: x grows with vx.
    flown = by_element.positions[-1, :, 0] - by_element.positions[0, :, 0]
    np.testing.assert_allclose(flown, by_element.extras["vx"][0] * by_element.times[-1], rtol=1e-9)


def test_minimum_image_follows_where_frames_are_dense_and_refuses_where_they_are_not(folder: Path) -> None:
    dense = read_dump(folder / "dense.dump", species=SPECIES, unwrap="minimum_image")
    truth = read_dump(folder / "truth.dump")
    moved, expected = dense.positions[::10] - dense.positions[0], truth.positions - truth.positions[0]
    np.testing.assert_allclose(moved, expected, atol=1e-8)
    with pytest.raises(TrajectoryError, match="half a cell"):
        read_dump(folder / "noflags.dump", species=SPECIES, unwrap="minimum_image")
    with pytest.raises(TrajectoryError, match="minimum_image"):
        read_dump(folder / "noflags.dump", species=SPECIES)


@pytest.mark.parametrize("name", ["wrapped-full.dump", "scaled-plain.bin", "unwrapped-plain.dump.gz", "each.*.dump"])
@pytest.mark.parametrize("n_frames", [1, 4, 21, 50, None])
def test_blocks_joined_are_the_whole(folder: Path, name: str, n_frames: int | None) -> None:
    if not list(folder.glob(name)):
        pytest.skip("the program that compresses is missing")
    whole = read_dump(folder / name, species=SPECIES)
    blocks = list(iterate_dump(folder / name, species=SPECIES, n_frames=n_frames))
    if n_frames:
        assert [block.n_frames for block in blocks[:-1]] == [n_frames] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate([block.positions for block in blocks]), whole.positions)
    np.testing.assert_array_equal(np.concatenate([block.times for block in blocks]), whole.times)


@pytest.mark.parametrize("name", ["wrapped-full.dump", "scaled-plain.bin", "unwrapped-plain.dump"])
def test_frames_are_the_whole_at_a_constant_cell(folder: Path, name: str) -> None:
    whole = read_dump(folder / name, species=SPECIES)
    frames = list(iterate_frames(folder / name, species=SPECIES))
    np.testing.assert_allclose([frame.positions for frame in frames], whole.positions, atol=1e-11)
    np.testing.assert_array_equal([frame.step for frame in frames], whole.steps)


@pytest.mark.parametrize("name", MATRIX)
def test_without_numba_the_same_is_read(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (folder / name).exists():
        pytest.skip("the program that compresses is missing")
    compiled = read_dump(folder / name, species=SPECIES)
    monkeypatch.setattr(reader_module, "compiled", lambda: None)
    fallback = read_dump(folder / name, species=SPECIES)
    np.testing.assert_allclose(fallback.positions, compiled.positions, rtol=1e-14)
    assert fallback.species.tolist() == compiled.species.tolist()


def test_two_threads_read_what_one_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lampion.trajectory import source

    whole = read_dump(folder / "wrapped-full.dump", species=SPECIES, workers=1)
    monkeypatch.setattr(source.text_pieces, "__kwdefaults__", {"size": 9000, "n_buffers": 1})
    for workers in (1, 2, 3):
        again = read_dump(folder / "wrapped-full.dump", species=SPECIES, workers=workers)
        np.testing.assert_array_equal(again.positions, whole.positions)


# Planted faults: each of the mistakes that other readers make must be caught by the comparison above.


def without_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    def coordinates(columns: tuple[str, ...]) -> columns_module.Coordinates:
        return replace(original(columns), images=False, unwrapped=True)

    original = columns_module.coordinates
    monkeypatch.setattr(plan_module, "coordinates", coordinates)


def bounding_box(monkeypatch: pytest.MonkeyPatch) -> None:
    def cells_of(bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cells, _ = original(bounds)
        cells[:, [0, 1, 2], [0, 1, 2]] = bounds[:, :, 1] - bounds[:, :, 0]
        return cells, bounds[:, :, 0]

    original = header_module.cells_of
    for module in ("lampion.trajectory.text", "lampion.trajectory.binary", "lampion.trajectory.reader"):
        monkeypatch.setattr(f"{module}.cells_of", cells_of)


def ids_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def reference(ids: np.ndarray, labels: np.ndarray, codes: np.ndarray) -> plan_module.Reference:
        # Two atoms of one species in each other's rows: only the positions can tell.
        atoms = original(ids, labels, codes)
        one, other = ids[labels == labels[0]][:2] - ids[0]
        slots = atoms.slots.copy()
        slots[[one, other]] = slots[[other, one]]
        return replace(atoms, slots=slots)

    original = plan_module.reference
    monkeypatch.setattr(reader_module, "reference", reference)


@pytest.mark.parametrize("fault", [without_flags, bounding_box, ids_as_rows])
def test_a_planted_fault_shows(
    folder: Path,
    truth: tuple[np.ndarray, np.ndarray],
    fault: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault is bounding_box and not folder.name.startswith("triclinic"):
        return  # an orthogonal cell is its own bounding box
    fault(monkeypatch)
    caught = 0
    for name in ("wrapped-plain.dump", "scaled-full.bin"):
        try:
            positions = read_dump(folder / name, species=SPECIES).positions
            caught += not np.allclose(positions, truth[0], rtol=0, atol=tolerance(name))
        except TrajectoryError:
            caught += 1
    assert caught == 2
