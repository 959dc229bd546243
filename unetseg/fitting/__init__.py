"""From a folder of images and masks to a checkpoint."""

from .loop import Stopped
from .recipe import Recipe
from .run import fit

__all__ = ["Recipe", "Stopped", "fit"]
