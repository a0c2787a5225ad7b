"""How a layer's output lies on the image: (B, K, h, w), (B, h, w, K), or tokens on a square grid behind some others."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where the channels and the places of an output are.

    kind    maps (B, K, h, w), last (B, h, w, K) or tokens (B, prefix + h w, K)
    prefix  tokens before those of the grid, such as a class token
    """

    kind: str
    prefix: int = 0

    def maps(self, output: Tensor) -> Tensor:
        """The output as (B, K, h, w), a view; tokens before the grid are left out."""
        if self.kind == "maps":
            return output
        if self.kind == "last":
            return output.permute(0, 3, 1, 2)
        tokens = output[:, self.prefix :]
        side = math.isqrt(tokens.shape[1])
        return tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)


def layout_of(output: Tensor, prefix: int) -> Layout | None:
    """The layout of an output for a square image; None if it has no places, or only one.

    prefix: tokens that the network has before those of its grid
    """
    if output.ndim == 4:
        _, first, second, third = output.shape
        # Images are square here, so a grid's two sides are equal.
        if second == third:
            return Layout("maps") if second > 1 else None
        return Layout("last") if first == second and first > 1 else None
    if output.ndim == 3:
        for before in dict.fromkeys((prefix, 0)):
            count = output.shape[1] - before
            if count > 1 and math.isqrt(count) ** 2 == count:
                return Layout("tokens", before)
    return None
