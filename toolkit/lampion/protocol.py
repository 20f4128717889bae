"""What is done to a structure: one dataclass for each template.

Times are in ps, temperatures in K, pressures in bar, lengths in Å.
"""

import re
from dataclasses import field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lampion.settings import (
    Count,
    Duration,
    Element,
    File,
    Line,
    Name,
    NonNegative,
    Positive,
    Pressure,
    Temperature,
    Timestep,
    settings,
)

_OURS = {
    "groups": ("all", "moving", "frozen", "constrained"),
    "computes": ("pairs", "closest", "moving_temp", "thermo_temp", "thermo_press", "thermo_pe"),
    "fixes": ("integrate", "thermostat", "freeze", "mean", "energy", "stress", "current", "cell"),
}
"""Names that the templates use: LAMMPS would add to such a group, and replace such a fix, without a word."""

_WATCHING = (
    "ave", "vector", "print", "store", "property", "phonon", "balance", "halt", "numdiff", "pair", "saed",
    "reaxff", "reax", "qeq", "acks2", "qtpie", "cmap", "amoeba", "tune", "setforce", "freeze", "shake", "rattle",
    "enforce2d", "planeforce", "lineforce",
)  # fmt: skip
"""First parts of the styles of fixes that only watch, are a part of the model, or hold atoms: none of them
thermostats, pushes, moves the cell, or makes and takes atoms."""

_WALLS = ("ees", "harmonic", "lepton", "lj1043", "lj126", "lj93", "morse", "reflect", "region", "table")

_INTEGRATING = (
    "nve", "nvt", "npt", "nph", "nvk", "nphug", "rigid", "brownian", "gjf", "gld", "hmc", "ipi", "move", "msst",
    "pimd", "poems", "bocs", "qbmsst", "tfmc", "tgnpt", "tgnvt",
)  # fmt: skip
"""First parts of the styles of fixes that integrate atoms, which our own fixes do already."""

Coupling = Literal["iso", "aniso", "tri"]
"""How a barostat moves the cell: its volume, its three lengths, or lengths and angles."""


FEWEST_FRAMES = 20
"""Frames that a measurement needs at the least."""

DumpFormat = Annotated[
    Literal["text", "zst", "binary"],
    Field(
        description="How frames are written. Two million rows of id, type, xu, yu, zu take 61 MB as text and 80 MB "
        "as binary; writing them costs LAMMPS 1.2 s of CPU time as text, 0.05 s as binary, reading them about 0.1 "
        "and 0.05 s. zst is the text through the program zstd, which must be there: half of the size, and 0.3 s "
        "more. Text names the elements, and every tool reads it; binary keeps every bit, and its elements are in "
        "run.json."
    ),
]


@settings
class Hooks:
    """The user's own groups, fixes and computes in our templates.

    Each value is what follows the name: ``groups: {shell: "type 2"}`` gives ``group shell type 2``.
    """

    regions: dict[Name, Line] = field(default_factory=dict)
    groups: dict[Name, Line] = field(default_factory=dict)
    computes: dict[Name, Line] = field(default_factory=dict)
    fixes: dict[Name, Line] = field(default_factory=dict)
    """Group, style and arguments; they hold through every stage. In `diffusion` and `ensemble` those that average or
    collect (``ave/…``, ``vector``) begin anew with the measurement."""
    frozen: Name | None = None
    """A group whose atoms never move (one of `groups`, or an element)."""
    thermo: tuple[Line, ...] = ()
    """More columns for the log, as ``c_mine``."""

    def __post_init__(self) -> None:
        """Refuse a name that the templates use themselves, and lines without what each must have."""
        for kind, ours in _OURS.items():
            for name in getattr(self, kind):
                if name in ours or (kind == "computes" and name.startswith("sum_")):
                    raise ValueError(f"hooks.{kind}.{name} is a name that the templates use; choose another")
        for kind, words in (("computes", 2), ("fixes", 2), ("groups", 1), ("regions", 1)):
            for name, line in getattr(self, kind).items():
                if len(line.split()) < words:
                    must = "a group and a style" if words == 2 else "a style"
                    raise ValueError(f"hooks.{kind}.{name} must be at least {must}, not {line!r}")
        for name, line in self.fixes.items():
            _own_file(f"hooks.fixes.{name}", line)
            style = line.split()[1]
            if style.split("/")[0] in _INTEGRATING:
                raise ValueError(
                    f"hooks.fixes.{name} ({style}) is refused: it moves atoms that the protocol moves already; "
                    "write a custom template"
                )

    @property
    def averages(self) -> dict[str, str]:
        """The fixes that count steps, which LAMMPS lets nobody reset: they begin anew with a measurement."""
        return {name: line for name, line in self.fixes.items() if line.split()[1].startswith(("ave/", "vector"))}


