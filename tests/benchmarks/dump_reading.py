"""How fast dumps are read, beside other programs, in one process; writes dump_reading.json and prints the table.

    OMP_NUM_THREADS=1 python tests/benchmarks/dump_reading.py [folder]

Needs ovito, MDAnalysis and pymatgen, a C compiler and the programs zstd and lz4. CPU seconds of the process, the
smallest of five rounds taken in turn, page cache warm. The files hold `id type x y z ix iy iz`, rows shuffled in
every frame; each reader is to give positions (n_frames, n_atoms, 3), unwrapped and sorted by id. ASE drops the image
flags: it is timed for reading alone.
"""

import ctypes
import importlib.metadata
import json
import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from lampion.trajectory import read_dump
from lampion.trajectory.source import opened

EDGE = 30.0
SPECIES = {1: "Li", 2: "P", 3: "S"}
SHAPES = {"1,000 atoms × 2,000 frames": (1000, 2000), "100,000 × 20": (100_000, 20), "100 × 100,000": (100, 100_000)}
ROUNDS = 5
RESULT = Path(__file__).with_suffix(".json")


def make(path: Path, n_atoms: int, n_frames: int) -> None:
    rng = np.random.default_rng(0)
    x, image = rng.uniform(0, EDGE, (n_atoms, 3)), np.zeros((n_atoms, 3), int)
    types = rng.integers(1, 4, n_atoms)
    with path.open("w") as text, path.with_suffix(".bin").open("wb") as binary:
        for frame in range(n_frames):
            x += rng.normal(0, 0.3, x.shape)
            crossed = np.floor(x / EDGE).astype(int)
            x, image = x - crossed * EDGE, image + crossed
            order = rng.permutation(n_atoms)
            text.write(
                f"ITEM: TIMESTEP\n{100 * frame}\nITEM: NUMBER OF ATOMS\n{n_atoms}\nITEM: BOX BOUNDS pp pp pp\n"
            )
            text.write(f"{0:.16e} {EDGE:.16e}\n" * 3 + "ITEM: ATOMS id type x y z ix iy iz\n")
            table = np.column_stack([order + 1, types[order], x[order], image[order]])
            text.write(
                "".join("{:.0f} {:.0f} {:g} {:g} {:g} {:.0f} {:.0f} {:.0f}\n".format(*row) for row in table.tolist())
            )
            columns = b"id type x y z ix iy iz"
            head = struct.pack(
                "<q10siiqqi6i6di", -10, b"DUMPCUSTOM", 1, 2, 100 * frame, n_atoms, 0, *[0] * 6, *[0, EDGE] * 3, 8
            )
            binary.write(head + struct.pack("<ibi", 0, 0, len(columns)) + columns + struct.pack("<ii", 1, table.size))
            binary.write(table.tobytes())


def lampion(path: Path) -> np.ndarray:
    return read_dump(path, species=SPECIES, timestep=1e-3, workers=1).positions


def ovito(path: Path) -> np.ndarray:
    from ovito.io import import_file

    pipeline = import_file(str(path), sort_particles=True)
    out = []
    for frame in range(pipeline.source.num_frames):
        data = pipeline.source.compute(frame)
        cell = np.array(data.cell[:3, :3]).T
        out.append(data.particles.positions[...] + data.particles["Periodic Image"][...] @ cell)
    return np.array(out)


def ase(path: Path) -> np.ndarray:
    from ase.io import read

    return np.array([atoms.positions for atoms in read(path, index=":", format="lammps-dump-text")])


def pymatgen(path: Path) -> np.ndarray:
    from pymatgen.io.lammps.outputs import parse_lammps_dumps

    out = []
    for dump in parse_lammps_dumps(str(path)):
        table = dump.data.sort_values("id")
        out.append(
            table[["x", "y", "z"]].to_numpy() + table[["ix", "iy", "iz"]].to_numpy() @ dump.box.to_lattice().matrix
        )
    return np.array(out)


def mdanalysis(path: Path) -> np.ndarray:
    import MDAnalysis

    universe = MDAnalysis.Universe(str(path), format="LAMMPSDUMP", topology_format="LAMMPSDUMP", unwrap_images=True)
    return np.array([frame.positions.copy() for frame in universe.trajectory])


def c_rows(path: Path, library: ctypes.CDLL, n_atoms: int, n_frames: int) -> np.ndarray:
    out = np.empty((n_frames, n_atoms, 3))
    library.rows(
        path.read_bytes(), ctypes.c_size_t(n_atoms), ctypes.c_size_t(n_frames), ctypes.c_double(EDGE),
        out.ctypes.data_as(ctypes.c_void_p),
    )  # fmt: skip
    return out


def decompressed(path: Path) -> int:
    block = memoryview(bytearray(4 << 20))
    n = 0
    with opened(path) as source:
        while got := source.fill(block):
            n += got
    return n


