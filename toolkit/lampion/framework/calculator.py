"""Run by a framework's own Python, which lacks Lampion: structures in its own calculator.

    python calculator.py KIND MODEL DTYPE HEAD GIVEN.npz SAID.npz

KIND is ``mace`` (a checkpoint), ``mace-export`` (TorchScript, with MACE's own neighbour list), ``nequip`` (checkpoint
or package; Allegro too) or ``deepmd``; HEAD may be empty. GIVEN holds ``symbols:k``, ``positions:k`` (Å), ``cell:k``
(Å, rows) and ``pbc:k``; SAID gets ``energy:k`` (eV), ``forces:k`` (eV/Å), and, where all is periodic, ``virial:k``
(−∂E/∂strain, 3 × 3, eV).
"""

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Evaluate = Callable[[Any, Any, Any, Any], "tuple[float, Any, Any]"]


def _by_ase(calculator: Any) -> Evaluate:
    import ase

    def evaluate(symbols: Any, positions: Any, cell: Any, pbc: Any) -> tuple[float, Any, Any]:
        atoms = ase.Atoms(list(symbols), positions=positions, cell=cell, pbc=pbc, calculator=calculator)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        # Elsewhere the calculators put a cell of their own around the atoms.
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume() if pbc.all() else None
        return float(energy), forces, virial

    return evaluate


def _mace(model: str, dtype: str, head: str) -> Evaluate:
    from mace.calculators import MACECalculator

    more = {"head": head} if head and head != "Default" else {}
    return _by_ase(MACECalculator(model_paths=model, device="cpu", default_dtype=dtype, **more))


def _mace_export(model: str, dtype: str, head: str) -> Evaluate:
    del dtype, head
    import torch
    from ase.data import atomic_numbers
    from mace.data.neighborhood import get_neighborhood

    module = torch.jit.load(model, map_location="cpu").eval()
    elements, real = module.atomic_numbers.tolist(), module.r_max.dtype

    def evaluate(symbols: Any, positions: Any, cell: Any, pbc: Any) -> tuple[float, Any, Any]:
        edges, shifts, unit, used = get_neighborhood(
            positions=positions, cutoff=float(module.r_max), pbc=tuple(map(bool, pbc)), cell=cell.copy()
        )
        kinds = torch.tensor([elements.index(atomic_numbers[s]) for s in symbols])
        data = {
            "positions": torch.tensor(positions, dtype=real),
            "node_attrs": torch.nn.functional.one_hot(kinds, len(elements)).to(real),
            "edge_index": torch.tensor(edges, dtype=torch.int64),
            "shifts": torch.tensor(shifts, dtype=real),
            "unit_shifts": torch.tensor(unit, dtype=real),
            "cell": torch.tensor(used, dtype=real),
            "batch": torch.zeros(len(symbols), dtype=torch.int64),
            "ptr": torch.tensor([0, len(symbols)]),
        }
        out = module(data, torch.ones(len(symbols), dtype=torch.bool), True)
        forces = out["forces"].detach().double().numpy()
        virial = out["virials"].detach().double().numpy().reshape(3, 3) if pbc.all() else None
        return float(out["node_energy"].detach().double().sum()), forces, virial

    return evaluate


def _nequip(model: str, dtype: str, head: str) -> Evaluate:
    del dtype, head
    from nequip.integrations.ase import NequIPCalculator

    return _by_ase(
        NequIPCalculator._from_saved_model(
            model, device="cpu", chemical_species_to_atom_type_map=True, allow_tf32=False
        )
    )


def _deepmd(model: str, dtype: str, head: str) -> Evaluate:
    del dtype, head
    from deepmd.infer import DeepPot

    potential = DeepPot(model)
    names = potential.get_type_map()

    def evaluate(symbols: Any, positions: Any, cell: Any, pbc: Any) -> tuple[float, Any, Any]:
        if pbc.any() != pbc.all():
            raise SystemExit("DeepPot knows structures that are periodic in all directions or in none")
        kinds = [names.index(s) for s in symbols]
        box = cell.reshape(1, 9) if pbc.all() else None
        energy, forces, virial = potential.eval(positions.reshape(1, -1), box, kinds)[:3]
        return float(energy.item()), forces[0], virial.reshape(3, 3) if box is not None else None

    return evaluate


def main(kind: str, model: str, dtype: str, head: str, given: str, said: str) -> None:
    """Evaluate every structure of GIVEN."""
    open_model = {"mace": _mace, "mace-export": _mace_export, "nequip": _nequip, "deepmd": _deepmd}[kind]
    evaluate = open_model(model, dtype, head)
    data, results = np.load(given), {}
    for k in range(sum(name.startswith("symbols:") for name in data.files)):
        energy, forces, virial = evaluate(*(data[f"{what}:{k}"] for what in ("symbols", "positions", "cell", "pbc")))
        results[f"energy:{k}"], results[f"forces:{k}"] = np.asarray(energy), np.asarray(forces)
        if virial is not None:
            results[f"virial:{k}"] = np.asarray(virial)
    np.savez(said, **results)  # type: ignore[arg-type, unused-ignore]


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # checkpoints are pickles; the caller knows them as trusted
    main(*sys.argv[1:])
