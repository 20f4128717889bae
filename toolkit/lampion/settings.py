"""What the value of a setting may be: ranges, safe text, and strict dataclasses.

Settings are frozen standard-library dataclasses. `settings` marks one for pydantic, which then refuses unknown
keys and takes the docstrings under the fields as their description in the JSON schema.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field

T = TypeVar("T")

_CONFIG = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass whose unknown keys pydantic refuses."""
    cls.__pydantic_config__ = _CONFIG  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)


_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb "
    "Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf "
    "Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
ELEMENTS: tuple[str, ...] = tuple(_SYMBOLS.split())
"""Chemical symbols; an element's atomic number is its place, counted from 1."""

# What LAMMPS's parser gives a meaning of its own: a value that holds one could end a line, start a variable or
# join the next line.
_SPECIAL = re.compile(r"""[\x00-\x1f\x7f-\x9f\u2028\u2029"'`$&#;\\]""")


def plain(text: str) -> str:
    r"""Return `text` if it can stand in a comment of a deck as it is.

    Raises:
        ValueError: it holds a character that LAMMPS's parser interprets (a newline or other control character,
            a quote, ``$``, ``&``, ``#``, ``;`` or a backslash), or nothing but blanks.

    >>> plain("Self-diffusion of Li₆PS₅Cl")
    'Self-diffusion of Li₆PS₅Cl'
    """
    found = _SPECIAL.search(text)
    if found:
        raise ValueError(f"the character {found.group()!r} is not allowed, because LAMMPS would interpret it")
    if not text.strip():
        raise ValueError("holds nothing but blanks")
    return text


def word(text: str) -> str:
    """Return `text` if it can stand in a command of a deck as it is.

    Raises:
        ValueError: as `plain`, or a character is not ASCII: LAMMPS turns curly quotes into quotes, and drops what it
            has no letter for.

    >>> word("Li_Zuo_JPCA2020.snap")
    'Li_Zuo_JPCA2020.snap'
    """
    strange = next((c for c in plain(text) if not c.isascii()), None)
    if strange:
        raise ValueError(f"the character {strange!r} is not ASCII, which is all that LAMMPS reads in a command")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(_NAME, text):
        raise ValueError(f"{text!r} can't be a name: begin with a letter, and use letters, digits and _, at most 64")
    return text


def _element(symbol: str) -> str:
    if symbol not in ELEMENTS:
        hint = f"; did you mean {symbol.capitalize()}?" if symbol.capitalize() in ELEMENTS else ""
        raise ValueError(f"{symbol!r} is not a chemical symbol{hint}")
    return symbol


def _file(path: Path) -> Path:
    if path.name in ("", ".."):
        raise ValueError("names no file")
    if path.name.split() != [path.name]:
        raise ValueError(f"the file name {path.name!r} holds a blank, which a deck can't carry; rename the file")
    word(path.name)
    return path


_NAME = r"[A-Za-z][A-Za-z0-9_]{0,63}"

Line = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(word)]
"""One line of text that can stand in a command of a deck."""

Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(plain)]
"""One line of text for people, in any script."""

Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": f"^{_NAME}$"})]
"""A word that can name a group, a compute or a variable in LAMMPS."""

Element = Annotated[str, AfterValidator(_element)]
"""A chemical symbol."""

File = Annotated[Path, AfterValidator(_file)]
"""A path whose last part can stand in a deck."""

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""LAMMPS counts in 32 bits."""

Temperature = Annotated[float, Field(gt=0, le=20000)]
"""K."""

Pressure = Annotated[float, Field(ge=-1e7, le=1e8)]
"""bar."""

Timestep = Annotated[float, Field(ge=1e-6, le=0.02)]
"""ps; 0.001 is one femtosecond."""

Duration = Annotated[float, Field(gt=0, le=1e6)]
"""ps."""

Flags3 = tuple[bool, bool, bool]

__all__ = [
    "ELEMENTS", "Count", "Duration", "Element", "File", "Flags3", "Line", "Name", "NonNegative",
    "Positive", "Pressure", "Temperature", "Text", "Timestep", "plain", "settings", "word",
]  # fmt: skip
