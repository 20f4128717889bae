"""Van Hove functions and the density of the ions, from the runs of the study beside this script."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lampion import run
from lampion.analysis.density import cube_text, density
from lampion.analysis.pairs import van_hove
from lampion.plot import COLOURS
from lampion.study import plan
from lampion.trajectory import read_dump

HERE = Path(__file__).parent


def main() -> None:
    first = plan(HERE / "study.yaml").jobs[0]
    trajectory = read_dump(run.verified(first.folder) / "trajectory.dump")
    results = HERE / "results"
    sodium = trajectory.species == "Na"
    frames = [round(t / (trajectory.times[1] - trajectory.times[0])) for t in (0.5, 1, 2, 5, 10)]
    hove = van_hove(
        trajectory.positions, trajectory.times, cells=trajectory.cells, atoms=sodium, lags=frames, r_max=9.0
    )
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    own, others = figure.subplots(1, 2)
    for i, lag in enumerate(hove.lags):
        own.plot(hove.r, hove.self_part[i], color=COLOURS[i], label=f"{lag:g} ps")
        others.plot(hove.r, hove.distinct_part[i], color=COLOURS[i])
    own.set(xlabel="r (Å)", ylabel="4πr² $G_s$(r, t) (1/Å)", title="Na, self", xlim=(0, 9), ylim=(0, None))
    others.set(xlabel="r (Å)", ylabel="$G_d$(r, t) / ρ", title="Na, distinct", xlim=(0, 9), ylim=(0, None))
    own.legend(frameon=False)
    for axes in (own, others):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(results / "van_hove_Na.png", dpi=200)
    rho = density(trajectory.positions, trajectory.cells, atoms=sodium, origin=trajectory.origins[0], spacing=0.5)
    (results / "density_Na.cube").write_text(
        cube_text(
            rho,
            positions=trajectory.positions[0],
            species=trajectory.species,
            title="Na in molten NaCl, ions per cubic bohr; atoms of the first frame",
        )
    )
    mean = sodium.sum() / abs(np.linalg.det(trajectory.cells[0]))
    # A melt has no sites: the map is flat but for noise. In a superionic crystal it shows them and the paths between.
    print(f"Na density {mean:.4f} per Å³, from {rho.values.min():.4f} to {rho.values.max():.4f} on the map's grid")


if __name__ == "__main__":
    main()
