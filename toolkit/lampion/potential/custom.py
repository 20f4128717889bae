"""The user's own pair lines: any pair style that a LAMMPS has, overlays included."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from lampion.errors import PotentialError
from lampion.potential.citation import reference
from lampion.potential.record import PairSetup, find_file, header, require_elements
from lampion.potential.rigid_ion import require_neutral
from lampion.settings import ELEMENTS, Element, File, Line, Text, settings

_ALLOWED = ("pair_style", "pair_coeff", "pair_modify", "kspace_style", "kspace_modify", "special_bonds")


@settings
class Custom:
    """Pair lines as the user writes them.

    In a line ``{elements}`` stands for the structure's elements in the order of LAMMPS's types, ``{elements:Li,O}``
    for the same with NULL in place of all others, and ``{Li}`` for the type of lithium; types are never written as
    numbers. A line with the type of an element that the structure lacks is left out.
    """

    style: Literal["custom"]
    lines: tuple[Line, ...]
    """``pair_*``, ``kspace_*`` and ``pair_modify`` lines, in order."""
    elements: tuple[Element, ...]
    """Every element that the potential covers."""
    files: tuple[File, ...] = ()
    """The input files that the lines name."""
    atom_style: Literal["atomic", "charge"] = "atomic"
    charges: dict[Element, float] | None = None
    newton: bool = True
    atom_map: bool = False
    units: Literal["metal"] = "metal"
    citation: Text | None = None


def resolve_custom(
    potential: Custom, species: Sequence[str], counts: Mapping[str, int], folder: Path, shipped: Path | None
) -> PairSetup:
    """Return what a deck needs to use the user's own pair lines.

    Raises:
        PotentialError: a line is none of the pair commands, writes a type as a number, or names an element that
            is not declared; a file is missing; the structure holds other elements; charges are incomplete.
    """
    require_elements(Path("potential.elements"), species, potential.elements)
    commands: list[str] = []
    for line in potential.lines:
        commands += _for_types(line, potential.elements, species)
    if not any(c.startswith("pair_style ") for c in commands):
        raise PotentialError("potential.lines: has no pair_style line")
    if not any(c.startswith(("pair_coeff ", "pair_style none")) for c in commands):
        raise PotentialError("potential.lines: has no pair_coeff line")
    files: dict[str, Path] = {}
    for file in potential.files:
        path = find_file(file, folder, shipped)
        if files.setdefault(file.name, path) != path:
            raise PotentialError(f"potential.files: {path} and {files[file.name]} have one name; rename one of them")
    charges = potential.charges
    if potential.atom_style == "charge" and charges is None:
        raise PotentialError("potential.charges: atom_style charge needs a charge for each element")
    style_words = next(c for c in commands if c.startswith("pair_style ")).split()[1:]
    kspace = next((c.split()[1] for c in commands if c.startswith("kspace_style ")), None)
    if charges is not None and kspace not in (None, "none"):
        require_neutral(charges, counts)
    elif charges is not None and set(counts) - set(charges):
        raise PotentialError(f"potential.charges: has no {', '.join(sorted(set(counts) - set(charges)))}")
    references = [reference(n, header(p, _text(p))) for n, p in files.items()]
    if potential.citation:
        references.insert(0, reference("potential", header(Path("potential"), f"CITATION: {potential.citation}")))
    return PairSetup(
        commands=tuple(commands),
        files=files,
        pair_styles=(style_words[0],),
        kspace_style=kspace,
        atom_style="charge" if charges is not None else potential.atom_style,
        charges={s: charges[s] for s in sorted(set(species))} if charges is not None else None,
        newton=potential.newton,
        atom_map=potential.atom_map,
        references=tuple(references),
    )


def _text(path: Path) -> str:
    """Return the head of a file that may be binary: only its header line is wanted."""
    with path.open("rb") as file:
        return file.read(4000).decode("utf-8", errors="replace")


def _for_types(line: str, declared: Sequence[str], species: Sequence[str]) -> list[str]:
    """Return the lines that `line` stands for, with its placeholders filled in."""
    words = line.split()
    if not words:
        raise PotentialError("potential.lines: a line is empty; leave it away")
    if words[0] not in _ALLOWED:
        raise PotentialError(f"potential.lines: {words[0]!r} is none of {', '.join(_ALLOWED)}")
    named = re.findall(r"\{(?:elements:)?([^{}]*)\}", line)
    unknown = [n for names in named for n in names.split(",") if n not in (*declared, "elements")]
    if unknown:
        raise PotentialError(f"potential.lines: {{{unknown[0]}}} is not among potential.elements in {line!r}")
    line = re.sub(r"\{elements(?::([^{}]*))?\}", lambda m: _listed(m.group(1), species), line)
    if words[0] == "pair_coeff":
        return _for_pairs(line, words, declared, species)
    if set(re.findall(r"\{(\w+)\}", line)) - set(species):
        return []
    # Isotopes have one potential, so that the first of an element's types stands for all.
    return [" ".join(re.sub(r"\{(\w+)\}", lambda m: str(1 + list(species).index(m.group(1))), line).split())]


def _listed(chosen: str | None, species: Sequence[str]) -> str:
    return " ".join(s if chosen is None or s in chosen.split(",") else "NULL" for s in species)


def _for_pairs(line: str, words: Sequence[str], declared: Sequence[str], species: Sequence[str]) -> list[str]:
    """Return a ``pair_coeff`` line for each pair of types that it means, I <= J as LAMMPS takes them."""
    if len(words) < 3 or not all(re.fullmatch(r"\*|\{[A-Z][a-z]?\}", word) for word in words[1:3]):
        raise PotentialError(f"potential.lines: write types by element, as {{{declared[0]}}}, or as *, in {line!r}")
    if words[1:3] == ["*", "*"] and words[-1] in (*ELEMENTS, "NULL"):
        raise PotentialError(
            f"potential.lines: {words[-1]} at the end of {line!r} takes the types' order for granted, which follows "
            f"from the structure; write {{elements}}, or {{elements:{declared[0]}}} with NULL for all others"
        )
    tail = " ".join(line.split()[3:])
    if "{" in tail:
        raise PotentialError(f"potential.lines: a type can stand only in the first two places of {line!r}")
    first, second = (
        ["*"] if word == "*" else [str(t) for t, s in enumerate(species, 1) if f"{{{s}}}" == word]
        for word in words[1:3]
    )
    pairs = {(a, b) if "*" in (a, b) or int(a) <= int(b) else (b, a) for a in first for b in second}
    return [f"pair_coeff {a} {b} {tail}".rstrip() for a, b in sorted(pairs)]
