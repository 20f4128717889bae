"""At the command line a wrong input is one sentence on stderr and exit status 2, and nothing is written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from lampion import cli
from lampion.study import read_document

STUDY = """\
structure: {crystal: {lattice: fcc, formula: Ar, a: 5.78}}
potential: {style: lj, pairs: {Ar-Ar: [0.0103, 3.4]}, cutoff: 5}
protocol: {name: static}
seed: 1
"""
HEAVY = ("numpy", "pandas", "ase", "jinja2", "scipy", "matplotlib", "pyarrow", "spglib", "numba")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lampion(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs the command line in this process, and returns exit status, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lampion", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    return call


def study_in(folder: Path, text: str = STUDY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def refused(result: tuple[int, str, str]) -> str:
    """Return the sentence of a refusal, after a look at its form."""
    code, out, err = result
    assert (code, out) == (2, ""), err
    assert re.fullmatch(r"lampion: [^\n]+\n", err), err
    assert "Traceback" not in err
    return err


def commands(group: Any = None, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every command, and the groups that lead to it."""
    group = typer.main.get_command(cli.app) if group is None else group
    yield above
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*above, name))


def test_help_of_every_command_imports_nothing_heavy() -> None:
    code = f"""
import sys
from lampion.cli import main
for words in {[[*words, "--help"] for words in commands()]!r} + [["-h"], ["--version"]]:
    sys.argv = ["lampion", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    assert not heavy, (words, heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in ("run", "render", "status", "report", "analyze", "schema", "doctor"):
        assert words in done.stdout


@pytest.mark.parametrize(
    "words", [(), ("analyze",), ("nope",), ("run",), ("run", "--nope", "x"), ("analyze", "diffusion")]
)
def test_a_command_that_is_none_exits_with_2(lampion: Call, words: tuple[str, ...]) -> None:
    code, out, err = lampion(*words)
    assert code == 2
    assert "Traceback" not in out + err


@pytest.mark.parametrize("command", ["run", "render", "status", "report"])
def test_a_bad_study_is_one_sentence_and_writes_nothing(lampion: Call, tmp_path: Path, command: str) -> None:
    path = study_in(tmp_path / "s", STUDY.replace("5.78", "-5"))
    said = refused(lampion(command, path))
    assert said == f"lampion: {path}:1: structure.crystal.a: must be at least 0.5, not -5\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lj, pairs", "lj, shift: true, pairs", None),
        ("Ar-Ar: [0.0103, 3.4]", "Ne-Ne: [0.0103, 3.4]", "potential.pairs: has no Ar-Ar; give its parameters"),
        ("{style: lj, pairs: {Ar-Ar: [0.0103, 3.4]}, cutoff: 5}", "{style: sw, file: none.sw}", "no such potential"),
        (
            "{style: lj, pairs: {Ar-Ar: [0.0103, 3.4]}, cutoff: 5}",
            "{style: sw, file: ./none.sw}",
            "no such potential",
        ),
        ("{style: lj, pairs: {Ar-Ar: [0.0103, 3.4]}, cutoff: 5}", "{style: sw, file: Si.sw}", "has no Ar"),
        ("crystal: {lattice: fcc, formula: Ar, a: 5.78}", "file: none.cif", "none.cif"),
        ("name: static", "name: custom, template: none.j2", "none.j2: no such template"),
        ("seed: 1", "engine: {lmp: /no/such/lmp}", "/no/such/lmp: no such executable (from engine.lmp of the study)"),
        ("seed: 1", "engine: {lmp: /dev/null}", "/dev/null"),
        ("seed: 1", f"engine: {{lmp: {sys.executable}}}", "does not answer -h as LAMMPS does"),
        ("seed: 1", "engine: {ranks: 2, mpiexec: /no/mpiexec}", "/no/mpiexec: no such executable (engine.mpiexec"),
    ],
)
def test_what_is_wrong_beyond_the_study_is_refused_before_lammps_runs(
    lampion: Call, tmp_path: Path, old: str, new: str, words: str | None
) -> None:
    path = study_in(tmp_path / "s", STUDY.replace(old, new))
    if words is None:
        assert lampion("status", path)[0] == 0
        return
    assert words in refused(lampion("run", path))
    assert list(path.parent.iterdir()) == [path]


def test_a_study_that_is_not_there_is_refused(lampion: Call, tmp_path: Path) -> None:
    assert "none.yaml: can't be read: No such file" in refused(lampion("run", tmp_path / "none.yaml"))
    assert "can't be read: Is a directory" in refused(lampion("run", tmp_path))
    (tmp_path / "study.yaml").write_bytes(b"\x00\xff")
    assert "is no UTF-8 text" in refused(lampion("run", tmp_path / "study.yaml"))


def test_a_study_works_from_any_folder(lampion: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = study_in(tmp_path / "a folder/ü")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    code, out, _ = lampion("render", "../a folder/ü/study.yaml", "-o", "decks")
    assert code == 0
    assert "decks/0001" in out
    assert (elsewhere / "decks/0001/in.lammps").is_file()
    assert {p.name for p in path.parent.iterdir()} == {"study.yaml", "study.lock.json"}
    assert "exists already; choose another --output" in refused(lampion("render", path, "-o", "decks"))
    monkeypatch.chdir(path.parent)
    assert lampion("status", "study.yaml")[0] == 0


def test_a_failed_run_exits_with_1_and_its_cause_on_stderr(lampion: Call, tmp_path: Path) -> None:
    path = study_in(tmp_path, STUDY.replace("name: static", "name: custom, template: t.j2"))
    (tmp_path / "t.j2").write_text("units metal\nnonsense\n")
    code, _, err = lampion("run", path)
    assert code == 1
    assert "Unknown command: nonsense" in err
    assert "Traceback" not in err


def test_a_closed_pipe_is_quiet() -> None:
    for words in (["schema"], ["--help"]):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as closed:
            command = [sys.executable, "-c", "from lampion.cli import main; main()", *words]
            done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode != 0
        assert done.stderr == ""


def spoilt_runs(path: Path) -> None:
    (path.parent / "runs").touch()


def spoilt_lock(path: Path) -> None:
    (path.parent / "study.lock.json").mkdir()


@pytest.mark.parametrize(("kind", "line"), [("fixes", "all nosuch 1"), ("computes", "all nosuch")])
def test_a_hook_of_a_style_that_this_lammps_lacks_is_refused_before_it_starts(
    lampion: Call, tmp_path: Path, kind: str, line: str
) -> None:
    hooks = f"{{{kind}: {{mine: {line}}}}}"
    text = "structure: {crystal: {lattice: diamond, formula: Si, a: 5.43}}\npotential: {style: sw, file: Si.sw}\n"
    path = study_in(tmp_path, text + f"protocol: {{name: static, hooks: {hooks}}}\n")
    said = refused(lampion("run", path))
    assert f"hooks.{kind}.mine: this LAMMPS has no {kind.removesuffix('es').removesuffix('s')}" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("spoil", [spoilt_runs, spoilt_lock])
def test_a_file_where_a_folder_belongs_is_a_sentence(
    lampion: Call, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = study_in(tmp_path)
    spoil(path)
    refused(lampion("run", path))


def test_decks_in_a_folder_that_is_a_file_are_refused(lampion: Call, tmp_path: Path) -> None:
    path = study_in(tmp_path)
    refused(lampion("render", path, "-o", path))


def test_a_full_disk_is_a_sentence() -> None:
    command = [sys.executable, "-c", "from lampion.cli import main; main()", "schema"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "lampion: the output can't be written: No space left on device\n"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("", "is damaged or no file of Lampion's"),
        ("x", "is damaged or no file of Lampion's"),
        ("{}", "is damaged or no file of Lampion's"),
        ("[]", "is damaged or no file of Lampion's"),
        ('{"format": 99}', "has format 99, newer than 1, which this Lampion knows; upgrade lampion"),
        ('{"format": 1, "lammps": "other", "root_seed": 1}', "this study began with LAMMPS other"),
        ('{"format": 1}', "is damaged or no file of Lampion's"),
        ('{"format": "1"}', "is damaged or no file of Lampion's"),
    ],
)
def test_a_damaged_lock_file_is_a_sentence(lampion: Call, tmp_path: Path, record: str, words: str) -> None:
    path = study_in(tmp_path)
    (tmp_path / "study.lock.json").write_text(record)
    said = refused(lampion("status", path))
    assert "study.lock.json: " in said
    assert words in said


# ---- analyze diffusion --------------------------------------------------------------------------


def dump(path: Path, columns: str = "xu yu zu", frames: int = 200, wrapped: bool = False) -> Path:
    """Write a random walk of 20 atoms in a box of 10 Å."""
    rng = np.random.default_rng(0)
    walk = rng.random((20, 3)) * 10 + np.cumsum(rng.normal(size=(frames, 20, 3)) * 0.3, axis=0)
    walk = walk % 10 if wrapped else walk
    lines = []
    for step, frame in enumerate(walk):
        lines += [f"ITEM: TIMESTEP\n{10 * step}\nITEM: NUMBER OF ATOMS\n20\nITEM: BOX BOUNDS pp pp pp"]
        lines += ["0 10"] * 3 + [f"ITEM: ATOMS id type {columns}"]
        lines += [f"{i} 1 {x:.6f} {y:.6f} {z:.6f}" for i, (x, y, z) in enumerate(frame, 1)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dump(tmp_path_factory.mktemp("walk") / "walk.dump")


KNOWN = ("--types", "1=Li", "--timestep", "0.001")


def test_a_good_dump_is_analysed(lampion: Call, walk: Path) -> None:
    code, out, err = lampion("analyze", "diffusion", walk, *KNOWN)
    assert (code, err) == (0, "")
    assert "D(Li) = " in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "bad.dump is empty"),
        (b"hello\n", "is not a LAMMPS text dump"),
        (bytes(range(256)) * 20, "is neither a text dump nor a binary one"),
        (b"ITEM: TIMESTEP\n0\n", "there is no complete frame of atoms"),
        (b"ITEM: TIMESTEP\nx\nITEM: NUMBER OF ATOMS\n1\n", "bad.dump"),
        (b"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n-5\n", "bad.dump"),
        (b"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n99999999999\n", "bad.dump"),
        (b"\x1f\x8b\x08\x00garbage", "bad.dump"),
        (STUDY.encode(), "is not a LAMMPS text dump"),
    ],
)
def test_a_dump_that_is_none_is_refused(lampion: Call, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.dump").write_bytes(content)
    assert words in refused(lampion("analyze", "diffusion", tmp_path / "bad.dump", *KNOWN))


def test_a_dump_that_is_not_there_is_refused(lampion: Call, tmp_path: Path) -> None:
    assert "No such file" in refused(lampion("analyze", "diffusion", tmp_path / "none.dump", *KNOWN))
    assert "Is a directory" in refused(lampion("analyze", "diffusion", tmp_path, *KNOWN))


def test_a_wrapped_dump_is_refused(lampion: Call, tmp_path: Path) -> None:
    path = dump(tmp_path / "wrapped.dump", "x y z", wrapped=True)
    said = refused(lampion("analyze", "diffusion", path, *KNOWN))
    assert "x y z are wrapped and there are no image flags" in said
    assert "xu yu zu" in said
    assert lampion("analyze", "diffusion", path, *KNOWN, "--unwrap", "minimum_image")[0] == 0


@pytest.mark.parametrize("spoil", ["nan", "inf", "x", "1e999", "\0"])
def test_a_number_that_is_none_is_refused_with_its_line(
    lampion: Call, tmp_path: Path, walk: Path, spoil: str
) -> None:
    lines = walk.read_text().splitlines()
    lines[40] = " ".join([*lines[40].split()[:2], spoil, *lines[40].split()[3:]])
    path = tmp_path / "bad.dump"
    path.write_text("\n".join(lines) + "\n")
    assert "bad.dump:" in refused(lampion("analyze", "diffusion", path, *KNOWN))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--types", "x", "--timestep", "1"), "--types 'x': write it as 1=Li,2=S"),
        (("--types", "2=Li", "--timestep", "1"), "no species for type 1; give --types 1=Li,"),
        (("--timestep", "0.001"), "no species for type 1; give --types 1=Li,"),
        (("--types", "1=Li"), "give --timestep 0.001 (ps)"),
        ((*KNOWN, "--units", "imperial"), "--units 'imperial': must be one of metal real"),
        ((*KNOWN, "--charges", "Li=1"), "--charges: a conductivity needs --temperature as well"),
        ((*KNOWN, "--temperature", "300"), "--temperature: a conductivity needs --charges as well"),
        ((*KNOWN, "--charges", "Li", "--temperature", "300"), "--charges 'Li': write it as Na=1,Cl=-1"),
        ((*KNOWN, "--charges", "Na=1", "--temperature", "300"), "--charges Na: the dump has Li"),
        ((*KNOWN, "--independent"), "--independent: needs two dumps or more"),
        ((*KNOWN, "--hop-length", "0"), "--hop-length 0: must lie between 0.1 and 100"),
        ((*KNOWN, "--hop-length", "1e300"), "--hop-length 1e+300: must lie between 0.1 and 100"),
        (("--types", "1=Li", "--timestep", "1e300"), "--timestep 1e+300: must lie between"),
        ((*KNOWN, "--charges", "Li=0", "--temperature", "300"), "not all zero"),
        ((*KNOWN, "--framework", "Li"), "--framework Li: are all elements of the dump"),
        ((*KNOWN, "--mobile", ""), "--mobile '': write elements"),
        ((*KNOWN, "--mobile", "Li", "--framework", "Li"), "--framework Li: is among --mobile as well"),
        (("--types", "1=Li", "--timestep", "-1"), "--timestep -1: must lie between 1e-09 and 1000"),
        (("--types", "1=Li", "--timestep", "nan"), "--timestep nan: must lie between"),
        ((*KNOWN, "--mobile", "Na"), "--mobile Na: the dump has Li"),
        ((*KNOWN, "--framework", "Na"), "--framework Na: the dump has Li"),
        ((*KNOWN, "--unwrap", "no"), "--unwrap 'no': must be auto or minimum_image"),
        ((*KNOWN, "--types", "1=Xx"), "Xx"),
    ],
)
def test_an_argument_of_analyze_that_is_wrong_is_refused(
    lampion: Call, walk: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(lampion("analyze", "diffusion", walk, *words))


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("5", "write it in ps as 5:50"),
        ("a:b", "write it in ps as 5:50"),
        ("5:1", "the start must lie before the end"),
        ("nan:nan", "the start must lie before the end"),
        ("1e9:1e10", "end the window earlier"),
        ("0:inf", "--window"),
    ],
)
def test_a_window_that_is_none_is_refused(lampion: Call, walk: Path, window: str, said: str) -> None:
    code, _, err = lampion("analyze", "diffusion", walk, *KNOWN, "--window", window)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_one_dump_given_twice_is_refused(lampion: Call, walk: Path) -> None:
    said = refused(lampion("analyze", "diffusion", walk, walk, *KNOWN, "--independent"))
    assert "walk.dump: is given twice, and would count twice" in said


def test_options_are_judged_before_the_dump_is_read(lampion: Call, tmp_path: Path) -> None:
    """A dump of gigabytes is not read for an answer that a glance at the options gives."""
    gone = tmp_path / "none.dump"
    (tmp_path / "file").touch()
    for words, said in (
        (("--window", "5"), "--window"),
        (("--unwrap", "no"), "--unwrap"),
        (("--types", "x"), "--types"),
        (("--mobile", "Li,Li"), "--mobile"),
        (("-o", tmp_path / "file"), "--output"),
    ):
        assert said in refused(lampion("analyze", "diffusion", gone, *words))


def test_a_dump_of_few_frames_is_told_of_as_far_as_it_goes(lampion: Call, tmp_path: Path) -> None:
    """Planted: the phase, which needs 20 frames, lost the whole account."""
    path = dump(tmp_path / "few.dump", frames=18)
    code, out, err = lampion("analyze", "diffusion", path, *KNOWN, "-o", tmp_path / "out")
    assert code == 2
    assert "18 frames over" in out
    assert "whether Li is solid or liquid can't be told" in out
    assert "no D of Li: 18 frames cut into" in err
    assert "phases" in json.loads((tmp_path / "out/diffusion.json").read_text())


def test_the_json_of_a_dump_at_rest_is_json(lampion: Call, tmp_path: Path) -> None:
    """Planted: the log-log slope of a flat MSD is not a number, and JSON has none."""
    path = dump(tmp_path / "a.dump")
    lines = path.read_text().splitlines()
    still = lines[:29] * 200
    still = [str(10 * (i // 29)) if i % 29 == 1 else line for i, line in enumerate(still)]
    path.write_text("\n".join(still) + "\n")
    code, _, err = lampion("analyze", "diffusion", path, *KNOWN, "-o", tmp_path / "out")
    assert code == 2
    assert "MSD does not grow" in err

    def refuse(word: str) -> None:
        raise AssertionError(word)

    record = json.loads((tmp_path / "out/diffusion.json").read_text(), parse_constant=refuse)
    assert record["Li"]["D"] is None
    assert record["Li"]["log_slope"] is None


def test_an_output_of_analyze_that_is_a_file_is_refused(lampion: Call, walk: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = lampion("analyze", "diffusion", walk, *KNOWN, "-o", tmp_path / "file")
    assert code == 2
    assert err.count("\n") == 1


# ---- schema -------------------------------------------------------------------------------------


def accepts(whole: dict[str, Any], node: dict[str, Any], value: Any) -> bool:
    """Judge `value` by the words of JSON Schema that our schema uses."""
    if "$ref" in node:
        return accepts(whole, whole["$defs"][node["$ref"].removeprefix("#/$defs/")], value)
    if any(not any(accepts(whole, one, value) for one in node[word]) for word in ("anyOf", "oneOf") if word in node):
        return False
    if "const" in node and value != node["const"]:
        return False
    if "enum" in node and value not in node["enum"]:
        return False
    kinds: dict[str, tuple[type, ...]] = {
        "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
        "integer": (int,), "number": (int, float),
    }  # fmt: skip
    if "type" in node and (
        not isinstance(value, kinds[node["type"]]) or (isinstance(value, bool) and node["type"] != "boolean")
    ):
        return False
    if isinstance(value, dict):
        if set(node.get("required", ())) - set(value):
            return False
        for key, child in value.items():
            forms = [one for form, one in node.get("patternProperties", {}).items() if re.search(form, key)]
            one = node.get("properties", {}).get(key, forms[0] if forms else node.get("additionalProperties", True))
            if not (one if isinstance(one, bool) else accepts(whole, one, child)):
                return False
        return True
    if isinstance(value, list):
        first = node.get("prefixItems", [])
        items = [*first, *[node.get("items", {})] * (len(value) - len(first))]
        counts = node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value))
        return counts and all(accepts(whole, one, child) for one, child in zip(items, value, strict=False))
    if isinstance(value, int | float):
        return (
            node.get("minimum", value) <= value <= node.get("maximum", value)
            and not value <= node.get("exclusiveMinimum", value - 1)
            and not value >= node.get("exclusiveMaximum", value + 1)
        )
    return not isinstance(value, str) or bool(re.search(node.get("pattern", ""), value))


@pytest.fixture
def schema(lampion: Call) -> dict[str, Any]:
    code, out, err = lampion("schema")
    assert (code, err) == (0, "")
    printed: dict[str, Any] = json.loads(out)
    return printed


def test_the_schema_is_whole_and_knows_no_other_keys(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["required"]) == {"structure", "potential", "protocol"}
    named = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(schema)))
    assert named == set(schema["$defs"])
    for name, part in [("Study", schema), *schema["$defs"].items()]:
        if part.get("type") == "object":
            assert part["additionalProperties"] is False, name
    assert schema["properties"]["seed"]["description"]


def test_the_schema_takes_the_studies_that_lampion_takes(schema: dict[str, Any]) -> None:
    examples = sorted((Path(__file__).parents[1] / "examples").glob("*/study.yaml"))
    assert examples
    for path in examples:
        values = json.loads(json.dumps(read_document(path).values))
        assert accepts(schema, schema, values), path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a: 5.78", "a: -1"),
        ("a: 5.78", 'a: "5"'),
        ("a: 5.78", "b: 5"),
        ("name: static", "name: statc"),
        ("style: lj", "style: l"),
        ("seed: 1", "sed: 1"),
        ("seed: 1", "seed: 1.5"),
        ("seed: 1", "engine: {ranks: 0}"),
        ("seed: 1", "sweep: {grid: {protocol.temperature: []}}"),
        ("name: static", 'name: static, hooks: {groups: {"a b": all}}'),
    ],
)
def test_the_schema_refuses_what_lampion_refuses(schema: dict[str, Any], tmp_path: Path, old: str, new: str) -> None:
    assert accepts(schema, schema, read_document(study_in(tmp_path)).values)
    assert not accepts(schema, schema, read_document(study_in(tmp_path, STUDY.replace(old, new))).values)
