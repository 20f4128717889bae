"""What `build` makes of a structure, and what it refuses."""

from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixBondLength
from pydantic import TypeAdapter, ValidationError

from lampion.errors import StructureError
from lampion.structure import Crystal, Structure, build

NaCl = Crystal(lattice="rocksalt", formula="NaCl", a=5.64)


def a_sentence(text: str) -> bool:
    return "\n" not in text and "Error" not in text and "Traceback" not in text and ": " in text and ". " not in text


def refusal(structure: Structure, folder: Path) -> str:
    with pytest.raises(StructureError) as caught:
        build(structure, folder)
    text = str(caught.value)
    assert a_sentence(text), text
    return text


def from_file(folder: Path, name: str, text: str, **settings) -> str:
    (folder / name).write_text(text)
    return refusal(Structure(file=Path(name), **settings), folder)


# --- settings -------------------------------------------------------------------------------------------------


def test_settings_come_from_strict_json():
    text = (
        '{"file": "x.data", "types": {"1": "Li"}, "supercell": [[1,1,0],[-1,1,0],[0,0,1]], "pbc": [true,true,false]}'
    )
    structure = TypeAdapter(Structure).validate_json(text, strict=True)
    assert structure.types == {1: "Li"}
    assert structure.supercell == ((1, 1, 0), (-1, 1, 0), (0, 0, 1))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"file": "a", "crystal": {"lattice": "fcc", "formula": "Cu", "a": 3.6}}',
        '{"crystal": {"lattice": "fcc", "formula": "Cu", "a": -3.6}}',
        '{"crystal": {"lattice": "fcc", "formula": "Cu", "a": 3.6}, "frame": 1}',
        '{"file": "a", "masses": {"Q": 1}}',
        '{"file": "a", "scale": 0}',
        '{"file": "a", "colour": "red"}',
    ],
)
def test_settings_that_make_no_sense_are_refused(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Structure).validate_json(text, strict=True)


# --- crystals and supercells ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lattice", "formula", "n", "shortest"),
    [
        ("sc", "Po", 1, 1.0),
        ("fcc", "Cu", 4, 1 / np.sqrt(2)),
        ("bcc", "Li", 2, np.sqrt(3) / 2),
        ("diamond", "Si", 8, np.sqrt(3) / 4),
        ("zincblende", "GaAs", 8, np.sqrt(3) / 4),
        ("rocksalt", "NaCl", 8, 0.5),
        ("cesiumchloride", "CsCl", 2, np.sqrt(3) / 2),
        ("fluorite", "CaFF", 12, np.sqrt(3) / 4),
        ("hcp", "Mg", 2, 1.0),
        ("wurtzite", "ZnO", 4, np.sqrt(3 / 8)),
    ],
)
def test_each_lattice_has_its_number_of_atoms_and_shortest_distance(lattice, formula, n, shortest):
    a = 5.0
    built = build(Structure(crystal=Crystal(lattice=lattice, formula=formula, a=a)), Path())
    assert len(built.atoms) == n
    big = built.atoms.repeat(2)
    assert np.sort(big.get_all_distances(mic=True)[0])[1] == pytest.approx(shortest * a, rel=1e-12)
    assert bool(built.notes) == (lattice in ("hcp", "wurtzite"))


def test_a_matrix_supercell_has_det_p_times_the_atoms_and_the_same_shells():
    one = build(Structure(crystal=NaCl), Path()).atoms
    P = ((2, 1, 0), (-1, 1, 0), (0, 1, 2))
    big = build(Structure(crystal=NaCl, supercell=P), Path()).atoms
    assert len(big) == 6 * len(one)
    assert big.get_volume() == pytest.approx(6 * one.get_volume())
    for atoms in (one.repeat(3), big.repeat((2, 2, 1))):
        d = np.sort(atoms.get_all_distances(mic=True)[0])
        assert d[1:7] == pytest.approx(np.full(6, 2.82))


def test_scale_scales_every_distance_and_the_positions_of_fixed_atoms(tmp_path):
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True)
    atoms.set_constraint(FixAtoms([0, 3]))
    atoms.write(tmp_path / "POSCAR", format="vasp")
    big = build(Structure(file=Path("POSCAR"), format="vasp", scale=1.1, supercell=(2, 1, 1)), tmp_path).atoms
    assert big.get_all_distances(mic=True)[0].max() > 0
    assert big.get_volume() == pytest.approx(2 * 3.96**3)
    assert big.get_scaled_positions()[3] == pytest.approx([0.25, 0.5, 0.0], abs=1e-9)
    assert sorted(big.constraints[0].get_indices()) == [0, 3, 4, 7]


