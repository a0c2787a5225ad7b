"""A training run on disk, opened: its facts, and its network, ready to use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import ImageError, InputError, WorkError
from resight.train.history import History, read_history
from resight.train.inputs import Edit, Fitting, make_fitting, one_or_many, pad_clips
from resight.train.options import TrainOptions
from resight.train.run_files import BEST, LAST, METRICS, MODEL, SPLIT, read_model, read_record, recorded_options

if TYPE_CHECKING:
    from resight.images.read import ImageLike
    from resight.train.networks import ImageNetwork

CPU_PIXELS, GPU_PIXELS = 4 * 224 * 224, 64 * 224 * 224  # of a pass: on a CPU what stays in its cache

T = TypeVar("T")
Show = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training: its facts, and its network, ready to use.

    folder   where it is
    options  every option, defaults filled in
    classes  names, in the order of the network's outputs
    record   run.json as a whole
    device   where the network runs: auto, cpu, cuda, mps
    """

    folder: Path
    options: TrainOptions
    classes: tuple[str, ...]
    record: dict[str, Any] = field(repr=False)
    device: str = "auto"

    @classmethod
    def open(cls, folder: str | os.PathLike[str], device: str = "auto") -> Run:
        """The run in a folder. Its network is loaded when it is first used.

        Raises InputError if there is none, or it has not finished; WorkError if it is damaged.
        """
        place = Path(folder)
        record = read_record(place)
        if record["state"] != "finished":
            ended = (place / LAST).is_file() or (place / BEST).is_file()
            finish = f"; or keep its best epoch so far: `resight train finish {place}`" if ended else ""
            raise InputError(f"{place}: this training has not finished: go on with it: `resight train classify --out "
                             f"{place} --resume`{finish}")  # fmt: skip
        return cls(place, recorded_options(place, record), tuple(record["classes"]), record, device)

    @property
    def fitting(self) -> Fitting:
        """How images become what the network sees."""
        return make_fitting(self.options, self.record["network"])

    @property
    def unit(self) -> str:
        """What it classifies: "images" or "sequences"."""
        return "sequences" if self.options.sequences else "images"

    @property
    def history(self) -> History:
        """What happened in each epoch."""
        return read_history(self.folder / METRICS)

    @property
    def split_file(self) -> Path:
        """CSV of path, label, part and group of every image of the data."""
        return self.folder / SPLIT

    @cached_property
    def network(self) -> ImageNetwork:
        """The network with its best weights, in evaluation mode, on the device; (B, 3, S, S) uint8 -> (B, C) logits.

        Raises WorkError if the weights are damaged or not those that the run has recorded.
        """
        from resight.models.backbone import choose_device
        from resight.models.weights import load_state

        device = choose_device(self.device)
        file = self.folder / MODEL
        state = read_model(file, str(self.record["model"]["sha256"]))
        try:
            network: Any = make_run_network(self.options, len(self.classes), self.record["network"])
            load_state(network, state, str(file))
        except InputError as error:  # of what the run itself has recorded: no mistake of the caller
            raise WorkError(f"{self.folder} is damaged, or of another version: {error}") from error
        return network.eval().requires_grad_(False).to(device)  # type: ignore[no-any-return]

    def scores(
        self, images: Iterable[T] | ImageLike, *, flips: bool = False, edit: Edit | None = None,
        workers: int | None = None, progress: Show | None = None,
    ) -> Iterator[tuple[T, NDArray[np.float32] | ImageError]]:  # fmt: skip
        """Class probabilities, one result per item, in order, with a bounded number of images in memory.

        images:   paths, arrays (H, W, 3) uint8 or Pillow images, or one of them alone; of a run on sequences folders of
                  frames or videos
        flips:    average the probabilities of the image and its mirror image
        edit:     is applied to each image before it is fitted
        progress: called with (done, failed)
        ->        (item, (C,) float32 that sum to 1) or (item, the ImageError)

        Images are fitted as they were in training. Raises InputError for an item that is none of these.
        """
        return self._each(one_or_many(images), _probabilities, flips, edit, workers, progress)

    def features(
        self, images: Iterable[T] | ImageLike, *, flips: bool = False, edit: Edit | None = None,
        workers: int | None = None, progress: Show | None = None,
    ) -> Iterator[tuple[T, NDArray[np.float32] | ImageError]]:  # fmt: skip
        """What the last layer sees of each image or sequence, (K,) float32; otherwise as `scores`.

        Of a sequence that is what the head has made of its frames: mean and maximum of them (pool), of what the
        convolutions or the recurrent network say (tcn, gru). Head average classifies frames one by one; here it gives
        the mean of their features.
        """
        return self._each(one_or_many(images), _penultimate, flips, edit, workers, progress)

    def _each(
        self, images: Iterable[T], look: Callable[[Any, list[torch.Tensor]], torch.Tensor], flips: bool,
        edit: Edit | None, workers: int | None, progress: Show | None,
    ) -> Iterator[tuple[T, NDArray[np.float32] | ImageError]]:  # fmt: skip
        from resight.features.pipeline import work_stream

        network, fitting = self.network, self.fitting
        device = next(network.parameters()).device
        on_cpu = device.type == "cpu"
        step = pass_size(fitting, on_cpu)

        def prepare(item: Any) -> torch.Tensor:
            return fitting(item, edit)

        def finish(fitted: list[torch.Tensor]) -> NDArray[np.float32]:
            with torch.inference_mode(), exact_convolutions(device):
                rows = []
                for start in range(0, len(fitted), step):
                    part = fitted[start : start + step]
                    found = look(network, part)
                    rows.append((found + look(network, [one.flip(-1) for one in part])) / 2 if flips else found)
                array: NDArray[np.float32] = torch.cat(rows).float().cpu().numpy()
                return array

        done = failed = 0
        stream = work_stream(
            images, prepare, finish, chunk=step * (4 if on_cpu else 1), together=on_cpu, workers=workers
        )
        for result in stream:
            done, failed = done + 1, failed + (result.error is not None)
            if progress is not None:
                progress(done, failed)
            yield result.item, result.vector if result.error is None else result.error

    def __repr__(self) -> str:
        return f"<Run {str(self.folder)!r}: {self.options.input} {self.options.backbone}, {len(self.classes)} classes>"


