"""The commands for what models need: environments of their frameworks, exports, pair styles."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

framework = typer.Typer(help="Environments of the frameworks that make models.", no_args_is_help=True)
model = typer.Typer(help="Model files: what they are, and their exports for LAMMPS.", no_args_is_help=True)
plugin = typer.Typer(help="The pair styles mace, nequip and allegro for a LAMMPS.", no_args_is_help=True)


class Framework(StrEnum):
    """The frameworks that have environments."""

    mace = "mace"
    nequip = "nequip"
    deepmd = "deepmd"


FrameworkName = Annotated[Framework, typer.Argument(help="Which framework.", show_default=False)]
ModelFile = Annotated[Path, typer.Argument(help="A model file.", show_default=False)]


class Dtype(StrEnum):
    """Of an export's numbers."""

    float64 = "float64"
    float32 = "float32"


class Device(StrEnum):
    """Where a compiled model runs."""

    cpu = "cpu"
    cuda = "cuda"


@framework.command("add")
def framework_add(name: FrameworkName) -> None:
    """Make the environment of a framework, with pinned versions, and prove it (minutes, 1 to 2 GB)."""
    from lampion.framework import add

    made = add(name.value)
    typer.echo(f"{name.value}  {_versions(made)}  {made.folder}")


@framework.command("list")
def framework_list() -> None:
    """List the frameworks that are installed."""
    from lampion.framework import NAMES, installed

    found = {environment.name: environment for environment in installed()}
    for name in NAMES:
        known = found.get(name)
        what = f"{_versions(known)}  {known.folder}" if known else f"not installed: lampion framework add {name}"
        typer.echo(f"{name:<8}{what}")


@framework.command("remove")
def framework_remove(name: FrameworkName) -> None:
    """Remove the environment of a framework."""
    from lampion.framework import remove

    typer.echo(f"{name.value} is removed" if remove(name.value) else f"{name.value} was not installed")


def _versions(environment: Any) -> str:
    return ", ".join(f"{package} {version}" for package, version in environment.versions.items())


@model.command("inspect")
def model_inspect(file: ModelFile) -> None:
    """Tell what a model file is, without torch and without running anything of it."""
    from lampion.model import describe, inspect

    for line in describe(inspect(file)):
        typer.echo(line)


@model.command("export")
def model_export(
    file: ModelFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder or name for the export.")] = Path(),
    trust: Annotated[
        bool,
        typer.Option("--trust", help="You trust where the file comes from: loading it runs code that it brings."),
    ] = False,
    head: Annotated[str | None, typer.Option(help="Head of a MACE model with several.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Of a MACE export's numbers.")] = Dtype.float64,
    device: Annotated[Device, typer.Option(help="For which a NequIP or Allegro model is compiled.")] = Device.cpu,
) -> None:
    """Make what LAMMPS needs from a trained model, in its framework's environment."""
    from lampion.framework import export

    made = export(file, trusted=trust, head=head, dtype=dtype.value, device=device.value, output=output)
    typer.echo(f"{made}")


@plugin.command("build")
def plugin_build(
    name: FrameworkName,
    lmp: Annotated[str | None, typer.Option(help="A LAMMPS in place of the one that is found.")] = None,
) -> None:
    """Compile the pair styles for a LAMMPS and a framework's libtorch; print the folder for LAMMPS_PLUGIN_PATH."""
    from lampion.engine import Engine, find
    from lampion.framework import find as find_framework
    from lampion.plugin.build import build

    typer.echo(str(build(find(Engine(lmp=lmp)), find_framework(name.value).torch)))
