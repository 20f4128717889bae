"""Run by a framework's own Python: make small models with random weights.

python framework_side.py mace-models FOLDER
python framework_side.py mace-other MODEL OTHER
python framework_side.py nequip-models FOLDER
python framework_side.py deepmd-models FOLDER
"""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

MACE = {"Si": [14], "LiO": [3, 8], "LiOCl": [3, 8, 17]}
TRAINING = """
run: [train]
data:
  _target_: nequip.data.datamodule.ASEDataModule
  seed: 1
  split_dataset: {{file_path: frames.xyz, train: 2, val: 1}}
  transforms:
    - {{_target_: nequip.data.transforms.NeighborListTransform, r_max: 4.0}}
    - _target_: nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper
      model_type_names: [Cl, Li, O]
  train_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 2}}
  val_dataloader: {{_target_: torch.utils.data.DataLoader, batch_size: 1}}
trainer:
  _target_: lightning.Trainer
  accelerator: cpu
  max_epochs: 1
  logger: false
  enable_progress_bar: false
  callbacks: [{{_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: {name}, save_last: true}}]
training_module:
  _target_: nequip.train.EMALightningModule
  ema_decay: 0.9
  loss:
    _target_: nequip.train.EnergyForceLoss
    per_atom_energy: true
    coeffs: {{total_energy: 1.0, forces: 1.0}}
  val_metrics:
    _target_: nequip.train.EnergyForceMetrics
    coeffs: {{per_atom_energy_mae: 1.0, forces_mae: 1.0}}
  optimizer: {{_target_: torch.optim.Adam, lr: 0.001}}
  model:
    {model}
    seed: 1
    model_dtype: float64
    type_names: [Cl, Li, O]
    r_max: 4.0
    l_max: 1
    avg_num_neighbors: 12.0
    per_type_energy_shifts: {{Cl: -3.0, Li: -1.0, O: -2.0}}
    per_type_energy_scales: {{Cl: 1.0, Li: 1.0, O: 1.0}}
"""
NEQUIP = """_target_: nequip.model.NequIPGNNModel
    num_layers: 2
    num_features: 8
    radial_mlp_width: 16"""
ALLEGRO = """_target_: allegro.model.AllegroModel
    num_layers: 2
    num_scalar_features: 8
    num_tensor_features: 4
    radial_chemical_embed: {_target_: allegro.nn.TwoBodyBesselScalarEmbed, num_bessels: 8}"""


def mace_models(folder: Path) -> None:
    import torch
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    for name, numbers, dtype in [
        *((k, v, "float64") for k, v in MACE.items()),
        ("LiOCl32", MACE["LiOCl"], "float32"),
    ]:
        torch.manual_seed(len(numbers))
        torch.set_default_dtype(getattr(torch, dtype))
        model = modules.ScaleShiftMACE(
            r_max=4.0, num_bessel=6, num_polynomial_cutoff=5, max_ell=2, interaction_cls=block,
            interaction_cls_first=block, num_interactions=2, num_elements=len(numbers),
            hidden_irreps=o3.Irreps("8x0e + 8x1o"), MLP_irreps=o3.Irreps("8x0e"), gate=torch.nn.functional.silu,
            atomic_energies=-np.arange(1, len(numbers) + 1, dtype=float), avg_num_neighbors=12.0,
            atomic_numbers=numbers, correlation=2, radial_type="bessel", radial_MLP=[16, 16],
            atomic_inter_scale=[5.0], atomic_inter_shift=[0.1], heads=["Default"],
        )  # fmt: skip
        torch.save(model, folder / f"{name}.model")


def other_mace(source: Path, target: Path) -> None:
    """The same model with slightly other weights."""
    import torch

    model = torch.load(source, weights_only=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    torch.save(model, target)


def nequip_models(folder: Path) -> None:
    import ase.io
    from ase.build import bulk
    from ase.calculators.singlepoint import SinglePointCalculator

    rng, frames = np.random.default_rng(0), []
    for seed in range(3):
        atoms = bulk("NaCl", "rocksalt", a=4.6, cubic=True)
        atoms.set_chemical_symbols(["Li", "O", "Cl", "Li", "O", "Cl", "Li", "O"])
        atoms.rattle(0.1, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(8, 3)))
        frames.append(atoms)
    ase.io.write(folder / "frames.xyz", frames)
    for name, text in (("nequip", NEQUIP), ("allegro", ALLEGRO)):
        (folder / f"{name}.yaml").write_text(TRAINING.format(name=name, model=text))
        words = [str(Path(sys.executable).with_name("nequip-train")), "-cp", str(folder), "-cn", name]
        subprocess.run([*words, f"hydra.run.dir=out-{name}"], cwd=folder, check=True, capture_output=True)
        (folder / name / "last.ckpt").rename(folder / f"{name}.ckpt")


def deepmd_models(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "data/set.000").mkdir(parents=True)
    lattice = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)]) * 2.3
    frames = np.array([lattice + rng.normal(0, 0.1, (8, 3)) for _ in range(3)])
    (folder / "data/type.raw").write_text("0 1 1 0 1 0 0 1")
    (folder / "data/type_map.raw").write_text("Li O")
    for name, values in (
        ("coord", frames.reshape(3, -1)),
        ("box", np.tile(4.6 * np.eye(3).ravel(), (3, 1))),
        ("energy", rng.normal(size=3)),
        ("force", rng.normal(size=(3, 24))),
    ):
        np.save(folder / f"data/set.000/{name}.npy", values)
    dp = str(Path(sys.executable).with_name("dp"))
    for seed in (1, 2):
        shape = {"type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.0, "sel": [40, 40], "neuron": [4, 8], "seed": seed}
        settings = {
            "model": {
                "type_map": ["Li", "O"],
                "descriptor": {**shape, "axis_neuron": 2},
                "fitting_net": {"neuron": [8, 8], "seed": seed},
            },
            "learning_rate": {"type": "exp", "start_lr": 1e-3, "stop_lr": 1e-5, "decay_steps": 5},
            "loss": {"start_pref_e": 1, "limit_pref_e": 1, "start_pref_f": 1, "limit_pref_f": 1},
            "training": {
                "training_data": {"systems": [str(folder / "data")], "batch_size": 1},
                "numb_steps": 2, "disp_freq": 2, "save_freq": 2, "seed": seed,
            },
        }  # fmt: skip
        work = folder / f"train{seed}"
        work.mkdir()
        (work / "input.json").write_text(json.dumps(settings))
        for words in (["train", "input.json"], ["freeze", "-o", str(folder / f"m{seed}.pb")]):
            subprocess.run([dp, *words], cwd=work, check=True, capture_output=True)


if __name__ == "__main__":
    if sys.argv[1] == "mace-other":
        other_mace(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        {"mace-models": mace_models, "nequip-models": nequip_models, "deepmd-models": deepmd_models}[sys.argv[1]](
            Path(sys.argv[2])
        )
