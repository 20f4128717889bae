"""Read a pickle, or torch's archive of one, without running anything of it.

Unpickling calls what the file names. Here every name gives an `Inert`, which remembers how it was called and does
nothing, so that a hostile file can only make a strange tree.
"""

import io
import math
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lampion.errors import PotentialError

_LIMIT = 512 * 2**20
"""Bytes of a pickle that are read; models keep their numbers elsewhere in the archive."""

_NUMBERS = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


class Inert:
    """What stands for an object of the file: the name of its class, and what it was given."""

    path = ""
    """Module and name, as ``torch._utils _rebuild_tensor_v2``."""

    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: object, **named: object) -> "Inert":
        """Take any arguments."""
        del named
        made = super().__new__(cls)
        made.arguments = arguments
        made.state = None
        return made

    def __init__(self, *_: object, **__: object) -> None:
        """Do nothing."""

    def __setstate__(self, state: object) -> None:
        """Keep the state."""
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        """Drop an item: an unknown class's own."""

    def append(self, item: object) -> None:
        """Drop an item."""

    def extend(self, items: object) -> None:
        """Drop items."""


@dataclass(frozen=True)
class Storage:
    """Where the numbers of a tensor lie."""

    kind: str
    key: str
    device: str


class _Dict(dict[Any, Any]):
    def __setstate__(self, state: object) -> None:
        """Drop the state: torch hangs a ``_metadata`` on its dictionaries."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        return type(name, (Inert,), {"path": f"{module} {name}"})

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) >= 4 and pid[0] == "storage":
            kind = getattr(pid[1], "path", str(pid[1])).split(" ")[-1]
            return Storage(kind, str(pid[2]), str(pid[3]))
        return None


def read_pickle(path: Path, data: bytes) -> Any:
    """Return the tree of a pickle.

    Raises:
        PotentialError: it is no pickle, or a damaged one.
    """
    try:
        return _Reader(io.BytesIO(data)).load()
    except Exception as error:  # noqa: BLE001 (a damaged pickle can raise anything)
        raise PotentialError(
            f"{path}: holds a damaged pickle ({type(error).__name__}); copy the file again"
        ) from None


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The zip file that torch writes, with one folder at its top."""

    path: Path
    top: str
    names: frozenset[str]
    """Members, without that folder."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a member.

        Raises:
            PotentialError: it is not there, is damaged, or is too large to be what it should be.
        """
        try:
            with zipfile.ZipFile(self.path) as file:
                member = file.getinfo(f"{self.top}/{name}")
                if member.file_size > _LIMIT:
                    raise PotentialError(f"{self.path}: its {name} has {member.file_size} bytes, so it is no model")
                return file.read(member)
        except (KeyError, OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise PotentialError(f"{self.path}: its part {name} can't be read ({error}); copy it again") from error

    def tree(self, name: str = "data.pkl") -> Any:
        """Return the tree of the pickle `name`."""
        return read_pickle(self.path, self.read(name))

    def numbers(self, tensor: Any) -> tuple[np.ndarray[Any, Any], Storage] | None:
        """Return the numbers of a tensor of the tree, in the order of storage; None where it is no plain tensor."""
        if isinstance(tensor, Inert) and tensor.path.endswith(" _rebuild_parameter") and tensor.arguments:
            tensor = tensor.arguments[0]
        if not (isinstance(tensor, Inert) and "_rebuild_tensor" in tensor.path and len(tensor.arguments) >= 3):
            return None
        storage, offset, size = tensor.arguments[:3]
        if not isinstance(storage, Storage) or storage.kind not in _NUMBERS or not isinstance(offset, int):
            return None
        kind = np.dtype(_NUMBERS[storage.kind])
        n = math.prod(size) if isinstance(size, tuple) and all(isinstance(k, int) for k in size) else 0
        data = self.read(f"data/{storage.key}")[offset * kind.itemsize : (offset + n) * kind.itemsize]
        return np.frombuffer(data, dtype=kind.newbyteorder("<")), storage


def open_archive(path: Path) -> Archive | None:
    """Return a zip file with one folder at its top; None where `path` is no zip file.

    Raises:
        PotentialError: it is a zip file that is damaged or is none of torch's.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise PotentialError(f"{path}: is a damaged or truncated archive ({error}); copy it again") from error
    tops = {name.split("/")[0] for name in names}
    if len(tops) != 1:
        raise PotentialError(f"{path}: is a zip file that torch did not write, so no model")
    top = tops.pop()
    return Archive(path=path, top=top, names=frozenset(name[len(top) + 1 :] for name in names))


def attribute(tree: Any, name: str) -> Any:
    """Return an attribute of an object of the tree: its own, a buffer or a parameter; None where it has none."""
    state = tree.state if isinstance(tree, Inert) else None
    for place in (state, *([state.get("_buffers"), state.get("_parameters")] if isinstance(state, dict) else [])):
        if isinstance(place, dict) and name in place:
            return place[name]
    return None
