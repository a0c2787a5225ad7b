"""A training run on disk: what was asked, what it learned from, what came out, and the network to use.

    run.json           versions, options, classes, data and its digest, counts, the network, times, the best epoch
    options.yaml       the options as they were asked for, for --config; run.json has all defaults filled in
    split.csv          path, label, part, group of every image: a data set of its own
    skipped.csv        images that could not be read, and why
    learned_before.csv what the runs that it started from were trained on; only if there are any
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
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resight.errors import InputError, WorkError, advice
from resight.images.lines import read_bytes_of
from resight.images.settings import read_settings
from resight.tables.atomic import AtomicFiles
from resight.train.course import Course
from resight.train.embed_options import EmbedOptions, make_embed_options
from resight.train.locate_options import LocateOptions, make_locate_options
from resight.train.options import TrainOptions, make_options

if TYPE_CHECKING:
    import torch

Options = TypeVar("Options")

FORMAT = "resight-train-1"
TASKS = ("classify", "locate", "embed")
LIMIT = 64 * 2**20  # bytes of run.json
RECORD, OPTIONS, SPLIT, SKIPPED = "run.json", "options.yaml", "split.csv", "skipped.csv"
LEARNED = "learned_before.csv"
METRICS, CURVES, MODEL, CHECKPOINTS = "metrics.csv", "curves.png", "model.safetensors", "checkpoints"
LAST, BEST, TENSORBOARD = f"{CHECKPOINTS}/last.ckpt", f"{CHECKPOINTS}/best.ckpt", "tensorboard"


def read_model(file: Path, expected: str) -> dict[str, torch.Tensor]:
    """The weights in a file. Raises WorkError unless its SHA-256 is the one expected."""
    from safetensors.torch import load

    from resight.models.weights import MAX_WEIGHT_BYTES

    kept = [name for name in (BEST, LAST) if (file.parent / name).is_file()]
    how = (f"`resight train finish {file.parent}` restores it from {kept[0]}, if that holds it" if kept else
           f"so are the checkpoints it could be restored from: bring {MODEL} back, or train again")  # fmt: skip
    try:
        data = read_bytes_of(file, MAX_WEIGHT_BYTES)
    except InputError as error:
        raise WorkError(f"{error}; {how}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise WorkError(f"{file} is not what the run has recorded (sha256 {digest[:12]}, expected {expected[:12]}): "
                        f"it is damaged or was replaced; {how}")  # fmt: skip
    return load(data)


def has_model(folder: Path, record: dict[str, Any]) -> bool:
    """Whether the weights of a finished run are there and are those that it has recorded."""
    try:
        with (folder / MODEL).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == str(record["model"]["sha256"])
    except OSError:
        return False


def read_record(folder: Path, task: str | None = "classify") -> dict[str, Any]:
    """run.json of a run, its form checked.

    task: what the run was trained for, a key of TASKS; None: any of them

    Raises InputError if the folder holds no run, or one of another task, WorkError if the record of one is damaged.
    """
    file = folder / RECORD
    if not file.is_file():
        raise InputError(_no_run(folder))
    try:
        record = json.loads(read_bytes_of(file, LIMIT).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WorkError(_damaged(file, f"not JSON ({short(error)})")) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        got = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{file}: expected a training run of the format {FORMAT!r}, got {str(got)[:60]!r}")
    own = record.get("task", TASKS[0])
    if own not in TASKS:
        raise WorkError(_damaged(file, "its task is none that is known"))
    if task not in (own, None):
        raise InputError(f"{folder}: expected a run of `resight train {task}`, got one of `resight train {own}`")
    for key, kind in _FORM.items():
        if not isinstance(record.get(key), kind):
            raise WorkError(_damaged(file, f"{key} is missing or something else"))
    if own in ("classify", "embed"):
        _check_classes(file, record.get("classes"))
    model = record.get("model")
    if record["state"] == "finished" and not (isinstance(model, dict) and isinstance(model.get("sha256"), str)):
        raise WorkError(_damaged(file, "model is missing or something else"))
    return record


def _check_classes(file: Path, classes: Any) -> None:
    if not isinstance(classes, list):
        raise WorkError(_damaged(file, "classes is missing or something else"))
    if len(classes) < 2 or len(set(map(str, classes))) < len(classes) or not all(isinstance(c, str) for c in classes):
        raise WorkError(_damaged(file, "expected the names of at least two classes"))


def recorded_options(folder: Path, record: dict[str, Any]) -> TrainOptions:
    """The options that a classifier was begun with. Raises WorkError if they are damaged, or of another version."""
    return _recorded(folder, record, make_options)


def recorded_locating(folder: Path, record: dict[str, Any]) -> LocateOptions:
    """The options that a mask network was begun with. Raises WorkError as `recorded_options`."""
    return _recorded(folder, record, make_locate_options)


def recorded_embedding(folder: Path, record: dict[str, Any]) -> EmbedOptions:
    """The options that an embedding network was begun with. Raises WorkError as `recorded_options`."""
    return _recorded(folder, record, make_embed_options)


def recorded_course(folder: Path, record: dict[str, Any]) -> Course:
    """The options that a run of any task was begun with. Raises WorkError as `recorded_options`."""
    readers: dict[str, Callable[[Path, dict[str, Any]], Course]] = {
        "locate": recorded_locating, "embed": recorded_embedding,
    }  # fmt: skip
    return readers.get(str(record.get("task")), recorded_options)(folder, record)


def _recorded(folder: Path, record: dict[str, Any], make: Callable[..., Options]) -> Options:
    try:
        return make(**record["options"])
    except InputError as error:
        raise WorkError(_damaged(folder / RECORD, f"its options: {error}")) from error


def _damaged(file: Path, what: str) -> str:
    return f"{file} is damaged, or of another version: {what}: bring the file back, or train again"


def _no_run(folder: Path) -> str:
    folds = sorted(folder.glob(f"fold-*/{RECORD}"), key=lambda file: (len(file.parent.name), file.parent.name))
    if folds:
        return f"{folder} holds folds, each a run of its own: give one of them, such as {folds[0].parent}"
    return (f"{folder}: expected the folder of a training run (resight train classify ... --out FOLDER), "
            f"got no {RECORD}")  # fmt: skip


def short(error: BaseException, most: int = 120) -> str:
    """What an error says, on one line, cut between words."""
    return textwrap.shorten(str(error).strip() or type(error).__name__, most, placeholder=" ...")


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write run.json whole; its state says whether the run is complete."""
    write_text(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False) + "\n")


