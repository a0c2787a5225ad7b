"""What makes one answer of a sequence's frames: average of scores, pooling, temporal convolutions, a recurrent network.

Sequences in a batch may be of unequal length, filled up at the end; nothing behind a sequence's length has any
influence: a sequence gets the same logits alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 128  # of what a head computes with
KERNELS, DILATIONS = (3, 5, 7), (1, 2, 4)
MOTION_GAIN = 4.0


class Streams(nn.Module):
    """A frame's features and its motion, side by side, at sizes from which both are learned.

    features: how many of a frame's numbers are features (K); motion: how many behind them are motion (M), maybe 0

    Features are normalised (mean 0, variance 1 in each frame). Where there is motion they are divided by K^(1/4), and
    of motion the square root is taken, sign kept, times 4: a thousand features of size one would let a head know the
    training clips by heart before it has looked at fifty small numbers, and slow motion must not vanish beside fast.
    """

    def __init__(self, features: int, motion: int) -> None:
        super().__init__()
        self.features = features
        self.norm = nn.LayerNorm(features)
        self.calm = features**-0.25 if motion else 1.0

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, K + M) -> (B, T, K + M)."""
        motion = frames[..., self.features :]
        rooted = MOTION_GAIN * motion / motion.abs().clamp(min=1e-9).sqrt()  # whose slope at zero is finite
        return torch.cat([self.norm(frames[..., : self.features]) * self.calm, rooted], -1)


class Entry(nn.Module):
    """A frame's features and its motion -> WIDTH numbers; arguments as of `Streams`."""

    def __init__(self, features: int, motion: int, dropout: float) -> None:
        super().__init__()
        self.streams = Streams(features, motion)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(features + motion, WIDTH)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, K + M) -> (B, T, WIDTH)."""
        return functional.gelu(self.project(self.dropout(self.streams(frames))))


class Average(nn.Module):
    """One linear layer on every frame's features, then the mean of the frames' probabilities. Knows no motion."""

    def __init__(self, features: int, motion: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(features, classes)

    def pooled(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, K): the mean of the frames' features, although the last layer sees each frame."""
        seen = inside(frames, lengths)[..., None]
        return (frames[..., : self.features] * seen).sum(1) / lengths[:, None]

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, C) logits: their softmax is the mean of the frames' softmax."""
        return average(self.last(self.dropout(frames[..., : self.features])), lengths)


class Pool(nn.Module):
    """Mean and maximum over the frames, then one linear layer: the order of the frames does not count."""

    def __init__(self, features: int, motion: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.streams = Streams(features, motion)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(2 * (features + motion), classes)

    def pooled(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, 2 (K + M)): what the last layer sees."""
        return mean_and_maximum(self.streams(frames), lengths)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, C) logits."""
        found: Tensor = self.last(self.dropout(self.pooled(frames, lengths)))
        return found


class Tcn(nn.Module):
    """Blocks of temporal convolutions of several lengths, dilated more and more, then mean and maximum.

    Kernels of 3, 5 and 7 frames side by side in every block, dilations 1, 2, 4, residual: Martinez 2020, without its
    batch normalisation, which would mix a sequence with what fills up the others.
    """

    def __init__(self, features: int, motion: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.entry = Entry(features, motion, dropout)
        self.blocks = nn.ModuleList(Block(dilation, dropout) for dilation in DILATIONS)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(2 * WIDTH, classes)

    def pooled(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, 2 WIDTH): what the last layer sees."""
        seen = inside(frames, lengths)[..., None]
        found = self.entry(frames)
        for block in self.blocks:
            found = block(found * seen)
        return mean_and_maximum(found, lengths)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, C) logits."""
        found: Tensor = self.last(self.dropout(self.pooled(frames, lengths)))
        return found


class Block(nn.Module):
    """Convolutions over time with kernels of several lengths, their channels side by side, added to what came in."""

    def __init__(self, dilation: int, dropout: float) -> None:
        super().__init__()
        shares = [WIDTH // 3, WIDTH // 3, WIDTH - 2 * (WIDTH // 3)]
        self.scales = nn.ModuleList(
            nn.Conv1d(WIDTH, share, kernel, padding=dilation * (kernel // 2), dilation=dilation)
            for kernel, share in zip(KERNELS, shares, strict=True)
        )
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, WIDTH), zero where there is no frame -> (B, T, WIDTH)."""
        along = frames.transpose(1, 2)
        found = torch.cat([scale(along) for scale in self.scales], 1).transpose(1, 2)
        added: Tensor = self.dropout(functional.gelu(self.norm(found)))
        return frames + added


class Gru(nn.Module):
    """A recurrent network forwards and one backwards (Cho 2014), then mean and maximum of what both say."""

    def __init__(self, features: int, motion: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.entry = Entry(features, motion, dropout)
        self.forwards = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.backwards = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(4 * WIDTH, classes)

    def pooled(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, 4 WIDTH): what the last layer sees."""
        found = self.entry(frames)
        ahead, _ = self.forwards(found)
        back, _ = self.backwards(reverse(found, lengths))
        return mean_and_maximum(torch.cat([ahead, reverse(back, lengths)], -1), lengths)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, K + M), (B,) -> (B, C) logits."""
        found: Tensor = self.last(self.dropout(self.pooled(frames, lengths)))
        return found


# Each is made of: a frame's features, numbers on its motion behind them (0: none), classes, dropout.
HEADS: dict[str, Callable[[int, int, int, float], nn.Module]] = {
    "average": Average,
    "pool": Pool,
    "tcn": Tcn,
    "gru": Gru,
}


def average(logits: Tensor, lengths: Tensor) -> Tensor:
    """Logits of a sequence of which the softmax is the mean of its frames' softmax.

    logits: (B, T, C); lengths: (B,)
    ->      (B, C)     log(1/T sum_t softmax(logits_t))
    """
    each = logits.log_softmax(-1).masked_fill(~inside(logits, lengths)[..., None], -torch.inf)
    return each.logsumexp(1) - lengths.to(logits.dtype).log()[:, None]


def mean_and_maximum(frames: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, K) -> (B, 2 K), over each sequence's own frames."""
    seen = inside(frames, lengths)[..., None]
    mean = (frames * seen).sum(1) / lengths[:, None]
    return torch.cat([mean, frames.masked_fill(~seen, -torch.inf).amax(1)], 1)


def reverse(frames: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence backwards, what fills it up still behind it: (B, T, K) -> (B, T, K).

    >>> reverse(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([2]))[0, :, 0].tolist()
    [2.0, 1.0, 0.0]
    """
    place = torch.arange(frames.shape[1], device=frames.device)[None]
    back = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
    return frames.gather(1, back[..., None].expand(-1, -1, frames.shape[2]))


def inside(frames: Tensor, lengths: Tensor) -> Tensor:
    """(B, T) bool: which places of the batch are frames of a sequence."""
    return torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
