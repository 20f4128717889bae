"""The folder of a run is its state.

::

    runs/ab/<key>/
        in.lammps structure.data …   the deck
        run.json                     everything that made the key, and what the results need
        attempts/1/                  LAMMPS's working folder: log, dumps, restarts, its output
        attempts/1/lease.json        who works on it, renewed while its driver lives
        attempts/1/failed.json       why this attempt is no result
        done.json                    published last: which attempt is the result

A folder appears whole or not at all (it is written elsewhere and renamed), and `done.json` is linked into place, so
that a second publisher loses.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lampion import deck as decks
from lampion.errors import RunError
from lampion.run import lease as leases

FORMAT = 1
"""Of the JSON files here. Newer is refused, older is read."""

LOG = "log.lammps"
OUTPUT = "output.txt"


def key(deck: decks.Deck, identity: str) -> str:
    """Return the key of a run: sha256 of what the deck does and of which LAMMPS does it.

    Lampion's version, dates, paths, ranks, threads and settings of the analysis are not in it.
    """
    return hashlib.sha256(f"{decks.fingerprint(deck)}\0{identity}".encode()).hexdigest()


def place(runs: Path, key: str) -> Path:
    """Return the folder of the run `key` under `runs`."""
    return runs / key[:2] / key


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a run stands."""

    name: str
    """``waiting`` (no attempt yet), ``running`` (its driver lives), ``stopped`` (an attempt ended with neither result
    nor cause: killed), ``failed`` or ``done``."""
    attempts: int = 0
    cause: str = ""
    message: str = ""
    result: Path | None = None
    """The folder of the attempt that is the result."""
    earlier: tuple[Path, ...] = ()
    """Those of the attempts that it goes on from."""


