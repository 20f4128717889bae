"""From one study file to a diffusion coefficient: run, killed, moved, repeated, reported."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import lampion
from lampion import run
from lampion.cli import app
from lampion.errors import LampionError
from lampion.report import write_report
from lampion.study import collect, execute, plan
from lampion.thermo import read_log

STUDY = """
structure:
  crystal: {lattice: fcc, formula: Ar, a: 5.78}
  supercell: [3, 3, 3]
potential:
  style: lj
  pairs: {Ar-Ar: [0.0103408, 3.4]}
  cutoff: 7.5
protocol:
  name: diffusion
  phase: liquid
  coupling: fixed
  temperature: 110
  melt: {temperature: 300, time: 1}
  equilibrate: 1
  sample: 12
  timestep: 0.004
  dump_every: 0.08
sweep:
  grid: {protocol.temperature: [110, 140]}
seed: 5
"""


HEX = "[0-9a-f][0-9a-f]"
"""Folders of runs, not those that are still being made and vanish."""


def study_in(folder: Path, text: str = STUDY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def run_study(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "run", str(path), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def keys(path: Path) -> list[str]:
    return [job.key for job in plan(path).jobs]


def results(path: Path) -> tuple[bytes, ...]:
    folder = path.parent / "results"
    return tuple(
        (folder / name).read_bytes() for name in ("runs.csv", "runs.parquet", "points.csv", "points.parquet")
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study that ran once, uninterrupted; tests copy it before they change anything."""
    path = study_in(tmp_path_factory.mktemp("uninterrupted"))
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    return path


def copy_of(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / finished.name


def attempts(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path.parent)) for p in path.parent.glob("runs/*/*/attempts/*"))


def test_a_study_ends_in_tables_pictures_and_a_page(finished: Path) -> None:
    folder = finished.parent / "results"
    runs = pd.read_csv(folder / "runs.csv")
    assert list(runs["state"]) == ["done", "done"]
    assert (runs["D Ar error (cm²/s)"] > 0).all()
    assert (runs["D Ar (cm²/s)"].between(1e-5, 1e-4)).all()
    for quantity in ("T", "P", "volume", "energy drift", "closest distance", "D Ar window start"):
        assert any(re.fullmatch(rf"{quantity} \(.+\)", column) for column in runs.columns), quantity
    again = pd.read_parquet(folder / "runs.parquet")
    assert list(again.columns) == list(runs.columns)
    assert pq.read_schema(folder / "runs.parquet").metadata[b"format"] == b"1"
    for name in ("msd_Ar.png", "msd_Ar.svg", "arrhenius_Ar.png"):
        assert (folder / name).stat().st_size > 1000
    page = (folder / "report.html").read_text()
    assert "Arrhenius for Ar" in page
    assert "stable_" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page), "the page must stand alone"


def test_a_second_run_does_no_lammps_work_and_changes_no_table(finished: Path, tmp_path: Path) -> None:
    path = copy_of(finished, tmp_path)
    before = attempts(path), results(path)
    done = run_study(path)
    assert done.returncode == 0
    assert "are done already" in done.stderr
    assert (attempts(path), results(path)) == before


# Each line makes the driver die, as by kill -9, where it does a thing for the second time.
DEATHS = {
    "rendering": "dying(lampion.deck, 'write', after=True)",
    "preparing": "dying(lampion.run.folder, '_rename')",
    "launching": "dying(lampion.run.folder, 'new_attempt', after=True)",
    "judging": "dying(sys.modules['lampion.run.launch'], 'judge')",
    "publishing": "dying(lampion.run.folder, '_link')",
    "published": "dying(lampion.run.folder, '_sync_folder', after=True, times=4)",
    "collecting": "dying(sys.modules['lampion.study.collect'], '_replace')",
}


@pytest.mark.parametrize("moment", DEATHS)
def test_a_study_killed_anywhere_ends_in_the_same_table(finished: Path, tmp_path: Path, moment: str) -> None:
    path = study_in(tmp_path)
    script = textwrap.dedent(f"""
        import itertools, os, signal, sys
        import lampion.cli, lampion.deck, lampion.run.folder, lampion.run.launch, lampion.study.collect
        def dying(module, name, after=False, times=2):
            real, calls = getattr(module, name), itertools.count(1)
            def wrapped(*args, **kwargs):
                number = next(calls)  # two runs publish at a time: each call has its own number
                if number == times and not after:
                    os.kill(os.getpid(), signal.SIGKILL)
                result = real(*args, **kwargs)
                if number == times:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result
            setattr(module, name, wrapped)
        {DEATHS[moment]}
        sys.argv = ["lampion", "run", {str(path)!r}]
        lampion.cli.main()
    """)
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run_study(path).returncode == 0
    assert results(path) == results(finished)


