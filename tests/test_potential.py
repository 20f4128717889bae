"""Each family of potentials through real LAMMPS, and against inputs written by hand."""

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk
from pydantic import TypeAdapter, ValidationError

from decks import SILICON, SW, Settings, build, by_hand, rattled, render, resolve, shipped, static, with_types
from lampion import potential, structure
from lampion.errors import PotentialError
from lampion.potential.citation import bibtex, entries
from lampion.potential.record import header


def cell(lattice: str, formula: str, a: float, repeat: Sequence[int] = (2, 2, 2)) -> ase.Atoms:
    return rattled(build({"crystal": {"lattice": lattice, "formula": formula, "a": a}, "supercell": list(repeat)}))


def alloy(lattice: str, base: str, a: float, others: Sequence[str], repeat: Sequence[int] = (2, 2, 2)) -> ase.Atoms:
    """A crystal of `base` whose first atoms are `others`."""
    atoms = cell(lattice, base, a, repeat)
    atoms.symbols[: len(others)] = others
    return atoms


def salt(**of: Any) -> dict[str, Any]:
    pairs = {
        "Na-Na": [0.25, 0.3, 2.3, 1.0, 0.5],
        "Na-Cl": [0.25, 0.3, 2.7, 7.0, 8.5],
        "Cl-Cl": [0.25, 0.3, 3.1, 70.0, 140.0],
    }
    return {"style": "born", "pairs": pairs, "cutoff": 7.0, "charges": {"Na": 1.0, "Cl": -1.0}, **of}


def nacl() -> ase.Atoms:
    return cell("rocksalt", "NaCl", 5.64, (3, 3, 3))


TA = ("bcc", "Ta", 3.316)
AR = {"style": "lj", "pairs": {"Ar-Ar": [0.0104, 3.4]}, "cutoff": 7.0}
SOFT = {
    "style": "buck",
    "pairs": {"Na-Cl": [1100.0, 0.32, 0.0], "Na-Na": [400.0, 0.3, 0.0], "Cl-Cl": [3500.0, 0.33, 70.0]},
}

