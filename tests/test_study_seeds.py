"""A sweep combines as it says, and no run's seeds depend on what else a study asks for."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lampion.study import Point, expand, read_document, seeds
from lampion.study.points import MAX_SEED

STUDY: dict[str, Any] = {
    "title": "a study",
    "structure": {"crystal": {"lattice": "fcc", "formula": "Ar", "a": 5.3}},
    "potential": {"style": "lj", "pairs": {"Ar-Ar": [0.01, 3.4], "Ar-Ne": [0.007, 3.0]}, "mix": "geometric"},
    "protocol": {"name": "diffusion", "phase": "liquid", "temperature": 100},
    "sweep": {"grid": {"protocol.temperature": [90, 100, 110]}, "replicas": 2},
    "seed": 7,
}
NAMES = ("velocities", "equilibrate", "sample")


def points_of(folder: Path, study: dict[str, Any]) -> list[Point]:
    folder.mkdir(exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(json.dumps(study))  # JSON is YAML
    return expand(read_document(path))


def study_with(**changes: Any) -> dict[str, Any]:
    """Return a copy of the study with values at dotted names (written with __) replaced, or removed where None."""
    study: dict[str, Any] = json.loads(json.dumps(STUDY))
    for name, value in changes.items():
        *path, last = name.split("__")
        node = study
        for part in path:
            node = node.setdefault(part, {})
        if value is None:
            del node[last]
        else:
            node[last] = value
    return study


def streams(points: list[Point], root: int = 7) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Return each run's seeds by its swept values and replica."""
    return {
        (*sorted((n, str(v)) for n, v in point.values.items()), point.replica): tuple(
            seeds(root, point)(name) for name in NAMES
        )
        for point in points
    }


def test_a_study_without_sweep_is_one_run(tmp_path: Path) -> None:
    for study in (study_with(sweep=None), study_with(sweep={}), {**STUDY, "sweep": None}):
        (point,) = points_of(tmp_path, study)
        assert (dict(point.values), point.replica) == ({}, 1)


def test_grid_gives_every_combination_in_the_order_of_its_lists(tmp_path: Path) -> None:
    lists = {"protocol.temperature": [100, 90], "protocol.pressure": [0, 1, 2], "structure.scale": [1, 1.1]}
    points = points_of(tmp_path, study_with(sweep={"grid": lists, "replicas": 3}))
    wanted = [(*row, r) for row in itertools.product(*lists.values()) for r in (1, 2, 3)]
    assert [(*p.values.values(), p.replica) for p in points] == wanted
    assert (
        [(p.study.protocol.temperature, p.study.protocol.pressure, p.study.structure.scale) for p in points]
        == [  # type: ignore[union-attr]
            row[:3] for row in wanted
        ]
    )


def test_zip_takes_first_with_first_and_multiplies_with_grid(tmp_path: Path) -> None:
    sweep = {
        "zip": {"protocol.temperature": [90, 100], "protocol.sample": [5, 6]},
        "grid": {"protocol.pressure": [0, 1]},
    }
    points = points_of(tmp_path, study_with(sweep=sweep))
    assert [(p.values["protocol.pressure"], p.values["protocol.temperature"]) for p in points] == [
        (0, 90), (0, 100), (1, 90), (1, 100),
    ]  # fmt: skip
    assert all(p.study.protocol.sample == {90: 5, 100: 6}[p.values["protocol.temperature"]] for p in points)  # type: ignore[union-attr]


def test_a_sweep_makes_what_the_study_leaves_out_and_replaces_whole_blocks(tmp_path: Path) -> None:
    melts = [None, {"temperature": 300, "time": 1}]
    points = points_of(tmp_path, study_with(sweep={"grid": {"protocol.melt": melts}}))
    assert [p.study.protocol.melt is None for p in points] == [True, False]  # type: ignore[union-attr]
    sweep = {"zip": {"protocol.melt.temperature": [300, 400], "protocol.melt.time": [1, 2]}}
    for base in (study_with(sweep=sweep), study_with(sweep=sweep, protocol__melt={"temperature": 1, "time": 1})):
        melts = [p.study.protocol.melt for p in points_of(tmp_path, base)]  # type: ignore[union-attr]
        assert [(m.temperature, m.time) for m in melts] == [(300, 1), (400, 2)]
    base = study_with(structure__supercell=[2, 2, 2], sweep={"grid": {"structure.supercell.2": [2, 3]}})
    assert [p.study.structure.supercell for p in points_of(tmp_path, base)] == [(2, 2, 2), (2, 2, 3)]


