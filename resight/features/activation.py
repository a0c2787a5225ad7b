"""Class-weighted descriptors: one vector per class from its activation map, then their sum (Jimenez 2017)."""

from __future__ import annotations

import torch

from resight.errors import InputError
from resight.features.crossweight import channel_weight, weighted_sums
from resight.features.maps import as_maps, unit


def cam(
    maps: torch.Tensor,
    head_weight: torch.Tensor,
    classes: torch.Tensor | None = None,
    count: int = 64,
    logits: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum of the class vectors of each image's own classes ("offline" in the paper), or of those given.

    maps:        (B, K, H, W)   what the head pools and classifies
    head_weight: (C, K)         the weight of the linear head, without its bias
    classes:     (B, n) or (n,) whole numbers; if not given, the `count` classes with the highest logits
    count:       at least 1; all C classes if there are fewer
    logits:      (B, C)         if not given, mean_ij X_ij times head_weight, which leaves the head's bias out
    ->           (B, K)         L2-normalised

    D = sum_c F_c with F_c from `class_vectors`. Jimenez 2017, without the PCA of each class vector:
    apply that to `class_vectors`. Equal logits go to the lower class.
    Raises InputError if shapes do not fit, a class is not in 0..C-1, or count is below 1.

    >>> cam(torch.ones(2, 3, 4, 4), torch.eye(5, 3), count=2).shape
    torch.Size([2, 3])
    """
    maps = as_maps(maps)
    if classes is None:
        classes = top_classes(head_logits(maps, head_weight) if logits is None else logits, count)
    return unit(class_vectors(maps, class_maps(maps, head_weight, classes)).sum(1))


def head_logits(maps: torch.Tensor, head_weight: torch.Tensor) -> torch.Tensor:
    """The linear head applied to the mean of the map, without bias: the sum of each class's activation map.

    maps: (B, K, H, W);  head_weight: (C, K)
    ->    (B, C)

    Zhou 2016, eq. 1. Raises InputError if the channels do not fit.

    >>> head_logits(torch.ones(1, 2, 3, 3), torch.tensor([[1.0, 2.0]])).tolist()
    [[3.0]]
    """
    maps = as_maps(maps)
    weight = _head(head_weight, maps)
    with torch.autocast(maps.device.type, enabled=False):
        return maps.mean((2, 3)) @ weight.T


def top_classes(logits: torch.Tensor, count: int = 64) -> torch.Tensor:
    """The classes with the highest logits, highest first, the lower class first among equals.

    logits: (B, C)
    ->      (B, min(count, C))   whole numbers

    Raises InputError if logits is not (B, C) or count is below 1.

    >>> top_classes(torch.tensor([[1.0, 5.0, 5.0]]), 2).tolist()
    [[1, 2]]
    """
    if logits.ndim != 2:
        raise InputError(f"logits must be (B, C), got shape {tuple(logits.shape)}")
    if count < 1:
        raise InputError(f"count of cam must be at least 1, got {count}")
    if torch.compiler.is_exporting():  # ONNX has no stable sort; its TopK takes the lower class first
        return logits.topk(min(count, logits.shape[1]), dim=1).indices
    return logits.argsort(dim=1, descending=True, stable=True)[:, :count]


def class_maps(source: torch.Tensor, head_weight: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Class activation maps: where in the image the evidence for each class lies.

    source:      (B, K, H, W)
    head_weight: (C, K)
    classes:     (B, n), or (n,) for the same classes in every image
    ->           (B, n, H, W)   in [0, 1]; all zero where a class has no positive evidence

    CAM_c = relu(sum_k X_k w_kc) / max. Zhou 2016, eq. 2, without bias. All classes in one matrix product.
    Raises InputError if shapes do not fit or a class is not in 0..C-1.

    >>> class_maps(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[3.0], [-1.0]]), torch.tensor([0, 1])).tolist()
    [[[[0.5, 1.0]], [[0.0, 0.0]]]]
    """
    source = as_maps(source)
    weight = _head(head_weight, source)
    images, _, height, width = source.shape
    chosen = weight[_classes(classes, images, len(weight)).to(weight.device)]
    with torch.autocast(source.device.type, enabled=False):
        evidence = torch.bmm(chosen, source.flatten(2)).relu()
    peak = evidence.amax(2, keepdim=True)
    return (evidence / torch.where(peak > 0, peak, 1.0)).view(images, chosen.shape[1], height, width)


def class_vectors(maps: torch.Tensor, cams: torch.Tensor) -> torch.Tensor:
    """One vector per class: the map summed with the class's activation map as weight.

    maps: (B, K, H, W)   the descriptor's layer; it may have other channels than the one the CAMs come from
    cams: (B, n, H, W)   from `class_maps`
    ->    (B, n, K)      each L2-normalised, zero for an all-zero CAM

    f_k^c = CW_k * sum_ij X_kij CAM^c_ij, F_c = f / ||f||, with the CroW channel weight CW of these maps: give the
    crop's maps and CAMs for a query with a box. Jimenez 2017.
    Raises InputError if images or places differ.

    >>> class_vectors(torch.ones(1, 2, 1, 3), torch.ones(1, 4, 1, 3))[0, 0].tolist()
    [0.7071067690849304, 0.7071067690849304]
    """
    maps, cams = as_maps(maps), as_maps(cams)
    if maps.shape[0] != cams.shape[0] or maps.shape[2:] != cams.shape[2:]:
        raise InputError(
            f"maps and class activation maps must agree in B, H, W, got {tuple(maps.shape)} and {tuple(cams.shape)}"
        )
    return unit(weighted_sums(maps, cams) * channel_weight(maps)[:, None])


def _head(head_weight: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    channels = maps.shape[1]
    if head_weight.ndim != 2 or head_weight.shape[1] != channels or len(head_weight) == 0:
        raise InputError(
            f"the head's weight must be (C, K) with K = {channels} as the feature map, "
            f"got shape {tuple(head_weight.shape)}"
        )
    return head_weight.to(maps)


def _classes(classes: torch.Tensor, images: int, known: int) -> torch.Tensor:
    """(B, n) from (B, n) or (n,). The range is checked here: past it, a GPU would abort the process."""
    if classes.is_floating_point() or classes.dtype == torch.bool:
        raise InputError(f"classes must be whole numbers, got {classes.dtype}")
    if classes.ndim == 1:
        classes = classes.expand(images, -1)
    if classes.ndim != 2 or classes.shape[0] != images or classes.shape[1] == 0:
        raise InputError(
            f"classes must be (B, n) or (n,) with B = {images} and n >= 1, got shape {tuple(classes.shape)}"
        )
    if torch.compiler.is_exporting():
        return classes.long()  # an exported graph cannot ask for numbers
    if images and not 0 <= int(classes.min()) <= int(classes.max()) < known:
        raise InputError(f"classes must be in 0..{known - 1}, got {int(classes.min())}..{int(classes.max())}")
    return classes.long()
