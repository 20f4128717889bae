"""Prepare and run what a study asks for; all state is in its folder."""

import contextlib
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np

from lampion import __version__, deck, dispatch, engine, framework, kokkos, potential, run, structure
from lampion.errors import SettingError
from lampion.lammps import Lammps
from lampion.protocol import Diffusion, Ensemble
from lampion.study import until
from lampion.study.points import Point, content, expand, seeds
from lampion.study.read import read_document
from lampion.study.settings import Study

logger = logging.getLogger("lampion")

Made = dict[str, tuple[structure.Built, structure.Placement]]
"""Structures by what the study says of them: thousands of runs share a few."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a study: its point, its deck and where it is."""

    point: Point
    key: str
    folder: Path
    deck: deck.Deck
    atoms: ase.Atoms
    """The structure in the user's frame."""
    placement: structure.Placement
    """The same in LAMMPS's."""
    pair: potential.PairSetup
    """The potential, for the placement's types."""
    lammps: Lammps
    """What runs it, with the plugin that its potential needs."""
    record: dict[str, Any]
    """What `run.json` holds."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study, expanded and rendered."""

    path: Path
    study: Study
    """The first point's settings; engine, analysis and title are those of all."""
    lammps: Lammps
    jobs: tuple[Job, ...]

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return self.path.parent / "runs"


def plan(path: Path, *, relock: bool = False) -> Plan:
    """Read a study, find its LAMMPS, and render every run. Only the lock file is written.

    Raises:
        LampionError: anything that is wrong, before LAMMPS starts.
    """
    path = path.absolute()
    points = expand(read_document(path))
    if points[0].study.sweep.until is not None:
        if not all(isinstance(point.study.protocol, Diffusion | Ensemble) for point in points):
            raise SettingError(f"{path.name}: sweep.until: only diffusion and ensemble measure what it waits for")
        points = until.grown(path, points)
    runs = path.parent / "runs"
    if runs.exists() and not runs.is_dir():
        raise SettingError(f"{runs}: is no folder, and the runs belong there; move it away")
    study = points[0].study
    lammps = engine.find(study.engine)
    if any(getattr(point.study.protocol, "dump_format", None) == "zst" for point in points):
        engine.require_zstd()
    locked = None if relock else _locked(path, study, lammps)
    drawn = study.seed if study.seed is not None else secrets.randbelow(2**31)
    root = drawn if locked is None else locked
    made: Made = {}
    jobs = tuple(_job(path, point, lammps, root, made) for point in points)
    if locked is None and not _lock(path, root, lammps, anew=relock):
        if not _lock_file(path).is_file():
            raise SettingError(f"{_lock_file(path)}: is no file, and the study's seed belongs there; move it away")
        return plan(path)
    return Plan(path=path, study=study, lammps=lammps, jobs=jobs)


def _job(path: Path, point: Point, lammps: Lammps, root: int, made: Made) -> Job:
    folder, study = path.parent, point.study
    described = repr(study.structure)
    if described not in made:
        built = structure.build(study.structure, folder)
        made[described] = built, structure.place(built.atoms)
    built, placement = made[described]
    symbols = list(built.atoms.get_chemical_symbols())
    counts = {e: symbols.count(e) for e in sorted(set(symbols))}
    pair = potential.resolve(
        study.potential, placement.species, counts, all(placement.periodic), folder, lammps.potentials
    )
    lammps = framework.equip(lammps, pair, ranks=study.engine.ranks, chosen=study.engine.lmp is not None)
    for style in pair.pair_styles:
        lammps.require("pair", style)
    hooks = getattr(study.protocol, "hooks", None)
    for kind, lines in (("fix", hooks.fixes), ("compute", hooks.computes)) if hooks is not None else ():
        for name, line in lines.items():
            if line.split()[1] not in lammps.styles.get(kind, frozenset()):
                raise SettingError(
                    f"{path.name}: protocol.hooks.{kind}{'s' if kind == 'compute' else 'es'}.{name}: this LAMMPS has "
                    f"no {kind} style {line.split()[1]}"
                )
    if pair.kspace_style:
        lammps.require("kspace", pair.kspace_style)
    if study.engine.kokkos is not None:
        lammps = kokkos.accelerate(
            lammps, study.engine.kokkos, pair.pair_styles, newton=pair.newton, ranks=study.engine.ranks,
            threads=study.engine.threads, float32=pair.float32,
        )  # fmt: skip
    engine.command(lammps, study.engine)
    swept = ", ".join(f"{name} = {value}" for name, value in point.values.items())
    header = "\n".join(
        [
            f"{study.title or path.name}: {study.protocol.name}" + (f", {swept}" if swept else ""),
            f"Made by Lampion {__version__} from {path.name}, replica {point.replica}; run: lmp -in in.lammps",
            f"{len(symbols)} atoms: " + " ".join(f"{n} {e}" for e, n in counts.items()),
            *built.notes,
        ]
    )
    rendered = deck.render(
        placement=placement,
        potential=pair,
        protocol=study.protocol,
        seed=seeds(root, point),
        header=header,
        folder=folder,
    )
    key = run.key(rendered, lammps.identity)
    record = {
        "lammps": lammps.identity,
        "deck": deck.fingerprint(rendered),
        "settings": {
            "structure": content(study.structure),
            "potential": content(study.potential),
            "protocol": content(study.protocol),
        },
        "replica": point.replica,
        "root_seed": root,
        "species": list(placement.species),
        "masses": list(placement.masses),
        "rotation": np.asarray(placement.rotation).tolist(),
        "basis": np.asarray(placement.basis).tolist(),
        "counts": counts,
        "notes": [*built.notes, *pair.notes],
        "references": [{"file": r.file, "citation": r.citation, "bibtex": r.bibtex} for r in pair.references],
    }
    return Job(
        point=point,
        key=key,
        folder=run.place(path.parent / "runs", key),
        deck=rendered,
        atoms=built.atoms,
        placement=placement,
        pair=pair,
        lammps=lammps,
        record=record,
    )


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}.lock.json")


