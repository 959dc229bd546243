"""Files in, files out: a reader and a writer per family of formats."""

from .dicom import Found, Series, looks_like_dicom, series_in
from .ground import Raster
from .image import MAX_PIXELS, Image, Place, Reading, as_image
from .libraries import imported
from .raster import mask_palette, write_labels
from .reader import proposed_range, read_image, read_mask, some
from .volume import Volume, looks_hounsfield
from .writer import ENDINGS, KINDS, Kind, own_suffix, save_labels, save_probabilities

__all__ = [
    "ENDINGS",
    "KINDS",
    "MAX_PIXELS",
    "Found",
    "Image",
    "Kind",
    "Place",
    "Raster",
    "Reading",
    "Series",
    "Volume",
    "as_image",
    "imported",
    "looks_hounsfield",
    "looks_like_dicom",
    "mask_palette",
    "own_suffix",
    "proposed_range",
    "read_image",
    "read_mask",
    "save_labels",
    "save_probabilities",
    "series_in",
    "some",
    "write_labels",
]
