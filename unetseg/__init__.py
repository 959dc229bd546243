"""A U-Net for real pictures: from a folder of images and masks to a model that anyone can open."""

from .config import IGNORE, SegmentationConfig
from .formats import Image, read_image
from .metrics import ConfusionMatrix
from .model import UNet
from .predictor import Predictor, Segmentation

__version__ = "0.1.0"
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
