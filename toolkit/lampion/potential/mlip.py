"""Models that torch or TensorFlow evaluates: MACE, NequIP, Allegro, DeePMD.

Their pair styles are in no LAMMPS that is shipped; each family names the framework that brings its own.
"""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lampion.errors import PotentialError
from lampion.model import Kind, Model, inspect
from lampion.potential.record import PairSetup, Reference, find_file, require_elements
from lampion.settings import Count, File, Line, settings


@settings
class Mace:
    """A MACE model, exported for LAMMPS (``lampion model export``)."""

    style: Literal["mace"]
    file: File
    """The export, ``X-lammps.pt``."""
    citation: Line | None = None


@settings
class Nequip:
    """A NequIP or Allegro model, compiled for LAMMPS (``lampion model export``). NequIP runs on one MPI rank."""

    style: Literal["nequip", "allegro"]
    file: File
    """The export, ``X.nequip.pt2``. It holds a shared library, so it must come from somebody you trust."""
    citation: Line | None = None


@settings
class Deepmd:
    """One DeePMD model, or several of one training for their deviation; the first one drives."""

    style: Literal["deepmd"]
    files: Annotated[tuple[File, ...], Field(min_length=1)]
    """Frozen models, ``X.pb``."""
    deviation_every: Count = 10
    """Steps between rows of ``model_deviation.out``, where there are several models."""
    citation: Line | None = None


def resolve_mace(potential: Mace, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use a MACE model.

    Raises:
        PotentialError: the file is missing or no MACE export, or the model lacks an element of the structure.
    """
    model = _model(find_file(potential.file, folder, shipped), ("MACE export",), species)
    # The map is for the keyword no_domain_decomposition, which a user may add for an upstream LAMMPS on one rank.
    return _setup("mace", model, species, potential.citation, newton=True, atom_map=True)


def resolve_nequip(potential: Nequip, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use a NequIP or Allegro model.

    Raises:
        PotentialError: the file is missing, no export or one of the other style, compiled for another processor, or
            the model lacks an element of the structure.
    """
    kind: Kind = "NequIP export" if potential.style == "nequip" else "Allegro export"
    path = find_file(potential.file, folder, shipped)
    if not path.name.endswith((".nequip.pt2", ".nequip.pth")):
        inspect(path)
        raise PotentialError(
            f"{path}: the pair style {potential.style} takes files named *.nequip.pt2 or *.nequip.pth"
        )
    model = _model(path, (kind,), species)
    _require_processor(model)
    return _setup(potential.style, model, species, potential.citation, newton=kind == "Allegro export")


def resolve_deepmd(potential: Deepmd, species: Sequence[str], folder: Path, shipped: Path | None) -> PairSetup:
    """Return what a deck needs to use DeePMD models.

    Raises:
        PotentialError: a file is missing or no DeePMD model, two have the same name, or a model lacks an element of
            the structure.
    """
    paths = [find_file(file, folder, shipped) for file in potential.files]
    if len({path.name for path in paths}) < len(paths):
        raise PotentialError("potential.files: two models have the same name; rename one")
    models = [_model(path, ("DeePMD model",), species) for path in paths]
    words = ["pair_style", "deepmd", *(path.name for path in paths)]
    if len(paths) > 1:
        words += ["out_file", "model_deviation.out", "out_freq", str(potential.deviation_every)]
    return PairSetup(
        commands=(" ".join(words), f"pair_coeff * * {' '.join(species)}"),
        files={path.name: path for path in paths},
        pair_styles=("deepmd",),
        framework="deepmd",
        # Off is not refused by the style, and silently gives wrong forces.
        newton=True,
        atom_map=True,
        references=tuple(_reference(model, potential.citation) for model in models),
    )


def _model(path: Path, kinds: tuple[Kind, ...], species: Sequence[str]) -> Model:
    model = inspect(path)
    if model.kind == "DeePMD PyTorch model" and model.kind not in kinds:
        raise PotentialError(
            f"{path}: is a PyTorch model of DeePMD-kit, which needs deepmd-kit[torch] with torch 2.11 in an "
            "environment of your own; convert it with: dp convert-backend"
        )
    if model.kind not in kinds:
        what = f"; make one with: {model.remedy}" if model.remedy else ""
        raise PotentialError(f"{path}: is a {model.kind}, and {' or '.join(kinds)} is needed{what}")
    if model.elements is not None:
        require_elements(path, species, model.elements)
    return model


def _require_processor(model: Model) -> None:
    """Refuse a model that was compiled for another CPU: it would end LAMMPS with an illegal instruction."""
    if model.device != "cpu" or not model.processor:
        return
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return
    if platform.machine() != "x86_64":
        raise PotentialError(f"{model.path}: was compiled for x86_64, not {platform.machine()}; export it again here")
    names = {"AVX512": "avx512f", "AVX512_VNNI": "avx512_vnni", "AVX2": "avx2", "AMX_TILE": "amx_tile"}
    missing = [name for name in model.processor if name in names and names[name] not in flags]
    if missing:
        raise PotentialError(
            f"{model.path}: was compiled for a processor with {missing[0]}, which is not here; export it again here"
        )


def _setup(
    style: Literal["mace", "nequip", "allegro"],
    model: Model,
    species: Sequence[str],
    citation: str | None,
    *,
    newton: bool,
    atom_map: bool = False,
) -> PairSetup:
    return PairSetup(
        commands=(f"pair_style {style}", f"pair_coeff * * {model.path.name} {' '.join(species)}"),
        files={model.path.name: model.path},
        pair_styles=(style,),
        framework="mace" if style == "mace" else "nequip",
        float32=model.dtype == "float32",
        one_rank=style == "nequip",
        newton=newton,
        atom_map=atom_map,
        references=(_reference(model, citation),),
    )


def _reference(model: Model, citation: str | None) -> Reference:
    return Reference(file=model.path.name, citation=citation or "")
