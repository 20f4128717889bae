"""Who works on a run now: a lease in the attempt's folder, renewed while its driver lives.

On one machine a lease is live while its process is, whatever the clock says. From another machine (a shared folder, a
cluster) it is live while its file is younger than `STALE`, by the file system's own clock. A driver that was only
asleep may find a successor at work when it wakes; both publish, and the second loses.
"""

import os
import platform
import uuid
from pathlib import Path
from typing import Any

LEASE = "lease.json"
BEAT = 15.0
"""Seconds between renewals."""
STALE = 180.0
"""Seconds without renewal after which a driver on another machine is taken for dead."""


def owner() -> dict[str, Any]:
    """Return what tells this process from every other: host, boot, number and start."""
    return {"host": platform.node(), "boot": _boot(), "pid": os.getpid(), "start": _start(os.getpid())}


def renew(attempt: Path) -> None:
    """Say that the driver of an attempt is alive."""
    os.utime(attempt / LEASE)


def release(attempt: Path) -> None:
    """Give up an attempt that has neither result nor cause."""
    (attempt / LEASE).unlink(missing_ok=True)


def is_live(attempt: Path, record: dict[str, Any]) -> bool:
    """Return whether the driver that wrote the lease `record` of an attempt still works on it."""
    if record.get("host") == platform.node() and record.get("boot") == _boot():
        return record.get("start") is not None and _start(int(record["pid"])) == record["start"]
    try:
        return _now(attempt.parent) - (attempt / LEASE).stat().st_mtime < STALE
    except OSError:
        return False


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system, which may be another machine's."""
    probe = folder / f".now-{os.getpid()}-{uuid.uuid4().hex}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; None where there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
