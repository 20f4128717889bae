"""Structures: read or built, checked, ordered, and put into LAMMPS's frame."""

from lampion.structure.build import Built, build
from lampion.structure.data_file import write_data
from lampion.structure.place import Placement, place, tensor_to_user, to_user, user_atoms
from lampion.structure.settings import Crystal, Ordering, Structure

__all__ = [
    "Built", "Crystal", "Ordering", "Placement", "Structure", "build", "place", "tensor_to_user", "to_user",
    "user_atoms", "write_data",
]  # fmt: skip
