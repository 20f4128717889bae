"""A study that is wrong is refused in one sentence, with the line, the key, the value and the remedy."""

import re
import time
from pathlib import Path

import pytest

from lampion.errors import SettingError
from lampion.study import Point, expand, read_document

STUDY = """\
title: t
structure:
  crystal: {lattice: bcc, formula: Li, a: 3.5}
  supercell: [2, 2, 2]
potential:
  style: snap
  file: Li.snap
protocol:
  name: diffusion
  phase: liquid
  temperature: 500
  melt: {temperature: 900, time: 1.5}
  hooks:
    groups: {shell: type 1}
"""
LAST = 14
MD = """\
structure: {file: a.cif}
potential:
  style: lj
  pairs: {Ar-Ar: [0.01, 3.4]}
protocol:
  name: md
  stages:
    - {ensemble: nvt, time: 1, temperature: 300}
    - ensemble: npt
      time: 1
      temperature: 300
"""
CUSTOM = """\
structure: {file: a.cif}
potential:
  style: custom
  lines: [pair_style zero 5, "pair_coeff * *"]
  elements: [Ar]
protocol:
  name: custom
  template: t.j2
  variables: {x: 1}
"""
INTERNALS = re.compile(
    r"Traceback|pydantic|dataclass|NoneType|[Tt]uple|dictionary|validation|ordereddict|<class|\bNone\b"
)


def points_of(tmp_path: Path, study: str | bytes) -> list[Point]:
    path = tmp_path / "study.yaml"
    path.write_bytes(study if isinstance(study, bytes) else study.encode("utf-8"))
    return expand(read_document(path))


def refusal(tmp_path: Path, study: str | bytes) -> str:
    """Return the sentence without the folder."""
    with pytest.raises(SettingError) as refused:
        points_of(tmp_path, study)
    sentence = str(refused.value)
    assert sentence.isprintable(), f"more than a line, or characters that a terminal acts on: {sentence!r}"
    assert not INTERNALS.search(sentence), sentence
    assert sentence.startswith(f"{tmp_path}/study.yaml:"), sentence
    return sentence.removeprefix(f"{tmp_path}/")


def changed(study: str, old: str, new: str) -> str:
    assert study.count(old) == 1, old
    return study.replace(old, new)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('"500"', 'must be a number, not "500"; write it without quotes'),
        ("500 K", 'must be a number, not "500 K"; write the number alone, without a unit'),
        ("500K", "without a unit"),
        ("5,5", 'must be a number, not "5,5"'),
        ("1_000", 'must be a number, not "1_000"'),
        ("true", "must be a number, not true"),
        ("yes", 'must be a number, not "yes"'),
        ("2001-01-01", 'must be a number, not "2001-01-01"'),
        ("12:30:45", 'must be a number, not "12:30:45"'),
        ("٣", 'must be a number, not "٣"'),
        ("[500]", "must be a number, not [500]"),
        ("{a: 1}", 'must be a number, not {"a": 1}'),
        ("null", "has no value; it must be a number, or leave the key away"),
        ("", "has no value; it must be a number, or leave the key away"),
        (".inf", "must be a finite number, not .inf"),
        ("-.Inf", "must be a finite number, not -.Inf"),
        (".nan", "must be a finite number, not .nan"),
        ("1e999", "must be a finite number, not 1e999"),
        ("-5", "must be greater than 0, not -5"),
        ("0", "must be greater than 0, not 0"),
        ("20001", "must be at most 20000, not 20001"),
        ("9" * 90, f"must be at most 20000, not {'9' * 77}..."),
        ("9" * 5000, "is a number of 5000 characters; at most 100 are taken"),
        ("0x" + "f" * 5000, "is a number of 5002 characters; at most 100 are taken"),
        ('"a\\nb"', 'must be a number, not "a\\nb"'),
        ("|\n    5\n    6", 'must be a number, not "5\\n6\\n"'),
        ('"\\ud800"', r"holds the control character '\ud800'; remove it"),
        ('"a\\0b"', r"holds the control character '\x00'; remove it"),
        ("!!str 500", "has the tag !!str; a study takes none, so remove it"),
        ("!!float 500", "has the tag !!float"),
        ("!mine 500", "has the tag !mine"),
        ('!!python/object/apply:os.system ["touch /tmp/smuggled"]', "has the tag !!python/object/apply:os.system"),
        ("!!binary aGk=", "has the tag !!binary"),
        ("!!set {a}", "has the tag !!set"),
        ("*nothing", "*nothing is defined nowhere above"),
        ("&a [*a]", "*a stands inside of itself"),
    ],
)
def test_a_wrong_temperature_is_refused_with_line_key_value_and_remedy(
    tmp_path: Path, written: str, words: str
) -> None:
    said = refusal(tmp_path, changed(STUDY, "temperature: 500", f"temperature: {written}"))
    assert re.match(r"study\.yaml:11: protocol\.temperature(\.0)?: ", said)
    assert words in said


