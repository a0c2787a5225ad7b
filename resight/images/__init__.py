"""Reads, lists and resizes images: (H, W, 3) uint8 RGB from anything that holds one."""

from resight.images.clips import clip_length, map_clip, read_clip
from resight.images.examples import Example, Examples, read_examples
from resight.images.frame import Frame, fit_frame
from resight.images.labels import read_labels
from resight.images.listing import SUFFIXES, Listing, count_images, list_images
from resight.images.read import MAX_BYTES, MAX_PIXELS, ImageLike, decode_image, image_notes, read_bytes, read_image
from resight.images.resize import FITS, INTERPOLATIONS, crop_box, fit, resize
from resight.images.truth import PROTOCOLS, Query, Setting, Truth, read_truth, truth_from_labels

__all__ = [
    "FITS",
    "INTERPOLATIONS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "PROTOCOLS",
    "SUFFIXES",
    "Example",
    "Examples",
    "Frame",
    "ImageLike",
    "Listing",
    "Query",
    "Setting",
    "Truth",
    "clip_length",
    "count_images",
    "crop_box",
    "decode_image",
    "fit",
    "fit_frame",
    "image_notes",
    "list_images",
    "map_clip",
    "read_bytes",
    "read_clip",
    "read_examples",
    "read_image",
    "read_labels",
    "read_truth",
    "resize",
    "truth_from_labels",
]
