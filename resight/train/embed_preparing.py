"""What comes before the training of an embedding network: images read, features pooled, the projection fitted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resight.errors import InputError, WorkError
from resight.features.whitening import Whitening
from resight.measure.watching import Watch
from resight.models.backbone import choose_device
from resight.train.augment import augmentation
from resight.train.bank import first, make_bank, pick
from resight.train.data import Stock, as_is, read_stock
from resight.train.embed_data import EmbedBatches, Parted, check_enough, content_ids, trained_classes
from resight.train.embed_engine import EmbedMaterial, validation_row
from resight.train.embed_losses import Loss, make_loss
from resight.train.embed_mining import BalancedOrder, Mining, TripletOrder, count_steps, describe_all, project_all
from resight.train.embed_network import EmbedNetwork
from resight.train.embed_options import DIM, MINED, EmbedOptions
from resight.train.inputs import Fitting
from resight.train.projecting import fit_projection, largest_dim

BANKED = ("none", "flip")  # what of an image features are computed of, once
LOSS = 52  # what a seed is for
OVER = 2  # training images for each number of a default projection that divides by deviations


@dataclass(frozen=True, eq=False)
class Basis:
    """Images that can be read, as pixels or features, and what belongs to them.

    train, val: places of those that can be read;  labels: {place: class} of the training images, from 0
    classes:    names of the classes that are trained on
    """

    parted: Parted
    stock: Stock
    banked: bool
    train: tuple[int, ...]
    val: tuple[int, ...]
    labels: Mapping[int, int]
    classes: tuple[str, ...]

    @property
    def own(self) -> NDArray[np.int64]:
        """(N,) classes of the training images."""
        return np.array([self.labels[place] for place in self.train], np.int64)


def read_basis(parted: Parted, network: EmbedNetwork, options: EmbedOptions, watch: Watch) -> Basis:
    """Read, or describe, the images to train on and to validate with.

    Raises InputError if too few are left, WorkError if none of a part can be read.
    """
    facts = network.preprocessing
    fitting = Fitting(network.size, options.fit, interpolation=facts.interpolation, crop=facts.crop)
    network.to(choose_device(_own_device(options)))
    split, items = parted.split, parted.examples.items
    paths = {place: items[place].path for place in (*split.train, *split.val)}
    banked = options.frozen and options.augment in BANKED
    if banked:
        mirrored = frozenset(split.train if options.augment == "flip" else ())
        stock = make_bank(network, fitting, paths, mirrored=mirrored, watch=watch)
    else:
        stock = read_stock(paths, fitting, watch=watch)
    train, val = (tuple(place for place in some if place in stock.inputs) for some in (split.train, split.val))
    for what, before, after in (("train on", split.train, train), ("validate with", split.val, val)):
        if before and not after:
            raise WorkError(f"none of the {len(before):,} images to {what} can be read: mend or add some")
    check_enough(parted, train, val)
    classes = trained_classes(parted.examples, train)
    known = {name: number for number, name in enumerate(classes)}
    labels = {place: known[str(items[place].label)] for place in train}
    return Basis(parted, stock, banked, train, val, labels, classes)


def pool_all(basis: Basis, network: EmbedNetwork, watch: Watch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pooled features of the training and the validation images, (N, D) and (M, D), before any projection."""
    places = (*basis.train, *basis.val)
    if basis.banked:
        found: NDArray[np.float32] = torch.stack([basis.stock.inputs[place][0] for place in places]).numpy()
    else:
        found = describe_all(network, network.features, basis.stock.inputs, places, watch, "describing")
    if not np.isfinite(found).all():
        raise WorkError("the features of the network that training starts from are no finite numbers: check its "
                        "weights")  # fmt: skip
    return found[: len(basis.train)], found[len(basis.train) :]


