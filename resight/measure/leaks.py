"""Whether something was fitted on the very images that are evaluated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resight.errors import InputError
from resight.images import list_images
from resight.images.rows import read_rows

if TYPE_CHECKING:
    from resight.features.whitening import Whitening
    from resight.search import Collection

ITSELF = "itself"
SPLIT, LEARNED_PARTS = "split.csv", ("train", "val")  # of the run of an encoder
UNKNOWN = "unknown: not recorded"


def refuse_leak(photos: Collection, allowed: bool) -> bool | str:
    """True if a whitening was fitted on images of this collection, by what their files hold, or the network of a run
    was trained on some, by where they lie; UNKNOWN if nobody knows.

    The whitening's own record counts (`Whitening.seen`). One that was stored without such a record, or fitted on
    vectors without files, is looked up where it says it was fitted, and is UNKNOWN if nothing is found there.
    Raises InputError for a leak, unless `allowed`.
    """
    unknown = False
    for what, whitening in (("whitening", photos.whitening), ("part whitening", photos.part_whitening)):
        if whitening is None:
            continue
        known, shared = _recorded(photos, whitening)
        if whitening.fitted_on == ITSELF:
            known, shared = True, None
        elif not known and not shared:
            shared = shared_images(photos, Path(whitening.fitted_on))
        if shared == 0:
            unknown |= not known
            continue
        if allowed:
            return True
        where = (
            "the very images to be evaluated" if shared is None else
            f"{whitening.fitted_on or 'images not named'}, which holds {shared:,} of the images to be evaluated"
        )  # fmt: skip
        raise InputError(
            f"the {what} of {photos.path.name} was fitted on {where}; fit it on others "
            "(resight index --whiten N --whiten-from OTHER) or say --allow-leak to report the score with that remark"
        )
    if _trained_on(photos, allowed):
        return True
    return UNKNOWN if unknown else False


def _trained_on(photos: Collection, allowed: bool) -> bool:
    """Whether the network was trained on images of this collection: of a run by where they lie, see its split.csv.

    Raises InputError if so, unless `allowed`.
    """
    folder = photos.encoder.config.encoder
    if folder is None:
        return False
    file, seen = Path(folder) / SPLIT, set()
    if file.is_file():
        for _, row in read_rows(file, ["path", "label", "part"]):
            if row["part"] in LEARNED_PARTS:
                seen.add(os.path.abspath(Path(folder) / row["path"]))
    shared = sum(str(item.path) in seen for item in photos.items(status="ok"))
    if shared and not allowed:
        raise InputError(
            f"the encoder of {photos.path.name} was trained on {shared:,} of the images to be evaluated ({file}); "
            "evaluate images that it has not seen, or say --allow-leak to report the score with that remark"
        )
    return bool(shared)


def leak_text(leak: bool | str) -> str:
    """A leak as the remark behind a whitening; "" if there is none.

    >>> leak_text(UNKNOWN)
    ' - leak unknown: not recorded'
    """
    if isinstance(leak, str):
        return f" - leak {leak}"
    return " - LEAK: fitted on the evaluated images" if leak else ""


def _recorded(photos: Collection, whitening: Whitening) -> tuple[bool, int | None]:
    """Whether it is known of every image if the whitening has seen it, and how many it has seen."""
    if whitening.seen is None:
        return False, 0
    digests = [item.sha256 for item in photos.items(status="ok")]
    own = [int(digest[:16], 16) for digest in digests if digest]
    shared = int(np.isin(np.array(own, np.uint64), whitening.seen[whitening.seen > 0]).sum())
    return len(own) == len(digests) and 0 not in whitening.seen, shared


def shared_images(photos: Collection, source: Path) -> int:
    """How many images of `photos` are also, byte for byte, in the collection `source`, or among those it lists.

    source: a collection, or a folder, glob or CSV list, whose images are compared by where they lie
    ->      0 where it is no longer there to be looked at, or a name that is no absolute path
    """
    from resight.search import Collection

    if not source.is_absolute():
        return 0
    if Collection.exists(source):
        with Collection.open(source) as other:
            theirs = {item.sha256 for item in other.items(status="ok") if item.sha256}
        return sum(item.sha256 in theirs for item in photos.items(status="ok"))
    try:
        listed = [str(listing.path) for listing in list_images(str(source))]
    except InputError:
        return 0
    folders: dict[str, str] = {}
    places = {_place(path, folders) for path in listed}
    return sum(_place(item.path, folders) in places for item in photos.items(status="ok"))


def _place(path: str, folders: dict[str, str]) -> str:
    """The path with links among its folders followed, which are looked up once."""
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.join(folders[folder], name)


def whitening_text(photos: Collection) -> str:
    """The whitening of a collection in words: its length and what it was fitted on, or "none"."""
    parts = []
    for name, whitening in (("", photos.whitening), ("of parts: ", photos.part_whitening)):
        if whitening is not None:
            # Without its folder: two machines then say the same.
            source = Path(whitening.fitted_on).name or whitening.fitted_on or "images not named"
            parts.append(f"{name}{whitening.projection.shape[1]} dimensions, fitted on {source}")
    return "; ".join(parts) or "none"
