"""The encoder: an image in, one L2-normalised descriptor out.

image -> fit to size -> normalise -> backbone's feature maps (at several scales) -> pooling -> L2
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resight.features.config import SMALLEST_SIDE, EncoderConfig
from resight.features.descriptor import parse_descriptor
from resight.features.multiscale import fuse_scales
from resight.images import ImageLike, crop_box, fit, read_image
from resight.models import Backbone

# Forward passes of about four 224 x 224 images stay in the processor's cache: about twice the speed of batches of 32
# (benchmarks/indexing.py).
CPU_PIXELS_PER_PASS = 4 * 224 * 224
GPU_PIXELS_PER_PASS = 64 * 224 * 224

_LOADING = threading.Lock()  # one for all encoders: as a field it would keep them from being copied or pickled


class Encoder:
    """Turns images into descriptors; the same image gives the same vector alone, in a batch or after a resume (1e-5).

    Options are those of `EncoderConfig`. The network is loaded on first use.

    >>> encoder = Encoder(descriptor="spoc")
    >>> encoder.encode(np.zeros((10, 20, 3), np.uint8)).shape
    (1280,)
    """

    def __init__(self, backbone: str = "tf_efficientnet_lite0", **options: Any) -> None:
        self.config = EncoderConfig.from_dict({"backbone": backbone, **options})
        self._descriptor = parse_descriptor(self.config.descriptor)
        self._backbone: Backbone | None = None

    @staticmethod
    def from_config(config: EncoderConfig) -> Encoder:
        """An encoder with this configuration."""
        return Encoder(**asdict(config))

    def __repr__(self) -> str:
        default = EncoderConfig(backbone="")
        shown = [f"{k}={v!r}" for k, v in asdict(self.config).items() if v != getattr(default, k) and k != "backbone"]
        return f"Encoder({', '.join([repr(self.config.backbone), *shown])})"

    @property
    def backbone(self) -> Backbone:
        """The loaded network: loaded once, whichever threads ask first."""
        if self._backbone is None:
            with _LOADING:
                if self._backbone is None:
                    c = self.config
                    self._backbone = Backbone(c.backbone, weights=c.weights, device=c.device, precision=c.precision)
        return self._backbone

    @property
    def size(self) -> int:
        """Side of the fitted image in pixels."""
        return self.config.size or self.backbone.preprocessing.size

    @cached_property
    def space(self) -> dict[str, Any]:
        """What two vectors must share to be comparable: model, weights hash, preprocessing, pooling, precision."""
        c, p = self.config, self.backbone.preprocessing
        return {
            "backbone": c.backbone,
            "weights": self.backbone.hash,
            "descriptor": c.descriptor,
            "size": self.size,
            "fit": c.fit,
            "scales": list(c.scales),
            "stage": c.stage,
            "precision": c.precision,
            "mean": [round(m, 6) for m in p.mean],
            "std": [round(s, 6) for s in p.std],
            "interpolation": p.interpolation,
            "crop": p.crop if c.fit == "crop" else None,
        }

    @property
    def key(self) -> str:
        """16 hex digits that name the embedding space."""
        return hashlib.sha256(json.dumps(self.space, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def dim(self) -> int:
        """Length of a descriptor."""
        return int(self.encode(np.zeros((8, 8, 3), np.uint8)).shape[0])

    def fit(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image at the network's input size: (H, W, 3) uint8 -> (h, w, 3) uint8."""
        p = self.backbone.preprocessing
        small = fit(image, self.size, self.config.fit, p.interpolation, p.crop)
        short = [max(0, SMALLEST_SIDE - side) for side in small.shape[:2]]
        if any(short):  # a network's strides need some pixels: repeat the edge of slivers
            small = np.pad(small, ((0, short[0]), (0, short[1]), (0, 0)), mode="edge")
        return small

    def encode(self, image: ImageLike, *, box: Sequence[float] | None = None) -> NDArray[np.float32]:
        """The descriptor of one image.

        image: path, (H, W, 3) uint8 array or Pillow image
        box:   x1, y1, x2, y2 in pixels: describe this part only
        ->     (D,)  float32, unit length

        Raises ImageError if the image cannot be read, InputError for a box outside it.
        """
        pixels = read_image(image)
        if box is not None:
            pixels = crop_box(pixels, box)
        result: NDArray[np.float32] = self.encode_fitted([self.fit(pixels)])[0]
        return result

    def encode_many(self, images: Iterable[ImageLike]) -> NDArray[np.float32]:
        """Descriptors of many images, (N, D); the first unreadable one raises. For folders use `Collection.add`."""
        from resight.features.pipeline import encode_stream

        vectors = []
        for result in encode_stream(self, images, read_image):
            if result.error is not None:
                raise result.error
            vectors.append(result.vector)
        return np.stack(vectors) if vectors else np.empty((0, self.dim), np.float32)  # type: ignore[arg-type]

    def encode_fitted(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Descriptors of images that `fit` has prepared, of any mix of shapes: list of (h, w, 3) -> (N, D)."""
        if not images:
            return np.empty((0, self.dim), np.float32)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            groups.setdefault(image.shape, []).append(i)
        found: list[NDArray[np.float32] | None] = [None] * len(images)
        for shape, places in groups.items():
            room = CPU_PIXELS_PER_PASS if self.backbone.device.type == "cpu" else GPU_PIXELS_PER_PASS
            step = max(1, room // (shape[0] * shape[1]))
            for start in range(0, len(places), step):
                part = places[start : start + step]
                pixels = torch.from_numpy(np.stack([images[i] for i in part])).permute(0, 3, 1, 2)
                for i, vector in zip(part, self.forward(pixels), strict=True):
                    found[i] = vector
        return np.stack(found)  # type: ignore[arg-type]

    def forward(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """(B, 3, H, W) uint8, all of one shape -> (B, D) float32."""
        with torch.inference_mode():
            inputs = self.backbone.normalise(pixels)
            weight = self.backbone.head_weight if self._descriptor.name == "cam" else None
            vectors = []
            for scale in self.config.scales:
                seen = inputs
                if scale != 1:
                    sides = [max(SMALLEST_SIDE, round(side * scale)) for side in inputs.shape[-2:]]
                    seen = torch.nn.functional.interpolate(inputs, sides, mode="bilinear", align_corners=False)
                vectors.append(self._descriptor.pool(self.backbone.maps(seen, self.config.stage), weight).float())
            vector = vectors[0]
            if len(vectors) > 1:
                vector = fuse_scales(torch.stack(vectors), self._descriptor.power)
            array: NDArray[np.float32] = vector.cpu().numpy()
            return array
