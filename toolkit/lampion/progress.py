"""What the terminal shows of a study: bars while it runs, plain lines where there is no terminal, its state."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from lampion import dispatch, run
from lampion.report import label
from lampion.study import Plan

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
    remaining = _clock(max(0, progress.n_steps - progress.step) / progress.rate)
    if progress.timestep is None:
        return f"{remaining} left"
    speed = progress.rate * progress.timestep * 86400 / 1000
    return f"{speed:,.0f} ns/day, {remaining} left" if speed >= 100 else f"{speed:.3g} ns/day, {remaining} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


MANY = 60
"""With more runs than this, only those that failed are listed."""


def show_status(plan: Plan, console: Console | None = None) -> None:
    """Print how many runs are in each state, what they cost, and one row a run where they are few."""
    console = console or Console(soft_wrap=True)
    for part in _status(plan):
        console.print(part, highlight=False)


def watch_status(plan: Plan, every: float = 2.0) -> None:
    """Show the state of the runs anew every few seconds, until all have ended or the user stops it."""
    console = Console()
    with contextlib.suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Group(*_status(plan)), refresh=True)
            if all(run.state(job.folder).name in ("done", "failed") for job in plan.jobs):
                return
            time.sleep(every)


def _status(plan: Plan) -> Iterator[Table | str]:
    jobs = {job.folder: job for job in plan.jobs}
    states = {folder: run.state(folder) for folder in jobs}
    table = Table(
        "run", *plan.jobs[0].point.values, "replica", "state", "attempts", "cause", box=None, pad_edge=False
    )
    many = len(jobs) > MANY
    shown = [folder for folder in jobs if not many or states[folder].name in ("failed", "running")][:MANY]
    for folder in shown:
        job, state = jobs[folder], states[folder]
        values = [escape(str(v)) for v in job.point.values.values()]
        cause = escape(f"{state.cause}: {state.message}") if state.cause else ""
        table.add_row(job.key[:12], *values, str(job.point.replica), state.name, str(state.attempts), cause)
    if shown:
        yield table
    counts = Counter(state.name for state in states.values())
    causes = Counter(state.cause for state in states.values() if state.name == "failed")
    failed = f" ({', '.join(f'{n} {cause}' for cause, n in sorted(causes.items()))})" if causes else ""
    yield ", ".join(f"{n} {name}{failed if name == 'failed' else ''}" for name, n in sorted(counts.items()))
    yield from _cost(plan, states, counts)


def _cost(plan: Plan, states: Mapping[Path, run.State], counts: Counter[str]) -> Iterator[str]:
    """Say what the finished runs took, and what those that are left will take like them."""
    took: list[tuple[float, int]] = []
    for folder, state in states.items():
        if state.name == "done":
            record = run.read_json(folder / "done.json")
            if record.get("wall_s") is not None:
                took.append((float(record["wall_s"]), int(record["cores"])))
    if not took:
        return
    hours = sum(wall * cores for wall, cores in took) / 3600
    text = f"{hours:.3g} core-hours so far"
    left = len(states) - counts["done"] - counts["failed"]
    if left:
        mean = sum(wall for wall, _ in took) / len(took)
        side_by_side = dispatch.at_a_time(plan.study.engine)
        text += f"; about {_clock(mean * left / side_by_side)} for the {left} that are left, {side_by_side} at a time"
    yield text
