"""SNAP and ML-IAP potentials, through the include files that come with them.

Several published fits are made on top of a ZBL repulsion that only their include file (``X.snap``, ``X.mliap``)
states: Ta06A, W_2940, WBe, InP. With the coefficient files alone they run, and are wrong. So the include file is
read, its numbered types become the structure's, and its lines stand in the deck.

SNAP: Thompson et al., J. Comput. Phys. 285, 316 (2015), doi 10.1016/j.jcp.2014.12.018.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lampion.errors import PotentialError
from lampion.potential.citation import reference
from lampion.potential.record import PairSetup, find_file, header, read_text, require_elements
from lampion.settings import ELEMENTS, Element, File, settings


@settings
class Snap:
    """Spectral neighbour analysis potential."""

    style: Literal["snap"]
    file: File
    """The include file (``X.snap``), or the coefficients (``X.snapcoeff``) of a fit that has none."""
    parameters: File | None = None
    """The ``.snapparam`` that goes with a ``.snapcoeff``; without it the one of the same name."""
    elements: tuple[Element, ...] | None = None
    """The element of each of the include file's types, where it says NULL."""


@settings
class Mliap:
    """ML-IAP potential: a linear, quadratic or neural-network model of SNA or SO3 descriptors."""

    style: Literal["mliap"]
    file: File | None = None
    """The include file (``X.mliap``)."""
    model: Literal["linear", "quadratic", "nn"] | None = None
    """Without an include file: what the model file holds."""
    model_file: File | None = None
    descriptor: Literal["sna", "so3"] = "sna"
    descriptor_file: File | None = None
    elements: tuple[Element, ...] | None = None
    """The element of each of the include file's types, where it says NULL."""


@dataclass(frozen=True)
class Include:
    """The pair lines of an include file, with its variables filled in."""

    path: Path
    style: tuple[str, ...]
    coefficients: tuple[tuple[str, ...], ...]


def read_include(path: Path) -> Include:
    """Read the ``pair_style`` and ``pair_coeff`` lines of an include file.

    Raises:
        PotentialError: another command, or a variable that is not a number, stands in it.
    """
    text = re.sub(r"&[ \t]*\n", " ", read_text(path))
    variables: dict[str, str] = {}
    style: tuple[str, ...] = ()
    coefficients = []
    for raw in text.splitlines():
        line = re.sub(r"\$\{(\w+)\}", lambda m: variables.get(m.group(1), m.group(0)), raw.split("#")[0])
        words = line.split()
        match words:
            case []:
                continue
            case ["variable", name, "equal" | "index", value] if re.fullmatch(r"[-+\d.eE]+", value):
                variables[name] = value
            case ["pair_style", *rest]:
                style = tuple(rest)
            case ["pair_coeff", *rest]:
                coefficients.append(tuple(rest))
            case _:
                raise PotentialError(
                    f"{path}: a line other than variable, pair_style and pair_coeff: {raw.strip()!r}"
                )
    if not style or not coefficients or "$" in " ".join(w for line in (style, *coefficients) for w in line):
        raise PotentialError(f"{path}: is no include file of a potential: it needs pair_style and pair_coeff lines")
    return Include(path, style, tuple(coefficients))


def _elements(include: Include, declared: Sequence[str] | None) -> list[str]:
    """Return the element of each type that the include file numbers."""
    names: list[str] = []
    for line in include.coefficients:
        if line[:2] == ("*", "*"):
            tail = []
            for word in reversed(line[2:]):
                if word not in (*ELEMENTS, "NULL"):
                    break
                tail.append(word)
            names = [n if n != "NULL" or i >= len(names) else names[i] for i, n in enumerate(reversed(tail))]
    if declared is not None:
        if len(declared) != len(names) or any(n not in ("NULL", d) for n, d in zip(names, declared, strict=False)):
            raise PotentialError(
                f"{include.path}: its types are {' '.join(names)}; potential.elements says {' '.join(declared)}"
            )
        names = list(declared)
    if "NULL" in names or not names:
        raise PotentialError(
            f"{include.path}: does not say which element each of its types is ({' '.join(names) or 'none named'}); "
            "give potential.elements, in the order of its types"
        )
    return names


