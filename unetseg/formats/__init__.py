"""Files in, files out: a reader and a writer per family of formats."""

from .image import Image, as_image
from .raster import MAX_PIXELS, mask_palette, read_image, read_mask, write_labels

__all__ = ["MAX_PIXELS", "Image", "as_image", "mask_palette", "read_image", "read_mask", "write_labels"]