def _locked(path: Path, study: Study, lammps: Lammps) -> int | None:
    """Return the root seed that the study began with; None where it has not begun.

    Raises:
        SettingError: the LAMMPS, or the study's seed, is not the one that this study began with.
    """
    lock = _lock_file(path)
    if not lock.is_file():
        return None
    record = run.read_json(lock, "lammps", "root_seed")
    if record["lammps"] != lammps.identity:
        raise SettingError(
            f"{lock}: this study began with LAMMPS {record['lammps']}, and {lammps.executable} is "
            f"{lammps.identity}; use that one, or run everything anew with --relock"
        )
    root = int(record["root_seed"])
    if study.seed is not None and study.seed != root:
        raise SettingError(
            f"{lock}: this study began with seed {root}, and now says {study.seed}; "
            "go back to it, or run everything anew with --relock"
        )
    return root


def _lock(path: Path, root: int, lammps: Lammps, *, anew: bool) -> bool:
    """Keep the root seed and the LAMMPS that the study begins with; a study that was refused leaves nothing.

    False where another driver began it meanwhile: its seed counts.
    """
    lock = _lock_file(path)
    record = {
        "format": run.FORMAT,
        "root_seed": root,
        "lammps": lammps.identity,
        "lammps_version": lammps.version,
        "lampion": __version__,
    }
    if anew:
        run.write_json(lock, record)
        return True
    temporary = lock.with_name(f".{lock.name}.{os.getpid()}")
    run.write_json(temporary, record)
    try:
        os.link(temporary, lock)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        temporary.replace(lock)
        return True
    finally:
        temporary.unlink(missing_ok=True)
    return True


DETERMINISTIC = ("input", "lost atoms", "not a number")
"""Causes that the same deck meets again: such a run is tried anew only where that is asked for."""


@contextlib.contextmanager
def driving(path: Path) -> Iterator[None]:
    """Be one of the study's drivers. The first one clears away what killed drivers left half written."""
    runs = path.absolute().parent / "runs"
    runs.mkdir(exist_ok=True)
    descriptor = os.open(runs / ".driver", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            run.clear_making(runs)
        # Shared from here on; the lock goes with the process, however it ends.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def execute(
    plan: Plan,
    *,
    again: bool = False,
    share: bool = False,
    on_progress: Callable[[Path, run.Progress], None] | None = None,
    on_end: Callable[[Path, run.Failure | None], None] | None = None,
) -> bool:
    """Run what is not done; True unless the user stopped it. Several drivers of one study share its runs.

    Args:
        plan: the study.
        again: whether runs are repeated that failed for a cause of their own (`DETERMINISTIC`).
        share: whether runs that other drivers work on are left to them, and not waited for.
        on_progress: is told how far a run is.
        on_end: is told that one ended.

    Raises:
        LampionError: the study's folder can't be written.
    """
    with driving(plan.path):
        todo: dict[Path, Job] = {}
        given_up = 0
        for job in plan.jobs:
            state = run.state(job.folder)
            if state.name == "failed" and state.cause in DETERMINISTIC and not again:
                given_up += 1
            elif state.name != "done":
                todo[job.folder] = job

        def prepare(folder: Path) -> None:
            job = todo[folder]
            run.prepare(plan.runs, job.key, job.deck, job.record)

        if given_up:
            logger.warning(
                "%d runs failed before, for a cause that they would meet again; `lampion retry %s` repeats them",
                given_up,
                plan.path.name,
            )
        logger.info("%d runs to do", len(todo))
        return dispatch.run_all(
            {folder: job.lammps for folder, job in todo.items()},
            plan.study.engine,
            prepare=prepare,
            share=share,
            on_progress=on_progress,
            on_end=on_end,
        )
