"""Lists images from folders, globs, CSV files and single paths, as a stream in a fixed order."""

from __future__ import annotations

import difflib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from resight.errors import InputError, WorkError, unknown
from resight.images.rows import read_rows

PathLike: TypeAlias = str | os.PathLike[str]
Source: TypeAlias = PathLike | Iterable[PathLike]

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".avif"}
)
LABELS = ("folder", "none")
_MAGIC = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Listing:
    """One image found: its absolute path (symbolic links not resolved), its label, the folder it was listed from, and
    its split (train, test ...) if a CSV names one."""

    path: Path
    label: str | None = None
    root: Path | None = None
    split: str | None = None


def list_images(source: Source, *, labels: str = "folder", ignored: Counter[str] | None = None) -> Iterator[Listing]:
    """The images of a source, one at a time.

    source:  a folder (with all folders in it), a glob ("photos/**/*.jpg"), a path, a CSV file with a column path
             (relative to the CSV's folder) and perhaps label and split, or an iterable of these
    labels:  "folder": the name of the folder an image lies in, if that is not the folder listed itself; "none".
             A CSV's label column goes before
    ignored: is counted up with what is left out: a suffix (".txt"), "(no suffix)", "(hidden)", "(not a file)",
             "(broken link)", "(unreadable folder)", "(folder seen before)"
    ->       Listings; within a folder in the order of the names' bytes, a subfolder's images in its name's place, so
             on every file system alike; a CSV's in its own order

    Taken are regular files with a suffix of SUFFIXES, in any case of letters. Names that begin with a dot and folders
    that end in .resight are passed over. Symbolic links are followed, each folder once. The files of a CSV are not
    looked at here: reading them tells.
    Raises InputError if the source is missing, a glob matches no image, or a CSV is wrong (some of it only when the
    stream gets there), WorkError if the folder may not be read.
    """
    if labels not in LABELS:
        raise unknown("labels", labels, LABELS)
    counts: Counter[str] = Counter() if ignored is None else ignored
    if isinstance(source, (str, os.PathLike)):
        found = _from_path(source, counts, alone=True)
    else:
        found = (listing for one in _each(source) for listing in _from_path(one, counts, alone=False))
    return found if labels == "folder" else (replace(one, label=None) for one in found)


def count_images(source: Source) -> int:
    """How many images list_images(source) gives: the names are walked through, no image is opened.

    Raises as list_images does, and InputError for an iterator, which counting would use up.
    """
    if isinstance(source, Iterator):
        raise InputError("expected a source that can be gone through twice, got an iterator: pass a list")
    return sum(1 for _ in list_images(source))


def _each(sources: object) -> Iterator[PathLike]:
    if not isinstance(sources, Iterable) or isinstance(sources, (bytes, bytearray)):
        raise InputError(
            f"expected a folder, glob, path, CSV file or an iterable of these, got {type(sources).__name__}"
        )
    return map(_checked, sources)


def _checked(source: object) -> PathLike:
    if isinstance(source, (str, os.PathLike)):
        return source
    raise InputError(f"expected a path in the iterable of sources, got {type(source).__name__}")


def _from_path(source: PathLike, ignored: Counter[str], *, alone: bool) -> Iterator[Listing]:
    path = Path(os.path.expanduser(source))  # not Path.expanduser, which raises for an unknown user
    mode = _mode(path)
    if mode is None and _MAGIC & set(os.fspath(source)):
        return _from_glob(path, ignored)
    if mode is None:
        raise _missing(path)
    if stat.S_ISDIR(mode):
        root = _absolute(path)
        return (_listing(root, names) for names in _walk(root, ignored, None))
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: expected a folder or a regular file, got a FIFO, socket or device")
    suffix = _suffix(path.name)
    if suffix == ".csv":
        return _from_csv(_absolute(path))
    if suffix in SUFFIXES:
        return iter([Listing(_absolute(path))])
    if alone:
        raise InputError(f"{path}: expected a folder, a CSV file or an image, one of {' '.join(sorted(SUFFIXES))}")
    ignored[suffix] += 1
    return iter(())


def _from_csv(path: Path) -> Iterator[Listing]:
    for _, row in read_rows(path, ["path"]):
        label, split = (row.get(name, "").strip() or None for name in ("label", "split"))
        yield Listing(_absolute(path.parent / row["path"]), label, path.parent, split)


