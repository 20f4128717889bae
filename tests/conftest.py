"""What all tests share. With LAMPION_NO_SKIP set, as in CI, a skip is a failure: it would hide what it skips."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # decks.py, which several tests share
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The wheel's lmp and mpiexec lie beside this Python, whether or not its environment was activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
# Studies that run beside the tests keep their cores, and the tests theirs.
os.environ.setdefault("LAMPION_SLOTS", tempfile.mkdtemp(prefix="lampion-slots-"))
_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("LAMPION_NO_SKIP") and _skipped:
        sys.stderr.write("\n  ".join(["\nskipped, which CI does not allow:", *_skipped]) + "\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
