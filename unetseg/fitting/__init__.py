"""From a folder of images and masks to a checkpoint."""

from .recipe import Recipe
from .run import fit
from .stopping import Stopped

__all__ = ["Recipe", "Stopped", "fit"]