FAMILIES: dict[str, tuple[ase.Atoms, Settings]] = {
    "snap": (cell("bcc", "Li", 3.51), {"style": "snap", "file": "Li_Zuo_JPCA2020.snap"}),
    "snap, quadratic": (cell("fcc", "Cu", 3.6), {"style": "snap", "file": "Cu_Zuo_JPCA2020.quadratic.snap"}),
    "snap and tables": (
        alloy("bcc", "W", 3.18, ["He"]),
        {"style": "snap", "file": "W_2940_2017_2_He_JW2013.snap", "elements": ["W", "He"]},
    ),
    "snap without include file": (
        cell("diamond", "C", 3.57, (1, 1, 1)),
        {"style": "snap", "file": "C_SNAP_2021.10.15.quadratic.snapcoeff"},
    ),
    "mliap linear": (cell(*TA), {"style": "mliap", "file": "Ta06A.mliap"}),
    "mliap quadratic": (cell("bcc", "W", 3.18), {"style": "mliap", "file": "W.quadratic.mliap"}),
    "mliap nn": (cell(*TA), {"style": "mliap", "file": "Ta06A.nn.mliap"}),
    "mliap so3": (
        cell("diamond", "Si", 5.43, (1, 1, 1)),
        {
            "style": "mliap",
            "model": "nn",
            "model_file": "Si.nn.mliap.model",
            "descriptor": "so3",
            "descriptor_file": "Si.nn.mliap.descriptor",
        },
    ),
    "mliap so3 of two elements": (
        alloy("fcc", "Ni", 3.52, ["Mo", "Mo"]),
        {
            "style": "mliap",
            "model": "linear",
            "model_file": "Ni_Mo.mliap.model",
            "descriptor": "so3",
            "descriptor_file": "Ni_Mo.mliap.descriptor",
        },
    ),
    "pod": (cell(*TA), {"style": "pod", "file": "Ta_param.pod", "coefficients": "Ta_coeff.pod"}),
    "uf3": (cell("bcc", "Nb", 3.3, (3, 3, 3)), {"style": "uf3", "file": "Nb.uf3"}),
    "eam/alloy": (cell("fcc", "Cu", 3.6), {"style": "eam/alloy", "file": "Cu_mishin1.eam.alloy"}),
    "eam/alloy of two elements": (
        alloy("fcc", "Ni", 3.52, ["Cu"] * 5),
        {"style": "eam/alloy", "file": "CuNi.eam.alloy"},
    ),
    "eam/fs": (alloy("bcc", "Fe", 2.87, ["P"]), {"style": "eam/fs", "file": "FeP_mm.eam.fs"}),
    "sw": (cell("diamond", "Si", 5.43), SW),
    "sw of two elements": (cell("zincblende", "CdTe", 6.48), {"style": "sw", "file": "CdTe.sw"}),
    "tersoff": (cell("zincblende", "SiC", 4.36), {"style": "tersoff", "file": "SiC.tersoff"}),
    "tersoff/zbl": (cell("zincblende", "SiC", 4.36), {"style": "tersoff/zbl", "file": "SiC.tersoff.zbl"}),
    "tersoff/mod": (cell("diamond", "Si", 5.43), {"style": "tersoff/mod", "file": "Si.tersoff.mod"}),
    "tersoff/mod/c": (cell("diamond", "Si", 5.43), {"style": "tersoff/mod/c", "file": "Si.tersoff.modc"}),
    "meam": (
        cell("zincblende", "SiC", 4.36),
        {"style": "meam", "library": "library.meam", "file": "SiC.meam", "names": ["Si", "C"]},
    ),
    "meam of some of its elements": (
        alloy("fcc", "Al", 4.05, ["Cu", "Fe"]),
        {
            "style": "meam",
            "library": "library.meam",
            "file": "AlSiMgCuFe.meam",
            "names": ["AlS", "SiS", "MgS", "CuS", "FeS"],
        },
    ),
    "meam of one element": (
        cell("fcc", "Ni", 3.52),
        {"style": "meam", "library": "library.meam", "file": "Ni.meam", "names": ["Ni4"]},
    ),
    "lj": (cell("fcc", "Ar", 5.3, (3, 3, 3)), AR),
    "lj, charged": (
        nacl(),
        {
            "style": "lj",
            "pairs": {"Na-Na": [0.0056, 2.16], "Cl-Cl": [0.0015, 4.83]},
            "mix": "arithmetic",
            "shift": True,
            "charges": {"Na": 1.0, "Cl": -1.0},
        },
    ),
    "buck": (nacl(), SOFT),
    "buck, charged": (nacl(), {**SOFT, "charges": {"Na": 1.0, "Cl": -1.0}, "kspace": {"style": "ewald"}}),
    "born": (nacl(), salt(charges=None)),
    "born, charged": (nacl(), salt()),
    "custom": (
        cell("bcc", "Li", 3.51),
        {
            "style": "custom",
            "elements": ["Li"],
            "lines": [
                "pair_style hybrid/overlay zbl 1.0 1.5 snap",
                "pair_coeff {Li} {Li} zbl 3 3",
                "pair_coeff * * snap Li_Zuo_JPCA2020.snapcoeff Li_Zuo_JPCA2020.snapparam {elements}",
            ],
            "files": ["Li_Zuo_JPCA2020.snapcoeff", "Li_Zuo_JPCA2020.snapparam"],
        },
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_renders_and_runs(name: str, tmp_path: Path) -> None:
    atoms, pair = FAMILIES[name]
    outcome = static(atoms, pair, tmp_path / "run")
    assert np.isfinite(outcome.energy)
    assert np.abs(outcome.forces).max() > 1e-3
    assert np.abs(outcome.forces.sum(axis=0)).max() < 1e-5 * np.abs(outcome.forces).max() * len(atoms)


def same(one: Any, other: Any, tolerance: float = 1e-10) -> None:
    assert one.energy == pytest.approx(other.energy, rel=tolerance)
    assert one.forces == pytest.approx(other.forces, rel=tolerance, abs=tolerance * np.abs(other.forces).max())


INCLUDED = [
    ("snap", "InP_JCPA2020.snap", cell("zincblende", "InP", 5.83), ["In", "P"]),
    ("mliap", "InP_JCPA2020.mliap", cell("zincblende", "InP", 5.83), ["In", "P"]),
    ("snap", "WBe_Wood_PRB2019.snap", alloy("bcc", "W", 3.18, ["Be"] * 4), ["W", "Be"]),
    ("mliap", "WBe_Wood_PRB2019.mliap", alloy("bcc", "W", 3.18, ["Be"] * 4), ["W", "Be"]),
    ("snap", "W_2940_2017_2.snap", cell("bcc", "W", 3.18), ["W"]),
    ("snap", "Ta06A.snap", cell(*TA), ["Ta"]),
    ("mliap", "Ta06A.nn.mliap", cell(*TA), ["Ta"]),
    ("snap", "W_2940_2017_2_He_JW2013.snap", alloy("bcc", "W", 3.18, ["He", "He"]), ["W", "He"]),
]


@pytest.mark.parametrize(("style", "file", "atoms", "order"), INCLUDED, ids=[i[1] for i in INCLUDED])
def test_a_shipped_include_file_means_what_a_plain_include_means(
    style: str, file: str, atoms: ase.Atoms, order: list[str], tmp_path: Path
) -> None:
    pair = {"style": style, "file": file, **({"elements": order} if "He" in order else {})}
    reference = by_hand(atoms, order, f"include {file}", tmp_path / "plain")
    placed = structure.place(atoms)
    # InP.snap can't be used in the other order, see below.
    orders = {placed.species} if file == "InP_JCPA2020.snap" else {placed.species, placed.species[::-1]}
    for number, permuted in enumerate(orders):
        same(static(with_types(placed, permuted), pair, tmp_path / str(number)), reference)


def test_a_multielement_snap_is_refused_in_the_order_of_types_that_lammps_misreads(tmp_path: Path) -> None:
    """With chemflag 1, P In in place of In P is another energy to `pair_style snap`, and none to `mliap`."""
    atoms = cell("zincblende", "InP", 5.83)
    placed = with_types(structure.place(atoms), ["P", "In"])
    right = static(placed, {"style": "mliap", "file": "InP_JCPA2020.mliap"}, tmp_path / "mliap")
    zbl = "\n".join(
        f"pair_coeff {pair} zbl {z}" for pair, z in (("1 1", "15 15"), ("1 2", "15 49"), ("2 2", "49 49"))
    )
    style = "pair_style hybrid/overlay zbl 4 4.2 snap"
    lines = f"{style}\n{zbl}\npair_coeff * * snap InP_JCPA2020.snapcoeff InP_JCPA2020.snapparam P In"
    assert abs(by_hand(atoms, ["P", "In"], lines, tmp_path / "plain").energy - right.energy) > 100.0
    with pytest.raises(PotentialError, match=r"chemflag 1.* as In P; .* types are P In; take .* mliap"):
        resolve({"style": "snap", "file": "InP_JCPA2020.snap"}, placed)


def test_isotopes_are_two_types_of_one_element(tmp_path: Path) -> None:
    atoms = cell("zincblende", "InP", 5.83)
    heavy = atoms.copy()
    heavy.set_masses([200.0 if i % 3 == 0 else m for i, m in enumerate(atoms.get_masses())])
    pair = {"style": "snap", "file": "InP_JCPA2020.snap"}
    assert len(structure.place(heavy).species) == 4
    same(static(heavy, pair, tmp_path / "heavy"), static(atoms, pair, tmp_path / "light"))


def test_swapped_species_give_another_energy(tmp_path: Path) -> None:
    atoms = cell("zincblende", "InP", 5.83)
    atoms.symbols[0] = "P"  # else both sublattices would be alike
    right = static(atoms, {"style": "snap", "file": "InP_JCPA2020.snap"}, tmp_path / "right")
    swapped = by_hand(atoms, ["P", "In"], "include InP_JCPA2020.snap", tmp_path / "swapped")
    assert abs(swapped.energy - right.energy) > 1e-3 * abs(right.energy)


def test_zbl_left_out_gives_another_energy_where_atoms_are_close(tmp_path: Path) -> None:
    atoms = cell(*TA)
    vector = atoms.get_distance(0, 1, vector=True, mic=True)
    atoms.positions[1] -= 0.4 * vector
    right = static(atoms, {"style": "snap", "file": "Ta06A.snap"}, tmp_path / "right")
    bare = "pair_style snap\npair_coeff * * Ta06A.snapcoeff Ta06A.snapparam Ta"
    wrong = by_hand(atoms, ["Ta"], bare, tmp_path / "bare")
    assert right.energy - wrong.energy > 1.0


@pytest.mark.parametrize("mix", ["arithmetic", "geometric"])
def test_mixed_pairs_follow_the_rule_that_was_asked_for(mix: str, tmp_path: Path) -> None:
    atoms = alloy("fcc", "Ar", 5.4, ["Kr"] * 8)
    pairs = {"Ar-Ar": (0.0104, 3.4), "Kr-Kr": (0.0140, 3.65)}
    sigma = (3.4 + 3.65) / 2 if mix == "arithmetic" else (3.4 * 3.65) ** 0.5
    mixed_pair = f"pair_coeff 1 2 {(0.0104 * 0.0140) ** 0.5!r} {sigma!r}"
    lines = f"pair_style lj/cut 7.0\npair_coeff 1 1 0.0104 3.4\npair_coeff 2 2 0.0140 3.65\n{mixed_pair}"
    mixed = static(atoms, {"style": "lj", "pairs": pairs, "mix": mix, "cutoff": 7.0}, tmp_path / "mixed")
    same(mixed, by_hand(atoms, ["Ar", "Kr"], lines, tmp_path / "plain"))


def test_born_is_the_formula_of_its_docstring(tmp_path: Path) -> None:
    atoms = ase.Atoms("NaCl", [(1, 1, 1), (1, 1, 3.9)], cell=[20.0, 20.0, 20.0], pbc=True)
    A, rho, sigma, C, D = 0.25, 0.3, 2.7, 7.0, 8.5
    r = 2.9
    born = static(atoms, salt(charges=None), tmp_path / "born")
    assert born.energy == pytest.approx(A * np.exp((sigma - r) / rho) - C / r**6 + D / r**8, rel=1e-12)
    buck = static(atoms, {**SOFT, "cutoff": 7.0}, tmp_path / "buck")
    assert buck.energy == pytest.approx(1100.0 * np.exp(-r / 0.32), rel=1e-12)


def test_pppm_and_ewald_give_the_madelung_energy_of_rocksalt(tmp_path: Path) -> None:
    atoms = build({"crystal": {"lattice": "rocksalt", "formula": "NaCl", "a": 5.64}, "supercell": [2, 2, 2]})
    none = {pair: [0.0, 0.3, 0.0] for pair in ("Na-Na", "Na-Cl", "Cl-Cl")}
    madelung = -1.747564594633 * 14.399645 / (5.64 / 2) * len(atoms) / 2
    for style in ("pppm", "ewald"):
        pair = {"style": "buck", "pairs": none, "cutoff": 5.6, "charges": {"Na": 1.0, "Cl": -1.0}}
        outcome = static(atoms, {**pair, "kspace": {"style": style, "accuracy": 1e-6}}, tmp_path / style)
        assert outcome.energy == pytest.approx(madelung, rel=1e-5)


def custom(*lines: str, elements: Sequence[str] = ("Si",), **more: Any) -> dict[str, Any]:
    return {"style": "custom", "elements": list(elements), "lines": list(lines), **more}


OVERLAY = (
    "pair_style hybrid/overlay zbl 4.0 4.8 snap",
    "pair_coeff {W} {W} zbl 74 74",
    "pair_coeff {W} {Be} zbl 74 4",
    "pair_coeff {Be} {Be} zbl 4 4",
    "pair_coeff * * snap WBe_Wood_PRB2019.snapcoeff WBe_Wood_PRB2019.snapparam {elements}",
)
OVERLAY_FILES = {"elements": ["W", "Be"], "files": ["WBe_Wood_PRB2019.snapcoeff", "WBe_Wood_PRB2019.snapparam"]}


def test_a_custom_overlay_is_the_include_file_it_copies(tmp_path: Path) -> None:
    atoms = alloy("bcc", "W", 3.18, ["Be"] * 4)
    isotopes = atoms.copy()
    isotopes.set_masses([200.0 if i % 2 else m for i, m in enumerate(atoms.get_masses())])
    reference = static(atoms, {"style": "snap", "file": "WBe_Wood_PRB2019.snap"}, tmp_path / "include")
    for name, one in (("two types", atoms), ("four types", isotopes)):
        same(static(one, custom(*OVERLAY, **OVERLAY_FILES), tmp_path / name), reference)


def test_a_custom_line_leaves_elements_to_other_styles_by_null(tmp_path: Path) -> None:
    atoms = alloy("bcc", "W", 3.18, ["He", "He"])
    lines = (
        "pair_style hybrid/overlay zbl 4 4.8 snap table spline 10000 table spline 10000",
        "pair_coeff {W} {W} zbl 74 74",
        "pair_coeff * * snap W_2940_2017_2.snapcoeff W_2940_2017_2.snapparam {elements:W}",
        "pair_coeff {He} {He} table 1 He_He_JW2013.table HeHe",
        "pair_coeff {W} {He} table 2 W_He_JW2013.table WHe",
    )
    files = ["W_2940_2017_2.snapcoeff", "W_2940_2017_2.snapparam", "He_He_JW2013.table", "W_He_JW2013.table"]
    reference = by_hand(atoms, ["W", "He"], "include W_2940_2017_2_He_JW2013.snap", tmp_path / "plain")
    same(static(atoms, custom(*lines, elements=["W", "He"], files=files), tmp_path / "custom"), reference)


def si() -> structure.Placement:
    return structure.place(build(SILICON))


def file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return f"{folder}/{name}"


SETFL = "c1\nc2\nc3\n{}\n{}\n14 28.0 5.4 dia\n" + "0.0\n" * 30

REFUSED: dict[str, tuple[str, Settings, tuple[str, ...]]] = {
    # what: (species, settings, words of the message)
    "coefficients whose include file adds ZBL": (
        "Ta",
        {"style": "snap", "file": "Ta06A.snapcoeff"},
        ("Ta06A.snapcoeff", "potential.file: Ta06A.snap"),
    ),
    "a model whose include file adds ZBL": (
        "Ta",
        {
            "style": "mliap",
            "model": "linear",
            "model_file": "Ta06A.mliap.model",
            "descriptor_file": "Ta06A.mliap.descriptor",
        },
        ("Ta06A.mliap.model", "potential.file: Ta06A.mliap"),
    ),
    "elements that contradict the include file": (
        "InP",
        {"style": "snap", "file": "InP_JCPA2020.snap", "elements": ["P", "In"]},
        ("In P", "P In", "potential.elements"),
    ),
    "an include file that says NULL": (
        "WHe",
        {"style": "snap", "file": "W_2940_2017_2_He_JW2013.snap"},
        ("W NULL", "give potential.elements"),
    ),
    "one element of a potential of two": (
        "W",
        {"style": "snap", "file": "W_2940_2017_2_He_JW2013.snap", "elements": ["W", "He"]},
        ("table", "take the potential made for W"),
    ),
    "a model that needs Python": ("Ta", {"style": "mliap", "file": "Ta06A.pytorch.mliap"}, ("Python", "nn, linear")),
    "an element that the file lacks": (
        "LiNa",
        {"style": "snap", "file": "Li_Zuo_JPCA2020.snap"},
        ("has no Na", "its elements are Li"),
    ),
    "a pair of elements that the file lacks": ("NbSi", {"style": "uf3", "file": "Nb.uf3"}, ("has no Si", "Nb")),
    "a file of another format": ("Si", {"style": "snap", "file": "Si.sw"}, ("Si.sw", "variable, pair_style")),
    "eam/fs as eam/alloy": (
        "FeP",
        {"style": "eam/alloy", "file": "FeP_mm.eam.fs"},
        ("is an eam/fs file", "set potential.style: eam/fs"),
    ),
    "eam/alloy as eam/fs": (
        "NiCu",
        {"style": "eam/fs", "file": "CuNi.eam.alloy"},
        ("is an eam/alloy file", "potential.style: eam/alloy"),
    ),
    "funcfl as setfl": ("Cu", {"style": "eam/alloy", "file": "Cu_u3.eam"}, ("Cu_u3.eam:4", "no setfl file")),
    "a file name with a typing error": (
        "Li",
        {"style": "snap", "file": "Li_Zuo_JPCA202.snap"},
        ("did you mean", "Li_Zuo_JPCA2020.snap"),
    ),
    "a path that leads nowhere": ("Li", {"style": "snap", "file": "there/Li.snap"}, ("there/Li.snap", "no such")),
    "a file name that no file system takes": ("Li", {"style": "sw", "file": "S" * 300}, ("SSS", "no such")),
    "the home of nobody": ("Li", {"style": "sw", "file": "~nobody-at-all/Si.sw"}, ("nobody-at-all", "no such")),
    "a library without the name": (
        "Si",
        {"style": "meam", "library": "library.meam", "names": ["Sili"]},
        ("no entry 'Sili'", "Si92"),
    ),
    "two names of one element": (
        "Ni",
        {"style": "meam", "library": "library.meam", "file": "Ni.meam", "names": ["Ni", "Ni4"]},
        ("Ni and Ni4", "Ni"),
    ),
    "fewer names than the file counts": (
        "Si",
        {"style": "meam", "library": "library.meam", "file": "SiC.meam", "names": ["Si"]},
        ("counts 2 elements", "potential.names"),
    ),
    "a mixture without its file": (
        "SiC",
        {"style": "meam", "library": "library.meam", "names": ["Si", "C"]},
        ("potential.file", "mixture"),
    ),
    "a POD file that is none": (
        "Ta",
        {"style": "pod", "file": "Si.sw", "coefficients": "Ta_coeff.pod"},
        ("Si.sw", "species"),
    ),
    "POD files exchanged": (
        "Ta",
        {"style": "pod", "file": "Ta_param.pod", "coefficients": "Ta_param.pod"},
        ("model_coefficients",),
    ),
    "an include file with a model beside it": (
        "Ta",
        {"style": "mliap", "file": "Ta06A.mliap", "model": "nn"},
        ("potential.model", "Ta06A.mliap"),
    ),
    "neither include file nor model": ("Ta", {"style": "mliap", "model": "nn"}, ("model_file", "descriptor_file")),
    "parameters beside an include file": (
        "Ta",
        {"style": "snap", "file": "Ta06A.snap", "parameters": "Li_Zuo_JPCA2020.snapparam"},
        ("potential.parameters", "Ta06A.snap"),
    ),
    "a pair without parameters": ("NaCl", salt(pairs={"Na-Na": [1.0, 1, 1, 1, 1]}), ("has no Cl-Cl", "parameters")),
    "a pair without parameters or rule": (
        "ArKr",
        {"style": "lj", "pairs": {"Ar-Ar": [0.01, 3.4], "Kr-Kr": [0.01, 3.6]}},
        ("has no Ar-Kr", "potential.mix"),
    ),
    "a pair with two sets of parameters": (
        "NaCl",
        {"style": "lj", "pairs": {"Na-Cl": [0.01, 3.4], "Cl-Na": [0.02, 3.4]}},
        ("Cl-Na is given twice",),
    ),
    "an element without charge": ("NaCl", salt(charges={"Na": 1.0}), ("has no Cl", "potential.charges")),
    "charges that don't add up": (
        "NaCl",
        salt(charges={"Na": 1.0, "Cl": -0.9}),
        ("not neutral", "1 Cl of -0.9", "+0.1 e"),
    ),
    "custom charges that don't add up": (
        "NaCl",
        custom(
            "pair_style coul/long 8",
            "pair_coeff * *",
            "kspace_style pppm 1e-5",
            elements=["Na", "Cl"],
            charges={"Na": 1.0, "Cl": -0.5},
        ),
        ("not neutral", "+0.5 e"),
    ),
    "custom lines without pair_style": ("Si", custom("pair_coeff * * Si.sw {elements}"), ("no pair_style line",)),
    "a custom line that is another command": (
        "Si",
        custom("pair_style sw", "shell rm x"),
        ("'shell' is none of", "pair_coeff"),
    ),
    "types as numbers": ("Si", custom("pair_style zbl 3 4", "pair_coeff 1 1 14 14"), ("pair_coeff 1 1", "{Si}")),
    "types as part of a number": ("Si", custom("pair_style zbl 3 4", "pair_coeff {Si}2 * 14 14"), ("{Si}2", "{Si}")),
    "elements in the user's order": (
        "WHe",
        custom("pair_style snap", "pair_coeff * * a.snapcoeff a.snapparam W NULL", elements=["W", "He"]),
        ("NULL", "{elements:"),
    ),
    "a placeholder that is no element": (
        "Si",
        custom("pair_style zbl 3 4", "pair_coeff {Ge} {Ge} 32 32"),
        ("{Ge} is not among potential.elements",),
    ),
    "an element that the user did not declare": (
        "SiGe",
        custom("pair_style zbl 3 4"),
        ("has no Ge", "potential.elements"),
    ),
    "charges without values": (
        "Si",
        custom("pair_style coul/cut 8", "pair_coeff * *", atom_style="charge"),
        ("potential.charges",),
    ),
    "no pair_coeff": ("Si", custom("pair_style zero 8"), ("potential.lines", "no pair_coeff line")),
    "a line that writes a file": (
        "Si",
        custom("pair_style zero 8", "pair_coeff * *", "pair_write 1 1 9 r 1 2 ../x Si"),
        ("pair_write",),
    ),
}


def atoms_of(formula: str) -> ase.Atoms:
    symbols = ase.symbols.symbols2numbers(formula)
    return ase.Atoms(symbols, [(2.0 * i, 0, 0) for i in range(len(symbols))], cell=[20, 20, 20], pbc=True)


def assert_sentence(error: BaseException) -> str:
    message = str(error)
    assert "\n" not in message.strip()
    assert "Traceback" not in message
    assert len(message) > 20
    return message


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_give_wrong_numbers_is_refused_in_a_sentence(what: str, tmp_path: Path) -> None:
    formula, pair, words = REFUSED[what]
    with pytest.raises(PotentialError) as refusal:
        resolve(pair, structure.place(atoms_of(formula)), tmp_path)
    message = assert_sentence(refusal.value)
    for word in words:
        assert word in message


def test_charges_in_a_slab_are_refused() -> None:
    atoms = atoms_of("NaCl")
    atoms.pbc = (True, True, False)
    with pytest.raises(PotentialError, match="periodic in x, y and z"):
        resolve(salt(), structure.place(atoms))


def test_a_file_in_other_units_is_refused(tmp_path: Path) -> None:
    text = (shipped() / "Si.sw").read_text().replace("UNITS: metal", "UNITS: real")
    file(tmp_path, "real.sw", text)
    with pytest.raises(PotentialError, match=r"real\.sw: is in real units.*convert"):
        resolve({"style": "sw", "file": "real.sw"}, si(), tmp_path)


def test_a_missing_triple_is_refused(tmp_path: Path) -> None:
    lines = (shipped() / "SiC.tersoff").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:3] == ["Si", "Si", "C"])
    file(tmp_path, "less.tersoff", "\n".join([*lines[:start], *lines[start + 2 :]]))
    with pytest.raises(PotentialError, match=r"less\.tersoff: has no parameters for the triple Si-Si-C"):
        resolve({"style": "tersoff", "file": "less.tersoff"}, structure.place(atoms_of("SiC")), tmp_path)


