__all__ = [
    "POOLINGS",
    "Descriptor",
    "Encoder",
    "EncoderConfig",
    "Whitening",
    "cam",
    "class_maps",
    "class_vectors",
    "crow",
    "fuse_scales",
    "gem",
    "head_logits",
    "learned_whitening",
    "mac",
    "parse_descriptor",
    "pca_whitening",
    "region_vectors",
    "rmac",
    "rmac_regions",
    "spoc",
    "top_classes",
]

from .activation import cam, class_maps, class_vectors, head_logits, top_classes
from .config import EncoderConfig
from .crossweight import crow
from .descriptor import Descriptor, parse_descriptor
from .encoder import Encoder
from .multiscale import fuse_scales
from .pooling import POOLINGS, gem, mac, spoc
from .regions import region_vectors, rmac, rmac_regions
from .whitening import Whitening, learned_whitening, pca_whitening
