"""Files of one run are joined, atoms may come and go in frames, and damage is said, never returned."""

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lampion.errors import TrajectoryError
from lampion.trajectory import iterate_dump, iterate_frames, read_dump
from lampion.trajectory import reader as reader_module

SPECIES = {1: "Li", 2: "S"}
START = """
units {units}
atom_style charge
region b block 0 {edge} 0 {edge} 0 {edge} units box
create_box 2 b
create_atoms 1 random 20 4711 NULL
set atom 1*7 type 2
mass 1 {light}
mass 2 {heavy}
pair_style zero {cutoff}
pair_coeff * *
neighbor {skin} bin
fix move all nve
"""
METAL = {"skin": 2, "units": "metal", "edge": 12, "light": 6.94, "heavy": 32.06, "cutoff": 3}


def lammps(folder: Path, deck: str) -> None:
    lmp = shutil.which("lmp")
    if lmp is None:
        pytest.skip("no lmp on the path")
    (folder / "in.lammps").write_text(deck)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([lmp, "-in", "in.lammps", "-screen", "none"], cwd=folder, check=True, timeout=100, env=environment)


def frame(step: int, n: int = 3, x: float = 0.0, columns: str = "id element xu yu zu") -> str:
    rows = "".join(f"{2 * i + 1} Li {x + i} 0.5 {i}\n" for i in range(n))
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{n}\nITEM: BOX BOUNDS pp pp pp\n"
        f"0 10\n0 10\n0 10\nITEM: ATOMS {columns}\n{rows}"
    )


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# Files of one run.


