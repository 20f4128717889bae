"""What a model file is, told without torch: on archives put together here as torch writes them."""

import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lampion.errors import PotentialError
from lampion.model import describe, inspect


class Torch:
    """Writes archives as torch.save does, with stand-ins for the classes that it names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.members: dict[str, bytes] = {}

    def named(self, module: str, name: str) -> type:
        if module in sys.modules and hasattr(sys.modules[module], name):
            return getattr(sys.modules[module], name)  # type: ignore[no-any-return]
        made = type(name, (), {"__module__": module})
        words = module.split(".")
        for n in range(1, len(words) + 1):
            parent = ".".join(words[:n])
            self.monkeypatch.setitem(sys.modules, parent, sys.modules.get(parent) or types.ModuleType(parent))
        setattr(sys.modules[module], name, made)
        return made

    def tensor(self, values: Any, kind: str) -> Any:
        numbers = np.asarray(values)
        key = str(len(self.members))
        self.members[f"data/{key}"] = numbers.tobytes()
        storage = self.named("torch", kind)
        return _Tensor(storage, key, numbers.shape, self.named("torch._utils", "_rebuild_tensor_v2"))

    def save(self, path: Path, tree: object, **more: bytes) -> Path:
        stream = io.BytesIO()
        _Pickler(stream, protocol=2).dump(tree)
        members = {"data.pkl": stream.getvalue(), "byteorder": b"little", **self.members, **more}
        return archive(path, members)


class _Tensor:
    def __init__(self, storage: type, key: str, shape: tuple[int, ...], rebuild: type) -> None:
        self.storage, self.key, self.shape, self.rebuild = storage, key, shape, rebuild


class _Handle:
    def __init__(self, tensor: _Tensor) -> None:
        self.pid = ("storage", tensor.storage, tensor.key, "cuda:0", 9)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> Any:
        return obj.pid if isinstance(obj, _Handle) else None

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, _Tensor):
            return obj.rebuild, (_Handle(obj), 0, obj.shape, (1,), False, {})
        return NotImplemented


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"{path.stem}/{name}", data)
    return path


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Torch:
    return Torch(monkeypatch)


def mace(torch: Torch, module: str, name: str, **more: Any) -> object:
    model = torch.named(module, name)()
    model._buffers = {
        "atomic_numbers": torch.tensor([3, 8, 17], "LongStorage"),
        "r_max": torch.tensor(np.float32(4.5), "FloatStorage"),
        "num_interactions": torch.tensor(2, "LongStorage"),
    }
    model.__dict__.update(more)
    return model


def test_a_mace_checkpoint_tells_elements_cutoff_dtype_device_and_heads(torch: Torch, tmp_path: Path) -> None:
    tree = mace(torch, "mace.modules.models", "ScaleShiftMACE", heads=["dft", "cc"])
    model = inspect(torch.save(tmp_path / "a.model", tree))
    assert model.kind == "MACE checkpoint"
    assert model.elements == ("Li", "O", "Cl")
    assert (model.cutoff, model.dtype, model.device, model.layers) == (4.5, "float32", "cuda:0", 2)
    assert model.heads == ("dft", "cc")
    assert model.runs_code
    assert "lampion model export" in "\n".join(describe(model))


def test_a_mace_export_is_told_from_a_checkpoint_and_runs_no_code(torch: Torch, tmp_path: Path) -> None:
    tree = mace(torch, "__torch__.mace.calculators.lammps_mace", "LAMMPS_MACE")
    code = {"code/__torch__/mace/calculators/lammps_mace.py": b"", "constants.pkl": b""}
    model = inspect(torch.save(tmp_path / "a-lammps.pt", tree, **code))
    assert (model.kind, model.elements, model.runs_code) == ("MACE export", ("Li", "O", "Cl"), False)


def test_a_model_that_wants_a_total_charge_says_so(torch: Torch, tmp_path: Path) -> None:
    tree = mace(torch, "mace.modules.models", "ScaleShiftMACE", embedding_specs={"total_charge": {}})
    assert inspect(torch.save(tmp_path / "a.model", tree)).wants == ("total_charge",)


def test_an_mliap_pickle_gives_twice_its_radius_factor(torch: Torch, tmp_path: Path) -> None:
    tree = torch.named("mace.calculators.lammps_mliap_mace", "LAMMPS_MLIAP_MACE")()
    tree.__dict__.update(element_types=["H", "O"], rcutfac=2.5)
    model = inspect(torch.save(tmp_path / "a.pt", tree))
    assert (model.kind, model.elements, model.cutoff, model.runs_code) == ("ML-IAP pickle", ("H", "O"), 5.0, True)


def test_checkpoints_of_nequip_and_allegro_are_told_apart(torch: Torch, tmp_path: Path) -> None:
    for target, kind in (("nequip.model.NequIPGNNModel", "NequIP"), ("allegro.model.AllegroModel", "Allegro")):
        settings = {"_target_": target, "type_names": ["Si", "O"], "r_max": 5.0, "model_dtype": "float64"}
        model = inspect(torch.save(tmp_path / f"{kind}.ckpt", {"hyper_parameters": {"model": settings}}))
        assert (model.kind, model.elements, model.cutoff) == (f"{kind} checkpoint", ("Si", "O"), 5.0)


def test_a_compiled_model_tells_its_processor_and_its_style(tmp_path: Path) -> None:
    data = {"type_names": "Cl Li", "r_max": "4.0", "model_dtype": "float64", "AOTI_DEVICE_KEY": "cpu"}
    data |= {"AOTI_CPU_ISA": "AVX512 AVX512_VNNI", "nequip_aoti_inputs": "pos edge_index atom_types"}
    name = "data/aotinductor/model/x.wrapper_metadata.json"
    model = inspect(archive(tmp_path / "a.nequip.pt2", {name: json.dumps(data).encode()}))
    assert (model.kind, model.elements, model.cutoff) == ("Allegro export", ("Cl", "Li"), 4.0)
    assert (model.device, model.processor, model.runs_code) == ("cpu", ("AVX512", "AVX512_VNNI"), True)
    data["nequip_aoti_inputs"] += " cell edge_cell_shift"
    assert inspect(archive(tmp_path / "b.pt2", {name: json.dumps(data).encode()})).kind == "NequIP export"


def test_a_torchscript_export_of_nequip_is_read_from_its_extra_files(tmp_path: Path) -> None:
    members = {"constants.pkl": b"", "extra/type_names": b"Si C", "extra/r_max": b"3.5"}
    model = inspect(archive(tmp_path / "a.nequip.pth", members))
    assert (model.kind, model.elements, model.cutoff) == ("NequIP export", ("Si", "C"), 3.5)


def field(number: int, value: bytes) -> bytes:
    return (
        bytes([number << 3 | 2, *([len(value)] if len(value) < 128 else [len(value) & 127 | 128, len(value) >> 7])])
        + value
    )


def constant(name: str, tensor: bytes) -> bytes:
    attribute = field(1, b"value") + field(2, field(8, tensor))
    return field(1, field(1, name.encode()) + field(2, b"Const") + field(5, attribute))


def test_a_deepmd_graph_gives_its_type_map_and_cutoff(tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(
        constant("other", field(8, b"x"))
        + constant("model_attr/tmap", bytes([8, 7]) + field(8, b"O H"))
        + constant("descrpt_attr/rcut", bytes([8, 2]) + field(4, struct.pack("<d", 6.0)))
    )
    model = inspect(path)
    assert (model.kind, model.elements, model.cutoff) == ("DeePMD model", ("O", "H"), 6.0)


def test_nothing_of_a_hostile_file_is_run(torch: Torch, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "pwned"),)

    tree = mace(torch, "mace.modules.models", "ScaleShiftMACE", evil=Hostile())
    assert inspect(torch.save(tmp_path / "a.model", tree)).kind == "MACE checkpoint"
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.98])
def test_a_truncated_file_is_refused_in_a_sentence(torch: Torch, tmp_path: Path, part: float) -> None:
    whole = torch.save(tmp_path / "a.model", mace(torch, "mace.modules.models", "MACE")).read_bytes()
    (tmp_path / "b.model").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(PotentialError, match=r"b\.model"):
        inspect(tmp_path / "b.model")


def test_a_damaged_pickle_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PotentialError, match="damaged pickle"):
        inspect(archive(tmp_path / "a.model", {"data.pkl": b"\x80\x02(]"}))


def test_a_text_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "a.model").write_text("hello")
    with pytest.raises(PotentialError, match="no model file that Lampion knows"):
        inspect(tmp_path / "a.model")
