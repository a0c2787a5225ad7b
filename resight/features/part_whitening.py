"""Whitening of the parts that cam and rmac sum: fitted on class vectors or regions of other images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import InputError
from resight.features.encoder import PARTED, Encoder
from resight.features.look import parts
from resight.features.pipeline import encode_stream
from resight.features.whitening import Whitening, pca_whitening, seen_images
from resight.images import ImageLike, decode_image, read_bytes, read_image

SAMPLE = 50_000  # parts: 256 MB at 1280 channels


@dataclass
class _Job:
    """An image on its way, and the SHA-256 of its file once that is read."""

    image: ImageLike
    sha256: str = ""


def _load(job: _Job) -> NDArray[np.uint8]:
    """Its pixels (H, W, 3); runs in a worker."""
    if not isinstance(job.image, str | os.PathLike):
        return read_image(job.image)
    data = read_bytes(job.image)
    job.sha256 = hashlib.sha256(data).hexdigest()
    return decode_image(data, os.fspath(job.image))


def fit_part_whitening(
    encoder: Encoder,
    images: Iterable[ImageLike],
    dim: int,
    *,
    per_image: int = 1,
    fitted_on: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Whitening:
    """PCA-whitening of an encoder's parts, for `Encoder(part_whitening=...)`.

    encoder:   with the descriptor cam or rmac, without part whitening
    images:    images that are not to be evaluated; reading stops after 50,000 parts
    per_image: for cam, how many of an image's best classes give a vector (N_pca); rmac gives all its regions

    Jimenez 2017, sec. 3.3; Tolias 2016. Unreadable images are left out and counted by `progress`. The whitening's
    `seen` names the files that were used.
    Raises InputError for another descriptor, or too few images for `dim`.
    """
    if encoder.descriptor.name not in PARTED:
        raise InputError(f"part whitening is for the descriptors cam and rmac, this encoder has {encoder.descriptor}")
    if encoder.part_whitening is not None:
        raise InputError(f"part whitening is fitted with an encoder that has none yet, got {encoder!r}")
    if per_image < 1:
        raise InputError(f"class vectors per image must be at least 1, got {per_image}")

    def run(fitted: list[NDArray[np.uint8]]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            found = []
            for look in encoder.look_fitted(fitted):
                classes = look.best_classes(per_image) if encoder.descriptor.name == "cam" else None
                vectors = parts(look, encoder.descriptor, classes)[0].float().cpu().numpy()
                found.append(vectors[np.abs(vectors).max(1) > 0])
            return found

    sample: list[NDArray[Any]] = []
    used: list[str] = []
    done = failed = kept = 0
    stream = encode_stream(encoder, map(_Job, images), _load, run=run)
    for result in stream:
        done, failed = done + 1, failed + (result.error is not None)
        if result.error is None:
            sample.append(result.vector)
            used.append(result.item.sha256)
            kept += len(result.vector)
        if progress:
            progress(done, failed)
        if kept >= SAMPLE:
            break
    stream.close()  # type: ignore[attr-defined]
    if not kept:
        raise InputError("part whitening needs images: none of those given could be read")
    return pca_whitening(np.concatenate(sample), dim, fitted_on=fitted_on, seen=seen_images(used))
