"""Render a LAMMPS input deck: text from a template and one dataclass. Nothing is read or written but templates.

A deck is a folder of plain files that ``lmp -in in.lammps`` runs as it stands.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from lampion import data
from lampion.errors import SettingError, TemplateError
from lampion.potential import PairSetup
from lampion.protocol import Custom, Diffusion, Ensemble, Hooks, Md, Minimize, Protocol, Static, template
from lampion.structure import Placement, write_data

DECK = "in.lammps"
DATA = "structure.data"
LADDER = "ladder.json"

# Blanks, dashes and typographic quotes, which LAMMPS turns into ASCII ones: a quote could come in so.
_TURNED = re.compile("[\u00a0\u02b0-\u02ff\u2000-\u206f\u2212\u2215\ufeff]")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A stage that a killed run can be taken up in."""

    runs_before: int
    """``run`` commands of the whole deck before it."""
    middle: tuple[str, ...]
    """Restart files that it writes in turns."""
    middle_deck: str
    """What goes on from one of those."""
    start: str | None
    """The restart file that it begins from; None for the first stage, which begins from the structure."""
    start_deck: str | None


@dataclass(frozen=True, kw_only=True)
class Deck:
    """The files of one run, before they are written."""

    files: Mapping[str, str]
    """Text by file name; `DECK` and `DATA` among them."""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """Files to copy beside them, by the name that the deck uses."""
    continuations: Mapping[str, str] = field(default_factory=dict)
    """Text by file name: decks that go on from a restart file of this one; they do nothing that it does not do."""
    ladder: tuple[Rung, ...] = ()
    """Where it can be taken up again, the latest last."""

    @property
    def n_steps(self) -> int:
        """Time steps that the deck runs, as far as its ``run`` lines say."""
        return sum(int(n) for n in re.findall(r"^run\s+(\d+)\s*$", self.files[DECK], re.MULTILINE))


