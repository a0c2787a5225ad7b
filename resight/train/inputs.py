"""What a network is given: images and clips fitted to its size, the same in training, testing and after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resight.errors import ImageError, InputError
from resight.images.read import ImageLike, read_image
from resight.images.resize import fit
from resight.train.options import TrainOptions

Edit = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
T = TypeVar("T")


@dataclass(frozen=True)
class Fitting:
    """How an image, or each frame of a sequence, becomes the square that a network sees.

    size                 side in pixels
    mode                 squash or crop, see `resight.images.fit`
    circle               black outside the largest centred circle
    frames               frames taken from a sequence; 0: single images
    interpolation, crop  of the weights' preprocessing
    """

    size: int
    mode: str = "squash"
    circle: bool = False
    frames: int = 0
    interpolation: str = "bicubic"
    crop: float = 0.875

    def __call__(self, item: ImageLike, edit: Edit | None = None) -> torch.Tensor:
        """The pixels of an image or a sequence; what comes in is not changed.

        item: an image as `read_image` takes it; the folder or video of a sequence if `frames` is above 0
        edit: is applied to each image before it is fitted
        ->    (3, S, S) uint8; of a sequence (T, 3, S, S) with T of 1 .. frames

        Raises ImageError if it cannot be read.
        """
        if not self.frames:
            return self.fitted(read_image(item), edit)
        from resight.images.clips import read_clip

        return torch.stack([self.fitted(frame, edit) for frame in read_clip(as_path(item), self.frames)])

    def fitted(self, image: NDArray[np.uint8], edit: Edit | None = None) -> torch.Tensor:
        """(H, W, 3) uint8 -> (3, S, S) uint8."""
        if edit is not None:
            image = edit(image)
        square = fit(image, self.size, self.mode, self.interpolation, self.crop)
        pixels = torch.from_numpy(square).permute(2, 0, 1).contiguous()
        if self.circle:
            from resight.train.augment import circle_mask

            pixels = circle_mask(pixels)
        return pixels


def why_not(error: ImageError, item: object) -> str:
    """Why an image cannot be read: of a sequence with the frame that cannot, of a broken link with where it leads.

    item: what was to be read
    """
    if not isinstance(item, (str, os.PathLike)):
        return error.reason
    file = Path(os.path.expanduser(error.where))
    frame = "" if file == Path(os.path.expanduser(item)) else f"{file.name}: "
    lost = error.reason.startswith("no such") and file.is_symlink()
    return f"{frame}{error.reason}{f', it is a link to {file.readlink()}' if lost else ''}"


def one_or_many(items: Iterable[T] | ImageLike) -> Iterable[T]:
    """The items; of a single path, array (H, W) or (H, W, C), or Pillow image just that.

    Raises InputError for what cannot be gone through.
    """
    if isinstance(items, (str, os.PathLike, Image.Image)) or (isinstance(items, np.ndarray) and items.ndim < 4):
        return [cast(T, items)]
    if not isinstance(items, Iterable) or isinstance(items, (bytes, bytearray)):
        raise InputError(
            f"expected a path, a uint8 array, a Pillow image, or several of them, got {type(items).__name__}"
        )
    return items


def mirror_notes(options: TrainOptions, flips: bool) -> list[str]:
    """What the averaging of mirror images puts at risk, a clause each; flips: whether they are averaged."""
    moving = options.head in ("tcn", "gru") or options.motion == "yes"
    if not (flips and options.sequences and moving):
        return []
    return [
        f"mirror images are averaged, and this run (head {options.head}) sees motion: mirrored, a move to the left is "
        "one to the right; leave flips out if classes differ by direction"
    ]


def as_path(item: object) -> Path:
    """The path of a sequence. Raises InputError if it is something else."""
    if not isinstance(item, (str, os.PathLike)):
        raise InputError(f"a sequence is a folder of frames or a video file, got {type(item).__name__}")
    return Path(os.path.expanduser(item))  # not Path.expanduser, which raises for an unknown user


def pad_clips(clips: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of unequal length as one array.

    clips: B times (T_i, ...)
    ->     (B, max T, ...) filled up with zeros; lengths (B,) int64

    >>> frames, lengths = pad_clips([torch.ones(2, 1), torch.ones(1, 1)])
    >>> frames[..., 0].tolist(), lengths.tolist()
    ([[1.0, 1.0], [1.0, 0.0]], [2, 1])
    """
    lengths = torch.tensor([len(clip) for clip in clips])
    padded = clips[0].new_zeros((len(clips), int(lengths.max()), *clips[0].shape[1:]))
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    return padded, lengths


def make_fitting(options: TrainOptions, record: dict[str, Any]) -> Fitting:
    """The fitting of a run.

    options: with size filled in; record: the network's own, with the preprocessing of its branches

    Pixels are scaled as the weights on pixels expect it; for a network on SIFT alone as its own weights do.
    """
    branch = record.get("rgb") or record.get("sift") or {}
    known = branch.get("preprocessing") or {}
    return Fitting(
        int(options.size or 0), options.fit, options.mask == "circle", options.frames if options.sequences else 0,
        str(known.get("interpolation", "bicubic")), float(known.get("crop", 0.875)),
    )  # fmt: skip
