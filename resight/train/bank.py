"""Features of a network that stays as it is: computed once for every image, so that only its head is trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from resight.features.pipeline import work_stream
from resight.measure.watching import Watch, unwatched
from resight.train.data import Stock
from resight.train.inputs import Fitting, pad_clips, why_not
from resight.train.runs import exact_convolutions, pass_size


def make_bank(
    network: Any, fitting: Fitting, paths: Mapping[int, Path], *, mirrored: Collection[int] = (),
    watch: Watch = unwatched,
) -> Stock:  # fmt: skip
    """What `network.features` gives of each image or sequence, in one pass over the files.

    network:  in evaluation mode, on its device
    paths:    {place: file, or sequence}
    mirrored: places of which the mirror image is described as well
    ->        {place: (V, K)}, of sequences (V, T, K); V is 2 (as it is, mirrored) or 1, float32

    Images that cannot be read are left out, with the reason.
    """
    on_cpu = next(network.parameters()).device.type == "cpu"
    step = pass_size(fitting, on_cpu)
    inputs, skipped = {}, {}

    def prepare(place: int) -> list[torch.Tensor]:
        pixels = fitting(paths[place])
        return [pixels, pixels.flip(-1)] if place in mirrored else [pixels]

    def finish(prepared: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        flat = [view for views in prepared for view in views]
        rows = iter(
            [row for start in range(0, len(flat), step) for row in _describe(network, flat[start : start + step])]
        )
        return [torch.stack([next(rows) for _ in views]) for views in prepared]

    stream = work_stream(paths, prepare, finish, chunk=step * (4 if on_cpu else 1), together=on_cpu)
    with watch("describing", len(paths), "sequences" if fitting.frames else "images") as show:
        for done, result in enumerate(stream, 1):
            if result.error is None:
                inputs[result.item] = result.vector
            else:
                skipped[result.item] = why_not(result.error, paths[result.item])
            show(done, len(skipped))
    return Stock(inputs, skipped)


def pick(features: torch.Tensor, seed: int) -> torch.Tensor:
    """One of the views of an image, by the seed: (V, ...) -> (...)."""
    return features[seed % len(features)]


def first(features: torch.Tensor, seed: int) -> torch.Tensor:
    """The image as it is, for validation: (V, ...) -> (...)."""
    return features[0]


def _describe(network: Any, views: list[torch.Tensor]) -> list[torch.Tensor]:
    """(K,) of each image, (T, K) of each sequence."""
    device = next(network.parameters()).device
    with torch.inference_mode(), exact_convolutions(device):
        if views[0].ndim == 3:
            found = network.features(torch.stack(views).to(device))
            return list(found.float().cpu())
        frames, lengths = pad_clips(views)
        found = network.features(frames.to(device), lengths.to(device)).float().cpu()
    return [row[:length].clone() for row, length in zip(found, lengths.tolist(), strict=True)]
