"""Training that starts from what another run has learned: its branches, and its last layers where they fit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from resight.errors import InputError
from resight.images.places import is_file, is_folder
from resight.models.weights import weights_path
from resight.train.options import WEIGHTS, TrainOptions
from resight.train.plan import Plan
from resight.train.run_files import MODEL, RECORD, read_model
from resight.train.runs import Run
from resight.train.seen_before import same_files, seen_before

WHAT = {"rgb": "backbone", "sift": "SIFT branch"}


@dataclass(frozen=True, eq=False)
class Learned:
    """A finished run and its tensors, named as in a network of images; sha256 of the file that holds them."""

    run: Run
    state: Mapping[str, Tensor]
    sha256: str

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with the prefix, without it."""
        return {key.removeprefix(prefix): value for key, value in self.state.items() if key.startswith(prefix)}


def run_folder(weights: str) -> Path | None:
    """The folder, if the option `weights` names one, or the model.safetensors in one of a run; None for all else.

    >>> run_folder("package") is None
    True
    """
    place = Path(os.path.expanduser(weights))
    if weights in WEIGHTS or not weights:
        return None
    if place.name == MODEL and is_file(place.parent / RECORD):
        return place.parent
    return place if is_folder(place) else None


def open_start(folder: Path) -> Run:
    """The run to start from. Raises InputError if there is none in the folder, or it has not finished."""
    try:
        return Run.open(folder, "cpu")
    except InputError as error:
        raise InputError(f"weights {error}") from error


def read_learned(folder: Path) -> Learned:
    """What a run has learned. Raises InputError as `open_start`, WorkError if its model.safetensors is damaged."""
    run = open_start(folder)
    digest = str(run.record["model"]["sha256"])
    state = read_model(run.folder / MODEL, digest)
    return Learned(run, {key.removeprefix("frame."): value for key, value in state.items()}, digest)


def check_fits(run: Run, name: str, options: TrainOptions, backbone: str) -> None:
    """Raises InputError, naming both, unless the run has this branch, made as the options ask for it.

    name: "rgb" or "sift"; backbone: that the options ask for
    """
    theirs, facts = run.options, run.record["network"].get(name)
    if not isinstance(facts, dict) or theirs.size is None:
        flag = ": give the weights of each by --weights and --sift-weights" if options.input == "fusion" else ""
        raise InputError(f"weights {run.folder}: a run of input {theirs.input} has no {WHAT[name]} to start from, and "
                         f"input {options.input} needs one{flag}")  # fmt: skip
    if facts.get("backbone") != backbone:
        raise InputError(f"weights {run.folder}: the run's {WHAT[name]} is {facts.get('backbone')}, this training's is "
                         f"{backbone}: they must be the same")  # fmt: skip
    if name == "sift" and (theirs.sift_settings, theirs.stem) != (options.sift_settings, options.stem):
        raise InputError(f"weights {run.folder}: the run sees SIFT as {theirs.sift} through stem {theirs.stem}, this "
                         f"training as {options.sift} through stem {options.stem}: they must be the same")  # fmt: skip


def take_head(network: Any, classes: Sequence[str]) -> None:
    """Go on with the last layers of the run that a network started from, if classes and shapes are the same.

    network: as `make_run_network` makes it; what is still new in it, and what was taken, is corrected
    classes: in the order of its outputs

    A network whose branches are of two runs, or of none, keeps its new head.
    """
    inner = getattr(network, "frame", network)
    network.taken = inner.taken
    folders = {run_folder(branch.weights) for branch in inner.branches.values()}
    folder = folders.pop()
    if folders or folder is None:
        return
    learned = read_learned(folder)
    given, own = learned.below("head."), network.head.state_dict()
    if learned.run.classes != tuple(classes):
        why = "the classes are others"
    elif {key: value.shape for key, value in given.items()} != {key: value.shape for key, value in own.items()}:
        why = "it is of another shape"
    else:
        network.head.load_state_dict(given)
        network.fresh = tuple(text for text in network.fresh if text != "head")
        network.taken = (*network.taken, f"head of {folder}")
        return
    network.fresh = tuple(f"head ({why})" if text == "head" else text for text in network.fresh)


def start_text(network: Any) -> str:
    """What a network begins with, in words: what another run has learned, and what is new."""
    taken = f"from {', '.join(network.taken)}; " if network.taken else ""
    return f"{taken}new: {', '.join(network.fresh) or 'nothing'}"


def start_notes(plan: Plan) -> list[str]:
    """A note for each part of a plan that a run which it starts from, or one before, was trained on: figures would
    flatter."""
    notes = []
    for folder in start_folders(plan.options):
        for part, what in (("val", "validation"), ("test", "test")):
            paths = [plan.examples.items[place].path for place in getattr(plan.split, part)]
            try:
                known = trained_on(folder, paths)
            except InputError as error:
                notes.append(f"whether {folder} was trained on the {what} examples cannot be told: {error}")
                continue
            if known:
                notes.append(f"{folder}, or a run before it, was trained on {len(known):,} of the {len(paths):,} "
                             f"{what} examples, such as {known[0]}: their scores will be too high; its split.csv as "
                             "the data has its parts")  # fmt: skip
    return notes


def start_folders(options: TrainOptions) -> list[Path]:
    """The runs that training with these options starts from."""
    found = [run_folder(weights) for _, _, weights in sources(options)]
    return list(dict.fromkeys(folder for folder in found if folder is not None))


def start_digests(options: TrainOptions) -> list[str]:
    """SHA-256 of each file that decides how training with these options starts; empty for published weights.

    options: resolved
    Raises InputError if a file or run is missing, or a run does not fit.
    """
    found = []
    for name, backbone, weights in sources(options):
        folder = run_folder(weights)
        if folder is not None:
            run = open_start(folder)
            check_fits(run, name, options, backbone)
            found.append(str(run.record["model"]["sha256"]))
        elif weights not in WEIGHTS:
            with weights_path(weights).open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found


def sources(options: TrainOptions) -> list[tuple[str, str, str]]:
    """Name, backbone and weights of each branch that the options ask for."""
    rgb = ("rgb", options.backbone, options.weights)
    sift = ("sift", options.sift_backbone or options.backbone, options.sift_weights or options.weights)
    return {"rgb": [rgb], "sift": [sift], "fusion": [rgb, sift]}[options.input]


def trained_on(folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Which of these a run, or one that it started from, was trained on.

    Raises InputError if there is no run, or what it has seen cannot be read.
    """
    return [paths[place] for place in same_files(paths, _learned(folder))]


def learned_before(options: TrainOptions) -> tuple[list[Path], list[str]]:
    """All that the runs which training with these options starts from were trained on, themselves or before; and the
    folders of those of which that cannot be told any more."""
    found: dict[Path, None] = {}
    unknown = []
    for folder in start_folders(options):
        try:
            found |= dict.fromkeys(_learned(folder))
        except InputError:  # told by start_notes
            unknown.append(str(folder))
    return list(found), unknown


def _learned(folder: Path) -> list[Path]:
    return [path for path, part in seen_before(open_start(folder)).items() if part == "train"]