@settings
class Static:
    """Energy, forces and stress of the structure as it stands."""

    name: Literal["static"]
    hooks: Hooks = Hooks()


@settings
class Minimize:
    """Relax positions, or positions and cell."""

    name: Literal["minimize"]
    cell: Literal["fixed", "iso", "aniso", "tri"] = "fixed"
    """Which parts of the cell relax with the positions."""
    pressure: Pressure = 0.0
    """Target pressure of the cell, bar."""
    force_tolerance: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Stop when no force is larger, eV/Å."""
    max_steps: Count = 10000
    algorithm: Literal["cg", "fire"] = "cg"
    hooks: Hooks = Hooks()

    def __post_init__(self) -> None:
        """Refuse an algorithm that can't move the cell."""
        if self.cell != "fixed" and self.algorithm == "fire":
            raise ValueError("algorithm must be cg where the cell relaxes: LAMMPS's fire keeps the cell")


@settings
class Stage:
    """One run of an `md` protocol."""

    ensemble: Literal["nve", "nvt", "npt"]
    time: Duration
    """ps."""
    temperature: Temperature | None = None
    """Target, K; needed by nvt and npt."""
    final_temperature: Temperature | None = None
    """Ramp linearly to it."""
    pressure: Pressure = 0.0
    """Target of npt, bar."""
    final_pressure: Pressure | None = None
    coupling: Coupling = "iso"
    thermostat: Literal["nose-hoover", "csvr", "langevin"] = "nose-hoover"
    """csvr is the stochastic velocity rescaling of Bussi et al.; langevin changes the dynamics."""

    def __post_init__(self) -> None:
        """Refuse a stage without what its ensemble needs."""
        if self.ensemble != "nve" and self.temperature is None:
            raise ValueError(f"temperature is needed by the ensemble {self.ensemble}")
        if self.ensemble == "npt" and self.thermostat != "nose-hoover":
            raise ValueError("thermostat must be nose-hoover with the ensemble npt")
        if self.ensemble == "nve" and (self.temperature or self.final_temperature):
            raise ValueError("temperature has no meaning in the ensemble nve; set velocities of the protocol")


@settings
class Md:
    """Molecular dynamics in one or more stages."""

    name: Literal["md"]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    velocities: Temperature | None = None
    """Draw velocities at this temperature, K; without it the structure's own, or those of the first target."""
    timestep: Timestep = 0.001
    temperature_damping: Positive = 0.1
    """ps."""
    pressure_damping: Positive = 1.0
    """ps."""
    dump_every: Duration = 0.1
    """ps between frames."""
    dump_format: DumpFormat = "text"
    thermo_every: Duration = 0.05
    """ps between rows of the log."""
    restart_every: NonNegative = 25.0
    """ps between restart files of a stage that is longer than that; a run that is killed goes on from the last one. 0
    writes none: then, and with zst, whose last frames a kill takes, it begins afresh."""
    hooks: Hooks = Hooks()

    def __post_init__(self) -> None:
        """Refuse an interval of no step."""
        _whole_steps(self)


@settings
class Melt:
    """Melt before the measurement."""

    temperature: Temperature
    """K."""
    time: Duration
    """ps at that temperature; the same time again goes to cooling to the target."""


