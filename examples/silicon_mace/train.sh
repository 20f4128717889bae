#!/usr/bin/env bash
# From nothing to a MACE model of silicon in LAMMPS: frames, labels, training, export, check, run. Five to ten minutes on
# two cores, in an environment that has lampion.
set -euo pipefail
cd "$(dirname "$0")"
lampion framework add mace
python frames.py
lampion run label.yaml
# framework list prints: name, versions, folder.
folder=$(lampion framework list | awk '$1 == "mace" {print $NF}')
OMP_NUM_THREADS=2 "$folder/bin/mace_run_train" --name silicon --seed 1 --device cpu --default_dtype float64 \
    --train_file results/structures.extxyz --valid_fraction 0.1 --energy_key energy --forces_key forces --E0s average \
    --model ScaleShiftMACE --scaling rms_forces_scaling --r_max 4.0 --num_interactions 2 --num_channels 8 --max_L 1 \
    --correlation 2 --batch_size 4 --max_num_epochs 30 --lr 0.02 --forces_weight 100 --energy_weight 10 --work_dir training
cp training/silicon.model silicon.model
lampion model export silicon.model --trust
lampion run study.yaml
