# ruff: noqa: T201
"""How fast and how lean: all lags of 1,000 atoms × 2,000 frames beside the peers, D with its error beside kinisi.

    python tests/benchmarks/diffusion_speed.py [--default] [--large] [--write]

in an environment that holds the peers (tidynamics, MDAnalysis, kinisi) prints CPU seconds, best of five, and the
memory beyond the input. `--default` also runs kinisi with all lags and all ions, and `--large` 20,000 ions × 20,000
frames as they come from an iterator (10 GB that nobody holds); both take minutes. `--write` keeps the numbers as JSON
beside this file, from which the README quotes.
"""

import ctypes
import json
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lampion.analysis.diffusion import diffusion_coefficient
from lampion.analysis.msd import NO_REFERENCE, mean_squared_displacement
from lampion.analysis.streaming import stream_diffusion

N_ATOMS, N_FRAMES, DT = 1000, 2000, 0.1


def walk(n_atoms: int = N_ATOMS) -> np.ndarray:
    """Return a Brownian walk with vibrations, (n_frames, n_atoms, 3), Å."""
    rng = np.random.default_rng(1)
    # In place, so that the peak of memory before the measurement is the input itself.
    path = np.empty((N_FRAMES, n_atoms, 3))
    position = np.zeros((n_atoms, 3))
    for frame in range(N_FRAMES):
        position += rng.normal(0.0, 0.1, position.shape)
        path[frame] = position + rng.normal(0.0, 0.15, position.shape)
    return path


def numpy_fft(x: np.ndarray) -> np.ndarray:
    """The plain FFT formula, all atoms at once."""
    n = len(x)
    spectrum = np.fft.rfft(x, 2 * n, axis=0)
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, 2 * n, axis=0)[:n].sum(axis=2)
    square = (x**2).sum(axis=2)
    head = np.concatenate([np.zeros((1, x.shape[1])), np.cumsum(square, axis=0)])
    lags = np.arange(n)
    sums = head[n - lags] + head[-1] - head[lags] - 2 * correlation
    return (sums / (n - lags)[:, None]).mean(axis=1)


def tidynamics_msd(x: np.ndarray) -> np.ndarray:
    import tidynamics

    return np.mean([tidynamics.msd(x[:, k]) for k in range(x.shape[1])], axis=0)


def mdanalysis_msd(x: np.ndarray) -> np.ndarray:
    import MDAnalysis
    from MDAnalysis.analysis.msd import EinsteinMSD

    universe = MDAnalysis.Universe.empty(x.shape[1], trajectory=True)
    universe.load_new(x.astype(np.float32), order="fac")
    return EinsteinMSD(universe, fft=True).run().results.timeseries


def kinisi_D(x: np.ndarray, sparse: bool) -> tuple[float, float]:
    """Return D and its standard deviation, cm²/s, from kinisi 2."""
    import scipp as sc
    from ase import Atoms
    from kinisi.analyze import DiffusionAnalyzer

    lags = np.unique(np.geomspace(1, N_FRAMES * 0.7, 100).astype(int)) if sparse else None
    edge = 1000.0
    frames = [Atoms("Li" * x.shape[1], frame + edge / 2, cell=[edge] * 3, pbc=True) for frame in x]
    options = {"dt": sc.array(dims=["time interval"], values=lags * DT, unit=sc.Unit("ps"))} if sparse else {}
    analyzer = DiffusionAnalyzer.from_ase(
        frames, specie="Li", time_step=DT * sc.Unit("ps"), step_skip=1 * sc.units.one, progress=False, **options
    )
    analyzer.diffusion(start_dt=1.0 * sc.Unit("ps"), progress=False)
    D = analyzer.D.values
    return float(np.mean(D)), float(np.std(D))


def cpu(work: Callable[[], object], repeats: int = 5) -> tuple[float, object]:
    """Return the best CPU time of several calls, and the last answer."""
    best, answer = np.inf, None
    for _ in range(repeats):
        start = time.process_time()
        answer = work()
        best = min(best, time.process_time() - start)
    return best, answer


def memory(work: Callable[[], object]) -> float:
    """Return by how much resident memory rose at most while `work` ran, MB, looked at every millisecond."""
    ctypes.CDLL(None).malloc_trim(0)  # or freed memory that the allocator kept would hide what is taken
    page = resource.getpagesize()
    before = int(Path("/proc/self/statm").read_text().split()[1])
    peak, ended = before, threading.Event()

    def look() -> None:
        nonlocal peak
        while not ended.wait(0.001):
            peak = max(peak, int(Path("/proc/self/statm").read_text().split()[1]))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()
    return (peak - before) * page / 2**20


