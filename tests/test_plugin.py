"""MACE in LAMMPS through our plugin against MACE's own calculator, on models with random weights.

The environments are made where they are missing, which takes minutes. Limits are those of issue 5; those of float32
follow from its 6e-8 relative rounding in energies of some eV an atom and forces of some eV/Å.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest

from lampion import engine, framework
from lampion.check import check
from lampion.engine import Engine
from lampion.plugin.build import PLUGIN
from lampion.study import plan
from mlips import Point, call, command, deck, evaluate, plugins, reference, side, structures, table, warm

pytestmark = pytest.mark.frameworks

STRUCTURES = structures()
ELEMENTS = {"Si": ["Si"], "LiO": ["Li", "O"], "LiOCl": ["Li", "O", "Cl"]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports ``X-lammps.pt`` of ``X.model``."""
    folder = tmp_path_factory.mktemp("mace")
    side("mace", "mace-models", folder)
    for path in sorted(folder.glob("*.model")):
        framework.export(path, trusted=True, dtype="float32" if "32" in path.name else "float64", output=folder)
    return folder


def pair(models: Path, name: str, order: list[str], keyword: str = "") -> list[str]:
    return [f"pair_style mace {keyword}".rstrip(), f"pair_coeff * * {models / name}-lammps.pt {' '.join(order)}"]


def said(models: Path, folder: Path, name: str = "LiOCl", dtype: str = "float64") -> dict[str, Point]:
    return reference("mace", models / f"{name}.model", STRUCTURES, folder, dtype)


def require_parity(ours: Point, theirs: Point, n_atoms: int) -> None:
    assert abs(ours.energy - theirs.energy) / n_atoms < 1e-8
    assert np.abs(ours.forces - theirs.forces).max() < 1e-6
    assert ours.virial is not None
    assert ours.per_atom is not None
    if theirs.virial is not None:
        # LAMMPS prints pressures of some 1e5 bar with all digits; an isolated atom's virial is zero.
        assert np.abs(ours.virial - theirs.virial).max() <= 1e-7 * max(np.abs(theirs.virial).max(), 1e-3)
    assert ours.per_atom.sum() == pytest.approx(ours.energy, abs=1e-8 * n_atoms)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_energy_forces_and_virial_are_those_of_mace(models: Path, tmp_path: Path, ranks: int) -> None:
    theirs = said(models, tmp_path)
    for name, atoms in STRUCTURES.items():
        ours = evaluate(
            atoms, pair(models, "LiOCl", ["Cl", "Li", "O"]), ["Cl", "Li", "O"], tmp_path / name, plugins("mace"),
            ranks=ranks,
        )  # fmt: skip
        require_parity(ours, theirs[name], len(atoms))


def test_models_of_one_and_two_elements_and_the_keyword_agree_too(models: Path, tmp_path: Path) -> None:
    silicon = ase.Atoms("Si8", scaled_positions=np.random.default_rng(5).random((8, 3)), cell=[5.4] * 3, pbc=True)
    oxide = STRUCTURES["primitive"] * (2, 2, 1)
    for name, atoms, order in (("Si", silicon, ["Si"]), ("LiO", oxide, ["O", "Li"])):
        (tmp_path / name).mkdir()
        theirs = reference("mace", models / f"{name}.model", {name: atoms}, tmp_path / name)[name]
        for keyword in ("", "no_domain_decomposition"):
            lines = pair(models, name, order, keyword)
            require_parity(evaluate(atoms, lines, order, tmp_path / name, plugins("mace")), theirs, len(atoms))


def test_a_float32_model_agrees_within_float32(models: Path, tmp_path: Path) -> None:
    theirs = said(models, tmp_path, "LiOCl32", "float32")
    for name in ("triclinic", "primitive"):
        atoms = STRUCTURES[name]
        lines = pair(models, "LiOCl32", ["O", "Cl", "Li"])
        for ranks in (1, 2):
            ours = evaluate(atoms, lines, ["O", "Cl", "Li"], tmp_path / name, plugins("mace"), ranks=ranks)
            assert abs(ours.energy - theirs[name].energy) / len(atoms) < 2e-6
            assert np.abs(ours.forces - theirs[name].forces).max() < 2e-5


