"""Take away what killed and failed runs left."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from lampion import run
from lampion.study.work import Plan


def clean(plan: Plan, *, finished: bool = False) -> Iterator[tuple[Path, int]]:
    """Remove attempts that are no result, and yield each folder with the bytes that it held.

    What a driver works on, and every result, stays. Causes of failures go with their attempts: the runs wait again.

    Args:
        plan: the study.
        finished: also remove whole runs, finished ones included, that the study no longer asks for.
    """
    wanted = {job.folder for job in plan.jobs}
    for folder in sorted(plan.runs.glob("[0-9a-f][0-9a-f]/*")):
        if not (folder / "run.json").is_file():
            continue
        state = run.state(folder)
        if state.name == "running":
            continue
        if folder not in wanted:
            if finished:
                yield _removed(folder)
            continue
        for attempt in sorted((folder / "attempts").glob("*")):
            if attempt != state.result and attempt not in state.earlier:
                yield _removed(attempt)


def _removed(folder: Path) -> tuple[Path, int]:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink == 1)
    shutil.rmtree(folder)
    return folder, size