@pytest.mark.parametrize("suffix", ["dump", "bin", "dump.gz"])
def test_a_restarted_run_is_one_trajectory(tmp_path: Path, suffix: str) -> None:
    dump = "id type x y z ix iy iz" + ("" if suffix == "bin" else "\ndump_modify d format float %.14g")
    deck = START.format(**METAL) + "velocity all create 1e5 1 loop local\nneigh_modify every 1 delay 0 check no\n"
    lammps(tmp_path, deck + f"dump d all custom 10 a.{suffix} {dump}\nrestart 50 r.*\nrun 80\n")
    again = "read_restart r.50\npair_style zero 3\npair_coeff * *\nfix move all nve\n"
    again += "neigh_modify every 1 delay 0 check no\n"
    lammps(tmp_path, again + f"dump d all custom 10 b.{suffix} {dump}\nrun 70\n")
    lammps(tmp_path, deck + f"dump d all custom 10 c.{suffix} {dump}\nrun 120\n")
    parts = [tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"]
    joined = read_dump(parts, species=SPECIES, timestep=0.001, units="metal")
    whole = read_dump(tmp_path / f"c.{suffix}", species=SPECIES, timestep=0.001, units="metal")
    assert joined.steps.tolist() == list(range(0, 121, 10))
    np.testing.assert_allclose(joined.positions, whole.positions, atol=1e-9)
    assert any("dropped" in note for note in joined.notes)
    blocks = list(iterate_dump(parts, species=SPECIES, timestep=0.001, units="metal", n_frames=4))
    np.testing.assert_array_equal(np.concatenate([block.positions for block in blocks]), joined.positions)


def test_where_files_overlap_the_later_one_counts_from_its_first_step(tmp_path: Path) -> None:
    one = written(tmp_path / "1.dump", "".join(frame(step, x=1) for step in (0, 10, 20, 30)))
    two = written(tmp_path / "2.dump", "".join(frame(step, x=2) for step in (20, 30, 40)))
    trajectory = read_dump([one, two], timestep=0.001)
    assert trajectory.steps.tolist() == [0, 10, 20, 30, 40]
    assert trajectory.positions[:, 0, 0].tolist() == [1, 1, 2, 2, 2]


def test_a_gap_between_files_is_reported(tmp_path: Path) -> None:
    one = written(tmp_path / "1.dump", "".join(frame(step) for step in (0, 10, 20, 30)))
    two = written(tmp_path / "2.dump", "".join(frame(step) for step in (60, 70, 80, 90)))
    (note,) = [note for note in read_dump([one, two], timestep=0.001).notes if "apart" in note]
    assert "30 and 60" in note


def test_files_of_one_step_each_are_taken_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for step in (0, 5, 10, 100):
        written(tmp_path / f"a.{step}.dump", frame(step, x=step))
    assert read_dump(tmp_path / "a.*.dump", timestep=0.001).steps.tolist() == [0, 5, 10, 100]
    with pytest.raises(TrajectoryError, match="no file matches"):
        read_dump(tmp_path / "b.*.dump")


def test_a_step_written_twice_is_taken_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dump", frame(0) + frame(10) + frame(10) + frame(20))
    trajectory = read_dump(path, timestep=0.001)
    assert trajectory.steps.tolist() == [0, 10, 20]
    assert any("1 frames" in note for note in trajectory.notes)


def test_a_run_that_went_back_in_one_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dump", frame(0) + frame(10) + frame(20) + frame(10))
    with pytest.raises(TrajectoryError, match="step 20 is followed by step 10"):
        read_dump(path, timestep=0.001)


def test_a_file_cut_off_in_the_middle_of_the_run_is_said(tmp_path: Path) -> None:
    one = written(tmp_path / "1.dump", (frame(0) + frame(10))[:-4])
    two = written(tmp_path / "2.dump", frame(10, x=2) + frame(20, x=2))
    trajectory = read_dump([one, two], timestep=0.001)
    assert trajectory.steps.tolist() == [0, 10, 20]
    assert "cut off" in trajectory.notes[-1] or "cut off" in " ".join(trajectory.notes)


# What LAMMPS can write besides.


def test_units_are_converted(tmp_path: Path) -> None:
    files = {}
    for units, scale in (("metal", 1.0), ("real", 1.0), ("si", 1e-10)):
        folder = tmp_path / units
        folder.mkdir()
        kilo = 1.66053906660e-27 if units == "si" else 1.0
        deck = START.format(
            units=units, edge=12 * scale, light=6.94 * kilo, heavy=32.06 * kilo, cutoff=3 * scale, skin=2 * scale
        )
        speed = {"metal": 3.0, "real": 3e-3, "si": 300.0}[units]
        charge = 1.602176634e-19 if units == "si" else 1.0
        deck += f"velocity all set {speed} 0 0\nset type 1 charge {charge}\n"
        deck += f"timestep { ({'metal': 1e-3, 'real': 1.0, 'si': 1e-15}[units]) }\n"
        deck += "dump d all custom 10 a.bin id type xu yu zu vx mass q\ndump_modify d units yes time yes\nrun 20\n"
        lammps(folder, deck)
        files[units] = read_dump(folder / "a.bin", species=SPECIES, columns=["vx"])
    metal = files["metal"]
    np.testing.assert_allclose(metal.times, [0, 0.01, 0.02])
    np.testing.assert_allclose(metal.extras["vx"], 3.0)
    for other in (files["real"], files["si"]):
        np.testing.assert_allclose(other.times, metal.times, rtol=1e-12)
        np.testing.assert_allclose(other.cells, metal.cells, rtol=1e-12)
        np.testing.assert_allclose(other.positions, metal.positions, atol=1e-9)
        np.testing.assert_allclose(other.extras["vx"], metal.extras["vx"], rtol=1e-9)
        np.testing.assert_allclose(other.masses, metal.masses, rtol=1e-9)
        np.testing.assert_allclose(other.charges, metal.charges, atol=1e-9)


def test_deposited_atoms_come_as_frames(tmp_path: Path) -> None:
    deck = START.format(**METAL) + "dump d all custom 1 a.dump id type x y z ix iy iz\n"
    deck += "dump e all custom 1 a.bin id type x y z ix iy iz\nrun 2\ncreate_atoms 2 single 1 2 3\nrun 1\n"
    lammps(tmp_path, deck + "group out id 3 5\ndelete_atoms group out compress no\nrun 2\n")
    for name in ("a.dump", "a.bin"):
        frames = list(iterate_frames(tmp_path / name, species=SPECIES, timestep=0.001))
        assert [one.n_atoms for one in frames] == [20, 20, 20, 21, 19, 19]
        assert frames[3].species[-1] == "S"
        np.testing.assert_allclose(frames[3].positions[-1], [1, 2, 3])
        assert set(frames[3].ids) - set(frames[4].ids) == {3, 5}
        with pytest.raises(TrajectoryError, match="iterate_frames"):
            read_dump(tmp_path / name, species=SPECIES, timestep=0.001)


def test_a_general_triclinic_cell_is_read(tmp_path: Path) -> None:
    deck = """
units metal
atom_style atomic
lattice custom 4.0 a1 1 0.3 0 a2 -0.2 1.1 0.4 a3 0.1 0.2 0.9 basis 0 0 0 triclinic/general
create_box 1 NULL 0 3 0 3 0 3
create_atoms 1 box
mass 1 6.94
pair_style zero 3
pair_coeff * *
neigh_modify every 1 delay 0 check no
velocity all create 1e6 1 loop local
fix move all nve
dump r all custom 10 r.dump id type xu yu zu
dump_modify r format float %.12g
dump g all custom 10 g.dump id type x y z ix iy iz
dump_modify g format float %.12g triclinic/general yes
dump b all custom 10 g.bin id type xu yu zu
dump_modify b triclinic/general yes
run 100
"""
    lammps(tmp_path, deck)
    restricted = read_dump(tmp_path / "r.dump", species=SPECIES)
    for name in ("g.dump", "g.bin"):
        general = read_dump(tmp_path / name, species=SPECIES)
        expected = 12 * np.array([[1, 0.3, 0], [-0.2, 1.1, 0.4], [0.1, 0.2, 0.9]])
        np.testing.assert_allclose(general.cells, np.broadcast_to(expected, general.cells.shape), atol=1e-9)
        moved, should = general.positions - general.positions[0], restricted.positions - restricted.positions[0]
        assert should.max() > 20
        np.testing.assert_allclose(np.linalg.norm(moved, axis=2), np.linalg.norm(should, axis=2), atol=1e-7)


def test_shrink_wrapped_directions_are_not_unwrapped(tmp_path: Path) -> None:
    deck = (
        "boundary p p s\n"
        + START.format(**METAL)
        + "velocity all create 1e6 1\nneigh_modify every 1 delay 0 check no\n"
    )
    deck += "dump t all custom 10 t.dump id type xu yu zu\ndump_modify t format float %.12g\n"
    lammps(tmp_path, deck + "dump d all custom 10 a.bin id type x y z ix iy iz\nrun 200\n")
    truth, other = (read_dump(tmp_path / name, species=SPECIES) for name in ("t.dump", "a.bin"))
    assert truth.periodic.tolist() == [True, True, False]
    assert np.ptp(truth.cells[:, 2, 2]) > 10
    np.testing.assert_allclose(other.positions, truth.positions, atol=1e-9)
    assert "constant cell" in other.unwrapping


def test_labels_longer_than_a_word_are_read_whole(tmp_path: Path) -> None:
    for label in ("Li", "Lithium_1", "Lithium_on_the_8a_site"):
        path = written(tmp_path / "a.dump", frame(0).replace("Li", label) + frame(1).replace("Li", label))
        assert set(read_dump(path, timestep=0.001).species) == {label}


def test_windows_line_ends_and_blank_lines_at_the_end_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.dump"
    path.write_bytes((frame(0) + frame(10) + "\n\n").replace("\n", "\r\n").encode())
    trajectory = read_dump(path, timestep=0.001)
    assert trajectory.steps.tolist() == [0, 10]
    assert "cut off" not in " ".join(trajectory.notes)


# Property: what is written is read.


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[int], np.ndarray, list[int], list[str]]:
    n = draw(st.integers(1, 6))
    ids = draw(st.lists(st.integers(1, 10**9), min_size=n, max_size=n, unique=True))
    steps = sorted(draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=5, unique=True)))
    large, small = st.floats(-1e6, 1e6), st.floats(-1e-6, 1e-6)
    number = (large | small).map(lambda v: v if abs(v) > 1e-30 else 0.0) | st.integers(-(10**6), 10**6).map(float)
    numbers = draw(st.lists(number, min_size=3 * n * len(steps), max_size=3 * n * len(steps)))
    columns = draw(st.permutations(["id", "element", "xu", "yu", "zu", "junk"]))
    return ids, np.array(numbers).reshape(len(steps), n, 3), steps, columns


