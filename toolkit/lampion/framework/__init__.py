"""Isolated environments of the frameworks that make models: mace-torch, nequip, deepmd-kit."""

from lampion.framework.environments import NAMES, Environment, Name, add, find, installed, remove
from lampion.framework.equip import equip
from lampion.framework.export import export

__all__ = ["NAMES", "Environment", "Name", "add", "equip", "export", "find", "installed", "remove"]
