"""Mutated studies: taken, or refused in a sentence; never another exception, never a command that nobody wrote.

LAMPION_FUZZ sets the number of examples; more than a few hundred is for the hunt, not for every day.
"""

import copy
import json
import os
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lampion import deck as decks
from lampion import engine, potential, structure
from lampion.errors import LampionError
from lampion.study import Point, expand, read_document, seeds

EXAMPLES = int(os.environ.get("LAMPION_FUZZ", "300"))

LI = {"crystal": {"lattice": "bcc", "formula": "Li", "a": 3.51}, "supercell": [2, 2, 2]}
AR = {"crystal": {"lattice": "fcc", "formula": "Ar", "a": 5.78}, "masses": {"Ar": 39.9}, "pbc": [True, True, True]}
SI = {"crystal": {"lattice": "diamond", "formula": "Si", "a": 5.43, "cubic": True}, "scale": 1.01}
HOOKS = {
    "regions": {"box": "block EDGE EDGE EDGE EDGE EDGE EDGE"},
    "groups": {"shell": "type 1"},
    "computes": {"mine": "all ke"},
    "fixes": {"spring": "all spring/self 1.0"},
    "thermo": ["c_mine"],
}
STUDIES: list[dict[str, Any]] = [
    {
        "title": "energy of silicon",
        "structure": SI,
        "potential": {"style": "sw", "file": "Si.sw"},
        "protocol": {"name": "static", "hooks": HOOKS},
        "sweep": {"grid": {"structure.scale": [0.99, 1, 1.01]}},
    },
    {
        "structure": SI,
        "potential": {"style": "tersoff", "file": "Si.tersoff"},
        "protocol": {"name": "minimize", "cell": "aniso", "pressure": 10, "force_tolerance": 1e-5, "max_steps": 50},
        "engine": {"ranks": 1, "threads": 2, "timeout": 60},
    },
    {
        "structure": AR,
        "potential": {"style": "lj", "pairs": {"Ar-Ar": [0.0103, 3.4]}, "cutoff": 7.5, "shift": True},
        "protocol": {
            "name": "md",
            "velocities": 100,
            "stages": [
                {"ensemble": "nvt", "time": 1, "temperature": 100, "thermostat": "csvr"},
                {"ensemble": "npt", "time": 1, "temperature": 100, "final_temperature": 120, "pressure": 5},
                {"ensemble": "nve", "time": 1},
            ],
        },
        "sweep": {"zip": {"protocol.stages.0.temperature": [90, 100], "protocol.velocities": [90, 100]}},
    },
    {
        "structure": LI,
        "potential": {"style": "snap", "file": "Li_Zuo_JPCA2020.snap"},
        "protocol": {
            "name": "diffusion",
            "phase": "liquid",
            "temperature": 600,
            "mobile": ["Li"],
            "melt": {"temperature": 900, "time": 1.5},
            "sample": 8,
            "timestep": 0.002,
            "hooks": {"groups": {"shell": "type 1"}, "frozen": None},
        },
        "sweep": {"grid": {"protocol.temperature": [500, 600], "protocol.melt.time": [1, 2]}, "replicas": 2},
        "analysis": {"window": [1, 4], "hop_length": 2.5},
        "seed": 2026,
    },
    {
        "structure": AR,
        "potential": {
            "style": "custom",
            "lines": ["pair_style lj/cut 7.5", "pair_coeff {Ar} {Ar} 0.0103 3.4", "pair_modify shift yes"],
            "elements": ["Ar", "Ne"],
            "citation": "Müller (2020)",
        },
        "protocol": {"name": "custom", "template": "mine.j2", "variables": {"x": 1.5, "word": "all", "on": True}},
        "sweep": {"grid": {"protocol.variables.x": [1, 2]}},
    },
]
TEMPLATE = (
    "{{ header }}\nunits metal\nread_data structure.data\n{% for c in potential.commands %}\n{{ c }}\n{% endfor %}"
)
TEMPLATE += "\nvelocity all create {{ x }} {{ seed('v') }}\ngroup g union {{ word }}\n{% if on %}run 0\n{% endif %}\n"

