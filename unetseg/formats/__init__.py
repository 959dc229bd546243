"""Files in, files out: a reader and a writer per family of formats."""

from .dicom import Found, Series, grouped, looks_like_dicom, series_in
from .geo_stream import Streamed, is_too_large, streamed
from .ground import Raster
from .image import MAX_PIXELS, Damaged, Image, Place, Reading, as_image
from .libraries import imported
from .raster import exif_turn, mask_palette, mask_transparency, write_labels
from .reader import family_of, proposed_range, read_image, read_mask, some
from .volume import Volume, looks_hounsfield
from .writer import ENDINGS, KINDS, Kind, labels_by_rows, own_suffix, save_labels, save_probabilities

__all__ = [
    "ENDINGS",
    "KINDS",
    "MAX_PIXELS",
    "Damaged",
    "Found",
    "Image",
    "Kind",
    "Place",
    "Raster",
    "Reading",
    "Series",
    "Streamed",
    "Volume",
    "as_image",
    "exif_turn",
    "family_of",
    "grouped",
    "imported",
    "is_too_large",
    "labels_by_rows",
    "looks_hounsfield",
    "looks_like_dicom",
    "mask_palette",
    "mask_transparency",
    "own_suffix",
    "proposed_range",
    "read_image",
    "read_mask",
    "save_labels",
    "save_probabilities",
    "series_in",
    "some",
    "streamed",
    "write_labels",
]