def test_a_study_killed_while_lammps_runs_ends_in_the_same_table(finished: Path, tmp_path: Path) -> None:
    path = study_in(tmp_path)
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "run", str(path)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while driver.poll() is None and not list(path.parent.glob(f"runs/{HEX}/*/attempts/1/trajectory.dump")):
        pass
    driver.kill()
    driver.wait()
    assert run_study(path).returncode == 0
    assert results(path) == results(finished)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_study_that_resumes(number: signal.Signals, finished: Path, tmp_path: Path) -> None:
    path = study_in(tmp_path)
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "run", str(path)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while driver.poll() is None and not list(path.parent.glob(f"runs/{HEX}/*/attempts/1/log.lammps")):
        pass
    driver.send_signal(number)
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "goes on from here" in said
    assert "Traceback" not in said
    assert run_study(path).returncode == 0
    assert results(path) == results(finished)


def test_nothing_done_is_rerun_for_what_changes_no_physics(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of(finished, tmp_path)
    before = keys(finished)
    assert keys(path) == before, "a moved folder"
    monkeypatch.setattr(lampion, "__version__", "99.0")
    monkeypatch.setattr("lampion.study.work.__version__", "99.0")
    assert keys(path) == before, "a new release"
    path.write_text(
        STUDY + "engine: {ranks: 2, threads: 1, parallel: 1}\ntitle: renamed\nanalysis: {hop_length: 3}\n"
    )
    assert keys(path) == before, "another number of ranks, another title, another analysis"
    path.write_text(STUDY.replace("[110, 140]", "[90, 140, 110]"))
    assert keys(path)[1:] == before[::-1], "an added value, in another order"
    path.write_text(STUDY.replace("seed: 5", "seed: 5\n").replace("grid:", "replicas: 2\n  grid:"))
    assert keys(path)[::2] == before, "a replica more"
    path.write_text(STUDY.replace("cutoff: 7.5", "cutoff: 7.6"))
    assert not set(keys(path)) & set(before), "other physics"


def test_a_changed_input_never_reuses_an_old_result(tmp_path: Path) -> None:
    lammps = plan(study_in(tmp_path / "x")).lammps
    assert lammps.potentials is not None
    potential = tmp_path / "mine.sw"
    potential.write_text((lammps.potentials / "Si.sw").read_text())
    path = study_in(
        tmp_path,
        "structure: {crystal: {lattice: diamond, formula: Si, a: 5.43}}\n"
        "potential: {style: sw, file: ./mine.sw}\nprotocol: {name: static}\nseed: 1\n",
    )
    assert run_study(path).returncode == 0
    first = pd.read_csv(tmp_path / "results/runs.csv")["energy (eV)"][0]
    potential.write_text(potential.read_text().replace("2.1683", "2.2683"))
    assert run_study(path).returncode == 0
    assert pd.read_csv(tmp_path / "results/runs.csv")["energy (eV)"][0] == pytest.approx(first * 2.2683 / 2.1683)


def test_two_drivers_share_the_work_and_no_run_has_two_results(finished: Path, tmp_path: Path) -> None:
    path = study_in(tmp_path)
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "run", str(path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [driver.communicate(timeout=300) for driver in both]
    assert [driver.returncode for driver in both] == [0, 0], ends
    assert results(path) == results(finished)
    assert [place.rsplit("/", 1)[1] for place in attempts(path)] == ["1", "1"], "nothing was run twice"


def test_what_a_dead_driver_held_is_taken_over(finished: Path, tmp_path: Path) -> None:
    """The second driver waits for the first's run, and goes on with it when that one is killed."""
    path = study_in(tmp_path)
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "run", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        wait_for(lambda: len(attempts(path)) == 2)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as second:
            time.sleep(1.0)
            first.kill()
            assert second.wait(300) == 0
    assert results(path) == results(finished)


def wait_for(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.physics
def test_a_study_killed_at_random_moments_is_run_once_and_ends_in_the_same_table(
    finished: Path, tmp_path: Path
) -> None:
    """Drivers die by SIGKILL after 0 to 4 s, 25 times, and every second time their LAMMPS is killed instead."""
    path = study_in(tmp_path)
    rng = np.random.default_rng(11)
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "run", str(path)]
    for number, delay in enumerate(rng.uniform(0.0, 4.0, 25)):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
            time.sleep(delay)
            if number % 2:
                for pid in working_in(path.parent):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.1)
            driver.kill()
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    assert results(path) == results(finished)
    assert len(list(path.parent.glob("runs/*/*/done.json"))) == 2
    assert not working_in(path.parent), "no LAMMPS outlives its driver"


def working_in(folder: Path) -> list[int]:
    """Return the processes whose working folder lies below `folder`: the runs of its studies."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (place / "cwd").resolve().is_relative_to(folder / "runs"):
                found.append(int(place.name))
    return found


def test_replicas_are_added_until_the_precision_is_reached_and_each_look_is_kept(tmp_path: Path) -> None:
    text = STUDY.replace(
        "  grid: {protocol.temperature: [110, 140]}\n", "  replicas: 8\n  until: {diffusion: WANTED, at_most: 17}\n"
    )
    text = text.replace("sample: 12", "sample: 6")
    path = study_in(tmp_path, text.replace("WANTED", "0.001"))
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "study.looks.json").read_text())
    (looks,) = record["points"].values()
    assert [look["replicas"] for look in looks] == [8, 12, 17]
    assert [look["next"] for look in looks] == [12, 17, 17]
    assert len(pd.read_csv(tmp_path / "results/runs.csv")) == 17
    assert "17 replicas after 3 looks" in done.stdout
    assert "not reached" in done.stdout
    assert len(plan(path).jobs) == 17, "status and report know them too"
    assert run_study(path).returncode == 0
    assert len(json.loads((tmp_path / "study.looks.json").read_text())["points"]) == 1
    easy = study_in(tmp_path / "easy", text.replace("WANTED", "0.9"))
    assert "8 replicas after 1 looks" in run_study(easy).stdout


HOPELESS = """
structure: {crystal: {lattice: diamond, formula: Si, a: 5.43}}
potential: {style: sw, file: Si.sw}
protocol: {name: custom, template: mine.j2}
sweep: {replicas: 2}
seed: 1
"""


def test_what_would_fail_again_is_repeated_only_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text('{% include "_setup.j2" %}\nnonsense {{ seed("x") }}\n')
    path = study_in(tmp_path, HOPELESS)
    assert run_study(path).returncode == 1
    again = run_study(path)
    assert again.returncode == 1
    assert "2 runs failed before, for a cause that they would meet again; `lampion retry study.yaml`" in again.stderr
    assert {place[-1] for place in attempts(path)} == {"1"}
    runner = CliRunner()
    assert runner.invoke(app, ["retry", str(path)]).exit_code == 1
    assert {place[-1] for place in attempts(path)} == {"1", "2"}
    assert "2 failed (2 input)" in runner.invoke(app, ["status", str(path)]).output
    said = runner.invoke(app, ["clean", str(path)]).output
    assert said.count("removed ") == 4
    assert "2 waiting" in runner.invoke(app, ["status", str(path)]).output


def test_clean_keeps_results_unless_they_are_no_longer_asked_for_and_that_is_forced(
    finished: Path, tmp_path: Path
) -> None:
    path = copy_of(finished, tmp_path)
    runner = CliRunner()
    kept = [job.folder for job in plan(path).jobs]
    runner.invoke(app, ["clean", str(path), "--force"])
    assert all((folder / "done.json").is_file() for folder in kept)
    path.write_text(STUDY.replace("[110, 140]", "[110]"))
    assert runner.invoke(app, ["clean", str(path)]).output == "0 folders, 0.0 MB\n"
    assert runner.invoke(app, ["clean", str(path), "--force"]).output.count("removed") == 1
    assert [(folder / "done.json").is_file() for folder in kept] == [True, False]


def test_status_tells_the_cost_and_what_is_left(finished: Path, tmp_path: Path) -> None:
    path = copy_of(finished, tmp_path)
    runner = CliRunner()
    said = runner.invoke(app, ["status", str(path)]).output
    assert re.search(r"\n2 done\n0\.\d+ core-hours so far\n", said)
    path.write_text(STUDY.replace("[110, 140]", "[110, 120, 140]"))
    said = runner.invoke(app, ["status", str(path)]).output
    assert re.search(r"2 done, 1 waiting\n.*; about 0 min \d+ s for the 1 that are left", said)


def test_another_lammps_or_seed_is_refused_until_the_user_wants_it(finished: Path, tmp_path: Path) -> None:
    path = copy_of(finished, tmp_path)
    path.write_text(STUDY.replace("seed: 5", "seed: 6"))
    with pytest.raises(
        LampionError, match=r"study\.lock\.json: this study began with seed 5, and now says 6.*--relock"
    ):
        plan(path)
    assert not {job.key for job in plan(path, relock=True).jobs} & set(keys(finished))


def test_a_run_on_two_ranks_is_checked_and_gives_the_same_start(finished: Path, tmp_path: Path) -> None:
    path = study_in(tmp_path, STUDY + "engine: {ranks: 2}\n")
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    log = next(path.parent.glob("runs/*/*/attempts/1/log.lammps")).read_text()
    assert "on 2 procs" in log
    mine, one_rank = (pd.read_csv(p.parent / "results/runs.csv") for p in (path, finished))
    # Chaos takes the trajectories apart; what is measured must agree within errors.
    error = (mine["D Ar error (cm²/s)"] ** 2 + one_rank["D Ar error (cm²/s)"] ** 2) ** 0.5
    assert ((mine["D Ar (cm²/s)"] - one_rank["D Ar (cm²/s)"]).abs() < 5 * error).all()


def test_a_run_that_fails_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = STUDY.replace("protocol.temperature: [110, 140]", "protocol.timestep: [0.02, 0.004]").replace(
        "temperature: 300, time: 1", "temperature: 20000, time: 1"
    )
    path = study_in(tmp_path, text)
    done = run_study(path)
    runs = pd.read_csv(tmp_path / "results/runs.csv")
    assert done.returncode == (1 if runs["state"].str.startswith("failed").any() else 0)
    bad = runs.iloc[0]
    assert bad["state"].startswith("failed") or isinstance(bad["flags"], str), (
        "20,000 K at 20 fs must not pass as good"
    )
    assert "Traceback" not in done.stderr
    assert list(path.parent.glob("runs/*/*/attempts/1/output.txt"))


def test_a_liquid_that_is_solid_is_flagged_and_left_out(tmp_path: Path) -> None:
    text = STUDY.replace("a: 5.78", "a: 5.3").replace("  melt: {temperature: 300, time: 1}\n", "")
    path = study_in(tmp_path, text.replace("[110, 140]", "[20, 30]"))
    assert run_study(path).returncode == 0
    runs = pd.read_csv(tmp_path / "results/runs.csv")
    assert runs["flags"].str.contains("Ar is solid").all()
    assert runs["flags"].str.contains("melt it hotter").all()
    points = pd.read_csv(tmp_path / "results/points.csv")
    assert list(points["flagged"]) == [1, 1]
    assert "D Ar (cm²/s)" not in points or points["D Ar (cm²/s)"].isna().all()
    assert not (tmp_path / "results/arrhenius_Ar.png").exists()


def test_a_run_that_evaporated_without_not_a_number_is_flagged(tmp_path: Path) -> None:
    text = STUDY.replace("  coupling: fixed\n", "").replace("[110, 140]", "[300, 400]")
    path = study_in(tmp_path, text)
    assert run_study(path).returncode == 0
    runs = pd.read_csv(tmp_path / "results/runs.csv")
    assert runs["flags"].str.contains("evaporated or blew up").all()


def flagged(path: Path) -> str:
    """Return the flags of the one run of `path` that has some, which has no numbers."""
    runs = collect(plan(path)).runs
    (bad,) = runs[runs["flags"] != ""].to_dict("records")
    assert pd.isna(bad["D Ar (cm²/s)"])
    assert (runs["D Ar (cm²/s)"] > 0).sum() == 1
    return str(bad["flags"])


def test_a_stale_log_is_not_collected(finished: Path, tmp_path: Path) -> None:
    path = copy_of(finished, tmp_path)
    one, two = sorted(path.parent.glob("runs/*/*/attempts/1/log.lammps"))
    one.write_bytes(two.read_bytes())
    assert re.search("log.lammps: is not the (file|log) that this run published", flagged(path))


def test_a_dump_that_is_wrapped_is_refused(finished: Path, tmp_path: Path) -> None:
    path = copy_of(finished, tmp_path)
    dump = next(path.parent.glob("runs/*/*/attempts/1/trajectory.dump"))
    text = dump.read_text()
    wrapped = text.replace("element xu yu zu", "element x  y  z ")
    assert wrapped != text
    assert len(wrapped) == len(text)
    dump.write_text(wrapped)
    assert "image" in flagged(path)


def test_the_page_escapes_what_the_study_says(finished: Path, tmp_path: Path) -> None:
    path = copy_of(finished, tmp_path)
    path.write_text(STUDY + "title: <script>alert(1)</script> <b>bold</b>\n# <img src=x onerror=alert(1)>\n")
    page = write_report(collect(plan(path))).page.read_text()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "<b>bold" not in page


def test_render_writes_decks_that_are_never_overwritten(tmp_path: Path) -> None:
    path = study_in(tmp_path)
    out = tmp_path / "decks"
    runner = CliRunner()
    done = runner.invoke(app, ["render", str(path), "-o", str(out)])
    assert done.exit_code == 0
    assert sorted(p.name for p in out.iterdir()) == ["0001", "0002"]
    assert (out / "0001/in.lammps").read_text().startswith("#")
    with pytest.raises(LampionError, match="exists already"):
        runner.invoke(app, ["render", str(path), "-o", str(out)], catch_exceptions=False)


def test_status_tells_where_every_run_stands(finished: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    assert "2 waiting" in runner.invoke(app, ["status", str(study_in(tmp_path))]).output
    assert "2 done" in runner.invoke(app, ["status", str(finished)]).output


def test_progress_is_plain_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    said = run_study(study_in(tmp_path)).stderr
    assert "2 runs to do, 0 done already" in said
    assert "done (2 of 2)" in said
    assert "\x1b" not in said
    assert "\r" not in said


def test_progress_tells_steps_and_speed_of_a_running_run(tmp_path: Path) -> None:
    seen: list[run.Progress] = []
    planned = plan(study_in(tmp_path, STUDY.replace("sample: 12", "sample: 120")))
    assert execute(planned, on_progress=lambda _, progress: seen.append(progress))
    assert seen
    assert all(0 <= p.step <= p.n_steps for p in seen)
    assert seen[-1].n_steps == planned.jobs[0].deck.n_steps
    assert seen[-1].timestep == 0.004
    assert seen[-1].rate > 0


def test_our_own_dump_is_analysed_as_anybodys(finished: Path, tmp_path: Path) -> None:
    dump = next(finished.parent.glob("runs/*/*/attempts/1/trajectory.dump"))
    done = CliRunner().invoke(app, ["analyze", "diffusion", str(dump), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert re.search(r"D\(Ar\) = .* cm²/s, 95 % interval", done.output)
    assert "MSD fitted from" in done.output
    assert {"diffusion.json", "msd.png", "msd.svg", "msd_Ar.csv"} <= {p.name for p in (tmp_path / "out").iterdir()}


def two_kinds(path: Path, seed: int) -> Path:
    """Write 300 frames of 16 Li ions that walk through 16 S atoms that vibrate, the whole drifting."""
    rng = np.random.default_rng(seed)
    ions = np.cumsum(rng.normal(0.0, 0.25, (300, 16, 3)), axis=0)
    held = 4.0 * np.arange(16)[:, None] + rng.normal(0.0, 0.1, (300, 16, 3))
    x = np.concatenate([ions, held], axis=1) + 0.01 * np.arange(300)[:, None, None]
    lines = []
    for step, frame in enumerate(x):
        lines += [f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n32\nITEM: BOX BOUNDS pp pp pp"]
        lines += ["0 12"] * 3 + ["ITEM: ATOMS id element xu yu zu"]
        lines += [f"{i + 1} {'Li' if i < 16 else 'S'} {a:.6f} {b:.6f} {c:.6f}" for i, (a, b, c) in enumerate(frame)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_independent_dumps_of_ions_in_a_framework_give_conductivity_and_haven_ratio(tmp_path: Path) -> None:
    dumps = [str(two_kinds(tmp_path / f"{k}.dump", seed=k)) for k in range(8)]
    options = ["--independent", "--timestep", "0.05", "--charges", "Li=1,S=-1", "--temperature", "600"]
    done = CliRunner().invoke(app, ["analyze", "diffusion", *dumps, *options, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "8 trajectories of 300 frames" in done.output
    assert "D(Li) = " in done.output
    assert "D(S) = " not in done.output, "the framework was found, and is not mobile"
    assert "relative to the mean of 16 framework atoms" in done.output
    assert "Haven ratio D*/Dσ" in done.output
    record = json.loads((tmp_path / "out/diffusion.json").read_text())
    D = record["Li"]["D"]
    assert D["n_samples"] == 8
    true = 0.25**2 / 0.05 / 2 * 1e-4
    assert abs(D["value"] - true) < 4 * D["standard_error"]
    assert record["Li"]["drift (Å)"] == pytest.approx(2.99 * 3**0.5, rel=0.05)
    assert record["charge"]["haven"]["value"] == pytest.approx(1, abs=5 * record["charge"]["haven"]["standard_error"])
    assert (tmp_path / "out/msd_charge.csv").is_file()


def test_a_frozen_trajectory_is_not_averaged_with_a_liquid_one(tmp_path: Path) -> None:
    """Planted: the phase of the first was taken for that of all, and D depended on the order of the dumps."""
    dumps = [two_kinds(tmp_path / f"{k}.dump", seed=k) for k in range(3)]
    text = dumps[1].read_text().split("ITEM: TIMESTEP\n")[1:]
    first = text[0].split("\n", 1)[1]
    rng = np.random.default_rng(3)
    frozen = []
    for k in range(300):
        rows = first.splitlines()
        moved = [line.split() for line in rows[7:]]
        shaken = [
            f"{a} {b} {float(x) + rng.normal(0, 0.1):.6f} {float(y) + rng.normal(0, 0.1):.6f} {z}"
            for a, b, x, y, z in moved
        ]
        frozen.append("\n".join(["ITEM: TIMESTEP", str(k), *rows[:7], *shaken]) + "\n")
    dumps[1].write_text("".join(frozen))
    for order in ((0, 1, 2), (1, 0, 2)):
        command = ["analyze", "diffusion", *[str(dumps[k]) for k in order], "--independent", "--timestep", "0.05"]
        done = CliRunner().invoke(app, command)
        assert "D(Li) = " not in done.output
        assert isinstance(done.exception, LampionError)
        assert f"it is solid in trajectory {order.index(1) + 1} of 3 and liquid" in str(done.exception)


def test_a_line_is_extrapolated_where_asked_and_not_past_a_transition(finished: Path, tmp_path: Path) -> None:
    path = copy_of(finished, tmp_path)
    path.write_text(STUDY + "analysis: {extrapolate: [100, 60], transitions: [84]}\n")
    done = CliRunner().invoke(app, ["report", str(path)])
    assert done.exit_code == 0, done.output
    (collected,) = collect(plan(path)).arrhenius
    low, high = collected.fit.interval(100.0)
    assert f"D(Ar, 100 K) = {collected.fit.extrapolated(100.0).value:.2e} cm²/s (95 %: {low:.1e} to" in done.output
    assert low < collected.fit.extrapolated(100.0).value < high
    assert "No D of Ar at 60 K: a transition at 84 K lies between data and 60 K" in done.output


def test_cells_of_several_sizes_are_compared(tmp_path: Path) -> None:
    text = STUDY.replace("protocol.temperature: [110, 140]", "structure.supercell: [[3, 3, 3], [4, 4, 4]]")
    path = study_in(tmp_path, text.replace("sample: 12", "sample: 24"))
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"D\(Ar\) in cells of 17\.3, 23\.1 Å: ", done.stdout)
    (sizes,) = collect(plan(path)).sizes
    assert sizes.dependence.lengths == pytest.approx([3 * 5.78, 4 * 5.78], rel=1e-6)


@pytest.mark.physics
def test_a_crystal_diffuses_by_direction_in_the_users_frame(tmp_path: Path) -> None:
    """Argon gliding in a frozen slit: two directions of three, turned with the user's cell."""
    text = """
structure: {file: slit.xyz}
potential: {style: lj, pairs: {Ar-Ar: [0.0103408, 3.4], Ar-Xe: [0.0103408, 3.4], Xe-Xe: [0.2, 3.9]}, cutoff: 7.5}
protocol: {name: diffusion, phase: crystal, mobile: [Ar], temperature: 140, coupling: fixed, equilibrate: 4,
           sample: 60, timestep: 0.004, dump_every: 0.2}
seed: 4
"""
    atoms = ase.build.fcc111("Xe", (4, 4, 6), a=6.1, orthogonal=True, vacuum=0.0)
    atoms.cell[2, 2] = atoms.positions[:, 2].max() + 6.1 / 3**0.5
    atoms.pbc = True
    layers = np.unique(atoms.positions[:, 2].round(3))
    atoms.symbols[np.isin(atoms.positions[:, 2].round(3), layers[2:4])] = "Ar"
    turned = atoms.copy()
    turned.info.clear()
    turned.rotate(90, "x", rotate_cell=True)
    ase.io.write(tmp_path / "slit.xyz", turned)
    path = study_in(tmp_path, text)
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    row = pd.read_csv(tmp_path / "results/points.csv").iloc[0]
    x, y, z = (row[f"D Ar along {axis} (cm²/s)"] for axis in "xyz")
    # The slit's normal was z, and is −y of the user's frame.
    assert min(x, z) > 5 * abs(y)
    assert row["D Ar anisotropic"]


def test_doctor_says_what_was_found() -> None:
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "LAMMPS" in done.output
    missing = CliRunner().invoke(app, ["doctor", "--lmp", "/nowhere/lmp"])
    assert missing.exit_code == 1
    assert "/nowhere/lmp" in missing.output


def test_a_relaxed_structure_comes_back_in_the_users_frame(tmp_path: Path) -> None:
    """A left-handed, rotated cell goes into LAMMPS's frame and back with its forces and its stress."""
    atoms = ase.build.bulk("Si", "diamond", 5.3, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=3)
    atoms.set_cell(atoms.cell * [[1.01], [1.0], [0.99]], scale_atoms=True)
    turned = atoms.copy()
    turned.rotate(50, (1, 2, 3), rotate_cell=True)
    turned.set_cell(turned.cell * [[1], [1], [-1]])
    atoms.write(tmp_path / "straight.extxyz")
    turned.write(tmp_path / "turned.extxyz")
    path = study_in(
        tmp_path,
        "structure: {file: straight.extxyz}\npotential: {style: sw, file: Si.sw}\nprotocol: {name: static}\n"
        "sweep: {grid: {structure.file: [straight.extxyz, turned.extxyz]}}\nseed: 1\n",
    )
    assert run_study(path).returncode == 0
    straight, back = ase.io.read(tmp_path / "results/structures.extxyz", index=":")
    R = np.linalg.lstsq(atoms.positions, turned.positions, rcond=None)[0]
    assert np.allclose(back.cell, turned.cell, atol=1e-7)
    assert np.allclose(back.get_forces(), straight.get_forces() @ R, atol=1e-7)
    stress = R.T @ straight.get_stress(voigt=False) @ R
    assert np.allclose(back.get_stress(voigt=False), stress, atol=1e-8)
    assert np.abs(stress - straight.get_stress(voigt=False)).max() > 1e-4, "the turn must show"
    runs = pd.read_csv(tmp_path / "results/runs.csv")
    # extxyz carries eight decimals: 64 atoms with forces of up to 2 eV/Å make up to 1e-6 eV of that.
    assert runs["energy (eV)"][0] == pytest.approx(runs["energy (eV)"][1], abs=1e-6)


def test_studies_are_compared_as_ratios_with_their_errors(finished: Path, tmp_path: Path) -> None:
    """Of one title, with 110.0 in place of 110: the same points, told apart by their folders."""
    other = study_in(
        tmp_path / "heavier",
        STUDY.replace("seed: 5", "seed: 6").replace("0.0103408", "0.0125").replace("[110, 140]", "[110.0, 140.0]"),
    )
    other.write_text("title: argon\n" + other.read_text())
    assert run_study(other).returncode == 0
    first = copy_of(finished, tmp_path)
    first.write_text("title: argon\n" + first.read_text())
    runner = CliRunner()
    done = runner.invoke(app, ["compare", str(first), str(other), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out/comparison.csv")
    one, two = "argon (copy/study.yaml)", "argon (heavier/study.yaml)"
    D = table[table["quantity"] == "D Ar"]
    assert len(D) == 2
    assert np.allclose(D[f"{two} / {one}"], D[two] / D[one])
    assert (D[f"{two} / {one} error"] > 0).all()
    (Ea,) = table[table["quantity"] == "Ea Ar"].to_dict("records")
    assert Ea[f"{two} − {one}"] == pytest.approx(Ea[two] - Ea[one])
    assert Ea[f"{two} − {one} low 95 %"] < Ea[f"{two} − {one}"] < Ea[f"{two} − {one} high 95 %"]
    record = json.loads((tmp_path / "out/comparison.json").read_text())
    assert set(record["studies"]) == {one, two}
    assert len(record["rows"]) == len(table)
    assert (tmp_path / "out/comparison.svg").is_file()
    with pytest.raises(LampionError, match="at least two studies"):
        runner.invoke(app, ["compare", str(finished)], catch_exceptions=False)
    with pytest.raises(LampionError, match="a study twice"):
        runner.invoke(app, ["compare", str(finished), str(finished)], catch_exceptions=False)


@pytest.mark.physics
def test_an_ensemble_has_the_target_temperature_and_its_own_current(tmp_path: Path) -> None:
    """At constant energy from a scaled snapshot: the mean over seeds is the target, and no run is thermostatted."""
    text = """
structure: {crystal: {lattice: rocksalt, formula: NaCl, a: 6.4}, supercell: [2, 2, 2]}
potential:
  style: born
  pairs: {Na-Na: [0.263703, 0.317, 2.340, 1.048573, -0.49932], Na-Cl: [0.210963, 0.317, 2.755, 6.990485, -8.67569],
          Cl-Cl: [0.158222, 0.317, 3.170, 72.401458, -145.42707]}
  cutoff: 6.0
  charges: {Na: 1, Cl: -1}
protocol: {name: ensemble, phase: liquid, temperature: 1300, melt: {temperature: 2500, time: 0.5}, equilibrate: 4,
           sample: 4, timestep: 0.002, dump_every: 0.02, current_every: 0.004}
sweep: {replicas: 8}
analysis: {precision: 0.02, window: [0.3, 1.5]}
seed: 3
"""
    path = study_in(tmp_path, text)
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    runs = pd.read_csv(tmp_path / "results/runs.csv")
    spread = runs["T (K)"].std(ddof=1) / 8**0.5
    # The seeds' own scatter is the yardstick: each knows its mean energy from 2 ps only.
    assert abs(runs["T (K)"].mean() - 1300) < 4 * spread
    assert spread < 26
    assert (runs["energy drift (eV/atom/ps)"].abs() < 1e-3).all()
    points = pd.read_csv(tmp_path / "results/points.csv").iloc[0]
    assert points["conductivity (mS/cm)"] > 0
    assert points["D Na independent samples"] == 8
    assert "runs in all" in done.stdout
    folder = next(path.parent.glob("runs/*/*/attempts/1"))
    current = np.loadtxt(folder / "current.dat")
    record = run.read_json(folder.parents[1] / "run.json")
    masses = np.array(record["masses"])
    assert np.abs((current[:, 1:].reshape(-1, 2, 3) * masses[:, None]).sum(axis=1)).max() < 1e-4, (
        "no net momentum: the file holds ten digits"
    )


@pytest.mark.parametrize("form", ["binary", "zst"])
def test_every_dump_format_gives_the_same_kind_of_result(tmp_path: Path, form: str) -> None:
    if form == "zst" and shutil.which("zstd") is None:
        pytest.fail("this test needs the program zstd, through which LAMMPS compresses")
    path = study_in(tmp_path, STUDY.replace("  dump_every", f"  dump_format: {form}\n  dump_every"))
    assert run_study(path).returncode == 0
    runs = pd.read_csv(tmp_path / "results/runs.csv")
    assert (runs["D Ar (cm²/s)"].between(1e-5, 1e-4)).all()
    name = {"binary": "trajectory.bin", "zst": "trajectory.dump.zst"}[form]
    assert len(list(path.parent.glob(f"runs/{HEX}/*/attempts/1/{name}"))) == 2


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("trajectory.dump", lambda text: text.replace("ITEM: ATOMS", "ITEM: ATOM", 3), "not the file"),
        ("log.lammps", lambda text: text.replace("Step", "Stop"), "not the file|not the log"),
    ],
)
def test_a_run_whose_files_are_spoilt_is_flagged_and_costs_the_others_nothing(
    finished: Path, tmp_path: Path, name: str, spoil: Callable[[str], str], words: str
) -> None:
    path = copy_of(finished, tmp_path)
    file = sorted(path.parent.glob(f"runs/{HEX}/*/attempts/1/{name}"))[0]
    file.write_text(spoil(file.read_text()))
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    runs = pd.read_csv(path.parent / "results/runs.csv")
    spoilt = runs["run"].str.startswith(file.parts[-4][:12])
    assert spoilt.sum() == 1
    assert runs.loc[spoilt, "flags"].str.contains(words).all()
    assert runs.loc[spoilt, "D Ar (cm²/s)"].isna().all()
    before = pd.read_csv(finished.parent / "results/runs.csv")
    assert (runs.loc[~spoilt, "D Ar (cm²/s)"] == before.loc[~spoilt, "D Ar (cm²/s)"]).all()


TEMPLATE = """{% include "_setup.j2" %}
{% include "_log.j2" %}
thermo          5
velocity        all create {{ hot }} {{ seed("velocities") }} mom yes
timestep        0.001
fix             move all nve
run             100
"""
CUSTOM = """
structure: {crystal: {lattice: diamond, formula: Si, a: 5.43}, supercell: [2, 2, 2]}
potential: {style: sw, file: Si.sw}
protocol: {name: custom, template: mine.j2, variables: {hot: 600}}
seed: 1
"""


def test_a_custom_template_gives_means_with_errors_and_its_health(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(TEMPLATE)
    path = study_in(tmp_path, CUSTOM)
    assert run_study(path).returncode == 0
    (row,) = pd.read_csv(tmp_path / "results/runs.csv").to_dict("records")
    log = read_log(next(path.parent.glob("runs/*/*/attempts/1/log.lammps")))[0].columns
    assert row["units"] == "metal"
    assert row["Temp mean"] == pytest.approx(log["Temp"].mean())
    assert row["Temp error"] > 0
    assert row["energy (eV)"] == log["PotEng"][-1] == row["PotEng last"]
    assert row["closest distance (Å)"] == pytest.approx(log["c_closest"].min())


def test_a_custom_template_that_normalises_or_replicates_is_told_right(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(
        TEMPLATE.replace("run             100", "thermo_modify norm yes\nrun 100\nrun 0")
    )
    path = study_in(tmp_path, CUSTOM)
    assert run_study(path).returncode == 0
    (row,) = pd.read_csv(tmp_path / "results/runs.csv").to_dict("records")
    assert "energy (eV)" not in row, "LAMMPS prints energies per atom"
    assert row["Temp error"] > 0, "a run 0 at the end has no mean"
    (tmp_path / "mine.j2").write_text(TEMPLATE.replace("thermo          5", "thermo 5\nreplicate 2 1 1"))
    assert run_study(path).returncode == 0
    (row,) = pd.read_csv(tmp_path / "results/runs.csv").to_dict("records")
    assert row["energy per atom (eV)"] == pytest.approx(row["energy (eV)"] / 128)


def test_a_log_without_a_run_is_flagged_and_costs_the_others_nothing(finished: Path, tmp_path: Path) -> None:
    """Planted: an IndexError lost the tables of all runs."""
    path = copy_of(finished, tmp_path)
    log = sorted(path.parent.glob(f"runs/{HEX}/*/attempts/1/log.lammps"))[0]
    log.write_text("LAMMPS (22 Jul 2025)\n")
    done = log.parents[2] / "done.json"
    record = json.loads(done.read_text())
    record["log_sha256"] = hashlib.sha256(log.read_bytes()).hexdigest()
    record["products"]["log.lammps"] = log.stat().st_size
    done.write_text(json.dumps(record))
    assert "log.lammps: holds no row of a run" in flagged(path)


def test_a_custom_template_in_other_units_is_not_told_in_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(
        "units real\natom_style atomic\nregion b block 0 9 0 9 0 9\ncreate_box 1 b\n"
        "create_atoms 1 single 1 1 1\ncreate_atoms 1 single 4 4 4\nmass 1 40\npair_style lj/cut 4\n"
        "pair_coeff 1 1 0.2 3.4\nthermo_style custom step time temp press pe vol pxx pyy pzz pxy pxz pyz\nrun 0\n"
    )
    path = study_in(tmp_path, CUSTOM.replace(", variables: {hot: 600}", ""))
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    (row,) = pd.read_csv(tmp_path / "results/runs.csv").to_dict("records")
    assert row["units"] == "real"
    assert "PotEng last" in row
    assert not [name for name in row if "(eV" in name or "(bar)" in name]


def test_a_custom_template_that_runs_nothing_is_flagged(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text('{% include "_setup.j2" %}\n')
    path = study_in(tmp_path, CUSTOM.replace(", variables: {hot: 600}", ""))
    done = run_study(path)
    assert "log.lammps holds no run: the template runs nothing" in done.stderr


def test_zst_dumps_without_the_program_are_refused_before_lammps_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study_in(tmp_path, STUDY.replace("  dump_every", "  dump_format: zst\n  dump_every"))
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "zstd" else found(name))
    with pytest.raises(LampionError, match="the program zstd, which is not on the PATH"):
        plan(path)


def test_a_run_too_short_for_a_mean_is_still_reported(tmp_path: Path) -> None:
    path = study_in(
        tmp_path,
        "structure: {crystal: {lattice: diamond, formula: Si, a: 5.43}}\npotential: {style: sw, file: Si.sw}\n"
        "protocol: {name: md, stages: [{ensemble: nvt, temperature: 300, time: 0.02}], thermo_every: 0.01}\n"
        "seed: 1\n",
    )
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    assert list(pd.read_csv(tmp_path / "results/runs.csv")["state"]) == ["done"]
