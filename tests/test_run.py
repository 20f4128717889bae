"""A run's folder is its state, and a failure says its cause."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lampion import deck, dispatch, engine, run, slots
from lampion.deck import Deck
from lampion.engine import Engine
from lampion.errors import EngineError, RunError
from lampion.lammps import Lammps
from lampion.run import folder as folders
from lampion.run import lease as leases
from lampion.run.judge import judge

HELP = """
Large-scale Atomic/Molecular Massively Parallel Simulator - 22 Jul 2025 - Update 4
Git info (HEAD / stable_22Jul2025_update4)

MPI v5.0: MPICH Version:      5.0.2

Installed packages:

ML-SNAP OPENMP

* Pair styles:

lj/cut          snap

"""
GOOD = "Loop time of 0.1 on 1 procs for 10 steps with 4 atoms\\nTotal wall time: 0:00:00\\n"


def fake_lammps(folder: Path, act: str) -> Path:
    """Write a program that answers -h as LAMMPS does, and else does what the shell lines `act` say."""
    folder.mkdir(exist_ok=True)
    path = folder / "lmp"
    path.write_text(f"#!/bin/sh\nif [ \"$1\" = -h ]; then cat <<'H'\n{HELP}\nH\nexit 0; fi\n{act}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    engine.probe.cache_clear()
    return path


def a_deck(command: str = "run 10") -> Deck:
    return Deck(files={deck.DECK: f"# header\nunits metal\n{command}\n", deck.DATA: "# comment\n1 atoms\n"})


def a_run(tmp_path: Path, the_deck: Deck | None = None) -> Path:
    the_deck = the_deck or a_deck()
    return run.prepare(tmp_path / "runs", run.key(the_deck, "git"), the_deck, {})


def lammps(tmp_path: Path, act: str) -> Lammps:
    return engine.find(Engine(lmp=str(fake_lammps(tmp_path, act))))


def outcome(tmp_path: Path, act: str, **settings: object) -> run.Failure | None:
    return run.launch(a_run(tmp_path), lammps(tmp_path, act), Engine(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("act", "cause", "words"),
    [
        ("echo 'ERROR: Unknown pair style foo (src/x.cpp:1)'; exit 1", "input", "Unknown pair style foo"),
        ("echo 'ERROR on proc 0: Cannot open file'; exit 1", "input", "Cannot open file"),
        ("echo 'ERROR: Lost atoms: original 4 current 3'; exit 1", "lost atoms", "Lost atoms"),
        ("echo 'ERROR: Non-numeric pressure - simulation unstable'; exit 1", "not a number", "Non-numeric"),
        (f"printf ' 10 nan 3.0\\n{GOOD}' > log.lammps", "not a number", "smaller timestep"),
        ("kill -9 $$", "killed", "SIGKILL"),
        ("kill -11 $$", "killed", "SIGSEGV"),
        ("echo 'ERROR: Failed to allocate 99 bytes for array x'; exit 1", "out of memory", "Failed to allocate"),
        ("echo 'terminate called: std::bad_alloc'; exit 134", "out of memory", "memory"),
        (
            "echo 'terminate called after throwing c10::Error'; echo '  what(): no such op'; kill -6 $$",
            "input",
            "c10::Error",
        ),
        (
            "echo 'Exception: the model is of another version'; echo 'run 100' > log.lammps; exit 1",
            "input",
            "exit status 1: Exception: the model is of another version",
        ),
        (
            "echo 'lmp: error while loading shared libraries: libmpi.so.12: no'; exit 127",
            "executable",
            "libmpi.so.12",
        ),
        ("exit 3", "input", "exit status 3"),
        ("exit 0", "incomplete", "closing line"),
    ],
)
def test_a_failure_says_its_cause_and_keeps_every_file(tmp_path: Path, act: str, cause: str, words: str) -> None:
    failure = outcome(tmp_path, act)
    assert failure is not None
    assert failure.cause == cause
    assert words in failure.message
    folder = a_run(tmp_path)
    state = run.state(folder)
    assert (state.name, state.cause, state.attempts) == ("failed", cause, 1)
    assert (folder / "attempts/1" / folders.OUTPUT).is_file()
    assert not (folder / "done.json").exists()


def test_a_run_that_is_killed_for_memory_is_told_from_one_that_is_killed(tmp_path: Path) -> None:
    failure = judge(tmp_path, -signal.SIGKILL, 1, oom_killed=True)
    assert failure is not None
    assert failure.cause == "out of memory"


def test_a_time_limit_stops_a_run(tmp_path: Path) -> None:
    failure = outcome(tmp_path, "sleep 60", timeout=0.5)
    assert failure is not None
    assert failure.cause == "time limit"
    assert "0.5 s" in failure.message


def test_an_executable_that_vanished_is_a_cause(tmp_path: Path) -> None:
    found = lammps(tmp_path, "exit 0")
    (tmp_path / "lmp").unlink()
    failure = run.launch(a_run(tmp_path), found, Engine())
    assert failure is not None
    # setpriv, where there is one, starts and then can't find the program.
    assert failure.cause in ("executable", "input")
    assert "No such file" in failure.message


def test_ranks_that_are_not_the_ones_asked_for_fail_the_run(tmp_path: Path) -> None:
    """mpiexec of another MPI starts N independent serial copies, which all end well."""
    mpiexec = tmp_path / "mpiexec"
    mpiexec.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    mpiexec.chmod(0o755)
    fake = fake_lammps(tmp_path, f"printf '{GOOD}' > log.lammps")
    settings = Engine(lmp=str(fake), mpiexec=str(mpiexec), ranks=2)
    failure = run.launch(a_run(tmp_path), engine.find(settings), settings)
    assert failure is not None
    assert failure.cause == "ranks"
    assert "2 ranks were asked for and LAMMPS ran on 1" in failure.message


def test_threads_that_are_not_the_ones_asked_for_fail_the_run(tmp_path: Path) -> None:
    """A deck's own `package omp 4` wins over the command line, and four threads share one core."""
    act = f"printf '  using 4 OpenMP thread(s) per MPI task\\n{GOOD}' > log.lammps"
    assert outcome(tmp_path, act, threads=4) is None
    failure = outcome(tmp_path / "other", act, threads=1)
    assert failure is not None
    assert failure.cause == "threads"
    assert "1 threads a rank were asked for and LAMMPS ran on 4" in failure.message


