"""Potentials whose files name their elements: EAM, Stillinger–Weber, Tersoff, MEAM, POD, UF3."""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Literal

from lampion.errors import PotentialError
from lampion.potential.citation import reference
from lampion.potential.record import PairSetup, find_file, header, read_text, require_elements
from lampion.settings import ELEMENTS, File, Line, settings


@settings
class Eam:
    """Embedded-atom method, in the setfl formats."""

    style: Literal["eam/alloy", "eam/fs"]
    file: File


@settings
class ManyBody:
    """Three-body potentials with one parameter set for each triple of elements."""

    style: Literal["sw", "tersoff", "tersoff/mod", "tersoff/mod/c", "tersoff/zbl"]
    file: File


@settings
class Meam:
    """Modified embedded-atom method."""

    style: Literal["meam"]
    library: File
    """The library, for example ``library.meam``."""
    file: File | None = None
    """The parameter file that goes with it, where there is one."""
    names: tuple[Line, ...]
    """Names in the library, in the order in which the parameter file counts them."""


@settings
class Pod:
    """Proper orthogonal descriptors."""

    style: Literal["pod"]
    file: File
    """The parameters (``X_param.pod``)."""
    coefficients: File
    """The coefficients (``X_coeff.pod``)."""


@settings
class Uf3:
    """Ultra-fast force fields: two- and three-body B-splines."""

    style: Literal["uf3"]
    file: File


