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
from resight.images import SUFFIXES
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.features.encoder import Encoder
    from resight.features.whitening import Whitening
    from resight.search import Collection
    from resight.search.adding import AddReport

FAILURES_SHOWN = 5
UNREADABLE = {"(unreadable folder)": "folders could not be read: no permission", "(broken link)": "broken links"}


def index(
    sources: tuple[str, ...],
    /,
    *,
    to: Path,
    encoder: Annotated[EncoderConfig | None, Parameter(name="*")] = None,
    whiten: int | None = None,
    whiten_from: Path | None = None,
    whiten_how: Literal["pca", "learned"] = "pca",
    part_whiten: int | None = None,
    part_whiten_from: Path | None = None,
    n_pca: int | None = None,
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
        Fit a whitening to this many dimensions afterwards; search then happens in that space.
    whiten_from
        Fit the whitening on this other collection instead (honest before an evaluation).
    whiten_how
        pca, or learned: from pairs of images that share a label. Needs --whiten.
    part_whiten
        For cam and rmac, when the collection is made: whiten each class vector or region to this many dimensions
        before they are summed.
    part_whiten_from
        The images that this is fitted on: a folder, glob or CSV list, not the images to be evaluated.
    n_pca
        For cam with --part-whiten: how many class vectors of each of those images it is fitted on, 1 if not given.
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
    groups = _grouped(sources)
    counts = [count_images(group) for group in groups]  # impossible sources are refused before anything is made
    if not any(counts):
        raise InputError(f"no images in {', '.join(sources)}: nothing was made")
    if whiten_from is not None and whiten is None:
        raise InputError("--whiten-from needs --whiten DIMENSIONS")
    if (part_whiten is None) != (part_whiten_from is None):
        raise InputError("--part-whiten DIMENSIONS and --part-whiten-from IMAGES belong together")
    if whiten_how != "pca" and whiten is None:
        raise InputError(f"--whiten-how {whiten_how} needs --whiten DIMENSIONS")
    if n_pca is not None:
        _check_n_pca(n_pca, part_whiten, to, encoder)
    with _collection(to, encoder, part_whiten, part_whiten_from, n_pca or 1) as photos:
        if whiten is not None:
            _check_whitening(photos, whiten, whiten_from, sum(counts))
        report = AddReport()
        for group, count in zip(groups, counts):
            name = Path(group).name or group if isinstance(group, str) else "images"
            with progress(f"indexing {name}", count) as show:
                report = report + photos.add(group, labels=labels, progress=show)
        if whiten is not None:
            _whiten(photos, whiten, whiten_from, whiten_how)
        total, whitening = len(photos), photos.whitening
    if json:
        print(json_module.dumps({**report.as_dict(), "images": total}, indent=1))
    else:
        summary(report, total, to)
        if whiten is not None and whitening is not None:
            what = "pairs of images" if whiten_how == "learned" else "images"
            print(f"  whitened to {whiten} dimensions, fitted on {whitening.fitted_on} ({whitening.sample:,} {what})")
    useless = report.failed and not (report.encoded or report.unchanged)
    unread = report.failed or any(kind in UNREADABLE for kind, _ in report.ignored)
    return 1 if useless or (strict and unread) else 0


def _check_n_pca(n_pca: int, part_whiten: int | None, to: Path, encoder: EncoderConfig | None) -> None:
    """Refuse it where it would do nothing."""
    from resight.search import Collection

    chosen = None if Collection.exists(to) else (encoder or EncoderConfig()).descriptor
    name = "cam" if chosen is None else chosen.partition(":")[0].strip().lower()
    if part_whiten is None or name != "cam":
        got = "no --part-whiten" if part_whiten is None else f"the descriptor {name}"
        raise InputError(f"--n-pca belongs to --part-whiten with the descriptor cam, got {got}: leave it out")
    if n_pca < 1:
        raise InputError(f"--n-pca must be at least 1, got {n_pca}")


def _grouped(sources: tuple[str, ...]) -> list[str | list[str]]:
    """The sources, with single images (a shell's wildcard gives thousands) taken together as one."""
    single = [source for source in sources if Path(source).suffix.lower() in SUFFIXES and Path(source).is_file()]
    if len(single) < 2:
        return list(sources)
    rest: list[str | list[str]] = [source for source in sources if source not in set(single)]
    return [*rest, single]


def _collection(
    to: Path, config: EncoderConfig | None, part_whiten: int | None, part_from: Path | None, n_pca: int
) -> Collection:
    from dataclasses import replace

    from resight.features.encoder import Encoder
    from resight.search import Collection
    from resight.search.upkeep import remember_encoder

    if part_whiten is not None and config is not None and config.encoder is not None:
        raise InputError("--part-whiten has no place beside --encoder, whose projection was trained without it: leave "
                         "one of them out")  # fmt: skip
    if not Collection.exists(to):
        encoder = Encoder.from_config(config or EncoderConfig())
        if part_whiten is not None and part_from is not None:
            encoder = Encoder.from_config(encoder.config, _part_whitening(encoder, part_whiten, part_from, n_pca))
        try:
            return Collection.create(to, encoder)
        except InputError:
            if not Collection.exists(to):  # if it does, another process was first: join it
                raise
    photos = Collection.open(to)
    fitted = photos.part_whitening
    if part_whiten is not None and (fitted is None or fitted.projection.shape[1] != part_whiten):
        photos.close()
        raise InputError(f"{to} was made with {'no' if fitted is None else 'another'} part whitening, which cannot be "
                         "changed: make a new collection")  # fmt: skip
    if config is not None:
        own = photos.config
        if replace(config, device=EncoderConfig.device) == EncoderConfig():
            config = replace(own, device=config.device)  # nothing but the device was asked for
        apart = _apart(own, config)
        if apart:
            photos.close()
            raise InputError(f"{to} was made with {', '.join(apart)}: leave the encoder's options out to add to it, "
                             "or make a new collection")  # fmt: skip
        given = photos.projection
        photos.close()
        photos = Collection.open(to, Encoder.from_config(config, fitted, projection=given))
        if config.encoder != own.encoder:
            remember_encoder(photos.store, photos.encoder)
    return photos


def _apart(own: EncoderConfig, config: EncoderConfig) -> list[str]:
    """What a collection's configuration says where another one says something else.

    The device does not matter, nor where a run lies: that it is the same run is checked when it is opened.
    """
    names = [name for name in vars(own) if name != "device"]
    if own.encoder is not None and config.encoder is not None:
        names = [name for name in names if name not in ("encoder", "weights")]
    return [f"{name} {getattr(own, name)!r}" for name in names if getattr(own, name) != getattr(config, name)]


def _part_whitening(encoder: Encoder, dim: int, source: Path, n_pca: int) -> Whitening:
    from resight.features.part_whitening import fit_part_whitening
    from resight.images import count_images, list_images

    images = (listing.path for listing in list_images(str(source)))
    with progress("fitting the part whitening", count_images(str(source))) as show:
        return fit_part_whitening(
            encoder, images, dim, per_image=n_pca, fitted_on=str(source.absolute()), progress=show
        )  # fmt: skip


def _check_whitening(photos: Collection, dim: int, source: Path | None, coming: int) -> None:
    """Refuse what cannot be done before hours of indexing, not after."""
    from resight.search import Collection

    available = len(photos) + coming
    if source is not None:
        with Collection.open(source) as other:
            available = len(other)
            if other.space != photos.space:
                raise InputError(f"{source} was made by another encoder: whitening cannot be carried over")
    if not 1 <= dim <= photos.dim:
        raise InputError(f"--whiten takes 1 to {photos.dim} dimensions, the length of the vectors; got {dim}")
    if dim >= available:
        raise InputError(f"whitening to {dim} dimensions needs more than {dim} images to fit on, there are at most "
                         f"{available:,}")  # fmt: skip


def _whiten(photos: Collection, dim: int, source: Path | None, how: str) -> None:
    from resight.search import Collection

    if source is None:
        photos.whiten(dim, how=how)
        return
    with Collection.open(source) as other:
        photos.whiten(dim, how=how, fitted_on=other)


def summary(report: AddReport, total: int, to: Path) -> None:
    """Say what was done, and what was not, in a few lines."""
    parts = [f"{report.added:,} added"]
    parts += [f"{report.updated:,} updated"] if report.updated else []
    parts += [f"{report.unchanged:,} unchanged"] if report.unchanged else []
    rate = f", {report.encoded / report.seconds:.0f} images/s" if report.encoded else ""
    print(f"{to}: {total:,} images ({', '.join(parts)}) in {duration(report.seconds)}{rate}")
    left = [(kind, count) for kind, count in report.ignored if kind not in UNREADABLE]
    if left:
        print(f"  left out, not images by name: {', '.join(f'{count:,} {kind}' for kind, count in left[:6])}")
    for kind, count in report.ignored:
        if kind in UNREADABLE:
            print(f"  {count:,} {UNREADABLE[kind]}")
    if report.failed:
        print(f"  {report.failed:,} could not be read (they stay listed: `resight info {to} --failed`):")
        for path, reason in report.failures[:FAILURES_SHOWN]:
            print(f"    {visible(path)}: {visible(reason)}")
        if report.failed > FAILURES_SHOWN:
            print(f"    ... and {report.failed - FAILURES_SHOWN:,} more")
    sys.stdout.flush()
