"""`resight info | sync | remove | verify`: look after a collection."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.show.text import visible


def info(
    collection: Path,
    /,
    *,
    failed: bool = False,
    notes: bool = False,
    json: bool = False,
) -> int:
    """What is in a collection.

    Parameters
    ----------
    collection
        The collection.
    failed
        List the images that could not be read, with the reason.
    notes
        List the images that were read in part, e.g. the first frame of an animation.
    json
        Print as JSON.
    """
    from resight.search import Collection

    with Collection.open(collection) as photos:
        facts = photos.info()
        if failed:
            facts["failures"] = [{"path": i.path, "error": i.error or ""} for i in photos.items(status="failed")]
        if notes:
            facts["notes"] = [{"path": i.path, "note": i.note} for i in photos.items(status="ok") if i.note]
    if json:
        print(json_module.dumps(facts, indent=1))
        return 0
    _print_info(facts)
    return 0


def _print_info(facts: dict[str, Any]) -> None:
    encoder, index, white = facts["encoder"], facts["index"], facts["whitening"]
    size = encoder["size"] or "native size"
    print(f"{facts['path']}")
    print(f"  images     {facts['images']:,}" + (f"  ({facts['failed']:,} failed)" if facts["failed"] else ""))
    print(f"  encoder    {encoder['backbone']}, {encoder['descriptor']}, {encoder['fit']} to {size}, "
          f"scales {', '.join(f'{s:g}' for s in encoder['scales'])}, {encoder['precision']}")  # fmt: skip
    if encoder.get("encoder"):
        print(f"  run        {visible(encoder['encoder'])}")
    print(f"  vectors    {facts['dim']} dimensions, embedding space {facts['space']}")
    if white:
        print(f"  whitening  to {white['dim']} dimensions, fitted on {white['fitted_on']} ({white['sample']:,} images)")
    kind = "exact" if index["kind"] == "exact" else f"{index['kind']}, measured recall@10 {index['recall']:.3f}"
    print(f"  index      {kind}; {index['bytes'] / 1e6:,.1f} MB on disk")
    for source in facts["sources"]:
        print(f"  source     {visible(source)}")
    for row in facts.get("failures", ()):
        print(f"  failed     {visible(row['path'])}: {visible(row['error'])}")
    for row in facts.get("notes", ()):
        print(f"  note       {visible(row['path'])}: {visible(row['note'])}")


def sync(
    collection: Path,
    /,
    *,
    forget_missing: bool = False,
    json: bool = False,
) -> int:
    """Bring a collection up to date with its folders: new, changed and vanished images.

    Parameters
    ----------
    collection
        The collection.
    forget_missing
        Remove the images of source folders that are missing altogether.
    json
        Print as JSON.
    """
    from resight.cli.index import summary
    from resight.cli.progress import progress
    from resight.images import count_images
    from resight.search import Collection
    from resight.search.syncing import root_of

    with Collection.open(collection) as photos:
        total = sum(count_images(source) for source in photos.sources if root_of(source).exists())
        with progress("syncing", total) as show:
            report = photos.sync(forget_missing_sources=forget_missing, progress=show)
        images = len(photos)
    if json:
        print(json_module.dumps({**report.as_dict(), "images": images}, indent=1))
    else:
        summary(report.added, images, collection)
        if report.removed:
            print(f"  {report.removed:,} vanished from disk and were removed")
    return 0


def remove(
    collection: Path,
    paths: tuple[str, ...] = (),
    /,
    *,
    label: str | None = None,
    path: str | None = None,
    json: bool = False,
) -> int:
    """Take images out of a collection; the files stay where they are.

    Parameters
    ----------
    collection
        The collection.
    paths
        Images, or folders whose images go.
    label
        Only images with this label.
    path
        Only images whose whole path matches this glob. All conditions given must hold.
    json
        Print as JSON.
    """
    from resight.search import Collection

    if not paths and label is None and path is None:
        raise InputError("nothing to remove: give paths, --label or --path")
    with Collection.open(collection) as photos:
        gone = photos.remove(paths, label=label, pattern=path)
        left = len(photos)
    if json:
        print(json_module.dumps({"removed": gone, "images": left}))
    else:
        print(f"{collection}: {gone:,} removed, {left:,} images left")
        if gone:
            print("  files that stay in an indexed folder come back with the next sync: move or delete them too")
    return 0


def verify(collection: Path, /, *, json: bool = False) -> int:
    """Check a collection's records, vectors and index; exits with 1 if something is wrong.

    Parameters
    ----------
    collection
        The collection.
    json
        Print as JSON.
    """
    from resight.search import Collection

    with Collection.open(collection) as photos:
        problems = photos.verify()
        images = len(photos)
    if json:
        print(json_module.dumps({"images": images, "problems": problems}, indent=1))
    elif not problems:
        print(f"{collection}: all well, {images:,} images")
    else:
        for problem in problems:
            print(f"{collection}: {problem}")
    return 1 if problems else 0
