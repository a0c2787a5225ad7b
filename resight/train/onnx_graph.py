"""A torch module as the content of an ONNX file, and such a file run."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from resight.errors import InputError, WorkError
from resight.models.quiet import quiet

OPSET = 18
SHORTEST = 3  # frames that a batch of sequences is filled up to: motion is between neighbours
LARGEST = 2**31 - 1  # bytes of one ONNX file

Arrays = dict[str, NDArray[Any]]


def check_packages(packages: Sequence[str]) -> None:
    """Raises InputError if one of these packages is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"export needs {', '.join(missing)}: pip install 'resight[onnx]'")


def graphs(
    network: nn.Module, inputs: Arrays, outputs: Sequence[str], metadata: Mapping[str, str], name: str
) -> Iterator[bytes]:
    """The ONNX file's content, optimised by the exporter, and as it was before.

    network: `forward(*inputs)` gives the outputs; in evaluation mode
    inputs:  examples of at least two rows; the first axis may have any length, of an array with five also the second
    name:    what an error calls the network

    The optimiser takes x + 1e-10 for x, so that dense SIFT by SIFT-Flow's rule divides by 0 where an image is flat; the
    other is right, and slower by up to three times. Raises WorkError if the network cannot be exported.
    """
    from torch.export import Dim

    dims = {"batch": Dim("batch", min=1, max=65_536), "time": Dim("time", min=SHORTEST, max=4096)}
    shapes = tuple(
        {0: dims["batch"], 1: dims["time"]} if array.ndim == 5 else {0: dims["batch"]} for array in inputs.values()
    )
    given = tuple(torch.from_numpy(array) for array in inputs.values())
    try:
        with quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                network, given, input_names=list(inputs), output_names=list(outputs), dynamo=True,
                dynamic_shapes=(shapes,), opset_version=OPSET, external_data=False, verbose=False, optimize=False,
            )  # fmt: skip
            program.model.metadata_props.update(metadata)
            plain: bytes = program.model_proto.SerializeToString()
            program.optimize()
            optimised: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # torch's exporter and the protobuf library raise nearly every type there is
        raise WorkError(f"{name} cannot be exported: {first_line(error)}") from error
    if len(plain) > LARGEST:
        raise WorkError(f"the network takes {len(plain):,} bytes, and one ONNX file holds at most {LARGEST:,}")
    yield optimised
    yield plain


def run_parts(data: bytes, inputs: Arrays, outputs: Sequence[str]) -> Iterator[tuple[Arrays, list[NDArray[Any]]]]:
    """What an ONNX file's content makes of inputs, tried at once, one by one, and with black pixels: (inputs, outputs).

    Of black pixels nothing changes, and a descriptor divides by next to nothing. An input called lengths stays as it
    is. Raises WorkError if onnxruntime cannot run it.
    """
    onnxruntime: Any = importlib.import_module("onnxruntime")  # has no annotations
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    count = len(next(iter(inputs.values())))
    parts = [inputs, *({name: array[row : row + 1] for name, array in inputs.items()} for row in range(count))]
    parts.append({name: array * (name == "lengths") for name, array in inputs.items()})
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        found = [session.run(list(outputs), part) for part in parts]
    except Exception as error:  # whatever onnxruntime raises: its errors have no common class
        raise WorkError(f"onnxruntime cannot run what was exported: {first_line(error)}") from error
    yield from zip(parts, found, strict=True)


def first_line(error: BaseException) -> str:
    """The reason of an error in one line: the first cause, which the libraries wrap in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