def resolve_eam(potential: Eam, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use an EAM potential.

    Raises:
        PotentialError: the file is missing, is no setfl file, or lacks an element of the structure.
    """
    path = find_file(potential.file, folder, shipped)
    text = read_text(path)
    lines = text.splitlines()
    words = lines[3].split() if len(lines) > 5 else []
    if not (words and words[0].isdigit() and len(words) == int(words[0]) + 1 and set(words[1:]) <= set(ELEMENTS)):
        raise PotentialError(
            f"{path}:4: is no setfl file: the fourth line must be the number of elements and their names"
        )
    # alloy has one density table an element, fs one for each pair: the numbers tell which file it is.
    n_elements, (n_rho, n_r) = int(words[0]), _table_sizes(path, lines[4])
    n_values = sum(len(line.split()) for line in lines[5:])
    pairs = n_elements * (n_elements + 1) // 2
    expected = {
        "eam/alloy": n_elements * (4 + n_rho + n_r) + pairs * n_r,
        "eam/fs": n_elements * (4 + n_rho + n_elements * n_r) + pairs * n_r,
    }
    other = "eam/fs" if potential.style == "eam/alloy" else "eam/alloy"
    if expected[potential.style] != expected[other] and n_values == expected[other]:
        raise PotentialError(f"{path}: is an {other} file, not {potential.style}; set potential.style: {other}")
    require_elements(path, species, words[1:])
    return _one_file(potential.style, path, text, species)


def _table_sizes(path: Path, line: str) -> tuple[int, int]:
    try:
        n_rho, _, n_r, *_ = line.split()
        return int(n_rho), int(n_r)
    except ValueError as error:
        raise PotentialError(f"{path}:5: is no setfl file: the fifth line must be Nrho drho Nr dr cutoff") from error


def resolve_many_body(potential: ManyBody, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use a Stillinger–Weber or Tersoff potential.

    Raises:
        PotentialError: the file is missing, or lacks an element or a triple of elements of the structure.
    """
    path = find_file(potential.file, folder, shipped)
    text = read_text(path)
    words = " ".join(line.split("#")[0] for line in text.splitlines() if not line.startswith("DATE")).split()
    triples = {
        (words[i], words[i + 1], words[i + 2])
        for i in range(len(words) - 2)
        if all(re.fullmatch(r"[A-Z][a-z]?", w) for w in words[i : i + 3])
    }
    require_elements(path, species, sorted({e for triple in triples for e in triple}))
    missing = [t for t in product(sorted(set(species)), repeat=3) if t not in triples]
    if missing:
        raise PotentialError(f"{path}: has no parameters for the triple {'-'.join(missing[0])}")
    return _one_file(potential.style, path, text, species)


def resolve_meam(potential: Meam, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use a MEAM potential.

    Raises:
        PotentialError: a file is missing, or a name is not in the library, or the structure's elements are not
            among those of the names.
    """
    library = find_file(potential.library, folder, shipped)
    text = read_text(library)
    entries = {
        name: ELEMENTS[int(float(z)) - 1]
        for name, z in re.findall(r"^'(\w+)'\s+'\w+'\s+\S+\s+([\d.]+)\s", text, re.MULTILINE)
        if 0 < float(z) <= len(ELEMENTS)
    }
    unknown = [name for name in potential.names if name not in entries]
    if unknown:
        raise PotentialError(f"{library}: has no entry {unknown[0]!r}; its entries are {' '.join(sorted(entries))}")
    by_element: dict[str, str] = {}
    for name in potential.names:
        other = by_element.setdefault(entries[name], name)
        if other != name:
            raise PotentialError(f"potential.names: {other} and {name} are both {entries[name]}; keep one of them")
    require_elements(library, species, sorted(by_element))
    files, tail, references = {library.name: library}, "NULL", [reference(library.name, header(library, text))]
    if potential.file is not None:
        path = find_file(potential.file, folder, shipped)
        parameters = read_text(path)
        indices = re.findall(r"^\s*\w+\(([\d, ]+)\)\s*=", parameters, re.MULTILINE)
        counted = max((int(n) for group in indices for n in group.split(",")), default=1)
        if counted > len(potential.names):
            raise PotentialError(
                f"{path}: counts {counted} elements, but potential.names lists {len(potential.names)}"
            )
        files[path.name], tail = path, path.name
        references.append(reference(path.name, header(path, parameters)))
    elif len(potential.names) > 1:
        raise PotentialError("potential.file: meam with several elements needs the parameter file of their mixture")
    mapped = " ".join(by_element[s] for s in species)
    return PairSetup(
        commands=("pair_style meam", f"pair_coeff * * {library.name} {' '.join(potential.names)} {tail} {mapped}"),
        files=files,
        pair_styles=("meam",),
        references=tuple(references),
    )


def resolve_pod(potential: Pod, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use a POD potential.

    Raises:
        PotentialError: a file is missing or is no POD file, or lacks an element of the structure.
    """
    path = find_file(potential.file, folder, shipped)
    coefficients = find_file(potential.coefficients, folder, shipped)
    listed = re.search(r"^\s*species\s+(.+)$", read_text(path), re.MULTILINE)
    if listed is None:
        raise PotentialError(f"{path}: is no POD parameter file: it has no line 'species'")
    if not re.search(r"^\s*model_coefficients:?\s", read_text(coefficients), re.MULTILINE):
        raise PotentialError(f"{coefficients}: is no POD coefficient file: it has no line 'model_coefficients'")
    require_elements(path, species, listed.group(1).split("#")[0].split())
    return PairSetup(
        commands=("pair_style pod", f"pair_coeff * * {path.name} {coefficients.name} {' '.join(species)}"),
        files={path.name: path, coefficients.name: coefficients},
        pair_styles=("pod",),
        references=(reference(path.name, header(path, read_text(path))),),
    )


def resolve_uf3(potential: Uf3, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use a UF3 potential.

    Raises:
        PotentialError: the file is missing, or lacks a pair or triple of the structure's elements.
    """
    path = find_file(potential.file, folder, shipped)
    text = read_text(path)
    pairs = {tuple(sorted(p)) for p in re.findall(r"^2B (\w+) (\w+) ", text, re.MULTILINE)}
    triples = set(re.findall(r"^3B (\w+) (\w+) (\w+) ", text, re.MULTILINE))
    require_elements(path, species, sorted({e for pair in pairs for e in pair}))
    chosen = sorted(set(species))
    missing = [p for p in product(chosen, repeat=2) if tuple(sorted(p)) not in pairs]
    bodies = 3 if triples else 2
    if triples:
        has = {(c, *sorted(n)) for c, *n in triples}
        missing += [t for t in product(chosen, repeat=3) if (t[0], *sorted(t[1:])) not in has]
    if missing:
        raise PotentialError(f"{path}: has no parameters for {'-'.join(missing[0])}")
    return PairSetup(
        commands=(f"pair_style uf3 {bodies}", f"pair_coeff * * {path.name} {' '.join(species)}"),
        files={path.name: path},
        pair_styles=("uf3",),
        references=(reference(path.name, header(path, text)),),
    )


def _one_file(style: str, path: Path, text: str, species: Sequence[str]) -> PairSetup:
    return PairSetup(
        commands=(f"pair_style {style}", f"pair_coeff * * {path.name} {' '.join(species)}"),
        files={path.name: path},
        pair_styles=(style,),
        references=(reference(path.name, header(path, text)),),
    )
