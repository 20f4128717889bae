"""Give a LAMMPS the pair styles that a potential needs and it lacks: from our plugin, or from DeePMD-kit's."""

import os
from dataclasses import replace
from pathlib import Path

from lampion import engine
from lampion.errors import EngineError
from lampion.framework.environments import Environment, find
from lampion.lammps import Lammps
from lampion.plugin.build import build, identity
from lampion.potential import PairSetup


def equip(lammps: Lammps, pair: PairSetup, *, ranks: int = 1, chosen: bool = False) -> Lammps:
    """Return the LAMMPS for runs with these pair lines; as it is where it has the styles itself.

    The plugin's source and its torch are in the identity of what is returned, and so in the keys of the runs.

    Args:
        lammps: what was found.
        pair: the pair lines.
        ranks: MPI ranks of a run.
        chosen: whether the user named this LAMMPS, so that no other may take its place.

    Raises:
        EngineError: the framework is not installed, the plugin can't be built or doesn't fit, or the style can't be
            spread over ranks.
    """
    if pair.one_rank and ranks > 1:
        raise EngineError(f"engine.ranks: the pair style {pair.pair_styles[0]} runs on 1 rank, not {ranks}")
    has = lammps.styles.get("pair", frozenset())
    if not pair.framework or all(style in has for style in pair.pair_styles):
        return lammps
    environment = find(pair.framework)
    if pair.framework == "deepmd":
        return _with_deepmd(lammps, environment, pair, chosen=chosen)
    torch = environment.torch
    return _with(lammps, build(lammps, torch), identity(torch), pair)


def _with_deepmd(lammps: Lammps, environment: Environment, pair: PairSetup, *, chosen: bool) -> Lammps:
    """Return a LAMMPS with DeePMD-kit's own plugin, which fits the LAMMPS that it was compiled for alone."""
    own = engine.probe(environment.packages / "lammps/lmp", "the framework deepmd", None)
    if lammps.git != own.git:
        if chosen:
            raise EngineError(
                f"{lammps.executable}: DeePMD-kit's plugin was compiled for LAMMPS {own.git} and this is "
                f"{lammps.identity}; leave engine.lmp out, or set it to {own.executable}"
            )
        lammps = own
    plugins = environment.packages / "deepmd/lib"
    # The plugin looks for TensorFlow when it opens a model; this is where pip puts it.
    places = [environment.packages / "tensorflow", environment.packages / "tensorflow/python", plugins]
    path = os.pathsep.join([*filter(None, [lammps.environment.get("LD_LIBRARY_PATH")]), *map(str, places)])
    lammps = replace(lammps, environment={**lammps.environment, "LD_LIBRARY_PATH": path})
    return _with(lammps, plugins, f"deepmd-kit {environment.versions['deepmd-kit']}", pair)


def _with(lammps: Lammps, plugins: Path, what: str, pair: PairSetup) -> Lammps:
    styles = {**lammps.styles, "pair": lammps.styles.get("pair", frozenset()) | set(pair.pair_styles)}
    variables = {**lammps.environment, "LAMMPS_PLUGIN_PATH": str(plugins)}
    return replace(lammps, styles=styles, environment=variables, plugin=what)