@given(tables(), st.sampled_from(["%.17g", "%.16e", "%r", "%.12f"]), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_tables_survive_writing_and_reading(
    tmp_path: Path,
    table: tuple[list[int], np.ndarray, list[int], list[str]],
    form: str,
    fallback: bool,
    random: object,
) -> None:
    ids, numbers, steps, columns = table
    text = ""
    for step, positions in zip(steps, numbers, strict=True):
        rows = []
        for identity, position in zip(ids, positions, strict=True):
            x, y, z = ((repr(float(v)) if form == "%r" else form % v) for v in position)
            words = {"id": str(identity), "element": "Li", "xu": x, "yu": y, "zu": z, "junk": "1e5x"}
            rows.append(" ".join(words[name] for name in columns) + "\n")
        random.shuffle(rows)  # type: ignore[attr-defined]
        text += frame(step, 0, columns=" ".join(columns)).replace("ATOMS\n0", f"ATOMS\n{len(ids)}") + "".join(rows)
    path = written(tmp_path / "a.dump", text)
    with pytest.MonkeyPatch.context() as patch:
        if fallback:
            patch.setattr(reader_module, "compiled", lambda: None)
        trajectory = read_dump(path, timestep=1e-3)
    assert trajectory.ids.tolist() == sorted(ids)
    assert trajectory.steps.tolist() == steps
    expected = numbers[:, np.argsort(ids)]
    # Two units in the last place of a double, and what the format itself drops.
    np.testing.assert_allclose(trajectory.positions, expected, rtol=4.5e-16, atol=5.1e-13 if form == "%.12f" else 0)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300), st.integers(1, 25))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_are_parsed_to_the_last_place(tmp_path: Path, value: float, digits: int) -> None:
    assume(value == 0 or abs(value) > 1e-290)
    text = f"{value:.{digits}e}"
    path = written(
        tmp_path / "a.dump", frame(0, 1, columns="id element xu yu zu vx").replace(" 0.5 0\n", f" 0.5 0 {text}\n")
    )
    parsed = read_dump(path, timestep=1e-3, columns=["vx"]).extras["vx"][0, 0]
    # Numbers as LAMMPS prints them (up to 17 digits, exponents to 22) exactly; wild ones to a few units.
    assert parsed == float(text) or abs(parsed / float(text) - 1) < 2e-15
    if 1e-5 < abs(value) < 1e15 and digits <= 16:
        assert abs(parsed / float(text) - 1) <= 2.3e-16


