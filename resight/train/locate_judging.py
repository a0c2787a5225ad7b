"""How far marked pixels are from those that were to be marked: the loss, and the IoU."""

from __future__ import annotations

import torch
from torch import Tensor

MARKED = 0.5  # probability from which a pixel is marked


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - (2 TP + 1) / (2 TP + FN + FP + 1), of all pixels of a batch together.

    logits: (B, 1, S, S), whose sigmoid p is the share of a pixel that counts as marked
    masks:  (B, 1, S, S) bool m;  TP = sum p m, FP = sum p (1 - m), FN = sum (1 - p) m
    ->      () float32, 0 .. 1

    The soft F1 score of all samples together, so that those with nothing to mark count (Milletari 2016, smoothed by 1).

    >>> float(dice_loss(torch.full((1, 1, 2, 2), -99.0), torch.zeros(1, 1, 2, 2, dtype=torch.bool)))
    0.0
    """
    marked, wanted = logits.float().sigmoid(), masks.float()
    right = (marked * wanted).sum()
    wrong = (marked * (1 - wanted)).sum() + ((1 - marked) * wanted).sum()
    return 1 - (2 * right + 1) / (2 * right + wrong + 1)


def mask_ious(logits: Tensor, masks: Tensor) -> Tensor:
    """The IoU of each sample, pixels marked from probability 0.5 on.

    logits: (B, 1, S, S);  masks: (B, 1, S, S) bool
    ->      (B,) float32; where nothing is to be marked 1 if nothing is, else 0

    >>> mask_ious(torch.tensor([[[[3.0, 3.0, -3.0]]]]), torch.tensor([[[[True, False, True]]]])).tolist()
    [0.3333333432674408]
    """
    marked = logits.float().sigmoid() >= MARKED
    common, either = (marked & masks).flatten(1).sum(1), (marked | masks).flatten(1).sum(1)
    return torch.where(either > 0, common / either.clamp(min=1), torch.ones((), device=logits.device))
