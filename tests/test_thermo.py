"""Logs are read as LAMMPS wrote them, whatever stands between the rows, and say what they don't know."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lampion.errors import TrajectoryError
from lampion.thermo import join_runs, read_log, read_messages

DECK = """
units metal
lattice fcc 4.05
region b block 0 3 0 3 0 3
create_box 1 b
create_atoms 1 box
mass 1 26.98
pair_style lj/cut 6
pair_coeff * * 0.1 2.6
velocity all create 300 123
variable dt equal 0.002
timestep ${dt}
fix 1 all nve
thermo 10
thermo_style custom step time temp pe press lx
run 30
thermo_modify line multi
run 20
thermo_modify line yaml
run 20
thermo_modify line one
fix p all print 10 "WARNING: hello"
run 30
run 10 pre no post no
run 20 every 10 "print hi"
unfix p
minimize 1e-6 1e-6 10 10
thermo_style custom step temp
thermo_modify colname temp "T of all"
run 10
fix 2 all dt/reset 1 1e-5 0.01 0.1
run 10
nonsense
"""

HEAD = "LAMMPS (22 Jul 2025 - Update 4)\nunits metal\ntimestep 0.002\nPer MPI rank memory allocation = 1 Mbytes\n"
TABLE = "   Step          Temp     \n         0   300.5        \n        10   301.25       \n"
LOOP = "Loop time of 0.5 on 2 procs for 10 steps with 108 atoms\n"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lmp = shutil.which("lmp")
    if lmp is None:
        pytest.skip("no lmp on the path")
    folder = tmp_path_factory.mktemp("log")
    (folder / "in.lammps").write_text(DECK)
    subprocess.run([lmp, "-in", "in.lammps", "-screen", "none"], cwd=folder, capture_output=True, timeout=120)
    return folder / "log.lammps"


def written(folder: Path, text: str) -> Path:
    path = folder / "log.lammps"
    path.write_text(text)
    return path


def test_every_run_of_a_real_log_is_read(log: Path) -> None:
    runs = read_log(log)
    steps = [run.columns["Step"].tolist() for run in runs]
    assert steps[:7] == [
        [0, 10, 20, 30],
        [30, 40, 50],
        [50, 60, 70],
        [70, 80, 90, 100],
        [100, 110],
        [110, 120],
        [120, 130],
    ]
    assert [run.complete for run in runs] == [True] * len(runs)
    assert {run.units for run in runs} == {"metal"}
    assert {run.n_atoms for run in runs} == {108}
    assert {(run.n_procs, run.n_threads) for run in runs} == {(1, 1)}
    assert set(runs[0].breakdown) == {"Pair", "Neigh", "Comm", "Output", "Modify", "Other"}
    assert sum(runs[0].breakdown.values()) == pytest.approx(runs[0].loop_time, rel=1e-2)
    assert runs[0].steps_per_second == pytest.approx(30 / runs[0].loop_time)
    assert [run.timestep for run in runs[:-1]] == [0.002] * (len(runs) - 1)
    assert runs[-1].timestep is None  # fix dt/reset
    assert list(runs[-2].columns) == ["Step", "T of all"]
    assert len(runs[-1].errors) == 1
    assert "nonsense" in runs[-1].errors[0]
    assert runs[3].warnings == ("WARNING: hello",)


def test_the_styles_agree_where_runs_meet(log: Path) -> None:
    one, multi, yaml, again = read_log(log)[:4]
    for name, rtol in (("Temp", 1e-5), ("PotEng", 1e-5), ("Press", 1e-5)):
        np.testing.assert_allclose(multi.columns[name][0], one.columns[name][-1], rtol=rtol)
        np.testing.assert_allclose(yaml.columns[name][0], multi.columns[name][-1], rtol=rtol)
        np.testing.assert_allclose(again.columns[name][0], yaml.columns[name][-1], rtol=rtol)


def test_time_is_step_times_timestep(log: Path) -> None:
    run = read_log(log)[0]
    np.testing.assert_allclose(run.columns["Time"], run.columns["Step"] * run.timestep)


@pytest.mark.parametrize("cut", range(len(HEAD) + 1, len(HEAD + TABLE)))
def test_a_killed_run_gives_whole_rows_only(tmp_path: Path, cut: int) -> None:
    text = (HEAD + TABLE)[:cut]
    (run,) = read_log(written(tmp_path, text)) or (None,)
    if run is None:
        return
    assert not run.complete
    assert run.n_atoms is None
    if "Temp" in run.columns:
        whole = text.count("\n") - HEAD.count("\n") - 1
        np.testing.assert_array_equal(run.columns["Temp"], [300.5, 301.25][: max(whole, 0)])


def test_a_header_without_rows_is_a_run_without_rows(tmp_path: Path) -> None:
    (run,) = read_log(written(tmp_path, HEAD + TABLE.splitlines(keepends=True)[0]))
    assert len(run.columns["Step"]) == 0


def test_rows_survive_the_lines_that_come_between(tmp_path: Path) -> None:
    rows = TABLE.splitlines(keepends=True)
    noise = "WARNING: Inconsistent image flags (src/domain.cpp:1)\nsome fix print\n1.0 2.0 3.0\n\n"
    (run,) = read_log(written(tmp_path, HEAD + noise.join(rows) + noise + LOOP))
    assert run.columns["Temp"].tolist() == [300.5, 301.25]
    assert run.warnings == ("WARNING: Inconsistent image flags (src/domain.cpp:1)",)
    assert (run.n_procs, run.n_atoms, run.n_steps, run.loop_time) == (2, 108, 10, 0.5)


def test_not_a_number_is_read_as_such(tmp_path: Path) -> None:
    (run,) = read_log(written(tmp_path, HEAD + TABLE.replace("301.25", "-nan  ") + LOOP))
    assert np.isnan(run.columns["Temp"][1])


def test_what_the_log_does_not_echo_is_not_known(tmp_path: Path) -> None:
    text = "LAMMPS (22 Jul 2025)\n" + HEAD.split("\n", 3)[3] + TABLE + LOOP
    (run,) = read_log(written(tmp_path, text))
    assert run.units is None
    assert run.timestep is None


def test_the_timestep_after_a_restart_comes_from_the_columns(tmp_path: Path) -> None:
    table = "   Step          Time     \n      1000   0.5          \n      1010   0.505        \n"
    head = "LAMMPS (22 Jul 2025)\nunits metal\nread_restart r\nPer MPI rank memory allocation\n"
    (run,) = read_log(written(tmp_path, head + table + LOOP))
    assert run.timestep == pytest.approx(0.0005)
    (run,) = read_log(written(tmp_path, head + TABLE + LOOP))
    assert run.timestep is None


@pytest.mark.parametrize(("units", "expected"), [("real", 2e-6), ("lj", None)])
def test_the_timestep_is_in_ps_whatever_the_units(tmp_path: Path, units: str, expected: float | None) -> None:
    (run,) = read_log(written(tmp_path, HEAD.replace("metal", units) + TABLE + LOOP))
    assert run.timestep == (expected if expected is None else pytest.approx(expected))


def test_an_appended_log_forgets_the_settings_of_the_run_before(tmp_path: Path) -> None:
    second = HEAD.replace("timestep 0.002\n", "") + TABLE + LOOP
    first, then = read_log(written(tmp_path, HEAD + TABLE + LOOP + second))
    assert (first.timestep, then.timestep) == (0.002, 0.001)


def test_joined_runs_count_each_step_once_and_the_later_one_wins(tmp_path: Path) -> None:
    again = TABLE.replace("         0   300.5 ", "        10   999.0 ").replace(
        "        10   301.25", "        20   302.0 "
    )
    joined = join_runs(read_log(written(tmp_path, HEAD + TABLE + LOOP + HEAD + again + LOOP)))
    assert joined["Step"].tolist() == [0, 10, 20]
    assert joined["Temp"].tolist() == [300.5, 999.0, 302.0]


def test_lines_of_fix_print_as_wide_as_a_row_are_no_rows(tmp_path: Path) -> None:
    """In real LAMMPS, and at steps of the table's own."""
    lmp = shutil.which("lmp")
    assert lmp is not None
    deck = DECK.split("run 30")[0] + 'fix p all print 5 "$(step) $(2*temp) 1 2 3 $(lx)"\nrun 30\n'
    (tmp_path / "in.lammps").write_text(deck)
    subprocess.run([lmp, "-in", "in.lammps", "-screen", "none"], cwd=tmp_path, check=True, timeout=60)
    text = (tmp_path / "log.lammps").read_text()
    assert "\n15 " in text
    (run,) = read_log(tmp_path / "log.lammps")
    assert run.columns["Step"].tolist() == [0, 10, 20, 30]
    assert np.ptp(run.columns["Lx"]) == 0


