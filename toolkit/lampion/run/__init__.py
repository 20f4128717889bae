"""Runs: a folder's state, launching LAMMPS in it, and what went wrong."""

from lampion.run.folder import (
    FORMAT,
    State,
    clear_making,
    key,
    place,
    prepare,
    read_json,
    state,
    verified,
    write_json,
)
from lampion.run.launch import Failure, Progress, Stopped, launch

__all__ = [
    "FORMAT",
    "Failure",
    "Progress",
    "State",
    "Stopped",
    "clear_making",
    "key",
    "launch",
    "place",
    "prepare",
    "read_json",
    "state",
    "verified",
    "write_json",
]
