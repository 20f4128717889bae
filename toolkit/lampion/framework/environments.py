"""Make, list and remove the environments of the frameworks.

Each framework has its own virtual environment in the cache, because no two of them fit into one: mace-torch pins
e3nn 0.4.4, nequip needs e3nn 0.6, deepmd-kit's torch extra pins another torch. torch is installed first and pinned
exactly, in the build that pip's own configuration offers: an exported model and the pair styles depend on it.
"""

import fcntl
import importlib.metadata
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lampion.errors import EngineError
from lampion.plugin.build import Torch
from lampion.plugin.entry import cache

logger = logging.getLogger("lampion")

FORMAT = 1
TORCH = "torch==2.13.0"

Name = Literal["mace", "nequip", "deepmd"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    steps: tuple[tuple[str, ...], ...]
    """What pip installs, in order."""
    recorded: tuple[str, ...]
    """Packages whose versions matter."""
    test: str
    """Python that proves that it works."""


_RECIPES: Mapping[Name, _Recipe] = {
    "mace": _Recipe(
        steps=((TORCH,), (TORCH, "mace-torch==0.3.16", "e3nn==0.4.4")),
        recorded=("torch", "mace-torch", "e3nn", "numpy", "ase"),
        # mace first: it lets torch load e3nn's own constants, which are pickles.
        test="from mace.calculators import LAMMPS_MACE, MACECalculator; import torch; from e3nn import o3; "
        "y = o3.spherical_harmonics(1, torch.eye(3), True, 'component'); "
        "assert torch.allclose(y.norm(dim=1), torch.full((3,), 3**0.5))",
    ),
    "nequip": _Recipe(
        steps=((TORCH,), (TORCH, "nequip==0.19.1", "nequip-allegro==0.8.3", "e3nn>=0.6,<0.7")),
        recorded=("torch", "nequip", "nequip-allegro", "e3nn", "numpy", "ase"),
        test="import torch; from nequip.integrations.ase import NequIPCalculator; "
        "from allegro.model import AllegroModel; from nequip.scripts import compile",
    ),
    # Its pair style comes with it, for the LAMMPS that it pins; TensorFlow runs its .pb models.
    "deepmd": _Recipe(
        steps=(("deepmd-kit[cpu,lmp]==3.2.0",),),
        recorded=("deepmd-kit", "tensorflow", "tensorflow-cpu", "lammps", "numpy"),
        test="import deepmd.tf, lammps, pathlib; "
        "assert list((pathlib.Path(deepmd.__file__).parent / 'lib').glob('*plugin.so'))",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A framework that is installed."""

    name: Name
    folder: Path
    versions: Mapping[str, str]

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.folder / "bin/python"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return next(iter(sorted(self.folder.glob("lib/python3*/site-packages"))), self.folder / "lib")

    @property
    def torch(self) -> Torch:
        """Its libtorch.

        Raises:
            EngineError: it has none.
        """
        if "torch" not in self.versions:
            raise EngineError(f"{self.folder}: the framework {self.name} has no torch")
        return Torch(folder=self.packages / "torch", version=self.versions["torch"])


def _folder(name: Name) -> Path:
    return cache() / "frameworks" / name


def installed() -> Iterator[Environment]:
    """Yield the frameworks that are installed and proved."""
    for name in NAMES:
        record = _folder(name) / "framework.json"
        if record.is_file():
            yield _read(name, record)


def _read(name: Name, record: Path) -> Environment:
    try:
        data = json.loads(record.read_text(encoding="utf-8"))
        if int(data["format"]) > FORMAT:
            raise EngineError(
                f"{record}: has format {data['format']}, newer than this Lampion knows; upgrade lampion"
            )
        versions = {str(k): str(v) for k, v in data["versions"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            f"{record}: is damaged ({error}); make it anew with: lampion framework add {name}"
        ) from error
    return Environment(name=name, folder=record.parent, versions=versions)


def find(name: Name) -> Environment:
    """Return the environment of a framework.

    Raises:
        EngineError: it is not installed.
    """
    for environment in installed():
        if environment.name == name and environment.python.exists():
            return environment
    beside = _beside_us(name)
    if beside is not None:
        return beside
    raise EngineError(
        f"{name}: the framework is not installed; `lampion framework add {name}` makes its own environment (minutes, "
        "1 to 2 GB)"
    )


def _beside_us(name: Name) -> Environment | None:
    """Return the framework in this very environment, where ``pip install lampion[mace]`` put it."""
    recipe, versions = _RECIPES[name], {}
    for package in recipe.recorded:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    main = {"mace": ("mace-torch", "torch"), "nequip": ("nequip", "torch"), "deepmd": ("deepmd-kit", "lammps")}[name]
    if not set(main) <= set(versions):
        return None
    return Environment(name=name, folder=Path(sys.prefix), versions=versions)


def add(name: Name) -> Environment:
    """Make the environment of a framework, record its versions and prove it. One that is proved is left as it is.

    Raises:
        EngineError: pip can't install it, or its self-test fails.
    """
    recipe, folder = _RECIPES[name], _folder(name)
    with _alone(folder):
        if (folder / "framework.json").is_file():
            return _read(name, folder / "framework.json")
        shutil.rmtree(folder, ignore_errors=True)
        _call([sys.executable, "-m", "venv", str(folder)], f"{folder}: no virtual environment can be made")
        python = str(folder / "bin/python")
        for step in recipe.steps:
            logger.info("installing %s", " ".join(step))
            _call([python, "-m", "pip", "install", "--quiet", *step], f"{name}: pip can't install {' '.join(step)}")
        logger.info("testing %s", name)
        _call([python, "-I", "-c", recipe.test], f"{name}: its self-test fails after installing")
        versions = _versions(python, recipe.recorded)
        record = folder / "framework.json.new"
        record.write_text(json.dumps({"format": FORMAT, "name": name, "versions": versions}, indent=1) + "\n")
        record.replace(folder / "framework.json")
    return find(name)


def remove(name: Name) -> bool:
    """Remove the environment of a framework; False where there was none."""
    folder = _folder(name)
    if not folder.exists():
        return False
    with _alone(folder):
        shutil.rmtree(folder)
    return True


def _versions(python: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions as the packages themselves say them: torch's holds its build, as ``2.13.0+cpu``."""
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {str(p["name"]).lower().replace("_", "-"): str(p["version"]) for p in json.loads(listed.stdout)}
    return {name: found[name] for name in names if name in found}


def _call(words: list[str], failed: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")]
        raise EngineError(f"{failed}: {(errors or lines or ['no output'])[-1]}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
