"""What a potential asks of a deck, and what its files say of themselves."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lampion.errors import PotentialError


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Where a potential comes from, as its file's header says."""

    file: str
    citation: str
    """The header's text; empty where it has none."""
    date: str = ""
    bibtex: str = ""
    """The entry for it, where its doi is known."""


@dataclass(frozen=True, kw_only=True)
class PairSetup:
    """The lines and files with which a deck uses a potential, for one structure's types."""

    commands: tuple[str, ...]
    """``pair_style``, ``pair_coeff``, ``kspace_style`` … in the order in which LAMMPS needs them."""
    files: Mapping[str, Path]
    """Input files by the name that the commands use."""
    pair_styles: tuple[str, ...]
    """The pair styles that the LAMMPS must have."""
    framework: Literal["mace", "nequip", "deepmd"] | None = None
    """What brings the pair style where the LAMMPS lacks it."""
    float32: bool = False
    """Whether the model computes with seven digits."""
    one_rank: bool = False
    """Whether the style can't be spread over MPI ranks."""
    kspace_style: str | None = None
    atom_style: str = "atomic"
    charges: Mapping[str, float] | None = None
    """Charge of each element in e, where the style wants charges."""
    newton: bool = True
    atom_map: bool = False
    references: tuple[Reference, ...] = ()
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first lines of a LAMMPS potential file: ``# DATE: … UNITS: … CONTRIBUTOR: … CITATION: …``."""

    date: str
    units: str
    citation: str


def read_text(path: Path) -> str:
    """Return the text of a potential file.

    Raises:
        PotentialError: it can't be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PotentialError(f"{path}: can't be read as a text potential file: {error}") from error


def header(path: Path, text: str) -> Header:
    """Read a potential file's header, and refuse one that is fitted in other units.

    Raises:
        PotentialError: the header names units other than metal.
    """
    top = "\n".join(text.splitlines()[:4])
    found = {
        key: match.group(1).strip() if (match := re.search(pattern, top, re.MULTILINE)) else ""
        for key, pattern in {
            "date": r"DATE: *(\S+)",
            "units": r"UNITS: *(\w+)",
            "citation": r"CITATION: *(.*?) *(?:COMMENT:.*)?$",
        }.items()
    }
    if found["units"] not in ("", "metal"):
        raise PotentialError(f"{path}: is in {found['units']} units; Lampion's decks use metal units, so convert it")
    if found["citation"].lower() in ("none", "unknown"):
        found["citation"] = ""
    return Header(**found)


def find_file(file: Path, folder: Path, shipped: Path | None) -> Path:
    """Return where a potential file is.

    A path with a folder in it is used as it is, relative to `folder` (where the study lies). A bare name is
    looked for among the potentials that the LAMMPS installation ships (`shipped`), then in `folder`.

    Raises:
        PotentialError: there is none, or a bare name means two different files.
    """
    if file.parent != Path() or file.is_absolute() or str(file).startswith("."):
        path = folder / _expanded(file)
        if not _is_file(path):
            raise PotentialError(f"{path}: no such potential file; correct potential.file, a path from {folder}")
        return path
    local, installed = folder / file, shipped / file if shipped else None
    here, there = _is_file(local), installed is not None and _is_file(installed)
    if here and there and installed is not None and local.read_bytes() != installed.read_bytes():
        raise PotentialError(
            f"{file}: means both {installed} and the different {local}; "
            f"write ../{folder.resolve().name}/{file} for the one beside the study, or rename it"
        )
    if there and installed is not None:
        return installed
    if here:
        return local
    where = f"among the potentials of this LAMMPS ({shipped})" if shipped else "(this LAMMPS ships no potentials)"
    near = _near(str(file), shipped)
    raise PotentialError(f"{file}: no such potential file {where} or in {folder}{near}")


def _expanded(file: Path) -> Path:
    try:
        return file.expanduser()
    except RuntimeError as error:
        raise PotentialError(f"{file}: no such potential file: nobody here has that home folder") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes, a folder that may not be read
        return False


def _near(name: str, shipped: Path | None) -> str:
    import difflib

    names = [p.name for p in shipped.iterdir()] if shipped else []
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def require_elements(path: Path, wanted: Sequence[str], has: Sequence[str]) -> None:
    """Refuse a potential file that lacks an element of the structure.

    Raises:
        PotentialError: names the element and lists the file's.
    """
    missing = sorted(set(wanted) - set(has))
    if missing:
        raise PotentialError(
            f"{path}: has no {', '.join(missing)}, which the structure holds; its elements are {' '.join(has)}"
        )
