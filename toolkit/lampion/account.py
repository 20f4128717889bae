"""The diffusion of anybody's dump: an account in words, a picture, a table and JSON."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from lampion import __version__, plot
from lampion.analysis.diffusion import DiffusionResult, NotDiffusiveError, diffusion_coefficient
from lampion.analysis.phase import phase
from lampion.errors import LampionError, SettingError
from lampion.settings import ELEMENTS
from lampion.trajectory import read_dump


def diffusion_account(
    dumps: Sequence[Path],
    mobile: str | None,
    framework: str | None,
    types: str | None,
    timestep: float | None,
    window: str | None,
    unwrap: str,
    output: Path | None,
) -> Iterator[str]:
    """Analyse a dump; the arguments are those of ``lampion analyze diffusion``.

    Raises:
        LampionError: an argument, the dump, or its statistics are not fit.
    """
    trajectory = read_dump(
        list(dumps), species=_types(types), timestep=timestep, unwrap=_unwrap(unwrap)
    )  # fmt: skip
    kinds = sorted(set(trajectory.species.tolist()))
    still = _chosen(framework, kinds, "--framework")
    moving = _chosen(mobile, kinds, "--mobile") or [k for k in kinds if k not in still]
    yield (
        f"{len(trajectory.steps)} frames over {trajectory.times[-1] - trajectory.times[0]:g} ps, "
        f"{len(trajectory.ids)} atoms ({' '.join(kinds)}), unwrapped: {trajectory.unwrapping}"
    )
    yield from trajectory.notes
    results: dict[str, DiffusionResult] = {}
    refused: list[str] = []
    for species in moving:
        held = np.isin(trajectory.species, still) if still else None
        try:
            results[species] = diffusion_coefficient(
                trajectory.positions,
                trajectory.times,
                mobile=trajectory.species == species,
                framework=held,
                masses=trajectory.masses,
                window=_window(window),
            )
        except NotDiffusiveError as error:
            refused.append(f"no D of {species}: {error}")
            results[species] = error.result
            continue
        yield from _words(species, results[species])
    for species in moving:
        verdict = phase(
            trajectory.positions, trajectory.times, trajectory.cells[0], atoms=trajectory.species == species
        )
        yield f"{species} is {verdict.verdict} by its displacements (Lindemann ratio {verdict.lindemann:.2f})"
    if output is not None:
        yield from _write(output, dumps, results, refused)
    if refused:
        raise LampionError("; ".join(refused))


def _words(species: str, result: DiffusionResult) -> Iterator[str]:
    if result.D is None:
        yield f"D({species}) is below {result.upper_bound:.1e} cm²/s (95 %): too few hops for a value"
    else:
        low, high = result.D.interval(0.954)
        yield f"D({species}) = {result.D}, 95 % interval {low:.3g} to {high:.3g} cm²/s"
        yield (
            f"  MSD fitted from {result.window[0]:g} to {result.window[1]:g} ps (log-log slope "
            f"{result.log_slope:.2f}), error from {result.D.method}; reference: {result.reference.statement}"
        )
    for flag in result.flags:
        yield f"  flag: {flag}"


def _write(
    output: Path, dumps: Sequence[Path], results: dict[str, DiffusionResult], refused: list[str]
) -> Iterator[str]:
    output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "format": 1,
        "lampion": __version__,
        "dumps": [str(d) for d in dumps],
        "refused": refused,
    }
    for species, result in results.items():
        record[species] = {
            "D": dataclasses.asdict(result.D) if result.D is not None else None,
            "upper_bound (cm²/s)": result.upper_bound,
            "window (ps)": result.window,
            "log_slope": result.log_slope,
            "flags": result.flags,
            "reference": result.reference.statement,
        }
        table = pd.DataFrame(
            {
                "lag (ps)": result.lags,
                "MSD (Å²)": result.msd,
                "MSD error (Å²)": result.msd_error,
                "fit (Å²)": result.line,
                "fit error (Å²)": result.band,
            }
        )
        table.to_csv(output / f"msd_{species}.csv", index=False)
    (output / "diffusion.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if results:
        plot.save({"msd": plot.msd(list(results.items()))}, output)
    yield f"written: {output}"


def _types(text: str | None) -> dict[int, str] | None:
    if text is None:
        return None
    try:
        pairs = [(int(number), symbol.strip()) for number, symbol in (item.split("=") for item in text.split(","))]
    except ValueError as error:
        raise SettingError(f"--types {text!r}: write it as 1=Li,2=S") from error
    strange = [symbol for _, symbol in pairs if symbol not in ELEMENTS]
    if strange or len(dict(pairs)) < len(pairs):
        what = f"{strange[0]} is not a chemical symbol" if strange else "a type is given twice"
        raise SettingError(f"--types {text!r}: {what}; write it as 1=Li,2=S")
    return dict(pairs)


def _unwrap(text: str) -> Literal["auto", "minimum_image"]:
    if text == "auto" or text == "minimum_image":
        return text  # type: ignore[return-value]
    raise SettingError(f"--unwrap {text!r}: must be auto or minimum_image")


def _window(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        start, end = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise SettingError(f"--window {text!r}: write it in ps as 5:50") from error
    if not 0 <= start < end < float("inf"):
        raise SettingError(f"--window {text!r}: the start must lie before the end, and both must be finite")
    return start, end


def _chosen(text: str | None, kinds: Sequence[str], option: str) -> list[str]:
    chosen = [part.strip() for part in text.split(",")] if text else []
    strange = [c for c in chosen if c not in kinds]
    if strange:
        raise SettingError(f"{option} {strange[0]}: the dump has {' '.join(kinds)}")
    return chosen