def large(n_ions: int = 20_000, n_frames: int = 20_000) -> dict[str, float]:
    """Return what D of a walk costs that comes frame by frame: the making of frames is measured apart."""
    rng = np.random.default_rng(2)
    steps = rng.normal(0.0, 0.1, (64, n_ions, 3))

    def frames() -> Iterator[np.ndarray]:
        position = np.zeros((n_ions, 3))
        for _ in range(n_frames):
            # Steps drawn anew would cost more than the analysis; a step that is shifted by an ion is another ion's.
            position += np.roll(steps[rng.integers(64)], int(rng.integers(n_ions)), axis=0)
            yield position

    start = time.process_time()
    deque(frames(), maxlen=0)
    making = time.process_time() - start
    start = time.process_time()
    results = []
    more = memory(lambda: results.append(stream_diffusion(frames(), n_frames, DT)))
    taken = time.process_time() - start - making
    return {"CPU s": round(taken), "memory, MB": round(more), "D / 1e-4 cm²/s": round(results[0].D.value * 1e4, 4)}


def apart() -> dict[str, float]:
    """Return what `large` does, from a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--alone"], capture_output=True, text=True, check=True)
    print(f"20,000 ions × 20,000 frames from an iterator: {done.stdout.strip()}", flush=True)
    return dict(json.loads(done.stdout))


def main(default: bool, write: bool, huge: bool) -> None:
    """Print the table."""
    record: dict[str, dict[str, float]] = {}
    streamed = large() if huge else None
    streamed = apart() if huge else None
    x = walk()
    small = x[:50, :20].copy()
    mean_squared_displacement(small)
    times = np.arange(N_FRAMES) * DT
    beyond = {
        "MSD, all lags of 1,000 ions": memory(lambda: mean_squared_displacement(x)),
        "D with its error, 1,000 ions, all lags": memory(
            lambda: diffusion_coefficient(x, times, reference=NO_REFERENCE)
        ),
    }
    print("Lampion's memory beyond the input:", ", ".join(f"{what} {mb:.0f} MB" for what, mb in beyond.items()))
    ours, expected = cpu(lambda: mean_squared_displacement(x))
    print(f"{'MSD, all lags':32}{'CPU s':>9}{'ratio':>8}{'error':>10}")
    print(f"{'Lampion':32}{ours:9.3f}{1:8.1f}")
    record["MSD, all lags of 1,000 ions"] = {"Lampion": ours}
    for name, work in (("numpy FFT", numpy_fft), ("tidynamics", tidynamics_msd), ("MDAnalysis", mdanalysis_msd)):
        try:
            taken, msd = cpu(lambda work=work: work(x), 3)
        except ImportError as missing:
            print(f"{name:32}  not here: {missing}")
            continue
        record["MSD, all lags of 1,000 ions"][name] = taken
        print(f"{name:32}{taken:9.3f}{taken / ours:8.1f}{np.abs(msd[1:] / expected[1:] - 1).max():10.0e}")
    ions = x[:, :188]
    for label, data, sparse in (("188 ions, 100 lags", ions, True), ("1,000 ions, all lags", x, False)):
        ours, result = cpu(lambda data=data: diffusion_coefficient(data, times, reference=NO_REFERENCE))
        print(f"{'D, ' + label:32}\n{'Lampion':32}{ours:9.3f}{1:8.1f}  {result.D}", flush=True)
        record[f"D with its error, {label}"] = {"Lampion": ours}
        if not sparse and not default:
            continue
        try:
            taken, (D, error) = cpu(lambda data=data, sparse=sparse: kinisi_D(data, sparse), 1)
        except ImportError as missing:
            print(f"{'kinisi':32}  not here: {missing}")
            continue
        record[f"D with its error, {label}"]["kinisi"] = taken
        print(f"{'kinisi':32}{taken:9.3f}{taken / ours:8.1f}  {D:.3e} ± {error:.1e}")
    if write:
        short = {what: {who: float(f"{t:.3g}") for who, t in row.items()} for what, row in record.items()}
        whole = {"CPU s": short, "memory beyond the input, MB": {what: round(mb) for what, mb in beyond.items()}}
        if streamed is not None:
            whole["20,000 ions × 20,000 frames from an iterator"] = streamed
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if "--alone" in sys.argv:
        print(json.dumps(large(), ensure_ascii=False))
        raise SystemExit
    main("--default" in sys.argv, "--write" in sys.argv, "--large" in sys.argv)
