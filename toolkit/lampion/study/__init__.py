"""The study file: read, refuse, expand into runs, run, collect."""

from lampion.study.collect import Collected, collect, final_structures, write_tables
from lampion.study.point import MeasuredPoint
from lampion.study.points import Point, expand, seeds
from lampion.study.read import read_document, schema
from lampion.study.settings import Analysis, Study, Sweep
from lampion.study.work import Job, Plan, execute, is_driven, plan

__all__ = [
    "Analysis",
    "Collected",
    "Job",
    "MeasuredPoint",
    "Plan",
    "Point",
    "Study",
    "Sweep",
    "collect",
    "execute",
    "expand",
    "final_structures",
    "is_driven",
    "plan",
    "read_document",
    "schema",
    "seeds",
    "write_tables",
]
