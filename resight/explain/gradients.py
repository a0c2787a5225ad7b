"""Class activation maps from gradients: what a layer gives times what the score owes to it.

All take activations and gradients of one layer, (B, K, h, w), and give signed maps (B, h, w) before any ReLU; a picture
shows what is above 0.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

GradientMap = Callable[[Tensor, Tensor], Tensor]


def gradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Channels weighted by their mean gradient. Selvaraju 2017, eq. 1 and 2 without the ReLU.

    >>> import torch
    >>> gradcam(torch.ones(1, 2, 1, 1), torch.tensor([[[[2.0]], [[-1.0]]]])).tolist()
    [[[1.0]]]
    """
    return _weighted(activations, gradients.mean((2, 3)))


def gradcam_pp(activations: Tensor, gradients: Tensor) -> Tensor:
    """Channels weighted by their positive gradients, each place's by alpha. Chattopadhay 2018, eq. 11 and 19.

    alpha = g^2 / (2 g^2 + S g^3) = 1 / (2 + S g) with S the channel's sum, for the exponential of the score: no small
    constant is needed, which would decide the map wherever gradients are small. A channel whose sum is so far below 0
    that 2 + S g is not above 0 lies outside of what the derivation holds for, and gets no weight there.
    """
    total = activations.sum((2, 3), keepdim=True)
    below = 2 + total * gradients
    counted = (gradients > 0) & (below > 0)
    alpha = counted / below.masked_fill(~counted, 1)
    return _weighted(activations, (alpha * gradients).sum((2, 3)))


def xgradcam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Channels weighted by their gradients' mean over places, each place counted as it is active. Fu 2020, eq. 8.

    A channel that sums to 0 has no such mean; it gets that of Grad-CAM.
    """
    total = activations.sum((2, 3))
    inside = (activations * gradients).sum((2, 3))
    live = total != 0
    return _weighted(activations, (inside / total.masked_fill(~live, 1)).where(live, gradients.mean((2, 3))))


def layercam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Each place weighted by its own positive gradient. Jiang 2021, eq. 5 and 6 without the ReLU."""
    return (activations * gradients.clamp(min=0)).sum(1)


def hirescam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Each place weighted by its own gradient: for a linear head its exact share of the score. Draelos 2020, eq. 5."""
    return (activations * gradients).sum(1)


def _weighted(activations: Tensor, weights: Tensor) -> Tensor:
    """(B, K, h, w), (B, K) -> (B, h, w)."""
    return (activations * weights[:, :, None, None]).sum(1)


GRADIENT_MAPS: dict[str, GradientMap] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_pp,
    "xgrad": xgradcam,
    "layercam": layercam,
    "hires": hirescam,
}
