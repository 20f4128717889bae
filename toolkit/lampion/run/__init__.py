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
from lampion.run.judge import Failure
from lampion.run.launch import Busy, Progress, Stopped, launch
from lampion.run.resume import Segment, segments

__all__ = [
    "FORMAT",
    "Busy",
    "Failure",
    "Progress",
    "Segment",
    "State",
    "Stopped",
    "clear_making",
    "key",
    "launch",
    "place",
    "prepare",
    "read_json",
    "segments",
    "state",
    "verified",
    "write_json",
]
