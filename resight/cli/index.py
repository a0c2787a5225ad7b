"""`resight index`: describe images and add them to a collection."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from resight.cli.progress import duration, progress
from resight.errors import InputError
from resight.features.config import EncoderConfig

if TYPE_CHECKING:
    from resight.search import Collection
    from resight.search.adding import AddReport

FAILURES_SHOWN = 5


def index(
    sources: tuple[str, ...],
    /,
    *,
    to: Path,
    encoder: Annotated[EncoderConfig | None, Parameter(name="*")] = None,
    whiten: int | None = None,
    whiten_from: Path | None = None,
    labels: Literal["folder", "none"] = "folder",
    strict: bool = False,
    json: bool = False,
) -> int:
    """Describe images and add them to a collection.

    Run it again to add more, or to go on after an interruption: unchanged images are not described twice.

    Parameters
    ----------
    sources
        Folders, globs, CSV lists (columns path, label) or images.
    to
        The collection, e.g. pictures.resight; made if it is not there.
    whiten
        Fit PCA-whitening to this many dimensions afterwards; search then happens in that space.
    whiten_from
        Fit the whitening on this other collection instead (honest before an evaluation).
    labels
        Label images by their subfolder's name, or not at all.
    strict
        Exit with 1 if any image could not be read.
    json
        Print the result as JSON.
    """
    from resight.images import count_images
    from resight.search.adding import AddReport

    if not sources:
        raise InputError("nothing to index: give a folder, a glob, a CSV list or images")
    counts = [count_images(source) for source in sources]  # impossible sources are refused before anything is made
    if not any(counts):
        raise InputError(f"no images in {', '.join(sources)}: nothing was made")
    if whiten_from is not None and whiten is None:
        raise InputError("--whiten-from needs --whiten DIMENSIONS")
    with _collection(to, encoder) as photos:
        report = AddReport()
        for source, count in zip(sources, counts):
            with progress(f"indexing {Path(source).name or source}", count) as show:
                report = report + photos.add(source, labels=labels, progress=show)
        if whiten is not None:
            _whiten(photos, whiten, whiten_from)
        total = len(photos)
    if json:
        print(json_module.dumps({**report.as_dict(), "images": total}, indent=1))
    else:
        summary(report, total, to)
    useless = report.failed and not (report.encoded or report.unchanged)
    return 1 if useless or (strict and report.failed) else 0


def _collection(to: Path, config: EncoderConfig | None) -> Collection:
    from dataclasses import replace

    from resight.features.encoder import Encoder
    from resight.search import Collection

    if not Collection.exists(to):
        return Collection.create(to, Encoder.from_config(config or EncoderConfig()))
    photos = Collection.open(to)
    if config is not None:
        own = photos.config
        if replace(config, device=own.device) != own:
            photos.close()
            apart = [f"{k} {getattr(own, k)!r}" for k in vars(own) if getattr(own, k) != getattr(config, k)]
            raise InputError(f"{to} was made with {', '.join(apart)}: leave the encoder's options out to add to it, "
                             "or make a new collection")  # fmt: skip
        photos.close()
        return Collection.open(to, Encoder.from_config(config))
    return photos


def _whiten(photos: Collection, dim: int, source: Path | None) -> None:
    from resight.search import Collection

    if source is None:
        photos.whiten(dim)
        return
    with Collection.open(source) as other:
        photos.whiten(dim, fitted_on=other)


def summary(report: AddReport, total: int, to: Path) -> None:
    """Say what was done, and what was not, in a few lines."""
    parts = [f"{report.added:,} added"]
    parts += [f"{report.updated:,} updated"] if report.updated else []
    parts += [f"{report.unchanged:,} unchanged"] if report.unchanged else []
    rate = f", {report.encoded / report.seconds:.0f} images/s" if report.encoded else ""
    print(f"{to}: {total:,} images ({', '.join(parts)}) in {duration(report.seconds)}{rate}")
    if report.ignored:
        kinds = ", ".join(f"{count:,} {suffix or 'without suffix'}" for suffix, count in report.ignored[:6])
        print(f"  left out, not images by name: {kinds}")
    if report.failed:
        print(f"  {report.failed:,} could not be read (they stay listed: `resight info {to} --failed`):")
        for path, reason in report.failures[:FAILURES_SHOWN]:
            print(f"    {path}: {reason}")
        if report.failed > FAILURES_SHOWN:
            print(f"    ... and {report.failed - FAILURES_SHOWN:,} more")
    sys.stdout.flush()
