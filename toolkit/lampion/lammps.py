"""What one LAMMPS can do: a record, filled by probing the executable where the run will run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lampion.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Lammps:
    """One LAMMPS executable and what it said of itself."""

    executable: Path
    version: str
    """As printed, for example ``22 Jul 2025 - Update 4``."""
    git: str
    """Git descriptor, for example ``stable_22Jul2025_update4``: updates share a printed version, not this."""
    packages: tuple[str, ...]
    styles: Mapping[str, frozenset[str]]
    """Style names by kind: ``pair``, ``fix``, ``compute``, ``dump``, ``kspace``, …"""
    mpi: str
    """The MPI it was built with, for example ``MPICH``; ``STUBS`` for a serial build."""
    mpiexec: Path | None
    """The launcher of that MPI, where one was found."""
    potentials: Path | None
    """The folder of potential files that this installation ships."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that must be set to start it."""
    kokkos: tuple[str, ...] = ()
    """Back ends of its KOKKOS package, as ``CUDA``, ``OpenMP``, ``Serial``; empty without the package."""
    switches: tuple[str, ...] = ()
    """What the accelerator package needs on the command line, for one potential (`lampion.kokkos`)."""
    plugin: str = ""
    """The plugin that brings pair styles which it lacks: source and torch."""
    found_by: str
    """Which of the places it was found in."""

    @property
    def identity(self) -> str:
        """What goes into the key of a run: the git descriptor, or the version where there is none; the plugin."""
        return (self.git or self.version) + (f" with {self.plugin}" if self.plugin else "")

    def require(self, kind: str, style: str) -> None:
        """Refuse a deck that names a style which this LAMMPS lacks.

        Raises:
            EngineError: `style` is not among the styles of `kind`.
        """
        if style not in self.styles.get(kind, frozenset()):
            raise EngineError(
                f"{self.executable}: LAMMPS {self.version} has no {kind} style {style!r}; "
                "use a LAMMPS built with the package that brings it"
            )
