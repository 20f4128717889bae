"""Write `frames.xyz`: silicon of several densities, shaken by several amounts, for the labels of `label.yaml`."""

from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk

rng = np.random.default_rng(1)
frames = []
for _ in range(80):
    atoms = bulk("Si", "diamond", a=5.431, cubic=True) * (2, 2, 1)
    strain = np.eye(3) + rng.normal(0.0, 0.02, (3, 3))
    atoms.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
    atoms.positions += rng.normal(0.0, rng.uniform(0.03, 0.25), atoms.positions.shape)
    frames.append(atoms)
ase.io.write(Path(__file__).with_name("frames.xyz"), frames, format="extxyz")
