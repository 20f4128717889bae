# ruff: noqa: T201
"""Do the stated intervals of D hold the truth? A Monte Carlo of ions with a known D, beside the peers.

    python tests/benchmarks/diffusion_calibration.py [replicas] [--peers]

prints one row for each estimator and model: the true scatter of D, the mean stated error, and how often the stated
68.3 % and 95.4 % intervals hold the truth. `--peers` adds pymatgen-analysis-diffusion and kinisi, where installed, on
the first 100 of the same walks, because kinisi takes seconds for each.
"""

import json
import sys
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lampion.analysis.diffusion import NotDiffusiveError, diffusion_coefficient
from lampion.analysis.msd import NO_REFERENCE, mean_squared_displacement

N_IONS, N_FRAMES, HOP, VIBRATION = 64, 1000, 3.0, 0.15
LEVELS = (0.683, 0.954)
PEERS = {"pymatgen", "kinisi"}
PEER_REPLICAS = 100
COLUMNS = ("scatter", "stated", "bias", "in 1σ", "in 2σ", "refused")


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Positions (n_frames, n_atoms, 3), Å, with 1 ps between frames, the true D in cm²/s, and who is who."""

    positions: np.ndarray
    D: float
    framework: np.ndarray | None = None


def hops(rng: np.random.Generator, n: int, rate: float, back: float = 0.0) -> np.ndarray:
    """Return displacements (n_frames, n, 3): with probability `back` a hop undoes the one before it."""
    ion, frame = np.nonzero(rng.random((n, N_FRAMES)) < rate)
    step = np.zeros((len(ion), 3))
    step[np.arange(len(ion)), rng.integers(0, 3, len(ion))] = rng.choice([-HOP, HOP], len(ion))
    first = np.append(True, np.diff(ion) != 0)
    fresh = first | (rng.random(len(ion)) >= back)
    source = np.maximum.accumulate(np.where(fresh, np.arange(len(ion)), 0))
    step = step[source] * (-1.0) ** (np.arange(len(ion)) - source)[:, None]
    out = np.zeros((N_FRAMES, n, 3))
    out[frame, ion] = step
    return out


def _vibrating(rng: np.random.Generator, sites: np.ndarray) -> np.ndarray:
    return sites + VIBRATION * rng.standard_normal(sites.shape)


def independent(rng: np.random.Generator, rate: float = 0.05) -> Walk:
    """Ions that hop on their own."""
    path = np.cumsum(hops(rng, N_IONS, rate), axis=0)
    return Walk(positions=_vibrating(rng, path), D=rate * HOP**2 / 6 * 1e-4)


def groups_of_four(rng: np.random.Generator, rate: float = 0.05) -> Walk:
    """Ions that hop in rigid groups of four: a quarter of the independent motion that the ions suggest."""
    path = np.repeat(np.cumsum(hops(rng, N_IONS // 4, rate), axis=0), 4, axis=1)
    return Walk(positions=_vibrating(rng, path), D=rate * HOP**2 / 6 * 1e-4)


def back_jumps(rng: np.random.Generator, rate: float = 0.3, back: float = 0.4) -> Walk:
    """Ions whose hop undoes the one before with probability `back`: D falls to (1 − back)/(1 + back)."""
    path = np.cumsum(hops(rng, N_IONS, rate, back), axis=0)
    return Walk(positions=_vibrating(rng, path), D=rate * HOP**2 / 6 * (1 - back) / (1 + back) * 1e-4)


def recoil(rng: np.random.Generator, rate: float = 0.05, mass_ratio: float = 0.3) -> Walk:
    """Ions in a framework that recoils, so that the centre of mass rests: as in NVE, the frame itself moves."""
    path = np.cumsum(hops(rng, N_IONS, rate), axis=0)
    shift = -path.sum(axis=1, keepdims=True) * mass_ratio / N_IONS
    both = np.concatenate([path + shift, np.broadcast_to(shift, (N_FRAMES, N_IONS // 2, 3))], axis=1)
    mask = np.arange(both.shape[1]) >= N_IONS
    return Walk(positions=_vibrating(rng, both), D=rate * HOP**2 / 6 * 1e-4, framework=mask)


MODELS: dict[str, Callable[[np.random.Generator], Walk]] = {
    "independent ions": independent,
    "rigid groups of 4": groups_of_four,
    "back-jumps": back_jumps,
    "framework recoil": recoil,
}


def lampion(walk: Walk) -> list[tuple[float, float]]:
    """Return D ± standard error, then the two intervals; empty if refused."""
    ions = None if walk.framework is None else ~walk.framework
    reference = NO_REFERENCE if walk.framework is None else None
    try:
        result = diffusion_coefficient(
            walk.positions, np.arange(N_FRAMES), mobile=ions, framework=walk.framework, reference=reference
        )
    except NotDiffusiveError:
        return []
    D = result.D
    return [] if D is None else [(D.value, D.standard_error), *(D.interval(level) for level in LEVELS)]


def ordinary_least_squares(walk: Walk) -> list[tuple[float, float]]:
    """The planted fault, which is what is often published: OLS to half the run, error from its own residuals."""
    ions = None if walk.framework is None else ~walk.framework
    drift = None if walk.framework is None else walk.positions[:, walk.framework].mean(axis=1)
    msd = mean_squared_displacement(walk.positions, atoms=ions, drift=drift, max_lag=N_FRAMES // 2)
    (slope, _), covariance = np.polyfit(np.arange(1, len(msd)), msd[1:], 1, cov=True)
    D, error = slope / 6 * 1e-4, float(np.sqrt(covariance[0, 0])) / 6 * 1e-4
    return [(D, error), (D - error, D + error), (D - 2 * error, D + 2 * error)]


def _with_framework(walk: Walk) -> tuple[np.ndarray, int]:
    """Return positions with a framework of resting atoms added where there is none."""
    if walk.framework is None:
        still = np.zeros((N_FRAMES, N_IONS // 2, 3))
        return np.concatenate([walk.positions, still], axis=1), N_IONS // 2
    return walk.positions, int(walk.framework.sum())


def pymatgen(walk: Walk) -> list[tuple[float, float]]:
    """The default of pymatgen-analysis-diffusion (smoothed='max')."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    x, n_frame = _with_framework(walk)
    n = x.shape[1]
    structure = Structure(
        Lattice.cubic(1000.0), ["Li"] * (n - n_frame) + ["S"] * n_frame, np.arange(3 * n).reshape(n, 3) / 3e3
    )
    analyzer = DiffusionAnalyzer(structure, (x - x[0]).transpose(1, 0, 2), "Li", 600, 1000, 1, smoothed="max")
    D, error = float(analyzer.diffusivity), float(analyzer.diffusivity_std_dev)
    return [(D, error), (D - error, D + error), (D - 2 * error, D + 2 * error)]