def _for_types(include: Include, names: Sequence[str], species: Sequence[str]) -> tuple[str, ...]:
    """Return the include file's lines with its types replaced by the structure's."""
    types = {name: [t for t, s in enumerate(species, 1) if s == name] for name in names}
    commands = ["pair_style " + " ".join(include.style)]
    used: set[str] = set()
    for line in include.coefficients:
        i, j, *rest = line
        if (i, j) == ("*", "*"):
            head = rest[: len(rest) - len(names)]
            # NULL in the file means that this sub-style leaves the element to another one.
            kept = dict(zip(names, rest[len(head) :], strict=True))
            mapped = [kept[s] for s in species]
            if set(mapped) != {"NULL"}:
                commands.append(" ".join(["pair_coeff * *", *head, *mapped]))
                used.add(_sub_style(head))
            continue
        if not (i.isdigit() and j.isdigit() and 1 <= int(i) <= len(names) and 1 <= int(j) <= len(names)):
            raise PotentialError(f"{include.path}: pair_coeff types {i} {j} are not among its {len(names)} elements")
        pairs = {tuple(sorted((a, b))) for a in types[names[int(i) - 1]] for b in types[names[int(j) - 1]]}
        for a, b in sorted(pairs):
            # LAMMPS takes I <= J only; ZBL and tables are symmetric in their arguments.
            commands.append(" ".join([f"pair_coeff {a} {b}", *rest]))
            used.add(_sub_style(rest))
    wanted = {_sub_style(line[2:]) for line in include.coefficients}
    if include.style[0].startswith("hybrid") and wanted - used:
        raise PotentialError(
            f"{include.path}: is for {' and '.join(names)} together; this structure would leave its "
            f"{', '.join(sorted(wanted - used))} unused; take the potential made for {' '.join(sorted(set(species)))}"
        )
    return tuple(commands)


def _sub_style(words: Sequence[str]) -> str:
    return " ".join(words[:2]) if len(words) > 1 and words[1].isdigit() and words[0] == "table" else words[0]


def _pair_styles(style: Sequence[str]) -> tuple[str, ...]:
    if not style[0].startswith("hybrid"):
        return (style[0],)
    known = {"zbl", "snap", "mliap", "table", "coul/long", "lj/cut", "buck"}
    return (style[0], *dict.fromkeys(word for word in style[1:] if word in known))


def resolve_include(path: Path, declared: Sequence[str] | None, species: Sequence[str]) -> PairSetup:
    """Return what a deck needs to use the include file `path` for types of the elements `species`."""
    text = read_text(path)
    include = read_include(path)
    if "mliappy" in include.style:
        raise PotentialError(
            f"{path}: its model is a pickle that needs a LAMMPS with Python; take the nn, linear or quadratic variant"
        )
    names = _elements(include, declared)
    require_elements(path, species, names)
    commands = _for_types(include, names, species)
    files: dict[str, Path] = {}
    for word in dict.fromkeys(" ".join(commands).split()):
        if (path.parent / word).is_file():
            files[word] = path.parent / word
        elif re.search(r"\.(snapcoeff|snapparam|model|descriptor|table|pt)$", word):
            raise PotentialError(f"{path}: names {word}, which is not beside it; copy it there")
    _require_file_order(files, species)
    cited = {r.citation: r for r in (reference(p.name, header(p, read_text(p))) for p in reversed(files.values()))}
    first = reference(path.name, header(path, text))
    return PairSetup(
        commands=commands,
        files=files,
        pair_styles=_pair_styles(include.style),
        references=(first, *(r for c, r in cited.items() if c not in ("", first.citation))),
    )


def _require_file_order(files: Mapping[str, Path], species: Sequence[str]) -> None:
    """Refuse a multi-element SNAP whose elements LAMMPS would take in another order than the file's.

    With chemflag 1 the coefficients of one element run over triples of elements in the file's order, and
    `pair_style snap` counts triples in the order in which the types name the elements, without a word. The same
    model as ML-IAP is free of this.
    """
    chemical = any(
        re.search(r"^\s*chemflag\s+1\b", read_text(path), re.MULTILINE)
        for name, path in files.items()
        if name.endswith(".snapparam")
    )
    for name, path in files.items():
        if not (chemical and name.endswith(".snapcoeff")):
            continue
        listed, wanted = _snapcoeff_elements(path, read_text(path)), list(dict.fromkeys(species))
        if listed != wanted:
            raise PotentialError(
                f"{path}: has chemflag 1, with which LAMMPS must meet its elements as {' '.join(listed)}; this "
                f"structure's types are {' '.join(wanted)}; take the same model as mliap, which has no such order"
            )


