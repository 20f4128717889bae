"""What stands in a deck, what its key depends on, custom templates and hooks, and values that try to get out."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from decks import SILICON, STATIC, SW, Settings, build, commands, lammps, render, resolve, run, setting
from lampion import deck, potential, protocol, structure
from lampion.errors import LampionError, SettingError, TemplateError
from lampion.study.settings import Study

SI = build(SILICON)
DIFFUSION: Settings = {
    "name": "diffusion", "temperature": 300.0, "phase": "crystal", "equilibrate": 0.02, "sample": 0.1,
    "dump_every": 0.005, "thermo_every": 0.005,
}  # fmt: skip
MD: Settings = {
    "name": "md", "dump_every": 0.01, "thermo_every": 0.01,
    "stages": [
        {"ensemble": "nvt", "temperature": 300.0, "time": 0.02},
        {"ensemble": "npt", "temperature": 300.0, "final_temperature": 400.0, "time": 0.02},
        {"ensemble": "nve", "time": 0.02},
    ],
}  # fmt: skip
ALL: dict[str, Settings] = {
    "static": STATIC,
    "minimize": {"name": "minimize", "cell": "aniso"},
    "md": MD,
    "diffusion": DIFFUSION,
    "liquid": {**DIFFUSION, "phase": "liquid", "melt": {"temperature": 500.0, "time": 0.02}, "thermostat": "csvr"},
    "ensemble": {**DIFFUSION, "name": "ensemble"},
}


def text_of(what: Settings, **more: Any) -> str:
    return render(SI, SW, what, **more).files[deck.DECK]


@pytest.mark.parametrize("name", ALL)
def test_a_deck_says_what_made_it_and_what_it_does(name: str) -> None:
    text = text_of(ALL[name], header="Silicon: a test\nMade by hand")
    assert text.startswith("# Silicon: a test\n# Made by hand\n\n# ---- What is simulated")
    assert "# Si.sw of 2007-06-11: Stillinger and Weber" in text
    lines = commands(text)
    order = ["units", "atom_style", "boundary", "newton", "read_data", "pair_style", "thermo_style"]
    assert [next(line for line in lines if line.startswith(f"{word} ")) for word in order] == sorted(
        (next(line for line in lines if line.startswith(f"{word} ")) for word in order), key=lines.index
    )
    assert lines[0].split() == ["units", "metal"]
    assert text.count("\n# ----") >= 4
    assert "\n\n\n" not in text
    assert text.endswith("\n")
    assert not re.search(r"[ \t]\n", text)
    assert not re.search(r"\{\{|\{%|None|\bnan\b", text)


def test_the_log_has_the_columns_that_the_analyses_read(tmp_path: Path) -> None:
    (table,) = run(render(SI, SW, STATIC), tmp_path / "run").log
    names = "Step Time Temp PotEng KinEng TotEng Econserve Press Volume Pxx Pyy Pzz Pxy Pxz Pyz Lx Ly Lz Xy Xz Yz"
    assert list(table.columns) == [*names.split(), "c_closest"]
    assert table.columns["c_closest"][0] == pytest.approx(5.431 * 3**0.5 / 4)


@pytest.mark.parametrize("name", ["md", "liquid", "ensemble"])
def test_each_stage_leaves_a_restart_and_each_dump_has_digits_enough(name: str, tmp_path: Path) -> None:
    made = render(SI, SW, ALL[name])
    outcome = run(made, tmp_path / "run")
    lines = commands(made.files[deck.DECK])
    restarts = [line.split()[1] for line in lines if line.startswith("write_restart")]
    expected = {
        "md": ["stage1.restart", "stage2.restart", "stage3.restart"],
        "liquid": ["melted.restart", "equilibrated.restart", "sampled.restart"],
        "ensemble": ["equilibrated.restart", "sampled.restart"],
    }
    assert restarts == expected[name]
    assert all((outcome.folder / restart).stat().st_size > 0 for restart in restarts)
    assert any(re.search(r"^dump_modify .* format float %\.10g$", line) for line in lines)
    row = (outcome.folder / "trajectory.dump").read_text().splitlines()[9]
    assert re.fullmatch(r"1 1 Si( -?\d[-.\de]*){3}", row)
    assert outcome.log[0].n_atoms == 64
    assert sum(table.n_steps or 0 for table in outcome.log) == made.n_steps


def test_seeds_are_explicit_and_each_has_its_own_name() -> None:
    asked: list[str] = []

    def seed(name: str) -> int:
        asked.append(name)
        return 1000 + len(asked)

    text = text_of(ALL["liquid"], seed=seed)
    assert len(asked) == len(set(asked))
    velocity = next(line for line in commands(text) if line.startswith("velocity"))
    assert velocity.split()[4] == str(1001 + asked.index("velocities"))
    csvr = [line.split()[-1] for line in commands(text) if "temp/csvr" in line]
    assert csvr == [str(1001 + asked.index("equilibrate")), str(1001 + asked.index("sample"))]


def test_a_deck_runs_the_same_twice_and_differently_with_other_seeds(tmp_path: Path) -> None:
    what = {**MD, "stages": MD["stages"][:1]}
    first, again, other = (
        run(render(SI, SW, what, seed=lambda _, k=k: k), tmp_path / str(i)).log[-1].columns["TotEng"]
        for i, k in enumerate((1, 1, 2))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rendering_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.j2").write_text("units metal\n{% include '_setup.j2' %}\nrun 0\n")
    before = sorted(tmp_path.rglob("*"))
    made = [text_of(what) for what in ALL.values()]
    render(SI, SW, {"name": "custom", "template": "mine.j2"}, folder=tmp_path)
    assert all(made)
    assert sorted(tmp_path.rglob("*")) == before


# ---- The fingerprint -------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> deck.Deck:
    """A deck whose input file may be changed."""
    path = tmp_path / "Si.sw"
    shipped = lammps().potentials
    assert shipped is not None
    path.write_bytes((shipped / "Si.sw").read_bytes())
    return replace(render(SI, SW, MD), inputs={"Si.sw": path})


def changed(made: deck.Deck, name: str, old: str, new: str) -> deck.Deck:
    assert old in made.files[name]
    return replace(made, files={**made.files, name: made.files[name].replace(old, new, 1)})


def test_the_fingerprint_does_not_depend_on_comments_blanks_or_where_files_lie(
    copied: deck.Deck, tmp_path: Path
) -> None:
    key = deck.fingerprint(copied)
    lines = copied.files[deck.DECK].splitlines()
    bare = "\n".join(line for line in lines if not line.startswith("#") and line)
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere/Si.sw"
    moved.write_bytes(copied.inputs["Si.sw"].read_bytes())
    same = [
        render(SI, SW, MD, header='another "title" & version'),
        replace(copied, files={**copied.files, deck.DECK: bare}),
        replace(copied, inputs={"Si.sw": moved}),
        changed(copied, deck.DECK, "timestep ", "timestep    "),
        changed(copied, deck.DECK, "timestep ", "# it's a comment\ntimestep "),
        changed(copied, deck.DECK, "units           metal", "units           metal  # of 1959"),
        changed(copied, deck.DECK, "units           metal", "units           &\n  metal"),
    ]
    assert {deck.fingerprint(one) for one in same} == {key}


def test_the_fingerprint_follows_every_command_datum_and_byte_of_an_input(copied: deck.Deck) -> None:
    key = deck.fingerprint(copied)
    text = copied.files[deck.DECK]
    seen = {key}
    for line in commands(text):
        seen.add(deck.fingerprint(changed(copied, deck.DECK, line, "")))
    assert len(seen) == 1 + len(set(commands(text)))
    rows = copied.files[deck.DATA].splitlines()
    for row in (2, 5, 12, len(rows) - 1):
        other = [*rows[:row], rows[row] + "1", *rows[row + 1 :]]
        seen.add(deck.fingerprint(replace(copied, files={**copied.files, deck.DATA: "\n".join(other)})))
    path = copied.inputs["Si.sw"]
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    seen.add(deck.fingerprint(copied))
    assert len(seen) == 1 + len(set(commands(text))) + 5


def test_a_comment_that_swallows_the_next_command_is_no_comment_alone(copied: deck.Deck) -> None:
    swallowed = changed(copied, deck.DECK, "timestep ", "# note &\ntimestep ")
    line = next(line for line in commands(copied.files[deck.DECK]) if line.startswith("timestep"))
    assert deck.fingerprint(swallowed) == deck.fingerprint(changed(copied, deck.DECK, line, ""))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 301.0), ("sample", 0.2), ("equilibrate", 0.04), ("pressure", 1.0), ("timestep", 0.002),
        ("temperature_damping", 0.2), ("dump_every", 0.004), ("coupling", "iso"), ("ensemble", "nve"),
        ("thermostat", "csvr"), ("sample_damping", 0.7), ("stress_every", 0.002),
        ("phase", "liquid"), ("current_every", 0.01),
        ("hooks", {"computes": {"mine": "all msd"}}),
    ],
)  # fmt: skip
def test_the_fingerprint_follows_every_setting_of_the_protocol(name: str, value: Any) -> None:
    assert deck.fingerprint(render(SI, SW, {**DIFFUSION, name: value})) != deck.fingerprint(render(SI, SW, DIFFUSION))


# ---- Custom templates ------------------------------------------------------------------------------

MINE = """{% include "_setup.j2" %}
{% include "_log.j2" %}