def test_what_a_deck_prints_is_no_fact(tmp_path: Path) -> None:
    act = (
        "printf ' 5 nan atoms were met\\nERROR estimate: 3\\n2 by 2 by 2 MPI processor grid, it said\\n' "
        "> log.lammps; "
        f"printf '{GOOD}' >> log.lammps"
    )
    assert outcome(tmp_path, act) is None


def test_threads_that_nothing_would_use_are_refused(tmp_path: Path) -> None:
    found = replace(lammps(tmp_path, "exit 0"), packages=("ML-SNAP",))
    with pytest.raises(EngineError, match=r"no OPENMP package, so engine\.threads 2 would leave cores idle"):
        engine.command(found, Engine(threads=2))
    plugin = replace(found, environment={"LAMMPS_PLUGIN_PATH": "x"})
    assert engine.command(plugin, Engine(threads=2)), "torch has threads of its own"


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (GOOD, None),
        ("ERROR: Lost atoms: original 4 current 3\\n", "lost atoms"),
        (f"11 nan 1.0\\n{GOOD}", "not a number"),
        ("Loop time of 0.1 on 2 procs for 10 steps\\nTotal wall time: 0:00:00\\n", "ranks"),
    ],
)
def test_a_log_of_any_length_is_judged_by_its_end(tmp_path: Path, end: str, cause: str | None) -> None:
    act = f'awk \'BEGIN{{for(i=0;i<700000;i++) print "      " i " {"1.23456789 " * 7}"}}\' > log.lammps'
    failure = outcome(tmp_path, f"{act}; printf '{end}' >> log.lammps")
    assert (a_run(tmp_path) / "attempts/1/log.lammps").stat().st_size > 50_000_000
    assert (failure.cause if failure else None) == cause


def test_a_good_run_is_published_and_its_script_repeats_it(tmp_path: Path) -> None:
    assert outcome(tmp_path, f"printf '{GOOD}' > log.lammps") is None
    folder = a_run(tmp_path)
    assert run.state(folder).name == "done"
    assert run.verified(folder) == folder / "attempts/1"
    assert "OMP_NUM_THREADS=1" in (folder / "attempts/1/run.sh").read_text()


def test_threads_are_always_explicit_and_nothing_of_the_shell_is_used(tmp_path: Path) -> None:
    act = f"echo \"$OMP_NUM_THREADS\" > threads; printf '{GOOD}' > log.lammps"
    assert outcome(tmp_path, act, threads=3) is None
    assert (a_run(tmp_path) / "attempts/1/threads").read_text().strip() == "3"