def test_momenta_masses_and_isotopes_are_repeated_with_the_cell(tmp_path):
    atoms = ase.Atoms("Li2", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True, masses=[6.015, 7.016])
    atoms.set_momenta([[1, 2, 3], [-1, 0, 1]])
    atoms.write(tmp_path / "a.extxyz")
    big = build(Structure(file=Path("a.extxyz"), supercell=(1, 2, 1)), tmp_path).atoms
    assert list(big.get_masses()) == pytest.approx([6.015, 7.016] * 2)
    assert big.get_momenta()[2] == pytest.approx([1, 2, 3])


def test_given_masses_keep_the_velocities(tmp_path):
    atoms = ase.Atoms("Li2", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True)
    atoms.set_velocities([[1, 2, 3], [-1, 0, 1]])
    atoms.write(tmp_path / "a.traj")
    heavy = build(Structure(file=Path("a.traj"), masses={"Li": 7.016}), tmp_path).atoms
    assert heavy.get_masses() == pytest.approx([7.016, 7.016])
    assert heavy.get_velocities() == pytest.approx(atoms.get_velocities())


def test_a_molecule_without_a_cell_is_fine(tmp_path):
    molecule("H2O").write(tmp_path / "water.xyz")
    built = build(Structure(file=Path("water.xyz")), tmp_path)
    assert len(built.atoms) == 3
    assert not built.atoms.pbc.any()


# --- LAMMPS files ---------------------------------------------------------------------------------------------

DATA = """a data file

2 atoms
2 atom types
1.0 5.0 xlo xhi
0 4.0 ylo yhi
0 4.0 zlo zhi
1.0 0 0 xy xz yz

Masses

1 {first}
2 35.45

Atoms # atomic

2 2 3 2 2
1 1 1 0 0
"""


@pytest.mark.parametrize(("first", "types"), [("6.94", None), ("7.016 # Li", None), ("9", {1: "Li", 2: "Cl"})])
def test_a_data_file_gets_its_elements_from_masses_comments_or_types(tmp_path, first, types):
    (tmp_path / "a.data").write_text(DATA.format(first=first))
    atoms = build(Structure(file=Path("a.data"), types=types), tmp_path).atoms
    assert atoms.get_chemical_symbols() == ["Li", "Cl"]
    assert atoms.cell.array[1] == pytest.approx([1, 4, 0])
    assert atoms.get_distance(0, 1) == pytest.approx(np.sqrt(12))


def test_a_data_file_with_a_mass_of_no_element_is_refused(tmp_path):
    assert "type 1 has the mass 10.2" in from_file(tmp_path, "a.data", DATA.format(first="10.2"))


def test_a_data_file_with_a_type_without_element_is_refused(tmp_path):
    assert "1 to 2" in from_file(tmp_path, "a.data", DATA.format(first="9"), types={1: "Li"})


def test_a_dump_without_elements_is_not_read_as_hydrogen(tmp_path):
    text = (
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\n"
        "ITEM: ATOMS id type x y z\n1 1 0 0 0\n"
    )
    assert "names no elements" in from_file(tmp_path, "a.lammpstrj", text, format="lammps-dump-text")
    read = build(Structure(file=Path("a.lammpstrj"), format="lammps-dump-text", types={1: "Li"}), tmp_path)
    assert read.atoms.get_chemical_symbols() == ["Li"]


# --- refusals -------------------------------------------------------------------------------------------------


def xyz(*rows: str, lattice: str | None = "4 0 0 0 4 0 0 0 4") -> str:
    cell = f'Lattice="{lattice}" ' if lattice else ""
    return f"{len(rows)}\n{cell}Properties=species:S:1:pos:R:3\n" + "".join(f"{row}\n" for row in rows)


