"""A run as one ONNX file: pixels in, logits and probabilities out, dense SIFT inside; checked before it is kept."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resight._version import __version__
from resight.errors import ImageError, InputError, WorkError
from resight.models.quiet import quiet

if TYPE_CHECKING:
    from resight.train.runs import Run

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
OPSET = 18
CHECKED = 8  # images, or a third of it sequences
SHORTEST = 3  # frames that a batch of sequences is filled up to: motion is between neighbours
TOLERANCE = 1e-3  # of a probability
LARGEST = 2**31 - 1  # bytes of one ONNX file

Arrays = dict[str, NDArray[Any]]


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
    _check_installed()
    if target.suffix.lower() != ".onnx":
        raise InputError(f"expected a file that ends in .onnx, got {str(target)!r}")
    from resight.tables.atomic import AtomicFiles
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
    with AtomicFiles() as files:
        files.open(target).write(data)
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
    onnxruntime: Any = importlib.import_module("onnxruntime")  # has no annotations
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        count = len(next(iter(inputs.values())))
        parts = [inputs, *({name: array[row : row + 1] for name, array in inputs.items()} for row in range(count))]
        parts.append({name: array * (name == "lengths") for name, array in inputs.items()})
        worst = [0.0, 0.0]
        for part in parts:
            found = session.run(["probabilities", "logits"], part)
            with torch.inference_mode():
                logits = run.network(*map(torch.from_numpy, part.values())).float()
            for place, ours in enumerate((logits.softmax(1), logits)):
                apart = np.abs(found[place] - ours.numpy())
                worst[place] = max(worst[place], float(apart.max())) if np.isfinite(apart).all() else float("nan")
        return worst[0], worst[1]
    except Exception as error:  # whatever onnxruntime raises: its errors have no common class
        raise WorkError(f"onnxruntime cannot run what was exported: {_first_line(error)}") from error


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
    """The ONNX file's content, optimised by the exporter, and as it was before.

    Its optimiser takes x + 1e-10 for x, so that dense SIFT by SIFT-Flow's rule divides by 0 where an image is flat; the
    other is right, and slower by up to three times.
    """
    from torch.export import Dim

    dims = {"batch": Dim("batch", min=1, max=65_536), "time": Dim("time", min=SHORTEST, max=4096)}
    shapes = tuple(
        {0: dims["batch"], 1: dims["time"]} if array.ndim == 5 else {0: dims["batch"]} for array in inputs.values()
    )
    given = tuple(torch.from_numpy(array) for array in inputs.values())
    network = _Outputs(run.network).eval()
    try:
        with quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                network, given, input_names=list(inputs), output_names=["logits", "probabilities"], dynamo=True,
                dynamic_shapes=(shapes,), opset_version=OPSET, external_data=False, verbose=False, optimize=False,
            )  # fmt: skip
            program.model.metadata_props.update(_metadata(run))
            plain: bytes = program.model_proto.SerializeToString()
            program.optimize()
            optimised: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # torch's exporter and the protobuf library raise nearly every type there is
        raise WorkError(
            f"{run.options.backbone} with input {run.options.input} cannot be exported: {_first_line(error)}"
        ) from error
    if len(plain) > LARGEST:
        raise WorkError(f"the network takes {len(plain):,} bytes, and one ONNX file holds at most {LARGEST:,}")
    yield optimised
    yield plain


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


def _check_installed() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"export needs {', '.join(missing)}: pip install 'resight[onnx]'")


def _first_line(error: BaseException) -> str:
    """The reason of an error in one line: the first cause, which the libraries wrap in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
