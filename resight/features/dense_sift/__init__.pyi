__all__ = [
    "DenseSift",
    "Frames",
    "SiftStatistics",
    "dense_sift",
    "dense_sift_frames",
    "sift_statistics",
]

from .descriptors import dense_sift
from .frames import Frames, dense_sift_frames
from .network import DenseSift
from .statistics import SiftStatistics, sift_statistics