def begin_projection(pooled: NDArray[np.float32], basis: Basis, options: EmbedOptions) -> tuple[Whitening, list[str]]:
    """The projection that training starts from, fitted on the training images; and notes on its length.

    Raises InputError if the dim that is asked for is more than the images allow.
    """
    most, dim, notes = largest_dim(pooled, options.project), options.dim, []
    if dim is None:
        width = pooled.shape[1]
        allowed = len(pooled) // OVER if options.project in ("whiten", "learned") else most
        wanted = width if options.project == "centre" else min(width, DIM)
        dim = max(1, min(wanted, most, allowed))
        if dim < wanted:
            notes.append(f"vectors of {dim} numbers, not {wanted}: {len(pooled):,} training images allow no "
                         f"more for {options.project} (--dim says otherwise)")  # fmt: skip
    source = basis.parted.examples.source
    return fit_projection(pooled, basis.own, dim, options.project, fitted_on=f"training images of {source}"), notes


def measure_before(
    pooled: NDArray[np.float32], basis: Basis, network: EmbedNetwork, options: EmbedOptions
) -> dict[str, Any] | None:
    """The row of validation.csv before training, and `frozen_map` without projection; None without validation."""
    if not basis.val:
        return None
    names = names_of(basis)
    row = validation_row(dict(zip(basis.val, project_all(network, torch.from_numpy(pooled)))), names, options, 0)
    plain = validation_row(dict(zip(basis.val, pooled)), names, options, 0)
    return None if row is None or plain is None else {**row, "frozen_map": plain["map"]}


def names_of(basis: Basis) -> dict[int, str]:
    """{place: class} of the validation images."""
    return {place: str(basis.parted.examples.items[place].label) for place in basis.val}


def make_embed_loss(options: EmbedOptions, classes: int, dim: int) -> Loss:
    """The loss that the options ask for; its own weights, if it has any, are drawn by the seed.

    Raises InputError for an unknown loss or option of it.
    """
    text = options.loss
    if text in MINED:
        text = f"{text}:margin={options.margin},reduction={options.reduction}"
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(options.seed * 1024 + LOSS)
        loss = make_loss(text, classes=classes, dim=dim)
    if options.mining == "none" and loss.needs_triplets:
        raise InputError(f"loss {loss.name} needs triplets: choose a miner, such as ranked or batch-hard")
    if options.mining != "none" and not loss.uses_triplets:
        raise InputError(f"loss {loss.name} takes no triplets: give miner none")
    return loss


def make_material(
    basis: Basis, network: EmbedNetwork, options: EmbedOptions, folder: Path, digest: str,
    before: Mapping[str, Any] | None, watch: Watch,
) -> EmbedMaterial:  # fmt: skip
    """What is learned from and validated on."""
    looks = (pick, first) if basis.banked else (augmentation(options.augment, network.size), as_is)
    places, same = np.array(basis.train, np.int64), content_ids(basis.parted.examples, basis.train)
    names = names_of(basis)
    labels = {**dict.fromkeys(basis.val, 0), **basis.labels}
    batches = [EmbedBatches(basis.stock.inputs, labels, look, options.seed) for look in looks]
    loss = make_embed_loss(options, len(basis.classes), int(network.projection.weight.shape[1]))
    mining, steps = None, count_steps(options, basis.own)
    if options.offline:
        mining = Mining(network, options, basis.stock.inputs, basis.banked, places, basis.own, same,
                        float(getattr(loss, "margin", 0.1)), digest, folder, watch)  # fmt: skip
    plain = EmbedMaterial(
        batches[0], batches[1] if basis.val else None, basis.train, basis.val, light=basis.banked, steps=steps,
        loss=loss, mining=mining, names=names, same=dict(zip(basis.train, same.tolist())), before=before,
    )  # fmt: skip
    if mining is not None:
        return replace(plain, order=lambda trainer: TripletOrder(mining, steps, trainer))
    return replace(plain, order=lambda trainer: BalancedOrder(places, basis.own, options, steps, trainer))


def _own_device(options: EmbedOptions) -> str:
    """The device of this process, where there are several."""
    several = options.devices > 1 and options.device in ("auto", "cuda")
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if several and torch.cuda.is_available() else options.device
