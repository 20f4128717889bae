"""LAMMPS dumps as frozen arrays: positions unwrapped, atoms sorted by id, times in ps."""

from lampion.trajectory.frames import Frame, Trajectory
from lampion.trajectory.read import iterate_dump, iterate_frames, read_dump

__all__ = ["Frame", "Trajectory", "iterate_dump", "iterate_frames", "read_dump"]
