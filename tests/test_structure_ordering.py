"""Partly occupied sites: refused without an ordering, resolved with one."""

import gzip
import warnings
from collections import Counter
from itertools import permutations, product
from pathlib import Path

import ase
import ase.io
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lampion.errors import StructureError
from lampion.structure import Ordering, Structure, build
from lampion.structure.arrangements import number_of_arrangements
from lampion.structure.exchange import choose_sites

# Like argyrodite Li6PS5Cl, F-43m; the coordinates are plausible and invented.
ARGYRODITE = """data_argyrodite
_symmetry_space_group_name_H-M 'F -4 3 m'
_symmetry_Int_Tables_number 216
_symmetry_cell_setting cubic
_cell_length_a 9.86
_cell_length_b 9.86
_cell_length_c 9.86
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_symmetry_multiplicity
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li1+ 48 0.3173 0.0251 0.6827 {li}
P1 P5+ 4 0 0 0.5 1
S1 S2- 16 0.1196 -0.1196 0.6196 1.0(2)
S2 S2- 4 0.25 0.25 0.75 {s}
Cl2 Cl1- 4 0.25 0.25 0.25 {cl}
Cl1 Cl1- 4 0 0 0 {s}
S3 S2- 4 0 0 0 {cl}
"""


@pytest.fixture
def argyrodite(tmp_path) -> Path:
    (tmp_path / "argyrodite.cif").write_text(ARGYRODITE.format(li=0.5, s=1, cl=0))
    (tmp_path / "mixed.cif").write_text(ARGYRODITE.format(li=0.5, s=0.75, cl=0.25))
    return tmp_path


