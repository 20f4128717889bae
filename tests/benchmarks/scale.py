# ruff: noqa: T201
"""What a run costs beside its LAMMPS: studies of 100, 1,000 and 10,000 runs of a program that does nothing.

    python tests/benchmarks/scale.py [--write]

prints, for each number of runs, the wall time of a run beside that of the same program started by a bare
ThreadPoolExecutor, the time to resume a finished study and to show its status, and the driver's memory. `--write`
keeps them as JSON beside this file, from which the README quotes.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

STUDY = """
structure: {crystal: {lattice: fcc, formula: Ar, a: 5.78}, supercell: [2, 2, 2]}
potential: {style: lj, pairs: {Ar-Ar: [0.0103408, 3.4]}, cutoff: 5.5}
protocol: {name: custom, template: nothing.j2}
sweep: {replicas: NUMBER}
engine: {lmp: PROGRAM}
seed: 1
"""
HELP = """
Large-scale Atomic/Molecular Massively Parallel Simulator - 22 Jul 2025 - Update 4
Git info (HEAD / stable_22Jul2025_update4)

MPI v5.0: MPICH Version:      5.0.2

Installed packages:

OPENMP

* Pair styles:

lj/cut          zero

"""
LOG = "LAMMPS (22 Jul 2025)\\nLoop time of 0.1 on 1 procs for 10 steps with 4 atoms\\nTotal wall time: 0:00:00\\n"


def program(folder: Path) -> Path:
    """Write what answers as LAMMPS does, and else only writes a log."""
    path = folder / "lmp"
    path.write_text(
        f"#!/bin/sh\nif [ \"$1\" = -h ]; then cat <<'H'\n{HELP}\nH\nexit 0; fi\nprintf '{LOG}' > log.lammps\n"
    )
    path.chmod(0o755)
    return path


def bare(lmp: Path, folder: Path, n: int) -> float:
    """Return the seconds that n of the programs take in a bare pool, each in a folder of its own."""

    def one(number: int) -> None:
        place = folder / str(number)
        place.mkdir()
        subprocess.run([str(lmp)], cwd=place, check=True)

    start = time.monotonic()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(one, range(n)))
    return time.monotonic() - start


def child(what: str, study: Path) -> dict[str, float]:
    """Do one thing with a study in a process of its own; return wall time and peak of memory."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, str(study)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def act(what: str, path: Path) -> None:
    """Run, resume or show a study, and print what that took."""
    from rich.console import Console

    from lampion.progress import show_status
    from lampion.study import execute, plan

    start = time.monotonic()
    planned = plan(path)
    planning = time.monotonic() - start
    if what == "status":
        with Path(os.devnull).open("w") as nowhere:
            show_status(planned, Console(file=nowhere))
    else:
        execute(planned)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"s": time.monotonic() - start, "planning, s": planning, "MB": peak}))


def main(write: bool) -> None:
    """Print the table."""
    record = {}
    for n in (100, 1000, 10000):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            lmp = program(folder)
            (folder / "bare").mkdir()
            alone = bare(lmp, folder / "bare", n)
            shutil.rmtree(folder / "bare")
            (folder / "nothing.j2").write_text(
                '{% include "_setup.j2" %}\nvelocity all create 1 {{ seed("v") }}\nrun 0\n'
            )
            study = folder / "study.yaml"
            study.write_text(STUDY.replace("NUMBER", str(n)).replace("PROGRAM", str(lmp)))
            run, again, status = (child(what, study) for what in ("run", "resume", "status"))
        row = {
            "bare pool, ms a run": round(1000 * alone / n, 1),
            "Lampion, ms a run": round(1000 * (run["s"]) / n, 1),
            "resume, s": round(again["s"], 1),
            "status, s": round(status["s"], 1),
            "driver, MB": round(run["MB"]),
        }
        record[str(n)] = row
        print(n, row, flush=True)
    if write:
        Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "--child" in sys.argv:
        act(sys.argv[2], Path(sys.argv[3]))
    else:
        main("--write" in sys.argv)
