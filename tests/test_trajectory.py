"""A dump becomes the trajectory that LAMMPS computed, or a sentence."""

from pathlib import Path

import numpy as np
import pytest

from lampion.errors import TrajectoryError
from lampion.trajectory import Trajectory, read_dump

CELL = "0 10\n0 10\n0 10\n"


def frame(step: int, rows: str, columns: str = "id element xu yu zu", time: bool = True, box: str = CELL) -> str:
    head = f"ITEM: UNITS\nmetal\nITEM: TIME\n{step * 0.002}\n" if time else ""
    return (
        f"{head}ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(rows.splitlines())}\n"
        f"ITEM: BOX BOUNDS pp pp pp\n{box}ITEM: ATOMS {columns}\n{rows}"
    )


def written(folder: Path, text: str, name: str = "a.dump") -> Path:
    path = folder / name
    path.write_text(text)
    return path


ROWS = "7 Li 1 2 3\n3 Na 4 5 6\n"


def test_atoms_are_sorted_by_id_and_ids_may_have_gaps(tmp_path: Path) -> None:
    later = "".join(reversed(ROWS.splitlines(keepends=True)))
    trajectory = read_dump(written(tmp_path, frame(0, ROWS) + frame(10, later)))
    assert trajectory.ids.tolist() == [3, 7]
    assert trajectory.species.tolist() == ["Na", "Li"]
    np.testing.assert_array_equal(trajectory.positions, [[[4, 5, 6], [1, 2, 3]]] * 2)
    np.testing.assert_allclose(trajectory.times, [0, 0.02])
    assert trajectory.steps.tolist() == [0, 10]
    assert trajectory.notes == ()


def test_image_flags_unwrap_in_a_tilted_cell(tmp_path: Path) -> None:
    # lx ly lz = 10 8 6, xy xz yz = 3 -2 1, origin 1 2 3; BOX BOUNDS hold the bounding box.
    box = f"{1 - 2} {11 + 3} 3\n2 {10 + 1} -2\n3 9 1\n"
    text = frame(0, "1 Li 1 2 3 1 -2 4\n", "id element x y z ix iy iz", box=box)
    trajectory = read_dump(written(tmp_path, text.replace("BOUNDS", "BOUNDS xy xz yz")))
    a, b, c = np.array([10, 0, 0]), np.array([3, 8, 0]), np.array([-2, 1, 6])
    np.testing.assert_array_equal(trajectory.cells[0], [a, b, c])
    np.testing.assert_array_equal(trajectory.origins[0], [1, 2, 3])
    np.testing.assert_allclose(trajectory.positions[0, 0], np.array([1, 2, 3]) + a - 2 * b + 4 * c)


def test_wrapped_coordinates_without_flags_are_refused_unless_asked_for(tmp_path: Path) -> None:
    rows = ["1 Li 9.5 1 1\n", "1 Li 0.5 1 1\n", "1 Li 1.5 1 1\n"]
    path = written(tmp_path, "".join(frame(i, row, "id element x y z") for i, row in enumerate(rows)))
    with pytest.raises(TrajectoryError, match="minimum_image"):
        read_dump(path)
    trajectory = read_dump(path, unwrap="minimum_image")
    np.testing.assert_allclose(trajectory.positions[:, 0, 0], [9.5, 10.5, 11.5])
    assert "minimum image" in trajectory.unwrapping


def test_a_step_near_half_a_cell_is_refused(tmp_path: Path) -> None:
    rows = ["1 Li 1 1 1\n", "1 Li 6.5 1 1\n"]
    path = written(tmp_path, "".join(frame(i, row, "id element x y z") for i, row in enumerate(rows)))
    with pytest.raises(TrajectoryError, match="half a cell"):
        read_dump(path, unwrap="minimum_image")


def test_time_comes_from_the_dump_then_the_argument_then_the_log(tmp_path: Path) -> None:
    path = written(tmp_path, frame(0, ROWS, time=False) + frame(10, ROWS, time=False))
    with pytest.raises(TrajectoryError, match=r"timestep=0\.001"):
        read_dump(path)
    np.testing.assert_allclose(read_dump(path, timestep=0.005).times, [0, 0.05])
    log = "LAMMPS (22 Jul 2025)\nunits metal\ntimestep 0.003\nPer MPI rank memory\n   Step  Temp\n   0   1\n"
    written(tmp_path, log, "log.lammps")
    np.testing.assert_allclose(read_dump(path).times, [0, 0.03])
    np.testing.assert_allclose(read_dump(path, timestep=0.005).times, [0, 0.05])