def test_a_missing_pair_or_triple_of_uf3_is_refused(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "some.uf3",
        "#UF3 POT\n2B Nb Nb 0 3 nk\n#\n2B Si Si 0 3 nk\n#\n2B Nb Si 0 3 nk\n#\n3B Nb Nb Nb 0 3 nk\n#\n",
    )
    with pytest.raises(PotentialError, match="has no parameters for Nb-Nb-Si"):
        resolve({"style": "uf3", "file": path}, structure.place(atoms_of("NbSi")))


@pytest.mark.parametrize("fifth", ["", "a b c d e", "10 0.1 ten 0.1 5.0", "10"])
def test_an_eam_file_without_its_table_sizes_is_refused(fifth: str, tmp_path: Path) -> None:
    path = file(tmp_path, "bad.eam.alloy", SETFL.format("1 Si", fifth))
    with pytest.raises(PotentialError, match=r"bad\.eam\.alloy:5.*no setfl file"):
        resolve({"style": "eam/alloy", "file": path}, si())


def test_coefficients_copied_away_from_their_include_file_are_refused(tmp_path: Path) -> None:
    for name in ("Ta06A.snapcoeff", "Ta06A.snapparam"):
        (tmp_path / name).write_bytes((shipped() / name).read_bytes())
    with pytest.raises(PotentialError, match=r"Ta06A\.snap\b"):
        resolve({"style": "snap", "file": f"{tmp_path}/Ta06A.snapcoeff"}, structure.place(atoms_of("Ta")))


