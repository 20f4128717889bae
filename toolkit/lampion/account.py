"""The diffusion in anybody's dump: an account in words, a picture, tables and JSON."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lampion import __version__, plot
from lampion.analysis.conductivity import ConductivityResult
from lampion.analysis.diffusion import DiffusionResult, NotDiffusiveError
from lampion.analysis.from_trajectory import charge_transport, tensor_of, tracer_diffusion
from lampion.analysis.selection import framework_of_all, phase_of
from lampion.analysis.tensor import DiffusionTensor
from lampion.errors import AnalysisError, LampionError, TrajectoryError
from lampion.request import Request, as_options, named
from lampion.trajectory import Trajectory, read_dump


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """What was found out."""

    tracer: dict[str, DiffusionResult] = dataclasses.field(default_factory=dict)
    """By element; a refused one too, for the picture."""
    tensor: dict[str, DiffusionTensor] = dataclasses.field(default_factory=dict)
    charge: ConductivityResult | None = None
    phases: dict[str, str] = dataclasses.field(default_factory=dict)
    refused: tuple[str, ...] = ()
    """Sentences."""
    notes: tuple[str, ...] = ()


def diffusion_account(request: Request) -> Iterator[str]:
    """Analyse a dump, or several independent ones, and say line by line what is found.

    Raises:
        LampionError: an option or the dump is not fit; a D is refused, after all the others were told and written.
    """
    runs = _read(request)
    first = runs[0]
    kinds = sorted({str(s) for s in first.species})
    mobile, held = named(request, kinds)
    yield (
        f"{f'{len(runs)} trajectories of ' if len(runs) > 1 else ''}{first.n_frames} frames over "
        f"{first.times[-1] - first.times[0]:g} ps, {first.n_atoms} atoms ({' '.join(kinds)}), "
        f"unwrapped: {first.unwrapping}"
    )
    yield from dict.fromkeys(note for run in runs for note in run.notes)
    account = _analysed(request, runs, mobile or _movers(runs, request, kinds, held))
    for species, result in account.tracer.items():
        if not any(f"of {species}:" in refusal for refusal in account.refused):
            yield from _words(species, result, account.tensor.get(species))
    if account.charge is not None:
        yield from _charge_words(account.charge)
    yield from account.phases.values()
    yield from account.notes
    if request.output is not None:
        yield from _write(request, account)
    if account.refused:
        raise LampionError("; ".join(account.refused))


def _read(request: Request) -> list[Trajectory]:
    groups = [[dump] for dump in request.dumps] if request.independent else [list(request.dumps)]
    try:
        return [
            read_dump(
                group,
                species=request.types,
                timestep=request.timestep,
                units=request.units,
                unwrap=request.unwrap,
            )
            for group in groups
        ]
    except TrajectoryError as error:
        raise as_options(error) from error


def _movers(runs: Sequence[Trajectory], request: Request, kinds: Sequence[str], held: Sequence[str]) -> list[str]:
    """Return the elements that are no framework: those not named as such, or those that leave their sites."""
    if held or request.framework is None or len(kinds) == 1:
        return [kind for kind in kinds if kind not in held]
    try:
        leaving = [kind for kind in kinds if any(phase_of(run, kind).verdict != "solid" for run in runs)]
    except AnalysisError:  # a run too short to tell
        leaving = []
    return leaving or list(kinds)


def _phases(runs: Sequence[Trajectory]) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """Return what each element is in words, what can't be told, and which elements are liquid in some runs only."""
    said: dict[str, str] = {}
    notes: list[str] = []
    mixed: dict[str, str] = {}
    for species in sorted({str(s) for s in runs[0].species}):
        try:
            seen = [phase_of(run, species) for run in runs]
        except AnalysisError as error:
            notes.append(f"whether {species} is solid or liquid can't be told: {error}")
            continue
        verdicts = [one.verdict for one in seen]
        ratios = [one.lindemann for one in seen]
        span = f"{min(ratios):.2f}" + (f" to {max(ratios):.2f}" if len(runs) > 1 else "")
        kinds = " or ".join(dict.fromkeys(verdicts))
        said[species] = f"{species} is {kinds} by its displacements (Lindemann ratio {span})"
        if {"solid", "liquid"} <= set(verdicts):
            mixed[species] = (
                f"it is solid in trajectory {verdicts.index('solid') + 1} of {len(runs)} and liquid in trajectory "
                f"{verdicts.index('liquid') + 1}: analyse them apart"
            )
    return said, notes, mixed


def _analysed(request: Request, runs: Sequence[Trajectory], mobile: Sequence[str]) -> Account:
    first = runs[0]
    tracer: dict[str, DiffusionResult] = {}
    tensor: dict[str, DiffusionTensor] = {}
    refused: list[str] = []
    framework = request.framework
    if framework == "auto":
        # One reference for all that moves: an element is no framework for another that it diffuses with.
        mask = framework_of_all(runs, np.isin(first.species, mobile), "auto")[0]
        framework = None if mask is None else sorted({str(s) for s in first.species[mask]})
    phases, notes, mixed = _phases(runs)
    for species in mobile:
        if species in mixed:
            refused.append(f"no D of {species}: {mixed[species]}")
            continue
        try:
            tracer[species] = tracer_diffusion(
                runs,
                species,
                framework=framework if framework is not None else _undecided(first, mobile, request),
                window=request.window,
                hop_length=request.hop_length,
            )
        except NotDiffusiveError as error:
            refused.append(f"no D of {species}: {error}")
            tracer[species] = error.result
        except AnalysisError as error:
            refused.append(f"no D of {species}: {error}")
        else:
            tensor[species] = tensor_of(runs, species, window=tracer[species].window, framework=framework)
    charge = None
    if request.charges is not None and request.temperature is not None:
        try:
            charge = charge_transport(
                runs,
                request.temperature,
                charges=request.charges,
                mobile=None if framework is None else mobile,
                framework=framework,
                window=request.window,
                hop_length=request.hop_length,
            )
        except AnalysisError as error:
            refused.append(f"no conductivity: {error}")
    return Account(
        tracer=tracer, tensor=tensor, charge=charge, phases=phases, refused=tuple(refused), notes=tuple(notes)
    )