@pytest.mark.parametrize("written", ["500", "5e2", "500.", "+500", "0x1F4", "0o764", "&a 500", "500  # K"])
def test_every_number_of_yaml_1_2_is_taken(tmp_path: Path, written: str) -> None:
    (point,) = points_of(tmp_path, changed(STUDY, "temperature: 500", f"temperature: {written}"))
    assert point.study.protocol.temperature == 500  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2, 2, 2]", "2, 2]", "4: structure.supercell: must be a list of 3 values, not [2, 2]"),
        ("2, 2, 2]", "]", "4: structure.supercell: must be a list of 3 values, not []"),
        ("2, 2, 2]", "2, 2, 2, 2]", "4: structure.supercell: must hold at most 3 values, not 4"),
        ("2, 2, 2]", "2, 2, 2.5]", "4: structure.supercell.2: must be a whole number, not 2.5"),
        ("2, 2, 2]", "2, 2, 2.0]", "4: structure.supercell.2: must be a whole number, not 2.0; write 2"),
        ("2, 2, 2]", "2, 2, true]", "4: structure.supercell.2: must be a whole number, not true"),
        ("[2, 2, 2]", "2", "4: structure.supercell: must be a list, not 2"),
        ("[2, 2, 2]", "{a: 2}", '4: structure.supercell: must be a list, not {"a": 2}'),
        ("[2, 2, 2]", "[[1,0,0], [0,1,0]]", "4: structure.supercell: must be a list of 3 values, not [["),
        ("[2, 2, 2]", "[[1,0,0], [0,1,0], [0,0,x]]", '4: structure.supercell.2.2: must be a whole number, not "x"'),
        ("lattice: bcc", "lattice: BCC", 'not "BCC"; did you mean bcc?'),
        ("lattice: bcc", "lattice: 5", "3: structure.crystal.lattice: must be one of sc, fcc,"),
        ("a: 3.5", "a: -3.5", "3: structure.crystal.a: must be at least 0.5, not -3.5"),
        (
            "{lattice: bcc, formula: Li, a: 3.5}",
            "bcc",
            '3: structure.crystal: must be a mapping (key: value), not "b',
        ),
        ("{lattice: bcc, formula: Li, a: 3.5}", "[bcc]", "3: structure.crystal: must be a mapping (key: value), not"),
        ("{lattice: bcc, formula: Li, a: 3.5}", "null", "2: structure: a structure is either a file or a crystal"),
        ("supercell: [2, 2, 2]", "file: a.cif", "2: structure: a structure is either a file or a crystal"),
        ("supercell: [2, 2, 2]", "frame: 2", "4: structure.frame: belongs to a file"),
        ("supercell: [2, 2, 2]", "masses: {li: 7}", "4: structure.masses.li: 'li' is not a chemical symbol; did you"),
        ("supercell: [2, 2, 2]", "masses: {Xx: 7}", "4: structure.masses.Xx: 'Xx' is not a chemical symbol"),
        ("supercell: [2, 2, 2]", "masses: {Li: -7}", "4: structure.masses.Li: must be greater than 0, not -7"),
        ("supercell: [2, 2, 2]", "types: {a: Li}", '4: structure.types.a: must be a whole number, not "a"'),
        ("supercell: [2, 2, 2]", "types: {1: Xx}", "4: structure.types.1: 'Xx' is not a chemical symbol"),
        ("supercell: [2, 2, 2]", "pbc: [1, 1, 1]", "4: structure.pbc.0: must be true or false, not 1; write true"),
        ("supercell: [2, 2, 2]", "pbc: [on, true, true]", 'must be true or false, not "on"; write true'),
        ("supercell: [2, 2, 2]", "pbc: true", "4: structure.pbc: must be a list, not true"),
        ("file: Li.snap", "file: 5", "7: potential.file: must be text, not 5; put it in quotes"),
        ("file: Li.snap", 'file: ""', "7: potential.file: names no file"),
        ("file: Li.snap", "file: ..", "7: potential.file: names no file"),
        ("file: Li.snap", "file: pots/", None),
        ("file: Li.snap", "file: my Li.snap", "7: potential.file: the file name 'my Li.snap' holds a blank"),
        ("file: Li.snap", "file: Lí.snap", "7: potential.file: the character 'í' is not ASCII"),
        ("file: Li.snap", 'file: "x/\\0/Li.snap"', r"7: potential.file: holds the control character '\x00'"),
        (
            "phase: liquid",
            "phase: Liquid",
            '10: protocol.phase: must be one of liquid, crystal, not "Liquid"; did you',
        ),
        ("phase: liquid", "phase: gas", '10: protocol.phase: must be one of liquid, crystal, not "gas"'),
        ("phase: liquid", "phase: true", "10: protocol.phase: must be one of liquid, crystal, not true"),
        ("phase: liquid", "phase: crystal", "12: protocol.melt: has no meaning with phase crystal; set phase liquid"),
        ("name: diffusion", "name: difusion", 'not "difusion"; did you mean diffusion?'),
        ("name: diffusion", "name: [md]", "9: protocol.name: must be one of static, minimize, md, diffusion, ensemb"),
        ("name: diffusion", "name:", "9: protocol.name: must be one of static, minimize,"),
        ("name: diffusion", "nam: diffusion", "8: protocol: needs the key name (nam is none), one of"),
        ("style: snap", "style: snp", 'not "snp"; did you mean snap?'),
        ("style: snap", "style: eam", 'not "eam"; did you mean eam/alloy or eam/fs?'),
        ("  style: snap\n", "", "5: potential: needs the key style, one of"),
        (
            "time: 1.5",
            "time: 1.5 ps",
            '12: protocol.melt.time: must be a number, not "1.5 ps"; write the number alone',
        ),
        (", time: 1.5", "", "12: protocol.melt.time: is missing, and is needed"),
        ("{temperature: 900, time: 1.5}", "900", "12: protocol.melt: must be a mapping (key: value), not 900"),
        ("{shell: type 1}", "shell", "14: protocol.hooks.groups: must be a mapping (key: value), not"),
        ("{shell: type 1}", "{shell: 1}", "14: protocol.hooks.groups.shell: must be text, not 1; put it in quotes"),
        ("{shell: type 1}", '{shell: ""}', "14: protocol.hooks.groups.shell: is empty"),
        ("{shell: type 1}", '{shell: "  "}', "14: protocol.hooks.groups.shell: holds nothing but blanks"),
        ("{shell: type 1}", "{she ll: type 1}", "14: protocol.hooks.groups.she ll: 'she ll' can't be a name: begin"),
        ("{shell: type 1}", "{1s: type 1}", "14: protocol.hooks.groups.1s: '1s' can't be a name"),
        ("{shell: type 1}", f"{{shell: {'x' * 3000}}}", "must be at most 2000 characters long, not 3000"),
        ("groups: {shell: type 1}", "thermo: c_1", '14: protocol.hooks.thermo: must be a list, not "c_1"'),
        ("groups: {shell: type 1}", "thermo: [c_1, 5]", "14: protocol.hooks.thermo.1: must be text, not 5"),
        ("groups: {shell: type 1}", "frozen: a b", "14: protocol.hooks.frozen: 'a b' can't be a name"),
        (
            "groups: {shell: type 1}",
            "fixes: {f: all langevin 1 1 1 1}",
            "14: protocol.hooks.fixes.f: (langevin) is ref",
        ),
        ("  hooks:", "  mobile: Li\n  hooks:", '13: protocol.mobile: must be a list, not "Li"; write it as [Li]'),
        ("  hooks:", "  mobile: [Lx]\n  hooks:", "13: protocol.mobile.0: 'Lx' is not a chemical symbol"),
        ("  hooks:", "  timestep: 1\n  hooks:", "13: protocol.timestep: must be at most 0.02, not 1"),
        (
            "  hooks:",
            "  pressure: 1e9\n  hooks:",
            "13: protocol.pressure: must be at most 100000000, not 1000000000.0",
        ),
        ("title: t", "title: 5", "1: title: must be text, not 5; put it in quotes"),
        ("title: t", "title:", "1: title: has no value; it must be text, or leave the key away"),
        ("title: t", "seed: -1", "1: seed: must be at least 0, not -1"),
        ("title: t", "seed: 1e3", "1: seed: must be a whole number, not 1000.0; write 1000"),
        ("title: t", f"seed: {2**63}", f"1: seed: must be less than {2**63}, not {2**63}"),
        ("title: t", "engine:", "1: engine: has no value; it must be a mapping (key: value), or leave the key away"),
        ("title: t", "engine: lmp", '1: engine: must be a mapping (key: value), not "lmp"'),
        ("title: t", "engine: {ranks: 0}", "1: engine.ranks: must be at least 1, not 0"),
        ("title: t", f"engine: {{threads: {10**20}}}", "1: engine.threads: must be at most 2147483647, not 1000"),
        ("title: t", 'engine: {lmp: "a\\0b"}', r"1: engine.lmp: holds the control character '\x00'"),
        ("title: t", "analysis: {window: [5, 1]}", "1: analysis.window: must end after it begins, not [5.0, 1.0]"),
        ("title: t", "analysis: {window: 5:50}", '1: analysis.window: must be a list, not "5:50"'),
    ],
)
def test_a_wrong_value_is_refused_with_line_key_value_and_remedy(
    tmp_path: Path, old: str, new: str, said: str | None
) -> None:
    study = changed(STUDY, old, new)
    if said is None:
        points_of(tmp_path, study)
    else:
        assert said in refusal(tmp_path, study)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: md", "name: md\n  timestep: 0", "7: protocol.timestep: must be at least 1e-06, not 0"),
        ("- ensemble: npt", "- ensemble: nph", '9: protocol.stages.1.ensemble: must be one of nve, nvt, npt, not "n'),
        ("      time: 1\n", "      tim: 1\n", "10: protocol.stages.1.tim: unknown key; did you mean time?"),
        ("      time: 1\n", "      time: -1\n", "10: protocol.stages.1.time: must be greater than 0, not -1"),
        ("      time: 1\n      temperature: 300\n", "      time: 1\n", "9: protocol.stages.1: temperature is needed"),
        ("ensemble: nvt", "ensemble: nve", "8: protocol.stages.0.temperature: has no meaning in the ensemble nve"),
        (
            "      time: 1\n",
            "      time: 1\n      thermostat: csvr\n",
            "11: protocol.stages.1.thermostat: must be nose",
        ),
        ("Ar-Ar:", "ArAr:", "4: potential.pairs.ArAr: must be two chemical symbols joined by -, as Na-Cl, not"),
        ("[0.01, 3.4]", "[0.01]", "4: potential.pairs.Ar-Ar: must be a list of 2 values, not [0.01]"),
        ("[0.01, 3.4]", "[0.01, 0]", "4: potential.pairs.Ar-Ar.1: must be greater than 0, not 0"),
        (
            "[0.01, 3.4]}",
            "[0.01, 3.4]}\n  kspace: {accuracy: 1}",
            "5: potential.kspace.accuracy: must be less than 0.1",
        ),
    ],
)
def test_a_wrong_value_of_md_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in refusal(tmp_path, changed(MD, old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{x: 1}", "{x: [1]}", "9: protocol.variables.x: must be true or false, a number or text, not [1]"),
        ("{x: 1}", "{x: {a: 1}}", "9: protocol.variables.x: must be true or false, a number or text, not {"),
        ("{x: 1}", "{x: null}", "9: protocol.variables.x: has no value"),
        ("{x: 1}", '{x: ""}', "9: protocol.variables.x: is empty"),
        ("{x: 1}", "{x y: 1}", "9: protocol.variables.x y: 'x y' can't be a name"),
        ("template: t.j2", "template: 'a b.j2'", "8: protocol.template: the file name 'a b.j2' holds a blank"),
        ("elements: [Ar]", "elements: Ar", '5: potential.elements: must be a list, not "Ar"; write it as [Ar]'),
        ('"pair_coeff * *"', '" "', "4: potential.lines.1: holds nothing but blanks"),
        ('"pair_coeff * *"', '"pair_coeff * * “x”"', "4: potential.lines.1: the character '“' is not ASCII"),
    ],
)
def test_a_wrong_value_of_custom_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in refusal(tmp_path, changed(CUSTOM, old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: t", "titel: t", "1: titel: unknown key; did you mean title?"),
        ("title: t", "Title: t", "1: Title: unknown key; did you mean title?"),
        (
            "title: t",
            "temperature: 500",
            "1: temperature: unknown key; the keys here are analysis, engine, potential",
        ),
        ("title: t", "engine: {rank: 2}", "1: engine.rank: unknown key; did you mean ranks?"),
        ("title: t", "analysis: {windw: 2}", "1: analysis.windw: unknown key; did you mean window?"),
        ("a: 3.5", "b: 3.5", "3: structure.crystal.b: unknown key; the keys here are a, c, cubic, formula,"),
        ("supercell:", "super_cell:", "4: structure.super_cell: unknown key; did you mean supercell?"),
        (
            "file: Li.snap",
            "file: Li.snap\n  cutoff: 5",
            "8: potential.cutoff: unknown key; the keys here are elements",
        ),
        ("temperature: 500", "temprature: 500", "11: protocol.temprature: unknown key; did you mean temperature?"),
        ("temperature: 500", "1: 500", "11: protocol.1: unknown key; the keys here are"),
        ("temperature: 500", "true: 500", "11: protocol.true: unknown key"),
        ("temperature: 500", '"": 500', "11: protocol.'': unknown key"),
        (
            "temperature: 500",
            '"temp\\nerature": 500',
            r"11: protocol.'temp\nerature': unknown key; did you mean temp",
        ),
        ("temperature: 500", '"a\\0": 500', "is a key with a control character"),
        ("temperature: 500", '"\\ud800": 500', "is a key with a control character"),
        ("temperature: 500", "a" * 300 + ": 500", f"11: protocol.{'a' * 57}...: unknown key"),
        ("temperature: 500", "[a]: 500", "11: protocol: a key must be plain text"),
        ("temperature: 500", "? {a: 1}\n  : 500", "11: protocol: a key must be plain text"),
        ("temperature: 500", "!!str a: 500", "11: protocol: a key must be plain text"),
        ("temperature: 500", "<<: {temperature: 500}", "11: protocol: merge keys (<<) are no part of YAML 1.2"),
        (
            "temperature: 500",
            "temperature: 500\n  temperature: 600",
            "12: protocol.temperature: is given twice, first",
        ),
        (", time: 1.5", ", tim: 1.5", "12: protocol.melt.tim: unknown key; did you mean time?"),
        ("    groups:", "    group:", "14: protocol.hooks.group: unknown key; did you mean groups?"),
        ("supercell: [2, 2, 2]", "types: {1: Li, '1': Na}", "4: structure.types.1: is given twice, first in line 4"),
    ],
)
def test_an_unknown_or_double_key_is_refused_with_what_was_meant(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert said in refusal(tmp_path, changed(STUDY, old, new))


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("structure", "study.yaml: structure: is missing, and is needed"),
        ("potential", "study.yaml: potential: is missing, and is needed"),
        ("protocol", "study.yaml: protocol: is missing, and is needed"),
    ],
)
def test_a_missing_block_is_named(tmp_path: Path, block: str, words: str) -> None:
    assert refusal(tmp_path, re.sub(rf"(?m)^{block}:\n(  .*\n)+", "", STUDY)) == words