velocity        all create {{ hot }} {{ seed("velocities") }} mom yes
timestep        0.001
fix             move all nve
run             {{ steps(time) }}
"""


def mine(folder: Path, text: str, /, **variables: Any) -> deck.Deck:
    (folder / "mine.j2").write_text(text, encoding="utf-8")
    return render(SI, SW, {"name": "custom", "template": "mine.j2", "variables": variables}, folder=folder)


def test_a_custom_template_sees_ours_and_its_variables_and_runs(tmp_path: Path) -> None:
    outcome = run(mine(tmp_path, MINE, hot=600.0, time=0.02), tmp_path / "run")
    assert outcome.log[0].columns["Temp"][0] == pytest.approx(600.0)
    assert outcome.log[0].n_steps == 20


def test_a_swept_variable_changes_the_deck_and_its_key(tmp_path: Path) -> None:
    keys = {deck.fingerprint(mine(tmp_path, MINE, hot=hot, time=0.02)) for hot in (600.0, 700.0, 800.0)}
    assert len(keys) == 3


BAD_TEMPLATES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "an undefined variable": ("run {{ n }}\n", {}, ("mine.j2", "'n' is undefined", "protocol.variables")),
    "an undefined part": ("run {{ structure.weight }}\n", {}, ("weight", "mine.j2")),
    "a syntax error": ("units metal\nrun {{ 1 + }}\nrun 0\n", {}, ("mine.j2:2",)),
    "an unclosed block": ("units metal\n\n{% if true %}\nrun 0\n", {}, ("mine.j2:", "endif")),
    "a missing include": ("{% include 'there.j2' %}\n", {}, ("mine.j2", "includes there.j2")),
    "an include of itself": ("{% include 'mine.j2' %}\n", {}, ("mine.j2", "itself")),
    "a division by zero": ("run {{ 1 / n }}\n", {"n": 0}, ("mine.j2", "division by zero")),
    "a key that is missing": ("run {{ {}.popitem() }}\n", {}, ("mine.j2", "can't be rendered")),
    "a way out of the sandbox": ("{{ seed.__globals__ }}\n", {}, ("mine.j2", "unsafe")),
    "a variable of ours": ("run 0\n", {"potential": 1}, ("protocol.variables.potential", "choose another")),
    "our hooks": ("run 0\n", {"hooks": 1}, ("protocol.variables.hooks", "choose another")),
    "a text where a number is meant": ("run {{ steps(n) }}\n", {"n": "long"}, ("mine.j2", "can't be rendered")),
    "a global of Jinja": ("run {{ range }}\n", {"range": 1}, ("protocol.variables.range", "choose another")),
    "no command": ("# nothing\n\n", {}, ("mine.j2", "no LAMMPS command")),
    "typographic quotes": ("print “done”\n", {}, ("“done”", "plain quotes")),
}


def assert_sentence(error: BaseException) -> str:
    message = str(error)
    assert "\n" not in message
    assert len(message) > 20
    return message


@pytest.mark.parametrize("what", BAD_TEMPLATES)
def test_a_bad_template_is_refused_in_a_sentence(what: str, tmp_path: Path) -> None:
    text, variables, words = BAD_TEMPLATES[what]
    with pytest.raises(TemplateError) as refusal:
        mine(tmp_path, text, **variables)
    message = assert_sentence(refusal.value)
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["there.j2", "sub/there.j2", "sub"])
def test_a_missing_template_is_refused_with_its_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(TemplateError, match=r"no such template; correct protocol\.template") as refusal:
        render(SI, SW, {"name": "custom", "template": name}, folder=tmp_path)
    assert str(tmp_path / name) in str(refusal.value)


def test_a_template_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_bytes(b"run 0 # \xff\xfe\n")
    with pytest.raises(TemplateError, match=r"mine\.j2: can't be rendered"):
        render(SI, SW, {"name": "custom", "template": "mine.j2"}, folder=tmp_path)


@pytest.mark.parametrize("file", ["there.table", "in.lammps", "structure.data", "log.lammps", "sub/Si.sw"])
def test_a_file_that_is_missing_or_has_a_name_in_use_is_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "mine.j2").write_text("run 0\n")
    for name in ("in.lammps", "structure.data", "log.lammps", "sub/Si.sw"):
        (tmp_path / name).write_text("x")
    with pytest.raises(TemplateError, match=re.escape(Path(file).name)):
        render(SI, SW, {"name": "custom", "template": "mine.j2", "files": [file]}, folder=tmp_path)


def test_a_declared_file_lies_beside_the_deck(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text('{% include "_setup.j2" %}\ninclude extra.lmp\nrun 0\n')
    (tmp_path / "extra.lmp").write_text("timestep 0.002\n")
    made = render(SI, SW, {"name": "custom", "template": "mine.j2", "files": ["extra.lmp"]}, folder=tmp_path)
    assert run(made, tmp_path / "run").log[0].timestep == 0.002


# ---- Hooks -----------------------------------------------------------------------------------------

HOOKS: Settings = {
    "regions": {"low": "block INF INF INF INF INF 5.0"},
    "groups": {"bottom": "region low", "few": "id 1 2 3"},
    "computes": {"ke": "bottom ke"},
    "fixes": {"mean": "bottom ave/time 1 5 5 c_ke file ke.dat", "tell": "all print 10 done screen no"},
    "thermo": ["c_ke", "f_kemean"],
}


@pytest.mark.parametrize("name", ["static", "md", "diffusion", "ensemble"])
def test_hooks_stand_in_the_deck_and_run(name: str, tmp_path: Path) -> None:
    hooks = {**HOOKS, "fixes": {"kemean": HOOKS["fixes"]["mean"], "tell": HOOKS["fixes"]["tell"]}}
    made = render(SI, SW, {**ALL[name], "hooks": hooks})
    text = made.files[deck.DECK]
    for line in (
        "region          low block INF INF INF INF INF 5.0",
        "group           bottom region low",
        "compute         ke bottom ke",
        "fix             kemean bottom ave/time 1 5 5 c_ke file ke.dat",
    ):
        assert line in text.splitlines()
    last = run(made, tmp_path / "run").log[-1]
    assert {"c_ke", "f_kemean"} <= set(last.columns)
    if name != "static":
        assert (last.columns["c_ke"] > 0).all()
        assert np.loadtxt(tmp_path / "run/ke.dat", ndmin=2).shape[0] > 1


@pytest.mark.parametrize("name", ["diffusion", "ensemble"])
def test_averages_begin_anew_with_the_measurement(name: str, tmp_path: Path) -> None:
    hooks = {"computes": {"x": "all msd"}, "fixes": {"x": "all ave/time 1 1 10 c_x[4] file x.dat"}}
    run(render(SI, SW, {**ALL[name], "hooks": hooks}), tmp_path / "run")
    assert np.loadtxt(tmp_path / "run/x.dat")[:, 0].tolist() == list(range(0, 101, 10))


BAD_HOOKS: dict[str, tuple[Settings, str]] = {
    "a fix of ours": ({"fixes": {"integrate": "all nve"}}, "hooks.fixes.integrate"),
    "a sum of ours": ({"computes": {"sum_Si": "all ke"}}, "hooks.computes.sum_Si"),
    "a compute of ours": ({"computes": {"closest": "all ke"}}, "hooks.computes.closest"),
    "a group of ours": ({"groups": {"moving": "id 1"}}, "hooks.groups.moving"),
    "our dump": ({"fixes": {"x": "all ave/time 1 1 1 c_y file trajectory.dump"}}, "none of the run's own files"),
    "our log": ({"fixes": {"x": "all print 1 x file log.lammps"}}, "none of the run's own files"),
    "our stress": ({"fixes": {"x": "all print 1 x append stress.dat"}}, "none of the run's own files"),
    "a file elsewhere": ({"fixes": {"x": "all print 1 x file ../x"}}, "a name without a folder"),
    "an absolute file": ({"fixes": {"x": "all print 1 x file /tmp/x"}}, "a name without a folder"),
    "a fix without style": ({"fixes": {"x": "all"}}, "a group and a style"),
    "a group of blanks": ({"groups": {"x": "  "}}, "groups.x"),
    "a name with a blank": ({"groups": {"x y": "id 1"}}, "groups"),
    "an unknown kind": ({"dumps": {"x": "all"}}, "dumps"),
    "a quote": ({"fixes": {"x": "all print 10 'a'"}}, "LAMMPS would interpret"),
    "a variable": ({"fixes": {"x": "all print 10 ${a}"}}, "LAMMPS would interpret"),
    "a second line": ({"fixes": {"x": "all momentum 1 linear 1 1 1\nshell ls"}}, "LAMMPS would interpret"),
}


@pytest.mark.parametrize("what", BAD_HOOKS)
def test_a_bad_hook_is_refused(what: str) -> None:
    hooks, words = BAD_HOOKS[what]
    with pytest.raises(ValidationError, match=re.escape(words)):
        setting(protocol.Protocol, {**DIFFUSION, "hooks": hooks})


@pytest.mark.parametrize(
    "style", ["langevin 300 300 0.1 1", "temp/berendsen 300 300 0.1", "nvt temp 300 300 0.1", "nve", "brownian 1",
              "viscous 0.1", "press/berendsen iso 0 0 1", "deform 1 x scale 1.1", "langevin/kk 300 300 0.1 1",
              "addforce 1 0 0", "efield 0.1 0 0", "ehex 1 1", "heat 1 1", "ffl 1 1 1 1", "bocs temp 1 1 1",
              "srd 1 NULL 1 1 1", "tgnvt/drude temp 1 1 1 1 1 1", "momentum 1 linear 1 1 1", "dt/reset 1 1 1 1",
              "spring/self 1", "wall/piston zlo", "setforce 0.5 NULL NULL",
              "orient/fcc 0 1 1 1 1 1", "wall/reflect/stochastic diffusive 1 zlo 0 300 0 0 0",
              "gcmc 1 1 1 1 1 1 1 1", "ttm/mod 1 1", "unheard-of 1"]
)  # fmt: skip
@pytest.mark.parametrize("name", ["diffusion", "ensemble"])
def test_a_fix_that_changes_the_dynamics_is_refused_where_they_are_measured(name: str, style: str) -> None:
    with pytest.raises(ValidationError, match=rf"hooks\.fixes\.x \({style.split()[0]}\) is refused"):
        setting(protocol.Protocol, {**ALL[name], "hooks": {"fixes": {"x": f"all {style}"}}})


@pytest.mark.parametrize("style", ["ave/time 1 1 1 c_x", "print 10 x", "wall/reflect zlo EDGE", "setforce 0 0 0"])
def test_a_fix_that_watches_or_holds_is_taken_where_diffusion_is_measured(style: str) -> None:
    made = setting(protocol.Protocol, {**DIFFUSION, "hooks": {"fixes": {"x": f"all {style}"}}})
    assert made.hooks.fixes["x"] == f"all {style}"


@pytest.mark.parametrize(
    "style", ["nve", "nvt temp 300 300 0.1", "rigid single", "nve/limit 0.1", "move linear 1 0 0"]
)
def test_a_fix_that_integrates_atoms_once_more_is_refused_in_every_protocol(style: str) -> None:
    with pytest.raises(ValidationError, match=r"hooks\.fixes\.x .* moves atoms that the protocol moves already"):
        setting(protocol.Protocol, {**MD, "hooks": {"fixes": {"x": f"all {style}"}}})


@pytest.mark.parametrize("name", ["dump_every", "thermo_every"])
@pytest.mark.parametrize("kind", ["diffusion", "ensemble"])
def test_an_interval_without_a_step_is_refused(kind: str, name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} must be at least a timestep of 0.001 ps, not 1e-09 ps"):
        setting(protocol.Protocol, {**ALL[kind], name: 1e-9})


@pytest.mark.parametrize("kind", ["diffusion", "ensemble"])
def test_what_green_and_kubo_need_is_written_where_it_means_something(kind: str) -> None:
    liquid, crystal = ({**ALL[kind], "phase": phase} for phase in ("liquid", "crystal"))
    salt = build({"crystal": {"lattice": "rocksalt", "formula": "NaCl", "a": 5.6}})
    pair = {"style": "lj", "pairs": {"Na-Na": [0.01, 2.4], "Cl-Cl": [0.01, 3.4], "Na-Cl": [0.01, 2.9]}, "cutoff": 7.5}

    def written(what: Settings, atoms: Any = SI, potential_: Any = SW) -> set[str]:
        text = render(atoms, potential_, what).files[deck.DECK]
        return {name for name in ("stress.dat", "current.dat") if f"file {name}" in text}

    assert written(liquid) == {"stress.dat"}
    assert written(crystal) == set()
    assert written({**crystal, "mobile": ["Na"]}, salt, pair) == {"current.dat"}
    assert written(liquid, salt, pair) == {"stress.dat", "current.dat"}
    assert written({**liquid, "stress_every": 0.0, "current_every": 0.0}, salt, pair) == set()
    assert written({**crystal, "stress_every": 0.004}) == {"stress.dat"}


@pytest.mark.parametrize("kind", ["diffusion", "ensemble"])
def test_a_measurement_of_too_few_frames_is_refused(kind: str) -> None:
    words = "sample must be at least 20 times dump_every, not 10 ps with a frame every 50 ps"
    with pytest.raises(ValidationError, match=words):
        setting(protocol.Protocol, {**ALL[kind], "sample": 10.0, "dump_every": 50.0})


@pytest.mark.parametrize("kind", ["diffusion", "ensemble"])
def test_a_measurement_of_too_few_rows_of_the_log_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match="20 times thermo_every, or nothing of its health is known"):
        setting(protocol.Protocol, {**ALL[kind], "sample": 10.0, "thermo_every": 1000.0})


@pytest.mark.parametrize("mobile", [[], ["Si", "Si"]])
def test_mobile_species_are_named_once_and_at_least_one(mobile: list[str]) -> None:
    with pytest.raises(ValidationError, match="mobile must name each species"):
        setting(protocol.Protocol, {**DIFFUSION, "mobile": mobile})


def test_a_group_of_the_name_of_an_element_is_refused() -> None:
    with pytest.raises(SettingError, match=r"hooks\.groups\.Si"):
        render(SI, SW, {**STATIC, "hooks": {"groups": {"Si": "id 1"}}})


def test_a_frozen_group_that_nobody_defined_is_refused() -> None:
    with pytest.raises(SettingError, match=r"no group shell; there are Si all core"):
        render(SI, SW, {**STATIC, "hooks": {"groups": {"core": "id 1"}, "frozen": "shell"}})


IMPOSSIBLE: dict[str, tuple[Settings, str]] = {
    "a barostat in a slab": (DIFFUSION, "not periodic"),
    "a relaxed cell in a slab": ({"name": "minimize", "cell": "iso"}, "not periodic"),
    "npt in a slab": (MD, "not periodic"),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_a_structure_can_not_do_is_refused(what: str) -> None:
    slab = SI.copy()
    slab.pbc = (True, True, False)
    with pytest.raises(SettingError, match=IMPOSSIBLE[what][1]):
        render(slab, SW, IMPOSSIBLE[what][0])


def test_a_barostat_with_frozen_atoms_is_refused() -> None:
    with pytest.raises(SettingError, match="frozen atoms"):
        render(SI, SW, {**DIFFUSION, "hooks": {"frozen": "Si"}})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"mobile": ["Ge"]}, "has no Ge"),
        ({"melt": {"temperature": 900.0, "time": 1.0}}, "melt has no meaning"),
        ({"temperature": -1.0}, "temperature"),
        ({"timestep": 0.5}, "timestep"),
        ({"phase": "gas"}, "phase"),
        ({"sampel": 1.0}, "sampel"),
    ],
)
def test_a_protocol_that_can_not_be_is_refused(more: Settings, words: str) -> None:
    with pytest.raises((SettingError, ValidationError), match=words):
        render(SI, SW, {**DIFFUSION, **more})


def test_a_crystal_of_two_elements_must_say_which_one_diffuses() -> None:
    atoms = build({"crystal": {"lattice": "zincblende", "formula": "SiC", "a": 4.36}})
    with pytest.raises(SettingError, match="say which species diffuse"):
        render(atoms, {"style": "tersoff", "file": "SiC.tersoff"}, DIFFUSION)


# ---- Values that try to get out --------------------------------------------------------------------

ODD = st.text(
    st.sampled_from(
        list("ab 1_-.{}%()[]*\\/'\"`$&#;,:|<>~!?=+\n\r\t\x0b\x0c\x00\x85\u2028\u2029\u00a0“”‘’é中\u200b")
    ),
    min_size=1,
    max_size=30,
)
TEXT = st.one_of(ODD, st.text(max_size=40), ODD.map(lambda s: f"{s}\nshell rm -rf /"), ODD.map(lambda s: f"{s} &"))
ZBL: dict[str, Any] = {
    "style": "custom",
    "elements": ["Si"],
    "lines": ["pair_style zbl 3.0 4.0", "pair_coeff {Si} {Si} 14 14"],
}
PLAIN_WORDS = {name: len(commands(text_of(what))) for name, what in (("static", STATIC), ("diffusion", DIFFUSION))}
N_ZBL = len(commands(render(SI, ZBL, STATIC).files[deck.DECK]))
RELAXED = hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def n_commands(text: str) -> int:
    """Lines as LAMMPS counts them: it ends a line at a newline alone, and joins it to the next after an &."""
    assert '"""' not in text
    assert not re.search(r"[\x00\r\x0b\x0c]", text)
    return len(commands(text))


