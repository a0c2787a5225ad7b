"""`resight layers`: the layers of a network by name, for `resight features --with layer:...`."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import InputError

if TYPE_CHECKING:
    from resight.models.taps import Layer


def layers(
    model: str = "tf_efficientnet_lite0",
    /,
    *,
    match: str | None = None,
    depth: int | None = None,
    weights: Path | str = "random",
    size: int | None = None,
    json: bool = False,
) -> int:
    """The layers of a network in the order in which an image passes them, with what comes out of each.

    Parameters
    ----------
    model
        Name of a timm network, e.g. resnet50.
    match
        Only names that match this pattern, e.g. 'layer3.*'.
    depth
        Only names of at most this many parts: 1 for the main blocks.
    weights
        Shapes do not depend on them; a file of weights may have a head for other classes.
    size
        Side of the image in pixels; default: the weights' native size.
    json
        Print as JSON.
    """
    from resight.models.backbone import Backbone
    from resight.models.taps import list_layers

    if depth is not None and depth < 1:
        raise InputError(f"--depth must be at least 1, got {depth}")
    backbone = Backbone(model, weights=str(weights), device="cpu", fold=False)
    found = [
        layer
        for layer in list_layers(backbone, size)
        if (match is None or fnmatchcase(layer.name, match)) and (depth is None or layer.name.count(".") < depth)
    ]
    if not found:
        raise InputError(f"no layer of {model} matches {match!r}: run it without --match to see all")
    if json:
        print(json_module.dumps([asdict(layer) for layer in found], indent=1))
        return 0
    _print(found, model, size or backbone.preprocessing.size)
    return 0


def _print(found: list[Layer], model: str, side: int) -> None:
    wide = max(len(layer.name) for layer in found)
    kinds = max(len(layer.kind) for layer in found)
    print(f"{model}, one image of {side} x {side}")
    for layer in found:
        shape = " x ".join(map(str, layer.gives)) or "-"
        print(f"  {layer.name:<{wide}}  {layer.kind:<{kinds}}  {shape:>16}  {layer.parameters:>12,}")
    print(f"\nname, class, what comes out, parameters; in a table: resight features FOLDER "
          f"--with layer:{model}.{found[-1].name} -o out.parquet")  # fmt: skip
