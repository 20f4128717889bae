"""Where the package's data folders are.

`templates/` and `lammps_inputs/` stand at the top of the repository and are copied into the wheel as
`lampion/templates` and `lampion/lammps_inputs`; an editable install reads them in place.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_REPOSITORY = _PACKAGE.parents[1]


def folder(name: str) -> Path:
    """Return the data folder `name`: the package's own, or the repository's in an editable install.

    Raises:
        FileNotFoundError: neither has it, so the installation is broken.
    """
    for place in (_PACKAGE / name, _REPOSITORY / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no {name} in {_PACKAGE} or {_REPOSITORY}: reinstall lampion")


def templates() -> Path:
    """Return the folder of the Jinja templates."""
    return folder("templates")


def lammps_inputs() -> Path:
    """Return the folder of the ready decks."""
    return folder("lammps_inputs")
