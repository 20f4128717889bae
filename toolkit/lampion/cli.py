"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lampion import __version__, equipment
from lampion.errors import LampionError

app = typer.Typer(
    name="lampion",
    help="LAMMPS with machine-learned interatomic potentials: decks, runs, and numbers with error bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
analyze = typer.Typer(help="Analyse anybody's dump.", no_args_is_help=True)
app.add_typer(analyze, name="analyze")
app.add_typer(equipment.framework, name="framework")
app.add_typer(equipment.model, name="model")
app.add_typer(equipment.plugin, name="plugin")
site = typer.Typer(help="Clusters, and what they ask of a job.", no_args_is_help=True)
app.add_typer(site, name="site")

SiteName = Annotated[str, typer.Argument(help="Name of a site.", show_default=False)]
StudyFile = Annotated[Path, typer.Argument(help="The study file (YAML).", show_default=False)]
Relock = Annotated[bool, typer.Option("--relock", help="Begin anew with this LAMMPS and seed; reruns everything.")]


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit status 2."""
    try:
        app()
    except LampionError as error:
        print(f"lampion: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:
        if error.filename is None:
            said = f"the output can't be written: {error.strerror or error}"
        else:
            said = f"{error.filename}: {error.strerror}; free the place, or choose another"
        print(f"lampion: {said}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lampion {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    del version
    logging.basicConfig(format="lampion: %(message)s", level=logging.INFO if verbose else logging.WARNING)
    # Matplotlib tells of each font that a moved environment took away; it falls back to others.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    logging.getLogger("lampion").setLevel(logging.INFO if verbose else logging.WARNING)


@app.command()
def run(
    study: StudyFile,
    relock: Relock = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Run a model's first study without `lampion check`.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave what other drivers work on to them: for jobs on a cluster.")
    ] = False,
) -> None:
    """Run what the study asks for and is not done, then write its table, pictures and page."""
    from lampion.study import plan

    planned = plan(study, relock=relock)
    if not no_check:
        _gate(planned)
    _execute(study, planned, again=False, share=no_wait)


@app.command()
def retry(study: StudyFile) -> None:
    """Run what is not done, and once more what failed for a cause that it would meet again."""
    from lampion.study import plan

    _execute(study, plan(study), again=True)


def _execute(study: Path, planned: Any, *, again: bool, share: bool = False) -> None:
    from lampion.progress import Display
    from lampion.study import execute, plan, until

    while True:
        with Display(planned) as display:
            finished = execute(planned, again=again, share=share, on_progress=display.progress, on_end=display.end)
        if not finished:
            typer.echo(f"stopped; what is done is kept, and `lampion run {study}` goes on from here", err=True)
            raise typer.Exit(130)
        wanted = planned.study.sweep.until
        if wanted is None or not until.look(_collected(planned), wanted):
            break
        planned, again = plan(study), False
    failed = _report(planned)
    if failed:
        raise typer.Exit(1)


def _collected(planned: Any) -> Any:
    from lampion.study import collect

    return collect(planned)


def _gate(planned: Any) -> None:
    """Check each model that no check of this study has passed; end here where one fails."""
    if all(job.pair.framework is None for job in planned.jobs):
        return
    from lampion.check import check as perform
    from lampion.check import unchecked

    failed = [verdict for verdict in perform(planned, unchecked(planned)) if _said(verdict)]
    if failed:
        typer.echo("the check failed, and nothing was run; --no-check runs all the same", err=True)
        raise typer.Exit(1)


def _said(verdict: Any) -> bool:
    """Print a verdict; True where it is a failure."""
    for line in verdict.lines():
        typer.echo(line, err=not verdict.well)
    return not verdict.well


@app.command()
def check(study: StudyFile) -> None:
    """Compare each potential in LAMMPS with its framework's own calculator, with itself on 2 ranks and by strain."""
    from lampion.check import check as perform
    from lampion.study import plan

    if [verdict for verdict in perform(plan(study)) if _said(verdict)]:
        raise typer.Exit(1)


@app.command()
def report(study: StudyFile) -> None:
    """Make the table, the pictures and the page anew from the runs that are done."""
    from lampion.study import plan

    _report(plan(study))


def _report(planned: Any) -> int:
    """Write the report, print its summary, and return how many runs failed."""
    from lampion.report import summary, write_report
    from lampion.study import collect

    collected = collect(planned)
    written = write_report(collected)
    for line in summary(collected):
        typer.echo(line)
    failed = 0
    for _, row in collected.runs.iterrows():
        if str(row["state"]).startswith("failed"):
            failed += 1
            typer.echo(f"run {row['run']} {row['state']}: {row['flags']}", err=True)
        elif row["flags"]:
            typer.echo(f"run {row['run']} is flagged, and not averaged in: {row['flags']}", err=True)
    done = int((collected.runs["state"] == "done").sum())
    typer.echo(f"{done} of {len(collected.runs)} runs done; {written.tables[0]}, {written.page}")
    return failed


@app.command()
def render(
    study: StudyFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the decks.")] = Path("decks"),
    submit_scripts: Annotated[
        str | None, typer.Option(help="A site, for whose scheduler a script is written that runs them.")
    ] = None,
) -> None:
    """Write the decks without running them: each folder runs with `lmp -in in.lammps`."""
    from lampion.rendering import render_study

    for line in render_study(study, output, submit_scripts):
        typer.echo(line)


@app.command()
def submit(
    study: StudyFile,
    site: Annotated[str, typer.Option(help="Name of the site, as `lampion site list` shows it.")],
    jobs: Annotated[int, typer.Option(min=1, max=10000, help="Jobs that share the runs.")] = 1,
) -> None:
    """Submit jobs that work on a study together, each on one node, and print their number."""
    from lampion.rendering import submit_study

    typer.echo(submit_study(study, site, jobs))


@site.command("list")
def site_list() -> None:
    """List the sites; this machine is always one, and needs no file."""
    from lampion import site as sites

    typer.echo("local (this machine)")
    for name in sites.names():
        typer.echo(name)
    typer.echo(f"site files lie in {sites.folder()}")


@site.command("show")
def site_show(name: SiteName) -> None:
    """Show the script that a job on a site begins with."""
    from lampion import site as sites

    typer.echo(sites.script(sites.read(name), name="lampion", work="lampion run --no-wait study.yaml"))


@site.command("check")
def site_check(name: SiteName) -> None:
    """Read a site's file, and ask its scheduler whether it would take a job."""
    import tempfile

    from lampion import site as sites

    found = sites.read(name)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "check.sh"
        script.write_text(sites.script(found, name="check", work="true"))
        typer.echo(sites.submit(script, test=True))


@app.command()
def status(
    study: StudyFile, watch: Annotated[bool, typer.Option("--watch", help="Show it anew every two seconds.")] = False
) -> None:
    """Show where every run of the study stands, and what it costs."""
    from lampion.progress import show_status, watch_status
    from lampion.study import plan

    (watch_status if watch else show_status)(plan(study))


@app.command()
def clean(
    study: StudyFile,
    force: Annotated[
        bool, typer.Option("--force", help="Also remove finished runs that the study no longer asks for.")
    ] = False,
) -> None:
    """Remove what killed and failed runs left; results and running runs stay."""
    from lampion.study import clean as take_away
    from lampion.study import plan

    removed = list(take_away(plan(study), finished=force))
    for folder, _ in removed:
        typer.echo(f"removed {folder}")
    typer.echo(f"{len(removed)} folders, {sum(size for _, size in removed) / 1e6:.1f} MB")


@app.command()
def compare(
    studies: Annotated[list[Path], typer.Argument(help="Study files; ratios are to the first.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for table and picture.")] = None,
) -> None:
    """Set the diffusion coefficients of several studies side by side, as ratios with errors."""
    from lampion.compare import compare_studies

    for line in compare_studies(studies, output):
        typer.echo(line)


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, so that editors complete them."""
    import json

    from lampion.study import schema as study_schema

    typer.echo(json.dumps(study_schema(), indent=1, ensure_ascii=False))


@app.command()
def doctor(
    lmp: Annotated[str | None, typer.Option(help="A LAMMPS to look at in place of the one that is found.")] = None,
) -> None:
    """Say what was found, what is missing, and how to get it."""
    from lampion.doctor import examine

    healthy = True
    for line in examine(lmp):
        healthy = healthy and line.well
        typer.echo(f"{'ok     ' if line.well else 'missing'}  {line.text}")
    if not healthy:
        raise typer.Exit(1)


@analyze.command("diffusion")
def analyze_diffusion(
    dumps: Annotated[list[Path], typer.Argument(help="Dumps of one run, in order.", show_default=False)],
    independent: Annotated[
        bool,
        typer.Option("--independent", help="Each dump is a trajectory of its own; same atoms, same length."),
    ] = False,
    mobile: Annotated[
        str | None, typer.Option(help="Elements that diffuse, as Li or Li,Na; all that leave their sites by default.")
    ] = None,
    framework: Annotated[
        str,
        typer.Option(
            help="Elements that hold still and serve as the reference for drift, as P,S; none takes the centre of "
            "mass; auto finds those that stay on their sites."
        ),
    ] = "auto",
    types: Annotated[str | None, typer.Option(help="Element of each type, as 1=Li,2=S.")] = None,
    timestep: Annotated[float | None, typer.Option(help="ps, where neither dump nor log says it.")] = None,
    units: Annotated[str | None, typer.Option(help="LAMMPS's units, where neither dump nor log says them.")] = None,
    window: Annotated[str | None, typer.Option(help="Lags to fit, ps, as 5:50; found by default.")] = None,
    unwrap: Annotated[
        str, typer.Option(help="minimum_image unwraps coordinates that have no image flags; auto refuses them.")
    ] = "auto",
    hop_length: Annotated[float, typer.Option(help="Å between neighbouring sites, to count hops with.")] = 2.5,
    charges: Annotated[
        str | None, typer.Option(help="e of every element, as Na=1,Cl=-1: gives conductivity and Haven ratio.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="K, for the conductivity.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for picture, tables, JSON.")] = None,
) -> None:
    """Compute the diffusion coefficient of each mobile element, with its error, and the conductivity."""
    from lampion.account import diffusion_account
    from lampion.request import requested

    request = requested(
        dumps,
        independent=independent,
        mobile=mobile,
        framework=framework,
        types=types,
        timestep=timestep,
        units=units,
        window=window,
        unwrap=unwrap,
        hop_length=hop_length,
        charges=charges,
        temperature=temperature,
        output=output,
    )
    for line in diffusion_account(request):
        typer.echo(line)