def cubic_cif(*rows: str, a: float = 4.0, group: str = "P 1") -> str:
    lines = [f"_cell_length_{x} {a}" for x in "abc"] + [f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma")]
    head = ["data_x", f"_symmetry_space_group_name_H-M '{group}'", *lines, "loop_"]
    head += [f"_atom_site_{x}" for x in ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")]
    return "\n".join([*head, *rows, ""])


def ordered(folder: Path, name: str, supercell=(1, 1, 1), **ordering):
    return build(Structure(file=Path(name), supercell=supercell, ordering=Ordering(**ordering)), folder)


def refusal(folder: Path, name: str, supercell=(1, 1, 1), **ordering) -> str:
    chosen = Ordering(**ordering) if ordering else None
    structure = Structure(file=Path(name), supercell=supercell, ordering=chosen)
    with pytest.raises(StructureError) as caught:
        build(structure, folder)
    text = str(caught.value)
    assert "\n" not in text
    assert "Error" not in text
    assert ". " not in text
    return text


def li_distances(atoms: ase.Atoms) -> np.ndarray:
    d = atoms[atoms.symbols == "Li"].get_all_distances(mic=True)
    return d[np.triu_indices(len(d), 1)]


# --- refusals -------------------------------------------------------------------------------------------------


def test_a_split_site_is_refused_without_an_ordering_and_named(argyrodite):
    assert "Li1 (Li 0.5)" in refusal(argyrodite, "argyrodite.cif")


def test_shared_sites_are_found_though_their_rows_are_equivalent_and_not_equal(argyrodite):
    # Cl2 is listed at (1/4 1/4 1/4) and S2 at (1/4 1/4 3/4), one site of F-43m only through a lattice vector.
    text = ARGYRODITE.format(li=1, s=0.75, cl=0.25).replace("0.25 0.25 0.25", "0.75 0.75 0.75")
    (argyrodite / "b.cif").write_text(text)
    assert "Cl 0.25, S 0.75" in refusal(argyrodite, "b.cif")


def test_a_single_row_with_an_occupancy_below_one_is_refused(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("Li1 Li 0 0 0 0.98"))
    assert "Li1 (Li 0.98)" in refusal(tmp_path, "a.cif")


@pytest.mark.parametrize("name", ["copy.extxyz", "copy.traj"])
def test_occupancies_that_ase_carries_into_another_file_are_noticed(argyrodite, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ASE on the crystal system
        ase.io.read(argyrodite / "mixed.cif").write(argyrodite / name)
    assert "partly occupied" in refusal(argyrodite, name)


def test_an_occupancy_in_a_pdb_file_is_noticed(tmp_path):
    (tmp_path / "a.pdb").write_text(
        "CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 1\n"
        "ATOM      1  O   HOH A   1       1.000   1.000   1.000  0.50  0.00           O\nEND\n"
    )
    assert "atom 1 (O) has the occupancy 0.5" in refusal(tmp_path, "a.pdb")


def test_a_compressed_cif_is_read_like_any_other(argyrodite):
    (argyrodite / "z.cif.gz").write_bytes(gzip.compress((argyrodite / "mixed.cif").read_bytes()))
    assert "Cl 0.25" in refusal(argyrodite, "z.cif.gz")


def test_a_site_that_nothing_occupies_is_no_disorder(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("Li1 Li 0 0 0 1", "Li2 Li 0.5 0.5 0.5 0"))
    assert len(build(Structure(file=Path("a.cif")), tmp_path).atoms) == 1


def test_two_oxidation_states_on_one_site_are_one_full_site(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("Fe1 Fe2+ 0 0 0 0.5", "Fe2 Fe3+ 0 0 0 0.5"))
    built = build(Structure(file=Path("a.cif")), tmp_path)
    assert str(built.atoms.symbols) == "Fe"
    assert built.notes == ()


def test_deuterium_is_hydrogen_with_its_own_mass(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("D1 D 0 0 0 1", "Li1 Li 0.5 0.5 0.5 1"))
    atoms = build(Structure(file=Path("a.cif")), tmp_path).atoms
    assert atoms.get_chemical_symbols() == ["H", "Li"]
    assert atoms.get_masses()[0] == pytest.approx(2.0141, abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        (("Li1 Li 0 0 0 0.8", "Na1 Na 0 0 0 0.4"), "site Li1/Na1 is occupied 1.2 times"),
        (("Li1 Li 0 0 0 -0.5",), "occupancy -0.5"),
        (("Li1 Li 0 0 0 half",), "occupancy half"),
        (("Li1 Li 0 0 ? 1",), "no number"),
        (("Qq1 Qq 0 0 0 1",), "'Qq' is no chemical symbol"),
    ],
)
def test_nonsense_in_a_cif_is_refused(tmp_path, rows, part):
    (tmp_path / "a.cif").write_text(cubic_cif(*rows))
    assert part in refusal(tmp_path, "a.cif")


def test_a_multiplicity_that_the_space_group_does_not_give_is_refused(tmp_path):
    (tmp_path / "a.cif").write_text(ARGYRODITE.format(li=1, s=1, cl=0).replace("S1 S2- 16", "S1 S2- 20"))
    assert "site S1 should have 20" in refusal(tmp_path, "a.cif")


@pytest.mark.parametrize(
    ("group", "part"),
    [("F d -3 m", "several settings"), ("F d -3 m :2", "several settings"), ("F d -3 m Z", "several settings"),
     ("P 1 1 21/b", "several settings"), ("R -3 m :R", "several settings"), ("C 2/m :b1", None),
     ("F d -3 m S", None), ("P 1 21/c 1", None), ("P m -3 m", None), ("F m -3 m", None)],
)  # fmt: skip
def test_a_setting_that_the_file_leaves_open_is_refused(tmp_path, group, part):
    number = {"F d": 227, "P 1": 14, "R -": 166, "C 2": 12, "P m": 221, "F m": 225}[group[:3]]
    text = cubic_cif("Si1 Si 0.125 0.125 0.125 1", a=20.0, group=group)
    text = text.replace("_cell_length_a", f"_symmetry_Int_Tables_number {number}\n_cell_length_a")
    (tmp_path / "a.cif").write_text(text)
    if part:
        assert part in refusal(tmp_path, "a.cif")
    else:
        assert len(build(Structure(file=Path("a.cif")), tmp_path).atoms) > 0


def test_listed_operations_settle_the_setting(tmp_path):
    loop = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n'-x, -y, -z'\n"
    text = cubic_cif("Li1 Li 0.1 0.2 0.3 1", group="P -1").replace("loop_\n", loop + "loop_\n")
    (tmp_path / "a.cif").write_text(text)
    assert len(build(Structure(file=Path("a.cif")), tmp_path).atoms) == 2


def test_a_minor_species_that_would_be_lost_needs_a_larger_supercell(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("Li1 Li 0 0 0 0.9", "Na1 Na 0 0 0 0.1"))
    assert "larger supercell" in refusal(tmp_path, "a.cif", method="random")
    built = ordered(tmp_path, "a.cif", (5, 2, 1), method="random")
    atoms = built.atoms
    assert built.notes == ("ordering: random, seed 0", "composition: Li 9 for 9, Na 1 for 1")
    assert Counter(atoms.get_chemical_symbols()) == {"Li": 9, "Na": 1}


def test_a_least_distance_that_no_arrangement_keeps_is_refused(argyrodite):
    assert "min_distance" in refusal(argyrodite, "argyrodite.cif", method="random", min_distance=4.5)


# --- random ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("supercell", [(1, 1, 1), (2, 1, 1), ((0, 1, 1), (1, 0, 1), (1, 1, 0))])
def test_split_lithium_sites_are_never_both_occupied(argyrodite, seed, supercell):
    built = ordered(argyrodite, "argyrodite.cif", supercell, method="random", seed=seed)
    n = len(built.atoms) // 13
    assert Counter(built.atoms.get_chemical_symbols()) == {"Li": 6 * n, "P": n, "S": 5 * n, "Cl": n}
    assert li_distances(built.atoms).min() > 2.0
    assert f"seed {seed}" in " ".join(built.notes)


def test_the_split_pair_is_closer_than_what_is_kept(argyrodite):
    full = argyrodite / "full.cif"
    full.write_text(ARGYRODITE.format(li=1, s=1, cl=0))
    assert 1.3 < li_distances(build(Structure(file=full), argyrodite).atoms).min() < 2.0


def test_a_least_distance_is_kept_up_to_where_the_cage_has_room(argyrodite):
    # The twelve sites of a cage are a truncated tetrahedron with the edges 1.88 Å (between the triangles) and
    # 2.20 Å (the triangles): six atoms fit if only the first are forbidden, four if both are.
    built = ordered(argyrodite, "argyrodite.cif", method="random", min_distance=2.19)
    assert li_distances(built.atoms).min() == pytest.approx(2.198, abs=1e-3)
    assert "min_distance" in refusal(argyrodite, "argyrodite.cif", method="random", min_distance=2.21)


def test_the_same_seed_gives_the_same_atoms_and_another_seed_others(argyrodite):
    one, same, other = (ordered(argyrodite, "mixed.cif", method="random", seed=seed).atoms for seed in (7, 7, 8))
    assert (one.positions == same.positions).all()
    assert (one.numbers == same.numbers).all()
    assert one.positions.shape != other.positions.shape or (one.positions != other.positions).any()


def test_antisite_disorder_keeps_the_composition(argyrodite):
    atoms = ordered(argyrodite, "mixed.cif", (2, 1, 1), method="random").atoms
    assert Counter(atoms.get_chemical_symbols()) == {"Li": 48, "P": 8, "S": 40, "Cl": 8}
    x = np.round(atoms.get_scaled_positions() * [8, 4, 4]).astype(int) % 2
    on_4d = (
        np.abs(atoms.get_scaled_positions() * [8, 4, 4] - np.round(atoms.get_scaled_positions() * [8, 4, 4])) < 1e-6
    )
    cl = atoms.symbols == "Cl"
    # A quarter of the chlorine's own sites is sulfur's: 6 of 8 chlorine atoms at home, 2 on 4d.
    assert (on_4d.all(axis=1) & cl & (x == 1).all(axis=1)).sum() == 2


def test_the_composition_is_the_nearest_and_the_note_says_so(argyrodite):
    (argyrodite / "b.cif").write_text(ARGYRODITE.format(li=0.49, s=0.615, cl=0.385))
    built = ordered(argyrodite, "b.cif", method="random")
    # Each of the anion sites would hold 2.46 and 1.54 atoms; in all, 20 S and 4 Cl are whole, 23.52 Li are not.
    assert Counter(built.atoms.get_chemical_symbols()) == {"Li": 24, "P": 4, "S": 20, "Cl": 4}
    assert built.notes[-2] == "composition: Cl 4 for 4, Li 24 for 23.52, P 4 for 4, S 20 for 20"


def test_sites_listed_one_by_one_in_p1_are_one_kind(tmp_path):
    rows = [f"Li{i} Li {x} {y} {z} 0.5" for i, (x, y, z) in enumerate(np.ndindex(2, 2, 2))]
    rows = [row.replace(" 1", " 0.5") for row in rows]
    (tmp_path / "a.cif").write_text(cubic_cif(*rows, a=8.0))
    seen = {ordered(tmp_path, "a.cif", method="random", seed=s).atoms.positions.tobytes() for s in range(20)}
    assert len(seen) > 5


def test_every_site_is_as_likely_as_its_occupancy(argyrodite):
    count = np.zeros(48)
    (argyrodite / "full.cif").write_text(ARGYRODITE.format(li=1, s=1, cl=0))
    full = build(Structure(file=Path("full.cif")), argyrodite).atoms.positions[:48]
    n = 60
    for seed in range(n):
        atoms = ordered(argyrodite, "argyrodite.cif", method="random", seed=seed).atoms
        taken = np.linalg.norm(full[:, None] - atoms[atoms.symbols == "Li"].positions, axis=2).min(axis=1) < 1e-6
        assert taken.sum() == 24
        count += taken
    # Binomial with p = 1/2: the largest of 48 deviations stays within 4 standard deviations.
    assert np.abs(count - n / 2).max() < 4 * np.sqrt(n / 4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), data=st.data())
def test_chosen_sites_are_as_many_as_asked_and_never_neighbours(seed, n, data):
    edges = data.draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=n))
    near = [
        np.array(sorted({b for a, b in edges if a == i} | {a for a, b in edges if b == i}), int) for i in range(n)
    ]
    wanted = data.draw(st.integers(0, n // 2))
    occupied = choose_sites([(np.arange(n), wanted)], near, np.random.default_rng(seed))
    if occupied is not None:
        assert occupied.sum() == wanted
        assert not any(occupied[near[i]].any() for i in np.flatnonzero(occupied))


# --- enumerate ------------------------------------------------------------------------------------------------


def orbits_by_brute_force(atoms: ase.Atoms, n_a: int) -> int:
    """Classes of two-colourings of all sites under the crystal's operations, by applying all of them to each."""
    # All symmetry of a cubic lattice that maps the supercell onto itself, without spglib.
    x = atoms.get_scaled_positions()
    maps = []
    for axes in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            R = np.eye(3, dtype=int)[list(axes)] * np.array(signs)
            new = np.linalg.solve(atoms.cell.array.T, (atoms.cell.array @ R).T).T
            if np.abs(new - np.rint(new)).max() > 1e-6:
                continue
            for t in x:
                d = (x @ atoms.cell.array @ R @ np.linalg.inv(atoms.cell.array) + t)[:, None] - x
                maps.append(np.abs(d - np.rint(d)).sum(axis=2).argmin(axis=1))
    colours = set(permutations([1] * n_a + [0] * (len(atoms) - n_a)))
    return len({min(tuple(np.array(c)[m]) for m in maps) for c in colours})


@pytest.mark.parametrize(("supercell", "n_a"), [((2, 2, 1), 2), ((3, 2, 1), 3), ((2, 2, 2), 4), ((4, 1, 1), 2)])
def test_enumeration_finds_each_class_of_arrangements_once(tmp_path, supercell, n_a):
    n = int(np.prod(supercell))
    (tmp_path / "a.cif").write_text(
        cubic_cif(f"Li1 Li 0 0 0 {n_a / n}", f"Na1 Na 0 0 0 {1 - n_a / n}", group="P m -3 m")
    )
    full = ase.Atoms("Li", cell=[4, 4, 4], pbc=True).repeat(supercell)
    expected = orbits_by_brute_force(full, n_a)
    text = refusal(tmp_path, "a.cif", supercell, method="enumerate", index=10**6)
    assert f"among the {expected} that" in text
    built = [ordered(tmp_path, "a.cif", supercell, method="enumerate", index=i) for i in range(expected)]
    assert len({b.atoms.numbers.tobytes() for b in built}) == expected
    assert all(b.atoms.symbols.count("Li") == n_a for b in built)
    assert f"arrangement 0 of {expected}" in built[0].notes[0]


def test_enumeration_respects_the_least_distance(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("Li1 Li 0 0 0 0.5", group="P m -3 m", a=3.0))
    # Rock salt's two sublattices: the only way to fill half of a simple cubic lattice without neighbours.
    text = refusal(tmp_path, "a.cif", (2, 2, 2), method="enumerate", index=1, min_distance=3.1)
    assert "among the 1 that" in text
    built = ordered(tmp_path, "a.cif", (2, 2, 2), method="enumerate", min_distance=3.1)
    assert li_distances(built.atoms).min() > 3.1


def test_too_many_arrangements_are_refused_with_their_number(argyrodite):
    assert "3.22e+13 arrangements" in refusal(argyrodite, "argyrodite.cif", method="enumerate")


def test_enumeration_needs_whole_numbers_of_atoms(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("Li1 Li 0 0 0 0.4", group="P m -3 m"))
    assert "whole numbers" in refusal(tmp_path, "a.cif", (2, 2, 1), method="enumerate")


def test_the_number_of_arrangements_is_the_product_of_multinomials():
    assert number_of_arrangements([(24, 24)]) == 32247603683100
    assert number_of_arrangements([(2, 1, 1), (1, 0)]) == 12


def test_an_ordering_without_disorder_changes_nothing(tmp_path):
    (tmp_path / "a.cif").write_text(cubic_cif("Li1 Li 0 0 0 1"))
    built = ordered(tmp_path, "a.cif", method="random")
    assert len(built.atoms) == 1
    assert "nothing to order" in built.notes[0]
