"""What a model file is, read without torch and without running anything of it."""

from lampion.model.read import inspect
from lampion.model.record import Kind, Model, describe

__all__ = ["Kind", "Model", "describe", "inspect"]
