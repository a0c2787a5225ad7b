"""What comes between a plan and its training: images read or described, classes counted, statistics settled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from resight.errors import ImageError, InputError, WorkError
from resight.measure.watching import Watch
from resight.models.backbone import choose_device
from resight.train.bank import first, make_bank, pick
from resight.train.data import Look, Stock, as_is, read_stock, together
from resight.train.inputs import Fitting, make_fitting
from resight.train.material import Material
from resight.train.options import TrainOptions
from resight.train.plan import Plan
from resight.train.settling import IMAGES, settle

BANKED = ("none", "flip")  # what of an image features are computed of, once; other augmentations are without end
SETTLE = 3  # what a seed is for, as in resight.train.data
AT_ONCE = 16


@dataclass(frozen=True)
class Prepared:
    """What is learned from; what could be read; whether it is features, of which only the head is trained; and how
    many images the statistics behind a new first convolution were settled on."""

    material: Material
    stock: Stock
    banked: bool
    settled: int


def prepare(plan: Plan, network: Any, watch: Watch) -> Prepared:
    """Read, or describe, the images that a plan trains on and validates with."""
    options = plan.options
    fitting = make_fitting(options, network.record())
    network.to(choose_device(_own_device(options)))
    settled = settle_sift(plan, network, fitting)
    paths = {place: plan.examples.items[place].path for place in (*plan.split.train, *plan.split.val)}
    banked = options.frozen and options.augment in BANKED
    if banked:
        network.eval()
        mirrored = frozenset(plan.split.train if options.augment == "flip" else ())
        stock = make_bank(network, fitting, paths, mirrored=mirrored, watch=watch)
        looks: tuple[Look, Look] = pick, first
    else:
        from resight.train.augment import augmentation

        stock = read_stock(paths, fitting, watch=watch)
        looks = together(augmentation(options.augment, fitting.size), fitting.circle), as_is
    material = Material.make(plan.split, plan.examples, options, stock, looks, light=banked)
    return Prepared(material, stock, banked, settled)


def settle_sift(plan: Plan, network: Any, fitting: Fitting) -> int:
    """Settle the batch normalisation of a pretrained network whose first convolution is new; how many images it saw.

    The images are drawn from those for training, by the seed.
    """
    branches = getattr(network, "frame", network).branches
    new = [text for text in network.fresh if text.startswith("sift: ")]
    if not new or plan.options.sift_weights == "random":
        return 0
    device = next(network.parameters()).device
    return settle(branches["sift"], (pixels.to(device) for pixels in _sample(plan, fitting)))


def _sample(plan: Plan, fitting: Fitting) -> Iterator[torch.Tensor]:
    """Training images in batches (B, 3, S, S) uint8, frames of sequences among them; no more than are settled on."""
    places = np.random.default_rng((plan.options.seed, SETTLE)).permutation(plan.split.train)

    def readable() -> Iterator[torch.Tensor]:
        for place in places:
            try:
                pixels = fitting(plan.examples.items[place].path)
            except ImageError:
                continue  # told when all are read
            yield from pixels if pixels.ndim == 4 else pixels[None]

    found = islice(readable(), IMAGES)
    while part := list(islice(found, AT_ONCE)):
        yield torch.stack(part)


def check_material(plan: Plan, material: Material) -> None:
    """Nothing if every class can be trained on and validation has something to look at.

    Raises InputError if a class has nothing for training, WorkError if all that it, or validation, has is unreadable.
    """
    items, unit = plan.examples.items, plan.unit
    meant, left = ({str(items[place].label) for place in some} for some in (plan.split.train, material.train_places))
    for name in plan.examples.classes:
        if name not in meant:
            raise InputError(f"class {name!r} has nothing to train on, all its {unit} are for validation or testing: "
                             "add some, or leave the class out")  # fmt: skip
        if name not in left:
            raise WorkError(f"class {name!r} has nothing to train on, none of its {unit} for training can be read: "
                            "mend or add some, or leave the class out")  # fmt: skip
    if plan.split.val and not material.val_places:
        raise WorkError(f"none of the {len(plan.split.val):,} {unit} for validation can be read: mend or add some")


def _own_device(options: TrainOptions) -> str:
    """The device of this process, where there are several."""
    several = options.devices > 1 and options.device in ("auto", "cuda")
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if several and torch.cuda.is_available() else options.device