@pytest.mark.parametrize("style", ["one", "multi", "yaml"])
@pytest.mark.parametrize("start", [0, 123_456_780])
def test_lines_of_fixes_are_no_rows_in_any_style_at_any_step(tmp_path: Path, style: str, start: int) -> None:
    """In real LAMMPS; from eight digits on a step fills the indent of its column."""
    lmp = shutil.which("lmp")
    assert lmp is not None
    printed = {
        "one": "$(step) $(2*temp) 1 2 3 $(lx)",
        "multi": "TotEng = 7 Temp = 5",
        "yaml": "  - [1, 2, 3, 4, 5, 6]",
    }[style]
    deck = DECK.split("run 30")[0] + f"thermo_modify line {style}\nreset_timestep {start}\n"
    deck += f'fix p all print 5 "{printed}"\nrun 50\n'
    (tmp_path / "in.lammps").write_text(deck)
    subprocess.run([lmp, "-in", "in.lammps", "-screen", "none"], cwd=tmp_path, check=True, timeout=60)
    (run,) = read_log(tmp_path / "log.lammps")
    assert run.columns["Step"].tolist() == list(range(start, start + 51, 10))
    assert np.ptp(run.columns["Lx"]) == 0
    assert (run.columns["Temp"] > 10).all()


def test_a_row_that_does_not_fit_its_header_is_refused_with_its_line(tmp_path: Path) -> None:
    bad = TABLE + "        20   302.0   1.0 \n" + LOOP
    with pytest.raises(TrajectoryError, match=r"log\.lammps:8: 3 values under 2 columns"):
        read_log(written(tmp_path, HEAD + bad))


