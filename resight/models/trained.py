"""What `resight train embed` leaves for an encoder: encoder.json and model.safetensors in the folder of the run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError, WorkError
from resight.images import FITS, INTERPOLATIONS
from resight.images.lines import read_bytes_of
from resight.models.preprocessing import Preprocessing
from resight.models.weights import MAX_WEIGHT_BYTES

if TYPE_CHECKING:
    from torch import Tensor

RECORD, MODEL, RUN = "encoder.json", "model.safetensors", "run.json"
FORMAT = "resight-encoder-1"
BACKBONE, MEAN, PROJECTION = "backbone.", "projection.mean", "projection.weight"  # names of the tensors in MODEL
LIMIT, RUN_LIMIT = 2**20, 64 * 2**20  # bytes of RECORD and of RUN
LARGEST_SIDE, LARGEST_DIM, LONGEST_NAME = 4096, 2**20, 1024
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Trained:
    """What encoder.json says.

    folder         of the run, absolute
    backbone       a timm name
    descriptor     the pooling with its options, as text ("gem:p=4")
    size, fit      the side in pixels that it was trained at, and how images were fitted to it
    dim            length of its vectors
    preprocessing  that it was trained with
    sha256         of model.safetensors
    """

    folder: Path
    backbone: str
    descriptor: str
    size: int
    fit: str
    dim: int
    preprocessing: Preprocessing
    sha256: str


def run_folder(folder: str | os.PathLike[str]) -> str:
    """The absolute path of a run's folder, "~" resolved. Raises InputError if it is no text, or empty."""
    text = os.fspath(folder) if isinstance(folder, os.PathLike) else folder
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"encoder must be the folder of a run of `resight train embed`, got {folder!r}")
    return os.path.abspath(os.path.expanduser(text))