@settings
class Diffusion:
    """Self-diffusion at one temperature: (melt,) equilibrate at pressure, fix the cell at its mean, sample."""

    name: Literal["diffusion"]
    temperature: Temperature
    """K."""
    phase: Literal["liquid", "crystal"]
    """What the structure is meant to be; it is checked, and sets the coupling where none is given."""
    mobile: tuple[Element, ...] | None = None
    """Species that diffuse; in a crystal the others are the reference for drift. Without it: every species."""
    melt: Melt | None = None
    equilibrate: Duration = 10.0
    """ps at pressure; the cell is averaged over the second half. As long again follows at that cell."""
    sample: Duration = 100.0
    """ps of measurement."""
    pressure: Pressure = 0.0
    coupling: Literal["fixed", "iso", "aniso", "tri"] | None = None
    """Without it iso for a liquid, aniso for a crystal; fixed keeps the structure's cell throughout."""
    ensemble: Literal["nve", "nvt"] = "nvt"
    """Of the measurement; nvt is a global Nosé–Hoover chain with sample_damping."""
    thermostat: Literal["nose-hoover", "csvr"] = "nose-hoover"
    """Of the equilibration at constant volume and of the measurement."""
    sample_damping: Positive = 0.2
    """ps. A global thermostat leaves D as it is; one of 0.5 ps let the mean temperature of 128 atoms stray by 2 % in
    12 ps, and D with it by 5 %."""
    timestep: Timestep = 0.001
    temperature_damping: Positive = 0.1
    """ps, while equilibrating."""
    pressure_damping: Positive = 1.0
    dump_every: Duration = 0.05
    """ps between frames."""
    dump_format: DumpFormat = "text"
    thermo_every: Duration = 0.05
    """ps between rows of the log."""
    stress_every: NonNegative | None = None
    """ps between values of the stress for the viscosity, and at least a step; 0 writes none. Without it 0.004 for a
    liquid, none for a crystal."""
    current_every: NonNegative | None = None
    """ps between values of each element's summed velocity, for the conductivity, and at least a step; 0 writes none.
    Without it 0.005 where there are several elements: of a single one the sum is the momentum, which is zero."""
    restart_every: NonNegative = 25.0
    """ps between restart files of a measurement that is longer than that; a run that is killed goes on from the last
    one. 0 writes none: then, and with zst, whose last frames a kill takes, it begins afresh."""
    hooks: Hooks = Hooks()

    def __post_init__(self) -> None:
        """Refuse what would change the dynamics that are measured, and what can't be measured."""
        _undisturbed(self)


@settings
class Ensemble:
    """One of many short trajectories of one state point, each with its seeds: `sweep.replicas` says how many.

    Equilibrated at constant temperature, then measured at constant energy from a snapshot whose velocities are scaled
    to the mean energy; the trajectories are averaged first and fitted once (arXiv 2512.11650: 300 of 70 ps each).
    """

    name: Literal["ensemble"]
    temperature: Temperature
    """K."""
    phase: Literal["liquid", "crystal"]
    """What the structure is meant to be; it is checked."""
    mobile: tuple[Element, ...] | None = None
    """Species that diffuse, as in `diffusion`."""
    melt: Melt | None = None
    coupling: Literal["fixed", "iso", "aniso", "tri"] = "fixed"
    """fixed keeps the structure's cell, which all trajectories then share; the others average one first."""
    pressure: Pressure = 0.0
    equilibrate: Duration = 10.0
    """ps at constant temperature (and, where the cell is not fixed, as long before at pressure)."""
    sample: Duration = 70.0
    """ps of measurement."""
    thermostat: Literal["nose-hoover", "csvr"] = "csvr"
    timestep: Timestep = 0.001
    temperature_damping: Positive = 0.1
    pressure_damping: Positive = 1.0
    dump_every: Duration = 0.05
    dump_format: DumpFormat = "text"
    thermo_every: Duration = 0.05
    stress_every: NonNegative | None = None
    """ps between values of the stress, as in `diffusion`."""
    current_every: NonNegative | None = None
    """ps between values of each element's summed velocity, as in `diffusion`."""
    restart_every: NonNegative = 25.0
    """ps between restart files, as in `diffusion`."""
    hooks: Hooks = Hooks()

    def __post_init__(self) -> None:
        """Refuse what would change the dynamics that are measured, and what can't be measured."""
        _undisturbed(self)