def test_an_include_file_whose_coefficients_are_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Ta06A.snap").write_bytes((shipped() / "Ta06A.snap").read_bytes())
    with pytest.raises(PotentialError, match=r"names Ta06A\.snapcoeff, which is not beside it"):
        resolve({"style": "snap", "file": f"{tmp_path}/Ta06A.snap"}, structure.place(atoms_of("Ta")))


def test_a_bare_name_that_means_two_files_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    text = (shipped() / "Si.sw").read_text()
    file(folder, "Si.sw", text)
    assert resolve(SW, si(), folder).files["Si.sw"].is_file()  # the same bytes mean one thing
    file(folder, "Si.sw", text + "# mine\n")
    with pytest.raises(PotentialError) as refusal:
        resolve(SW, si(), folder)
    (remedy,) = re.findall(r"write (\S+) for", assert_sentence(refusal.value))
    assert resolve({"style": "sw", "file": remedy}, si(), folder).files["Si.sw"].read_text().endswith("# mine\n")


def test_a_file_beside_the_study_is_found_by_its_name(tmp_path: Path) -> None:
    file(tmp_path, "mine.sw", (shipped() / "Si.sw").read_text())
    assert resolve({"style": "sw", "file": "mine.sw"}, si(), tmp_path).files["mine.sw"] == tmp_path / "mine.sw"


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        file(tmp_path / folder, "x.table", folder)
    pair = custom("pair_style zbl 3 4", "pair_coeff {Si} {Si} 14 14", files=["a/x.table", "b/x.table"])
    with pytest.raises(PotentialError, match=r"x\.table"):
        resolve(pair, si(), tmp_path)