def test_planted_faults_are_seen(models: Path, tmp_path: Path) -> None:
    """What parity and the virial's test must catch: species swapped, a virial of the other sign."""
    atoms, theirs = STRUCTURES["triclinic"], said(models, tmp_path)["triclinic"]
    wrong = pair(models, "LiOCl", ["Cl", "O", "Li"])
    ours = evaluate(atoms, wrong, ["Cl", "Li", "O"], tmp_path / "swapped", plugins("mace"))
    with pytest.raises(AssertionError):
        require_parity(ours, theirs, len(atoms))
    right = evaluate(atoms, pair(models, "LiOCl", ["Cl", "Li", "O"]), ["Cl", "Li", "O"], tmp_path, plugins("mace"))
    assert right.virial is not None
    with pytest.raises(AssertionError):
        require_parity(Point(right.energy, right.forces, -right.virial, right.per_atom), theirs, len(atoms))


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", ["triclinic", "slab"])
def test_the_virial_is_minus_the_derivative_by_strain(models: Path, tmp_path: Path, name: str, ranks: int) -> None:
    atoms, order, h = STRUCTURES[name], ["Li", "O", "Cl"], 1e-5
    lines = pair(models, "LiOCl", order)
    virial = evaluate(atoms, lines, order, tmp_path / "0", plugins("mace"), ranks=ranks).virial
    assert virial is not None
    # ASE writes a box that is nearly straight as a straight one, so the slab is not sheared.
    for a, b in ((0, 0), (2, 2), (0, 1), (1, 2)) if name == "triclinic" else ((0, 0), (2, 2)):
        energies = []
        for sign in (1, -1):
            strained, strain = atoms.copy(), np.zeros((3, 3))
            strain[a, b] += sign * h / 2
            strain[b, a] += sign * h / 2
            strained.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(evaluate(strained, lines, order, tmp_path / "1", plugins("mace"), ranks=ranks).energy)
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(virial[a, b], abs=1e-6 * np.abs(virial).max())


def energy_errors(
    atoms: ase.Atoms, lines: list[str], order: list[str], folder: Path, path: Path, **options: object
) -> list[float]:
    """Return the largest error of the total energy over 0.1 ps, with 0.5 fs and with half of it.

    Velocity Verlet errs by dt² where forces are minus the energy's derivative; a drift of another cause would stay.
    Models with random weights let atoms collapse within a picosecond, so that a slope over longer times says nothing.
    """
    atoms = atoms.copy()
    warm(atoms)
    worst = []
    for steps in (200, 400):
        after = f"undump all\ntimestep {0.1 / steps}\nfix nve all nve\nthermo {steps // 20}\nrun {steps}"
        rows = table(call(atoms, lines, order, folder, path, after=after, **options))  # type: ignore[arg-type]
        worst.append(float(np.abs(rows[:, 2] - rows[0, 2]).max()))
    return worst


def test_the_error_of_the_energy_falls_as_the_square_of_the_timestep(models: Path, tmp_path: Path) -> None:
    order = ["Li", "O", "Cl"]
    lines = pair(models, "LiOCl", order)
    coarse, fine = energy_errors(STRUCTURES["triclinic"], lines, order, tmp_path, plugins("mace"))
    assert coarse / fine == pytest.approx(4.0, rel=0.1)


def test_two_ranks_run_the_same_trajectory_as_one(models: Path, tmp_path: Path) -> None:
    atoms, order = STRUCTURES["triclinic"].copy(), ["Li", "O", "Cl"]
    warm(atoms)
    lines = pair(models, "LiOCl", order)
    one, two = (
        table(call(atoms, lines, order, tmp_path / str(n), plugins("mace"), ranks=n, after=nve(100))) for n in (1, 2)
    )
    assert np.abs(one[:, 1:3] - two[:, 1:3]).max() < 1e-9 * len(atoms)


def nve(steps: int) -> str:
    return f"undump all\ntimestep 0.0005\nfix nve all nve\nthermo 20\nrun {steps}"


