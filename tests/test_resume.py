"""A run that is killed goes on from its last whole restart file; only the last digits show where it was cut."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decks import build, render
from lampion import deck, run
from lampion.run import resume
from lampion.study import plan
from lampion.study.measure import measure
from lampion.study.work import Job
from lampion.thermo import read_log
from lampion.trajectory import read_dump

ARGON = build({"crystal": {"lattice": "fcc", "formula": "Ar", "a": 5.78}, "supercell": [3, 3, 3]})
LJ = {"style": "lj", "pairs": {"Ar-Ar": [0.0103408, 3.4]}, "cutoff": 7.5}
WHOLE: dict[str, Any] = {
    "name": "diffusion", "phase": "liquid", "temperature": 110, "melt": {"temperature": 300, "time": 0.5},
    "coupling": "fixed", "equilibrate": 1.0, "sample": 24.0, "timestep": 0.004, "dump_every": 0.08,
    "thermo_every": 0.04, "restart_every": 4.0,
}  # fmt: skip
STUDY = """
structure: {{crystal: {{lattice: fcc, formula: Ar, a: 5.78}}, supercell: [3, 3, 3]}}
potential: {{style: lj, pairs: {{Ar-Ar: [0.0103408, 3.4]}}, cutoff: 7.5}}
protocol: {protocol}
seed: 5
"""


@pytest.mark.parametrize(
    ("change", "resumes"),
    [
        ({}, True),
        ({"restart_every": 0.0}, False),
        ({"restart_every": 24.0}, False),
        ({"restart_every": 10.0, "sample": 8.0}, False),
        ({"dump_format": "zst"}, False),
        ({"dump_format": "binary"}, True),
    ],
)
def test_a_deck_writes_restarts_on_a_schedule_only_where_a_run_is_longer(
    change: dict[str, Any], resumes: bool
) -> None:
    made = render(ARGON, LJ, {**WHOLE, **change})
    assert ("sample.1.restart" in made.files[deck.DECK]) == resumes
    assert bool(made.ladder) == resumes
    assert set(made.continuations) == ({"begin-sample.lammps", "continue-sample.lammps"} if resumes else set())
    if resumes:
        text = made.continuations["continue-sample.lammps"]
        assert "velocity" not in text, "velocities are never drawn again"
        assert "reset_timestep" not in text
        assert " upto" in text
        assert "reset_timestep" in made.continuations["begin-sample.lammps"]


def test_what_a_killed_run_goes_on_from_is_in_no_key() -> None:
    made = render(ARGON, LJ, WHOLE)
    assert deck.fingerprint(made) == deck.fingerprint(deck.Deck(files=made.files, inputs=made.inputs))


# ---- The ladder, with files alone ------------------------------------------------------------------

GOOD = b"LammpS RestartT\0 much LammpS RestartT\0"


def an_attempt(folder: Path, files: dict[str, bytes]) -> Path:
    attempt = run.folder.new_attempt(folder)
    assert attempt is not None
    for age, (name, content) in enumerate(files.items()):
        (attempt / name).write_bytes(content)
        os.utime(attempt / name, ns=(10**18, 10**18 + age * 10**9))
    run.lease.release(attempt)
    return attempt


def a_run(tmp_path: Path) -> Path:
    made = render(ARGON, LJ, WHOLE)
    return run.prepare(tmp_path / "runs", run.key(made, "git"), made, {})


def long(content: bytes) -> bytes:
    return content[:16] + b"x" * 100 + content[16:]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"equilibrated.restart": GOOD}, ("equilibrated.restart", "begin-sample.lammps")),
        (
            {"equilibrated.restart": GOOD, "sample.2.restart": GOOD, "sample.1.restart": GOOD},
            ("sample.1.restart", "continue-sample.lammps"),
        ),
        (
            {"equilibrated.restart": GOOD, "sample.2.restart": GOOD, "sample.1.restart": GOOD[:-17]},
            ("sample.2.restart", "continue-sample.lammps"),
        ),
        (
            {"equilibrated.restart": GOOD, "sample.1.restart": b""},
            ("equilibrated.restart", "begin-sample.lammps"),
        ),
        ({"equilibrated.restart": GOOD[:-17], "sample.1.restart": GOOD[:5]}, None),
    ],
)
def test_the_last_whole_state_is_taken(
    tmp_path: Path, files: dict[str, bytes], expected: tuple[str, str] | None
) -> None:
    folder = a_run(tmp_path)
    an_attempt(folder, {name: long(content) if len(content) > 20 else content for name, content in files.items()})
    found = resume.resumption(folder)
    assert (None if found is None else (found.restart.name, found.deck)) == expected


@pytest.mark.parametrize(
    ("cause", "resumes"), [("killed", True), ("time limit", True), ("restart", False), ("input", False)]
)
def test_only_a_state_that_is_good_is_gone_on_from(tmp_path: Path, cause: str, resumes: bool) -> None:
    folder = a_run(tmp_path)
    attempt = an_attempt(folder, {"sample.1.restart": long(GOOD)})
    run.write_json(attempt / "failed.json", {"format": 1, "cause": cause, "message": ""})
    assert (resume.resumption(folder) is not None) == resumes


def test_an_attempt_that_left_nothing_new_is_followed_by_one_from_the_same_state(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    an_attempt(folder, {"sample.1.restart": long(GOOD)})
    an_attempt(folder, {})
    found = resume.resumption(folder)
    assert found is not None
    assert found.attempt == 1


# ---- In LAMMPS -------------------------------------------------------------------------------------


def job_of(folder: Path, protocol: dict[str, Any]) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(STUDY.format(protocol=json.dumps(protocol)))
    return plan(folder / "study.yaml").jobs[0]


def drive(job: Job) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-c",
        "from lampion.cli import main; main()",
        "run",
        str(job.folder.parents[2] / "study.yaml"),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_when(job: Job, ready: Callable[[], bool]) -> None:
    with drive(job) as driver:
        end = time.monotonic() + 60
        while not ready():
            assert driver.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.005)
        driver.send_signal(signal.SIGKILL)


PROTOCOLS = {
    "nose-hoover": WHOLE,
    "csvr": {**WHOLE, "thermostat": "csvr"},
    "nve": {**WHOLE, "ensemble": "nve"},
    "binary": {**WHOLE, "dump_format": "binary"},
    "ensemble": {**{k: v for k, v in WHOLE.items() if k != "coupling"}, "name": "ensemble"},
}


@pytest.mark.physics
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_continued_measurement_is_as_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    protocol = PROTOCOLS[name]
    one, two = job_of(tmp_path / "whole", protocol), job_of(tmp_path / "cut", protocol)
    with drive(one) as driver:
        assert driver.wait(120) == 0
    attempts = two.folder / "attempts"
    killed_when(two, lambda: (attempts / "1/sample.2.restart").is_file())
    # A second time, in the attempt that went on.
    killed_when(two, lambda: (attempts / "2/sample.1.restart").is_file())
    with drive(two) as driver:
        assert driver.wait(120) == 0
    now = run.state(two.folder)
    assert (now.name, now.attempts) == ("done", 3)
    assert [p.name for p in now.earlier] == ["1", "2"]

    record = run.read_json(two.folder / "run.json")
    whole, cut = (measure(job.point.study, run.verified(job.folder), record) for job in (one, two))
    assert whole.trajectory is not None
    assert cut.trajectory is not None
    n = round(24.0 / 0.08)
    assert cut.trajectory.steps.tolist() == [20 * k for k in range(n + 1)], "every frame exactly once"
    assert not whole.flags
    assert not cut.flags

    record_2 = json.loads((attempts / "2/continues.json").read_text())
    assert record_2["attempt"] == 1
    at = int(read_log(attempts / "2/log.lammps")[0].columns["Step"][0])
    assert at >= 1000
    assert at % 1000 == 0
    before = cut.trajectory.steps <= at
    assert np.array_equal(cut.trajectory.positions[before], whole.trajectory.positions[before]), "bit for bit"
    rows = read_log(one.folder / "attempts/1/log.lammps")[-1].columns
    again = read_log(attempts / "2/log.lammps")[0].columns
    assert again["PotEng"][0] == pytest.approx(rows["PotEng"][rows["Step"] == at][0], abs=1e-9)
    from lampion.study.measure import _log

    merged = _log(run.segments(run.verified(two.folder)))[-1].columns
    assert merged["Step"].tolist() == rows["Step"].tolist(), "every row exactly once"
    econserve = merged["Econserve"]
    jump = np.abs(np.diff(econserve)).max()
    assert jump < 3 * np.abs(np.diff(rows["Econserve"])).max() + 1e-9, "the conserved energy does not jump"
    if whole.stress is not None:
        assert cut.stress is not None
        assert cut.stress.shape == whole.stress.shape


@pytest.mark.physics
def test_stages_of_md_go_on_with_cell_ramp_and_thermostat(tmp_path: Path) -> None:
    stages = [
        {"ensemble": "nvt", "temperature": 60, "time": 2.0},
        {"ensemble": "npt", "temperature": 60, "final_temperature": 90, "pressure": 100, "time": 24.0},
        {"ensemble": "nve", "time": 2.0},
    ]
    protocol = {
        "name": "md", "timestep": 0.004, "thermo_every": 0.04, "dump_every": 0.2, "restart_every": 4.0,
        "stages": stages,
    }  # fmt: skip
    one, two = job_of(tmp_path / "whole", protocol), job_of(tmp_path / "cut", protocol)
    with drive(one) as driver:
        assert driver.wait(120) == 0
    attempts = two.folder / "attempts"
    killed_when(two, lambda: (attempts / "1/stage2.1.restart").is_file())
    with drive(two) as driver:
        assert driver.wait(120) == 0
    from lampion.study.measure import _log

    whole = read_log(one.folder / "attempts/1/log.lammps")
    cut = _log(run.segments(run.verified(two.folder)))
    assert [r.columns["Step"].tolist() for r in cut] == [r.columns["Step"].tolist() for r in whole]
    at = int(read_log(attempts / "2/log.lammps")[0].columns["Step"][0])
    # Along a ramp nothing is conserved: at the seam it may change as it does between any two rows.
    change = np.abs(np.diff(whole[1].columns["Econserve"])).max()
    for name, tolerance in (("PotEng", 1e-9), ("Lx", 1e-9), ("Econserve", change)):
        a, b = (r[1].columns[name][r[1].columns["Step"] == at][0] for r in (whole, cut))
        assert b == pytest.approx(a, abs=tolerance), name
    # The ramp goes on where it was: in its last third it is at 85 K on the mean, and would be at 65 if begun anew.
    ends = [r[1].columns["Temp"][-200:].mean() for r in (whole, cut)]
    assert ends == pytest.approx([85, 85], abs=4)
    frames = read_dump([attempts / "1/trajectory.dump", attempts / "2/trajectory.dump"])
    assert np.all(np.diff(frames.steps) == 50)