LOG = "LAMMPS (22 Jul 2025)\nunits metal\ntimestep 0.003\nPer MPI rank memory\n   Step  Temp\n"
ENDED = "Loop time of 0.5 on 2 procs for 10 steps with {} atoms\n"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("      1000   1\n      2000   1\n" + ENDED.format(3), "none of its runs is at steps 0 to"),
        ("         0   1\n        10   1\n" + ENDED.format(1), "it has 1 atoms, the dump 2"),
    ],
)
def test_a_log_of_another_run_beside_the_dump_is_not_believed(tmp_path: Path, rows: str, words: str) -> None:
    path = written(tmp_path, frame(0, ROWS, time=False) + frame(10, ROWS, time=False))
    written(tmp_path, LOG + rows, "log.lammps")
    with pytest.raises(TrajectoryError, match=words):
        read_dump(path)
    given = read_dump(path, timestep=0.001)
    assert given.times[1] == pytest.approx(0.01)
    assert any(words in note for note in given.notes)


def test_the_stage_that_wrote_the_dump_gives_its_timestep(tmp_path: Path) -> None:
    """Planted: a stage of another timestep that ends where the dump begins made both unknown."""
    path = written(tmp_path, frame(10, ROWS, time=False) + frame(20, ROWS, time=False))
    ended = ENDED.format(2)
    first = LOG + "         0   1\n        10   1\n" + ended
    second = "timestep 0.005\nPer MPI rank memory\n   Step  Temp\n        10   1\n        20   1\n" + ended
    written(tmp_path, first + second, "log.lammps")
    assert np.diff(read_dump(path).times)[0] == pytest.approx(0.05)
    written(tmp_path, first + "reset_timestep 0\n" + second.replace("        10 ", "         0 "), "log.lammps")
    path = written(tmp_path, frame(0, ROWS, time=False) + frame(10, ROWS, time=False))
    with pytest.raises(TrajectoryError, match=r"several timesteps where the dump may belong: 0.003 ps and 0.005 ps"):
        read_dump(path)


def test_a_log_that_is_none_does_not_hinder_a_dump_that_knows_its_time(tmp_path: Path) -> None:
    path = written(tmp_path, frame(0, ROWS) + frame(10, ROWS))
    written(tmp_path, "no log\n", "log.lammps")
    assert any("not a LAMMPS log" in note for note in read_dump(path).notes)


def test_a_timestep_that_the_dump_contradicts_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, frame(0, ROWS) + frame(10, ROWS))
    own = read_dump(path).times[1] / 10
    assert read_dump(path, timestep=float(own)).times[1] == pytest.approx(10 * own)
    with pytest.raises(TrajectoryError, match="by its own 'ITEM: TIME'"):
        read_dump(path, timestep=float(own) * 2)


def test_a_timestep_that_the_log_contradicts_is_noted(tmp_path: Path) -> None:
    path = written(tmp_path, frame(0, ROWS, time=False) + frame(10, ROWS, time=False))
    written(tmp_path, LOG + "         0   1\n        10   1\n" + ENDED.format(3), "log.lammps")
    assert any("says a timestep of 0.003 ps" in note for note in read_dump(path, timestep=0.005).notes)


def test_species_come_from_a_map_of_types(tmp_path: Path) -> None:
    path = written(tmp_path, frame(0, "1 2 0 0 0\n2 1 1 1 1\n", "id type xu yu zu"))
    with pytest.raises(TrajectoryError, match="species="):
        read_dump(path)
    assert read_dump(path, species={1: "Li", 2: "Na"}).species.tolist() == ["Na", "Li"]


def test_the_default_element_of_lammps_is_not_believed(tmp_path: Path) -> None:
    path = written(tmp_path, frame(0, "1 2 C 0 0 0\n2 1 C 1 1 1\n", "id type element xu yu zu"))
    with pytest.raises(TrajectoryError, match="default"):
        read_dump(path)
    assert read_dump(path, species={1: "Li", 2: "Na"}).species.tolist() == ["Na", "Li"]


def test_charges_that_change_in_time_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    rows = [f"1 Li 0 0 0 {q}\n2 Na 1 1 1 -0.5\n" for q in (0.5, 0.6)]
    columns = "id element xu yu zu q"
    path = written(tmp_path, frame(0, rows[0], columns) + frame(10, rows[1], columns))
    trajectory = read_dump(path)
    assert trajectory.charges is None
    assert any("the charges change in time" in note for note in trajectory.notes)
    assert read_dump(path, columns=["q"]).extras["q"][:, 0].tolist() == [0.5, 0.6]
    still = read_dump(written(tmp_path, frame(0, rows[0], columns) + frame(10, rows[0], columns)))
    assert still.charges is not None
    assert not still.notes


def test_a_frame_cut_off_at_the_end_is_dropped_and_said_so(tmp_path: Path) -> None:
    whole, cut = frame(0, ROWS), frame(10, ROWS)
    for length in range(1, len(cut)):
        trajectory = read_dump(written(tmp_path, whole + cut[:length]))
        assert trajectory.steps.tolist() == [0]
        assert "cut off" in trajectory.notes[0]