def test_hybrid_overlay_null_minimize_and_rerun(models: Path, tmp_path: Path) -> None:
    atoms, order = STRUCTURES["triclinic"], ["Li", "O", "Cl"]
    file = f"{models / 'LiOCl'}-lammps.pt"
    alone = evaluate(atoms, pair(models, "LiOCl", order), order, tmp_path / "alone", plugins("mace"))
    zbl = ["pair_style zbl 1.0 2.5", *zbl_lines("")]
    repulsion = evaluate(atoms, zbl, order, tmp_path / "zbl", plugins("mace"))
    overlay = [
        "pair_style hybrid/overlay mace zbl 1.0 2.5",
        f"pair_coeff * * mace {file} Li O Cl",
        *zbl_lines("zbl "),
    ]
    for ranks in (1, 2):
        both = evaluate(atoms, overlay, order, tmp_path / "both", plugins("mace"), ranks=ranks)
        assert both.energy == pytest.approx(alone.energy + repulsion.energy, abs=1e-9)
        assert np.abs(both.forces - alone.forces - repulsion.forces).max() < 1e-9
    null = ["pair_style hybrid/overlay mace zbl 1.0 2.5", f"pair_coeff * * mace {file} Li O NULL", *zbl_lines("zbl ")]
    without = atoms[[a.symbol != "Cl" for a in atoms]]
    part = evaluate(without, pair(models, "LiOCl", ["Li", "O"]), ["Li", "O"], tmp_path / "part", plugins("mace"))
    for ranks in (1, 2):
        some = evaluate(atoms, null, order, tmp_path / "null", plugins("mace"), ranks=ranks)
        assert some.energy == pytest.approx(part.energy + repulsion.energy, abs=1e-9)
    lines = pair(models, "LiOCl", order)
    after = "minimize 0 1e-3 20 100\nwrite_dump all custom x.dump id type x y z\nrerun x.dump dump x y z"
    relaxed = call(atoms, lines, order, tmp_path / "minimize", plugins("mace"), after=after)
    assert "ERROR" not in relaxed
    assert relaxed.count("Loop time") == 2


STRESS = "compute s all stress/atom NULL\ncompute t all reduce sum c_s[1]\nthermo_style custom step c_t\nrun 0"