NASTY = [
    "", " ", "a\nshell SMUGGLED", "a\r\nshell SMUGGLED", "${x}", "$(2+2)", "a &", "a # b", "'", '"""', '"', "`id`",
    "\\", "a;b", "\u2028shell SMUGGLED", "\x0bshell SMUGGLED", "\x85shell SMUGGLED", "“x”", "\u00a0", "\ufeff",
    "\x00", "\x1b[2J", "../../etc/passwd", "/dev/null", "~", ".", "..", "a/b", "a b", "500", "500 K", "1e5", "nan",
    "inf", "true", "null", "{{ 7 * 7 }}", "{% raw %}", "{Ar}", "{elements}", "{", "%s%n", "é", "Ω", "🔥", "x" * 3000,
    "shell ls", "include x", "Li", "Xx", "liquid", "custom", "all", "protocol.temperature", "__class__", "name",
]  # fmt: skip
NUMBERS = [
    0, -0.0, 1, -1, 2, 0.5, 1e-320, 1e-300, 1e-12, 1e12, 1e300, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**40, -(10**40),
    float("inf"), float("nan"), True, False,
]  # fmt: skip
SMUGGLES = [
    "", "\nshell SMUGGLED", "\r\nshell SMUGGLED", "\x0bshell SMUGGLED", "\x85shell SMUGGLED", "\u2028shell SMUGGLED",
    "\n\n# SMUGGLED", " &", " $(2+2)", " ${x}", ' """', " “”", " # SMUGGLED", "{{ 7 * 7 }}", "\nrun 10 # SMUGGLED",
]  # fmt: skip
PIECES = [
    b"\n", b"\t", b"\r", b" ", b"- ", b": ", b"#", b"&a ", b"*a", b"!!str ", b"<<: ", b"? ", b"|", b"---\n", b"...\n",
    b"%", b"[", b"{", b"'", b'"', b"\xef\xbb\xbf", b"\xc2\x85", b"@", b"`", b"~",
]  # fmt: skip
OTHER: list[Any] = [None, [], {}, [[]], {"a": 1}, [1, 2, 3], ["Li"], {"name": "md"}, {"1": "Li"}, [None]]

INTERNALS = re.compile(r"Traceback|pydantic|dataclass|NoneType|[Tt]uple|dictionary|validation|<class|object at 0x")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where every value below the top stands."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def value_from(chance: random.Random) -> Any:
    text = "".join(chr(chance.choice([chance.randrange(128), chance.randrange(0xD7FF)])) for _ in range(5))
    return copy.deepcopy(chance.choice([*NASTY, *NUMBERS, *OTHER, text]))


def mutate(study: dict[str, Any], chance: random.Random) -> None:
    """Delete, rename, retype, swap or add one thing."""
    *above, key = chance.choice(list(places(study)))
    parent: Any = study
    for part in above:
        parent = parent[part]
    match chance.choice(["set", "set", "set", "nudge", "nudge", "nudge", "delete", "rename", "swap", "add", "wrap"]):
        case "nudge" if isinstance(parent[key], str):
            parent[key] += chance.choice(["", " ", "_", "1"]) + chance.choice(NASTY)
        case "nudge" if isinstance(parent[key], int | float):
            parent[key] *= chance.choice([0.5, 0.999, 1, 1.001, 2, 10, 1e6, -1])
        case "set":
            parent[key] = value_from(chance)
        case "delete":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            parent[chance.choice([chance.choice(NASTY), str(key)[::-1], f"{key}s"])] = parent.pop(key)
        case "swap":
            value: Any = study
            for part in chance.choice(list(places(study))):
                value = value[part]
            parent[key] = copy.deepcopy(value)
        case "add" if isinstance(parent, dict):
            parent[chance.choice(NASTY)] = value_from(chance)
        case _:
            parent[key] = [parent[key]]


def judged(folder: Path, text: bytes) -> list[Point]:
    """Return the runs of a study, or none where it is refused as it should be."""
    path = folder / "study.yaml"
    path.write_bytes(text)
    try:
        return expand(read_document(path))
    except LampionError as error:
        sentence = str(error)
    assert sentence.isprintable(), repr(sentence)
    assert not INTERNALS.search(sentence), sentence
    assert re.match(rf"{re.escape(str(path))}(:\d+)?: \S", sentence), sentence
    assert len(sentence) < 900 + len(str(path)), sentence
    return []


