"""From a folder of images and masks to a checkpoint."""

from .loop import Stopped, fit
from .recipe import Recipe

__all__ = ["Recipe", "Stopped", "fit"]
