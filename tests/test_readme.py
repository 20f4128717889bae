"""What the README says is so: its studies are valid, its commands exist, its numbers are committed results'."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.main import get_command

from lampion.analysis.arrhenius import arrhenius
from lampion.analysis.statistics import Estimate
from lampion.cli import app
from lampion.study import expand, read_document

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "tests/benchmarks"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def shown(row: "pd.Series[float]", name: str, unit: str) -> str:
    estimate = Estimate(
        value=row[f"{name} ({unit})"], standard_error=row[f"{name} error ({unit})"], unit="", n_samples=2
    )
    return str(estimate)


def quickstart_table() -> str:
    """Return the table of the quickstart's committed results, as the README must show it."""
    lines = [
        "| T (K) | D (cm²/s) | viscosity (mPa·s) | D, infinite cell (cm²/s) |",
        "|---|---|---|---|",
    ]
    for _, row in pd.read_csv(ROOT / "examples/liquid_lithium/points.csv").iterrows():
        cells = [
            f"{row['protocol.temperature']:g}",
            shown(row, "D Li", "cm²/s"),
            shown(row, "viscosity", "mPa·s"),
            shown(row, "D Li infinite cell", "cm²/s"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def salt_table() -> str:
    """Return what the molten salt's committed results say."""
    row = pd.read_csv(ROOT / "examples/molten_sodium_chloride/points.csv").iloc[0]
    names = [("D Na", "cm²/s"), ("D Cl", "cm²/s"), ("Dσ", "cm²/s"), ("conductivity", "mS/cm")]
    names += [("Green–Kubo conductivity", "mS/cm"), ("viscosity", "mPa·s")]
    lines = [f"| {name} | {shown(row, name, unit)} {unit} |" for name, unit in names]
    haven = Estimate(value=row["Haven ratio"], standard_error=row["Haven ratio error"], unit="", n_samples=2)
    mean = f"| molten NaCl at {row['T (K)']:.0f} K, the runs' mean | |"
    return "\n".join([mean, "|---|---|", *lines, f"| Haven ratio | {haven} |"])


def copper_table() -> str:
    """Return what the copper ensemble's committed results say."""
    lines = ["| potential | T (K) | D (cm²/s), 8 trajectories |", "|---|---|---|"]
    for _, row in pd.read_csv(ROOT / "examples/liquid_copper_ensemble/points.csv").iterrows():
        name, T = row["potential.file"].removesuffix(".eam.alloy"), row["protocol.temperature"]
        lines.append(f"| {name} | {T:g} | {shown(row, 'D Cu', 'cm²/s')} |")
    return "\n".join(lines)


def reading_table() -> str:
    """Return what the benchmark of reading dumps measured."""
    record = json.loads((BENCHMARKS / "dump_reading.json").read_text())
    lines = ["| reader | CPU s | times Lampion |", "|---|---|---|"]
    for name, seconds in record["text, CPU s"].items():
        lines.append(f"| {name} | {seconds} | {record['text, times Lampion'][name]} |")
    return "\n".join(lines)


def speed_table() -> str:
    """Return what the benchmark of the models in LAMMPS measured."""
    record = json.loads((BENCHMARKS / "mlip_speed.json").read_text())
    lines = [
        "| model | LAMMPS, µs | ASE, µs | ASE / LAMMPS | 2 ranks against 1, 4,096 atoms |",
        "|---|---|---|---|---|",
    ]
    for name, row in record["CPU time per atom and step, 512 atoms"].items():
        ranks = record["wall time of a step, 4096 atoms"].get(name, {}).get("speed-up", "one rank only")
        lines.append(f"| {name} | {row['LAMMPS, µs']} | {row['ASE, µs']} | {row['ASE / LAMMPS']} | {ranks} |")
    return "\n".join(lines)


def diffusion_speed_table() -> str:
    """Return what the benchmark of diffusion measured."""
    record = json.loads((BENCHMARKS / "diffusion_speed.json").read_text())
    lines = ["| what | by | CPU s | times Lampion |", "|---|---|---|---|"]
    for what, row in record["CPU s"].items():
        for who, taken in row.items():
            ratio = float(f"{taken / row['Lampion']:.3g}")
            lines.append(f"| {what} | {who} | {taken:g} | {ratio:g} |")
    return "\n".join(lines)


def calibration_table() -> str:
    """Return what the Monte Carlo with known D measured."""
    record = json.loads((BENCHMARKS / "diffusion_calibration.json").read_text())
    lines = [
        "| motion | estimator | true scatter (%) | stated error (%) | truth within 68.3 % (%) | within 95.4 % (%) |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        numbers = [f"{100 * row[name]:.1f}" for name in ("scatter", "stated", "in 1σ", "in 2σ")]
        who = row["estimator"] + ("" if row["replicas"] == record["replicas"] else f" ({row['replicas']} walks)")
        lines.append(f"| {row['model']} | {who} | " + " | ".join(numbers) + " |")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("quickstart", quickstart_table),
        ("salt", salt_table),
        ("copper", copper_table),
        ("reading", reading_table),
        ("calibration", calibration_table),
        ("speed", speed_table),
        ("diffusion speed", diffusion_speed_table),
    ],
)
def test_a_table_of_the_readme_is_made_from_committed_results(name: str, table: Callable[[], str]) -> None:
    inside = re.search(rf"<!-- {name} table -->\n\n(.*?)\n\n<!-- end", README, re.DOTALL)
    assert inside is not None
    assert inside.group(1) == table()


def test_the_quickstarts_activation_energy_is_that_of_its_committed_points() -> None:
    points = pd.read_csv(ROOT / "examples/liquid_lithium/points.csv")
    D = [
        Estimate(value=v, standard_error=e, unit="cm²/s", n_samples=int(n))
        for v, e, n in zip(
            points["D Li (cm²/s)"], points["D Li error (cm²/s)"], points["D Li independent samples"], strict=True
        )
    ]
    Ea = arrhenius(points["T (K)"], D).Ea
    assert f"one activation energy, {Ea.value:.3f}({round(1000 * Ea.standard_error)}) eV" in README


def test_every_picture_and_link_of_the_readme_is_there() -> None:
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readmes_study_is_valid(tmp_path: Path) -> None:
    study = next(block for block in blocks("yaml") if block.startswith("title:"))
    (tmp_path / "study.yaml").write_text(study)
    assert len(expand(read_document(tmp_path / "study.yaml"))) == 6


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_every_example_is_a_valid_study(example: Path) -> None:
    assert expand(read_document(example))


def test_the_readme_lists_every_command() -> None:
    command = get_command(app)
    for name in command.commands:  # type: ignore[attr-defined]
        assert re.search(rf"`(lampion )?{name}[` ]", README) or f"lampion {name}" in README, name


def test_the_gate_runs_the_readmes_test_command() -> None:
    assert len(blocks("bash tests")) == 1
    assert len(blocks("bash quickstart")) == 1
    gate = (ROOT / ".ci/run").read_text()
    assert "```bash tests$" in gate
