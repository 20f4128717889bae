"""Ionic conductivity, the diffusion of charge, and the Haven ratio, from displacements or from the current.

With P = Σ_i q_i (r_i − r_ref) over the mobile ions, of however many species:

- conductivity           σ   = lim d⟨|ΔP|²⟩/dt/(6 V kT)
- charge diffusion       Dσ  = σ V kT/Σ_i q_i²            = lim d⟨|ΔP|²⟩/dt/(6 Σ_i q_i²)
- tracer diffusion       D*  = Σ_i q_i² D_i/Σ_i q_i²      (for one species, its D*)
- Nernst–Einstein        σ_NE = Σ_i q_i² D*/(V kT)
- Haven ratio            H_R = D*/Dσ = σ_NE/σ           (Murch 1982, doi 10.1016/0167-2738(82)90050-9)

With a framework, r_ref is its mean and only the other ions are summed. Without one all ions are summed; their charges
add up to zero, and P does not depend on r_ref.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.diffusion import DiffusionResult, fit_diffusion, framework_flags
from lampion.analysis.green_kubo import GreenKubo, green_kubo, with_method
from lampion.analysis.msd import atom_indices, displacement_tensor, reference_frame
from lampion.analysis.sampling import block_slices, checked_runs, lag_range, unit_msds
from lampion.analysis.slope import Line, fit_line, gls_weights, growth, is_diffusive
from lampion.analysis.statistics import Estimate, UnreliableError
from lampion.errors import AnalysisError
from lampion.units import A2_PER_PS_IN_CM2_PER_S, BOLTZMANN

Array = NDArray[np.float64]

E2_PER_EV_A_PS_IN_MS_PER_CM = 16021.76634
"""1 e²/(eV Å ps) in mS/cm: 1.602176634e-19 C/(V · 1e-10 m · 1e-12 s) = 1602.176634 S/m."""


@dataclass(frozen=True, kw_only=True)
class ConductivityResult:
    """What one set of runs says about the transport of charge; definitions at the head of the module."""

    conductivity: Estimate
    """mS/cm."""
    nernst_einstein: Estimate
    """mS/cm: of ions that move independently."""
    D_charge: Estimate
    """Dσ, cm²/s."""
    haven: Estimate | None
    """D*/Dσ; None where Dσ is smaller than three of its errors."""
    tracer: DiffusionResult
    """D*, weighted by q², with its window, which is used for both."""
    lags: Array
    """(n_lags,), ps."""
    collective_msd: Array
    """(n_lags,), Å²: ⟨|ΔP|²⟩/Σ q²."""
    collective_error: Array
    """(n_lags,), Å², one standard error over the units."""
    line: Array
    """(n_lags,), Å², NaN outside the window."""
    tensor: Array
    """(3, 3), mS/cm: σ_αβ = lim d⟨ΔP_α ΔP_β⟩/dt/(2 V kT), in the window; a third of its trace is the conductivity."""
    tensor_error: Array
    """(3, 3), mS/cm, one standard error over the units."""
    log_slope: float
    """d ln⟨|ΔP|²⟩/d ln t in the window: 1 where the transport of charge is diffusive."""
    log_slope_error: float
    """Of the growth beyond the cage, from the units."""
    flags: tuple[str, ...]


def charges_by_element(species: ArrayLike, charges: Mapping[str, float]) -> Array:
    """Return the charge of each atom, e, after checking that they add up to zero.

    Args:
        species: (n_atoms,) chemical symbols.
        charges: e, by element; machine-learned potentials carry none.

    Raises:
        AnalysisError: an element without a charge, or a sum that is not zero.

    >>> charges_by_element(["Na", "Cl", "Na", "Cl"], {"Na": 1, "Cl": -1}).tolist()
    [1.0, -1.0, 1.0, -1.0]
    """
    names = np.asarray(species, dtype=str)
    missing = sorted(set(names.tolist()) - set(charges))
    if missing:
        raise AnalysisError(f"no charge is given for {', '.join(missing)}; give one for each element")
    q = np.array([float(charges[name]) for name in names])
    _check_neutral(q)
    return q


def _check_neutral(q: Array) -> None:
    if abs(q.sum()) > 1e-6 * max(1.0, float(np.abs(q).sum())):
        raise AnalysisError(f"the charges add up to {q.sum():+.6g} e, not to zero; correct the charges by element")


def conductivity(
    positions: ArrayLike | Sequence[ArrayLike],
    times: ArrayLike,
    *,
    charges: ArrayLike,
    volume: float,
    temperature: float,
    framework: ArrayLike | None = None,
    masses: ArrayLike | None = None,
    window: tuple[float, float] | None = None,
    hop_length: float = 2.5,
    n_blocks: int = 8,
    rotation: ArrayLike | None = None,
) -> ConductivityResult:
    """Return σ, Dσ, D* and the Haven ratio, all from the same independent units, in the tracer's window.

    There is one collective displacement but N of the ions: Dσ scatters about √N times as much as D*, and can't choose
    a window of its own. The Haven ratio's error is that of a ratio of means of paired units,
    SE(H)² = Var(D*_u − H Dσ_u)/(n Dσ²).

    Args:
        positions: one array or several, one for each independent trajectory, (n_frames, n_atoms, 3), Å, unwrapped.
        times: (n_frames,), ps, evenly spaced.
        charges: (n_atoms,), e, adding up to zero (`charges_by_element`).
        volume: Å³, mean.
        temperature: K, mean.
        framework: indices or mask of atoms that don't diffuse; then only the others are summed.
        masses: (n_atoms,), g/mol, for the centre of mass where there is no framework.
        window: first and last lag, ps.
        hop_length: Å.
        n_blocks: the fewest independent units.
        rotation: (3, 3), orthogonal, for the tensor: user's vector = rotation @ LAMMPS's vector.

    Raises:
        AnalysisError: charges that don't add up to zero or of another shape; what `diffusion_coefficient` refuses.
        NotDiffusiveError: the MSD does not grow as t.
        UnreliableError: too few hops.
    """
    runs, dt = checked_runs(positions, times)
    n_atoms = runs[0].shape[1]
    q = np.asarray(charges, dtype=float)
    if q.shape != (n_atoms,) or not q.any() or min(volume, temperature) <= 0:
        raise AnalysisError(f"needed: {n_atoms} charges, not all zero, a positive volume and a positive temperature")
    _check_neutral(q)
    fixed = np.zeros(n_atoms, dtype=bool)
    if framework is not None:
        fixed[atom_indices(framework, n_atoms)] = True
    moving = np.flatnonzero(~fixed & (q != 0))
    frame = reference_frame(n_atoms, framework=framework, masses=masses, mobile=moving)
    drifts = [frame.drift(run) for run in runs]
    last, split = lag_range(len(runs), len(runs[0]), n_blocks, None if window is None else window[1] / dt)
    squares = float((q[moving] ** 2).sum())
    msd, units = np.zeros(last + 1), np.zeros(last + 1)
    for size in np.unique(np.abs(q[moving])):
        chosen = moving[np.abs(q[moving]) == size]
        part, parts = unit_msds(runs, chosen, drifts, last, split)
        msd, units = msd + part * len(chosen) * size**2 / squares, units + parts * len(chosen) * size**2 / squares
    lags = np.arange(last + 1, dtype=float) * dt
    tracer = fit_diffusion(
        lags,
        msd,
        units,
        n_atoms=len(moving),
        duration=len(runs) * (len(runs[0]) - 1) * dt,
        reference=frame,
        drift=max((float(np.linalg.norm(path, axis=1).max()) for path in drifts if path is not None), default=0.0),
        window=window,
        hop_length=hop_length,
        unit="trajectories" if split == 1 else "time blocks",
        flags=framework_flags(runs, framework, hop_length),
    )
    moment = [_moment(run, np.where(fixed, 0.0, q), path) for run, path in zip(runs, drifts, strict=True)]
    collective, collective_units = unit_msds(moment, np.array([0]), [None] * len(runs), last, split)
    first = int(np.searchsorted(lags, tracer.window[0] * (1 - 1e-9)))
    line = fit_line(lags, collective / squares, collective_units / squares, first)
    turn = np.eye(3) if rotation is None else np.asarray(rotation, dtype=float)
    tensor, error = _tensor(moment, lags[first : last + 1], first, split, turn)
    factor = E2_PER_EV_A_PS_IN_MS_PER_CM / (volume * BOLTZMANN * temperature)
    result = _result(
        tracer, line, lags, collective / squares, collective_units / squares, squares / volume, temperature
    )
    return replace(result, tensor=tensor * factor, tensor_error=error * factor)


def _tensor(moments: Sequence[Array], lags: Array, first: int, split: int, turn: Array) -> tuple[Array, Array]:
    """Return lim d⟨ΔP_α ΔP_β⟩/dt/2 and its error over the units, (3, 3) each, e² Å²/ps."""
    weights = gls_weights(lags)[0]
    last = first + len(lags) - 1

    def slope(part: Array) -> Array:
        square = displacement_tensor(part, max_lag=last)[first:]
        return np.asarray(turn @ np.tensordot(weights, square, axes=1) @ turn.T / 2, dtype=float)

    whole = np.mean([slope(moment) for moment in moments], axis=0)
    units = np.array([slope(moment[part]) for moment in moments for part in block_slices(len(moment), split)])
    return whole, units.std(axis=0, ddof=1) / math.sqrt(len(units))


def _moment(run: Array, q: Array, drift: Array | None) -> Array:
    """Return P as the position of one particle, (n_frames, 1, 3), e Å."""
    total = np.einsum("fnc,n->fc", run, q)
    return np.asarray(total if drift is None else total - q.sum() * drift, dtype=float)[:, None, :]


def _result(
    tracer: DiffusionResult, line: Line, lags: Array, msd: Array, units: Array, density: float, temperature: float
) -> ConductivityResult:
    D = tracer.D
    if D is None:
        raise UnreliableError(
            f"only {tracer.n_hops:.0f} hops: D* is below {tracer.upper_bound:.1e} cm²/s, Dσ unknown: run longer"
        )
    n = len(units)
    D_charge = Estimate(
        value=line.slope / 6 * A2_PER_PS_IN_CM2_PER_S,
        standard_error=line.slope_error / 6 * A2_PER_PS_IN_CM2_PER_S,
        unit="cm²/s",
        n_samples=n,
        window=line.window,
        method=f"GLS slope of the collective displacement, error and window as for D*: {D.method}",
    )
    # D in Å²/ps times Σq²/(V kT).
    factor = density / (BOLTZMANN * temperature) * E2_PER_EV_A_PS_IN_MS_PER_CM / A2_PER_PS_IN_CM2_PER_S
    flags = list(tracer.flags)
    if not is_diffusive(line):
        flags.append(f"the collective displacement is not diffusive in the window of D*: its {growth(line)}")
    haven = None
    if D_charge.value > 3 * D_charge.standard_error:
        ratio = D.value / D_charge.value
        paired = tracer.unit_values - ratio * line.unit_slopes / 6 * A2_PER_PS_IN_CM2_PER_S
        haven = Estimate(
            value=ratio,
            standard_error=float(paired.std(ddof=1)) / math.sqrt(n) / D_charge.value,
            unit="",
            n_samples=n,
            window=line.window,
            method="D*/Dσ, error from the same units of both",
        )
    else:
        flags.append(f"Dσ = {D_charge} is smaller than three of its errors: no Haven ratio; run longer or more often")
    return ConductivityResult(
        conductivity=D_charge.scaled(factor, "mS/cm"),
        nernst_einstein=D.scaled(factor, "mS/cm"),
        D_charge=D_charge,
        haven=haven,
        tracer=tracer,
        lags=lags,
        collective_msd=msd,
        collective_error=units.std(axis=0, ddof=1) / math.sqrt(n),
        line=np.where(lags >= line.window[0], line.slope * lags + line.intercept, np.nan),
        tensor=np.zeros((3, 3)),
        tensor_error=np.zeros((3, 3)),
        log_slope=line.log_slope,
        log_slope_error=line.exponent_error,
        flags=tuple(flags),
    )


def green_kubo_conductivity(
    current: ArrayLike | Sequence[ArrayLike],
    *,
    volume: float,
    temperature: float,
    dt: float,
    cutoff: float | None = None,
    n_blocks: int = 8,
) -> GreenKubo:
    """Return σ = 1/(V kT) ∫₀^tc ⟨J_α(0) J_α(t)⟩ dt, averaged over x, y and z, in mS/cm, J = Σ_i q_i v_i.

    (Kubo 1957, doi 10.1143/JPSJ.12.570.) Cut-off and error as in `green_kubo`.

    Args:
        current: (n, 3) or several of them, one for each independent run, e Å/ps, every 5 to 10 fs.
        volume: Å³.
        temperature: K.
        dt: ps between samples.
        cutoff: ps, in place of the one found.
        n_blocks: the fewest independent units.

    Raises:
        AnalysisError: arrays of other shapes, volume or temperature not positive.
        UnreliableError: blocks shorter than five cut-offs; carries the estimate.
    """
    several = isinstance(current, (list, tuple)) and np.ndim(current[0]) == 2
    runs = [np.asarray(j, dtype=float) for j in cast("Sequence[ArrayLike]", current if several else [current])]
    if any(run.ndim != 2 or run.shape[1] != 3 for run in runs) or min(volume, temperature) <= 0:
        raise AnalysisError("needed: currents of shape (n, 3), a positive volume and a positive temperature")
    factor = E2_PER_EV_A_PS_IN_MS_PER_CM / (volume * BOLTZMANN * temperature)
    result = green_kubo(runs, dt=dt, factor=factor, unit="mS/cm", cutoff=cutoff, n_blocks=n_blocks)
    return with_method(result, "charge current")
