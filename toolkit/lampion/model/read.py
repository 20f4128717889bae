"""Tell what a model file is, by looking at it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lampion.errors import PotentialError
from lampion.model import inert, protobuf
from lampion.model.inert import Archive, Inert, attribute
from lampion.model.record import Kind, Model
from lampion.settings import ELEMENTS

_DTYPES = {"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16"}


def inspect(path: Path) -> Model:
    """Return what the model file `path` is, without torch and without running anything of it.

    Raises:
        PotentialError: there is no such file, it is damaged, or it is none of the kinds that are known.
    """
    try:
        if not path.is_file() or path.stat().st_size == 0:
            raise PotentialError(f"{path}: no such model file, or an empty one")
        archive = inert.open_archive(path)
        if archive is not None:
            return _archive(archive)
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise PotentialError(f"{path}: can't be read ({error.strerror})") from error
    if path.suffix == ".snapcoeff" or re.search(rb"SNAP", head[:300]):
        return _snap(path, head)
    if head[:1] == b"\x80":
        return Model(path=path, kind="pickle", runs_code=True)
    if path.suffix == ".pb":
        return _deepmd(path)
    raise PotentialError(
        f"{path}: is no model file that Lampion knows (MACE, NequIP, Allegro, DeePMD, ML-IAP, SNAP), or is cut short"
    )


def _archive(archive: Archive) -> Model:
    metadata = sorted(n for n in archive.names if n.endswith("wrapper_metadata.json"))
    if metadata:
        return _compiled(archive, metadata[0])
    if "constants.pkl" in archive.names:
        return _torchscript(archive)
    if "data.pkl" in archive.names:
        return _checkpoint(archive)
    if "model/package_metadata.txt" in archive.names:
        return _package(archive)
    raise PotentialError(f"{archive.path}: is an archive, but no model that Lampion knows")


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _nequip(archive: Archive, data: dict[str, str], **more: Any) -> Model:
    """Return the export of NequIP or Allegro that these metadata describe."""
    return Model(
        path=archive.path,
        elements=tuple(data.get("type_names", "").split()) or None,
        cutoff=_number(data.get("r_max")),
        dtype=data.get("model_dtype") or None,
        **more,
    )


def _compiled(archive: Archive, name: str) -> Model:
    """Return what an archive of torch's AOTInductor is; it holds a shared library."""
    try:
        data = {str(k): str(v) for k, v in json.loads(archive.read(name)).items()}
    except (ValueError, AttributeError) as error:
        raise PotentialError(f"{archive.path}: its metadata are damaged ({error}); export it again") from error
    machine: dict[str, Any] = {
        "device": data.get("AOTI_DEVICE_KEY") or None,
        "processor": tuple(data.get("AOTI_CPU_ISA", "").split()),
        "runs_code": True,
    }
    if "type_names" not in data:
        return Model(path=archive.path, kind="compiled archive", **machine)
    cells = "edge_cell_shift" in data.get("nequip_aoti_inputs", "edge_cell_shift").split()
    return _nequip(archive, data, kind="NequIP export" if cells else "Allegro export", **machine)


def _torchscript(archive: Archive) -> Model:
    """Return what a TorchScript archive is. Loading one runs no Python, only torch's own operations."""
    code = {n for n in archive.names if n.startswith("code/__torch__/")}
    if "extra/type_names" in archive.names:
        keys = ("type_names", "r_max", "model_dtype")
        data = {k: archive.read(f"extra/{k}").decode() for k in keys if f"extra/{k}" in archive.names}
        return _nequip(archive, data, kind="NequIP export")
    if any(n.startswith("code/__torch__/deepmd/") for n in code):
        return Model(path=archive.path, kind="DeePMD PyTorch model")
    if "code/__torch__/mace/calculators/lammps_mace.py" in code:
        return _mace(archive, archive.tree(), kind="MACE export")
    return Model(path=archive.path, kind="TorchScript")


def _checkpoint(archive: Archive) -> Model:
    """Return what an archive of ``torch.save`` is: a pickle."""
    tree = archive.tree()
    path = tree.path if isinstance(tree, Inert) else ""
    if path.startswith("mace.modules."):
        return _mace(archive, tree, kind="MACE checkpoint", runs_code=True)
    names = attribute(tree, "element_types")
    if isinstance(names, list) and attribute(tree, "rcutfac") is not None:
        factor = _number(attribute(tree, "rcutfac"))
        return Model(
            path=archive.path,
            kind="ML-IAP pickle",
            elements=tuple(map(str, names)),
            cutoff=None if factor is None else 2 * factor,
            runs_code=True,
        )
    if isinstance(tree, dict) and isinstance(tree.get("hyper_parameters"), dict):
        settings = _settings(tree["hyper_parameters"])
        if settings is not None:
            return _trained(archive, settings, "checkpoint", None)
    return Model(path=archive.path, kind="pickle", runs_code=True)


