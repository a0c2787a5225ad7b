"""Known changes to test images, by name and strength: how far a network's scores fall under each."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resight.errors import InputError, unknown

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What a value means, which are allowed, and the change: (H, W, 3) uint8, value -> the same."""

    what: str
    least: float
    most: float
    change: Callable[[Pixels, float], Pixels]
    whole: bool = False


def perturb(image: Pixels, name: str, value: float) -> Pixels:
    """The image changed in one known way; the same image gives the same result.

    image: (H, W, 3) uint8
    name:  a key of PERTURBATIONS
    ->     the same shape, new memory

    rotate      degrees, counter-clockwise; turns of 180 and, of square images, 90 degrees are exact, others bilinear;
                corners are filled by reflection
    gamma       255 (x / 255)^gamma
    brightness  factor
    contrast    factor of the distance from the mean grey
    gradient    light falling from the left to the right: times 1 + strength (1 - 2 (x + 0.5) / W)
    blur        sigma of a Gaussian, in pixels
    jpeg        quality, 1 to 100
    noise       standard deviation of Gaussian noise, of each image its own, the same in each run

    Raises InputError for another name, a value out of range, or an array of another kind.

    >>> perturb(np.full((2, 2, 3), 100, np.uint8), "brightness", 1.5)[0, 0].tolist()
    [150, 150, 150]
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"expected an image (H, W, 3) uint8, got {found}")
    if 0 in image.shape:
        raise InputError(f"expected an image with pixels, got shape {image.shape}")
    number = _checked(name, value)
    return np.array(PERTURBATIONS[name].change(image, number), np.uint8, order="C")


def parse_perturbation(text: str) -> tuple[str, float]:
    """Name and value of a perturbation written as NAME=VALUE.

    Raises InputError if it is none.

    >>> parse_perturbation("rotate=90")
    ('rotate', 90.0)
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if name not in PERTURBATIONS:
        raise unknown("perturbation", name, PERTURBATIONS)
    if not equals:
        raise InputError(f"expected {name}=VALUE, for example {name}={_EXAMPLES[name]}, got {text!r}")
    try:
        number = float(value)
    except ValueError:
        raise InputError(f"{name} takes {_range(name)}, got {value!r}") from None
    return name, _checked(name, number)


def _checked(name: str, value: float) -> float:
    if name not in PERTURBATIONS:
        raise unknown("perturbation", name, PERTURBATIONS)
    kind = PERTURBATIONS[name]
    fits = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not fits or not kind.least <= value <= kind.most or (kind.whole and value != int(value)):
        raise InputError(f"{name} takes {_range(name)}, got {value!r}")
    return float(value)


def _range(name: str) -> str:
    kind = PERTURBATIONS[name]
    return f"{'a whole number' if kind.whole else 'a number'} from {kind.least:g} to {kind.most:g} ({kind.what})"


def _rotate(image: Pixels, degrees: float) -> Pixels:
    turns, rest = divmod(degrees, 90)
    height, width = image.shape[:2]
    if rest == 0 and (height == width or turns % 2 == 0):
        return np.rot90(image, int(turns) % 4)
    import cv2

    # About the middle of the image, which lies between pixels if their number is even; cos and sin exact at 90.
    cos, sin = (round(f(math.radians(degrees)), 15) for f in (math.cos, math.sin))
    x, y = (width - 1) / 2, (height - 1) / 2
    matrix = np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        np.ascontiguousarray(image), matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(warped, np.uint8)


def _gamma(image: Pixels, gamma: float) -> Pixels:
    return _rounded(255 * (np.arange(256) / 255) ** gamma)[image]


def _brightness(image: Pixels, factor: float) -> Pixels:
    return _rounded(np.arange(256) * factor)[image]


def _contrast(image: Pixels, factor: float) -> Pixels:
    mean = float(image.reshape(-1, 3).mean(0) @ _LUMA)
    return _rounded(mean + factor * (np.arange(256) - mean))[image]


def _gradient(image: Pixels, strength: float) -> Pixels:
    width = image.shape[1]
    light = (1 + strength * (1 - 2 * (np.arange(width) + 0.5) / width)).astype(np.float32)
    return _rounded(image * light[None, :, None])


def _blur(image: Pixels, sigma: float) -> Pixels:
    if not sigma:
        return image
    from scipy.ndimage import gaussian_filter

    return _rounded(gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="reflect"))


def _jpeg(image: Pixels, quality: float) -> Pixels:
    coded = io.BytesIO()
    try:
        Image.fromarray(image).save(coded, "JPEG", quality=int(quality))
    except (OSError, ValueError) as error:
        raise InputError(f"an image of {image.shape[1]} x {image.shape[0]} cannot be JPEG: {error}") from error
    return np.asarray(Image.open(io.BytesIO(coded.getvalue()), formats=["JPEG"]))


def _noise(image: Pixels, deviation: float) -> Pixels:
    # By the image's own bytes: other noise for each image, the same in each run.
    noise = np.random.default_rng(zlib.crc32(image.tobytes())).standard_normal(image.shape, np.float32)
    return _rounded(image + deviation * noise)


def _rounded(values: NDArray[np.floating[Any]]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow
PERTURBATIONS: dict[str, Perturbation] = {
    "rotate": Perturbation("degrees counter-clockwise", -360, 360, _rotate),
    "gamma": Perturbation("exponent", 0.05, 20, _gamma),
    "brightness": Perturbation("factor", 0, 20, _brightness),
    "contrast": Perturbation("factor", 0, 20, _contrast),
    "gradient": Perturbation("strength of a light from the left, negative: from the right", -1, 1, _gradient),
    "blur": Perturbation("sigma in pixels", 0, 100, _blur),
    "jpeg": Perturbation("quality", 1, 100, _jpeg, whole=True),
    "noise": Perturbation("standard deviation in grey levels", 0, 255, _noise),
}
_EXAMPLES = {
    "rotate": "90", "gamma": "0.5", "brightness": "0.7", "contrast": "0.7", "gradient": "0.5", "blur": "2",
    "jpeg": "20", "noise": "10",
}  # fmt: skip
