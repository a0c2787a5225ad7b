"""What lies below a folder: images, videos, the sequences among them, and what is left out, by kind and name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from resight.errors import WorkError
from resight.images.listing import SUFFIXES
from resight.images.places import is_there
from resight.images.video import VIDEO_SUFFIXES

FOLDER, FILE = "folder", "file"
# Kinds of what is left out, beside suffixes; the first four as `list_images` has them.
HIDDEN, NO_SUFFIX, SPECIAL, SEEN = "(hidden)", "(no suffix)", "(not a file)", "(folder seen before)"
BROKEN, LOCKED = "(broken link)", "(unreadable folder)"
LOOSE, HOLLOW = "(image that is in no folder of frames)", "(folder without frames)"
# Those that somebody may have wanted in, and what notes call them.
MISSED = {
    BROKEN: "broken links", LOCKED: "folders that cannot be read", LOOSE: "images that are in no folder of frames",
    HOLLOW: "folders without frames",
}  # fmt: skip
NAMED = 3

LeftOut: TypeAlias = list[tuple[str, Path]]


@dataclass(frozen=True)
class Contents:
    """What lies below a folder, in the order of the names' bytes, a subfolder's things in its name's place.

    images, videos  by their suffixes, broken links among them
    links           broken links of other names
    hollow          folders in which there is none of these, and no folder

    Each folder is looked into once, links followed. Hidden names and folders that end in .resight are passed over.
    """

    images: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    hollow: list[Path] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path, left_out: LeftOut) -> Contents:
        """The contents of an absolute folder; left_out gets (kind, path) of what is in none of the four.

        Raises WorkError if the folder itself cannot be read.
        """
        held, stack, seen = cls(), [root], set()
        while stack:
            folder = stack.pop()
            try:
                identity, entries = identity_of(folder), entries_of(folder)
            except WorkError:
                if folder == root:
                    raise
                left_out.append((LOCKED, folder))
                continue
            if identity in seen:
                left_out.append((SEEN, folder))
                continue
            seen.add(identity)
            stack += reversed(held._put(folder, entries, root, left_out))
        for paths in (held.images, held.videos, held.links, held.hollow):
            paths[:] = by_name(paths)
        return held

    def _put(
        self, folder: Path, entries: Iterable[os.DirEntry[str]], root: Path, left_out: LeftOut
    ) -> list[Path]:  # fmt: skip
        """Sorts in what one folder holds; the folders in it."""
        inner, empty = [], True
        for entry in entries:
            path, kind = folder / entry.name, kind_of(entry)
            home = self._home(path.suffix.lower(), kind)
            if kind == FOLDER:
                empty = False
                inner += [path] if path.suffix != ".resight" else []
            elif home is not None:
                empty = False
                home.append(path)
            else:
                left_out.append((kind if kind != FILE else path.suffix.lower() or NO_SUFFIX, path))
        if empty and folder != root:
            self.hollow.append(folder)
        return inner

    def _home(self, suffix: str, kind: str) -> list[Path] | None:
        if kind in (FILE, BROKEN) and suffix in SUFFIXES:
            return self.images
        if kind in (FILE, BROKEN) and suffix in VIDEO_SUFFIXES:
            return self.videos
        return self.links if kind == BROKEN else None


def images_at(place: Path, left_out: LeftOut) -> list[Path]:
    """The images below an absolute folder, broken links with names of images among them.

    Order, left_out and errors as of `Contents`.
    """
    held = Contents.read(place, left_out)
    left_out += [(path.suffix.lower(), path) for path in held.videos] + [(BROKEN, path) for path in held.links]
    return held.images


def find_sequences(folder: Path, left_out: LeftOut) -> tuple[list[Path], list[Path]]:
    """The sequences below an absolute folder: folders, not itself, that hold images themselves, and videos.

    ->  these; and what should be one and holds no frame: folders of nothing that are in no folder of frames, and
        broken links without a suffix, as a folder's. Errors as of `Contents`.
    """
    held = Contents.read(folder, left_out)
    holders = dict.fromkeys(path.parent for path in held.images if path.parent != folder)
    left_out += [(LOOSE, path) for path in held.images if path.parent == folder]

    def in_frames(path: Path) -> bool:
        return any(above in holders for above in path.parents)

    left_out += [(BROKEN, path) for path in held.links if path.suffix or in_frames(path)]
    lost = [path for path in held.links if not path.suffix]
    return by_name([*holders, *held.videos]), [path for path in [*held.hollow, *lost] if not in_frames(path)]


def by_name(paths: Iterable[Path]) -> list[Path]:
    """In the order of the bytes of the names that lead to each."""
    return sorted(paths, key=lambda path: [os.fsencode(part) for part in path.parts])


def left_out_notes(left_out: LeftOut) -> list[str]:
    """What notes say of all that was left out, a clause each."""
    counts = Counter(kind for kind, _ in left_out if kind not in MISSED)
    plain = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
    return ([f"left out: {plain}"] if plain else []) + missed_notes(left_out)


def missed_notes(left_out: LeftOut) -> list[str]:
    """The same of what somebody may have wanted in, with the first names."""
    notes = []
    for kind, words in MISSED.items():
        paths = [repr(str(path)) for one, path in left_out if one == kind]
        more = f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else ""
        notes += [f"{words}, left out: {len(paths):,} ({', '.join(paths[:NAMED])}{more})"] if paths else []
    return notes


def absolute(path: Path) -> Path:
    """The path from the root, without `..` where that leads to the same file: behind a link it need not."""
    plain = Path(os.path.abspath(path))
    if ".." in path.parts and is_there(path):
        return plain if is_there(plain) and plain.samefile(path) else path.absolute()
    return plain


def kind_of(entry: os.DirEntry[str]) -> str:
    """FOLDER, FILE, HIDDEN, BROKEN or SPECIAL, links followed."""
    if entry.name.startswith("."):
        return HIDDEN
    try:
        if entry.is_dir():
            return FOLDER
        if entry.is_file():
            return FILE
    except OSError:  # a link in a loop, or to where nothing may be seen
        return BROKEN
    return BROKEN if entry.is_symlink() and not is_there(entry.path) else SPECIAL


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds itself, in the order of the names' bytes. Raises WorkError if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise WorkError(f"{folder}: the folder cannot be read: {error.strerror or error}") from error


def identity_of(folder: Path) -> tuple[int, int]:
    """What all paths of one folder have in common. Raises WorkError if it cannot be read."""
    try:
        status = folder.stat()
    except OSError as error:
        raise WorkError(f"{folder}: the folder cannot be read: {error.strerror or error}") from error
    return status.st_dev, status.st_ino