def zbl_lines(style: str) -> list[str]:
    return [
        f"pair_coeff {i} {j} {style}{z} {w}"
        for i, z in enumerate((3, 8, 17), 1)
        for j, w in enumerate((3, 8, 17), 1)
        if i <= j
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"newton": "off"}, "write newton on"),
        ({"pair": ["pair_style mace sideways"]}, "takes nothing or no_domain_decomposition, not sideways"),
        ({"order": ["Li", "O", "Na"]}, "has no Na; its elements are Li O Cl"),
        ({"order": ["Li", "O"]}, "one name for each of the 3 atom types"),
        ({"file": "LiOCl.model"}, "no exported model"),
        ({"file": "cut-lammps.pt"}, "truncated"),
        ({"file": "none.pt"}, "no such file"),
        ({"keyword": "no_domain_decomposition", "ranks": 2}, "one MPI rank, not 2"),
        ({"after": STRESS}, "has no stress per atom"),
    ],
)  # fmt: skip
def test_what_the_style_can_not_do_is_refused_in_a_sentence(
    models: Path, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    whole = (models / "LiOCl-lammps.pt").read_bytes()
    (models / "cut-lammps.pt").write_bytes(whole[: len(whole) // 2])
    order = change.get("order", ["Li", "O", "Cl"])
    file = models / str(change.get("file", "LiOCl-lammps.pt"))
    keyword = change.get("keyword", "")
    lines = change.get("pair") or [f"pair_style mace {keyword}", f"pair_coeff * * {file} {' '.join(order)}"]
    options = {k: v for k, v in change.items() if k in ("newton", "ranks", "after")}
    text = call(STRUCTURES["triclinic"], lines, ["Li", "O", "Cl"], tmp_path, plugins("mace"), **options)
    assert "ERROR" in text
    assert sentence in text
    assert "terminate called" not in text


def test_other_units_and_a_missing_map_are_refused(models: Path, tmp_path: Path) -> None:
    atoms, order = STRUCTURES["triclinic"], ["Li", "O", "Cl"]
    for old, new, sentence in (
        ("units metal", "units real", "write units metal, not real"),
        ("atom_modify map yes", "", "write atom_modify map yes"),
    ):
        lines = pair(models, "LiOCl", order, "no_domain_decomposition")
        call(atoms, lines, order, tmp_path, plugins("mace"), after="run 0")
        text = deck(atoms, lines, "on", "", "run 0").replace(old, new)
        (tmp_path / "in.lammps").write_text(text)
        assert sentence in again(tmp_path)


def again(folder: Path, **variables: str) -> str:
    import os

    environment = {**os.environ, **engine.find(Engine()).environment, "OMP_NUM_THREADS": "1"}
    environment |= {"LAMMPS_PLUGIN_PATH": str(plugins("mace")), **variables}
    done = subprocess.run(command(), cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_a_plugin_for_another_lammps_refuses_itself(models: Path, tmp_path: Path) -> None:
    order = ["Li", "O", "Cl"]
    other = tmp_path / "plugins"
    shutil.copytree(plugins("mace"), other)
    data = (other / PLUGIN).read_bytes()
    git = engine.find(Engine()).git.encode()
    assert git in data
    (other / PLUGIN).unlink()
    (other / PLUGIN).write_bytes(data.replace(git, git[:-1] + b"9"))
    text = call(STRUCTURES["triclinic"], pair(models, "LiOCl", order), order, tmp_path, other)
    assert f"was compiled for LAMMPS {git[:-1].decode()}9 and this is {git.decode()}" in text


def test_a_run_without_a_model_loads_no_libtorch_and_starts_as_fast(tmp_path: Path) -> None:
    atoms = ase.Atoms("Ar2", positions=[[0, 0, 0], [3.8, 0, 0]], cell=[20, 20, 20], pbc=True)
    lines = ["pair_style lj/cut 8", "pair_coeff * * 0.01 3.4", "shell 'cat /proc/$PPID/maps > maps'"]
    seconds: dict[Path | None, float] = {}
    for path in (None, plugins("mace"), None, plugins("mace")):
        begin = time.perf_counter()
        text = call(atoms, lines, ["Ar"], tmp_path, path)
        seconds[path] = min(seconds.get(path, 1e9), time.perf_counter() - begin)
        assert "ERROR" not in text
        maps = (tmp_path / "maps").read_text()
        assert ("lampionplugin.so" in maps) == (path is not None)
        assert "libtorch" not in maps
    assert seconds[plugins("mace")] < seconds[None] + 0.5


STUDY = """
structure: {file: s.xyz}
potential: {style: mace, file: ./LiOCl-lammps.pt}
protocol: {name: static}
engine: {ranks: 2}
"""


def study(models: Path, folder: Path, name: str = "triclinic") -> Path:
    for ending in ("-lammps.pt", "-lammps.pt.json"):
        (folder / f"LiOCl{ending}").write_bytes((models / f"LiOCl{ending}").read_bytes())
    ase.io.write(folder / "s.xyz", STRUCTURES[name], format="extxyz")
    path = folder / "study.yaml"
    path.write_text(STUDY)
    return path


def run_study(path: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", "from lampion.cli import main; main()", "run", str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_run_begins_with_a_check_that_is_not_repeated(models: Path, tmp_path: Path) -> None:
    path = study(models, tmp_path)
    done = run_study(path)
    assert done.returncode == 0, done.stderr
    for what in ("energy against the framework", "virial against the derivative by strain", "2 ranks against 1"):
        assert what in done.stdout
    assert "FAILED" not in done.stdout
    again = run_study(path)
    assert again.returncode == 0
    assert "against the framework" not in again.stdout


def test_a_check_without_the_checkpoint_uses_the_export_in_python(models: Path, tmp_path: Path) -> None:
    path = study(models, tmp_path, "slab")
    (tmp_path / "LiOCl-lammps.pt.json").unlink()
    (verdict,) = check(plan(path))
    assert verdict.well, list(verdict.lines())
    assert "neighbour list" in " ".join(verdict.notes)
    assert {f.what for f in verdict.findings} >= {"energy against the framework", "forces against the framework"}


def test_an_export_of_another_model_stops_the_study(models: Path, tmp_path: Path) -> None:
    """Planted: the record beside the export names a model with other weights."""
    path = study(models, tmp_path)
    beside = tmp_path / "LiOCl-lammps.pt.json"
    record = json.loads(beside.read_text())
    side("mace", "mace-other", models / "LiOCl.model", tmp_path / "other.model")
    other = tmp_path / "other.model"
    record |= {"source": str(other), "source_sha256": hashlib.sha256(other.read_bytes()).hexdigest()}
    beside.write_text(json.dumps(record))
    done = run_study(path)
    assert done.returncode == 1
    assert "FAILED  forces against the framework" in done.stderr
    assert "cause" in done.stderr
    assert not list(tmp_path.glob("runs/*/*/attempts"))
    assert "Traceback" not in done.stderr