def _from_glob(path: Path, ignored: Counter[str]) -> Iterator[Listing]:
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if _MAGIC & set(part))
    base, pattern = Path(*parts[:first]), parts[first:]
    mode = _mode(base)
    if mode is None or not stat.S_ISDIR(mode):
        raise _missing(base)
    root = _absolute(base)

    def matched() -> Iterator[Listing]:
        names: tuple[str, ...] | None = None
        for names in _walk(root, ignored, pattern):
            yield _listing(root, names)
        if names is None:
            raise InputError(f"{path}: no image matches this glob (a folder with all in it is FOLDER, or FOLDER/**/*)")

    return matched()


def _listing(root: Path, names: tuple[str, ...]) -> Listing:
    return Listing(root.joinpath(*names), names[-2] if len(names) > 1 else None, root)


def _walk(root: Path, ignored: Counter[str], pattern: tuple[str, ...] | None) -> Iterator[tuple[str, ...]]:
    """The images under `root` as the names that lead to each; with a glob's parts, only those that match."""
    try:
        stack: list[tuple[tuple[str, ...], Iterator[os.DirEntry[str]]]] = [((), _entries(root))]
    except OSError as error:
        raise WorkError(f"{root}: the folder cannot be read: {error.strerror or error}") from error
    seen = {_identity(root)}
    while stack:
        above, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        names = (*above, entry.name)
        kind = _kind(entry)
        wanted = pattern is None or (_may_hold(names, pattern) if kind == "folder" else _matches(names, pattern))
        if not wanted or (kind == "folder" and entry.name.endswith(".resight")):
            continue
        if kind == "image":
            yield names
        elif kind != "folder":
            ignored[kind] += 1
        else:
            try:
                identity = _identity(entry.path)
                below = _entries(entry.path) if identity not in seen else None
            except OSError:
                ignored["(unreadable folder)"] += 1
                continue
            if below is None:
                ignored["(folder seen before)"] += 1
                continue
            seen.add(identity)
            stack.append((names, below))


def _entries(folder: PathLike) -> Iterator[os.DirEntry[str]]:
    with os.scandir(os.fspath(folder)) as entries:
        return iter(sorted(entries, key=lambda entry: os.fsencode(entry.name)))


def _identity(folder: PathLike) -> tuple[int, int]:
    status = Path(folder).stat()
    return status.st_dev, status.st_ino


def _kind(entry: os.DirEntry[str]) -> str:
    """ "folder", "image", or the key under which it is counted as left out."""
    if entry.name.startswith("."):
        return "(hidden)"
    try:
        if entry.is_dir():
            return "folder"
        suffix = _suffix(entry.name)
        if suffix not in SUFFIXES:
            return suffix
        if entry.is_file():
            return "image"
        return "(broken link)" if entry.is_symlink() and not Path(entry.path).exists() else "(not a file)"
    except OSError:
        return "(broken link)"


def _suffix(name: str) -> str:
    return Path(name).suffix.lower() or "(no suffix)"


def _matches(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a file's names match the glob's parts, ** standing for any number of folders."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        rest = pattern[1:] or ("*",)
        return any(_matches(names[i:], rest) for i in range(len(names)))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _may_hold(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether something in the folder of these names may match."""
    if not names:
        return bool(pattern)
    if not pattern:
        return False
    return pattern[0] == "**" or (fnmatchcase(names[0], pattern[0]) and _may_hold(names[1:], pattern[1:]))


def _absolute(path: Path) -> Path:
    """The path from the root of the file system, links kept, and without `..` where that leads to the same file."""
    plain = Path(os.path.normpath(path.absolute()))
    if ".." in path.parts and _mode(path) is not None:
        return plain if _mode(plain) is not None and plain.samefile(path) else path.absolute()
    return plain


def _mode(path: Path) -> int | None:
    """The file's mode, None if there is no such file."""
    try:
        return path.stat().st_mode
    except PermissionError as error:
        raise WorkError(f"{path}: permission denied") from error
    except OSError:
        return None
    except ValueError as error:
        raise InputError(f"{str(path)!r}: not a file name: {error}") from error


def _missing(path: Path) -> InputError:
    """The error for a path that is not there, with the closest name beside it."""
    parent = path.absolute().parent
    try:
        wanted = [entry.name for entry in _entries(parent) if _kind(entry) in ("folder", "image", ".csv")]
    except OSError:
        return InputError(f"{path}: no such file or folder; the folder {parent} is not there or cannot be read")
    close = difflib.get_close_matches(path.name, wanted, n=1, cutoff=0.5)
    guess = f", did you mean {str(path.with_name(close[0]))!r}?" if close else f": looked in {parent}"
    return InputError(f"{path}: no such file or folder{guess}")
