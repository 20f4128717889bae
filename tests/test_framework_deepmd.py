"""DeePMD in its own LAMMPS, with its own plugin, against its own Python."""

from pathlib import Path

import ase.io
import numpy as np
import pytest

from lampion import engine, framework, potential
from lampion.check import check
from lampion.engine import Engine
from lampion.errors import EngineError
from lampion.model import inspect
from lampion.potential import PairSetup
from lampion.potential.mlip import Deepmd
from lampion.study import plan
from mlips import evaluate, reference, side, structures
from test_plugin import require_parity

pytestmark = pytest.mark.frameworks

STRUCTURES = {name: structures()[name] for name in ("primitive", "one atom")}
STRUCTURES["supercell"] = STRUCTURES["primitive"] * (3, 2, 2)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``m1.pb`` and ``m2.pb``, of the types Li and O."""
    folder = tmp_path_factory.mktemp("deepmd")
    side("deepmd", "deepmd-models", folder)
    return folder


def setup(models: Path, *names: str) -> PairSetup:
    setting = Deepmd(style="deepmd", files=tuple(models / name for name in names), deviation_every=1)
    return potential.resolve(setting, ["O", "Li"], {"O": 1, "Li": 1}, True, models, None)


def lines(pair: PairSetup) -> list[str]:
    return [" ".join(str(pair.files.get(word, word)) for word in line.split()) for line in pair.commands]


@pytest.mark.parametrize("ranks", [1, 2])
def test_energy_forces_and_virial_are_those_of_deepmd(models: Path, tmp_path: Path, ranks: int) -> None:
    theirs = reference("deepmd", models / "m1.pb", STRUCTURES, tmp_path)
    pair = setup(models, "m1.pb")
    lammps = framework.equip(engine.find(Engine()), pair, ranks=ranks)
    assert "update2 with deepmd-kit 3.2.0" in lammps.identity
    for name, atoms in STRUCTURES.items():
        ours = evaluate(atoms, lines(pair), ["O", "Li"], tmp_path / name, None, ranks=ranks, lammps=lammps)
        require_parity(ours, theirs[name], len(atoms))
        assert np.abs(ours.forces.sum(axis=0)).max() < 1e-9


def test_newton_off_which_deepmd_does_not_refuse_breaks_the_forces(models: Path, tmp_path: Path) -> None:
    """The planted fault: why the decks write newton on always."""
    pair = setup(models, "m1.pb")
    lammps = framework.equip(engine.find(Engine()), pair)
    atoms = STRUCTURES["supercell"]
    off = evaluate(atoms, lines(pair), ["O", "Li"], tmp_path, None, newton="off", lammps=lammps)
    assert np.abs(off.forces.sum(axis=0)).max() > 1e-3


def test_several_models_write_their_deviation(models: Path, tmp_path: Path) -> None:
    pair = setup(models, "m1.pb", "m2.pb")
    lammps = framework.equip(engine.find(Engine()), pair)
    evaluate(STRUCTURES["supercell"], lines(pair), ["O", "Li"], tmp_path, None, lammps=lammps)
    row = np.loadtxt(tmp_path / "model_deviation.out", ndmin=2)[0]
    assert row[4] > 0


def test_a_lammps_that_the_user_chose_and_does_not_fit_is_refused(models: Path) -> None:
    with pytest.raises(EngineError, match=r"leave engine\.lmp out, or set it to"):
        framework.equip(engine.find(Engine()), setup(models, "m1.pb"), chosen=True)


def test_inspect_reads_a_real_frozen_graph(models: Path) -> None:
    model = inspect(models / "m1.pb")
    assert (model.kind, model.elements, model.cutoff) == ("DeePMD model", ("Li", "O"), 4.0)


def test_a_check_compares_with_deepmd(models: Path, tmp_path: Path) -> None:
    ase.io.write(tmp_path / "s.xyz", STRUCTURES["supercell"], format="extxyz")
    path = tmp_path / "study.yaml"
    files = f"[{models / 'm1.pb'}, {models / 'm2.pb'}]"
    path.write_text(
        f"structure: {{file: s.xyz}}\npotential: {{style: deepmd, files: {files}}}\nprotocol: {{name: static}}\n"
    )
    (verdict,) = check(plan(path))
    assert verdict.well, list(verdict.lines())
    assert {"virial against the framework", "forces on 2 ranks against 1"} <= {f.what for f in verdict.findings}
