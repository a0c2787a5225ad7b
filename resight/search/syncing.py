"""Bring a store up to date with the files it came from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.errors import InputError
from resight.features.encoder import Encoder
from resight.images import Listing, list_images
from resight.search.adding import AddReport, Progress, add
from resight.search.store import Item, Store, Where


@dataclass(frozen=True)
class SyncReport:
    """What `sync` did: the images it added or updated, and how many vanished ones it removed."""

    added: AddReport
    removed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.added.as_dict(), "removed": self.removed}


def root_of(source: str) -> Path:
    """The folder that must exist for a source to be there: the part of a glob before its first wildcard."""
    path = Path(source)
    if path.exists():
        return path
    parts = path.parts
    plain = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts))
    return Path(*parts[:plain])


def missing_sources(sources: Mapping[str, str]) -> list[str]:
    """Sources that are not there at all, perhaps on an unplugged disk."""
    return [name for name in sources if not root_of(name).exists()]


def state_of_file(item: Item) -> str:
    """ "same", "changed" or "gone" since the image was described; an unreachable file counts as the same."""
    if not item.sha256 and item.status == "ok":
        return "same"  # came as a vector, not from a file
    try:
        stat = os.stat(item.path)
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    except (OSError, ValueError):
        return "same"
    return "same" if (stat.st_size, stat.st_mtime_ns) == (item.size, item.mtime_ns) else "changed"


def sync(store: Store, encoder: Encoder, sources: Mapping[str, str], progress: Progress | None) -> SyncReport:
    """Add what is new or changed in the sources, then see to images that came one by one, and remove what vanished.

    sources: {folder, glob or list: how its images are labelled}
    """
    report = AddReport()
    for name, labels in sources.items():
        ignored: Counter[str] = Counter()
        try:
            listings = list_images(name, labels=labels, ignored=ignored)
            report = report + add(store, encoder, listings, ignored, progress, empty_ok=True)
        except InputError:
            if Path(name).exists():
                raise
            # a glob that matches nothing any more: its images have vanished
    gone, changed = [], []
    for item in store.scan(Where()):
        state = state_of_file(item)
        if state == "gone":
            gone.append(item.id)
        elif state == "changed":
            changed.append(Listing(Path(item.path)))
    if changed:
        report = report + add(store, encoder, changed, Counter(), progress)
    return SyncReport(added=report, removed=store.remove(gone) if gone else 0)