def _require_no_overlay(path: Path, suffix: str, shipped: Path | None) -> None:
    """Refuse to use a model alone that an include file, beside it or in the installation, uses with more."""
    for folder in dict.fromkeys([path.parent, *([shipped] if shipped else [])]):
        for include in sorted(folder.glob(f"*{suffix}")):
            if path.name in include.read_text(encoding="utf-8", errors="replace"):
                raise PotentialError(
                    f"{path.name}: is used through {include.name}, which states the whole potential "
                    f"(an overlay may belong to it); set potential.file: {include.name}"
                )


def _require_unset(potential: Snap | Mliap, names: Sequence[str], why: str) -> None:
    """Refuse settings that would be passed over."""
    for name in names:
        if getattr(potential, name) is not None:
            raise PotentialError(f"potential.{name}: has no effect with {why}; leave it away")


def resolve_snap(potential: Snap, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use a SNAP potential.

    Raises:
        PotentialError: a file is missing or unfit, or its elements are not the structure's.
    """
    path = find_file(potential.file, folder, shipped)
    if path.suffix != ".snapcoeff":
        _require_unset(potential, ["parameters"], f"the include file {path.name}, which names them")
        return resolve_include(path, potential.elements, species)
    _require_unset(potential, ["elements"], f"{path.name}, which names them")
    _require_no_overlay(path, ".snap", shipped)
    parameters = (
        find_file(potential.parameters, folder, shipped) if potential.parameters else path.with_suffix(".snapparam")
    )
    if not parameters.is_file():
        raise PotentialError(
            f"{parameters}: no such file; name the .snapparam of {path.name} as potential.parameters"
        )
    text = read_text(path)
    require_elements(path, species, _snapcoeff_elements(path, text))
    files = {path.name: path, parameters.name: parameters}
    _require_file_order(files, species)
    return PairSetup(
        commands=("pair_style snap", f"pair_coeff * * {path.name} {parameters.name} {' '.join(species)}"),
        files=files,
        pair_styles=("snap",),
        references=(reference(path.name, header(path, text)),),
    )


def _snapcoeff_elements(path: Path, text: str) -> list[str]:
    lines = [line.split() for line in text.splitlines() if line.split("#")[0].strip()]
    try:
        n_elements, n_coefficients = int(lines[0][0]), int(lines[0][1])
        return [lines[1 + k * (n_coefficients + 1)][0] for k in range(n_elements)]
    except (IndexError, ValueError) as error:
        raise PotentialError(f"{path}: is no SNAP coefficient file: {error}") from error


def resolve_mliap(potential: Mliap, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use an ML-IAP potential.

    Raises:
        PotentialError: a file is missing or unfit, or its elements are not the structure's.
    """
    if potential.file is not None:
        path = find_file(potential.file, folder, shipped)
        settings_of_model = ["model", "model_file", "descriptor_file"]
        _require_unset(potential, settings_of_model, f"the include file {path.name}, which names it")
        return resolve_include(path, potential.elements, species)
    if potential.model is None or potential.model_file is None or potential.descriptor_file is None:
        raise PotentialError("potential: mliap needs file, or model, model_file and descriptor_file")
    model = find_file(potential.model_file, folder, shipped)
    descriptor = find_file(potential.descriptor_file, folder, shipped)
    _require_unset(potential, ["elements"], f"{descriptor.name}, which names them")
    _require_no_overlay(model, ".mliap", shipped)
    text = read_text(descriptor)
    listed = re.search(r"^\s*elems\s+(.+)$", text, re.MULTILINE)
    if listed is None:
        raise PotentialError(f"{descriptor}: is no ML-IAP descriptor file: it has no line 'elems'")
    require_elements(descriptor, species, listed.group(1).split("#")[0].split())
    # twojmax is what makes bispectrum components, nmax and lmax make the others.
    if bool(re.search(r"^\s*twojmax\s", text, re.MULTILINE)) != (potential.descriptor == "sna"):
        other = "so3" if potential.descriptor == "sna" else "sna"
        raise PotentialError(
            f"{descriptor}: is no {potential.descriptor} descriptor; set potential.descriptor: {other}"
        )
    return PairSetup(
        commands=(
            f"pair_style mliap model {potential.model} {model.name} "
            f"descriptor {potential.descriptor} {descriptor.name}",
            f"pair_coeff * * {' '.join(species)}",
        ),
        files={model.name: model, descriptor.name: descriptor},
        pair_styles=("mliap",),
        references=(reference(model.name, header(model, read_text(model))),),
    )
