"""What a cluster offers and asks for: one file of the user's for each site, and the scripts that follow."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import jinja2
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lampion import data
from lampion.errors import SettingError
from lampion.settings import Count, Text, settings


def _time(text: str) -> str:
    if not re.fullmatch(r"(\d+-)?\d{1,2}:\d{2}(:\d{2})?", text):
        raise ValueError(f"must be a time as 12:00:00 or 2-00:00:00, not {text!r}")
    return text


def _memory(text: str) -> str:
    if not re.fullmatch(r"\d+[KMGT]?", text):
        raise ValueError(f"must be a size as 8G, not {text!r}")
    return text


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.,:/@+=%-]+$", max_length=200)]
"""Of a scheduler's option: nothing that a shell would take apart."""


@settings
class Site:
    """A SLURM cluster, or a part of it."""

    scheduler: Literal["slurm"] = "slurm"
    account: Word | None = None
    partition: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    time: Annotated[str, AfterValidator(_time)]
    """Wall time of a job, as 12:00:00."""
    cores: Count = 1
    """Cores of a job."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of a job."""
    memory: Annotated[str, AfterValidator(_memory)] | None = None
    """Of a job, as 8G; the partition's default without it."""
    exclusive: bool = False
    """Whole nodes."""
    modules: tuple[Word, ...] = ()
    """Loaded before anything else."""
    setup: tuple[Text, ...] = ()
    """Lines of shell before the work, as the activation of an environment: the user's own, run as they stand."""
    launcher: Literal["mpiexec", "srun"] = "mpiexec"
    """Of runs with more than one rank: mpiexec of LAMMPS's own MPI, or srun."""
    grace: Annotated[int, Field(ge=10, le=3600)] = 120
    """Seconds before the end of the job at which its driver stops its runs, which then go on in the next job."""


def folder() -> Path:
    """Return where the site files lie: $LAMPION_SITES, else ~/.config/lampion/sites."""
    named = os.environ.get("LAMPION_SITES")
    return Path(named).expanduser() if named else Path("~/.config/lampion/sites").expanduser()


def names() -> tuple[str, ...]:
    """Return the names of the sites that there are."""
    return tuple(sorted(path.stem for path in folder().glob("*.yaml")))


def read(name: str) -> Site:
    """Read a site's file.

    Raises:
        SettingError: there is none, or something in it is wrong.
    """
    path = folder() / f"{name}.yaml"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or not path.is_file():
        there = ", ".join(names()) or "none"
        raise SettingError(f"{path}: no such site; write it (there are: {there})")
    try:
        said: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    try:
        return TypeAdapter(Site).validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{path}: {place + ': ' if place else ''}{_said(first)}") from error


def _said(error: Any) -> str:
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key; a site has {', '.join(Site.__dataclass_fields__)}"
    if error["type"] in ("missing", "missing_argument"):
        return "is needed"
    return f"{str(error['msg']).removeprefix('Value error, ')} (it is {error['input']!r})"


def script(site: Site, *, name: str, work: str, jobs: int = 1) -> str:
    """Return a batch script.

    Args:
        site: where it runs.
        name: of the job.
        work: a line of shell, run in the folder that the script is submitted from.
        jobs: members of the array; without an array where it is one.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data.templates()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(["html"]),  # this is shell, whose words are checked or quoted
    )
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:60] or "lampion"
    return environment.get_template("slurm.sh.j2").render(site=site, name=safe, work=work, jobs=jobs)


def driver_line(study: Path) -> str:
    """Return the line of shell that works on a study, and leaves when nothing is left to begin."""
    return f"{shlex.quote(shutil.which('lampion') or 'lampion')} run --no-wait {shlex.quote(str(study.absolute()))}"


def submit(script: Path, *, test: bool = False) -> str:
    """Hand a script to sbatch, or only ask it whether it would take it; return what sbatch says.

    Raises:
        SettingError: there is no sbatch, or it refuses.
    """
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise SettingError(f"{script}: there is no sbatch on the PATH; submit it where SLURM is")
    words = [sbatch, *(["--test-only"] if test else ["--parsable"]), script.name]
    done = subprocess.run(words, cwd=script.parent, capture_output=True, text=True, timeout=120, check=False)
    said = " ".join((done.stderr + " " + done.stdout).split())
    if done.returncode:
        raise SettingError(f"{script}: sbatch refuses it: {said}")
    return said
