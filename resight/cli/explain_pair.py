"""`resight explain --pair`: what makes two images alike."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import InputError
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.explain.pairs import Pair
    from resight.features.encoder import Encoder
    from resight.search import Collection
    from resight.show.heat import HeatStyle

SHEET, LINES = "pair.png", "matches.png"


def pair_images(
    images: Sequence[str], out: Path, style: HeatStyle, in_: Path | None, model: str, descriptor: str, weights: str,
    device: str, json: bool, box: str | None = None, run: Path | None = None,
) -> int:  # fmt: skip
    """Explain the likeness of two images, or of a box of the first; returns the exit code."""
    from resight.cli.search import parse_box, tell_clipped
    from resight.explain.pairs import explain_pair
    from resight.images import list_images, read_image
    from resight.search import Collection
    from resight.show import save_picture
    from resight.show.heat_folder import HeatFolder
    from resight.show.matches import matches_picture

    paths = [listing.path for one in images for listing in list_images(one, labels="none")]
    if len(paths) != 2:
        raise InputError(f"--pair takes two images, got {len(paths)}")
    region = None if box is None else parse_box(box)
    with ExitStack() as stack:
        source, encoder = _source(stack, in_, run, model, descriptor, weights, device)
        used, pair = encoder.config, explain_pair(paths[0], paths[1], source, boxes=(region, None))
        means = ["projection"] if encoder.projection is not None else []
        means += ["whitening"] if isinstance(source, Collection) and source.whitening is not None else []
    if region is not None:
        region = tell_clipped(paths[0], region)
    about = {"model": used.backbone, "descriptor": used.descriptor, **_facts(pair)}
    if region is not None:
        about["box"] = list(region)
    if in_ is not None:
        about["collection"] = str(in_)
    if used.encoder is not None:
        about["encoder"] = used.encoder
    settings = {
        "model": model, "weights": weights, "descriptor": descriptor, "pair": [str(path) for path in paths],
        "collection": None if in_ is None else str(in_), "box": region,
        **({} if run is None else {"encoder": used.encoder}),
    }  # fmt: skip
    with HeatFolder(out, style, about, settings) as folder:
        rows = list(zip(paths, pair.heats, pair.constants, strict=True))
        for path, heat, constant in rows[folder.done :]:
            folder.add(path, [heat], read_image(path), more=[{"constant": constant}])
        pair.sheet(out / SHEET)
        if pair.matches is not None:
            points = pair.matches.query, pair.matches.result
            save_picture(matches_picture(paths[0], paths[1], *points, box_a=region), out / LINES)
    if json:
        print(json_module.dumps({**folder.manifest(), "folder": str(out)}, indent=1))
    else:
        where = "" if region is None else f" in box {','.join(f'{side:g}' for side in region)}"
        projected = f", projected by the run {visible(used.encoder)}" if used.encoder is not None else ""
        described = f"{used.descriptor} of {used.backbone}{projected}"
        _print(pair, paths, where, described, means, out)
    return 0


def _source(
    stack: ExitStack, in_: Path | None, run: Path | None, model: str, descriptor: str, weights: str, device: str
) -> tuple[Encoder | Collection, Encoder]:
    """What is explained, and its encoder."""
    if in_ is not None:
        from resight.search import Collection

        photos = stack.enter_context(Collection.open(in_))
        return photos, photos.encoder
    from resight.features.encoder import Encoder
    from resight.models.trained import is_trained, run_task

    if run is None and (is_trained(model) or run_task(model)[0]):
        raise InputError(f"--model {model} beside --pair takes a network by its name: give a run of `resight train "
                         "embed` as --encoder")  # fmt: skip
    if run is not None:
        encoder = Encoder.open(run, device=device)
    else:
        encoder = Encoder(model, descriptor=descriptor, weights=weights, device=device)
    return encoder, encoder


def _facts(pair: Pair) -> dict[str, Any]:
    if pair.matches is None:
        return {"score": pair.score, "matches": 0, "sheet": SHEET}
    return {"score": pair.score, "matches": len(pair.matches.query), "sheet": SHEET, "lines": LINES}


def _print(pair: Pair, paths: list[Path], where: str, described: str, means: list[str], out: Path) -> None:
    first, second = f"{visible(str(paths[0]))}{where}", visible(str(paths[1]))
    print(f"{pair.score:.3f}   {first} and {second}, by {described}")
    which = f"mean{'s' if len(means) > 1 else ''} of the {' and the '.join(means)}"
    for path, heat, constant in zip((first, second), pair.heats, pair.constants, strict=True):
        rest = f", and {constant:.3f} that belongs to no place (the {which})" if constant else ""
        print(f"  {heat.total:.3f} from the places of {path}{rest}")
    names = SHEET
    if pair.matches is not None:
        names += f", {LINES}"
        print(f"  {len(pair.matches.query):,} points of both agree on one homography: {LINES}")
    print(f"wrote {visible(str(out))}: a map of each, {names}, maps (.npy) and manifest.json")
