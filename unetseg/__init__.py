"""A U-Net for real pictures: from a folder of images and masks to a model that anyone can open."""

from typing import TYPE_CHECKING

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .config import IGNORE, SegmentationConfig
    from .formats import Image, read_image
    from .model import UNet
    from .predictor import Predictor
    from .scores.metrics import ConfusionMatrix
    from .segmentation import Segmentation

__all__ = [
    "IGNORE",
    "ConfusionMatrix",
    "Image",
    "Predictor",
    "Segmentation",
    "SegmentationConfig",
    "UNet",
    "read_image",
]

if not TYPE_CHECKING:  # a type checker would let any name pass
    _MODULES = {
        "IGNORE": "config",
        "SegmentationConfig": "config",
        "Image": "formats",
        "read_image": "formats",
        "UNet": "model",
        "Predictor": "predictor",
        "Segmentation": "segmentation",
        "ConfusionMatrix": "scores.metrics",
    }

    def __getattr__(name):  # noqa: ANN001, ANN202, PEP 562
        """Import a public name when it is first asked for: what needs no torch starts without it."""
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return value

    def __dir__():  # noqa: ANN202
        return __all__