def test_runs_after_a_reset_of_the_step_are_not_joined_to_those_before(tmp_path: Path) -> None:
    """Planted: nothing of what came before was left, and nothing was said."""
    for between in ("reset_timestep 0\n", ""):
        runs = read_log(written(tmp_path, HEAD + TABLE + LOOP + between + HEAD[45:] + TABLE + LOOP))
        assert [run.reset for run in runs] == [False, bool(between)]
        with pytest.raises(TrajectoryError, match=r"run 1 begins anew at step 0 .* runs\[:1\] and runs\[1:\] apart"):
            join_runs(runs)


def test_an_error_before_the_first_run_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "LAMMPS (22 Jul 2025)\nWARNING: w\nERROR: Unknown command: x (src/input.cpp:1)\n")
    assert read_log(path) == ()
    assert read_messages(path).errors == ("ERROR: Unknown command: x (src/input.cpp:1)",)
    assert read_messages(path).warnings == ("WARNING: w",)


@pytest.mark.parametrize("text", ["", "hello\n", "ITEM: TIMESTEP\n0\n", "\x00\x01\xff"])
def test_what_is_not_a_log_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(TrajectoryError, match="not a LAMMPS log"):
        read_log(written(tmp_path, text))


def test_a_missing_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match="can't be read"):
        read_log(tmp_path / "none")