def test_a_frame_cut_off_in_the_middle_is_an_error_with_its_line(tmp_path: Path) -> None:
    whole = frame(0, ROWS)
    text = whole + frame(10, ROWS).replace("3 Na 4 5 6\n", "") + frame(20, ROWS)
    with pytest.raises(TrajectoryError, match=rf"a\.dump:{whole.count(chr(10)) * 2}:"):
        read_dump(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (frame(0, ROWS) + frame(10, ROWS + "9 Li 1 1 1\n"), "3 atoms in step 10"),
        (frame(0, ROWS) + frame(10, ROWS.replace("3 Na", "4 Na")), "other ids"),
        (frame(0, ROWS) + frame(10, ROWS.replace("Na", "Li")), "before it was Na"),
        (frame(0, ROWS.replace("5", "nan")), "nan"),
        (frame(0, ROWS.replace("5", "x")), "'x'"),
        (frame(0, ROWS.replace("7 ", "3 ")), "twice"),
        (frame(0, ROWS, "id element xu yu zs"), "no column 'zu'"),
        (frame(0, ROWS, "id element a b c"), "no positions"),
        (frame(0, ROWS, "mol element xu yu zu"), "no column 'id'"),
        (frame(0, ROWS).replace("metal", "lj"), "lj"),
        (frame(10, ROWS) + frame(0, ROWS), "went back"),
        ("", "is empty"),
        ("hello\n", "not a LAMMPS text dump"),
    ],
)
def test_what_cannot_be_a_trajectory_is_refused_in_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TrajectoryError, match=says):
        read_dump(written(tmp_path, text))


def test_extras_are_kept_by_name_and_converted(tmp_path: Path) -> None:
    columns, rows = "id element xu yu zu vx c_1", "7 Li 1 2 3 0.5 9\n3 Na 4 5 6 0.25 8\n"
    trajectory = read_dump(written(tmp_path, frame(0, rows, columns)), columns=["vx"])
    assert list(trajectory.extras) == ["vx"]
    assert trajectory.extras["vx"].tolist() == [[0.25, 0.5]]
    real = frame(0, rows, columns).replace("metal", "real")
    trajectory = read_dump(written(tmp_path, real), columns=["vx", "c_1"])
    assert trajectory.extras["vx"].tolist() == [[250, 500]]
    assert "c_1" in trajectory.notes[0]
    with pytest.raises(TrajectoryError, match="no column 'fx'"):
        read_dump(written(tmp_path, real), columns=["fx"])


def made(n_frames: int = 10, n_atoms: int = 6) -> Trajectory:
    rng = np.random.default_rng(1)
    return Trajectory(
        positions=rng.normal(size=(n_frames, n_atoms, 3)),
        cells=np.broadcast_to(np.eye(3), (n_frames, 3, 3)),
        origins=np.zeros((n_frames, 3)),
        periodic=np.ones(3, bool),
        ids=10 * np.arange(1, n_atoms + 1),
        species=np.array(["Li", "P", "S"] * (n_atoms // 3)),
        steps=100 * np.arange(n_frames),
        times=0.1 * np.arange(n_frames),
        extras={"vx": rng.normal(size=(n_frames, n_atoms))},
        unwrapping="made up",
    )


def test_a_selection_holds_what_was_asked_for() -> None:
    whole = made()
    part = whole.select(species=["Li", "S"], times=(0.3, 0.6), atoms=[60, 10, 20])
    assert part.ids.tolist() == [10, 60]
    assert part.steps.tolist() == [300, 400, 500, 600]
    np.testing.assert_array_equal(part.positions, whole.positions[3:7][:, [0, 5]])
    np.testing.assert_array_equal(part.extras["vx"], whole.extras["vx"][3:7][:, [0, 5]])


def test_a_regular_selection_is_a_view() -> None:
    whole = made()
    for part in (
        whole.select(times=(0.2, None)),
        whole.select(species="P"),
        whole.select(frames=slice(None, None, 3)),
    ):
        assert np.shares_memory(part.positions, whole.positions)


def test_a_selection_of_nothing_is_refused() -> None:
    for arguments in ({"species": "Xe"}, {"atoms": [11]}, {"times": (7.0, 8.0)}):
        with pytest.raises(TrajectoryError):
            made().select(**arguments)  # type: ignore[arg-type]


def test_a_trajectory_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        made().positions[0] = 0


def test_a_trajectory_of_wrong_shapes_is_refused() -> None:
    with pytest.raises(TrajectoryError, match="shape"):
        Trajectory(**{**made().__dict__, "times": np.zeros(3)})