def prepare(runs: Path, key: str, deck: decks.Deck, record: Mapping[str, Any]) -> Path:
    """Write the folder of a run, whole or not at all; one that is there is left as it is.

    Raises:
        RunError: the folder can't be written.
    """
    folder = place(runs, key)
    if (folder / "run.json").is_file():
        if is_whole(folder, deck):
            return folder
        if (folder / "attempts").exists():
            raise RunError(f"{folder}: its deck is not the one that its key says; remove the folder and run again")
        shutil.rmtree(folder)
    making = runs / f".making-{os.getpid()}-{uuid.uuid4().hex}"
    try:
        making.mkdir(parents=True)
        decks.write(deck, making)
        # No fsync: what a power cut damages is seen by `is_whole` before it is run, and made again.
        _write_json(making / "run.json", {"format": FORMAT, "key": key, "n_steps": deck.n_steps, **record})
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Fails where another driver was faster; its folder has the same content, as the key says.
        with contextlib.suppress(FileExistsError):
            _rename(making, folder)
    except OSError as error:
        raise RunError(
            f"{folder}: can't be written ({error.strerror}); free space or choose another place"
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def is_whole(folder: Path, deck: decks.Deck) -> bool:
    """Return whether a run's folder holds the deck as it was written: no power cut, and nobody, changed it."""
    try:
        for name, text in deck.files.items():
            if (folder / name).read_text(encoding="utf-8") != text and not _alike(folder, name, deck):
                return False
        return all((folder / name).stat().st_size == path.stat().st_size for name, path in deck.inputs.items())
    except OSError:
        return False


def _alike(folder: Path, name: str, deck: decks.Deck) -> bool:
    """Return whether a file of the deck does the same, though its comments are another release's."""
    files = {n: (folder / n).read_text(encoding="utf-8") if n == name else text for n, text in deck.files.items()}
    alike = decks.Deck(files=files, inputs=deck.inputs)
    return decks.fingerprint(alike) == decks.fingerprint(deck)


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not (target / "run.json").is_file():
            raise


def clear_making(runs: Path) -> None:
    """Remove half-written folders that a killed driver left; only where no other driver can be at work."""
    for path in runs.glob(".making-*"):
        shutil.rmtree(path, ignore_errors=True)


def new_attempt(folder: Path) -> Path | None:
    """Make the next attempt's folder, with the deck's files linked (or copied) into it, and a lease of this process.

    None where another driver works on the run, or was faster: the folder is made elsewhere and renamed, and a second
    one of the same number fails.
    """
    attempts = folder / "attempts"
    attempts.mkdir(exist_ok=True)
    last = _last(folder)
    if state(folder).name in ("running", "done"):
        return None
    making = attempts / f".making-{os.getpid()}-{uuid.uuid4().hex}"
    making.mkdir()
    try:
        for path in folder.iterdir():
            if path.is_file() and path.name not in ("run.json", "done.json"):
                try:
                    os.link(path, making / path.name)
                except OSError:
                    shutil.copy2(path, making / path.name)
        _write_json(making / leases.LEASE, {"format": FORMAT, **leases.owner()})
        attempt = attempts / str(last + 1)
        try:
            making.rename(attempt)
        except OSError:
            if attempt.is_dir():
                return None
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return attempt


def _last(folder: Path) -> int:
    return max((int(p.name) for p in (folder / "attempts").glob("*") if p.name.isdigit()), default=0)


def state(folder: Path) -> State:
    """Read where a run stands.

    Raises:
        RunError: a file of the folder is of a newer format, or the result's files are not those that were published.
    """
    last = _last(folder)
    done = folder / "done.json"
    if done.is_file():
        record = read_json(done, "attempt")
        attempts = folder / "attempts"
        return State(
            name="done",
            attempts=last,
            result=attempts / str(record["attempt"]),
            earlier=tuple(attempts / number for number in record.get("earlier", {})),
        )
    if not last:
        return State(name="waiting")
    failed = folder / "attempts" / str(last) / "failed.json"
    if failed.is_file():
        record = read_json(failed, "cause", "message")
        return State(name="failed", attempts=last, cause=record["cause"], message=record["message"])
    attempt = folder / "attempts" / str(last)
    if (attempt / leases.LEASE).is_file() and leases.is_live(
        attempt, read_json(attempt / leases.LEASE, "host", "pid")
    ):
        return State(name="running", attempts=last)
    return State(name="stopped", attempts=last)


def publish(
    folder: Path,
    attempt: Path,
    *,
    wall: float | None = None,
    cores: int | None = None,
    earlier: Sequence[Path] = (),
) -> None:
    """Make `attempt` the result of the run. Where one is published already, that one stays.

    Args:
        folder: of the run.
        attempt: its folder.
        wall: s that LAMMPS ran.
        cores: that it ran on.
        earlier: attempts that it goes on from; their files belong to the result.
    """
    for part in earlier:
        _sync(part)
    products = {
        p.name: p.stat().st_size
        for p in sorted(attempt.iterdir())
        if p.is_file() and p.name != leases.LEASE and not (folder / p.name).exists()
    }
    log = attempt / LOG
    _sync(attempt)
    temporary = attempt / "done.json"
    write_json(
        temporary,
        {
            "format": FORMAT,
            "attempt": int(attempt.name),
            "products": products,
            "earlier": {
                part.name: {p.name: p.stat().st_size for p in sorted(part.iterdir()) if p.is_file()}
                for part in earlier
            },
            "wall_s": wall,
            "cores": cores,
            "log_sha256": hashlib.sha256(log.read_bytes()).hexdigest(),
        },
    )
    with contextlib.suppress(FileExistsError):
        _link(temporary, folder / "done.json")
    temporary.unlink()
    _sync_folder(folder)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with target.open("x") as file:
            file.write(source.read_text())
            file.flush()
            os.fsync(file.fileno())


def verified(folder: Path) -> Path:
    """Return the folder of the published attempt, after a look at its files.

    Raises:
        RunError: the run is not done, or a file is missing, or is not the one that was published (a stale log).
    """
    now = state(folder)
    if now.result is None:
        raise RunError(f"{folder}: is not done ({now.name})")
    record = read_json(folder / "done.json", "products", "log_sha256")
    for name, size in record["products"].items():
        path = now.result / name
        if not path.is_file() or path.stat().st_size != size:
            raise RunError(f"{path}: is not the file that this run published; remove {folder} and run again")
    for number, files in record.get("earlier", {}).items():
        for name, size in files.items():
            path = folder / "attempts" / number / name
            if not path.is_file() or path.stat().st_size != size:
                raise RunError(f"{path}: is not the file that this run published; remove {folder} and run again")
    if hashlib.sha256((now.result / LOG).read_bytes()).hexdigest() != record["log_sha256"]:
        raise RunError(f"{now.result / LOG}: is not the log that this run published; remove {folder} and run again")
    return now.result


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON file so that it is whole on disk or absent."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Read a JSON file of ours, which must hold `keys`.

    Raises:
        RunError: it is damaged, or of a newer format than this Lampion knows.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: is damaged or no file of Lampion's; remove it and run again") from error
    number = record.get("format") if isinstance(record, dict) else None
    missing = [key for key in keys if not isinstance(record, dict) or key not in record]
    if not isinstance(number, int) or (number <= FORMAT and missing):
        raise RunError(f"{path}: is damaged or no file of Lampion's; remove it and run again")
    if number > FORMAT:
        raise RunError(f"{path}: has format {number}, newer than {FORMAT}, which this Lampion knows; upgrade lampion")
    return dict(record)


def _sync(folder: Path) -> None:
    """Bring an attempt's own files to disk, so that nothing published is empty after a power cut."""
    for path in folder.iterdir():
        # The deck's files are links to those of the run.
        if path.is_file() and path.stat().st_nlink == 1:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