COMMANDS = """
    units atom_style atom_modify boundary newton read_data group region compute fix unfix fix_modify neighbor
    neigh_modify timestep thermo thermo_style thermo_modify velocity run minimize min_style min_modify dump
    dump_modify undump write_restart write_data write_dump reset_timestep change_box variable mass pair_style
    pair_coeff pair_modify kspace_style kspace_modify special_bonds
"""


def check_deck(point: Point, folder: Path) -> None:
    """Render the deck of a run that was taken, and look at each of its lines."""
    study = point.study
    try:
        built = structure.build(study.structure, folder)
        placement = structure.place(built.atoms)
        symbols = list(built.atoms.get_chemical_symbols())
        pair = potential.resolve(
            study.potential,
            placement.species,
            {e: symbols.count(e) for e in set(symbols)},
            all(placement.periodic),
            folder,
            engine.find(engine.Engine()).potentials,
        )
        header = "\n".join([study.title, *(f"{name} = {value}" for name, value in point.values.items())])
        deck = decks.render(
            placement=placement,
            potential=pair,
            protocol=study.protocol,
            seed=seeds(1, point),
            header=header,
            folder=folder,
        )
    except LampionError as error:
        refused = str(error)
    else:
        refused = ""
    assert not refused or refused.isprintable(), repr(refused)
    assert not INTERNALS.search(refused), refused
    if refused:
        return
    text = deck.files[decks.DECK]
    assert "SMUGGLED" not in "".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in text.split("\n"):
        if line and not line.startswith("#"):
            assert line.split()[0] in COMMANDS.split(), line
            assert line.isascii(), line
        assert line.isprintable(), repr(line)
        assert not line.endswith("&"), line
        assert '"""' not in line, line


QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="LAMPION_FUZZ" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_studies_that_are_mutated_are_good_and_so_are_their_decks(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text(TEMPLATE)
    for study in STUDIES:
        points = judged(tmp_path, json.dumps(study).encode())
        assert points
        for point in points:
            check_deck(point, tmp_path)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study["protocol"]["name"])
def test_no_text_anywhere_in_a_study_smuggles_a_command_into_its_deck(tmp_path: Path, study: dict[str, Any]) -> None:
    (tmp_path / "mine.j2").write_text(TEMPLATE)
    taken = 0
    for *above, key in places(study):
        changed = copy.deepcopy(study)
        parent: Any = changed
        for part in above:
            parent = parent[part]
        text = parent[key]
        if isinstance(text, str):
            for tail in SMUGGLES:
                parent[key] = text + tail
                for point in judged(tmp_path, json.dumps(changed).encode())[:1]:
                    check_deck(point, tmp_path)
                    taken += 1
    assert taken, "nothing reached a deck, so nothing was tested"


@QUICK
@given(number=st.integers(0, 2**48))
def test_a_mutated_study_is_taken_or_refused_in_a_sentence_and_smuggles_nothing(number: int) -> None:
    chance = random.Random(number)  # noqa: S311
    base = chance.choice(STUDIES)
    study = copy.deepcopy(base)
    for _ in range(chance.choice([1, 1, 2, 3])):
        if study:
            mutate(study, chance)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine.j2").write_text(TEMPLATE)
        # JSON is YAML, except for its names of what is not finite.
        text = re.sub(r"(?<![\"\w])(-?)Infinity", r"\1.inf", json.dumps(study, indent=1)).replace(": NaN", ": .nan")
        points = judged(folder, text.encode())
        # Only structures that are as before: how large a cell may be is another test's business.
        for point in points[:2]:
            if study.get("structure") == base["structure"] and "structure" not in str(study.get("sweep")):
                check_deck(point, folder)


@QUICK
@given(draw=st.data())
def test_a_study_with_broken_text_is_taken_or_refused_in_a_sentence(draw: st.DataObject) -> None:
    base = draw.draw(st.sampled_from(STUDIES))
    text = bytearray(json.dumps(base, indent=1, ensure_ascii=False).encode())
    if draw.draw(st.booleans()):
        # Block style, where blanks and lines mean something.
        text = bytearray(re.sub(rb'[{}",]', b"", bytes(text)))
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(text)))
        if draw.draw(st.booleans()):
            del text[at : at + draw.draw(st.integers(1, 30))]
        else:
            piece = st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(PIECES))
            text[at:at] = draw.draw(piece)
    with tempfile.TemporaryDirectory() as name:
        judged(Path(name), bytes(text))