@pytest.mark.parametrize("block", ["structure", "potential", "protocol"])
@pytest.mark.parametrize("instead", ["", "[]", "[a, b]", "5", "text", "true"])
def test_a_block_that_is_no_mapping_is_refused_at_its_line(tmp_path: Path, block: str, instead: str) -> None:
    text = re.sub(rf"(?m)^{block}:\n(  .*\n)+", f"{block}: {instead}\n", STUDY)
    line = text.splitlines().index(f"{block}: {instead}") + 1
    said = refusal(tmp_path, text)
    assert said.startswith(f"study.yaml:{line}: {block}: ")
    assert "mapping" in said


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("x: [1, 2\n", "15: is no valid YAML: a bracket opens here and is not closed"),
        ("x: {a: 1 b: 2}\n", "15: is no valid YAML: "),
        ("x: 'abc\n", "15: is no valid YAML: a quote opens here and is not closed"),
        ('x: "abc\n', "15: is no valid YAML: a quote opens here and is not closed"),
        ("x: b: c\n", "15: is no valid YAML: a second colon in one line"),
        (" x: 1\n", "15: is no valid YAML: indented other than the lines above"),
        ("x:\n\ty: 1\n", "16: is no valid YAML: a tab; indent with blanks"),
        ("x: @a\n", "15: is no valid YAML: text can't begin with @; put it in quotes"),
        ("x: %a\n", "15: is no valid YAML: text can't begin with %; put it in quotes"),
        ("x\ny: 1\n", "15: is no valid YAML: a key without a colon"),
        ("---\na: 1\n", "15: a second document (---) begins here"),
        ('x: "\\q"\n', "15: is no valid YAML: "),
        ("]\n", "15: is no valid YAML: "),
        ("x: a\0b\n", r"15: holds the control character '\x00'; a study is plain text"),
        ("x: a\x1b[2Jb\n", r"15: holds the control character '\x1b'"),
    ],
)
def test_broken_yaml_is_refused_at_its_line(tmp_path: Path, added: str, said: str) -> None:
    assert f"study.yaml:{said}" in refusal(tmp_path, STUDY + added)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "study.yaml: is empty: it must be a mapping with structure, potential and protocol"),
        (b"\n  \n# only words\n", "study.yaml: is empty"),
        (b"null\n", "study.yaml: is empty"),
        (b"- 1\n", "study.yaml: is no study: it must be a mapping"),
        (b"hello\n", "study.yaml: is no study"),
        (b"%YAML 1.1\n---\n" + STUDY.encode(), "study.yaml:2: a study file is YAML 1.2; remove the line %YAML"),
        (b"!!python/object:os.system\n" + STUDY.encode(), "study.yaml:1: has the tag !!python/object:os.system"),
        (STUDY.encode("utf-16"), "study.yaml: is UTF-16 text; save it as UTF-8"),
        (STUDY.encode("utf-16-le"), "study.yaml:1: holds the control character"),
        (STUDY.replace("title: t", "title: é").encode("latin-1"), "study.yaml:1: is no UTF-8 text (byte 7)"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "study.yaml:1: is no UTF-8 text (byte 0)"),
        (b"\x80\x04\x95" + bytes(range(256)), "study.yaml:1: is no UTF-8 text"),
        (b"a: 1\n" * 2_000_000, "study.yaml: is larger than 1,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


def test_a_folder_or_nothing_in_place_of_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"can't be read: Is a directory$"):
        read_document(tmp_path)
    with pytest.raises(SettingError, match=r"none\.yaml: can't be read: No such file or directory$"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(SettingError, match=r"can't be read: "):
        read_document(tmp_path / ("x" * 5000))


@pytest.mark.parametrize("spelling", [STUDY.replace("\n", "\r\n"), "\ufeff" + STUDY, "---\n" + STUDY + "...\n"])
def test_line_ends_and_marks_of_other_systems_are_taken(tmp_path: Path, spelling: str) -> None:
    assert len(points_of(tmp_path, spelling)) == 1


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ("a: " + "[" * 300 + "]" * 300, "study.yaml:1: a.0.0: is nested deeper than 50 levels"),
        ("a: " + "[" * 100_000, "study.yaml:1: a.0.0: is nested deeper than 50 levels"),
        ("".join(f"{' ' * i}a:\n" for i in range(300)), "is nested deeper than 50 levels"),
        (
            "l0: &l0 [lol]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 9)),
            "grows beyond 200,000 values with its aliases written out",
        ),
        (
            "l0: &l0 [lol]\n" + "".join(f"l{i}: &l{i} [*l{i - 1}]\n" for i in range(1, 99)),
            "grows beyond 50 levels with its aliases written out",
        ),
        ("a: &a [*a, *a]\n", "*a stands inside of itself"),
        ("a: &a {b: *a}\n", "*a stands inside of itself"),
    ],
    ids=["brackets", "open brackets", "blocks", "billion laughs", "a chain", "a loop", "a loop of mappings"],
)
def test_depth_and_aliases_that_blow_up_are_refused_at_once(tmp_path: Path, study: str, said: str) -> None:
    began = time.monotonic()
    assert said in refusal(tmp_path, study)
    assert time.monotonic() - began < 3


