"""What ``lampion analyze diffusion`` is asked: its options, checked before the dump is read."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lampion.errors import SettingError, TrajectoryError
from lampion.settings import ELEMENTS
from lampion.thermo import TIME_IN_PS


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of one analysis."""

    dumps: tuple[Path, ...]
    independent: bool
    """Each dump is a trajectory of its own; else they are one, in order."""
    mobile: tuple[str, ...]
    """Elements; empty for all that are no framework."""
    framework: Collection[str] | Literal["auto"] | None
    types: Mapping[int, str] | None
    timestep: float | None
    """ps."""
    units: str | None
    window: tuple[float, float] | None
    """ps."""
    unwrap: Literal["auto", "minimum_image"]
    hop_length: float
    """Å."""
    charges: Mapping[str, float] | None
    """e."""
    temperature: float | None
    """K."""
    output: Path | None


def requested(
    dumps: Sequence[Path],
    *,
    independent: bool = False,
    mobile: str | None = None,
    framework: str = "auto",
    types: str | None = None,
    timestep: float | None = None,
    units: str | None = None,
    window: str | None = None,
    unwrap: str = "auto",
    hop_length: float = 2.5,
    charges: str | None = None,
    temperature: float | None = None,
    output: Path | None = None,
) -> Request:
    """Check the options, as they stand on the command line.

    Raises:
        SettingError: one is none, with its name, its value and how to write it.
    """
    if unwrap not in ("auto", "minimum_image"):
        raise SettingError(f"--unwrap {unwrap!r}: must be auto or minimum_image")
    if units is not None and units not in TIME_IN_PS:
        raise SettingError(f"--units {units!r}: must be one of {' '.join(TIME_IN_PS)}")
    for name, value, low, high in (
        ("timestep", timestep, 1e-9, 1e3),
        ("temperature", temperature, 1e-3, 1e6),
        ("hop-length", hop_length, 0.1, 100.0),
    ):
        if value is not None and not low <= value <= high:
            raise SettingError(f"--{name} {value:g}: must lie between {low:g} and {high:g}")
    if (charges is None) != (temperature is None):
        given, missing = ("--charges", "--temperature") if temperature is None else ("--temperature", "--charges")
        raise SettingError(f"{given}: a conductivity needs {missing} as well")
    if independent and len(dumps) < 2:
        raise SettingError("--independent: needs two dumps or more, one for each trajectory")
    if len({path.resolve() for path in dumps}) < len(dumps):
        places = [path.resolve() for path in dumps]
        twice = next(path for path, place in zip(dumps, places, strict=True) if places.count(place) > 1)
        raise SettingError(f"{twice}: is given twice, and would count twice")
    if output is not None and output.exists() and not output.is_dir():
        raise SettingError(f"--output {output}: is no folder")
    held = {"auto": "auto", "none": None}.get(framework, framework)
    kinds = _elements(held, "--framework") if held not in ("auto", None) else None
    moving = _elements(mobile, "--mobile")
    if both := sorted(set(moving) & set(kinds or ())):
        raise SettingError(f"--framework {both[0]}: is among --mobile as well")
    return Request(
        dumps=tuple(dumps),
        independent=independent,
        mobile=moving,
        framework=kinds if kinds is not None else "auto" if held == "auto" else None,
        types=_types(types),
        timestep=timestep,
        units=units,
        window=_window(window),
        unwrap="auto" if unwrap == "auto" else "minimum_image",
        hop_length=hop_length,
        charges=_charges(charges),
        temperature=temperature,
        output=output,
    )


def named(request: Request, kinds: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the elements asked for as mobile and as framework, after a look at those that the dump has.

    Raises:
        SettingError: an element that the dump lacks.
    """
    held = [] if request.framework in (None, "auto") else list(request.framework)
    charged = list(request.charges or ())
    for option, elements in (("mobile", request.mobile), ("framework", held), ("charges", charged)):
        if strange := [e for e in elements if e not in kinds]:
            raise SettingError(f"--{option} {strange[0]}: the dump has {' '.join(kinds)}")
    if held and not set(kinds) - set(held):
        raise SettingError(f"--framework {','.join(held)}: are all elements of the dump, and nothing is left to move")
    return list(request.mobile), held


def as_options(error: TrajectoryError) -> TrajectoryError:
    """Return an error of the reader in the words of the command line: options in place of Python's arguments."""
    text = str(error)
    for pattern, option in _OPTIONS:
        text = re.sub(pattern, option, text)
    return TrajectoryError(text)


_OPTIONS = (
    (r"pass timestep=0\.001 \(ps\)", "give --timestep 0.001 (ps)"),
    (r"timestep=(\S+) was passed", r"--timestep \1 was given"),
    (r"pass units='real'", "give --units real"),
    (r"units='(\w+)' was passed", r"--units \1 was given"),
    (r"pass species=\{(\d+): 'Li', \.\.\.\}", r"give --types \1=Li,…"),
    (r"pass unwrap='minimum_image'", "give --unwrap minimum_image"),
)


def _elements(text: str | None, option: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",")) if text is not None else ()
    if "" in found or len(set(found)) < len(found):
        raise SettingError(f"{option} {text!r}: write elements, each once, as Li,Na")
    return found


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


def _charges(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    try:
        pairs = [(element.strip(), float(q)) for element, q in (item.split("=") for item in text.split(","))]
    except ValueError as error:
        raise SettingError(f"--charges {text!r}: write it as Na=1,Cl=-1") from error
    if len(dict(pairs)) < len(pairs) or not all(math.isfinite(q) for _, q in pairs) or not any(q for _, q in pairs):
        raise SettingError(
            f"--charges {text!r}: each element once, with a finite charge, not all zero, as Na=1,Cl=-1"
        )
    return dict(pairs)


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
