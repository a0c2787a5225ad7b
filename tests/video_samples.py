"""Videos and moving pictures for tests, made from a seed."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

KINDS = {".mpg": "mpeg", ".m4v": "mp4", ".mkv": "matroska"}


def write_video(
    path: Path, frames: Iterable[NDArray[np.uint8]], codec: str = "mpeg4", rate: float = 25, **options: str
) -> Path:
    """A video of these (H, W, 3) frames, H and W even."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=KINDS.get(path.suffix), options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        for number, pixels in enumerate(frames):
            if not number:
                stream.width, stream.height = pixels.shape[1], pixels.shape[0]
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


def read_video(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    """(seconds, frame) of each frame, by PyAV alone."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def grey(level: int, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


def textured(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 3) random detail of many sizes, with corners to hold on to."""
    import cv2

    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells in (4, 10, 24, 60):
        coarse = random.normal(size=(cells, cells * width // height + 1, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    total = (total - total.min()) / (total.max() - total.min())
    return np.asarray(np.round(total * 255), np.uint8)


def placed(scene: NDArray[np.uint8], template: NDArray[np.uint8], homography: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The scene with the template laid over it, pixel centres at +.5 both sides."""
    import cv2

    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ homography @ half
    size = scene.shape[1], scene.shape[0]
    over = cv2.warpPerspective(template, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    inside = cv2.warpPerspective(np.full(template.shape[:2], 255, np.uint8), matrix, size) > 127
    return np.where(inside[:, :, None], over, scene)
