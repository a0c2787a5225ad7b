"""`resight export`: a training run as one ONNX file."""

from __future__ import annotations

import json as json_module
from pathlib import Path

from resight.cli.destinations import check_file
from resight.cli.progress import duration
from resight.show.text import visible


def export(run: Path, /, *, onnx: Path, json: bool = False) -> int:
    """Write a run as an ONNX file, after checking that its results are those of the run.

    The file takes uint8 RGB pixels, fitted as in training, in batches of any size, and gives logits and probabilities;
    of a run of `resight train embed` vectors of length 1. Dense SIFT, pooling and projection are computed inside. Its
    metadata name the classes, or the descriptor, the size and how images are fitted.

    Parameters
    ----------
    run
        Folder of a run of `resight train classify` or `resight train embed`.
    onnx
        The file, ending in .onnx; an older one is replaced.
    json
        Print what was written as JSON.
    """
    from resight.models.trained import is_trained, run_task

    if is_trained(run) or run_task(run)[0] == "embed":
        return _export_encoder(run, onnx, json)
    from resight.train.export import export_onnx
    from resight.train.runs import Run

    trained = Run.open(run, "cpu")
    check_file(onnx)
    report = export_onnx(trained, onnx)
    if json:
        print(json_module.dumps(report.as_dict(), indent=1))
        return 0
    print(f"{visible(str(report))}, in {duration(report.seconds)}")
    for name, takes in report.inputs.items():
        print(f"  input   {name}: {takes}")
    print(f"  output  logits, probabilities: ('batch', {report.classes}) float32")
    return 0


def _export_encoder(run: Path, onnx: Path, json: bool) -> int:
    from resight.models.trained import read_trained
    from resight.train.encoder_export import export_encoder

    read_trained(run)
    check_file(onnx)
    report = export_encoder(run, onnx)
    if json:
        print(json_module.dumps(report.as_dict(), indent=1))
        return 0
    print(f"{visible(str(report))}, in {duration(report.seconds)}")
    for name, takes in report.inputs.items():
        print(f"  input   {name}: {takes}")
    print(f"  output  vectors: ('batch', {report.dim}) float32 of length 1")
    return 0
