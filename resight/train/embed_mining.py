"""What each step of an embedding network learns from: triplets mined from all vectors, or balanced batches."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from resight.errors import WorkError, advice
from resight.features.pipeline import work_stream
from resight.measure.watching import Watch, unwatched
from resight.train.data import ORDER
from resight.train.embed_data import gone
from resight.train.embed_files import FEATURES
from resight.train.embed_network import EmbedNetwork
from resight.train.embed_options import EmbedOptions
from resight.train.mining import MOST_PER_PAIR, Mined, balanced_batches, mine_hardest, mine_ranked, spread
from resight.train.run_files import write_whole
from resight.train.runs import CPU_PIXELS, GPU_PIXELS, exact_convolutions

Vectors = NDArray[np.float32]
DRAWN = 70  # of the predecessor of the preset deep-image-matching, for 14 classes


@dataclass(eq=False)
class Mining:
    """Triplets of the images of a training by the current weights of its network.

    network: trained meanwhile;  stored: {place: pixels, or kept features (V, D)} ;  banked: which of them
    places:  (N,) in the data;   labels: (N,) classes;   same: (N,) equal for files of the same content
    margin:  of the loss;        digest: of data and images, for the name of kept vectors;   folder: of the run
    """

    network: EmbedNetwork
    options: EmbedOptions
    stored: Mapping[int, torch.Tensor]
    banked: bool
    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    same: NDArray[np.int64]
    margin: float
    digest: str
    folder: Path
    watch: Watch = unwatched
    vectors: Vectors | None = None
    mined: Mined | None = None
    epoch: int = -1
    began: float = 0.0
    row: dict[str, Any] | None = None
    _key: str = field(default="", repr=False)

    def of_epoch(self, epoch: int, first: bool = True) -> Mined:
        """The triplets of an epoch, from 0: mined now if it is time, else those of the epoch before.

        first: whether this process keeps files
        """
        due = epoch - epoch % self.options.remine
        if self.mined is not None and self.epoch == due:
            self.row = None
            return self.mined
        self.began = time.monotonic()
        vectors = self.current(first)
        self.mined, self.epoch = self._mine(vectors, due), due
        if not len(self.mined.triplets):
            raise WorkError("no triplet is left to learn from: all images that differ in class are identical files")
        self.row = self._facts(vectors, self.mined)
        return self.mined

    def current(self, keep: bool = True) -> Vectors:
        """(N, d) vectors of all images by the current weights; kept in the run's folder under their hash."""
        key = self._hash()
        if self.vectors is not None and key == self._key:
            return self.vectors
        if self.banked:
            found = project_all(self.network, torch.stack([self.stored[int(place)][0] for place in self.places]))
        else:
            file = self.folder / FEATURES / f"{key}.npy"
            kept = _read_vectors(file, (len(self.places), int(self.network.projection.weight.shape[1])))
            found = self._describe() if kept is None else kept
            if kept is None and keep:
                _write_vectors(file, found)
        self.vectors, self._key = found, key
        return found

    def know(self, pooled: Vectors) -> None:
        """Take pooled features (N, D) of all images by the current weights as known: they need not be computed."""
        self.vectors, self._key = project_all(self.network, torch.from_numpy(pooled)), self._hash()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold so that a resumed training learns from the same triplets."""
        if self.mined is None or self.options.remine == 1:
            return {}
        one = self.mined
        return {"epoch": self.epoch, "triplets": torch.from_numpy(one.triplets), "drawn": one.drawn,
                "losses": torch.from_numpy(one.losses), "nonzero": one.nonzero}  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Take what `state` gave."""
        if state:
            triplets, losses = state["triplets"].numpy(), state["losses"].numpy()
            self.mined = Mined(triplets, losses, int(state["drawn"]), int(state["nonzero"]))
            self.epoch = int(state["epoch"])

    def _mine(self, vectors: Vectors, epoch: int) -> Mined:
        own: dict[str, Any] = {"margin": self.margin, "seed": self.options.seed, "epoch": epoch, "same": self.same}
        if self.options.mining == "hardest":
            queries, negatives = max(1, self.options.keep // self.options.negatives), self.options.negatives
            return mine_hardest(vectors, self.labels, queries=queries, negatives=negatives, **own)
        return mine_ranked(
            vectors, self.labels, per_pair=per_pair(self.options, self.labels), keep=self.options.keep, **own
        )

    def _describe(self) -> Vectors:
        return describe_all(self.network, self.network.forward, self.stored, self.places, self.watch, "mining")

    def _facts(self, vectors: Vectors, mined: Mined) -> dict[str, Any]:
        """A row of mining.csv; its share of the epoch's time is known at the end of it."""
        query, positive, negative = (vectors[places] for places in mined.triplets.T)
        near, far = (float(np.linalg.norm(query - one, axis=1).mean()) for one in (positive, negative))
        return {
            "epoch": self.epoch + 1, "miner": self.options.mining, "drawn": mined.drawn, "nonzero": mined.nonzero,
            "share": round(mined.share, 6), "kept": len(mined.triplets), "positive": round(near, 6),
            "negative": round(far, 6), "spread": round(spread(vectors), 6),
            "seconds": round(time.monotonic() - self.began, 3), "share_of_time": 0.0,
        }  # fmt: skip

    def _hash(self) -> str:
        """Names the vectors: by the data, the weights that training began with, and those that it changes."""
        digest = hashlib.sha256(repr((self.digest, self.network.record())).encode())
        for name, one in self.network.named_parameters():
            if one.requires_grad:
                digest.update(name.encode())
                digest.update(one.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]


class TripletOrder(Sampler[Any]):
    """Batches (epoch, places, triplets among them); each image once in a batch, however many triplets it is in.

    Mined when the epoch's first batch is asked for, by the first process for all.
    """

    def __init__(self, mining: Mining, steps: int, trainer: Any) -> None:
        self.mining, self.steps, self.trainer, self.epoch = mining, steps, trainer, 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch, from 0, is dealt out next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        triplets = self._triplets()
        rank, world = self.trainer.global_rank, self.trainer.world_size
        dice = np.random.default_rng((self.mining.options.seed, ORDER, self.epoch))
        order = np.resize(dice.permutation(len(triplets)), max(len(triplets), self.steps))
        for part in np.array_split(order, self.steps):
            own = np.array_split(np.resize(part, max(len(part), world)), world)[rank]
            places, inverse = np.unique(triplets[own], return_inverse=True)
            yield self.epoch, tuple(self.mining.places[places].tolist()), inverse.reshape(-1, 3).astype(np.int64)

    def _triplets(self) -> NDArray[np.int64]:
        trainer, mining = self.trainer, self.mining
        if trainer.world_size == 1:
            return mining.of_epoch(self.epoch).triplets
        first = trainer.global_rank == 0
        outcome: Any = None
        if first:
            try:
                outcome = mining.of_epoch(self.epoch)
            except Exception as error:  # or the others would wait for ever
                outcome = error
        outcome = trainer.strategy.broadcast(outcome)
        if isinstance(outcome, Exception):
            if first:
                raise outcome
            raise SystemExit(0)
        mined: Mined = outcome
        mining.mined, mining.epoch = mined, self.epoch - self.epoch % mining.options.remine
        return mined.triplets


class BalancedOrder(Sampler[Any]):
    """Batches (epoch, places) of some images each of some classes."""

    def __init__(
        self, places: NDArray[np.int64], labels: NDArray[np.int64], options: EmbedOptions, steps: int, trainer: Any
    ) -> None:
        self.places, self.labels, self.options = places, labels, options
        self.steps, self.trainer, self.epoch = steps, trainer, 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch, from 0, is dealt out next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        own = self.options
        shape = batch_shape(own, len(np.unique(self.labels)))
        batches = balanced_batches(self.labels, *shape, own.seed, self.epoch)
        for step in range(self.steps):
            # An image that was drawn twice for a small class goes through the network once.
            part = np.array_split(np.asarray(batches[step % len(batches)]), self.trainer.world_size)
            yield self.epoch, tuple(self.places[np.unique(part[self.trainer.global_rank])].tolist())


def per_pair(options: EmbedOptions, labels: NDArray[np.int64]) -> int:
    """Triplets that `ranked` draws for each ordered pair of classes.

    With few classes more than 70: an epoch must be worth the look at all images before it.

    >>> [per_pair(EmbedOptions(keep=1600), np.repeat(np.arange(classes), 9)) for classes in (3, 14)]
    [534, 70]
    """
    if options.per_pair is not None:
        return options.per_pair
    counts = np.unique(labels, return_counts=True)[1]
    pairs = int((counts > 1).sum()) * (len(counts) - 1)
    return min(max(DRAWN, -(-2 * options.keep // max(pairs, 1))), MOST_PER_PAIR)


def batch_shape(options: EmbedOptions, classes: int) -> tuple[int, int]:
    """Images in a balanced batch, and of each class in it: more of each where there are too few classes to fill it.

    >>> batch_shape(EmbedOptions(miner="batch-hard", batch=32, per_class=4), 6)
    (30, 5)
    """
    per_class = max(options.per_class, options.batch // max(classes, 2))
    return options.batch - options.batch % per_class, per_class


def count_steps(options: EmbedOptions, labels: NDArray[np.int64]) -> int:
    """Steps of an epoch: the same for all epochs, as the learning rate's schedule needs it."""
    if not options.offline:
        shape = batch_shape(options, len(np.unique(labels)))
        return len(balanced_batches(labels, *shape, options.seed, 0))
    counts = np.unique(labels, return_counts=True)[1]
    others = len(counts) - 1
    if options.mining == "ranked":
        most = min(options.keep, per_pair(options, labels) * int((counts > 1).sum()) * others)
    else:
        queries = min(max(1, options.keep // options.negatives), int(counts[counts > 1].sum()))
        most = queries * min(options.negatives, others)
    return max(1, -(-most // options.batch))


def describe_all(
    network: EmbedNetwork, call: Callable[[torch.Tensor], torch.Tensor], stored: Mapping[int, torch.Tensor],
    places: Sequence[int] | NDArray[np.int64], watch: Watch, verb: str,
) -> Vectors:  # fmt: skip
    """What `call` makes of each image, (N, D) float32: without augmentation, in evaluation mode.

    Raises WorkError for an image that could be read before and no longer can.
    """
    device = network.projection.mean.device
    on_cpu = device.type == "cpu"
    step = max(1, (CPU_PIXELS if on_cpu else GPU_PIXELS) // network.size**2)

    def finish(pixels: list[torch.Tensor]) -> list[torch.Tensor]:
        with torch.no_grad(), exact_convolutions(device):
            parts = [torch.stack(pixels[start : start + step]) for start in range(0, len(pixels), step)]
            return [row for part in parts for row in call(part.to(device)).float().cpu()]

    rows: list[torch.Tensor] = []
    items = [int(place) for place in places]
    stream = work_stream(items, stored.__getitem__, finish, chunk=step * (4 if on_cpu else 1), together=on_cpu)
    with watch(verb, len(items), "images") as show:
        for done, result in enumerate(stream, 1):
            if result.error is not None:
                raise WorkError(gone(result.error))
            rows.append(result.vector)
            show(done, 0)
    return torch.stack(rows).numpy()


def project_all(network: EmbedNetwork, pooled: torch.Tensor) -> Vectors:
    """(N, D) pooled features -> (N, d) by the current projection."""
    device = network.projection.mean.device
    with torch.no_grad():
        parts = [network.projection(part.to(device)).float().cpu() for part in torch.split(pooled, 4096)]
        found: Vectors = torch.cat(parts).numpy()
    return found


def _read_vectors(file: Path, shape: tuple[int, int]) -> Vectors | None:
    """Vectors that were kept; None if there are none, or they are not whole."""
    try:
        if not 0 <= file.stat().st_size - shape[0] * shape[1] * 4 <= 1024:
            return None
        found = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.float32 and np.isfinite(found).all() else None


def _write_vectors(file: Path, vectors: Vectors) -> None:
    """Keep these vectors, and no others: those of other weights are of no use any more."""
    try:
        file.parent.mkdir(exist_ok=True)
        for other in file.parent.glob("*.npy"):
            if other != file:
                other.unlink(missing_ok=True)
    except OSError as error:
        raise WorkError(f"cannot write {file.parent}: {advice(error)}") from error
    buffer = io.BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    write_whole(file, buffer.getvalue())
