"""A real SLURM on this machine, of two virtual nodes with fake GPUs, runs studies; needs Debian's packages and root.

apt-get install --no-install-recommends slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lampion import run
from lampion.study import plan
from lampion.thermo import read_log

pytestmark = pytest.mark.slurm

NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "munged")
STUDY = """
title: argon
structure: {crystal: {lattice: fcc, formula: Ar, a: 5.78}, supercell: [3, 3, 3]}
potential: {style: lj, pairs: {Ar-Ar: [0.0103408, 3.4]}, cutoff: 7.5}
protocol: {name: diffusion, phase: liquid, temperature: 110, melt: {temperature: 300, time: 1}, coupling: fixed,
           equilibrate: 1, sample: 12, timestep: 0.004, dump_every: 0.08}
sweep: {replicas: 4}
seed: 5
"""
PORT = 17817


def configuration(folder: Path) -> str:
    host, user = socket.gethostname().split(".")[0], getpass.getuser()
    nodes = "".join(
        f"NodeName=n{k} NodeHostname={host} NodeAddr=127.0.0.1 Port={PORT + k} CPUs=2 RealMemory=4000 Gres=gpu:2 "
        "State=UNKNOWN\n"
        for k in (1, 2)
    )
    return f"""ClusterName=lampion
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={PORT}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=400
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=5
PropagateResourceLimits=NONE
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
GresTypes=gpu
{nodes}PartitionName=debug Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a SLURM of our own, and stop it at the end."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {missing[0]} here; the head of this file says how to get it")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("munge", "state", "spool/n1", "spool/n2"):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    for k in range(2):
        (folder / f"gpu{k}").symlink_to("/dev/null")
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1] Flags=nvidia_gpu_env\n")
    (folder / "slurm.conf").write_text(configuration(folder))
    key = folder / "munge/munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    subprocess.run(
        ["munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
         f"--pid-file={folder}/munge/munged.pid", f"--log-file={folder}/munge/munged.log",
         f"--seed-file={folder}/munge/munged.seed"],
        check=True,
    )  # fmt: skip
    try:
        subprocess.run(["slurmctld", "-f", str(folder / "slurm.conf")], check=True)
        for node in ("n1", "n2"):
            subprocess.run(["slurmd", "-N", node, "-f", str(folder / "slurm.conf")], check=True)
        wait_for(lambda: said("sinfo", "-h", "-o", "%T").split() == ["idle"], 60)
        yield folder
    finally:
        subprocess.run(["scancel", "-u", getpass.getuser()], check=False)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not said("squeue", "-h"), 60)
        subprocess.run(["scontrol", "shutdown"], check=False)
        time.sleep(1)
        for pid in [*folder.glob("*.pid"), folder / "munge/munged.pid"]:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGTERM)
        os.environ.pop("SLURM_CONF")


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def wait_for(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


def lampion(*words: object, **environment: str) -> str:
    command = [sys.executable, "-c", "from lampion.cli import main; main()", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def sites(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAMPION_SITES", str(tmp_path / "sites"))
    (tmp_path / "sites").mkdir()
    assert slurm.is_dir()
    (tmp_path / "sites/mini.yaml").write_text('time: "0:10:00"\ncores: 2\npartition: debug\n')
    return tmp_path / "sites"


def study_in(folder: Path, text: str = STUDY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def over(number: str) -> Callable[[], bool]:
    return lambda: not said("squeue", "-h", "-j", number)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = study_in(tmp_path_factory.mktemp("local"))
    lampion("run", path)
    return pd.read_csv(path.parent / "results/runs.csv")


def test_a_site_is_checked_by_its_scheduler(sites: Path) -> None:
    assert "to start at" in lampion("site", "check", "mini")
    (sites / "bad.yaml").write_text('time: "0:10:00"\npartition: nowhere\n')
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "site", "check", "bad"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "sbatch refuses it" in done.stderr
    assert "partition" in done.stderr


@pytest.mark.usefixtures("sites")
def test_jobs_share_a_study_and_its_table_is_a_local_ones(local: pd.DataFrame, tmp_path: Path) -> None:
    path = study_in(tmp_path / "study")
    number = lampion("submit", path, "--site", "mini", "--jobs", "2").strip()
    wait_for(over(number), 240)
    lampion("report", path)
    pd.testing.assert_frame_equal(pd.read_csv(path.parent / "results/runs.csv"), local)
    outputs = [p.read_text() for p in path.parent.glob("argon-*.out")]
    assert len(outputs) == 2
    attempts = [p.name for p in path.parent.glob("runs/*/*/attempts/*")]
    assert attempts == ["1"] * 4, "every run was done once"


@pytest.mark.usefixtures("sites")
def test_a_job_that_is_cancelled_in_the_middle_is_gone_on_with(local: pd.DataFrame, tmp_path: Path) -> None:
    path = study_in(tmp_path / "study")
    number = lampion("submit", path, "--site", "mini").strip()
    wait_for(lambda: bool(list(path.parent.glob("runs/*/*/attempts/1/trajectory.dump"))), 120)
    subprocess.run(["scancel", "--signal=KILL", "--full", number], check=True)
    wait_for(over(number), 60)
    assert len(list(path.parent.glob("runs/*/*/done.json"))) < 4
    number = lampion("submit", path, "--site", "mini").strip()
    wait_for(over(number), 240)
    lampion("report", path)
    pd.testing.assert_frame_equal(pd.read_csv(path.parent / "results/runs.csv"), local)


def test_a_walltime_shorter_than_the_work_is_met_by_the_next_job(sites: Path, tmp_path: Path) -> None:
    """SLURM sends TERM before the end: the driver stops its run, and the next job takes it up from its restart."""
    text = STUDY.replace("sample: 12", "sample: 2000, restart_every: 4").replace("replicas: 4", "replicas: 1")
    path = study_in(tmp_path / "study", text)
    (sites / "short.yaml").write_text('time: "0:01:00"\ncores: 2\ngrace: 30\n')
    number = lampion("submit", path, "--site", "short").strip()
    wait_for(over(number), 150)
    (job,) = plan(path).jobs
    assert run.state(job.folder).name == "stopped"
    assert "stopped; what is done is kept" in (path.parent / f"argon-{number}.out").read_text()
    number = lampion("submit", path, "--site", "mini").strip()
    wait_for(over(number), 300)
    state = run.state(job.folder)
    assert state.name == "done"
    assert state.earlier
    steps = np.concatenate(
        [read_log(p / "log.lammps")[-1].columns["Step"][:1] for p in (*state.earlier, run.verified(job.folder))]
    )
    assert steps[-1] > 0, "it was not begun afresh"


def test_ranks_run_in_an_allocation_by_mpiexec_and_by_srun(sites: Path, tmp_path: Path) -> None:
    for launcher in ("mpiexec", "srun"):
        (sites / "wide.yaml").write_text(f'time: "0:10:00"\ncores: 2\nlauncher: {launcher}\n')
        path = study_in(tmp_path / launcher, STUDY.replace("replicas: 4", "replicas: 1") + "engine: {ranks: 2}\n")
        number = lampion("submit", path, "--site", "wide").strip()
        wait_for(over(number), 240)
        (job,) = plan(path).jobs
        assert run.state(job.folder).name == "done", (path.parent / f"argon-{number}.out").read_text()
        folder = run.verified(job.folder)
        assert read_log(folder / "log.lammps")[-1].n_procs == 2
        assert launcher in (folder / "run.sh").read_text()


def test_each_run_has_a_gpu_of_its_own(sites: Path, tmp_path: Path) -> None:
    (sites / "gpu.yaml").write_text('time: "0:10:00"\ncores: 2\ngpus: 2\n')
    template = '{% include "_setup.j2" %}\nvariable seen getenv CUDA_VISIBLE_DEVICES\nprint "gpu=${seen}"\n'
    template += 'velocity all create 300 {{ seed("v") }}\nfix i all nve\nrun 4000\n'
    (tmp_path / "study").mkdir()
    (tmp_path / "study/mine.j2").write_text(
        template + 'velocity all create 300 {{ seed("v") }}\nfix i all nve\nrun 4000\n'
    )
    text = """
title: gpus
structure: {crystal: {lattice: diamond, formula: Si, a: 5.43}, supercell: [3, 3, 3]}
potential: {style: sw, file: Si.sw}
protocol: {name: custom, template: mine.j2}
sweep: {replicas: 4}
engine: {gpus: 1}
seed: 1
"""
    path = study_in(tmp_path / "study", text)
    number = lampion("submit", path, "--site", "gpu").strip()
    wait_for(over(number), 120)
    logs = [p.read_text() for p in path.parent.glob("runs/*/*/attempts/1/log.lammps")]
    assert len(logs) == 4
    assert {line for log in logs for line in log.splitlines() if line.startswith("gpu=")} == {"gpu=0", "gpu=1"}


@pytest.mark.usefixtures("sites")
def test_a_plain_array_of_decks_needs_no_lampion(tmp_path: Path) -> None:
    path = study_in(tmp_path / "study")
    lampion("render", path, "-o", tmp_path / "decks", "--submit-scripts", "mini")
    done = subprocess.run(
        ["sbatch", "--parsable", "submit.sh"], cwd=tmp_path / "decks", capture_output=True, text=True
    )
    number = done.stdout.strip()
    wait_for(over(number), 240)
    logs = sorted((tmp_path / "decks").glob("*/log.lammps"))
    assert len(logs) == 4
    assert all("Total wall time" in log.read_text() for log in logs)
