"""A trained embedding network as one ONNX file: pixels in, unit vectors out; checked before it is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resight._version import __version__
from resight.errors import ImageError, InputError, WorkError
from resight.images.rows import read_rows
from resight.train.export import CHECKED, PACKAGES
from resight.train.onnx_graph import OPSET, Arrays, check_packages, graphs, run_parts
from resight.train.run_files import SPLIT, write_whole

if TYPE_CHECKING:
    from resight.features.encoder import Encoder

INPUT, OUTPUT = "pixels", "vectors"
TOLERANCE = 1e-4  # of a component of a vector of length 1
PARTS = ("test", "val", "train")  # those that the run did not learn from are checked first


@dataclass(frozen=True)
class EncoderReport:
    """An ONNX file that was written, and how it compares with the run.

    size        of the file in bytes
    dim         length of its vectors
    inputs      name of each input and what it takes
    checked     how many images both have described;  real: from the run's data, else random pixels
    difference  largest of two components of vectors of length 1
    """

    file: str
    size: int
    dim: int
    inputs: dict[str, str]
    opset: int
    checked: int
    real: bool
    difference: float
    seconds: float

    def __str__(self) -> str:
        kind = "images of the run's data" if self.real else "images of random pixels"
        return (f"{self.file}: {self.size / 2**20:.1f} MiB, opset {self.opset}; vectors within {self.difference:.1e} "
                f"of the run's on {self.checked} {kind}")  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def export_encoder(
    run: str | os.PathLike[str], file: str | os.PathLike[str], *, tolerance: float = TOLERANCE
) -> EncoderReport:
    """Write what a run of `resight train embed` has trained as an ONNX file.

    run:       its folder
    file:      ends in .onnx; an older one is replaced, in one step
    tolerance: greatest difference of a component from the run's own vectors

    Input: pixels (batch, 3, S, S) uint8 RGB, fitted as in training. Output: vectors (batch, d) float32 of length 1,
    pooled and projected. Any batch size. The file's metadata say the size, fit, interpolation, crop and descriptor.

    Both are run on up to eight images of the run's split, read anew, or on random pixels if none is there.
    Raises InputError if a package is missing, the name will not do or there is no finished run, WorkError if the run is
    damaged, the network cannot be exported or its results differ; then nothing is written.
    """
    from resight.features.encoder import Encoder

    target = Path(file)
    check_packages(PACKAGES)
    if target.suffix.lower() != ".onnx":
        raise InputError(f"expected a file that ends in .onnx, got {str(target)!r}")
    started = time.perf_counter()
    encoder = Encoder.open(run, device="cpu")
    _ = encoder.dim  # a damaged run is told before anything else
    inputs, real = _samples(Path(str(encoder.config.encoder)), encoder)
    for data in _graphs(encoder, inputs):
        difference = compare(encoder, data, inputs)
        if difference <= tolerance:  # NaN is no agreement
            break
    else:
        raise WorkError(
            f"{target} was not written: its vectors differ from the run's by {difference:.2g}, more than "
            f"{tolerance:g}: please report {encoder.config.backbone}, {encoder.descriptor}"
        )
    write_whole(target, data)
    pixels = inputs[INPUT]
    takes = {INPUT: f"{('batch', *pixels.shape[1:])} {pixels.dtype}"}
    return EncoderReport(
        str(target), len(data), encoder.dim, takes, OPSET, len(pixels), real, difference, time.perf_counter() - started
    )


def compare(encoder: Encoder, data: bytes, inputs: Arrays) -> float:
    """The largest difference of a component between an ONNX file's content and an encoder, as `export.compare`."""
    worst = 0.0
    for part, (found,) in run_parts(data, inputs, [OUTPUT]):
        apart = np.abs(found - encoder.forward(torch.from_numpy(part[INPUT])))
        worst = max(worst, float(apart.max())) if np.isfinite(apart).all() else float("nan")
    return worst


class _Vectors(nn.Module):
    """An encoder as a module, which exporters want."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.network, self.encoder = encoder.backbone.model, encoder

    def forward(self, *inputs: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) uint8 -> (B, d) float32 of length 1."""
        return self.encoder.vectors(*inputs)


def _graphs(encoder: Encoder, inputs: Arrays) -> Iterator[bytes]:
    name = f"{encoder.config.backbone} with {encoder.descriptor}"
    return graphs(_Vectors(encoder).eval(), inputs, [OUTPUT], _metadata(encoder), name)


def _metadata(encoder: Encoder) -> dict[str, str]:
    from resight.models.trained import read_trained

    run, p = read_trained(str(encoder.config.encoder)), encoder.backbone.preprocessing
    facts = {
        "size": encoder.size, "fit": encoder.config.fit, "interpolation": p.interpolation, "crop": p.crop,
        "backbone": run.backbone, "descriptor": run.descriptor, "dim": run.dim, "space": encoder.key,
        "model_sha256": run.sha256, "resight": __version__,
    }  # fmt: skip
    return {f"resight.{name}" if name == "resight" else name: str(value) for name, value in facts.items()}


def _samples(folder: Path, encoder: Encoder) -> tuple[Arrays, bool]:
    """Fitted images of the run's own, those it did not learn from first; else random ones."""
    paths = _own_images(folder)
    fitted = list(_readable(encoder, paths[:: max(1, len(paths) // (4 * CHECKED))]))
    real = bool(fitted)
    draw = np.random.default_rng(0)
    while len(fitted) < 2:  # a batch of one would become a constant
        fitted.append(draw.integers(0, 256, (encoder.size, encoder.size, 3), np.uint8))
    return {INPUT: np.ascontiguousarray(np.stack(fitted).transpose(0, 3, 1, 2))}, real


def _own_images(folder: Path) -> list[Path]:
    """The images of split.csv that are still there; none without that file, which an encoder does not need."""
    file = folder / SPLIT
    if not file.is_file():
        return []
    found = [(row["part"], folder / row["path"]) for _, row in read_rows(file, ["path", "part"])
             if row["part"] in PARTS and "\0" not in row["path"]]  # fmt: skip
    return [path for part in PARTS for own, path in sorted(found) if own == part and path.is_file()]


def _readable(encoder: Encoder, paths: Sequence[Path]) -> Iterator[Any]:
    from resight.images import read_image

    wanted = CHECKED
    for path in paths:
        if wanted <= 0:
            return
        try:
            pixels = encoder.fit(read_image(path))
        except ImageError:
            continue  # the check takes another
        wanted -= 1
        yield pixels
