"""`resight features`: one table of features for a folder of images, any mix of methods in one pass."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.cli.progress import duration, progress
from resight.errors import InputError
from resight.features.config import EncoderConfig
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.tables.extract import ExtractReport

FAILURES_SHOWN = 5


def features(
    sources: tuple[str, ...],
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    with_: Annotated[tuple[str, ...], Parameter(name="--with")] = (),
    layers: Annotated[tuple[str, ...], Parameter(name="--layers")] = (),
    backbone: str = EncoderConfig.backbone,
    weights: str = EncoderConfig.weights,
    size: int | None = None,
    fit: Literal["squash", "crop", "longest"] | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
    device: str = EncoderConfig.device,
    encoder: Path | None = None,
    labels: str = "folder",
    strict: bool = False,
    json: bool = False,
) -> int:
    """Write a table with one row per image: path, label, split, size, sha256, status, then features.

    Run it again after an interruption, or when images were added: what is known is not computed twice. An image that
    cannot be read is a row with status failed and the reason.

    Parameters
    ----------
    sources
        Folders, globs, CSV lists (columns path, label, split) or images.
    out
        The table; its suffix is the format: .parquet, .csv, .arff, .npy or .json.
    with_
        What to compute, joined by commas: fractal, densesift, a descriptor (gem, gem:resnet50, gem:resnet50,p=4), a
        layer (layer:resnet50.layer3, with pool=avg|max|gem|flatten|cls and side=out|in); options follow their method.
    layers
        Layers of --backbone by name, joined by commas, without options: short for --with layer:NAME. `resight layers`
        lists them.
    backbone
        The network of methods that name none.
    weights
        package (PyPI, offline), hub (timm's, one download), a file's path, or random.
    size
        Side in pixels that networks see; default: the weights' native size.
    fit
        squash (to a square, the default), crop (centre, timm's rule) or longest (aspect kept, never enlarged).
    precision
        float32 or bfloat16.
    device
        auto, cpu, cuda or mps.
    encoder
        Folder of a run of `resight train embed`: the network of methods that name none. Its own descriptor (gem, if it
        was trained with gem) then comes with its projection; layers are those of the trained network.
    labels
        folder (an image's folder is its label), none, or csv:FILE (columns path, label).
    strict
        Exit with 1 if any image could not be read.
    json
        Print the result as JSON.
    """
    from resight.images import count_images
    from resight.tables.extract import extract

    if not sources:
        raise InputError("nothing to describe: give a folder, a glob, a CSV list or images")
    wanted = [*with_, *(f"layer:{name}" for text in layers for name in text.split(",") if name)]
    if not wanted:
        raise InputError("which features? for example --with fractal,gem or --layers global_pool")
    network = EncoderConfig(
        backbone, weights=weights, size=size, fit=fit or EncoderConfig.fit, precision=precision, device=device,
        encoder=None if encoder is None else str(encoder),
    )  # fmt: skip
    source = sources[0] if len(sources) == 1 else list(sources)
    with progress("describing", count_images(source)) as show:
        report = extract(source, out, wanted, network=network, labels=labels, progress=show)
    if json:
        print(json_module.dumps(report.as_dict(), indent=1))
    else:
        _print(report)
    useless = report.failed and not (report.extracted or report.reused)
    return 1 if useless or (strict and report.failed) else 0


def _print(report: ExtractReport) -> None:
    parts = [f"{report.extracted:,} computed"] if report.extracted or not report.reused else []
    parts += [f"{report.reused:,} known before"] if report.reused else []
    rate = f", {report.extracted / report.seconds:.1f} images/s" if report.extracted else ""
    print(f"{visible(report.path)}: {report.rows:,} rows x {report.columns:,} numbers "
          f"({', '.join(parts)}) in {duration(report.seconds)}{rate}")  # fmt: skip
    if report.ignored:
        print(f"  left out, not images by name: {', '.join(f'{count:,} {kind}' for kind, count in report.ignored[:6])}")
    if report.gaps:
        print(f"  {report.gaps:,} have no value (NaN) in some columns: at some scales no box fits into the image")
    if report.failed:
        print(f"  {report.failed:,} could not be read (rows with status failed):")
        for path, reason in report.failures[:FAILURES_SHOWN]:
            print(f"    {visible(path)}: {visible(reason)}")
        if report.failed > FAILURES_SHOWN:
            print(f"    ... and {report.failed - FAILURES_SHOWN:,} more")