def cpu(*readers: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """CPU seconds of each, the least of some rounds in which they take turns."""
    least = [np.inf] * len(readers)
    for _ in range(rounds):
        for i, reader in enumerate(readers):
            start = time.process_time()
            reader()
            least[i] = min(least[i], time.process_time() - start)
    return [float(seconds) for seconds in least]


def peak_anonymous(code: str, *arguments: str) -> float:
    """Run Python code in a process of its own; return its peak of anonymous memory in MB, sampled."""
    sampler = """
import sys, threading, time
peak = 0
def sample():
    global peak
    while True:
        text = open("/proc/self/status").read()
        peak = max(peak, int(text.split("RssAnon:")[1].split()[0]))
        time.sleep(0.002)
threading.Thread(target=sample, daemon=True).start()
"""
    done = subprocess.run(
        [sys.executable, "-c", f"{sampler}\n{code}\ntime.sleep(0.01)\nprint(peak / 1024)", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout.split()[-1])


def memory(folder: Path, small: Path) -> dict[str, float]:
    code = "from lampion.trajectory import iterate_dump, read_dump\nimport lampion.trajectory.kernel\n"
    idle = peak_anonymous(code)
    whole = peak_anonymous(
        code + "t = read_dump(sys.argv[1], species={1: 'Li', 2: 'P', 3: 'S'}, timestep=1e-3)", str(small)
    )
    large = folder / "large.dump"
    frames = small.read_bytes().split(b"ITEM: TIMESTEP\n")[1:]
    with large.open("wb") as file:
        step = 0
        while file.tell() < 4_000_000_000:
            for frame in frames:
                file.write(b"ITEM: TIMESTEP\n%d\n" % step + frame.split(b"\n", 1)[1])
                step += 100
    blocks = peak_anonymous(
        code
        + "n = sum(b.n_frames for b in iterate_dump(sys.argv[1], species={1: 'Li', 2: 'P', 3: 'S'}, timestep=1e-3))",
        str(large),
    )
    large.unlink()
    result = 8e-6 * 3 * 1000 * 2000
    return {
        "interpreter and numba": idle,
        "read_dump, beside the result of 48 MB": whole - result,
        "iterate_dump over 4 GB": blocks,
    }


def main() -> None:
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    library = folder / "rows.so"
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", Path(__file__).with_name("rows.c"), "-o", library], check=True)
    rows = ctypes.CDLL(str(library))
    rate: dict[str, float] = {}
    report: dict[str, object] = {}
    for name, (n_atoms, n_frames) in SHAPES.items():
        path = folder / f"{n_atoms}.dump"
        if not path.exists():
            make(path, n_atoms, n_frames)
        truth = c_rows(path, rows, n_atoms, n_frames)
        np.testing.assert_allclose(lampion(path), truth, atol=1e-9)
        np.testing.assert_allclose(lampion(path.with_suffix(".bin")), truth, atol=2e-4)
        seconds = cpu(partial(lampion, path), rounds=ROUNDS if n_frames < 10_000 else 3)[0]
        rate[name] = path.stat().st_size / 1e6 / seconds
    path = folder / "1000.dump"
    truth = lampion(path)
    readers: dict[str, Callable[[], object]] = {
        "Lampion": lambda: lampion(path),
        "plain C": lambda: c_rows(path, rows, 1000, 2000),
        "OVITO": lambda: ovito(path),
        "ASE": lambda: ase(path),
        "pymatgen": lambda: pymatgen(path),
    }
    np.testing.assert_allclose(ovito(path), truth, atol=1e-9)
    np.testing.assert_allclose(pymatgen(path), truth, atol=1e-9)
    text = dict(zip(readers, cpu(*readers.values()), strict=True))
    text["MDAnalysis"] = cpu(lambda: mdanalysis(path), rounds=1)[0]
    report["text, CPU s"] = text
    report["text, times Lampion"] = {name: seconds / text["Lampion"] for name, seconds in text.items()}
    report["text, MB/s"] = rate
    binary = path.with_suffix(".bin")
    own, plain = cpu(lambda: lampion(binary), lambda: np.fromfile(binary, dtype=np.uint8))
    report[".bin, CPU s"] = {"Lampion": own, "numpy.fromfile": plain, "ratio": own / plain}
    for program, suffix in (("gzip", "gz"), ("zstd", "zst"), ("lz4", "lz4")):
        packed = Path(f"{path}.{suffix}")
        with packed.open("wb") as file:
            subprocess.run([program, "-c", "-q", path], stdout=file, check=True)
        both, unpack, parse = cpu(partial(lampion, packed), partial(decompressed, packed), partial(lampion, path))
        report[f".{suffix}, CPU s"] = {
            "Lampion": both, "decompress": unpack, "parse": parse, "ratio to their sum": both / (unpack + parse),
            "size, MB": packed.stat().st_size / 1e6,
        }  # fmt: skip
    report["anonymous memory, MB"] = memory(folder, path)
    report["versions"] = {
        name: importlib.metadata.version(name)
        for name in ("numpy", "numba", "ovito", "ase", "pymatgen", "MDAnalysis")
    }
    report["machine"] = {"cpu": _cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()}
    RESULT.write_text(json.dumps(_rounded(report), indent=2, ensure_ascii=False) + "\n")
    sys.stdout.write(RESULT.read_text())
    sys.stdout.write("\n| reader | CPU s | × Lampion |\n|---|---|---|\n")
    for name, seconds in text.items():
        sys.stdout.write(f"| {name} | {seconds:.3f} | {seconds / text['Lampion']:.1f} |\n")


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.3g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
