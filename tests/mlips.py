"""Models of the frameworks, in LAMMPS with our plugin and in the framework's own calculator."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ase
import numpy as np
from ase.build import bulk
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import write_lammps_data
from numpy.typing import NDArray

from lampion import engine, framework
from lampion.engine import Engine
from lampion.framework import Name
from lampion.lammps import Lammps
from lampion.plugin.build import build

Floats = NDArray[np.float64]
CALCULATOR = Path(framework.__file__).with_name("calculator.py")
SIDE = Path(__file__).with_name("framework_side.py")
NKTV2P = 1.6021765e6
"""bar per eV/Å³, as LAMMPS's metal units have it."""


@dataclass(frozen=True)
class Point:
    energy: float
    forces: Floats
    virial: Floats | None
    """−∂E/∂strain, (3, 3)."""
    per_atom: Floats | None = None
    rows: Floats | None = None
    """Of the log: step, energy, total energy, pressures …"""
    text: str = ""


def side(name: Name, *words: object, script: Path = SIDE) -> None:
    """Run a script in a framework's environment, which is made where it is missing (minutes)."""
    python = framework.add(name).python
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(python), str(script), *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@cache
def plugins(name: Name) -> Path:
    return build(engine.find(Engine()), framework.add(name).torch)


def structures() -> dict[str, ase.Atoms]:
    """Triclinic with three species, a primitive cell and a single atom smaller than the cutoff, a gas, a slab …"""
    rng = np.random.default_rng(0)
    salt = bulk("NaCl", "rocksalt", a=4.6, cubic=True) * (2, 2, 1)
    salt.set_chemical_symbols(list(np.array(["Li", "O", "Cl"])[rng.integers(0, 3, len(salt))]))
    triclinic = salt.copy()
    triclinic.set_cell(salt.cell[:] @ np.array([[1, 0, 0], [0.25, 0.9, 0], [-0.2, 0.15, 1.1]]), scale_atoms=True)
    triclinic.rattle(0.1, seed=1)
    primitive = bulk("NaCl", "rocksalt", a=4.0)
    primitive.set_chemical_symbols(["Li", "O"])
    primitive.rattle(0.1, seed=2)
    slab = salt.copy()
    slab.center(vacuum=6.0, axis=2)
    slab.pbc = (True, True, False)
    slab.rattle(0.1, seed=3)
    cluster = ase.Atoms("LiOCl", positions=[[5, 5, 5], [6.5, 5.2, 5], [8.4, 5, 5.5]], cell=[14, 14, 14])
    return {
        "triclinic": triclinic,
        "primitive": primitive,
        "one atom": ase.Atoms("Li", cell=[3.1, 3.2, 3.3], pbc=True),
        "isolated": ase.Atoms("LiO", positions=[[5, 5, 5], [15, 15, 15]], cell=[20, 20, 20], pbc=True),
        "slab": slab,
        "cluster": cluster,
    }


def warm(atoms: ase.Atoms) -> None:
    """Draw velocities at 300 K, without drift."""
    rng, kT = np.random.default_rng(1), 300 * 8.617333262e-5
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(atoms.get_masses() * kT)[:, None]
    atoms.set_momenta(momenta - momenta.mean(axis=0))


def reference(
    name: Name, model: Path, atoms: Mapping[str, ase.Atoms], folder: Path, dtype: str = "float64"
) -> dict[str, Point]:
    """Return what the framework's own calculator says."""
    given = {}
    for k, one in enumerate(atoms.values()):
        symbols = np.array(one.get_chemical_symbols())
        values = {"symbols": symbols, "positions": one.positions, "cell": one.cell[:], "pbc": one.pbc}
        given |= {f"{what}:{k}": value for what, value in values.items()}
    np.savez(folder / "given.npz", **given)
    side(name, name, model, dtype, "", folder / "given.npz", folder / "said.npz", script=CALCULATOR)
    said = np.load(folder / "said.npz")
    return {
        key: Point(float(said[f"energy:{k}"]), said[f"forces:{k}"], said.get(f"virial:{k}"))
        for k, key in enumerate(atoms)
    }


def deck(atoms: ase.Atoms, pair: Sequence[str], newton: str, before: str, after: str) -> str:
    boundary = " ".join("p" if periodic else "f" for periodic in atoms.pbc)
    return "\n".join(
        [
            f"units metal\natom_style atomic\natom_modify map yes\nboundary {boundary}\nnewton {newton}\n{before}",
            "read_data structure.data",
            *pair,
            "neighbor 1.0 bin\nneigh_modify every 1 delay 0 check yes\ncompute each all pe/atom",
            "thermo_style custom step pe etotal vol pxx pyy pzz pxy pxz pyz\nthermo_modify format float %.16g",
            "dump all all custom 1 forces.dump id fx fy fz c_each",
            "dump_modify all sort id format float %.16g",
            after or "run 0",
        ]
    )


def command(ranks: int = 1, lammps: Lammps | None = None) -> list[str]:
    lammps = lammps or engine.find(Engine())
    words = [str(lammps.executable), "-in", "in.lammps", "-log", "log.lammps", "-nocite"]
    return [str(lammps.mpiexec), "-n", str(ranks), *words] if ranks > 1 else words


def call(
    atoms: ase.Atoms,
    pair: Sequence[str],
    order: Sequence[str],
    folder: Path,
    path: Path | None,
    *,
    newton: str = "on",
    ranks: int = 1,
    before: str = "",
    after: str = "",
    lammps: Lammps | None = None,
) -> str:
    """Run LAMMPS and return what it printed."""
    folder.mkdir(parents=True, exist_ok=True)
    prism = Prism(atoms.cell[:], pbc=atoms.pbc)
    write_lammps_data(
        folder / "structure.data", atoms, specorder=list(order), prismobj=prism, masses=True, atom_style="atomic",
        velocities=atoms.has("momenta"),
    )  # fmt: skip
    (folder / "in.lammps").write_text(deck(atoms, pair, newton, before, after))
    lammps = lammps or engine.find(Engine())
    environment = {**os.environ, **lammps.environment, "OMP_NUM_THREADS": "1"}
    if path is not None:
        environment["LAMMPS_PLUGIN_PATH"] = str(path)
    done = subprocess.run(
        command(ranks, lammps), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    sys.stdout.write(done.stdout[-2000:])
    return done.stdout + done.stderr


def evaluate(
    atoms: ase.Atoms, pair: Sequence[str], order: Sequence[str], folder: Path, path: Path | None, **options: object
) -> Point:
    """Return what LAMMPS says, in the frame of `atoms`."""
    text = call(atoms, pair, order, folder, path, **options)  # type: ignore[arg-type]
    assert "ERROR" not in text, text[-1500:]
    assert "Total wall time" in text, text[-1500:]
    rows = table(text)
    prism = Prism(atoms.cell[:], pbc=atoms.pbc)
    dump = np.loadtxt(folder / "forces.dump", skiprows=9, max_rows=len(atoms), ndmin=2)
    xx, yy, zz, xy, xz, yz = rows[0, 4:10] * rows[0, 3] / NKTV2P
    virial = prism.tensor2_to_ase(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    return Point(float(rows[0, 1]), prism.vector_to_ase(dump[:, 1:4]), virial, dump[:, 4], rows, text)


def table(text: str) -> Floats:
    rows, inside = [], False
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["Step", "PotEng"]:
            inside = True
        elif line.startswith("Loop time"):
            inside = False
        elif inside and words and words[0].isdigit():
            rows.append([float(word) for word in words])
    return np.array(rows)