def kinisi(walk: Walk) -> list[tuple[float, float]]:
    """Kinisi 2 with 60 lags, from 20 ps on, its posterior's 68.3 % and 95.4 % intervals."""
    import scipp as sc
    from ase import Atoms
    from kinisi.analyze import DiffusionAnalyzer

    x, n_frame = _with_framework(walk)
    symbols = ["Li"] * (x.shape[1] - n_frame) + ["S"] * n_frame
    frames = [Atoms(symbols, frame + 500.0, cell=[1000.0] * 3, pbc=True) for frame in x]
    lags = np.unique(np.geomspace(1, N_FRAMES * 0.5, 60).astype(int)).astype(float)
    analyzer = DiffusionAnalyzer.from_ase(
        frames,
        specie="Li",
        time_step=1.0 * sc.Unit("ps"),
        step_skip=1 * sc.units.one,
        dt=sc.array(dims=["time interval"], values=lags, unit=sc.Unit("ps")),
        progress=False,
    )
    analyzer.diffusion(start_dt=20.0 * sc.Unit("ps"), progress=False)
    D = np.asarray(analyzer.D.values)
    one, two = (tuple(np.quantile(D, [(1 - p) / 2, (1 + p) / 2])) for p in LEVELS)
    return [(float(D.mean()), float(D.std())), one, two]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How an estimator did on a model."""

    scatter: float
    """True standard deviation of D, relative to the true D."""
    stated: float
    """Mean stated standard error, relative to the true D."""
    bias: float
    covered: tuple[float, float]
    refused: float


def calibrate(
    estimator: Callable[[Walk], list[tuple[float, float]]],
    model: Callable[[np.random.Generator], Walk],
    replicas: int,
    seed: int = 20260401,
) -> Calibration:
    """Run an estimator on `replicas` walks whose seeds are fixed beforehand, other ones for each model."""
    found, refused = [], 0
    for child in np.random.SeedSequence([seed, zlib.crc32(model.__name__.encode())]).spawn(replicas):
        walk = model(np.random.default_rng(child))
        answer = estimator(walk)
        if not answer:
            refused += 1
            continue
        (D, error), *intervals = answer
        found.append([D / walk.D, error / walk.D, *(low <= walk.D <= high for low, high in intervals)])
    D, error, one, two = np.array(found).T
    return Calibration(
        scatter=float(D.std(ddof=1)),
        stated=float(error.mean()),
        bias=float(D.mean() - 1),
        covered=(float(one.mean()), float(two.mean())),
        refused=refused / replicas,
    )


def main(replicas: int, peers: bool, write: bool) -> None:
    """Print the table; `--write` keeps it as JSON beside this file, from which the README quotes."""
    estimators = {"Lampion": lampion, "OLS, its own error": ordinary_least_squares}
    estimators |= {"pymatgen": pymatgen, "kinisi": kinisi} if peers else {}
    rows = []
    print(f"{replicas} replicas of {N_IONS} ions, {N_FRAMES} frames; numbers in %")
    print(f"{'model':20}{'estimator':22}{'scatter':>8}{'stated':>8}{'bias':>7}{'in 1σ':>7}{'in 2σ':>7}{'refused':>8}")
    for name, model in MODELS.items():
        for who, estimator in estimators.items():
            n = min(replicas, PEER_REPLICAS) if who in PEERS else replicas
            c = calibrate(estimator, model, n)
            numbers = [c.scatter, c.stated, c.bias, *c.covered, c.refused]
            widths = (8, 8, 7, 7, 7, 8)
            rows.append(
                {"model": name, "estimator": who, "replicas": n}
                | {k: round(v, 4) for k, v in zip(COLUMNS, numbers, strict=True)}
            )
            line = f"{name:20}{who:22}" + "".join(f"{100 * x:>{w}.1f}" for x, w in zip(numbers, widths, strict=True))
            print(line + f"  ({n} walks)", flush=True)

    if write:
        record = {"replicas": replicas, "ions": N_IONS, "frames": N_FRAMES, "numpy": np.__version__, "rows": rows}
        Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0] if numbers else 200, "--peers" in sys.argv, "--write" in sys.argv)