@RELAXED
@given(TEXT)
@example('"""\nshell ls')
@example("ends with &")
@example("ends with & \t")
@example("a\u2028b\x85c\x0bd\x0ce\rf")
def test_no_text_in_a_header_becomes_a_command(text: str) -> None:
    made = text_of(STATIC, header=text)
    assert n_commands(made) == PLAIN_WORDS["static"]


@RELAXED
@given(TEXT, st.sampled_from(["computes", "fixes", "groups", "regions"]))
@example("all print 1 “x”", "fixes")
@example("all ke\nrun 1", "computes")
@example("all ke &", "computes")
def test_no_text_in_a_hook_becomes_a_second_command(text: str, kind: str) -> None:
    try:
        made = text_of({**DIFFUSION, "hooks": {kind: {"mine": text}}})
    except (ValidationError, LampionError):
        return
    twice = kind == "fixes" and len(setting(protocol.Hooks, {kind: {"mine": text}}).averages)
    assert n_commands(made) == PLAIN_WORDS["diffusion"] + (3 if twice else 1)
    assert not set("\"'`$&#;\\") & set(next(line for line in commands(made) if " mine " in f"{line} "))


@RELAXED
@given(TEXT)
def test_no_text_among_thermo_columns_or_names_becomes_a_command(text: str) -> None:
    for hooks in ({"thermo": [text]}, {"groups": {text: "id 1"}}, {"frozen": text}):
        try:
            made = text_of({**STATIC, "hooks": hooks})
        except (ValidationError, LampionError):
            continue
        assert n_commands(made) <= PLAIN_WORDS["static"] + 8
        assert "shell" not in "".join(commands(made))


