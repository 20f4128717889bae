"""The study file: read, refuse, expand into runs, run, collect."""

from lampion.study.clean import clean
from lampion.study.collect import Collected, collect, final_structures, write_tables
from lampion.study.point import MeasuredPoint
from lampion.study.points import Point, expand, seeds
from lampion.study.read import read_document, schema
from lampion.study.settings import Analysis, Study, Sweep
from lampion.study.work import Job, Plan, execute, plan

__all__ = [
    "Analysis",
    "Collected",
    "Job",
    "MeasuredPoint",
    "Plan",
    "Point",
    "Study",
    "Sweep",
    "clean",
    "collect",
    "execute",
    "expand",
    "final_structures",
    "plan",
    "read_document",
    "schema",
    "seeds",
    "write_tables",
]
