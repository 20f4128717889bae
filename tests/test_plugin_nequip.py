"""NequIP and Allegro in LAMMPS through our plugin against NequIP's own calculator, on two-layer models."""

from pathlib import Path

import ase.io
import pytest

from lampion import framework
from lampion.check import check
from lampion.errors import PotentialError
from lampion.model import inspect
from lampion.study import plan
from mlips import call, evaluate, plugins, reference, side, structures
from test_plugin import energy_errors, require_parity

pytestmark = pytest.mark.frameworks

STRUCTURES = structures()
ORDER = ["O", "Cl", "Li"]
NEWTON = {"nequip": "off", "allegro": "on"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports ``nequip.nequip.pt2`` and ``allegro.nequip.pt2`` of checkpoints."""
    folder = tmp_path_factory.mktemp("nequip")
    side("nequip", "nequip-models", folder)
    for style in NEWTON:
        framework.export(folder / f"{style}.ckpt", trusted=True, output=folder)
    return folder


def pair(models: Path, style: str, order: list[str]) -> list[str]:
    return [f"pair_style {style}", f"pair_coeff * * {models / style}.nequip.pt2 {' '.join(order)}"]


@pytest.mark.parametrize(("style", "ranks"), [("nequip", 1), ("allegro", 1), ("allegro", 2), ("allegro", 4)])
def test_energy_forces_and_virial_are_those_of_the_framework(
    models: Path, tmp_path: Path, style: str, ranks: int
) -> None:
    theirs = reference("nequip", models / f"{style}.ckpt", STRUCTURES, tmp_path)
    lines = pair(models, style, ORDER)
    for name, atoms in STRUCTURES.items():
        options = {"ranks": ranks, "newton": NEWTON[style]}
        ours = evaluate(atoms, lines, ORDER, tmp_path / name, plugins("nequip"), **options)
        require_parity(ours, theirs[name], len(atoms))


@pytest.mark.parametrize(("style", "ranks"), [("nequip", 1), ("allegro", 2)])
def test_the_error_of_the_energy_falls_as_the_square_of_the_timestep(
    models: Path, tmp_path: Path, style: str, ranks: int
) -> None:
    options = {"newton": NEWTON[style], "ranks": ranks}
    lines = pair(models, style, ORDER)
    coarse, fine = energy_errors(STRUCTURES["triclinic"], lines, ORDER, tmp_path, plugins("nequip"), **options)
    assert coarse / fine == pytest.approx(4.0, rel=0.1)


def test_inspect_tells_the_exports_apart_and_the_record_lies_beside_them(models: Path) -> None:
    for style, kind in (("nequip", "NequIP export"), ("allegro", "Allegro export")):
        model = inspect(models / f"{style}.nequip.pt2")
        assert (model.kind, model.elements, model.cutoff) == (kind, ("Cl", "Li", "O"), 4.0)
        assert '"torch": "2.13.0' in (models / f"{style}.nequip.pt2.json").read_text()
    with pytest.raises(PotentialError, match="is an export already"):
        framework.export(models / "nequip.nequip.pt2", trusted=True)


@pytest.mark.parametrize(
    ("style", "change", "sentence"),
    [
        ("nequip", {"newton": "on"}, "write newton off"),
        ("nequip", {"ranks": 2}, "runs on one MPI rank, not 2"),
        ("allegro", {"newton": "off"}, "write newton on"),
        ("allegro", {"order": ["O", "Cl", "Na"]}, "has no Na; its elements are Cl Li O"),
        ("nequip", {"file": "allegro.ckpt"}, "must be named"),
    ],
)
def test_what_the_styles_can_not_do_is_refused_in_a_sentence(
    models: Path, tmp_path: Path, style: str, change: dict[str, object], sentence: str
) -> None:
    order, file = change.pop("order", ORDER), change.pop("file", f"{style}.nequip.pt2")
    lines = [f"pair_style {style}", f"pair_coeff * * {models / str(file)} {' '.join(order)}"]
    options = {"newton": NEWTON[style], **change}
    text = call(STRUCTURES["triclinic"], lines, ORDER, tmp_path, plugins("nequip"), **options)
    assert "ERROR" in text
    assert sentence in text


@pytest.mark.parametrize("style", ["nequip", "allegro"])
def test_a_check_compares_with_the_checkpoint(models: Path, tmp_path: Path, style: str) -> None:
    for ending in (".nequip.pt2", ".nequip.pt2.json"):
        (tmp_path / f"m{ending}").write_bytes((models / f"{style}{ending}").read_bytes())
    ase.io.write(tmp_path / "s.xyz", STRUCTURES["triclinic"], format="extxyz")
    path = tmp_path / "study.yaml"
    potential = f"{{style: {style}, file: ./m.nequip.pt2}}"
    path.write_text(f"structure: {{file: s.xyz}}\npotential: {potential}\nprotocol: {{name: static}}\n")
    (verdict,) = check(plan(path))
    assert verdict.well, list(verdict.lines())
    whats = {finding.what for finding in verdict.findings}
    assert "virial against the framework" in whats
    assert ("forces on 2 ranks against 1" in whats) == (style == "allegro")
