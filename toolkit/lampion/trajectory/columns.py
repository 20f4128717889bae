"""What the columns of a dump mean: which hold the positions, what their units are."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lampion.thermo import TIME_IN_PS


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """The columns that hold the positions."""

    columns: tuple[str, str, str]
    scaled: bool
    """In units of the cell, from its origin."""
    unwrapped: bool
    """By LAMMPS."""
    images: bool
    """The columns ix, iy, iz stand beside wrapped ones."""

    def how(self, *, varied: bool) -> str:
        """Say how positions from these columns are unwrapped, in a cell that varies or not."""
        source = (
            "image flags" if self.images else " ".join(self.columns) if self.unwrapped else "minimum image, as asked"
        )
        if varied:
            return f"toroidal recursion (doi 10.1021/acs.jctc.3c00308) in a varying cell, from {source}"
        return f"{source}, constant cell"

    def alone(self) -> str:
        """Say what the positions of a single frame are."""
        if self.unwrapped:
            return f"{' '.join(self.columns)}, as LAMMPS wrote them"
        return "image flags, with the frame's own cell" if self.images else "wrapped"


def coordinates(columns: tuple[str, ...]) -> Coordinates:
    """Find the positions among the columns: unwrapped ones before wrapped ones, Å before scaled.

    Raises:
        ValueError: there are none, or they are not complete.
    """
    images = all(name in columns for name in ("ix", "iy", "iz"))
    for names, scaled, unwrapped in (
        (("xu", "yu", "zu"), False, True),
        (("xsu", "ysu", "zsu"), True, True),
        (("x", "y", "z"), False, False),
        (("xs", "ys", "zs"), True, False),
    ):
        if all(name in columns for name in names):
            return Coordinates(columns=names, scaled=scaled, unwrapped=unwrapped, images=images and not unwrapped)
        if present := [name for name in names if name in columns]:
            missing = next(name for name in names if name not in columns)
            if not any(name in columns for name in ("x", "xs", "xu", "xsu") if name not in names):
                raise ValueError(f"no column '{missing}' beside '{present[0]}'; columns are {' '.join(columns)}")
    raise ValueError(
        f"no positions; columns are {' '.join(columns)}, and one of x y z, xs ys zs, xu yu zu, xsu ysu zsu is needed"
    )


@dataclass(frozen=True, kw_only=True)
class UnitStyle:
    """One of LAMMPS's unit styles, as factors onto Å, ps, eV, g/mol and e."""

    length: float
    time: float
    velocity: float
    force: float
    energy: float
    mass: float
    charge: float = 1.0


_KCAL = 0.0433641042385  # eV; 1 kcal/mol = 4184 J/mol over 96485.33212 C/mol
_DALTON = 1.66053906660e-27  # kg
_E = 1.602176634e-19  # C

UNIT_STYLES: Mapping[str, UnitStyle] = MappingProxyType(
    {
        "metal": UnitStyle(length=1, time=TIME_IN_PS["metal"], velocity=1, force=1, energy=1, mass=1),
        "real": UnitStyle(length=1, time=TIME_IN_PS["real"], velocity=1e3, force=_KCAL, energy=_KCAL, mass=1),
        "si": UnitStyle(
            length=1e10,
            time=TIME_IN_PS["si"],
            velocity=1e-2,
            force=1e-10 / _E,
            energy=1 / _E,
            mass=1 / _DALTON,
            charge=1 / _E,
        ),
    }
)
"""The unit styles that are read."""


def unit_style(name: str) -> UnitStyle:
    """Return the factors of a unit style.

    Raises:
        ValueError: it isn't metal, real or si.
    """
    if name in UNIT_STYLES:
        return UNIT_STYLES[name]
    remedy = "lj has no scale of its own" if name == "lj" else "they are not supported"
    raise ValueError(f"the dump is in {name} units: {remedy}; {', '.join(UNIT_STYLES)} can be read")


def factor(column: str, style: UnitStyle) -> float | None:
    """Return what a value of this column is multiplied with; None if its unit isn't known (computes, fixes)."""
    if column in ("vx", "vy", "vz"):
        return style.velocity
    if column in ("fx", "fy", "fz"):
        return style.force
    if column in ("x", "y", "z", "xu", "yu", "zu", "radius", "diameter"):
        return style.length
    if column in ("mass", "q"):
        return style.mass if column == "mass" else style.charge
    plain = ("id", "type", "mol", "proc", "procp1", "ix", "iy", "iz", "xs", "ys", "zs", "xsu", "ysu", "zsu")
    return 1.0 if style == UNIT_STYLES["metal"] or column in plain else None
