"""Reads, lists and resizes images: (H, W, 3) uint8 RGB from anything that holds one."""

from resight.images.labels import read_labels
from resight.images.listing import SUFFIXES, Listing, count_images, list_images
from resight.images.read import MAX_BYTES, MAX_PIXELS, ImageLike, decode_image, image_notes, read_bytes, read_image
from resight.images.resize import FITS, INTERPOLATIONS, crop_box, fit, resize

__all__ = [
    "FITS",
    "INTERPOLATIONS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "ImageLike",
    "Listing",
    "count_images",
    "crop_box",
    "decode_image",
    "fit",
    "image_notes",
    "list_images",
    "read_bytes",
    "read_image",
    "read_labels",
    "resize",
]
