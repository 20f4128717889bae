"""From settings as a study writes them to what LAMMPS makes of the deck."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import ase
import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from lampion import deck, engine, potential, protocol, structure
from lampion.lammps import Lammps
from lampion.thermo import ThermoRun, read_log

T = TypeVar("T")
Floats = NDArray[np.float64]
Settings = Mapping[str, Any]

EXPECTED = "|".join(
    [
        "No fixes with time integration",  # static
        "force values in table|only be flagged at inflection points",  # the tables of W and He, as shipped
        "Temperature for .* is not for group all",  # held atoms have none
        "extra global DOFs will be included",  # a cell that relaxes
    ]
)
"""LAMMPS's warnings that a deck may give; any other fails the test."""

STATIC: Settings = {"name": "static"}
SILICON: Settings = {"crystal": {"lattice": "diamond", "formula": "Si", "a": 5.431}, "supercell": [2, 2, 2]}
SW: Settings = {"style": "sw", "file": "Si.sw"}


@cache
def lammps() -> Lammps:
    return engine.find(engine.Engine())


def shipped() -> Path:
    """The potentials that the LAMMPS installation brings."""
    folder = lammps().potentials
    assert folder is not None
    return folder


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def setting(kind: Any, values: Settings) -> Any:
    """The settings of `kind`, from values as a YAML file gives them."""
    return adapter(kind).validate_json(json.dumps(values), strict=True)


def build(values: Settings, folder: Path = Path()) -> ase.Atoms:
    return structure.build(setting(structure.Structure, values), folder).atoms


def rattled(atoms: ase.Atoms, *, by: float = 0.1, seed: int = 1) -> ase.Atoms:
    """The atoms, each moved by chance, so that no force vanishes by symmetry."""
    moved: ase.Atoms = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(scale=by, size=moved.positions.shape)
    return moved


def resolve(values: Settings, placed: structure.Placement, folder: Path = Path()) -> potential.PairSetup:
    symbols = [placed.species[t - 1] for t in placed.types]
    counts = {e: symbols.count(e) for e in set(symbols)}
    return potential.resolve(
        setting(potential.Potential, values), placed.species, counts, all(placed.periodic), folder, shipped()
    )


def seeds(name: str) -> int:
    return 4711 + len(name)


def render(
    atoms: ase.Atoms | structure.Placement,
    pair: Settings | potential.PairSetup,
    what: Settings,
    *,
    folder: Path = Path(),
    header: str = "a test",
    seed: Callable[[str], int] = seeds,
) -> deck.Deck:
    placed = structure.place(atoms) if isinstance(atoms, ase.Atoms) else atoms
    lines = pair if isinstance(pair, potential.PairSetup) else resolve(pair, placed, folder)
    return deck.render(
        placement=placed,
        potential=lines,
        protocol=setting(protocol.Protocol, what),
        seed=seed,
        header=header,
        folder=folder,
    )


def launch(folder: Path, *words: str) -> str:
    """Run LAMMPS on the folder's in.lammps; what it printed, whether it failed or not."""
    return subprocess.run(
        [*engine.command(lammps(), engine.Engine()), *words],
        cwd=folder,
        env=engine.environment(lammps(), engine.Engine()),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    ).stdout


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run that ended left."""

    folder: Path
    said: str

    @property
    def log(self) -> tuple[ThermoRun, ...]:
        return read_log(self.folder / "log.lammps")

    @property
    def energy(self) -> float:
        return float(self.log[-1].columns["PotEng"][-1])

    @property
    def pressure(self) -> Floats:
        """(3, 3) bar, in LAMMPS's frame."""
        last = {name: float(column[-1]) for name, column in self.log[-1].columns.items()}
        xx, yy, zz, xy, xz, yz = (last[f"P{i}"] for i in ("xx", "yy", "zz", "xy", "xz", "yz"))
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])

    def dump(self, name: str = "final.dump") -> dict[str, Floats]:
        """The columns of numbers of a dump's last frame."""
        lines = (self.folder / name).read_text().splitlines()
        start = max(i for i, line in enumerate(lines) if line.startswith("ITEM: ATOMS"))
        names = lines[start].split()[2:]
        rows = [line.split() for line in lines[start + 1 :]]
        return {n: np.array([float(r[i]) for r in rows]) for i, n in enumerate(names) if n != "element"}

    @property
    def forces(self) -> Floats:
        """(n_atoms, 3) eV/Å, by id, in LAMMPS's frame."""
        columns = self.dump()
        return np.column_stack([columns["fx"], columns["fy"], columns["fz"]])


def run(made: deck.Deck, folder: Path) -> Outcome:
    """Write a deck into a new folder and run it to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    deck.write(made, folder)
    said = launch(folder)
    assert "Total wall time" in said, said[-3000:]
    warned = [line for line in re.findall("WARNING: (.*)", said) if not re.search(EXPECTED, line)]
    assert not warned, warned
    return Outcome(folder=folder, said=said)


def static(atoms: ase.Atoms | structure.Placement, pair: Settings, folder: Path, *, study: Path = Path()) -> Outcome:
    return run(render(atoms, pair, STATIC, folder=study), folder)


def by_hand(atoms: ase.Atoms, order: Sequence[str], lines: str, folder: Path) -> Outcome:
    """Energy and forces from a plain input: a data file with types in the `order` given, `lines` for the potential.

    Every potential of the installation lies in the folder, so that an ``include`` finds what it names.
    """
    folder.mkdir(parents=True)
    for path in shipped().iterdir():
        (folder / path.name).symlink_to(path)
    placed = with_types(structure.place(atoms), order)
    (folder / "atoms.data").write_text(structure.write_data(placed))
    (folder / "in.lammps").write_text(
        f"units metal\nboundary p p p\nread_data atoms.data\n{lines}\n"
        "thermo_style custom step pe pxx pyy pzz pxy pxz pyz\nthermo_modify format float %.17g\n"
        "dump d all custom 1 final.dump id fx fy fz\ndump_modify d sort id format float %.17g\nrun 0\n"
    )
    said = launch(folder)
    assert "Total wall time" in said, said[-3000:]
    return Outcome(folder=folder, said=said)


def with_types(placed: structure.Placement, order: Sequence[str]) -> structure.Placement:
    """The same placement with its types numbered in another order of the species."""
    old = [placed.species.index(s) for s in order]
    number = {o + 1: n for n, o in enumerate(old, 1)}
    return replace(
        placed,
        types=np.array([number[int(t)] for t in placed.types]),
        species=tuple(placed.species[o] for o in old),
        masses=tuple(placed.masses[o] for o in old),
    )


def commands(text: str) -> list[str]:
    """The lines of a deck that are no comments, by LAMMPS's own rule: a trailing & joins the next line."""
    joined = re.sub(r"&[ \t]*\n", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
