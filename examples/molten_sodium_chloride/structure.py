"""Van Hove functions and the density of the ions, from the runs of the study beside this script."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lampion import run
from lampion.analysis.density import cube_text
from lampion.analysis.from_trajectory import density_of
from lampion.analysis.pairs import van_hove
from lampion.plot import COLOURS, STYLE
from lampion.study import plan
from lampion.trajectory import Trajectory, read_dump

HERE = Path(__file__).parent
LAGS = (0.5, 1.0, 2.0, 5.0, 10.0)


def functions(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return r and both van Hove functions of sodium, (n_lags, n_bins), of one run."""
    frames = [round(t / (trajectory.times[1] - trajectory.times[0])) for t in LAGS]
    found = van_hove(
        trajectory.positions,
        trajectory.times,
        cells=trajectory.cells,
        atoms=trajectory.species == "Na",
        lags=frames,
        r_max=9.0,
        bin_width=0.2,
        max_origins=60,
    )
    return found.r, found.self_part, found.distinct_part


def draw(r: np.ndarray, curves: list[tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw the mean over the runs with a band of two standard errors."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = ("4πr² $G_s$(r, t) (1/Å)", "$G_d$(r, t) / ρ")
    for axes, part, title, name in zip(panels, zip(*curves, strict=True), titles, ("self", "distinct"), strict=True):
        mean, error = np.mean(part, axis=0), np.std(part, axis=0, ddof=1) / len(part) ** 0.5
        for i, lag in enumerate(LAGS):
            axes.plot(r, mean[i], color=COLOURS[i], label=f"{lag:g} ps")
            axes.fill_between(
                r, mean[i] - 2 * error[i], mean[i] + 2 * error[i], color=COLOURS[i], alpha=0.25, linewidth=0
            )
        axes.set(xlabel="r (Å)", ylabel=title, title=f"Na, {name}", xlim=(0, 9), ylim=(0, None))
    panels[0].legend()
    return figure


def main() -> None:
    import matplotlib as mpl

    jobs = plan(HERE / "study.yaml").jobs
    runs = [read_dump(run.verified(job.folder) / "trajectory.dump") for job in jobs]
    results = HERE / "results"
    found = [functions(trajectory) for trajectory in runs]
    with mpl.rc_context(STYLE):
        draw(found[0][0], [(own, others) for _, own, others in found]).savefig(results / "van_hove_Na.png")
        maps = [density_of(trajectory, "Na", framework=None, spacing=0.6) for trajectory in runs]
        first = runs[0]
        mean = (first.species == "Na").sum() / abs(np.linalg.det(first.cells[0]))
        values = np.mean([rho.values for rho in maps], axis=0)
        # A melt has no sites: the map is flat but for noise. In a superionic crystal it shows sites and paths.
        layer = values.mean(axis=2) / mean
        figure = Figure(figsize=(3.6, 3.0), layout="constrained")
        axes = figure.add_subplot()
        edge = float(first.cells[0, 0, 0])
        image = axes.imshow(layer.T, origin="lower", extent=(0, edge, 0, edge), cmap="RdBu_r", vmin=0.7, vmax=1.3)
        figure.colorbar(image, label="Na density, mean along z, over its mean")
        axes.set(xlabel="x (Å)", ylabel="y (Å)", xticks=(0, 5, 10, 15), yticks=(0, 5, 10, 15))
        for spine in axes.spines.values():
            spine.set_visible(True)
        figure.savefig(results / "density_Na.png")
    title = "Na in molten NaCl, ions per cubic bohr; atoms of the first frame"
    cube = cube_text(maps[0], positions=first.positions[0], species=first.species, title=title)
    (results / "density_Na.cube").write_text(cube)
    scatter = np.std([rho.values for rho in maps], axis=0, ddof=1) / len(maps) ** 0.5
    pull = (values - mean)[scatter > 0] / scatter[scatter > 0]
    print(f"Na density over its mean on a layer: {layer.min():.2f} to {layer.max():.2f}")
    print(f"voxels beyond two of their errors: {(np.abs(pull) > 2).mean():.1%}, 6 % of noise that is Gaussian")


if __name__ == "__main__":
    main()
