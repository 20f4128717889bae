# ruff: noqa: T201
"""MACE, NequIP and Allegro in LAMMPS beside the same models under ASE's MD, one thread each.

    python tests/benchmarks/mlip_speed.py [--json FILE]

makes the environments of mace and nequip where they are missing, and prints microseconds of CPU time per atom and
step after a warm-up, 512 atoms in NVE at 1 fs, and the wall time of several ranks. The models have two layers and
random weights: forces are small, so atoms hardly move and neighbour lists are rarely rebuilt, in both.
"""

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[1]))
from lampion import engine, framework
from lampion.engine import Engine
from mlips import call, plugins, side, warm

WARM_UP, STEPS, BEST_OF = 15, 25, 3
ORDER = ["Cl", "Li", "O"]

ASE_SIDE = """
import sys, time, warnings, json, os
warnings.filterwarnings("ignore")
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
import ase.io, torch
from ase.md.verlet import VelocityVerlet
from ase.units import fs
torch.set_num_threads(1)
kind, model, structure, warm_up, steps, best_of = sys.argv[1:7]
atoms = ase.io.read(structure)
if kind == "mace":
    from mace.calculators import MACECalculator
    atoms.calc = MACECalculator(model_paths=model, device="cpu", default_dtype="float64")
else:
    from nequip.integrations.ase import NequIPCalculator
    atoms.calc = NequIPCalculator.from_compiled_model(model, device="cpu", chemical_species_to_atom_type_map=True)
md = VelocityVerlet(atoms, 1.0 * fs)
md.run(int(warm_up))
times = []
for _ in range(int(best_of)):
    begin = time.process_time()
    md.run(int(steps))
    times.append(time.process_time() - begin)
print(json.dumps(min(times)))
"""


def crystal(n: int) -> ase.Atoms:
    """Return 8 n³ atoms of Li, O and Cl at rocksalt's sites."""
    atoms = bulk("NaCl", "rocksalt", a=4.6, cubic=True) * (n, n, n)
    atoms.set_chemical_symbols(list(np.array(["Li", "O", "Cl"])[np.arange(len(atoms)) % 3]))
    warm(atoms)
    return atoms


def in_lammps(
    folder: Path, style: str, file: Path, atoms: ase.Atoms, ranks: int = 1, steps: int = STEPS
) -> tuple[float, float]:
    """Return CPU seconds of all ranks and wall seconds of the timed part, best of several."""
    name = "mace" if style == "mace" else "nequip"
    lines = [f"pair_style {style}", f"pair_coeff * * {file} {' '.join(ORDER)}"]
    newton = "off" if style == "nequip" else "on"
    # The deck of the tests asks for energies per atom and a dump of every step: not here.
    after = "\n".join(
        [
            "undump all",
            "uncompute each",
            "neigh_modify every 1 delay 0 check yes",
            "fix nve all nve",
            "timestep 0.001",
        ]
        + [f"run {WARM_UP}"]
        + [f"run {steps}"] * BEST_OF
    )
    with contextlib.redirect_stdout(io.StringIO()):
        text = call(atoms, lines, ORDER, folder, plugins(name), newton=newton, ranks=ranks, after=after)
    loops = [float(t) for t in re.findall(r"Loop time of (\S+) on", text)][1:]
    shares = [float(t) for t in re.findall(r"([\d.]+)% CPU use", text)][1:]
    if len(loops) != BEST_OF:
        raise SystemExit(text[-2000:])
    return min(t * s / 100 * ranks for t, s in zip(loops, shares, strict=True)), min(loops)


def under_ase(folder: Path, kind: str, model: Path, atoms: ase.Atoms) -> float:
    """Return CPU seconds of the timed part, best of several."""
    from ase.io import write

    write(folder / "s.traj", atoms)
    name = "mace" if kind == "mace" else "nequip"
    words = [kind, str(model), str(folder / "s.traj"), str(WARM_UP), str(STEPS), str(BEST_OF)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    python = str(framework.find(name).python)
    done = subprocess.run(
        [python, "-c", ASE_SIDE, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr[-2000:])
    return float(json.loads(done.stdout.splitlines()[-1]))


def for_ase(checkpoint: Path, target: Path) -> Path:
    """Compile a NequIP or Allegro checkpoint for ASE, as NequIP's own manual does."""
    python = framework.find("nequip").python
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    words = [str(checkpoint), str(target), "--mode", "aotinductor", "--device", "cpu", "--target", "ase"]
    subprocess.run(
        [str(python.with_name("nequip-compile")), *words],
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        cwd=target.parent, check=True, capture_output=True,
    )  # fmt: skip
    return target


def measure(folder: Path) -> dict[str, Any]:
    """Run everything, and return the table."""
    side("mace", "mace-models", folder)
    side("nequip", "nequip-models", folder)
    exports = {"mace": framework.export(folder / "LiOCl.model", trusted=True, output=folder)}
    for style in ("nequip", "allegro"):
        exports[style] = framework.export(folder / f"{style}.ckpt", trusted=True, output=folder)
    small, large = crystal(4), crystal(8)
    rows: dict[str, Any] = {}
    for style, export in exports.items():
        cpu, _ = in_lammps(folder / style, style, export, small)
        model = folder / "LiOCl.model" if style == "mace" else for_ase(
            folder / f"{style}.ckpt", folder / f"{style}-ase.nequip.pt2"
        )  # fmt: skip
        theirs = under_ase(folder, "mace" if style == "mace" else "nequip", model, small)
        per = 1e6 / (STEPS * len(small))
        rows[style] = {"LAMMPS, µs": cpu * per, "ASE, µs": theirs * per, "ASE / LAMMPS": theirs / cpu}
        print(style, rows[style], flush=True)
    ranks: dict[str, Any] = {}
    for style in ("allegro", "mace"):
        one, two = (in_lammps(folder / f"{style}{n}", style, exports[style], large, n, 5)[1] for n in (1, 2))
        ranks[style] = {"1 rank, s": one / 5, "2 ranks, s": two / 5, "speed-up": one / two}
        print(style, ranks[style], flush=True)
    lammps = engine.find(Engine())
    versions = {**framework.find("mace").versions, **framework.find("nequip").versions, "lammps": lammps.git}
    return {
        "CPU time per atom and step, 512 atoms": rows,
        "wall time of a step, 4096 atoms": ranks,
        "versions": {k: v for k, v in versions.items() if k not in ("numpy", "e3nn")},
    }


def rounded(value: Any) -> Any:
    """Keep three digits."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        table = rounded(measure(Path(place)))
    print(json.dumps(table, indent=1, ensure_ascii=False))
    if options.json:
        options.json.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