def test_an_alias_is_a_copy_of_what_it_names(tmp_path: Path) -> None:
    study = changed(STUDY, "a: 3.5", "a: &a 3.5") + "  sample: *a\nanalysis: {charges: &c {Li: 1}}\n"
    (point,) = points_of(tmp_path, study)
    assert point.study.protocol.sample == 3.5  # type: ignore[union-attr]


SWEPT = STUDY + "sweep:\n"


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        (
            "  grid:\n    protocol.temperature:\n      - 500\n      - -5\n",
            "19: protocol.temperature: must be greater",
        ),
        (
            "  grid:\n    protocol.temperature: [500, '600']\n",
            '17: protocol.temperature: must be a number, not "600"',
        ),
        (
            "  grid:\n    protocol.temperature: [500, .nan]\n",
            "17: sweep.grid.protocol.temperature.1: must be a finite",
        ),
        (
            "  grid:\n    protocol.temprature: [1]\n",
            "17: protocol.temprature: unknown key; did you mean temperature?",
        ),
        ("  grid:\n    protocol.melt.tim: [1]\n", "17: protocol.melt.tim: unknown key; did you mean time?"),
        (
            "  grid:\n    structure.supercell.0: [1, x]\n",
            '17: structure.supercell.0: must be a whole number, not "x"',
        ),
        ("  grid:\n    structure.masses.Li: [6, -7]\n", "17: structure.masses.Li: must be greater than 0, not -7"),
        ("  grid:\n    structure.masses.Xx: [6]\n", "17: structure.masses.Xx: 'Xx' is not a chemical symbol"),
        ("  grid:\n    structure.scale: [[1]]\n", "17: structure.scale: must be a number, not [1]"),
        ("  grid:\n    structure: [5]\n", "17: structure: must be a mapping (key: value), not 5"),
        ("  grid:\n    protocol.melt: [{temperature: 1}]\n", "17: protocol.melt.time: is missing, and is needed"),
        ("  grid:\n    potential.style: [snap, eam]\n", "17: potential.style: must be one of snap, mliap, pod, uf3,"),
        ("  grid:\n    protocol.name: [diffusion, md]\n", "17: protocol.phase: unknown key; the keys here are"),
        (
            "  grid:\n    protocol.phase:\n    - liquid\n    - crystal\n",
            "19: protocol.melt: has no meaning with phase",
        ),
        ("  grid:\n    protocol.hooks.frozen: [a b]\n", "17: protocol.hooks.frozen: 'a b' can't be a name"),
        (
            '  grid:\n    protocol.hooks.groups.shell: ["a\\nrun 1"]\n',
            r"17: protocol.hooks.groups.shell: the charact",
        ),
        (
            "  zip:\n    protocol.melt.temperature: [8, 9]\n    protocol.melt.time: [1, -1]\n",
            "18: protocol.melt.time: must be greater than 0, not -1",
        ),
    ],
)
def test_a_swept_value_is_refused_at_the_line_of_the_sweep(tmp_path: Path, sweep: str, said: str) -> None:
    assert f"study.yaml:{said}" in refusal(tmp_path, SWEPT + sweep)


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ("  []\n", "15: sweep: must be a mapping (key: value), not []"),
        ("  5\n", "15: sweep: must be a mapping (key: value), not 5"),
        ("  grd: {}\n", "16: sweep.grd: unknown key; did you mean grid?"),
        ("  grid: []\n", "16: sweep.grid: must be a mapping (key: value), not []"),
        ("  grid: {protocol.sample: []}\n", "16: sweep.grid.protocol.sample: must hold at least 1 value, not 0"),
        ("  grid: {protocol.sample: 5}\n", "16: sweep.grid.protocol.sample: must be a list, not 5"),
        ("  replicas: 4\n  until: {diffusion: 0.1}\n", "sweep.replicas: must be from 8 to until.at_most (64)"),
        ("  replicas: 8\n  until: {diffusion: 2}\n", "sweep.until.diffusion: must be less than 1"),
        ("  replicas: 0\n", "16: sweep.replicas: must be at least 1, not 0"),
        ("  replicas: '2'\n", '16: sweep.replicas: must be a whole number, not "2"; write it without quotes'),
        ("  replicas: 2000000\n", "15: sweep: asks for 2,000,000 runs; at most 1,000,000 are taken"),
        (f"  replicas: {10**30}\n", "16: sweep.replicas: must be at most 2147483647"),
        (
            f"  grid: {{protocol.sample: [{', '.join(map(str, range(1, 1500)))}]}}\n  replicas: 1000\n",
            "15: sweep: asks for 1,499,000 runs",
        ),
        ("  grid: {temperature: [1]}\n", "can be swept; did you mean protocol.temperature?"),
        ("  grid: {foo.bar: [1]}\n", "16: sweep.grid.foo.bar: only values of structure, potential and protocol can"),
        ("  grid: {engine.ranks: [1]}\n", "16: sweep.grid.engine.ranks: only values of structure, potential and"),
        ("  grid: {sweep.replicas: [1]}\n", "16: sweep.grid.sweep.replicas: only values of"),
        ("  grid: {seed: [1]}\n", "16: sweep.grid.seed: only values of"),
        ("  grid: {'': [1]}\n", "16: sweep.grid.'': only values of"),
        ("  grid: {protocol.: [1]}\n", "16: sweep.grid.protocol.: only values of"),
        ("  grid: {protocol..a: [1]}\n", "16: sweep.grid.protocol..a: only values of"),
        (
            "  grid: {protocol.temperature.x: [1]}\n",
            "16: sweep.grid.protocol.temperature.x: protocol.temperature is a value, so it has no x",
        ),
        (
            "  grid: {structure.supercell.3: [1]}\n",
            "16: sweep.grid.structure.supercell.3: has no item 3; the list has",
        ),
        ("  grid: {structure.supercell.-1: [1]}\n", "has no item -1; the list has 3, counted from 0"),
        ("  grid: {structure.supercell.²: [1]}\n", "has no item ²; the list has 3, counted from 0"),
        ("  grid: {structure.supercell.00: [1]}\n", "has no item 00; the list has 3, counted from 0"),
        (
            "  grid:\n    protocol.melt: [null]\n    protocol.melt.time: [1]\n",
            "18: sweep.grid.protocol.melt.time: overlaps with protocol.melt: one is a part of the other; keep one",
        ),
        (
            "  grid:\n    protocol.melt.time: [1]\n  zip:\n    protocol: [null]\n",
            "19: sweep.zip.protocol: overlaps with protocol.melt.time",
        ),
        (
            "  grid: {protocol.sample: [1]}\n  zip: {protocol.sample: [2]}\n",
            "17: sweep.zip.protocol.sample: is in grid as well; keep one",
        ),
        (
            "  zip:\n    protocol.temperature: [500, 600]\n    protocol.sample: [1]\n",
            "16: sweep.zip: its lists must be of one length: protocol.temperature has 2, protocol.sample has 1",
        ),
        (
            "  grid: {protocol.sample: [5, 5.0]}\n",
            "16: sweep.grid.protocol.sample.1: asks for a run that the sweep has already; for more set sweep",
        ),
        (
            "  grid:\n    protocol.melt:\n    - null\n    - {temperature: 9, time: 1}\n    - null\n",
            "20: sweep.grid.protocol.melt.2: asks for a run that the sweep has already, as line 18 does",
        ),
    ],
)
def test_a_sweep_that_means_nothing_is_refused(tmp_path: Path, sweep: str, said: str) -> None:
    assert said in refusal(tmp_path, SWEPT + sweep)


