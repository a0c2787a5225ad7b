"""A descriptor as a sum over places, from which follows what each place adds to a similarity.

Every pooling here is a sum over places once the numbers it divides by are known: a place's share of a channel, then
lengths, then linear whitening. A cosine is linear in the descriptor, so a map of it sums to it exactly. Lengths count
as they are: the sum says what the score is made of, not what it would be with a place taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from resight.errors import InputError
from resight.features.crossweight import channel_weight, spatial_weight, weighted_sums
from resight.features.descriptor import Descriptor
from resight.features.look import Look
from resight.features.pooling import centre_prior, gem, mac
from resight.features.regions import region_vectors, rmac_regions
from resight.features.whitening import Whitening

GEM_FLOOR = 1e-6  # the eps of `gem`, which descriptors leave at its default


@dataclass(frozen=True, eq=False)
class Terms:
    """A vector as a sum: of one vector for each place, and one that belongs to no place.

    places    one (D, h, w) for each scale the image was seen at, float64
    constant  (D,)   0 without whitening
    """

    places: tuple[Tensor, ...]
    constant: Tensor

    @property
    def vector(self) -> Tensor:
        """(D,) the sum."""
        return sum((one.sum((1, 2)) for one in self.places), self.constant)

    def times(self, factor: Tensor | float) -> Terms:
        """All terms times a number, or each component times its own, (D,)."""
        wide = factor[:, None, None] if isinstance(factor, Tensor) and factor.ndim else factor
        return Terms(tuple(one * wide for one in self.places), self.constant * factor)

    def unit(self) -> Terms:
        """Of length 1; of a vector of zeros the terms stay as they are."""
        length = float(self.vector.norm())
        return self.times(1 / length) if length > 0 else self

    def projected(self, mean: Tensor, projection: Tensor, times: float = 1.0) -> Terms:
        """Of (x - times * mean) @ projection: mean (D,), projection (D, d)."""
        places = tuple(torch.einsum("khw,kd->dhw", one, projection) for one in self.places)
        return Terms(places, (self.constant - times * mean) @ projection)

    def towards(self, direction: Tensor) -> tuple[list[Tensor], float]:
        """What each place adds to the inner product with `direction` (D,): a map (h, w) per scale; and the constant.

        The maps and the constant sum to the inner product.

        >>> Terms((torch.tensor([[[1.0, 2.0]]]),), torch.tensor([4.0])).towards(torch.tensor([3.0]))
        ([tensor([[3., 6.]])], 12.0)
        """
        return [torch.einsum("khw,k->hw", one, direction) for one in self.places], float(self.constant @ direction)


def describe_places(
    look: Look, descriptor: Descriptor, *, classes: Tensor | None = None, part_whitening: Whitening | None = None
) -> Terms:
    """The descriptor of one image at one scale as a sum over its places, of length 1 (or 0 for a dead map).

    look:                    of one image
    classes, part_whitening: as in `features.look.describe`, whose result is the sum

    spoc, crow: X w c, with the weight w of the place and c of the channel. mac: each channel lies where its maximum
    is, shared by places that all have it. gem: f_k X_kp^p / sum X_k^p, which is gradient times activation; as gem
    doubles when all activations do, that sums to f_k with nothing left over (Euler). rmac: each region like mac, over
    the region's length. cam: X c sum_c CAM^c / length of the class's vector.
    Raises InputError unless the look is of one image.
    """
    if len(look) != 1:
        raise InputError(f"places are told apart for one image at a time, got a look at {len(look)}")
    if descriptor.name == "cam" and classes is None:
        fixed = descriptor.fixed_classes
        # Chosen before the numbers are widened: near ties must fall as they did for the descriptor.
        classes = look.best_classes(int(descriptor.settings["count"])) if fixed is None else torch.tensor(fixed)
    with torch.no_grad():
        exact = _widened(look)
        if descriptor.name == "rmac":
            return _regions(exact.maps, descriptor, part_whitening)
        if descriptor.name == "cam" and classes is not None:
            return _classes(exact, classes, part_whitening)
        return _plain(PLACES[descriptor.name](exact.maps, descriptor)).unit()


def _widened(look: Look) -> Look:
    """In float64, on the CPU: not every accelerator has it."""
    source = None if look.source is None else look.source.cpu().double()
    maps = source if source is not None and look.source is look.maps else look.maps.cpu().double()
    return replace(look, maps=maps, source=source, head=None if look.head is None else look.head.cpu().double())


def _plain(places: Tensor) -> Terms:
    """Without a constant; (1, K, h, w)."""
    return Terms((places[0],), places.new_zeros(places.shape[1]))


def _spoc(maps: Tensor, descriptor: Descriptor) -> Tensor:
    if not descriptor.settings["centre"]:
        return maps
    return maps * centre_prior(maps.shape[2], maps.shape[3]).to(maps)


def _crow(maps: Tensor, descriptor: Descriptor) -> Tensor:
    return maps * spatial_weight(maps)[:, None] * channel_weight(maps)[:, :, None, None]


def _mac(maps: Tensor, descriptor: Descriptor) -> Tensor:
    return mac(maps)[:, :, None, None] * _at_maximum(maps, maps.amax((2, 3)))


def _gem(maps: Tensor, descriptor: Descriptor) -> Tensor:
    power = float(descriptor.settings["p"])
    clamped = maps.clamp(min=GEM_FLOOR)
    share = (clamped / clamped.amax((2, 3), keepdim=True)).pow(power)
    return gem(maps, power)[:, :, None, None] * share / share.sum((2, 3), keepdim=True)


PLACES: dict[str, Callable[[Tensor, Descriptor], Tensor]] = {"spoc": _spoc, "crow": _crow, "mac": _mac, "gem": _gem}


def _at_maximum(maps: Tensor, maxima: Tensor) -> Tensor:
    """(B, K, h, w): 1 where a channel has its maximum (B, K), or equal shares where several places have it."""
    there = (maps == maxima[:, :, None, None]).to(maps)
    return there / there.sum((2, 3), keepdim=True)


def _regions(maps: Tensor, descriptor: Descriptor, whitening: Whitening | None) -> Terms:
    levels, whole = int(descriptor.settings["levels"]), bool(descriptor.settings["include_global"])
    height, width = maps.shape[2:]
    vectors = region_vectors(maps, levels, whole)[0]
    boxes = [(top, left, side, side) for top, left, side in rmac_regions(height, width, levels)]
    boxes += [(0, 0, height, width)] if whole else []
    weights, times = _part_weights(vectors, whitening)
    places = torch.zeros_like(maps)
    for vector, weight, (top, left, high, wide) in zip(vectors, weights.tolist(), boxes, strict=True):
        part = maps[:, :, top : top + high, left : left + wide]
        share = _at_maximum(part, vector[None]) * vector[:, None, None]
        places[:, :, top : top + high, left : left + wide] += weight * share
    return _summed(_plain(places), whitening, times)


def _classes(look: Look, classes: Tensor, whitening: Whitening | None) -> Terms:
    heats = look.class_maps(classes)
    rare = channel_weight(look.maps)[0]
    vectors = (weighted_sums(look.maps, heats) * rare)[0]
    weights, times = _part_weights(vectors, whitening)
    heat = torch.einsum("nhw,n->hw", heats[0], weights)
    return _summed(_plain(look.maps * heat * rare[:, None, None]), whitening, times)


def _part_weights(vectors: Tensor, whitening: Whitening | None) -> tuple[Tensor, float]:
    """By what each part (n, K) is multiplied before the sum, (n,); and how often the whitening's mean is taken away.

    A part is brought to length 1, whitened, and brought to length 1 again.
    """
    lengths = vectors.norm(dim=1)
    alive = lengths > 0
    weights = alive / lengths.masked_fill(~alive, 1)
    if whitening is None:
        return weights, 0.0
    mean, projection = _arrays(whitening)
    again = ((vectors * weights[:, None] - mean.to(vectors)) @ projection.to(vectors)).norm(dim=1)
    alive &= again > 0
    second = alive / again.masked_fill(~alive, 1)
    return weights * second, float(second.sum())


def _summed(terms: Terms, whitening: Whitening | None, times: float) -> Terms:
    if whitening is not None:
        mean, projection = _arrays(whitening)
        terms = terms.projected(mean.to(terms.constant), projection.to(terms.constant), times)
    return terms.unit()


def _arrays(whitening: Whitening) -> tuple[Tensor, Tensor]:
    mean, projection = (
        torch.from_numpy(np.array(array, np.float64)) for array in (whitening.mean, whitening.projection)
    )
    return mean, projection


def fuse_places(scales: Sequence[Terms], power: float = 1.0) -> Terms:
    """The descriptor of an image seen at several scales, as a sum over the places of all of them: `fuse_scales`.

    The power mean doubles when all its vectors do, so that a scale's share of component k, F_k x_sk^p / sum x_sk^p,
    leaves nothing over.
    """
    if len(scales) == 1:
        return scales[0]
    vectors = torch.stack([one.vector for one in scales])
    if power == 1:
        weights = torch.full_like(vectors, 1 / len(scales))
    else:
        kept = vectors.clamp(min=0)
        peak = kept.amax(0)
        share = (kept / torch.where(peak > 0, peak, 1.0)).pow(power)
        mean = peak * share.mean(0).pow(1 / power)
        live = kept > 0
        weights = live * mean * share / share.sum(0).clamp(min=1e-300) / torch.where(live, vectors, 1.0)
    parts = [one.times(weight) for one, weight in zip(scales, weights)]
    constant = torch.stack([one.constant for one in parts]).sum(0)
    return Terms(tuple(place for one in parts for place in one.places), constant).unit()


def whiten_places(terms: Terms, whitening: Whitening) -> Terms:
    """The whitened descriptor as a sum over places and a constant, which the whitening's mean makes."""
    return _summed(terms, whitening, 1.0)