@RELAXED
@given(TEXT)
@example("pair_style sw &")
@example("pair_style sw\npair_style none")
@example("pair_modify mix “x”")
def test_no_text_in_a_custom_line_becomes_a_second_command(text: str) -> None:
    for line in (text, f"pair_modify {text}", f"pair_coeff {{Si}} {{Si}} {text}"):
        pair = {**ZBL, "lines": [ZBL["lines"][0], line]}
        try:
            made = render(SI, pair, STATIC).files[deck.DECK]
        except (ValidationError, LampionError):
            continue
        assert n_commands(made) <= N_ZBL


@RELAXED
@given(TEXT)
@example("x\nshell ls")
@example("x &")
def test_no_text_in_a_variable_becomes_a_second_command(text: str) -> None:
    try:
        what = setting(protocol.Protocol, {"name": "custom", "template": "x.j2", "variables": {"v": text}})
    except ValidationError:
        return
    assert n_commands(f"print {what.variables['v']}\nrun 0\n") == 2


@RELAXED
@given(TEXT)
@example("Si\nshell.sw")
def test_no_text_in_a_file_name_citation_or_title_gets_through(text: str) -> None:
    for kind, values in (
        (potential.Potential, {"style": "sw", "file": text}),
        (
            potential.Potential,
            {"style": "custom", "elements": ["Si"], "lines": ["pair_style zbl 3 4"], "files": [text]},
        ),
        (potential.Potential, {"style": "meam", "library": text, "names": [text]}),
        (structure.Structure, {"file": text}),
        (protocol.Protocol, {"name": "custom", "template": text}),
    ):
        try:
            found = setting(kind, values)
        except ValidationError:
            continue
        name = next(getattr(found, n) for n in ("library", "template", "files", "file") if hasattr(found, n))
        names = name if isinstance(name, tuple) else (name,)
        assert not any(set("\n\r\"'`$&#; \t") & set(one.name) for one in names)
    cited = {**ZBL, "citation": text}
    try:
        made = render(SI, cited, STATIC).files[deck.DECK]
    except (ValidationError, LampionError):
        return
    assert n_commands(made) == N_ZBL


