"""What a training learns from and validates on, and the loaders that deal it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as lightning
from torch.utils.data import DataLoader, Sampler

from resight.features.pipeline import cores
from resight.images.examples import Examples
from resight.train.course import Course
from resight.train.data import Batches, Dealt, Look, Order, Stock, balance_weights, make_loader
from resight.train.options import TrainOptions
from resight.train.splits import Split

MOST_WORKERS = 8


@dataclass(frozen=True)
class Material:
    """What is learned from and validated on.

    train, val:         batches by key; val None without validation
    train_places, val_places: places in the data
    chances:            of each training place to be drawn; None: each once an epoch
    class_weights:      (C,) of the loss; None: all 1
    light:              batches cost nothing to make: no processes are started for it
    steps:              of an epoch; None: as many as the training places have batches
    order:              trainer -> keys of the batches to train on; None: each place once, shuffled
    """

    train: Dealt
    val: Dealt | None
    train_places: tuple[int, ...]
    val_places: tuple[int, ...]
    chances: tuple[float, ...] | None = None
    class_weights: tuple[float, ...] | None = None
    light: bool = False
    steps: int | None = None
    order: Callable[[Any], Sampler[Any]] | None = None

    @classmethod
    def make(
        cls, split: Split, examples: Examples, options: TrainOptions, stock: Stock, looks: tuple[Look, Look], *,
        light: bool,
    ) -> Material:  # fmt: skip
        """What can be read of a split; looks: what training and what validation see of an image.

        Classes are balanced by the training images alone.
        """
        known = {name: number for number, name in enumerate(examples.classes)}
        labels = {place: known[str(examples.items[place].label)] for place in (*split.train, *split.val)}
        train = tuple(place for place in split.train if place in stock.inputs)
        val = tuple(place for place in split.val if place in stock.inputs)
        own = [labels[place] for place in train]
        weights = (
            balance_weights(own, len(known)) if options.balance != "none" and len(set(own)) == len(known) else None
        )
        batches = [Batches(stock.inputs, labels, look, options.seed) for look in looks]
        return cls(
            batches[0], batches[1] if val else None, train, val,
            tuple(weights[one] for one in own) if weights and options.balance == "sampler" else None,
            tuple(weights) if weights and options.balance == "weights" else None, light,
        )  # fmt: skip


class Loaders(lightning.LightningDataModule):
    """The loaders of this process, made once it knows which one it is."""

    def __init__(self, material: Material, options: Course, epoch: int) -> None:
        super().__init__()
        self.material, self.options, self.epoch = material, options, epoch

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled anew in each epoch."""
        material = self.material
        if material.order is None:
            return self._loader(material.train, self._order(material.train_places, self.options.seed, material.chances))
        order: Any = material.order(self.trainer)
        order.set_epoch(self.epoch)  # as in `_order`
        return self._loader(material.train, order)

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        """In order, each once."""
        material = self.material
        return self._loader(material.val, self._order(material.val_places, None, None)) if material.val else []

    def _order(self, places: tuple[int, ...], seed: int | None, chances: tuple[float, ...] | None) -> Order:
        trainer: Any = self.trainer
        order = Order(places, self.options.batch, seed=seed, weights=chances, rank=trainer.global_rank,
                      world=trainer.world_size)  # fmt: skip
        order.set_epoch(self.epoch)  # Lightning asks for the first batch before it tells the epoch
        return order

    def _loader(self, batches: Dealt, order: Sampler[Any]) -> DataLoader[Any]:
        trainer: Any = self.trainer
        on_cpu = trainer.strategy.root_device.type == "cpu"
        workers = self.options.workers
        if workers is None and on_cpu:
            # What is in memory is augmented in a fraction of the time that a step takes on the same cores.
            workers = min(MOST_WORKERS, cores() // 2) if batches.slow else 0
        elif workers is None:
            workers = 0 if self.material.light else min(MOST_WORKERS, cores())
        return make_loader(batches, order, workers, pin=not on_cpu)