def render(
    *,
    placement: Placement,
    potential: PairSetup,
    protocol: Protocol,
    seed: Callable[[str], int],
    header: str = "",
    folder: Path = Path(),
) -> Deck:
    """Return the deck that does `protocol` to a structure with a potential.

    Args:
        placement: the structure in LAMMPS's frame.
        potential: the pair lines and files, for the placement's types.
        protocol: what is done.
        seed: gives the seed of each use, by name, in 1 … 900,000,000.
        header: what made the deck; becomes comments.
        folder: where the paths of a custom template start.

    Raises:
        TemplateError: the template is missing, can't be parsed, or uses a variable that nobody gave.
        SettingError: the protocol can't be done to this structure.
    """
    check(placement, protocol)
    where = template(protocol, folder)
    environment = _environment(data.templates(), *([where.parent] if isinstance(where, Path) else []))
    structure = {
        "atom_style": potential.atom_style,
        "boundary": placement.boundary,
        "species": placement.species,
        "types_of": {
            e: [t for t, s in enumerate(placement.species, 1) if s == e] for e in dict.fromkeys(placement.species)
        },
        "n_atoms": len(placement.types),
        "frozen": placement.frozen,
        "velocities": placement.velocities is not None,
        "cell": placement.cell,
    }
    held = [*(["constrained"] if placement.frozen else []), *_hook_frozen(protocol)]
    variables: dict[str, Any] = {
        "header": _comment(header),
        "structure": structure,
        "frozen_groups": held,
        "moving": "moving" if held else "all",
        "potential": potential,
        "protocol": protocol,
        "hooks": Hooks() if isinstance(protocol, Custom) else protocol.hooks,
        "seed": seed,
        "steps": _steps(getattr(protocol, "timestep", 0.001)),
        "restart_every": _restart_steps(protocol),
        "resume": None,
    }
    inputs = dict(potential.files)
    if isinstance(protocol, Custom):
        clash = sorted(set(protocol.variables) & {*variables, *environment.globals, "comment"})
        if clash:
            raise TemplateError(
                f"protocol.variables.{clash[0]}: is a name that the template already has; choose another"
            )
        variables.update(protocol.variables)
        for file in protocol.files:
            if inputs.setdefault(file.name, folder / file) != folder / file:
                raise TemplateError(
                    f"protocol.files: {file} and {inputs[file.name]} have one name; rename one of them"
                )
    reserved = sorted({DECK, DATA, "log.lammps"} & set(inputs))
    if reserved:
        raise TemplateError(f"{inputs[reserved[0]]}: has the name of a file that the run itself writes; rename it")
    name = where.name if isinstance(where, Path) else where
    try:
        text = environment.get_template(name).render(variables)
    except jinja2.TemplateNotFound as error:
        if error.name == name:
            raise TemplateError(f"{where}: no such template; correct protocol.template") from error
        raise TemplateError(f"{where}: includes {error.name}, which is neither beside it nor ours") from error
    except jinja2.UndefinedError as error:
        raise TemplateError(f"{where}: {error.message}; declare it in protocol.variables") from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{error.filename or where}:{error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise TemplateError(f"{where}: can't be rendered: it includes or calls itself without end") from error
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise TemplateError(f"{where}: can't be rendered: {said}; correct the template") from error
    if not _commands(text).strip():
        raise TemplateError(f"{where}: gives no LAMMPS command; write the deck into it")
    turned = next((line for line in _commands(text).splitlines() if _TURNED.search(line)), None)
    if turned is not None:
        raise TemplateError(f"{where}: LAMMPS would read {turned!r} as other text; use plain quotes, dashes, blanks")
    missing = [path for path in inputs.values() if not path.is_file()]
    if missing:
        raise TemplateError(f"{missing[0]}: no such file, which the deck needs")
    charges = None if potential.charges is None else tuple(potential.charges.items())
    continuations: dict[str, str] = {}
    ladder = _ladder(protocol, text)
    for number, rung in enumerate(ladder, 1):
        for deck_name, middle in ((rung.start_deck, False), (rung.middle_deck, True)):
            if deck_name is not None:
                resume = {"stage": number if isinstance(protocol, Md) else 1, "middle": middle}
                continued = environment.get_template(name).render({**variables, "resume": resume})
                continuations[deck_name] = _tidy(continued)
    return Deck(
        files={DECK: _tidy(text), DATA: _data(placement, charges)},
        inputs=inputs,
        continuations=continuations,
        ladder=ladder,
    )


def _restart_steps(protocol: Protocol) -> int:
    """Return the steps between restart files; 0 where the protocol writes none on a schedule."""
    every = getattr(protocol, "restart_every", 0.0)
    if not every or isinstance(protocol, Custom | Static | Minimize) or protocol.dump_format == "zst":
        return 0
    steps = _steps(protocol.timestep)
    # On the grid of the log's rows: the row that a continued run begins with is then one of them.
    n = steps(every, steps(protocol.thermo_every))
    longest = max(steps(s.time) for s in protocol.stages) if isinstance(protocol, Md) else steps(protocol.sample)
    return n if longest > n else 0


def _ladder(protocol: Protocol, text: str) -> tuple[Rung, ...]:
    """Return where a run can be taken up: nowhere if no part of it is longer than the interval of restart files."""
    if not _restart_steps(protocol):
        return ()
    if isinstance(protocol, Md):
        return tuple(
            Rung(
                runs_before=number - 1,
                middle=(f"stage{number}.1.restart", f"stage{number}.2.restart"),
                middle_deck=f"continue-stage{number}.lammps",
                start=f"stage{number - 1}.restart" if number > 1 else None,
                start_deck=f"begin-stage{number}.lammps" if number > 1 else None,
            )
            for number in range(1, len(protocol.stages) + 1)
        )
    if not isinstance(protocol, Diffusion | Ensemble):
        return ()
    return (
        Rung(
            runs_before=len(re.findall(r"^run\s", text, re.MULTILINE)) - 1,
            middle=("sample.1.restart", "sample.2.restart"),
            middle_deck="continue-sample.lammps",
            start="equilibrated.restart",
            start_deck="begin-sample.lammps",
        ),
    )


@lru_cache(maxsize=64)
def _data(placement: Placement, charges: tuple[tuple[str, float], ...] | None) -> str:
    """Return the data file; the thousands of runs of one structure share its text."""
    return write_data(placement, None if charges is None else dict(charges))


def check(placement: Placement, protocol: Protocol) -> None:
    """Refuse what can't be done to this structure.

    Raises:
        SettingError: a barostat along a direction that is not periodic, or with atoms that are held fixed; a
            mobile species that the structure lacks; a group that nobody defined.
    """
    barostat = (
        (isinstance(protocol, Md) and any(stage.ensemble == "npt" for stage in protocol.stages))
        or (isinstance(protocol, Minimize) and protocol.cell != "fixed")
        or (isinstance(protocol, Diffusion | Ensemble) and protocol.coupling != "fixed")
    )
    if barostat and not all(placement.periodic):
        raise SettingError(
            f"protocol: the cell can't follow a pressure where the structure is not periodic (boundary "
            f"{placement.boundary}); keep the cell fixed"
        )
    cold = placement.velocities is None and isinstance(protocol, Md) and protocol.velocities is None
    if cold and isinstance(protocol, Md) and protocol.stages[0].ensemble == "nve":
        raise SettingError("protocol.velocities: is needed: the structure has none, and the first stage is nve")
    if isinstance(protocol, Custom):
        return
    if barostat and (placement.frozen or protocol.hooks.frozen):
        raise SettingError("protocol: the cell can't follow a pressure with frozen atoms in it; keep the cell fixed")
    shared = sorted(set(placement.species) & set(protocol.hooks.groups))
    if shared:
        raise SettingError(
            f"protocol.hooks.groups.{shared[0]}: is the group of that element already; choose another name"
        )
    groups = {*placement.species, *protocol.hooks.groups, "all"}
    if protocol.hooks.frozen is not None and protocol.hooks.frozen not in groups:
        raise SettingError(
            f"protocol.hooks.frozen: no group {protocol.hooks.frozen}; there are {' '.join(sorted(groups))}"
        )
    if isinstance(protocol, Diffusion | Ensemble):
        strange = sorted(set(protocol.mobile or ()) - set(placement.species))
        if strange:
            raise SettingError(
                f"protocol.mobile: the structure has no {strange[0]}; "
                f"it has {' '.join(sorted(set(placement.species)))}"
            )
        if protocol.phase == "crystal" and protocol.mobile is None and len(set(placement.species)) > 1:
            raise SettingError(
                "protocol.mobile: say which species diffuse in this crystal; the others hold the frame"
            )


def fingerprint(deck: Deck) -> str:
    """Return the sha256 of what the deck does: its commands without comments, and the bytes of its inputs."""
    digest = hashlib.sha256()
    for name, text in sorted(deck.files.items()):
        body = _data_digest(text) if name == DATA else hashlib.sha256(_commands(text).encode()).hexdigest()
        digest.update(f"{name}\0{body}\0".encode())
    for name, path in sorted(deck.inputs.items()):
        now = path.stat()
        digest.update(f"{name}\0{_file_digest(path, now.st_mtime_ns, now.st_size, now.st_ino)}\0".encode())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _data_digest(text: str) -> str:
    return hashlib.sha256("\n".join(text.splitlines()[1:]).encode()).hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: Path, mtime: int, size: int, inode: int) -> str:
    """Return the sha256 of a file, read once for all runs: a model may have hundreds of megabytes."""
    del mtime, size, inode  # part of what makes it another file
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(deck: Deck, folder: Path) -> None:
    """Write the deck's files and copy its inputs into `folder`, which must exist."""
    for name, text in {**deck.files, **deck.continuations}.items():
        (folder / name).write_text(text, encoding="utf-8")
    if deck.ladder:
        rungs = [dataclasses.asdict(rung) for rung in deck.ladder]
        (folder / LADDER).write_text(json.dumps(rungs, indent=1) + "\n", encoding="utf-8")
    for name, path in deck.inputs.items():
        (folder / name).write_bytes(path.read_bytes())


