"""Shear viscosity by Green–Kubo, and the finite-size correction of a diffusion coefficient that needs it."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lampion.analysis.green_kubo import GreenKubo, green_kubo, with_method
from lampion.analysis.statistics import Estimate
from lampion.errors import AnalysisError
from lampion.units import A2_PER_PS_IN_CM2_PER_S, BAR_PS_IN_MPA_S, BOLTZMANN, EV_PER_A3_IN_BAR

Array = NDArray[np.float64]

YEH_HUMMER_XI = 2.837297
"""ξ of a cubic periodic cell, doi 10.1021/jp0477147."""


def green_kubo_viscosity(
    stress: ArrayLike | Sequence[ArrayLike],
    *,
    volume: float,
    temperature: float,
    dt: float,
    cutoff: float | None = None,
    n_blocks: int = 8,
) -> GreenKubo:
    """Return the shear viscosity η = V/(kT) ∫₀^tc ⟨P_c(0) P_c(t)⟩ dt, averaged over five components, in mPa·s.

    The components are the five independent ones of the traceless symmetric stress: xy, xz, yz, (xx − yy)/2 and
    (2zz − xx − yy)/(2√3), which are equivalent in an isotropic liquid (Daivis & Evans 1994, doi 10.1063/1.466970).
    Cut-off and error as in `green_kubo`.

    Args:
        stress: (n, 6) or several of them, one for each independent run, bar: xx yy zz xy xz yz, at constant volume.
        volume: Å³.
        temperature: K.
        dt: ps between samples; the correlation's fast part needs about 0.005.
        cutoff: ps, in place of the one found.
        n_blocks: the fewest independent units.

    Raises:
        AnalysisError: an array of another shape, a number that is not positive or not finite.
        UnreliableError: blocks shorter than five cut-offs; carries the estimate.

    >>> import numpy as np
    >>> white = np.random.default_rng(2).normal(0.0, 1000.0, (4000, 6)) * ([2.0] * 3 + [2**0.5] * 3)
    >>> result = green_kubo_viscosity(white, volume=1000.0, temperature=300.0, dt=0.01)
    >>> print(result.estimate, "true: 0.02414 mPa·s")
    0.02379(55) mPa·s true: 0.02414 mPa·s
    """
    several = isinstance(stress, (list, tuple)) and np.ndim(stress[0]) == 2
    runs = [np.asarray(s, dtype=float) for s in cast("Sequence[ArrayLike]", stress if several else [stress])]
    for number, run in enumerate(runs):
        if run.ndim != 2 or run.shape[1] != 6 or not np.isfinite(run).all():
            raise AnalysisError(f"stress {number} must be finite and of shape (n, 6), got {run.shape}")
    if min(volume, temperature) <= 0:
        raise AnalysisError(f"volume {volume:g} Å³ and temperature {temperature:g} K must be positive")
    # bar² Å³/eV ps → mPa·s: one bar of the two becomes eV/Å³.
    factor = volume / (BOLTZMANN * temperature) / EV_PER_A3_IN_BAR * BAR_PS_IN_MPA_S
    series = [_shear(run) for run in runs]
    result = green_kubo(series, dt=dt, factor=factor, unit="mPa·s", cutoff=cutoff, n_blocks=n_blocks)
    return with_method(result, "shear stress")


def _shear(stress: Array) -> Array:
    """Return the five independent components of the traceless symmetric stress, (n, 5)."""
    xx, yy, zz, xy, xz, yz = stress.T
    return np.stack([xy, xz, yz, (xx - yy) / 2, (2 * zz - xx - yy) / (2 * math.sqrt(3))], axis=1)


def yeh_hummer(D: Estimate, *, temperature: float, length: float, viscosity: Estimate) -> Estimate:
    """Return the diffusion coefficient of an infinite liquid, D₀ = D + ξ kT/(6π η L), ξ = 2.837297.

    For liquids in cubic periodic cells, with the viscosity of the same model (Yeh & Hummer 2004,
    doi 10.1021/jp0477147); not for ions that hop in a rigid framework. The errors of D and η count as independent.

    Args:
        D: in the cell, cm²/s.
        temperature: K.
        length: edge of the cube, Å.
        viscosity: mPa·s.

    Raises:
        AnalysisError: units other than these, or a viscosity, temperature or length that is not positive.

    >>> D = Estimate(value=2.0e-5, standard_error=0.0, unit="cm²/s", n_samples=8)
    >>> eta = Estimate(value=1.0, standard_error=0.0, unit="mPa·s", n_samples=8)
    >>> f"{yeh_hummer(D, temperature=300.0, length=20.0, viscosity=eta).value:.3e}"
    '2.312e-05'
    """
    if D.unit != "cm²/s" or viscosity.unit != "mPa·s":
        raise AnalysisError(f"D comes in cm²/s and the viscosity in mPa·s, got {D.unit!r} and {viscosity.unit!r}")
    if min(temperature, length, viscosity.value) <= 0:
        raise AnalysisError(
            f"temperature {temperature:g} K, length {length:g} Å, η {viscosity.value:g} mPa·s must be positive"
        )
    # kT/(η L): eV/(bar·ps·Å) = Å²/ps × EV_PER_A3_IN_BAR.
    eta = viscosity.value / BAR_PS_IN_MPA_S / EV_PER_A3_IN_BAR
    shift = YEH_HUMMER_XI * BOLTZMANN * temperature / (6 * math.pi * eta * length) * A2_PER_PS_IN_CM2_PER_S
    error = math.hypot(D.standard_error, shift * viscosity.standard_error / viscosity.value)
    return Estimate(
        value=D.value + shift,
        standard_error=error,
        unit="cm²/s",
        n_samples=min(D.n_samples, viscosity.n_samples),
        window=D.window,
        method=f"{D.method}; Yeh–Hummer +{shift:.2e} cm²/s",
    )
