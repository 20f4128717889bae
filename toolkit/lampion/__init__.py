"""Lampion: LAMMPS with machine-learned interatomic potentials, from decks to numbers with error bars."""

__version__ = "0.1.0"