# Property: damage never becomes data.


def strict(data: bytes) -> tuple[list[int], np.ndarray, np.ndarray]:
    """A plain reader of this test's dumps that takes nothing but what LAMMPS writes; ValueError otherwise."""
    steps, cells, positions = [], [], []
    lines = data.decode("ascii").split("\n")
    if lines.pop() != "":
        raise ValueError
    while lines:
        head, lines = [" ".join(line.split()) for line in lines[:9]], lines[9:]
        if [head[0], head[2], head[8]] != [
            "ITEM: TIMESTEP",
            "ITEM: NUMBER OF ATOMS",
            "ITEM: ATOMS id element xu yu zu",
        ]:
            raise ValueError
        if not re.fullmatch("ITEM: BOX BOUNDS( [pfsm]{2}){3}", head[4]):
            raise ValueError
        steps.append(int(head[1]))
        cells.append([[float(word) for word in line.split()] for line in head[5:8]])
        rows, lines = [line.split() for line in lines[: int(head[3])]], lines[int(head[3]) :]
        if len(rows) != int(head[3]) or any(len(row) != 5 for row in rows):
            raise ValueError
        positions.append([[float(word) for word in row[2:]] for row in sorted(rows, key=lambda row: int(row[0]))])
    return steps, np.array(cells), np.array(positions)


