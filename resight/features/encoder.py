"""The encoder: an image in, one L2-normalised descriptor out.

image -> fit to size -> normalise -> backbone's feature maps (at several scales) -> pooling -> L2.
`Encoder.view` stops at the maps, for steps that look at them again (`search.after`).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import InputError, WorkError, unknown
from resight.features.config import OF_RUN, SMALLEST_SIDE, EncoderConfig
from resight.features.descriptor import parse_descriptor
from resight.features.look import Look, describe
from resight.features.maps import unit
from resight.features.multiscale import fuse_scales
from resight.features.trained import as_tensors, load_projection
from resight.features.view import View
from resight.features.whitening import Whitening
from resight.images import ImageLike, crop_box, fit, read_image
from resight.images.frame import Frame, fit_frame
from resight.images.resize import longest_target
from resight.models import Backbone
from resight.models.backbone import choose_device

# Forward passes of about four 224 x 224 images stay in the processor's cache: about twice the speed of batches of 32
# (benchmarks/indexing.py).
CPU_PIXELS_PER_PASS = 4 * 224 * 224
GPU_PIXELS_PER_PASS = 64 * 224 * 224

BOX_ON = ("pixels", "map")
PARTED = ("cam", "rmac")  # descriptors that sum vectors of parts
T = TypeVar("T")

_LOADING = threading.Lock()  # one for all encoders: as a field it would keep them from being copied or pickled


class Encoder:
    """Turns images into descriptors; the same image gives the same vector alone, in a batch or after a resume (1e-5).

    Options are those of `EncoderConfig`. The network is loaded on first use.

    part_whitening: of cam and rmac: applied to each of the vectors that are summed
    projection:     applied to the descriptor after its scales are fused; that of a run is taken from the run

    >>> encoder = Encoder(descriptor="spoc")
    >>> encoder.encode(np.zeros((10, 20, 3), np.uint8)).shape
    (1280,)
    """

    def __init__(
        self, backbone: str = EncoderConfig.backbone, *, part_whitening: Whitening | None = None,
        projection: Whitening | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self.config = EncoderConfig.from_dict({"backbone": backbone, **options})
        self.descriptor = parse_descriptor(self.config.descriptor)
        if part_whitening is not None and self.descriptor.name not in PARTED:
            raise InputError(f"part whitening is for {' and '.join(PARTED)}, which sum vectors of parts; "
                             f"{self.descriptor.name} does not")  # fmt: skip
        if part_whitening is not None and (projection is not None or self.config.encoder is not None):
            raise InputError("part whitening has no place beside a projection, which was made for vectors without it: "
                             "leave one of them out")  # fmt: skip
        if self.config.encoder is not None and projection is not None:
            raise InputError(f"{self.config.encoder} has a projection of its own: give one of them")
        self.part_whitening = part_whitening
        self._projection = projection
        self._matrices: tuple[torch.Tensor, torch.Tensor] | None = None  # of the projection
        self._backbone: Backbone | None = None

    @staticmethod
    def open(folder: str | os.PathLike[str], **options: Any) -> Encoder:
        """The encoder that a run of `resight train embed` has trained.

        options: those of `EncoderConfig` that the run leaves open: size, fit, scales, precision, device

        Raises InputError if there is no such run, it has not finished, or an option differs from what it decides;
        WorkError if it is damaged.
        """
        return Encoder(**{"encoder": os.fspath(folder), **options})

    @staticmethod
    def from_config(
        config: EncoderConfig, part_whitening: Whitening | None = None, backbone: Backbone | None = None,
        projection: Whitening | None = None,
    ) -> Encoder:  # fmt: skip
        """An encoder with this configuration; `backbone`: a loaded network, which several encoders may share.

        Raises InputError if that is not the network that the configuration names.
        """
        encoder = Encoder(**asdict(config), part_whitening=part_whitening, projection=projection)
        if backbone is not None:
            _check_fits(backbone, config)
            encoder._backbone = backbone
        return encoder

    def __repr__(self) -> str:
        default, run = EncoderConfig(backbone=""), self.config.encoder
        said = {k: v for k, v in asdict(self.config).items() if v != getattr(default, k) and k != "backbone"}
        if run is not None:
            said = {k: v for k, v in said.items() if k not in ("encoder", *OF_RUN)}
        shown = ", ".join([repr(run or self.config.backbone), *(f"{k}={v!r}" for k, v in said.items())])
        return f"Encoder({shown})" if run is None else f"Encoder.open({shown})"

    @property
    def backbone(self) -> Backbone:
        """The loaded network: loaded once, whichever threads ask first."""
        if self._backbone is None:
            _ = self.projection  # of a run that is gone or another one this says what to do
            with _LOADING:
                if self._backbone is None:
                    c = self.config
                    self._backbone = Backbone(c.backbone, weights=c.weights, device=c.device, precision=c.precision)
        return self._backbone

    @property
    def projection(self) -> Whitening | None:
        """y = L2((x - mean) @ P) of the fused descriptor x, or None; that of a run is loaded on first use.

        Raises InputError if the run is gone, WorkError if it is damaged or no longer the one that was configured.
        """
        if self._projection is None and self.config.encoder is not None:
            with _LOADING:
                if self._projection is None:
                    self._projection = load_projection(self.config)
        return self._projection

    @property
    def size(self) -> int:
        """Side of the fitted image in pixels."""
        return self.config.size or self.backbone.preprocessing.size

    @cached_property
    def space(self) -> dict[str, Any]:
        """What two vectors must share to be comparable: model, weights hash, preprocessing, pooling, precision."""
        c, p = self.config, self.backbone.preprocessing
        space = {
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
        if self.descriptor.name == "cam":
            space["classes"] = "fixed" if self.descriptor.fixed_classes else "logits"
        if self.part_whitening is not None:
            space["part_whitening"] = self.part_whitening.key
        if self.projection is not None:
            space["projection"] = self.projection.key
        return space

    @property
    def key(self) -> str:
        """16 hex digits that name the embedding space."""
        return hashlib.sha256(json.dumps(self.space, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def seen_key(self) -> str:
        """16 hex digits that name what the network sees at scale 1, whatever is made of it: for keeping maps."""
        made_of_it = ("descriptor", "scales", "part_whitening", "projection", "classes")
        seen = {key: value for key, value in self.space.items() if key not in made_of_it}
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]

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

    def encode(
        self, image: ImageLike, *, box: Sequence[float] | None = None, box_on: str = "pixels"
    ) -> NDArray[np.float32]:
        """The descriptor of one image.

        image:  path, (H, W, 3) uint8 array or Pillow image
        box:    x1, y1, x2, y2 in pixels: describe this part only
        box_on: "pixels": the box is cut out, then fitted and described (the revisited protocol); "map": the whole image
                is seen and the box is cut out of the feature map, the classes of cam coming from the cut-out image
                (Jimenez 2017)
        ->      (D,)  float32, unit length

        Raises ImageError if the image cannot be read, InputError for a box outside it.
        """
        check_box_on(box_on)
        if box is not None and box_on == "map":
            vector: NDArray[np.float32] = self.describe(self.view(image, box=box, box_on=box_on).look)[0]
            return vector
        pixels = read_image(image)
        if box is not None:
            pixels = crop_box(pixels, box)
        result: NDArray[np.float32] = self.encode_fitted([self.fit(pixels)])[0]
        return result

    def view(self, image: ImageLike, *, box: Sequence[float] | None = None, box_on: str = "pixels") -> View:
        """What the network sees in an image or a part of it, at scale 1; arguments as in `encode`."""
        check_box_on(box_on)
        if self.config.scales != (1.0,):
            raise InputError(f"maps are looked at again at one scale only, this encoder has {list(self.config.scales)}")
        pixels = read_image(image)
        part = pixels if box is None else crop_box(pixels, box)
        if box is None or box_on == "pixels":
            return self._view(part)
        whole = self._view(pixels)
        look = whole.crop(box)
        if self.descriptor.name == "cam":
            look = replace(look, logits=self._view(part).look.logits)
        return replace(whole, look=look)

    def _view(self, pixels: NDArray[np.uint8]) -> View:
        fitted, shape = self.fit(pixels), (pixels.shape[0], pixels.shape[1])
        return View(self.look_fitted([fitted])[0], self.frame(shape), (fitted.shape[0], fitted.shape[1]), shape)

    def frame(self, shape: tuple[int, ...]) -> Frame:
        """Where places of an image of (H, W) = shape lie in what `fit` makes of it."""
        p = self.backbone.preprocessing
        return fit_frame((shape[0], shape[1]), self.size, self.config.fit, p.crop)

    def fitted_size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """(h, w) in pixels of what `fit` makes of an image of (H, W) = shape."""
        sides = longest_target((shape[0], shape[1]), self.size) if self.config.fit == "longest" else (self.size,) * 2
        return max(sides[0], SMALLEST_SIDE), max(sides[1], SMALLEST_SIDE)

    def describe(self, look: Look, classes: torch.Tensor | None = None) -> NDArray[np.float32]:
        """(B, D) descriptors of what was looked at; classes as in `features.look.parts`."""
        with torch.inference_mode():
            vectors = describe(look, self.descriptor, classes=classes, part_whitening=self.part_whitening)
            array: NDArray[np.float32] = self._projected(vectors.float()).cpu().numpy()
            return array

    def _projected(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, D) -> (B, d), as `Whitening.apply`; the same vectors without a projection."""
        if self.projection is None:
            return vectors
        if self._matrices is None:
            with torch.inference_mode(False):  # exporters cannot take a tensor that was made within
                self._matrices = as_tensors(self.projection)
        mean, weight = self._matrices
        if len(mean) != vectors.shape[1]:
            apart = (f"the projection takes vectors of {len(mean):,} numbers, {self.config.backbone} with "
                     f"{self.descriptor} gives {vectors.shape[1]:,}")  # fmt: skip
            if self.config.encoder is None:
                raise InputError(apart)
            raise WorkError(f"{self.config.encoder} is damaged: {apart}")
        return unit((vectors - mean.to(vectors)) @ weight.to(vectors))

    def encode_many(self, images: Iterable[ImageLike]) -> NDArray[np.float32]:
        """Descriptors of many images, (N, D); the first unreadable one raises. For folders use `Collection.add`."""
        from resight.features.pipeline import encode_stream

        vectors = []
        for result in encode_stream(self, images, read_image):
            if result.error is not None:
                raise result.error
            vectors.append(result.vector)
        return np.stack(vectors) if vectors else np.empty((0, self.dim), np.float32)

    def encode_fitted(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Descriptors of images that `fit` has prepared, of any mix of shapes: list of (h, w, 3) -> (N, D)."""
        if not images:
            return np.empty((0, self.dim), np.float32)
        return np.stack(self.in_batches(images, self.forward))

    def look_fitted(self, images: Sequence[NDArray[np.uint8]]) -> list[Look]:
        """The looks at images that `fit` has prepared, one for each."""

        def run(pixels: torch.Tensor) -> list[Look]:
            look = self.look(pixels, head=True)
            return [look[i] for i in range(len(look))]

        return self.in_batches(images, run)

    def in_batches(self, images: Sequence[NDArray[np.uint8]], run: Callable[[torch.Tensor], Iterable[T]]) -> list[T]:
        """`run` on batches of images of one shape, (B, 3, H, W) uint8, as large as the processor likes them."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, image in enumerate(images):
            groups.setdefault(image.shape, []).append(i)
        found: dict[int, T] = {}
        for shape, places in groups.items():
            room = CPU_PIXELS_PER_PASS if self.backbone.device.type == "cpu" else GPU_PIXELS_PER_PASS
            step = max(1, room // (shape[0] * shape[1]))
            for start in range(0, len(places), step):
                part = places[start : start + step]
                pixels = torch.from_numpy(np.stack([images[i] for i in part])).permute(0, 3, 1, 2)
                found.update(zip(part, run(pixels), strict=True))
        return [found[i] for i in range(len(images))]

    def forward(self, pixels: torch.Tensor) -> NDArray[np.float32]:
        """(B, 3, H, W) uint8, all of one shape -> (B, D) float32."""
        vectors = self.pool(self.look_at_scales(pixels, head=self.descriptor.name == "cam"))
        array: NDArray[np.float32] = vectors.cpu().numpy()
        return array

    def pool(self, looks: Sequence[Look]) -> torch.Tensor:
        """Descriptors of what was looked at, at one or several scales: looks of B images each -> (B, D) float32."""
        with torch.inference_mode():
            return self._pooled(looks)

    def _pooled(self, looks: Sequence[Look]) -> torch.Tensor:
        vectors = [describe(look, self.descriptor, part_whitening=self.part_whitening).float() for look in looks]
        fused = vectors[0] if len(vectors) == 1 else fuse_scales(torch.stack(vectors), self.descriptor.power)
        return self._projected(fused)

    def vectors(self, pixels: torch.Tensor) -> torch.Tensor:
        """What `forward` gives, as a tensor on the device, outside of torch's inference mode: for exporters.

        pixels: (B, 3, H, W)  uint8, fitted
        ->      (B, d)        float32
        """
        return self._pooled(self._looks(self.backbone.normalise(pixels), self.descriptor.name == "cam"))

    def look_at_scales(self, pixels: torch.Tensor, head: bool = False) -> list[Look]:
        """What the network sees at each of the encoder's scales; arguments as of `look`."""
        with torch.inference_mode():
            return self._looks(self.backbone.normalise(pixels), head)

    def _looks(self, inputs: torch.Tensor, head: bool) -> list[Look]:
        looks = []
        for scale in self.config.scales:
            seen = inputs
            if scale != 1:
                sides = [max(SMALLEST_SIDE, round(side * scale)) for side in inputs.shape[-2:]]
                seen = torch.nn.functional.interpolate(inputs, sides, mode="bilinear", align_corners=False)
            looks.append(self._look(seen, head))
        return looks

    def look(self, pixels: torch.Tensor, head: bool = False) -> Look:
        """What the network sees in (B, 3, H, W) uint8, all of one shape; head: with what class activation maps need."""
        with torch.inference_mode():
            return self._look(self.backbone.normalise(pixels), head)

    def _look(self, inputs: torch.Tensor, head: bool) -> Look:
        maps, source = self.backbone.look(inputs, self.config.stage, source=head)
        weight, bias = (self.backbone.head_weight, self.backbone.head_bias) if head else (None, None)
        if source is None or weight is None or bias is None:
            return Look(maps)
        return Look(maps, source, weight, source.float().mean((2, 3)) @ weight.T + bias)


def check_box_on(box_on: str) -> None:
    """Raises InputError unless it is one of BOX_ON."""
    if box_on not in BOX_ON:
        raise unknown("place of a box", box_on, BOX_ON)


def _check_fits(backbone: Backbone, config: EncoderConfig) -> None:
    """Raises InputError unless this configuration would load just this network, onto this device."""
    expected = {"backbone": config.backbone, "weights": config.weights, "precision": config.precision,
                "device": str(choose_device(config.device))}  # fmt: skip
    given = {"backbone": backbone.name, "weights": str(backbone.weights), "precision": backbone.precision,
             "device": str(backbone.device)}  # fmt: skip
    apart = [f"{name} {expected[name]!r}, got {given[name]!r}" for name in expected if expected[name] != given[name]]
    if apart:
        raise InputError(f"a shared backbone must be the one of the configuration: expected {'; '.join(apart)}")