def test_a_missing_file_is_named(tmp_path):
    assert "absent.cif: there is no such file" in refusal(Structure(file=Path("absent.cif")), tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "settings", "part"),
    [
        ("POSCAR", "junk\n", {}, "can't read"),
        ("a.cif", "data_x\n_cell_length_a 4\n", {}, "no structure"),
        ("a.cif", "this is no CIF\n", {}, "can't read"),
        ("a.unknown", "who knows\n", {}, "can't read"),
        ("a.xyz", xyz("Li 0 0 0"), {"format": "nonsense"}, "can't read"),
        ("a.xyz", xyz("Li 0 0 0") * 3, {}, "3 structures: choose one with frame"),
        ("a.xyz", xyz("Li 0 0 0") * 3, {"frame": 3}, "no frame 3 among 3"),
        ("a.xyz", xyz("Li 0 0 0") * 3, {"frame": -4}, "no frame -4"),
        ("a.xyz", xyz("D 0 0 0"), {}, "write hydrogen as H"),
        ("a.xyz", xyz("X 0 0 0"), {}, "atom 1 is of an unknown species"),
        ("a.xyz", xyz("Li 0 0 0", "Li nan 1 1"), {}, "atom 2 has the position nan 1 1"),
        ("a.xyz", xyz("Li 0 0 0", "Li inf 1 1"), {}, "atom 2"),
        ("a.xyz", xyz("Li 0 0 0", "Cl 0.9 0 0"), {}, "atoms 1 (Li) and 2 (Cl) are 0.900 Å apart"),
        ("a.xyz", xyz("Li 0.1 0 0", "Cl 3.9 0 0"), {}, "atoms 1 (Li) and 2 (Cl) are 0.200 Å apart"),
        ("a.xyz", xyz("Li 0 0 0", lattice="1 0 0 0 4 0 0 0 4"), {}, "its own periodic image"),
        ("a.xyz", xyz("Li 0 0 0", lattice="4 0 0 4 0 0 0 0 4"), {}, "no volume"),
        ("a.xyz", xyz("Li 0 0 0", lattice="4 0 0 0 4 0 0 0 0"), {"pbc": (True, True, True)}, "direction c"),
        ("a.xyz", xyz("Li 0 0 0", lattice=None), {"pbc": (True, True, True)}, "direction a"),
        ("a.xyz", xyz("Li 0 0 0", lattice=None), {"supercell": (2, 1, 1)}, "no lattice vector to repeat"),
        ("a.xyz", xyz("Li 0 0 0"), {"supercell": (0, 1, 1)}, "below 1"),
        ("a.xyz", xyz("Li 0 0 0"), {"supercell": ((0, 1, 0), (1, 0, 0), (0, 0, 1))}, "no positive determinant"),
        ("a.xyz", xyz("Li 0 0 0"), {"supercell": ((1, 1, 0), (1, 1, 0), (0, 0, 1))}, "no positive determinant"),
        ("a.xyz", xyz("Li 0 0 0"), {"masses": {"Na": 23.0}}, "masses names Na"),
        ("a.xyz", "0\n\n", {}, "no atoms"),
        ("a.xyz", xyz("Li 0 0 0"), {"types": {1: "Li"}}, "leave them away"),
        ("a.res", "TITL x\nCELL 1 4 4 4 90 90 90\nSFAC Li\nLi1 1 0.0 0.0 0.0 0.5\nEND\n", {}, "occupancy 0.5"),
    ],
)
def test_bad_input_gives_one_sentence_that_says_what(tmp_path, name, text, settings, part):
    assert part in from_file(tmp_path, name, text, **settings)


def test_a_chosen_frame_is_the_one_returned(tmp_path):
    (tmp_path / "a.xyz").write_text(xyz("Li 0 0 0") + xyz("Na 0 0 0") + xyz("K 0 0 0"))
    symbols = [str(build(Structure(file=Path("a.xyz"), frame=i), tmp_path).atoms.symbols) for i in (0, 1, -1)]
    assert symbols == ["Li", "Na", "K"]


def test_another_constraint_than_fixatoms_is_named(tmp_path):
    atoms = ase.Atoms("Li2", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True)
    atoms.set_constraint(FixBondLength(0, 1))
    atoms.write(tmp_path / "a.traj")
    assert "FixBondLength" in refusal(Structure(file=Path("a.traj")), tmp_path)


def test_a_formula_that_does_not_fit_the_lattice_is_refused():
    assert "'Na'" in refusal(Structure(crystal=Crystal(lattice="rocksalt", formula="Na", a=5)), Path())
    assert "'Qq'" in refusal(Structure(crystal=Crystal(lattice="fcc", formula="Qq", a=5)), Path())


def test_a_directory_is_not_a_structure(tmp_path):
    (tmp_path / "a.cif").mkdir()
    assert "no such file" in refusal(Structure(file=Path("a.cif")), tmp_path)