def test_one_point_never_leaks_into_the_next(tmp_path: Path) -> None:
    sweep = {"grid": {"protocol.hooks": [{"thermo": ["ke"]}, {}], "potential.pairs.Ar-Ne": [[1, 2], [3, 4]]}}
    points = points_of(tmp_path, study_with(sweep=sweep))
    assert [(p.study.protocol.hooks.thermo, p.study.potential.pairs["Ar-Ne"]) for p in points] == [  # type: ignore[union-attr]
        (("ke",), (1, 2)), (("ke",), (3, 4)), ((), (1, 2)), ((), (3, 4)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"title": "other words"},
        {"engine__ranks": 4},
        {"engine__timeout": 5},
        {"analysis__hop_length": 3},
        {"analysis__window": [1, 2]},
        {"sweep__replicas": 5},
        {"sweep__grid": {"protocol.temperature": [80, 90, 95, 100, 110, 120]}},
        {"sweep__grid": {"protocol.temperature": [110, 100, 90]}},
        {"protocol__timestep": 0.001},
        {"protocol__temperature": 300},
        {"protocol__hooks": {}},
        {"protocol__hooks": {"groups": {}, "thermo": []}},
        {"protocol__pressure": 0.0},
        {"structure__supercell": [1, 1, 1]},
        {"structure__scale": 1},
        {"structure__crystal__cubic": True},
        {"structure__crystal__a": 5.30},
        {"potential__cutoff": 10},
        {"potential__kspace": {"style": "pppm"}},
        {"potential__pairs": {"Ar-Ne": [0.007, 3], "Ar-Ar": [0.01, 3.4]}},
    ],
    ids=str,
)
def test_what_changes_no_run_changes_no_seed(tmp_path: Path, change: dict[str, Any]) -> None:
    before = streams(points_of(tmp_path, STUDY))
    after = streams(points_of(tmp_path, study_with(**change)))
    shared = before.keys() & after.keys()
    assert len(shared) == 6
    assert all(before[run] == after[run] for run in shared)


def test_the_order_of_keys_and_lists_changes_no_seed(tmp_path: Path) -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: backwards(child) for key, child in reversed(value.items())}
        return value

    sweep = {"grid": {"protocol.temperature": [90, 100], "protocol.pressure": [0, 1]}, "replicas": 2}
    before = streams(points_of(tmp_path, study_with(sweep=sweep)))
    assert streams(points_of(tmp_path, backwards(study_with(sweep=sweep)))) == before
    turned = {"grid": {"protocol.pressure": [1, 0], "protocol.temperature": [100, 90]}, "replicas": 2}
    assert streams(points_of(tmp_path, study_with(sweep=turned))) == before
    # What is swept in one study may be written in another: it is one run.
    alone = points_of(tmp_path, study_with(sweep=None, protocol__pressure=1, protocol__temperature=90))
    assert next(iter(streams(alone).values())) in before.values()


def test_a_moved_folder_changes_no_seed(tmp_path: Path) -> None:
    study = study_with(structure={"file": "in/POSCAR"}, sweep={"replicas": 2})
    before = streams(points_of(tmp_path / "here", study))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert streams(expand(read_document(tmp_path / "there/study.yaml"))) == before
    absolute = [study_with(structure={"file": f"/{where}/POSCAR"}, sweep=None) for where in ("old", "new/home")]
    first, second = (streams(points_of(tmp_path, one)) for one in absolute)
    assert first == second


@pytest.mark.parametrize(
    "change",
    [
        {"protocol__timestep": 0.002},
        {"protocol__hooks": {"thermo": ["ke"]}},
        {"structure__supercell": [2, 2, 2]},
        {"structure__crystal__a": 5.31},
        {"structure__masses": {"Ar": 41}},
        {"potential__cutoff": 9},
        {"potential__pairs": {"Ar-Ar": [0.011, 3.4]}},
    ],
    ids=str,
)
def test_another_run_has_other_seeds(tmp_path: Path, change: dict[str, Any]) -> None:
    before = streams(points_of(tmp_path, STUDY))
    after = streams(points_of(tmp_path, study_with(**change)))
    assert not set(before.values()) & set(after.values())


def test_files_of_one_name_in_two_folders_do_not_share_seeds(tmp_path: Path) -> None:
    sweep = {"grid": {"structure.file": ["a/POSCAR", "b/POSCAR"]}}
    points = points_of(tmp_path, study_with(structure={}, sweep=sweep))
    assert len(set(streams(points).values())) == 2


def test_no_two_of_thousands_of_runs_share_a_seed_stream(tmp_path: Path) -> None:
    grid = {"protocol.temperature": list(range(50, 150)), "protocol.pressure": list(range(10))}
    points = points_of(tmp_path, study_with(sweep={"grid": grid, "replicas": 5}))
    assert len(points) == 5000
    all_streams = streams(points)
    assert len(set(all_streams.values())) == 5000
    drawn = [seed for stream in all_streams.values() for seed in stream]
    assert all(1 <= seed <= MAX_SEED == 900_000_000 for seed in drawn)
    # 15,000 draws of 9e8 meet by chance 0.12 times on average; a stream that is shared meets thousands of times.
    assert len(drawn) - len(set(drawn)) <= 4
    # They fill the range evenly: in each tenth 1,500 ± 37.
    tenths = [sum(1 for seed in drawn if seed * 10 // (MAX_SEED + 1) == k) for k in range(10)]
    assert all(abs(n - 1500) < 200 for n in tenths)


def test_seeds_follow_root_and_name_alone(tmp_path: Path) -> None:
    point = points_of(tmp_path, STUDY)[0]
    one: Callable[[str], int] = seeds(7, point)
    assert one("velocities") == seeds(7, point)("velocities")
    assert len({one("velocities"), one("sample"), one(""), seeds(8, point)("velocities")}) == 4
    # Replica 11 of stream 2 is not replica 1 of stream 12, whatever the parts are joined with.
    joined = {seeds(root, point)(name) for root in (1, 11, 111) for name in ("1", "11", "\x001", "1\x00")}
    assert len(joined) == 12