def _undecided(run: Trajectory, mobile: Sequence[str], request: Request) -> Any:
    """Return 'auto' where others than the mobile elements are there, so that their doubtful phase is flagged."""
    others = set(run.species.tolist()) - set(mobile)
    return "auto" if others and request.framework == "auto" else None


def _words(species: str, result: DiffusionResult, tensor: DiffusionTensor | None) -> Iterator[str]:
    if result.D is None:
        yield f"D({species}) is below {result.upper_bound:.1e} cm²/s (95 %): too few hops for a value"
    else:
        low, high = result.D.interval(0.954)
        yield f"D({species}) = {result.D}, 95 % interval {low:.3g} to {high:.3g} cm²/s"
        yield (
            f"  MSD fitted from {result.window[0]:g} to {result.window[1]:g} ps (log-log slope "
            f"{result.log_slope:.2f}), {result.D.method}; about {result.n_hops:,.0f} hops of "
            f"{result.hop_length:g} Å in all"
        )
    yield f"  {result.reference.statement}; the reference strayed by {result.drift:.2g} Å, which is taken out"
    if tensor is not None:
        along = ", ".join(f"{axis} {D}" for axis, D in zip("xyz", tensor.directions, strict=True))
        yield f"  along {along}: {'anisotropic' if tensor.anisotropic else 'isotropic within the errors'}"
    for flag in result.flags:
        yield f"  flag: {flag}"


def _charge_words(result: ConductivityResult) -> Iterator[str]:
    yield f"conductivity = {result.conductivity}; of independent ions (Nernst–Einstein) {result.nernst_einstein}"
    haven = f"{result.haven}" if result.haven is not None else "not to be had"
    yield f"  Dσ = {result.D_charge}, D* = {result.tracer.D} (weighted by q²), Haven ratio D*/Dσ = {haven}"
    yield f"  the charge's displacement grows as t^{result.log_slope:.2f} in the window of D*"
    for flag in result.flags:
        yield f"  flag: {flag}"


def _write(request: Request, account: Account) -> Iterator[str]:
    output = request.output
    if output is None:
        return
    output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "format": 1,
        "lampion": __version__,
        "dumps": [str(d) for d in request.dumps],
        "refused": account.refused,
        "phases": account.phases,
        "notes": account.notes,
    }
    for species, result in account.tracer.items():
        record[species] = _record(species, result, account)
        pd.DataFrame(
            {
                "lag (ps)": result.lags,
                "MSD (Å²)": result.msd,
                "MSD error (Å²)": result.msd_error,
                "fit (Å²)": result.line,
                "fit error (Å²)": result.band,
            }
        ).to_csv(output / f"msd_{species}.csv", index=False)
    if account.charge is not None:
        charge = account.charge
        names = (
            "conductivity",
            "nernst_einstein",
            "D_charge",
            "haven",
            "tensor",
            "tensor_error",
            "log_slope",
            "log_slope_error",
            "flags",
        )
        record["charge"] = {name: _plain(getattr(charge, name)) for name in names}
        pd.DataFrame(
            {
                "lag (ps)": charge.lags,
                "collective MSD (Å²)": charge.collective_msd,
                "collective MSD error (Å²)": charge.collective_error,
                "fit (Å²)": charge.line,
            }
        ).to_csv(output / "msd_charge.csv", index=False)
    text = json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False)
    (output / "diffusion.json").write_text(text + "\n", encoding="utf-8")
    if account.tracer:
        plot.save({"msd": plot.msd(list(account.tracer.items()))}, output)
    yield f"written: {output}"


def _record(species: str, result: DiffusionResult, account: Account) -> dict[str, Any]:
    refused = any(f"of {species}:" in refusal for refusal in account.refused)
    tensor = account.tensor.get(species)
    return {
        "D": None if refused else result.D,
        "upper_bound (cm²/s)": result.upper_bound,
        "window (ps)": result.window,
        "log_slope": result.log_slope,
        "log_slope_error": result.log_slope_error,
        "intercept (Å²)": result.intercept,
        "n_hops": result.n_hops,
        "hop_length (Å)": result.hop_length,
        "n_atoms": result.n_atoms,
        "D of each unit (cm²/s)": result.unit_values,
        "starts (ps)": result.starts,
        "D by start (cm²/s)": result.D_by_start,
        "D by start error (cm²/s)": result.D_by_start_error,
        "D tensor (cm²/s)": None if tensor is None else tensor.D,
        "D tensor error (cm²/s)": None if tensor is None else tensor.error,
        "anisotropic": None if tensor is None else tensor.anisotropic,
        "reference": result.reference.statement,
        "drift (Å)": result.drift,
        "flags": result.flags,
    }


def _plain(value: Any) -> Any:
    """Return what JSON can hold: lists for arrays, null for what is not finite."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
