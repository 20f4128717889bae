"""The ready decks are what the templates render now, and each runs with plain LAMMPS."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lampion import deck, engine
from lampion.data import lammps_inputs
from lampion.engine import Engine
from lampion.study import plan

DECKS = sorted(path.parent for path in lammps_inputs().glob("*/study.yaml"))


def rendered(study: Path, tmp_path: Path) -> dict[str, str]:
    copy = tmp_path / "study.yaml"
    copy.write_bytes(study.read_bytes())
    return dict(plan(copy).jobs[0].deck.files)


def without_version(text: str) -> str:
    return re.sub(r"Made by Lampion \S+", "Made by Lampion", text)


def test_there_are_at_least_four_decks() -> None:
    assert len(DECKS) >= 4


@pytest.mark.parametrize("folder", DECKS, ids=lambda p: p.name)
def test_a_ready_deck_is_what_the_templates_render_now(folder: Path, tmp_path: Path) -> None:
    for name, text in rendered(folder / "study.yaml", tmp_path).items():
        assert without_version((folder / name).read_text()) == without_version(text), f"render {folder.name} anew"


@pytest.mark.parametrize("folder", DECKS, ids=lambda p: p.name)
def test_a_ready_deck_runs_with_plain_lammps(folder: Path, tmp_path: Path) -> None:
    lammps = engine.find(Engine())
    for name in (deck.DECK, deck.DATA):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    done = subprocess.run(
        [lammps.executable, "-in", "in.lammps"],
        cwd=tmp_path,
        env={**os.environ, **lammps.environment, "LAMMPS_POTENTIALS": str(lammps.potentials), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Total wall time" in done.stdout