@pytest.mark.parametrize(
    ("study", "place"),
    [
        (STUDY.replace("title: t", "title: HERE"), "title"),
        (STUDY.replace("formula: Li", "formula: HERE"), "structure.crystal.formula"),
        (STUDY.replace("type 1", "HERE"), "protocol.hooks.groups.shell"),
        (STUDY.replace("groups: {shell: type 1}", "fixes: {f: HERE}"), "protocol.hooks.fixes.f"),
        (STUDY.replace("groups: {shell: type 1}", "computes: {f: HERE}"), "protocol.hooks.computes.f"),
        (STUDY.replace("groups: {shell: type 1}", "regions: {f: HERE}"), "protocol.hooks.regions.f"),
        (STUDY.replace("groups: {shell: type 1}", "thermo: [HERE]"), "protocol.hooks.thermo.0"),
        (STUDY.replace("groups: {shell: type 1}", "frozen: HERE"), "protocol.hooks.frozen"),
        (STUDY.replace("file: Li.snap", "file: HERE"), "potential.file"),
        (CUSTOM.replace("pair_style zero 5", "HERE"), "potential.lines.0"),
        (CUSTOM.replace("template: t.j2", "template: HERE"), "protocol.template"),
        (CUSTOM.replace("x: 1", "x: HERE"), "protocol.variables.x"),
        (CUSTOM.replace("[Ar]", "[Ar]\n  citation: HERE"), "potential.citation"),
        (CUSTOM.replace("[Ar]", "[HERE]"), "potential.elements.0"),
        (MD.replace("a.cif", "a.cif, format: HERE"), "structure.format"),
    ],
)
def test_nothing_that_lammps_interprets_passes_in_a_value(tmp_path: Path, study: str, place: str) -> None:
    for character in "\n\r\t\v\f'\"`$&#;\\\x1c\x85\u2028\u2029":
        said = refusal(tmp_path, changed(study, "HERE", f'"a\\u{ord(character):04x}shell"'))
        assert re.match(rf"study\.yaml:\d+: {re.escape(place)}: ", said)


@pytest.mark.parametrize("name", ["a b", "a\\nb", "$a", "a.b", "ä", "a'", "", "a" * 65])
@pytest.mark.parametrize("kind", ["groups", "fixes", "computes", "regions"])
def test_nothing_that_lammps_interprets_passes_in_a_name(tmp_path: Path, name: str, kind: str) -> None:
    study = changed(STUDY, "groups: {shell: type 1}", f'{kind}: {{"{name}": all nve x}}')
    assert f"study.yaml:14: protocol.hooks.{kind}." in refusal(tmp_path, study)


def test_people_may_write_titles_and_citations_in_their_script(tmp_path: Path) -> None:
    (point,) = points_of(tmp_path, changed(STUDY, "title: t", "title: Müller – Li₆PS₅Cl, 2026-01-01"))
    assert point.study.title == "Müller – Li₆PS₅Cl, 2026-01-01"
    points_of(tmp_path, changed(CUSTOM, "elements: [Ar]", "elements: [Ar]\n  citation: Müller et al. 12 (2020)"))