@example(where=696409, byte=10, kind="set", fallback=True, packed=False)  # a line of BOX BOUNDS broken in two
@example(where=696409, byte=10, kind="set", fallback=False, packed=False)
@example(where=207, byte=13, kind="insert", fallback=False, packed=False)  # a carriage return before BOX BOUNDS
@given(
    st.integers(0, 10**6), st.integers(0, 255), st.sampled_from(["set", "cut", "insert", "remove"]), st.booleans(),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_text_is_refused_or_read_as_it_stands(
    tmp_path: Path, where: int, byte: int, kind: str, fallback: bool, packed: bool
) -> None:
    whole = (frame(0) + frame(10, x=0.25) + frame(20, x=1.5)).encode()
    where %= len(whole)
    data = {
        "set": whole[:where] + bytes([byte]) + whole[where + 1 :],
        "cut": whole[:where],
        "insert": whole[:where] + bytes([byte]) + whole[where:],
        "remove": whole[:where] + whole[where + 1 :],
    }[kind]
    path = tmp_path / "a.dump"
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.MonkeyPatch.context() as patch:
        if fallback:
            patch.setattr(reader_module, "compiled", lambda: None)
        try:
            trajectory = read_dump(path, timestep=0.001)
        except TrajectoryError:
            return
    notes = " ".join(trajectory.notes)
    if "cut off" in notes:
        n = trajectory.n_frames
        assert n < 3
        np.testing.assert_array_equal(trajectory.positions, strict(whole)[2][:n])
        return
    steps, cells, positions = strict(data.replace(b"\r", b" ").replace(b"\t", b" "))
    if "dropped" not in notes:
        assert trajectory.steps.tolist() == steps
        if np.all(cells == cells[0]):
            np.testing.assert_allclose(trajectory.positions, positions, rtol=1e-15)


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1.5e300])
@pytest.mark.parametrize("fallback", [False, True])
def test_a_binary_value_that_can_not_be_is_refused(
    binary: bytes, tmp_path: Path, column: int, value: float, fallback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = binary.rfind(b"id type xu yu zu") + 24  # of the last frame, after the numbers of chunks and of values
    at = rows + 8 * (5 * 3 + column)
    path = tmp_path / "a.bin"
    path.write_bytes(binary[:at] + np.float64(value).tobytes() + binary[at + 8 :])
    if fallback:
        monkeypatch.setattr(reader_module, "compiled", lambda: None)
    if column == 2 and value == 1.5e300:
        assert read_dump(path, species=SPECIES).positions[-1].max() == value
        return
    with pytest.raises(TrajectoryError):
        read_dump(path, species=SPECIES)


@given(st.integers(0, 10**6), st.integers(1, 255), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_binaries_are_refused_or_differ_in_one_value(
    binary: bytes, tmp_path: Path, where: int, byte: int, cut: bool, fallback: bool
) -> None:
    where %= len(binary)
    data = binary[:where] if cut else binary[:where] + bytes([binary[where] ^ byte]) + binary[where + 1 :]
    path = tmp_path / "a.bin"
    path.write_bytes(binary)
    whole = read_dump(path, species=SPECIES)
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        if fallback:
            patch.setattr(reader_module, "compiled", lambda: None)
        try:
            trajectory = read_dump(path, species=SPECIES)
        except TrajectoryError:
            return
    n = trajectory.n_frames
    if cut:
        np.testing.assert_array_equal(trajectory.positions, whole.positions[:n])
        return
    assert n == whole.n_frames or "cut off" in " ".join(trajectory.notes) or "dropped" in " ".join(trajectory.notes)
    if n == whole.n_frames and np.array_equal(trajectory.cells, whole.cells):
        differing = np.sum(np.any(trajectory.positions != whole.positions, axis=2))
        differing += np.sum(trajectory.times != whole.times) + np.sum(trajectory.steps != whole.steps)
        assert differing <= 1 or np.array_equal(trajectory.periodic, whole.periodic) is False


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("binary")
    deck = START.format(**METAL) + "velocity all create 1e4 1\ndump d all custom 10 a.bin id type xu yu zu\n"
    lammps(folder, deck + "dump_modify d time yes units yes\nrun 30\n")
    return (folder / "a.bin").read_bytes()


def walk_of_two(folder: Path, wrapped_at: bool) -> list[Path]:
    """Write a walk that leaves the cell as two files; the second begins back in the cell where flags were lost."""
    x = 1.0 + 0.5 * np.arange(40)
    parts = []
    for number, steps in enumerate((range(21), range(20, 40))):
        rows = []
        for k in steps:
            here = x[k] % 10 if wrapped_at and number else x[k]
            rows.append(frame(k, n=1, x=here))
        parts.append(folder / f"{number}.dump")
        parts[-1].write_text("".join(rows))
    return parts


def test_a_restart_that_lost_the_image_flags_is_not_joined(tmp_path: Path) -> None:
    """Planted: the walk went on from inside the cell, and its displacement was a fourth of the true one."""
    whole = read_dump(walk_of_two(tmp_path, wrapped_at=False), timestep=0.001)
    assert whole.positions[-1, 0, 0] == pytest.approx(1.0 + 0.5 * 39)
    with pytest.raises(TrajectoryError, match="image flags were lost in the restart"):
        read_dump(walk_of_two(tmp_path, wrapped_at=True), timestep=0.001)


def test_files_of_other_units_or_timesteps_are_not_joined(tmp_path: Path) -> None:
    text = [frame(k, n=1) for k in (0, 10, 20, 30)]
    log = "LAMMPS (22 Jul 2025)\nunits {}\ntimestep {}\nPer MPI rank memory\n   Step  Temp\n         0   1\n"
    for name, units, timestep in (("a", "metal", "0.001"), ("b", "metal", "0.002"), ("c", "real", "1.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.lammps").write_text(log.format(units, timestep))
        (tmp_path / name / "d.dump").write_text("".join(text[:2] if name == "a" else text[2:]))
    with pytest.raises(TrajectoryError, match=r"has a timestep of 0.002 ps and .* of 0.001 ps: read them apart"):
        read_dump([tmp_path / "a/d.dump", tmp_path / "b/d.dump"])
    with pytest.raises(TrajectoryError, match="is in other units than"):
        read_dump([tmp_path / "a/d.dump", tmp_path / "c/d.dump"])


def test_a_file_of_which_nothing_would_count_is_refused(tmp_path: Path) -> None:
    """Planted: two runs that both begin at step 0 became the second of them, with a note."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(frame(k, n=1) for k in (0, 10)))
    with pytest.raises(TrajectoryError, match="a later file begins at step 0, at or before its first"):
        read_dump([tmp_path / "a", tmp_path / "b"], timestep=0.001)


@pytest.mark.parametrize("wish", [{"n_frames": 0}, {"n_frames": -3}, {"unwrap": "foo"}])
def test_a_wish_that_is_none_is_refused(tmp_path: Path, wish: dict[str, Any]) -> None:
    (tmp_path / "a").write_text(frame(0, n=1))
    with pytest.raises(TrajectoryError, match=r"must be auto|1 or more"):
        list(iterate_dump(tmp_path / "a", timestep=0.001, **wish))
