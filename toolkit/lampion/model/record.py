"""What is known of a model file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal[
    "MACE checkpoint",
    "MACE export",
    "ML-IAP pickle",
    "NequIP checkpoint",
    "NequIP package",
    "Allegro checkpoint",
    "Allegro package",
    "NequIP export",
    "Allegro export",
    "DeePMD model",
    "DeePMD PyTorch model",
    "SNAP coefficients",
    "pickle",
    "TorchScript",
    "compiled archive",
]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model file, as far as it can be read without running anything of it."""

    path: Path
    kind: Kind
    elements: tuple[str, ...] | None = None
    """In the model's own order; None where the file doesn't say."""
    cutoff: float | None = None
    """Å."""
    dtype: str | None = None
    device: str | None = None
    """Where its numbers were, or for what it was compiled."""
    processor: tuple[str, ...] = ()
    """Instructions that a compiled model needs of the CPU."""
    layers: int | None = None
    """Rounds of message passing."""
    heads: tuple[str, ...] = ()
    runs_code: bool = False
    """Whether loading it runs what the file says, so that it must come from somebody you trust."""
    wants: tuple[str, ...] = ()
    """What it takes beside positions and elements: a total charge, a spin."""
    license: str = ""

    @property
    def remedy(self) -> str:
        """What to do to use it in LAMMPS; empty where it can be used as it is."""
        if self.kind.endswith((" checkpoint", " package")):
            return f"lampion model export {self.path}"
        return ""


def describe(model: Model) -> Iterator[str]:
    """Yield lines for people."""
    yield f"{model.path}: {model.kind}"
    yield f"elements   {' '.join(model.elements) if model.elements else 'not said in the file'}"
    yield f"cutoff     {f'{model.cutoff:g} Å' if model.cutoff else 'not said in the file'}"
    if model.dtype:
        yield f"dtype      {model.dtype}"
    if model.device:
        yield f"device     {model.device}{', needs ' + ' '.join(model.processor) if model.processor else ''}"
    if model.layers:
        yield f"layers     {model.layers}"
    if model.heads and model.heads != ("Default",):
        yield f"heads      {' '.join(model.heads)}"
    if model.wants:
        yield f"wants      {' and '.join(model.wants)} beside positions, which the pair styles in LAMMPS can't give"
    if model.license:
        yield f"license    {model.license}"
    if model.runs_code:
        yield "trust      loading it runs code that the file brings: only load what comes from somebody you trust"
    if model.remedy:
        yield f"for LAMMPS {model.remedy}"
