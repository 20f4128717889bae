"""Make from a trained model what LAMMPS needs, in its framework's environment, with a record beside it."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lampion.errors import PotentialError
from lampion.framework.environments import Environment, find
from lampion.model import Kind, Model, inspect
from lampion.plugin.entry import cache

FORMAT = 1


# nequip-compile traces a checkpoint with the first of its training data, which need not lie on this machine: a
# made-up crystal with the model's types serves as well.
_COMPILE = """
import sys
import numpy as np
import nequip.model.saved_models.checkpoint as saved
from nequip.scripts import compile as program

trained = saved.data_dict_from_checkpoint

def data(path):
    try:
        return trained(path)
    except Exception:  # hydra wraps what the data module raises
        pass
    import ase, torch
    from ase.data import chemical_symbols
    from nequip.data import AtomicDataDict, from_dict
    from nequip.data.transforms import NeighborListTransform

    settings = torch.load(path, map_location="cpu", weights_only=False)["hyper_parameters"]["model"]
    n, r = len(settings["type_names"]), float(settings["r_max"])
    x = np.stack(np.meshgrid(*[range(3)] * 3), -1).reshape(-1, 3) * 0.6 * r
    x = x + np.random.default_rng(0).normal(0, 0.05, x.shape)
    made = from_dict({"pos": x, "cell": np.eye(3) * 1.8 * r, "pbc": [True] * 3, "atom_types": np.arange(27) % n})
    made = NeighborListTransform(r_max=r)(made)
    return AtomicDataDict.batched_from_list([made])

