"""What a run of an embedding network has on disk besides the files of every run: its start, and what encodes by it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import InputError, WorkError
from resight.features.whitening import Whitening
from resight.train.run_files import BEST, LAST, read_model, write_model, write_text

START, ENCODER, FEATURES, MINING, VALIDATION = (
    "start.safetensors", "encoder.json", "features", "mining.csv", "validation.csv"
)  # fmt: skip
FORMAT = "resight-encoder-1"
MINING_COLUMNS = (
    "epoch", "miner", "drawn", "nonzero", "share", "kept", "positive", "negative", "spread", "seconds", "share_of_time"
)  # fmt: skip
VALIDATION_COLUMNS = (
    "epoch", "map", "map_trapezoid", "recall_1", "recall_5", "recall_10", "spread", "loss", "queries"
)  # fmt: skip
Rows = Sequence[Mapping[str, Any]]
MEAN, WEIGHT = "projection.mean", "projection.weight"


def write_start(folder: Path, projection: Whitening) -> str:
    """The projection as it was before training; returns the file's SHA-256."""
    import torch

    state = {MEAN: projection.mean, WEIGHT: projection.projection}
    return write_model(folder / START, {name: torch.from_numpy(np.array(one)) for name, one in state.items()})


def read_start(folder: Path, record: Mapping[str, Any]) -> Whitening:
    """The projection as it was before training. Raises WorkError if it is lost, or not what the run has recorded."""
    file = folder / START
    try:
        state = read_model(file, str(record["start"]["sha256"]))
        return Whitening(state[MEAN].numpy(), state[WEIGHT].numpy())
    except (InputError, WorkError, KeyError, TypeError) as error:
        lost = "damaged, or was replaced" if file.is_file() else "missing"
        raise WorkError(f"{file}, the projection that training began with, is {lost}: bring it back, or train again "
                        "(the trained encoder does not need it)") from error  # fmt: skip


def encoder_text(record: Mapping[str, Any], digest: str) -> str:
    """encoder.json: all that an encoder needs besides model.safetensors; digest: that file's SHA-256."""
    network = record["network"]
    facts = {
        "format": FORMAT,
        **{key: network[key] for key in ("backbone", "descriptor", "size", "fit", "dim", "preprocessing")},
        "model": {"sha256": digest},
        "start": {"weights": network["weights"], "seed": record["options"]["seed"]},
    }
    return json.dumps(facts, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def write_encoder(folder: Path, record: Mapping[str, Any], digest: str) -> None:
    """Write encoder.json, whole or not at all."""
    write_text(folder / ENCODER, encoder_text(record, digest))


def restore_encoder(folder: Path, record: Mapping[str, Any]) -> bool:
    """Write encoder.json of a finished run again if it is lost or another; whether that was needed."""
    text = encoder_text(record, str(record["model"]["sha256"]))
    file = folder / ENCODER
    if file.is_file() and file.stat().st_size == len(text) and file.read_text() == text:
        return False
    write_text(file, text)
    return True


def rows_text(columns: Sequence[str], rows: Rows) -> str:
    """A CSV of these rows; no number is an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row[name] != row[name] else row[name] for name in columns])
    return out.getvalue()


def write_tables(folder: Path, mining: Rows, validation: Rows) -> None:
    """Write mining.csv and validation.csv, where there are rows."""
    if mining:
        write_text(folder / MINING, rows_text(MINING_COLUMNS, mining))
    if validation:
        write_text(folder / VALIDATION, rows_text(VALIDATION_COLUMNS, validation))


def finish_files(folder: Path, record: Mapping[str, Any], digest: str) -> None:
    """What a finished run has besides: its tables as its later checkpoint has them, and encoder.json last."""
    from resight.train.checkpoints import try_checkpoint

    kept = [one for one in map(try_checkpoint, (folder / LAST, folder / BEST)) if one is not None and "embed" in one]
    if kept:
        facts = max(kept, key=lambda one: len(one["history"]))["embed"]
        write_tables(folder, facts["mining"], facts["validation"])
    shutil.rmtree(folder / FEATURES, ignore_errors=True)
    write_encoder(folder, record, digest)