@pytest.mark.parametrize(
    "pair",
    [
        {"style": "snap", "file": "Li Zuo.snap"},
        {"style": "snap", "file": "Li\nshell rm x.snap"},
        {"style": "snap", "file": "Li$x.snap"},
        {"style": "snap"},
        {"style": "snapp", "file": "Li.snap"},
        {"style": "snap", "file": "Li.snap", "parameter": "x"},
        {"style": "lj", "pairs": {"Ar": [0.01, 3.4]}},
        {"style": "lj", "pairs": {"Ar-Ar": [0.01, -3.4]}},
        {"style": "lj", "pairs": {"Ar-Ar": [0.01, 3.4]}, "cutoff": 0.0},
        {"style": "custom", "elements": ["Xx"], "lines": ["pair_style zbl 3 4"]},
        {"style": "custom", "elements": ["Si"], "lines": ["pair_style sw\nshell rm x"]},
        {"style": "meam", "library": "library.meam", "names": ["Si & C"]},
        {"style": "custom", "elements": ["Si"], "lines": ["pair_style sw", "  "]},
    ],
)
def test_a_setting_outside_its_range_is_refused(pair: Settings) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(potential.Potential).validate_json(json.dumps(pair), strict=True)


CITED = {
    "Zuo_JPCA2020": "Zuo2020", "InP_JCPA2020": "Cusentino2020", "WBe_Wood_PRB2019": "Wood2019",
    "Mo_Chen_PRM2017": "Chen2017", "Ta06A": "Thompson2015", "W_2940_2017_2": "Wood2017",
}  # fmt: skip


