"""A training run on disk: what was asked, what it learned from, what came out, and the network to use.

    run.json           versions, options, classes, data and its digest, counts, the network, times, the best epoch
    options.yaml       the options, for --config
    split.csv          path, label, part, group of every image: a data set of its own
    skipped.csv        images that could not be read, and why
    metrics.csv        a row for each epoch;  curves.png: the same as a picture;  tensorboard/: the same for TensorBoard
    checkpoints/       last.ckpt, to go on from; best.ckpt
    model.safetensors  the best weights

Files are written whole or not at all. A folder whose run.json says "finished" is complete.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError
from resight.images.lines import read_bytes_of
from resight.images.settings import read_settings
from resight.tables.atomic import AtomicFiles
from resight.train.options import TrainOptions, make_options

if TYPE_CHECKING:
    import torch

FORMAT = "resight-train-1"
LIMIT = 64 * 2**20  # bytes of run.json
RECORD, OPTIONS, SPLIT, SKIPPED = "run.json", "options.yaml", "split.csv", "skipped.csv"
METRICS, CURVES, MODEL, CHECKPOINTS = "metrics.csv", "curves.png", "model.safetensors", "checkpoints"
LAST, BEST, TENSORBOARD = f"{CHECKPOINTS}/last.ckpt", f"{CHECKPOINTS}/best.ckpt", "tensorboard"


def read_model(file: Path, expected: str) -> dict[str, torch.Tensor]:
    """The weights in a file. Raises WorkError unless its SHA-256 is the one expected."""
    from safetensors.torch import load

    from resight.models.weights import MAX_WEIGHT_BYTES

    data = read_bytes_of(file, MAX_WEIGHT_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise WorkError(f"{file} is not what the run has recorded (sha256 {digest[:12]}, expected {expected[:12]}): "
                        "it is damaged or was replaced; train again or bring the file back")  # fmt: skip
    return load(data)


def read_record(folder: Path) -> dict[str, Any]:
    """run.json of a run, its form checked. Raises InputError if it is missing or something else."""
    file = folder / RECORD
    if not file.is_file():
        raise InputError(f"{folder}: expected the folder of a training run (resight train classify ... --out FOLDER), "
                         f"got no {RECORD}")  # fmt: skip
    try:
        record = json.loads(read_bytes_of(file, LIMIT).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON, or damaged: {str(error)[:120]}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        got = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{file}: expected a training run of the format {FORMAT!r}, got {str(got)[:60]!r}")
    for key, kind in _FORM.items():
        if not isinstance(record.get(key), kind):
            raise InputError(f"{file}: {key} is missing or damaged")
    classes = record["classes"]
    if len(classes) < 2 or len(set(map(str, classes))) < len(classes) or not all(isinstance(c, str) for c in classes):
        raise InputError(f"{file}: expected the names of at least two classes")
    model = record.get("model")
    if record["state"] == "finished" and not (isinstance(model, dict) and isinstance(model.get("sha256"), str)):
        raise InputError(f"{file}: model is missing or damaged")
    return record


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write run.json whole; its state says whether the run is complete."""
    write_text(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False) + "\n")


def write_options(folder: Path, options: TrainOptions) -> None:
    """Write options.yaml, which --config reads."""
    import yaml

    write_text(folder / OPTIONS, yaml.safe_dump(options.as_dict(), sort_keys=False, allow_unicode=False))


def read_options(file: Path, preset: str | None = None, **given: Any) -> TrainOptions:
    """Options from a .yaml, .toml or .json file with names of TrainOptions as keys, and what is given, which wins.

    A key `preset` in the file is as `preset` here. Raises InputError, naming the file, for an unknown key (with the
    closest match) or a wrong value.
    """
    content = read_settings(file)
    try:
        named = content.pop("preset", None)
        make_options(named, **content)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return make_options(preset or named, **{**content, **given})


def write_model(file: Path, state: dict[str, torch.Tensor]) -> str:
    """Write weights as safetensors, whole or not at all; returns the file's SHA-256."""
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()})
    with AtomicFiles() as files:
        files.open(file).write(data)
    return hashlib.sha256(data).hexdigest()


def skipped_text(rows: Iterable[tuple[str, str, str]]) -> str:
    """skipped.csv: path, part and reason of each image that could not be read."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "part", "reason"])
    writer.writerows(rows)
    return out.getvalue()


def write_text(file: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises WorkError if the disk refuses."""
    with AtomicFiles() as files:
        files.open(file).write(text.encode("utf-8", "surrogateescape"))


_FORM: dict[str, type] = {
    "state": str, "options": dict, "classes": list, "data": dict, "split": dict, "network": dict, "versions": dict,
}  # fmt: skip
