"""The command line of a LAMMPS with KOKKOS, and what is refused. A build with KOKKOS is not at hand: a stand-in."""

from dataclasses import replace
from pathlib import Path

import pytest

from lampion import engine, kokkos
from lampion.engine import Engine, command
from lampion.errors import EngineError
from lampion.kokkos import Kokkos, accelerate, words
from lampion.lammps import Lammps

HELP = """
Large-scale Atomic/Molecular Massively Parallel Simulator - 22 Jul 2025 - Update 4
Git info (HEAD / stable_22Jul2025_update4)

MPI v4.0: MPICH Version: 4.1
Accelerator configuration:

KOKKOS package API: {back_ends}
KOKKOS package precision: double

Installed packages:

KOKKOS ML-SNAP

List of individual style options included in this LAMMPS executable

* Pair styles:

snap            snap/kk         mace            mace/kk

"""


def probed(folder: Path, back_ends: str) -> Lammps:
    path = folder / "lmp"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{HELP.format(back_ends=back_ends)}\nEND\n")
    path.chmod(0o755)
    return engine.probe(path, "the test")


def test_the_back_ends_are_read_from_the_help(tmp_path: Path) -> None:
    assert probed(tmp_path, "CUDA Serial").kokkos == ("CUDA", "Serial")


def test_the_wheel_has_none_and_asking_for_it_is_refused() -> None:
    wheel = engine.find(Engine())
    assert wheel.kokkos == ()
    with pytest.raises(EngineError, match="without the package KOKKOS"):
        words(wheel, Kokkos(), newton=True, ranks=1, threads=1)


@pytest.mark.parametrize(
    ("newton", "wanted"), [(True, "newton on neigh half"), (False, "newton off neigh full")]
)  # fmt: skip
def test_newton_and_lists_follow_the_potential_and_are_always_written(
    tmp_path: Path, newton: bool, wanted: str
) -> None:
    lammps = probed(tmp_path, "CUDA Serial")
    said = " ".join(words(lammps, Kokkos(gpus=2, gpu_aware=False), newton=newton, ranks=2, threads=1))
    assert said == f"-k on g 2 -sf kk -pk kokkos {wanted} gpu/aware off"


def test_threads_on_cpus_and_the_whole_command(tmp_path: Path) -> None:
    lammps = replace(probed(tmp_path, "OpenMP Serial"), mpiexec=None)
    made = accelerate(lammps, Kokkos(), ["snap"], newton=True, ranks=1, threads=8)
    said = " ".join(command(made, Engine(threads=8)))
    assert said.endswith("-nocite -k on t 8 -sf kk -pk kokkos newton on neigh half")
    assert "omp" not in said
    assert engine.environment(made, Engine(threads=8))["OMP_PROC_BIND"] == "spread"


@pytest.mark.parametrize(
    ("back_ends", "settings", "ranks", "sentence"),
    [
        ("OpenMP Serial", Kokkos(gpus=1), 1, "none for GPUs"),
        ("CUDA Serial", Kokkos(), 1, "was built for GPUs"),
        ("CUDA Serial", Kokkos(gpus=1), 2, "2 ranks would share 1 GPUs"),
    ],
)
def test_what_can_not_work_is_refused(
    tmp_path: Path, back_ends: str, settings: Kokkos, ranks: int, sentence: str
) -> None:
    with pytest.raises(EngineError, match=sentence):
        words(probed(tmp_path, back_ends), settings, newton=True, ranks=ranks, threads=1)


def test_a_float32_model_in_mace_kk_is_refused(tmp_path: Path) -> None:
    lammps = probed(tmp_path, "CUDA Serial")
    options = {"newton": True, "ranks": 1, "threads": 1}
    with pytest.raises(EngineError, match="float64"):
        accelerate(lammps, Kokkos(gpus=1), ["mace"], float32=True, **options)
    accelerate(lammps, Kokkos(gpus=1), ["mace"], float32=False, **options)


def test_the_table_says_what_is_here_and_that_it_was_only_read(tmp_path: Path) -> None:
    lines = kokkos.table(probed(tmp_path, "CUDA Serial"))
    assert any("KOKKOS snap: has a kk style, snap/kk here" in line for line in lines)
    assert all("read, not run" in line for line in lines)