def write_options(folder: Path, options: Course) -> None:
    """Write options.yaml, which --config reads."""
    import yaml

    write_text(folder / OPTIONS, yaml.safe_dump(options.as_dict(), sort_keys=False, allow_unicode=False))


def read_options(file: Path, preset: str | None = None, **given: Any) -> TrainOptions:
    """Options from a .yaml, .toml or .json file with names of TrainOptions as keys, and what is given, which wins.

    A key `preset` in the file is as `preset` here. Raises InputError, naming the file, for an unknown key (with the
    closest match) or a wrong value.
    """
    named, content = read_config(file)
    return make_options(preset or named, **{**content, **given})


def read_config(file: Path, make: Callable[..., Course] = make_options) -> tuple[str | None, dict[str, Any]]:
    """The preset and the options in a file, checked as `read_options` says; make: `make_options` of the task."""
    content = read_settings(file)
    tables = [key for key, value in content.items() if isinstance(value, (dict, list))]
    if tables:
        raise InputError(f"{file}: {_other_file(content, tables[0])}")
    try:
        named = content.pop("preset", None)
        make(named, **content)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return named, content


def _other_file(content: dict[str, Any], table: str) -> str:
    """What is wrong with a file of options that holds more than names and values."""
    form = "a file of training options has names and values only, such as `epochs: 20` and `lr: 0.001`"
    if content.get("format") == FORMAT:
        return f"{form}; this is the record of a run: {OPTIONS} beside it is one"
    if {"data", "rows"} <= content.keys():
        return f"{form}; this is a study: resight train study FILE"
    return f"{form}; {table!r} is a {'list' if isinstance(content[table], list) else 'table'}: move its values up"


def write_model(file: Path, state: dict[str, torch.Tensor], expected: str | None = None) -> str:
    """Write weights as safetensors, whole or not at all; returns the file's SHA-256.

    expected: the only SHA-256 that is written. Raises WorkError, and writes nothing, if the weights have another.
    """
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()})
    digest = hashlib.sha256(data).hexdigest()
    if expected is not None and digest != expected:
        raise WorkError(f"these are not the weights of {file}: sha256 {digest[:12]}, expected {expected[:12]}")
    write_whole(file, data)
    return digest


def skipped_text(rows: Iterable[tuple[str, str, str]]) -> str:
    """skipped.csv: path, part and reason of each image that could not be read."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["path", "part", "reason"])
    writer.writerows(rows)
    return out.getvalue()


def write_text(file: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises WorkError if the disk refuses."""
    write_whole(file, text.encode("utf-8", "surrogateescape"))


def write_whole(file: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises WorkError if the disk refuses."""
    try:
        with AtomicFiles() as files:
            files.open(file).write(data)
    except OSError as error:  # of a write that is larger than the file's buffer
        raise WorkError(f"cannot write {file}: {advice(error)}") from error


_FORM: dict[str, type] = {
    "state": str, "options": dict, "data": dict, "split": dict, "network": dict, "versions": dict,
}  # fmt: skip