@lru_cache
def _environment(*folders: Path) -> jinja2.Environment:
    """Return the environment of these folders, which keeps what it compiled until a template changes."""
    environment = jinja2.sandbox.SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(list(reversed(folders))),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # decks are no HTML
    )
    environment.filters["comment"] = _comment
    return environment


def _hook_frozen(protocol: Protocol) -> list[str]:
    if isinstance(protocol, Custom) or protocol.hooks.frozen is None:
        return []
    return [protocol.hooks.frozen]


def _comment(text: str) -> str:
    """Return `text` as comment lines. A trailing & continues even a comment, and three quotes open a block."""
    safe = text.replace("&", "and").replace('"', "'")
    lines = ["".join(c if c.isprintable() else " " for c in line).rstrip() for line in safe.split("\n")]
    return "\n".join(f"# {line}".rstrip() for line in lines)


def _steps(timestep: float) -> Callable[..., int]:
    def steps(time: float, multiple_of: int = 1) -> int:
        n = -(-max(1, round(time / timestep)) // multiple_of) * multiple_of
        if n > 2**31 - 1:
            raise SettingError(
                f"protocol: {time:g} ps are {n:,} steps of {timestep:g} ps; LAMMPS runs 2,147,483,647 at once"
            )
        return n

    return steps


def _tidy(text: str) -> str:
    """Return the text with single blank lines and one newline at its end."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"


@lru_cache(maxsize=8)
def _commands(text: str) -> str:
    """Return the lines that LAMMPS acts on, single-spaced. A trailing & joins the next line even to a comment."""
    kept = []
    for line in re.sub(r"&[ \t]*\n", " ", text).splitlines():
        code = line if '"' in line or "'" in line else line.split("#")[0]
        if code.strip() and not code.lstrip().startswith("#"):
            kept.append(" ".join(code.split()))
    return "\n".join(kept)