# Each pair of header and paper was compared by eye. A .poly names two papers, and gets the first.
JUDGED = {
    "Ackland2004": "FeP_mm.eam.fs",
    "Angelo1995": "NiAlH_jea.eam.alloy NiAlH_jea.eam.fs",
    "Baskes1992": "library.meam",
    "Bere2006": "GaN.sw GaN_sw.poly",
    "Cai1996": "AlCu.eam.alloy",
    "Devanathan1998": "SiC.tersoff.zbl",
    "Erhart2005": "SiC_Erhart-Albe.tersoff",
    "Jelinek2012": "AlSiMgCuFe.meam",
    "Juslin2013": "He_He_JW2013.table W_He_JW2013.table",
    "Kinaci2012": "BNC.tersoff",
    "Kumagai2007": "Si.tersoff.mod",
    "Lee2001": "WL.meam",
    "Mahdizadeh2017": "Ge.tersoff",
    "Mendelev2003": "Fe_mm.eam.fs",
    "Mendelev2005": "AlFe_mm.eam.fs",
    "Mendelev2007": "Zr_mm.eam.fs",
    "Mishin2001": "Cu_mishin1.eam.alloy",
    "Munetoh2007": "SiO.tersoff",
    "Nord2003": "GaN.tersoff GaN_tersoff.poly",
    "Onat2014": "CuNi.eam.alloy",
    "Stillinger1985": "Si.sw",
    "Streitz1994": "AlO.eam.alloy AlO.streitz",
    "Sun2006": "Mg_mm.eam.fs",
    "Tersoff1988": "Si.tersoff",
    "Tersoff1989": "SiC.tersoff SiCGe.tersoff SiC_1989.tersoff",
    "Tersoff1990": "SiC_1990.tersoff",
    "Tersoff1994": "SiC_1994.tersoff",
    "Thompson2015": "Ni_Mo.mliap.descriptor",
    "Vailhe1997": "CoAl.eam.alloy",
    "Wang1989": "CdTe.sw",
    "Wang2023": "MoCoNiVFeAlCr_2nn.meam library_2nn.meam",
    "Zhou2001": "Al_zhou.eam.alloy Cu_zhou.eam.alloy W_zhou.eam.alloy",
    "Zhou2004": "CuTa.eam.alloy",
    "Zhou2013": "CdTeZnSeHgS0.sw",
    "Zhou2021": "Bi.meam",
}  # fmt: skip


