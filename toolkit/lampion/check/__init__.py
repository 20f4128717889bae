"""LAMMPS against the framework that made the model, before a study trusts it."""

from lampion.check.judge import (
    LIMITS,
    Finding,
    Limits,
    Point,
    derivative,
    known_cause,
    net_force,
    parity,
    ranks_agree,
)
from lampion.check.perform import Verdict, check, unchecked

__all__ = [
    "LIMITS",
    "Finding",
    "Limits",
    "Point",
    "Verdict",
    "check",
    "derivative",
    "known_cause",
    "net_force",
    "parity",
    "ranks_agree",
    "unchecked",
]
