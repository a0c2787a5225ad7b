"""A run as one ONNX file: pixels in, logits and probabilities out, dense SIFT inside; checked before it is kept."""

from __future__ import annotations

import json
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
from resight.train.onnx_graph import OPSET, SHORTEST, Arrays, check_packages, graphs, run_parts
from resight.train.run_files import write_whole

if TYPE_CHECKING:
    from resight.train.runs import Run

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
CHECKED = 8  # images, or a third of it sequences
TOLERANCE = 1e-3  # of a probability


@dataclass(frozen=True)
class ExportReport:
    """An ONNX file that was written, and how it compares with the run.

    inputs       name of each input and what it takes
    unit         what is classified: images or sequences
    checked      how many of them both have classified;  real: from the run's data, else random pixels
    difference   largest of two probabilities;  logits: of two logits
    """

    file: str
    size: int
    classes: int
    inputs: dict[str, str]
    opset: int
    checked: int
    real: bool
    difference: float
    logits: float
    seconds: float
    unit: str = "images"

    def __str__(self) -> str:
        kind = f"{self.unit} of the run's data" if self.real else f"{self.unit} of random pixels"
        return (
            f"{self.file}: {self.size / 2**20:.1f} MiB, opset {self.opset}; probabilities within "
            f"{self.difference:.1e} of the run's on {self.checked} {kind}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def export_onnx(run: Run, file: str | os.PathLike[str], *, tolerance: float = TOLERANCE) -> ExportReport:
    """Write a run as an ONNX file.

    file:      ends in .onnx; an older one is replaced, in one step
    tolerance: greatest difference of a probability from the run's own

    Inputs: pixels (batch, 3, S, S) uint8 RGB, fitted as in training; of a run on sequences frames
    (batch, time, 3, S, S) uint8 and lengths (batch,) int64, time from 3: shorter ones are filled up with anything.
    Outputs: logits and probabilities (batch, C) float32. Any batch size. The file's metadata say the classes (JSON),
    size, fit, mask, interpolation and crop.

    Both are run on up to eight images of the run's split, read anew, or on random pixels if none is there.
    Raises InputError if a package is missing or the name will not do, WorkError if the network cannot be exported or
    its results differ; then nothing is written.
    """
    target = Path(file)
    check_packages(PACKAGES)
    if target.suffix.lower() != ".onnx":
        raise InputError(f"expected a file that ends in .onnx, got {str(target)!r}")
    from resight.train.runs import Run

    started = time.perf_counter()
    own = Run.open(run.folder, "cpu")
    _ = own.network  # a damaged run is told before anything else
    inputs, real = _samples(own)
    for data in _graphs(own, inputs):
        difference, logits = compare(own, data, inputs)
        if difference <= tolerance:  # NaN is no agreement
            break
    else:
        raise WorkError(
            f"{target} was not written: its probabilities differ from the run's by {difference:.2g}, more than "
            f"{tolerance:g}: please report {own.options.backbone}, input {own.options.input}"
        )
    write_whole(target, data)
    takes = {name: f"{tuple(['batch', *(['time'] if array.ndim == 5 else []), *array.shape[-3:]][: array.ndim])} "
             f"{array.dtype}" for name, array in inputs.items()}  # fmt: skip
    return ExportReport(
        str(target), len(data), len(own.classes), takes, OPSET, len(next(iter(inputs.values()))), real, difference,
        logits, time.perf_counter() - started, run.unit,
    )  # fmt: skip


def compare(run: Run, data: bytes, inputs: Arrays) -> tuple[float, float]:
    """The largest differences of probabilities and of logits between an ONNX file's content and a run.

    inputs: as the file takes them; tried at once, one by one, and with black pixels: where nothing changes, a
            descriptor divides by next to nothing
    """
    worst = [0.0, 0.0]
    for part, found in run_parts(data, inputs, ["probabilities", "logits"]):
        with torch.inference_mode():
            logits = run.network(*map(torch.from_numpy, part.values())).float()
        for place, ours in enumerate((logits.softmax(1), logits)):
            apart = np.abs(found[place] - ours.numpy())
            worst[place] = max(worst[place], float(apart.max())) if np.isfinite(apart).all() else float("nan")
    return worst[0], worst[1]


class _Outputs(nn.Module):
    """A network with probabilities beside its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The network's inputs -> logits and probabilities (B, C)."""
        logits = self.network(*inputs).float()
        return logits, logits.softmax(1)


def _graphs(run: Run, inputs: Arrays) -> Iterator[bytes]:
    name = f"{run.options.backbone} with input {run.options.input}"
    return graphs(_Outputs(run.network).eval(), inputs, ["logits", "probabilities"], _metadata(run), name)


def _metadata(run: Run) -> dict[str, str]:
    fitting = run.fitting
    facts = {
        "classes": json.dumps(list(run.classes)), "size": fitting.size, "fit": fitting.mode,
        "mask": "circle" if fitting.circle else "none", "interpolation": fitting.interpolation, "crop": fitting.crop,
        "frames": fitting.frames, "backbone": run.options.backbone, "input": run.options.input,
        "model_sha256": run.record["model"]["sha256"], "resight": __version__,
    }  # fmt: skip
    return {f"resight.{name}" if name == "resight" else name: str(value) for name, value in facts.items()}


def _samples(run: Run) -> tuple[Arrays, bool]:
    """Inputs of the network from the run's own images, those it did not learn from first; else random ones."""
    from resight.train.inputs import pad_clips
    from resight.train.seen_before import trained_parts

    sequences = run.options.sequences
    wanted = CHECKED // 3 + 1 if sequences else CHECKED
    order = {"test": 0, "val": 1, "train": 2}
    parts = trained_parts(run)
    paths = sorted((path for path in parts if path.exists()), key=lambda path: order[parts[path]])
    fitted = list(_readable(run, paths[:: max(1, len(paths) // (4 * wanted))], wanted))
    real = bool(fitted)
    while len(fitted) < 2:  # a batch of one would become a constant
        random = torch.Generator().manual_seed(len(fitted))
        shape = (3, run.fitting.size, run.fitting.size)
        frames = (run.fitting.frames - len(fitted) or 1,) if sequences else ()
        fitted.append(torch.randint(0, 256, (*frames, *shape), generator=random, dtype=torch.uint8))
    if not sequences:
        return {"pixels": torch.stack(fitted).numpy()}, real
    padded, lengths = pad_clips(fitted)
    lacking = max(0, SHORTEST + 1 - padded.shape[1])  # so would the least number of frames
    padded = torch.nn.functional.pad(padded, (0, 0) * 3 + (0, lacking))
    return {"frames": padded.numpy(), "lengths": lengths.numpy()}, real


def _readable(run: Run, paths: Sequence[Path], wanted: int) -> Iterator[Tensor]:
    for path in paths:
        if wanted <= 0:
            return
        try:
            pixels = run.fitting(path)
        except ImageError:
            continue  # the check takes another
        wanted -= 1
        yield pixels