def key_of(path: Path) -> str:
    text = path.read_bytes()[:4000].decode("utf-8", errors="replace")
    found = re.match(r"@\w+\{([^,]+),", bibtex(header(path, text).citation))
    return found.group(1) if found else ""


@pytest.mark.parametrize(
    "path", sorted([*shipped().glob("*.snap"), *shipped().glob("*.mliap")]), ids=lambda p: p.name
)
def test_a_shipped_include_file_gets_the_bibtex_of_the_paper_in_its_header(path: Path) -> None:
    expected = [key for part, key in CITED.items() if part in path.name]
    assert key_of(path) == (expected[0] if expected else "")
    assert expected or path.name == "W.quadratic.mliap"  # its header says: none


def test_no_shipped_file_gets_the_bibtex_of_another_paper() -> None:
    found = {}
    for path in sorted(p for p in shipped().iterdir() if p.is_file()):
        with contextlib.suppress(PotentialError):  # other units
            if (key := key_of(path)) and not any(part in path.name for part in CITED):
                found[path.name] = key
    assert found == {name: key for key, names in JUDGED.items() for name in names.split()}


@pytest.mark.parametrize(
    "text",
    [
        "Zuo et al., J. Phys. Chem. A 125, 731 (2021)", "Somebody, Phys. Rev. B 99, 184306 (2019)", "none", "",
        "2020 124", "Wood, M. A. and Thompson, A. P., 2019", "Tersoff, Phys Rev B, 38, 9902 (1988)",
    ],
)  # fmt: skip
def test_a_citation_of_no_known_paper_gets_no_bibtex(text: str) -> None:
    assert bibtex(text) == ""