def test_a_failed_run_is_tried_again_in_a_folder_of_its_own(tmp_path: Path) -> None:
    assert outcome(tmp_path, "exit 3") is not None
    assert outcome(tmp_path, f"printf '{GOOD}' > log.lammps") is None
    folder = a_run(tmp_path)
    assert run.state(folder).attempts == 2
    assert (folder / "attempts/1/failed.json").is_file()


def test_a_killed_driver_leaves_a_run_that_is_neither_done_nor_failed(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    assert run.state(folder).name == "waiting"
    attempt = folders.new_attempt(folder)
    assert attempt is not None
    assert run.state(folder).name == "running"
    record = json.loads((attempt / "lease.json").read_text())
    dead = subprocess.Popen(["true"])
    dead.wait()
    for change in ({"pid": dead.pid}, {"start": "0"}):
        # Another process may have the number of the dead one: its start tells them apart.
        (attempt / "lease.json").write_text(json.dumps({**record, **change}))
        assert run.state(folder).name == "stopped"
    leases.release(attempt)
    assert run.state(folder).name == "stopped"


def test_a_driver_on_another_machine_is_dead_when_its_lease_is_old(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    attempt = folders.new_attempt(folder)
    assert attempt is not None
    lease = attempt / "lease.json"
    lease.write_text(json.dumps({**json.loads(lease.read_text()), "host": "elsewhere"}))
    assert run.state(folder).name == "running"
    assert folders.new_attempt(folder) is None
    old = time.time() - leases.STALE - 5
    os.utime(lease, (old, old))
    assert run.state(folder).name == "stopped"
    assert folders.new_attempt(folder) == folder / "attempts/2"


def test_of_many_drivers_that_reach_for_a_run_one_gets_it(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        got = [a for a in pool.map(lambda _: folders.new_attempt(folder), range(16)) if a is not None]
    assert got == [folder / "attempts/1"]
    assert [p.name for p in (folder / "attempts").iterdir()] == ["1"], "nothing half made is left"


def test_a_run_that_another_driver_works_on_is_not_begun(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    folders.new_attempt(folder)
    with pytest.raises(run.Busy):
        run.launch(folder, lammps(tmp_path, "exit 3"), Engine())


def test_the_second_publisher_loses(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    first = folders.new_attempt(folder)
    assert first is not None
    leases.release(first)  # a driver that was asleep for long
    second = folders.new_attempt(folder)
    assert second is not None
    for attempt in (first, second):
        (attempt / folders.LOG).write_text("log")
        folders.publish(folder, attempt)
    assert run.verified(folder).name == "1"


def published(tmp_path: Path) -> Path:
    folder = a_run(tmp_path)
    attempt = folders.new_attempt(folder)
    assert attempt is not None
    (attempt / folders.LOG).write_text("the log of this run")
    (attempt / "trajectory.dump").write_text("frames")
    folders.publish(folder, attempt)
    return folder


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: (a / folders.LOG).write_text("a log of that run!!"),
        lambda a: (a / folders.LOG).write_text("shorter"),
        lambda a: (a / "trajectory.dump").write_text("fram"),
        lambda a: (a / "trajectory.dump").unlink(),
    ],
    ids=["stale log of the same length", "shorter log", "cut dump", "missing dump"],
)
def test_files_that_are_not_the_published_ones_are_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    folder = published(tmp_path)
    assert run.verified(folder)
    spoil(folder / "attempts/1")
    with pytest.raises(RunError, match=r"is not the (log|file) that this run published; remove"):
        run.verified(folder)


def test_a_newer_format_is_refused_and_the_first_one_is_read(tmp_path: Path) -> None:
    folder = published(tmp_path)
    record = json.loads((folder / "done.json").read_text())
    (folder / "done.json").write_text(json.dumps({**record, "format": 2}))
    with pytest.raises(RunError, match=r"has format 2, newer than 1.*upgrade"):
        run.state(folder)
    old = Path(__file__).parent / "data/format1"
    assert run.read_json(old / "run.json")["key"].startswith("3538")
    assert run.read_json(old / "done.json")["attempt"] == 1


def test_a_damaged_record_is_a_sentence(tmp_path: Path) -> None:
    folder = published(tmp_path)
    (folder / "done.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        run.state(folder)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Deck, folder: Path) -> None:
        (folder / deck.DECK).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(deck, "write", broken)
    with pytest.raises(RunError, match=r"No space left on device.*free space"):
        a_run(tmp_path)
    assert not list((tmp_path / "runs").rglob(deck.DECK))


def test_the_key_holds_what_is_done_and_by_which_lammps_and_nothing_else(tmp_path: Path) -> None:
    base = run.key(a_deck(), "stable_22Jul2025_update4")
    said = Deck(files={**a_deck().files, deck.DECK: "# another header\n\nunits   metal  # why\nrun 10\n"})
    assert run.key(said, "stable_22Jul2025_update4") == base
    assert run.key(a_deck("run 11"), "stable_22Jul2025_update4") != base
    assert run.key(a_deck(), "stable_22Jul2025_update2") != base
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_text("1")
    two.write_text("1")
    with_input = [run.key(Deck(files=a_deck().files, inputs={"x.snap": p}), "g") for p in (one, two)]
    assert with_input[0] == with_input[1]
    two.write_text("2")
    assert run.key(Deck(files=a_deck().files, inputs={"x.snap": two}), "g") != with_input[0]


def test_runs_never_take_more_cores_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert dispatch.at_a_time(Engine()) == 8
    assert dispatch.at_a_time(Engine(ranks=3)) == 2
    assert dispatch.at_a_time(Engine(ranks=2, threads=2)) == 2
    assert dispatch.at_a_time(Engine(ranks=16)) == 1
    assert dispatch.at_a_time(Engine(parallel=3)) == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5,6")
    assert dispatch.at_a_time(Engine(gpus=1)) == 3
    assert dispatch.at_a_time(Engine(gpus=2)) == 1
    with pytest.raises(EngineError, match="a run wants 4 GPUs and this machine shows 3"):
        dispatch.at_a_time(Engine(gpus=4))


def test_cores_and_gpus_are_handed_out_once_also_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b")
    monkeypatch.setattr(slots, "cores", lambda: (90, 91, 92))
    hold = (
        "import os, sys\nfrom lampion import slots\nslots.cores = lambda: (90, 91, 92)\n"
        "with slots.held(2, 1) as s:\n    print(s.cores, s.gpus, flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", hold]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "(90, 91) ('a',)\n"
        with slots.held(1, 1) as slot:
            assert slot == slots.Slot(cores=(92,), gpus=("b",))
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with slots.held(2, 0, stop=stop) as none:
            assert none is None, "two cores are not free"
        other.kill()
        with slots.held(2, 2) as slot:
            assert slot == slots.Slot(cores=(90, 91), gpus=("a", "b")), "the kernel gives back what the dead one held"


def test_runs_side_by_side_have_cores_and_gpus_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    if len(slots.cores()) < 2:
        pytest.fail("this test needs two cores")
    look = "grep Cpus_allowed_list /proc/self/status > cpus; echo $CUDA_VISIBLE_DEVICES > gpus; sleep 0.5"
    found = lammps(tmp_path, f"{look}; printf '{GOOD}' > log.lammps")
    folders_ = [a_run(tmp_path / str(k), a_deck(f"run {k}")) for k in range(4)]
    assert dispatch.run_all(dict.fromkeys(folders_, found), Engine(gpus=1, lmp=str(found.executable)))
    seen = [
        ((f / "attempts/1/cpus").read_text().split()[1], (f / "attempts/1/gpus").read_text().strip())
        for f in folders_
    ]
    assert {gpu for _, gpu in seen} == {"0", "1"}
    assert all(cpu.isdigit() for cpu, _ in seen)
    assert len({cpu for cpu, _ in seen}) == 2


def test_a_killed_run_is_tried_again_and_one_that_would_fail_again_is_not(tmp_path: Path) -> None:
    killed_once = f"[ -e ../../once ] || {{ touch ../../once; kill -9 $$; }}; printf '{GOOD}' > log.lammps"
    ends: list[run.Failure | None] = []

    def tried(name: str, act: str, **settings: int) -> int:
        folder = a_run(tmp_path / name)
        found = lammps(tmp_path / name, act)
        ends.clear()
        dispatch.run_all({folder: found}, Engine(**settings), on_end=lambda _, failure: ends.append(failure))
        return run.state(folder).attempts

    (tmp_path / "a").mkdir()
    assert tried("a", killed_once) == 2
    assert ends == [None]
    (tmp_path / "b").mkdir()
    assert tried("b", "kill -9 $$", retries=1) == 2
    assert ends[0] is not None
    assert ends[0].cause == "killed"
    (tmp_path / "c").mkdir()
    assert tried("c", "echo 'ERROR: Lost atoms: original 4 current 3'; exit 1") == 1


def test_a_folder_that_is_not_what_its_key_says_is_one_runs_failure(tmp_path: Path) -> None:
    """Its deck was changed by hand after it had run: nothing of it is believed, and the others go on."""
    found = lammps(tmp_path, f"printf '{GOOD}' > log.lammps")
    decks_ = [a_deck("run 1"), a_deck("run 2")]
    runs = tmp_path / "runs"
    keys = [run.key(one, "git") for one in decks_]
    places = [run.prepare(runs, key, one, {}) for key, one in zip(keys, decks_, strict=True)]
    run.launch(places[0], lammps(tmp_path / "bad", "exit 3"), Engine())
    (places[0] / deck.DECK).write_text("run 99\n")
    ends: dict[Path, run.Failure | None] = {}
    assert dispatch.run_all(
        dict.fromkeys(places, found),
        Engine(),
        prepare=lambda folder: run.prepare(runs, folder.name, decks_[places.index(folder)], {}) and None,
        on_end=ends.__setitem__,
    )
    failure = ends[places[0]]
    assert failure is not None
    assert "its deck is not the one that its key says" in failure.message
    assert ends[places[1]] is None


def test_a_folder_that_a_power_cut_left_empty_is_made_again(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    (folder / deck.DECK).write_text("")
    assert a_run(tmp_path) == folder
    assert (folder / deck.DECK).read_text() == a_deck().files[deck.DECK]


def test_a_full_disk_pauses_the_study_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full_once = (
        "[ -e ../../once ] || { touch ../../once; echo 'fwrite: No space left on device'; exit 1; }; "
        f"printf '{GOOD}' > log.lammps"
    )
    room = iter([False, True, True])
    monkeypatch.setattr(dispatch, "PAUSE", 0.01)
    monkeypatch.setattr(dispatch, "_has_room", lambda _: next(room))
    folder = a_run(tmp_path)
    assert dispatch.run_all({folder: lammps(tmp_path, full_once)}, Engine())
    assert run.state(folder).name == "done"
    assert run.state(folder).attempts == 2
    assert "No space left on device; waiting until it can be written again" in caplog.text


def test_stopping_ends_lammps_and_leaves_a_run_that_is_redone(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    begin = time.monotonic()
    with pytest.raises(run.Stopped):
        run.launch(a_run(tmp_path), lammps(tmp_path, "exec sleep 60"), Engine(), stop=stop)
    assert time.monotonic() - begin < 30
    assert run.state(a_run(tmp_path)).name == "stopped"


@pytest.mark.parametrize(
    ("engine_settings", "words"),
    [
        (
            {"lmp": "/nowhere/lmp"},
            ["/nowhere/lmp", "no such executable", "engine.lmp", "$LAMPION_LMP", "wheel", "$PATH"],
        ),
        ({"lmp": "/bin/echo"}, ["/bin/echo", "does not answer -h as LAMMPS"]),
        ({"mpiexec": "/nowhere/mpiexec"}, ["/nowhere/mpiexec", "engine.mpiexec"]),
    ],
)
def test_an_engine_that_is_none_is_a_sentence(engine_settings: dict[str, str], words: list[str]) -> None:
    engine.probe.cache_clear()
    with pytest.raises(EngineError) as error:
        engine.find(Engine(**engine_settings))  # type: ignore[arg-type]
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


def test_no_lammps_anywhere_names_all_four_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_wheel", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("LAMPION_LMP", raising=False)
    with pytest.raises(EngineError, match=r"engine\.lmp.*LAMPION_LMP.*wheel.*PATH.*pip install"):
        engine.find(Engine())


def test_the_environment_variable_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPION_LMP", str(fake_lammps(tmp_path, "exit 0")))
    assert engine.find(Engine()).found_by == "$LAMPION_LMP"
    assert engine.find(Engine()).executable == tmp_path / "lmp"


def test_the_wheels_launcher_is_replaced_by_the_binary_behind_it() -> None:
    found = engine.find(Engine())
    launcher = Path(os.sys.executable).parent / "lmp"  # type: ignore[attr-defined]
    assert engine.find(Engine(lmp=str(launcher))).executable == found.executable
