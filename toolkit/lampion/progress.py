"""What the terminal shows of a study: bars while it runs, plain lines where there is no terminal, its state."""

import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from lampion import run
from lampion.report import label
from lampion.study import Plan, is_driven

PLAIN_EVERY = 30.0
"""Seconds between lines about a running run where the output is no terminal."""


class Display:
    """Shows runs as they go: a bar for the study and one for each running run."""

    def __init__(self, plan: Plan, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True)
        self.names = {
            job.folder: f"{label(job.point.values) or plan.study.protocol.name} #{job.point.replica}"
            for job in plan.jobs
        }
        folders = dict.fromkeys(job.folder for job in plan.jobs)
        self.done = sum(run.state(folder).name == "done" for folder in folders)
        self.total = len(folders)
        self.bars: Progress | None = None
        self.tasks: dict[Path, TaskID] = {}
        self.said: dict[Path, float] = {}

    def __enter__(self) -> Self:
        """Start the bars, or say how much there is to do."""
        if self.done == self.total:
            self.console.print(f"all {self.total} runs are done already")
        elif self.console.is_terminal:
            self.bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                console=self.console,
                transient=True,
            )
            self.bars.start()
            self.study = self.bars.add_task("runs", total=self.total, completed=self.done, rate="")
        else:
            self.console.print(f"{self.total - self.done} runs to do, {self.done} done already", highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bars away."""
        if self.bars is not None:
            self.bars.stop()

    def progress(self, folder: Path, progress: run.Progress) -> None:
        """Show how far one run is."""
        speed = _speed(progress)
        if self.bars is not None:
            if folder not in self.tasks:
                self.tasks[folder] = self.bars.add_task(self.names[folder], total=progress.n_steps, rate="")
            self.bars.update(self.tasks[folder], completed=progress.step, total=progress.n_steps or None, rate=speed)
        elif time.monotonic() - self.said.setdefault(folder, time.monotonic()) > PLAIN_EVERY:
            self.said[folder] = time.monotonic()
            self.console.print(
                f"{self.names[folder]}: step {progress.step} of {progress.n_steps}{', ' if speed else ''}{speed}",
                highlight=False,
            )

    def end(self, folder: Path, failure: run.Failure | None) -> None:
        """Show that one run ended, and how."""
        self.done += failure is None
        text = f"{self.names[folder]}: done ({self.done} of {self.total})" if failure is None else (
            f"{self.names[folder]}: failed, {failure.cause}: {failure.message} ({folder})"
        )  # fmt: skip
        if self.bars is not None:
            if folder in self.tasks:
                self.bars.remove_task(self.tasks.pop(folder))
            self.bars.update(self.study, advance=1)
            if failure is not None:
                self.bars.console.print(text, markup=False, highlight=False)
        else:
            self.console.print(text, markup=False, highlight=False)


def _speed(progress: run.Progress) -> str:
    """Return ns/day and the time left, where they are known."""
    if not progress.rate:
        return ""
    left = max(0, progress.n_steps - progress.step) / progress.rate
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    remaining = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
    if progress.timestep is None:
        return f"{remaining} left"
    speed = progress.rate * progress.timestep * 86400 / 1000
    return f"{speed:,.0f} ns/day, {remaining} left" if speed >= 100 else f"{speed:.3g} ns/day, {remaining} left"


def show_status(plan: Plan, console: Console | None = None) -> None:
    """Print one row a run, and how many are in each state."""
    console = console or Console(soft_wrap=True)
    driven = is_driven(plan.runs)
    table = Table(
        "run", *plan.jobs[0].point.values, "replica", "state", "attempts", "cause", box=None, pad_edge=False
    )
    counts: Counter[str] = Counter()
    for job in plan.jobs:
        state = run.state(job.folder)
        name = "running" if driven and state.name == "stopped" else state.name
        counts[name] += 1
        values = [str(v) for v in job.point.values.values()]
        cause = f"{state.cause}: {state.message}" if state.cause else ""
        table.add_row(job.key[:12], *values, str(job.point.replica), name, str(state.attempts), cause)
    console.print(table)
    console.print(", ".join(f"{n} {name}" for name, n in sorted(counts.items())), highlight=False)