_FILES = re.compile(
    r".*\.lammps|structure\.data|output\.txt|.*\.restart|trajectory\..*|final\.dump|stress\.dat|current\.dat|.*\.json|"
    r"run\.sh"
)
"""Names of files of the run's own."""


def _own_file(place: str, line: str) -> None:
    """Refuse a file of a hook that is not the hook's own, beside the deck."""
    words = line.split()
    for word, file in pairwise(words):
        if word in ("file", "append") and ("/" in file or _FILES.fullmatch(file)):
            raise ValueError(
                f"{place} writes {file}: give a name without a folder that is none of the run's own files"
            )


def _undisturbed(protocol: Diffusion | Ensemble) -> None:
    """Refuse fixes that change the dynamics, and a measurement of too few frames."""
    for name, line in protocol.hooks.fixes.items():
        _, style, *arguments = line.split()
        first, *rest = style.split("/")
        holding = first in ("setforce", "planeforce", "lineforce", "freeze")
        pushing = first == "setforce" and not all(word in ("NULL", "0", "0.0") for word in arguments[:3])
        wall = first == "wall" and len(rest) == 1 and rest[0] in _WALLS
        if pushing or not (holding or wall or first in _WATCHING):
            raise ValueError(
                f"hooks.fixes.{name} ({style}) is refused: it may change the dynamics that diffusion measures; "
                "fixes that watch (ave/…, vector, print, …) are taken"
            )
    if protocol.phase == "crystal" and protocol.melt is not None:
        raise ValueError("melt has no meaning with phase crystal; set phase liquid, or drop melt")
    if protocol.mobile is not None and (not protocol.mobile or len(set(protocol.mobile)) < len(protocol.mobile)):
        raise ValueError("mobile must name each species that diffuses once, and at least one")
    _whole_steps(protocol)
    rows = round(protocol.sample / protocol.timestep) // round(protocol.thermo_every / protocol.timestep)
    if rows < FEWEST_FRAMES:
        raise ValueError(
            f"sample must be at least {FEWEST_FRAMES} times thermo_every, or nothing of its health is known, not "
            f"{protocol.sample:g} ps with a row every {protocol.thermo_every:g} ps"
        )
    frames = round(protocol.sample / protocol.timestep) // round(protocol.dump_every / protocol.timestep)
    if frames < FEWEST_FRAMES:
        raise ValueError(
            f"sample must be at least {FEWEST_FRAMES} times dump_every, not {protocol.sample:g} ps with a frame "
            f"every {protocol.dump_every:g} ps"
        )


def _whole_steps(protocol: Md | Diffusion | Ensemble) -> None:
    """Refuse an interval that holds no whole step, which would become one of a step."""
    for name in ("dump_every", "thermo_every"):
        interval = getattr(protocol, name, 0.0)
        if interval and round(interval / protocol.timestep) < 1:
            raise ValueError(f"{name} must be at least a timestep of {protocol.timestep:g} ps, not {interval:g} ps")


Value = bool | int | float | Line


@settings
class Custom:
    """The user's own Jinja template.

    It sees `structure`, `potential`, `seed(name)` and `header` as ours do, and its declared variables by name.
    """

    name: Literal["custom"]
    template: File
    """Path of the template, relative to the study."""
    variables: dict[Name, Value] = field(default_factory=dict)
    """What the template uses beside ours; each can be swept."""
    files: tuple[File, ...] = ()
    """Further input files of the deck."""


Protocol = Annotated[Static | Minimize | Md | Diffusion | Ensemble | Custom, Field(discriminator="name")]


def template(protocol: Static | Minimize | Md | Diffusion | Ensemble | Custom, folder: Path) -> Path | str:
    """Return the template of a protocol: the name of one of ours, or the path of the user's."""
    return folder / protocol.template if isinstance(protocol, Custom) else f"{protocol.name}.lammps.j2"
