"""Decks and batch scripts for those who run them by hand, or by a scheduler."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from lampion import deck, engine
from lampion import site as sites
from lampion.errors import LampionError
from lampion.study import expand, plan, read_document


def render_study(study: Path, output: Path, site: str | None) -> Iterator[str]:
    """Write the deck of every run into a folder of its own, and a script for a scheduler where a site is named.

    Raises:
        LampionError: a folder is there already, or anything that `plan` refuses.
    """
    chosen = None if site is None else sites.read(site)
    planned = plan(study)
    folders = [output / f"{number:04d}" for number in range(1, len(planned.jobs) + 1)]
    for folder in folders:
        if folder.exists():
            raise LampionError(f"{folder}: exists already; choose another --output, or remove it")
    for folder, job in zip(folders, planned.jobs, strict=True):
        folder.mkdir(parents=True)
        deck.write(job.deck, folder)
        values = ", ".join(f"{name} = {value}" for name, value in job.point.values.items())
        yield f"{folder}  {values}{', ' if values else ''}replica {job.point.replica}"
    if chosen is None:
        return
    for folder, job in zip(folders, planned.jobs, strict=True):
        words = engine.command(job.lammps, planned.study.engine)
        variables = {**job.lammps.environment, "OMP_NUM_THREADS": str(planned.study.engine.threads)}
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        head = '#!/bin/sh\ncd "$(dirname "$0")" || exit 1\n'
        (folder / "run.sh").write_text(f"{head}{exports}exec {shlex.join(words)}\n")
    script = output / "submit.sh"
    work = 'sh "$(printf %04d "${SLURM_ARRAY_TASK_ID:-1}")/run.sh"'
    name = planned.study.title or study.stem
    script.write_text(sites.script(chosen, name=name, work=work, jobs=len(folders)))
    yield f"submit with: cd {shlex.quote(str(output))} && sbatch submit.sh"


def submit_study(study: Path, site: str, jobs: int) -> str:
    """Write a script beside the study and submit it; return what sbatch says, which is the job's number.

    Raises:
        LampionError: the study is not valid, or the scheduler refuses.
    """
    points = expand(read_document(study.absolute()))
    chosen = sites.read(site)
    script = study.absolute().with_name(f"{study.stem}.{site}.sh")
    name = points[0].study.title or study.stem
    script.write_text(sites.script(chosen, name=name, work=sites.driver_line(study), jobs=jobs))
    return sites.submit(script)