saved.data_dict_from_checkpoint = data
program.main(sys.argv[1:])
"""


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    framework: Literal["mace", "nequip"]
    ending: str
    target: str = ""


_RECIPES: dict[Kind, _Recipe] = {
    "MACE checkpoint": _Recipe(framework="mace", ending="-lammps.pt"),
    "NequIP checkpoint": _Recipe(framework="nequip", ending=".nequip.pt2", target="pair_nequip"),
    "NequIP package": _Recipe(framework="nequip", ending=".nequip.pt2", target="pair_nequip"),
    "Allegro checkpoint": _Recipe(framework="nequip", ending=".nequip.pt2", target="pair_allegro"),
    "Allegro package": _Recipe(framework="nequip", ending=".nequip.pt2", target="pair_allegro"),
}


def export(
    path: Path,
    *,
    trusted: bool,
    head: str | None = None,
    dtype: Literal["float64", "float32"] = "float64",
    device: Literal["cpu", "cuda"] = "cpu",
    output: Path | None = None,
) -> Path:
    """Return the export of the model `path` for LAMMPS: from the cache, or made now.

    A record ``EXPORT.json`` lies beside it: framework and torch, elements, cutoff, dtype, hashes, source.

    Args:
        path: a checkpoint or a package.
        trusted: whether the user says so: loading it runs code that it brings.
        head: of a MACE model with several.
        dtype: of the numbers in the export; a NequIP model keeps its own.
        device: for which a NequIP or Allegro model is compiled.
        output: where to copy it; without it the place in the cache is returned.

    Raises:
        PotentialError: the file is no model that is exported, is not trusted, wants what LAMMPS can't give, needs a
            head, or the framework fails.
        EngineError: the framework is not installed.
    """
    model = inspect(path)
    recipe = _recipe(model)
    if not trusted:
        raise PotentialError(
            f"{path}: is a {model.kind}, and loading it runs code that it brings; if you trust where it comes from, "
            "add --trust"
        )
    head = _head(model, head)
    environment = find(recipe.framework)
    versions = {k: v for k, v in environment.versions.items() if k not in ("numpy", "ase")}
    source = hashlib.sha256(path.read_bytes()).hexdigest()
    options: dict[str, str | None] = {}
    options |= {"head": head, "dtype": dtype} if recipe.framework == "mace" else {"device": device}
    asked = json.dumps([source, versions, options, recipe.target], sort_keys=True)
    folder = cache() / "exports" / hashlib.sha256(asked.encode()).hexdigest()[:24]
    made = folder / f"{_stem(path)}{recipe.ending}"
    existing = [p for p in folder.glob(f"*{recipe.ending}") if p.with_name(f"{p.name}.json").is_file()]
    if existing:
        made = existing[0]
    else:
        record = {"format": FORMAT, "source": str(path.absolute()), "source_sha256": source}
        record |= {"kind": model.kind, "versions": versions, **options}
        _publish(_make(path, recipe, environment, options), made, record)
    return made if output is None else _copy(made, output, path)


def _recipe(model: Model) -> _Recipe:
    if model.kind in ("MACE export", "NequIP export", "Allegro export"):
        raise PotentialError(f"{model.path}: is an export already ({model.kind}); use it as it is")
    if model.kind not in _RECIPES:
        raise PotentialError(
            f"{model.path}: is a {model.kind}; Lampion exports checkpoints and packages of MACE, NequIP and Allegro"
        )
    if model.wants:
        raise PotentialError(
            f"{model.path}: wants {' and '.join(model.wants)} beside positions, which the pair styles in LAMMPS "
            "can't give; use another model"
        )
    return _RECIPES[model.kind]


def _head(model: Model, head: str | None) -> str | None:
    if head is None and len(model.heads) > 1:
        raise PotentialError(f"{model.path}: has the heads {' '.join(model.heads)}; choose one with --head")
    if head is not None and head not in model.heads:
        raise PotentialError(
            f"{model.path}: has no head {head!r}; it has {' '.join(model.heads) or 'none to choose'}"
        )
    return head or (model.heads[0] if model.heads else None)


def _stem(path: Path) -> str:
    for ending in (".nequip.zip", ".zip", ".ckpt", ".model", ".pt", ".pth"):
        if path.name.endswith(ending):
            return path.name.removesuffix(ending)
    return path.name


def _make(path: Path, recipe: _Recipe, environment: Environment, options: dict[str, str | None]) -> Path:
    """Run the framework's own exporter in a folder of its own, and return what it made."""
    folder = Path(tempfile.mkdtemp(prefix="lampion-export-"))
    ending = next((e for e in (".nequip.zip", ".ckpt") if path.name.endswith(e)), ".model")
    source = folder / f"model{ending}"
    source.symlink_to(path.absolute())
    made = folder / f"made{recipe.ending}"
    if recipe.framework == "mace":
        words = [str(environment.python), "-m", "mace.cli.create_lammps_model", source.name]
        words += ["--dtype", str(options["dtype"]), "--format", "libtorch"]
        words += ["--head", str(options["head"])] if options["head"] else []
        made = folder / "model.model-lammps.pt"
    else:
        words = [str(environment.python), "-c", _COMPILE, source.name, made.name]
        words += ["--mode", "aotinductor", "--device", str(options["device"]), "--target", recipe.target]
    done = subprocess.run(
        words,
        cwd=folder,
        # The environment's own programs come first: torch's compiler calls ninja and the like.
        env={
            **os.environ,
            "PATH": f"{environment.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
            "OMP_NUM_THREADS": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not made.is_file():
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line]
        shutil.rmtree(folder, ignore_errors=True)
        raise PotentialError(f"{path}: {recipe.framework} can't export it: {(errors or lines or ['no output'])[-1]}")
    return made


def _publish(made: Path, target: Path, record: dict[str, object]) -> None:
    """Move what was made into the cache, its record last: that one says that the export is whole."""
    try:
        model = inspect(made)
        record |= {"elements": list(model.elements or ()), "cutoff": model.cutoff, "export_dtype": model.dtype}
        record |= {"export_device": model.device, "sha256": hashlib.sha256(made.read_bytes()).hexdigest()}
        target.parent.mkdir(parents=True, exist_ok=True)
        for path, text in ((target, None), (target.with_name(f"{target.name}.json"), json.dumps(record, indent=1))):
            new = path.with_name(f".{path.name}.{os.getpid()}")
            if text is None:
                shutil.copy2(made, new)
            else:
                new.write_text(text + "\n", encoding="utf-8")
            new.replace(path)
    finally:
        shutil.rmtree(made.parent, ignore_errors=True)


def _copy(made: Path, output: Path, source: Path) -> Path:
    """Copy an export and its record to `output`, a folder or a name; the record names the model as it was given.

    Raises:
        PotentialError: another file is there.
    """
    target = output / made.name if output.is_dir() else output
    if target.is_file() and target.read_bytes() != made.read_bytes():
        raise PotentialError(f"{target}: exists and is another file; choose another --output, or remove it")
    record = json.loads(made.with_name(f"{made.name}.json").read_text(encoding="utf-8"))
    record["source"] = str(source.absolute())
    shutil.copy2(made, target)
    target.with_name(f"{target.name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return target