def make_run_network(options: TrainOptions, classes: int, record: dict[str, Any] | None = None) -> Any:
    """The network of a run, for images or for sequences; record: of one that was made before, without its weights."""
    given: dict[str, Any] = {} if record is None else {"load": False, "record": record}
    if options.sequences:
        from resight.train.sequence_network import make_sequence_network

        return make_sequence_network(options, classes, **given)
    from resight.train.networks import make_network

    return make_network(options, classes, **given)


def pass_size(fitting: Fitting, on_cpu: bool) -> int:
    """Images, or sequences, that go through a network at a time."""
    pixels = fitting.size**2 * max(1, fitting.frames)
    return max(1, (CPU_PIXELS if on_cpu else GPU_PIXELS) // pixels)


@contextmanager
def exact_convolutions(device: torch.device) -> Iterator[None]:
    """Convolutions of an NVIDIA GPU keep float32's precision, as a CPU's do: by default they round to 10 bits."""
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    before, cudnn.allow_tf32 = cudnn.allow_tf32, False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


def _probabilities(network: Any, fitted: list[torch.Tensor]) -> torch.Tensor:
    return _given(network, network.forward, fitted).float().softmax(1)


def _penultimate(network: Any, fitted: list[torch.Tensor]) -> torch.Tensor:
    return _given(network, network.features if fitted[0].ndim == 3 else network.pooled, fitted)


def _given(network: Any, call: Callable[..., torch.Tensor], fitted: list[torch.Tensor]) -> torch.Tensor:
    device = next(network.parameters()).device
    if fitted[0].ndim == 3:
        return call(torch.stack(fitted).to(device))
    frames, lengths = pad_clips(fitted)
    return call(frames.to(device), lengths.to(device))