def test_every_entry_is_found_by_its_own_doi() -> None:
    for key, entry in entries().items():
        doi = re.search(r"doi\s*=\s*\{(.+?)\}", entry)
        if doi:
            assert bibtex(f"somebody, doi:{doi.group(1)}.") == entry, key


def test_the_tables_of_a_potential_are_cited_too() -> None:
    pair = {"style": "snap", "file": "W_2940_2017_2_He_JW2013.snap", "elements": ["W", "He"]}
    cited = [r.citation for r in resolve(pair, structure.place(atoms_of("WHe"))).references]
    assert any("Juslin" in c for c in cited)
    assert len(cited) == len(set(cited))


def test_the_citation_stands_in_the_deck() -> None:
    text = render(bulk("Li", "bcc", a=3.5), {"style": "snap", "file": "Li_Zuo_JPCA2020.snap"}, {"name": "static"})
    assert "# Li_Zuo_JPCA2020.snap of 2020-01-31: Y. Zuo" in text.files["in.lammps"]


def test_swapping_the_species_of_a_placement_is_no_law_of_the_deck_alone(tmp_path: Path) -> None:
    """A placement whose names are exchanged, and not its types, is another structure: the check can fail."""
    placed = structure.place(alloy("zincblende", "InP", 5.83, ["In"] * 3))
    exchanged = replace(placed, species=placed.species[::-1])
    pair = {"style": "mliap", "file": "InP_JCPA2020.mliap"}
    right, wrong = static(placed, pair, tmp_path / "right"), static(exchanged, pair, tmp_path / "wrong")
    assert abs(wrong.energy - right.energy) > 1e-3 * abs(right.energy)