def _settings(tree: Any) -> dict[str, Any] | None:
    """Return the first dictionary of the tree with the keys of a NequIP model."""
    if not isinstance(tree, dict):
        return None
    if "_target_" in tree and "type_names" in tree and "r_max" in tree:
        return tree
    return next((found for value in tree.values() if (found := _settings(value)) is not None), None)


def _mace(archive: Archive, tree: Any, **more: Any) -> Model:
    """Return what a MACE model says of itself: its buffers, as the export and the checkpoint name them alike."""
    read = {name: archive.numbers(attribute(tree, name)) for name in ("atomic_numbers", "r_max", "num_interactions")}
    numbers, r_max, layers = read["atomic_numbers"], read["r_max"], read["num_interactions"]
    if numbers is None or r_max is None or not np.all((numbers[0] >= 1) & (numbers[0] <= len(ELEMENTS))):
        raise PotentialError(f"{archive.path}: is a MACE file without atomic_numbers and r_max; export it again")
    heads = attribute(tree, "heads")
    wants = attribute(tree, "embedding_specs") or attribute(attribute(tree, "model"), "embedding_specs")
    return Model(
        path=archive.path,
        elements=tuple(ELEMENTS[int(z) - 1] for z in numbers[0]),
        cutoff=float(r_max[0][0]),
        dtype=_DTYPES.get(r_max[1].kind, r_max[1].kind),
        device=r_max[1].device,
        layers=int(layers[0][0]) if layers is not None else None,
        heads=tuple(map(str, heads)) if isinstance(heads, list) else (),
        wants=tuple(map(str, wants)) if isinstance(wants, dict) else (),
        **more,
    )


def _package(archive: Archive) -> Model:
    """Return what a NequIP package is: torch's package format, with the code of the model in it."""
    metadata, config = _yaml(archive, "model/package_metadata.txt"), _yaml(archive, "model/config.yaml")
    types = metadata.get("atom_types")
    return _trained(
        archive,
        _settings(config) or {},
        "package",
        tuple(str(types[k]) for k in sorted(types)) if isinstance(types, dict) else None,
    )


def _trained(archive: Archive, settings: dict[str, Any], form: str, elements: tuple[str, ...] | None) -> Model:
    """Return the NequIP or Allegro model that these settings of a training describe."""
    allegro = "allegro" in str(settings.get("_target_", "")).lower()
    kinds: dict[str, tuple[Kind, Kind]] = {
        "package": ("NequIP package", "Allegro package"),
        "checkpoint": ("NequIP checkpoint", "Allegro checkpoint"),
    }
    names = settings.get("type_names")
    return Model(
        path=archive.path,
        kind=kinds[form][allegro],
        elements=elements or (tuple(map(str, names)) if isinstance(names, list) else None),
        cutoff=_number(settings.get("r_max")),
        dtype=str(settings["model_dtype"]) if "model_dtype" in settings else None,
        layers=settings["num_layers"] if isinstance(settings.get("num_layers"), int) else None,
        runs_code=True,
    )


def _yaml(archive: Archive, name: str) -> dict[Any, Any]:
    if name not in archive.names:
        return {}
    try:
        found = YAML(typ="safe", pure=True).load(archive.read(name).decode("utf-8", "replace"))
    except YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _deepmd(path: Path) -> Model:
    """Return what a frozen TensorFlow graph of DeePMD-kit is."""
    try:
        wanted = frozenset({"model_attr/tmap", "descrpt_attr/rcut", "model_attr/model_type"})
        found = protobuf.constants(path.read_bytes(), wanted)
    except (ValueError, IndexError) as error:
        raise PotentialError(f"{path}: is no frozen TensorFlow graph, or a truncated one") from error
    if "model_attr/tmap" not in found:
        raise PotentialError(f"{path}: is a TensorFlow graph, but none of DeePMD-kit: it has no model_attr/tmap")
    return Model(
        path=path,
        kind="DeePMD model",
        elements=tuple(str(found["model_attr/tmap"]).split()),
        cutoff=_number(found.get("descrpt_attr/rcut")),
    )


def _snap(path: Path, head: bytes) -> Model:
    lines = [line for line in head.decode("utf-8", "replace").splitlines() if line.split("#")[0].strip()]
    words = lines[0].split() if lines else []
    if len(words) < 2 or not words[0].isdigit():
        raise PotentialError(f"{path}: is no file of SNAP coefficients: its first line must be two numbers")
    text = path.read_text(encoding="utf-8", errors="replace")
    names = re.findall(r"^([A-Z][a-z]?)\s+[\d.]+\s+[\d.eE+-]+\s*$", text, re.MULTILINE)
    return Model(path=path, kind="SNAP coefficients", elements=tuple(names) or None)
