"""The classifier of sequences: a network for images on each frame, the motion between frames, and a head over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from resight.errors import InputError
from resight.train.motion import CHANNELS, motion
from resight.train.networks import ImageNetwork, make_network, seeded
from resight.train.options import TrainOptions
from resight.train.sequence_heads import HEADS, inside

CPU_FRAMES, GPU_FRAMES = 4, 64  # of 224 x 224 pixels in one pass: on a CPU what stays in its cache


class SequenceNetwork(nn.Module):
    """Frames of sequences to logits of C classes.

    frame    the network on each frame, without its last layer;  head  what makes one answer of them
    size     side of the frames in pixels;  classes  how many;  fresh  what did not come from weights, in words
    channels how many of a frame's numbers are motion: 54, or 0

    frames:  (B, T, 3, S, S) uint8, filled up at the end where a sequence is shorter;  lengths: (B,), each from 1 to T

    What fills a sequence up has no influence: its frames are not even looked at.
    """

    def __init__(self, frame: ImageNetwork, head: nn.Module, channels: int) -> None:
        super().__init__()
        self.frame, self.head, self.channels = frame, head, channels
        self.size, self.classes, self.fresh = frame.size, frame.classes, frame.fresh
        cast(Any, frame).head = nn.Identity()  # the heads here have a last layer of their own

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, 3, S, S) uint8, (B,) -> (B, C) logits."""
        return self.classify(self.features(frames, lengths), lengths)

    def features(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, 3, S, S) uint8, (B,) -> (B, T, K) float32: each frame's features, then its motion; zeros in the rest.

        Raises InputError for other shapes or lengths.
        """
        check_frames(frames, lengths)
        found = self._describe(frames, inside(frames, lengths)).float()
        return torch.cat([found, motion(frames, lengths)], 2) if self.channels else found

    def classify(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K), (B,) -> (B, C) logits."""
        return cast(Tensor, self.head(features, lengths))

    def pooled(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, 3, S, S) uint8, (B,) -> (B, P) float32: what the head's last layer sees of each sequence.

        Of head average, whose last layer sees single frames, the mean of their features.
        """
        head: Any = self.head
        return cast(Tensor, head.pooled(self.features(frames, lengths), lengths))

    def record(self) -> dict[str, dict[str, Any]]:
        """What `ImageNetwork.record` says of the network on each frame; the rest is in the options."""
        return self.frame.record()

    def _describe(self, frames: Tensor, seen: Tensor) -> Tensor:
        """(B, T, 3, S, S), (B, T) bool -> (B, T, K)."""
        flat, batch, count = frames.flatten(0, 1), *seen.shape
        if torch.compiler.is_compiling():  # an exported network does the same whatever the lengths are
            return self.frame.features(flat).reshape(batch, count, -1) * seen[..., None]
        # Only true frames: others would cost time, and move the averages of batch normalisation.
        true, step = flat[seen.flatten()], self._at_once(frames)
        rows = torch.cat([self.frame.features(true[start : start + step]) for start in range(0, len(true), step)])
        found = rows.new_zeros((batch * count, rows.shape[1]))
        return found.masked_scatter(seen.reshape(-1, 1), rows).reshape(batch, count, -1)

    def _at_once(self, frames: Tensor) -> int:
        """How many frames go through the network together: in training all, for the sake of batch normalisation."""
        if torch.is_grad_enabled() and any(one.requires_grad for one in self.frame.parameters()):
            return frames.shape[0] * frames.shape[1]
        many = CPU_FRAMES if frames.device.type == "cpu" else GPU_FRAMES
        return max(1, many * 224**2 // (frames.shape[-1] * frames.shape[-2]))


def make_sequence_network(
    options: TrainOptions, classes: int, *, load: bool = True, record: Mapping[str, Any] | None = None
) -> SequenceNetwork:
    """The network that the options ask for; arguments and errors as in `resight.train.networks.make_network`.

    Raises InputError also if the frames' average is to know of motion.
    """
    if options.head == "average" and options.motion == "yes":
        raise InputError("head average scores each frame by itself and cannot use motion: take head pool, tcn or gru")
    moving = options.motion == "yes" or (options.motion == "auto" and options.head in ("tcn", "gru"))
    frame = make_network(options, classes, load=load, record=record)
    channels = CHANNELS if moving else 0
    with seeded(options.seed, "head"):
        head = HEADS[options.head](frame.head.in_features, channels, classes, options.dropout)
    return SequenceNetwork(frame, head, channels)


def check_frames(frames: Tensor, lengths: Tensor) -> None:
    """Raises InputError unless frames is (B, T, 3, S, S) uint8 and lengths (B,), each from 1 to T."""
    if frames.ndim != 5 or frames.shape[2] != 3 or frames.dtype != torch.uint8:
        raise InputError(f"frames must be (B, T, 3, S, S) uint8, got {tuple(frames.shape)} {frames.dtype}")
    if lengths.shape != frames.shape[:1]:
        raise InputError(f"lengths must be ({len(frames)},), one for each sequence, got {tuple(lengths.shape)}")
    if torch.compiler.is_compiling():
        return
    if len(lengths) and not 1 <= int(lengths.min()) <= int(lengths.max()) <= frames.shape[1]:
        raise InputError(f"lengths must be from 1 to {frames.shape[1]}, got {lengths.tolist()[:8]}")
