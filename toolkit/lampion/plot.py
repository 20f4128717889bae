"""Pictures, as they could stand in a paper: every curve with its error, every axis with its unit."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from lampion.analysis.arrhenius import ArrheniusResult
from lampion.analysis.diffusion import DiffusionResult
from lampion.analysis.statistics import Estimate

# Okabe & Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "lampion",
    "svg.fonttype": "path",
    "savefig.dpi": 200,
}


def msd(series: Sequence[tuple[str, DiffusionResult]], title: str = "") -> Figure:
    """Draw mean squared displacements with their error, and the fitted line with its band in its window.

    Args:
        series: a label and a result for each curve.
        title: above the axes.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for i, (label, result) in enumerate(series):
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(result.lags, result.msd, color=colour, label=label)
            axes.fill_between(
                result.lags,
                result.msd - result.msd_error,
                result.msd + result.msd_error,
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
            inside = np.isfinite(result.line)
            axes.plot(result.lags[inside], result.line[inside], color=colour, linestyle=(0, (4, 2)), linewidth=1.0)
            axes.fill_between(
                result.lags[inside],
                (result.line - result.band)[inside],
                (result.line + result.band)[inside],
                color=colour,
                alpha=0.3,
                linewidth=0,
            )
            axes.axvline(result.window[0], color=colour, linewidth=0.8, linestyle=":")
        axes.plot([], [], color="0.4", linestyle=(0, (4, 2)), linewidth=1.0, label="fit, ± 1 s.e.")
        axes.plot([], [], color="0.4", linestyle=":", linewidth=0.8, label="start of window")
        axes.set_xlabel("lag (ps)")
        axes.set_ylabel("mean squared displacement (Å²)")
        axes.set_xlim(0, max(float(r.lags[-1]) for _, r in series))
        axes.set_ylim(bottom=0)
        if title:
            axes.set_title(title, fontsize=9)
        axes.legend()
    return figure


def arrhenius(
    fits: Sequence[tuple[str, ArrheniusResult, Sequence[float], Sequence[Estimate]]],
    title: str = "",
    extrapolate: Sequence[float] = (),
) -> Figure:
    """Draw D against 1000/T on a logarithmic axis, with the fitted line and its band.

    Args:
        fits: a label, the fit, the temperatures (K) and D (cm²/s) of each series.
        title: above the axes.
        extrapolate: K; the lines go on to these, dashed, where an open symbol has the 95 % interval.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        smallest = min(
            [d.value for *_, D in fits for d in D]
            + [fit.extrapolated(t).value for _, fit, *_ in fits for t in extrapolate]
        )
        power = math.floor(math.log10(smallest))
        scale = 10.0**power
        for i, (label, fit, temperatures, D) in enumerate(fits):
            colour = COLOURS[i % len(COLOURS)]
            T = np.asarray(temperatures, dtype=float)
            axes.errorbar(
                1000 / T,
                [d.value / scale for d in D],
                [d.standard_error / scale for d in D],
                fmt="o",
                color=colour,
                markersize=4,
                capsize=2,
                linewidth=1.0,
                label=f"{label}: $E_a$ = {fit.Ea.value:.3f} ± {fit.Ea.standard_error:.3f} eV",
            )
            beta = np.linspace(1 / T.max(), 1 / T.min(), 100)
            ln_D, error = fit.ln_D(1 / beta)
            ln_D = ln_D - math.log(scale)
            axes.plot(1000 * beta, np.exp(ln_D), color=colour, linewidth=1.0)
            axes.fill_between(
                1000 * beta, np.exp(ln_D - error), np.exp(ln_D + error), color=colour, alpha=0.2, linewidth=0
            )
            for t in extrapolate:
                _extrapolation(axes, fit, float(t), T, scale, colour)
        axes.set_yscale("log")
        axes.set_xlabel("1000 / T (1/K)")
        axes.set_ylabel(f"D ($10^{{{power}}}$ cm²/s)")
        upper = axes.secondary_xaxis("top", functions=(_invert, _invert))
        marks = sorted({float(t) for _, _, temperatures, _ in fits for t in [*temperatures, *extrapolate]})
        upper.set_xticks(marks, [f"{t:.0f}" for t in marks])
        upper.set_xlabel("T (K)")
        _decimal_ticks(axes)
        if title:
            axes.set_title(title, fontsize=9)
        axes.legend()
    return figure


def _extrapolation(axes: Any, fit: ArrheniusResult, t: float, T: Any, scale: float, colour: str) -> None:
    """Draw the line from the data to `t`, with its band of one standard error and the 95 % interval at its end."""
    nearest = float(np.clip(t, T.min(), T.max()))
    beta = np.linspace(1 / nearest, 1 / t, 50)
    ln_D, error = fit.ln_D(1 / beta)
    ln_D = ln_D - math.log(scale)
    axes.plot(1000 * beta, np.exp(ln_D), color=colour, linewidth=1.0, linestyle=(0, (4, 2)))
    axes.fill_between(1000 * beta, np.exp(ln_D - error), np.exp(ln_D + error), color=colour, alpha=0.1, linewidth=0)
    value = fit.extrapolated(t).value / scale
    low, high = (bound / scale for bound in fit.interval(t))
    axes.errorbar(
        [1000 / t],
        [value],
        [[value - low], [high - value]],
        fmt="o",
        color=colour,
        markerfacecolor="white",
        markersize=4,
        capsize=2,
        linewidth=1.0,
    )


def _invert(x: Any) -> Any:
    return 1000 / np.maximum(np.asarray(x, dtype=float), 1e-9)


def _decimal_ticks(axes: Any) -> None:
    """Label a logarithmic axis that spans less than two decades where its few powers of ten don't."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    low, high = axes.get_ylim()
    if high / low < 100:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def save(figures: Mapping[str, Figure], folder: Path) -> dict[str, Path]:
    """Write each figure as SVG and PNG into `folder`; return the SVGs by name."""
    paths = {}
    with mpl.rc_context(STYLE):
        for name, figure in figures.items():
            for kind in ("png", "svg"):
                temporary = folder / f".{os.getpid()}.{name}.{kind}"  # several drivers may end at once
                figure.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)
                temporary.replace(folder / f"{name}.{kind}")
            paths[name] = folder / f"{name}.svg"
    return paths