def test_a_title_of_several_lines_is_refused() -> None:
    study = {"structure": SILICON, "potential": SW, "protocol": STATIC, "title": "a\nshell ls"}
    with pytest.raises(ValidationError, match="LAMMPS would interpret"):
        setting(Study, study)


def test_what_a_potential_file_says_of_itself_stays_a_comment(tmp_path: Path) -> None:
    shipped = lammps().potentials
    assert shipped is not None
    text = (shipped / "Si.sw").read_text()
    said = 'CITATION: me """ & you $(1) ${x} `ls` # ; \x0bshell ls &'
    (tmp_path / "odd.sw").write_text(re.sub("CITATION:.*", lambda _: said, text, count=1))
    made = render(SI, {"style": "sw", "file": "odd.sw"}, STATIC, folder=tmp_path)
    assert n_commands(made.files[deck.DECK]) == PLAIN_WORDS["static"]
    run(made, tmp_path / "run")


def test_notes_of_a_potential_stay_comments() -> None:
    placed = structure.place(SI)
    pair = replace(resolve(SW, placed), notes=("one\nshell ls &", "two"))
    assert n_commands(render(placed, pair, STATIC).files[deck.DECK]) == PLAIN_WORDS["static"]
    assert isinstance(SI, ase.Atoms)