def is_trained(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds an encoder.json."""
    try:
        return (Path(folder) / RECORD).is_file()
    except (OSError, ValueError):  # a name too long
        return False


def run_task(folder: str | os.PathLike[str]) -> tuple[str, str]:
    """What the run in a folder was trained for (classify, locate, embed), and its state; "" without a run.json."""
    try:
        record = json.loads(read_bytes_of(Path(folder) / RUN, RUN_LIMIT).decode("utf-8"))
    except (ValueError, RecursionError, OSError, WorkError):
        return "", ""
    if not isinstance(record, dict):
        return "", ""
    return str(record.get("task", "classify"))[:40], str(record.get("state", ""))[:40]


def read_trained(folder: str | os.PathLike[str]) -> Trained:
    """encoder.json of a finished run, its form checked.

    Raises InputError if the folder holds no such run, one of another task, or one that has not finished; WorkError if
    the file is damaged.
    """
    place = Path(run_folder(folder))
    file = place / RECORD
    if not is_trained(place):
        raise _none_there(place)
    try:
        return _checked(place, json.loads(read_bytes_of(file, LIMIT).decode("utf-8")))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)[:200] or type(error).__name__
        raise WorkError(f"{file} is damaged, or of another version: {why}; bring the file back, or train again"
                        ) from error  # fmt: skip


def read_tensors(trained: Trained) -> dict[str, Tensor]:
    """The tensors of a run by their names in model.safetensors.

    Raises InputError if the file is gone, WorkError if it is damaged or not the one that encoder.json names.
    """
    from safetensors.torch import load

    file = trained.folder / MODEL
    if not file.exists():
        raise InputError(f"{file}: the weights of this run are gone: bring the file back, or train again")
    try:
        data = read_bytes_of(file, MAX_WEIGHT_BYTES)
    except InputError as error:
        raise WorkError(str(error)) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != trained.sha256:
        raise WorkError(f"{file} is not what {RECORD} beside it names (sha256 {digest[:12]}, expected "
                        f"{trained.sha256[:12]}): damaged, or replaced; bring the file back, or train again"
                        )  # fmt: skip
    try:
        return load(data)
    except Exception as error:  # safetensors raises its own class, which it does not promise, and ValueError
        raise WorkError(f"{file} is no safetensors file ({str(error)[:120]}): train again") from error


def backbone_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the backbone, by timm's names."""
    return {name.removeprefix(BACKBONE): value for name, value in tensors.items() if name.startswith(BACKBONE)}


def projection_arrays(trained: Trained) -> tuple[Any, Any]:
    """Mean (D,) and projection (D, d) of a run, as numpy arrays.

    Raises what `read_tensors` raises, and WorkError if one is missing, or they are not of the length of the vectors.
    """
    import numpy as np

    tensors = read_tensors(trained)
    missing = [name for name in (MEAN, PROJECTION) if name not in tensors]
    if missing:
        raise WorkError(f"{trained.folder / MODEL} is damaged, or of another version: it has no {missing[0]!r}")
    mean, projection = (np.asarray(tensors[name].float().numpy(), np.float32) for name in (MEAN, PROJECTION))
    if projection.ndim != 2 or projection.shape[1] != trained.dim:
        raise WorkError(f"{trained.folder} is damaged: {RECORD} says vectors of {trained.dim:,} numbers, {PROJECTION} "
                        f"has the shape {projection.shape}")  # fmt: skip
    return mean, projection


def _none_there(place: Path) -> InputError | WorkError:
    """The error for a folder without encoder.json."""
    wanted = "expected the folder of a finished run of `resight train embed`"
    if not place.is_dir():
        found = (
            "got a file" if place.exists() else
            "there is no such folder: bring it back, or give its new place as --encoder (for a collection once, to "
            "`resight index`)"
        )  # fmt: skip
        return InputError(f"{place}: {wanted}, {found}")
    task, state = run_task(place)
    if not task:
        return InputError(f"{place}: {wanted}, got no {RECORD}")
    if task != "embed":
        return InputError(f"{place}: {wanted}, got one of `resight train {task}`")
    if state == "finished":
        return WorkError(f"{place} is damaged: its training has finished, and {RECORD} is gone: bring the file back, "
                         "or train again")  # fmt: skip
    return InputError(f"{place}: this training has not finished: go on with it: `resight train embed --out {place} "
                      "--resume`")  # fmt: skip


def _checked(place: Path, record: Any) -> Trained:
    """The record as a value. Raises ValueError, TypeError, KeyError or OverflowError for anything unexpected."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        got = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"expected the format {FORMAT!r}, got {str(got)[:60]!r}")
    digest = record["model"]["sha256"]
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ValueError("model.sha256 is no SHA-256")
    return Trained(
        place, _text(record, "backbone"), _text(record, "descriptor"), _whole(record, "size", 1, LARGEST_SIDE),
        _one_of(record, "fit", FITS), _whole(record, "dim", 1, LARGEST_DIM),
        _preprocessing(record["preprocessing"]), digest,
    )  # fmt: skip


def _preprocessing(values: Any) -> Preprocessing:
    if not isinstance(values, dict):
        raise ValueError("preprocessing is no table")
    mean, std = _three(values, "mean", -100), _three(values, "std", 1e-6)
    return Preprocessing(
        mean, std, _one_of(values, "interpolation", INTERPOLATIONS), _number(values["crop"], "crop", 0.01, 1),
        _whole(values, "size", 1, LARGEST_SIDE),
    )  # fmt: skip


def _three(values: dict[str, Any], name: str, least: float) -> tuple[float, float, float]:
    given = values[name]
    if not isinstance(given, list) or len(given) != 3:
        raise ValueError(f"{name} must be three numbers")
    first, second, third = (_number(one, name, least, 100) for one in given)
    return first, second, third


def _number(value: Any, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError(f"{name} must be from {least:g} to {most:g}, got {str(value)[:40]!r}")
    return float(value)


def _whole(values: dict[str, Any], name: str, least: int, most: int) -> int:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most:,}, got {str(value)[:40]!r}")
    return value


def _text(values: dict[str, Any], name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ValueError(f"{name} must be text of at most {LONGEST_NAME:,} characters, got {str(value)[:40]!r}")
    return value


def _one_of(values: dict[str, Any], name: str, choices: Any) -> str:
    value = _text(values, name)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value[:40]!r}")
    return value
