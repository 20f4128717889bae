"""How many more runs a wanted precision needs, from a pilot of the same kind.

Many short trajectories of one state point (300 × 70 ps for Li6PS5Cl in arXiv 2512.11650) are averaged first and
fitted once: give them to `diffusion_coefficient` as a list, whose unit is then the trajectory.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv

from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a wanted precision costs."""

    wanted: float
    """Relative standard error."""
    n_pilot: int
    n_total: int
    """Runs in all, the pilot's among them."""
    n_more: int
    n_range: tuple[int, int]
    """Runs in all for the 68.3 % interval of the pilot's own error, which is itself known to 1/√(2(K − 1)) only."""
    expected_error: float
    """Relative standard error with n_total runs."""
    literature_error: float | None
    """RSD = 3.43/√N_eff + 0.04 for n_total runs; it never falls below 4 %, so it can't plan for less."""
    statement: str


@dataclass(frozen=True, kw_only=True)
class ErrorByNumber:
    """How the error of a mean falls with the number of runs."""

    n_runs: Array
    """(n − 1,): 2, 3, … n."""
    error: Array
    """(n − 1,), in the unit of the values: root mean square of s/√K over all orders of the runs, which is s_n/√K."""
    seen: Array
    """(n − 1,): s_K/√K of the first K runs as they came, each of which knows its s to 1/√(2(K − 1)) only."""


def error_by_number(values: ArrayLike) -> ErrorByNumber:
    """Return the standard error of the mean against the number of runs, from each run's own value.

    Args:
        values: (n,), one of each independent run, as `DiffusionResult.unit_values`.

    Raises:
        AnalysisError: fewer than two runs.

    >>> error_by_number([1.0, 2.0, 3.0, 4.0]).error.round(3).tolist()
    [0.913, 0.745, 0.645]
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or len(x) < 2:
        raise AnalysisError(f"an error against the number of runs needs two runs or more, got {x.shape}")
    K = np.arange(2.0, len(x) + 1)
    return ErrorByNumber(
        n_runs=K,
        error=x.std(ddof=1) / np.sqrt(K),
        seen=np.array([x[:k].std(ddof=1) / math.sqrt(k) for k in range(2, len(x) + 1)]),
    )


def runs_needed(pilot: Estimate, precision: float, *, n_hops: float | None = None) -> Plan:
    """Return how many runs bring the relative standard error of a mean down to `precision`.

    SEM(K) = SEM_pilot √(K_pilot/K), from the pilot's own scatter, whatever its cause. Beside it the empirical
    RSD = 3.43/√N_eff + 0.04 of He, Zhu, Epstein & Mo (2018, doi 10.1038/s41524-018-0074-y), N_eff the hops in all.

    Args:
        pilot: estimate from K_pilot independent runs.
        precision: wanted relative standard error, 0.01 for 1 %.
        n_hops: hops in all of the pilot (`DiffusionResult.n_hops`).

    Raises:
        AnalysisError: a precision outside 0 … 1, a pilot of fewer than two runs, with a value or an error that is not
            positive.

    >>> pilot = Estimate(value=2.0e-5, standard_error=1.0e-6, unit="cm²/s", n_samples=12)
    >>> plan = runs_needed(pilot, 0.01, n_hops=10_000)
    >>> plan.n_total, plan.n_more, plan.n_range
    (300, 288, (213, 512))
    """
    if not 0 < precision < 1:
        raise AnalysisError(f"a relative precision lies between 0 and 1 (0.01 is 1 %), {precision:g} does not")
    if pilot.n_samples < 2 or pilot.value <= 0 or pilot.standard_error <= 0:
        raise AnalysisError(f"a pilot needs two independent runs, a positive mean and a positive error, got {pilot}")
    relative = pilot.standard_error / pilot.value
    exact = pilot.n_samples * (relative / precision) ** 2
    total = max(pilot.n_samples, math.ceil(exact * (1 - 1e-12)))
    dof = pilot.n_samples - 1
    # (K − 1) s²/σ² follows chi-square.
    low, high = (exact * dof / (2 * float(gammaincinv(dof / 2, p))) for p in (0.8415, 0.1585))
    literature = None if n_hops is None else 3.43 / math.sqrt(n_hops * total / pilot.n_samples) + 0.04
    text = (
        f"{total} runs in all, {total - pilot.n_samples} more than the pilot's {pilot.n_samples}, for {precision:.2%}"
    )
    if literature is not None:
        text += f"; the literature's 3.43/√N + 0.04 expects {literature:.1%} then, and never less than 4 %"
    return Plan(
        wanted=precision,
        n_pilot=pilot.n_samples,
        n_total=total,
        n_more=total - pilot.n_samples,
        n_range=(max(pilot.n_samples, math.ceil(low)), max(pilot.n_samples, math.ceil(high))),
        expected_error=relative * math.sqrt(pilot.n_samples / total),
        literature_error=literature,
        statement=text,
    )
