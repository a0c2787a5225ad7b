"""Ground truth that lies in the file names: INRIA Holidays, UKBench, INRIA Copydays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from resight.errors import InputError
from resight.images.lines import read_lines
from resight.images.listing import SUFFIXES, list_images
from resight.images.queries import Query, Setting, Truth, checked_name

MOST = 5_000_000  # names in a list
_HOLIDAYS = re.compile(r"1\d{5}")
_UKBENCH = re.compile(r"ukbench(\d{5})")
_COPYDAYS = re.compile(r"2\d{5}")
_ORIGINAL = ("original", "originals", "copydays_original")
_BLOCKS = {
    "strong": "strong", "copydays_strong": "strong", "jpeg": "jpeg", "jpegqual": "jpeg", "copydays_jpeg": "jpeg",
    "crop": "crops", "crops": "crops", "copydays_crop": "crops",
}  # fmt: skip


def read_holidays(path: Path) -> Truth:
    """The ground truth of INRIA Holidays from a folder of images or a list of names: see `holidays`."""
    return _read(path, holidays)


def read_ukbench(path: Path) -> Truth:
    """The ground truth of UKBench from a folder of images or a list of names: see `ukbench`."""
    return _read(path, ukbench)


def read_copydays(path: Path) -> Truth:
    """The ground truth of INRIA Copydays from a folder of images or a list of names: see `copydays`."""
    return _read(path, copydays)


def holidays(names: Iterable[str], source: str = "names") -> Truth:
    """INRIA Holidays (Jegou 2008): 500 queries, 1,491 images 100000.jpg ...

    Images whose number has the same thousands-and-hundreds (number // 100) are one group; the one ending in 00 is its
    query and is taken out of its own ranking. Names of other forms are distractors.
    Raises InputError if no name is of that form, a group has no query, or a number comes twice.
    """
    members = _grouped(names, _HOLIDAYS, lambda number: number // 100, source, "100000.jpg")
    queries = []
    for group, images in members.items():
        if group * 100 not in images:
            raise InputError(f"{source}: the group of {min(images.values())!r} lacks its query {group * 100}.jpg")
        image = images[group * 100]
        answers = frozenset(images.values()) - {image}
        queries.append(Query(str(group * 100), image, None, {"positive": answers}))
    return Truth("holidays", tuple(queries), {"all": Setting(("positive",))}, None, "removed", 1491, source)


def ukbench(names: Iterable[str], source: str = "names") -> Truth:
    """UKBench (Nister 2006): 10,200 images ukbench00000.jpg ..., four of each object, all of them queries.

    A query's own image stays in the database and counts. Its usual score, N-S, is the mean number of a query's group
    among its first four results: 4 at best.
    Raises InputError if no name is of that form, or a group does not have four images.
    """
    members = _grouped(names, _UKBENCH, lambda number: number // 4, source, "ukbench00000.jpg")
    queries = []
    for group, images in members.items():
        if len(images) != 4:
            raise InputError(
                f"{source}: expected 4 images of the object ukbench{4 * group:05d} .. {4 * group + 3:05d}, "
                f"got {len(images)}"
            )
        answers = frozenset(images.values())
        queries += [Query(f"ukbench{number:05d}", images[number], None, {"positive": answers}) for number in images]
    return Truth("ukbench", tuple(queries), {"all": Setting(("positive",))}, None, "counts", 10200, source)


def copydays(names: Sequence[str], source: str = "names") -> Truth:
    """INRIA Copydays (Douze 2009): 157 originals are searched, each copy is a query with one right answer.

    Originals are 200000.jpg, 200100.jpg ... in a folder "original" or beside the others; strong copies 200001.jpg ...
    in "strong" or beside the originals; jpeg/QUALITY and crops/PERCENT hold copies under the original's name. A copy's
    answer is the original with its number // 100. Settings: "all", one per kind ("strong", "jpeg", "crops") and one
    per level ("jpeg/3", "crops/50") that is there. The copies themselves are not searched; other images of the
    collection are distractors. This is what later papers report (mAP on "strong", with distractors); the original
    paper's queries are the same.
    Raises InputError if there is no original, no copy, or a copy has no original.
    """
    originals: dict[int, str] = {}
    copies: list[tuple[str, str, int]] = []
    for name in names:
        path = PurePosixPath(name)
        if not _COPYDAYS.fullmatch(_stem(path)):
            continue
        number, block = int(_stem(path)), _block(path)
        if block == "original":
            if originals.setdefault(number // 100, name) != name:
                raise InputError(f"{source}: {name!r} and {originals[number // 100]!r} are the same original")
        else:
            copies.append((name, block, number // 100))
    if not originals or not copies:
        raise InputError(
            f"{source}: expected Copydays originals (original/200000.jpg) and copies (strong/200001.jpg), "
            f"got {len(originals)} originals and {len(copies)} copies"
        )
    queries = []
    for name, block, group in copies:
        if group not in originals:
            raise InputError(f"{source}: the copy {name!r} has no original {group * 100}.jpg")
        queries.append(Query(_plain(name), name, None, {block: frozenset({originals[group]})}))
    settings = _copydays_settings(sorted({block for _, block, _ in copies}, key=_level))
    return Truth(
        "copydays", tuple(queries), settings, tuple(originals.values()), "absent", 157, source, distractors=True
    )


def _copydays_settings(blocks: list[str]) -> dict[str, Setting]:
    settings = {"all": Setting(tuple(blocks))}
    for kind in ("strong", "jpeg", "crops"):
        members = tuple(block for block in blocks if block.partition("/")[0] == kind)
        if members:
            settings[kind] = Setting(members)
    return settings | {block: Setting((block,)) for block in blocks}


def _level(block: str) -> tuple[str, int, str]:
    kind, _, level = block.partition("/")
    return kind, int(level) if level.isascii() and level.isdecimal() else -1, block


def _block(path: PurePosixPath) -> str:
    """original, strong, or kind/level, by the nearest folder that says so; else by the number."""
    folders = [part.lower() for part in path.parts[:-1]]
    for place in range(len(folders) - 1, -1, -1):
        if folders[place] in _ORIGINAL:
            return "original"
        if folders[place] in _BLOCKS:
            return "/".join([_BLOCKS[folders[place]], *folders[place + 1 : place + 2]])
    return "original" if _stem(path).endswith("00") else "strong"


def _grouped(
    names: Iterable[str], form: re.Pattern[str], group_of: Callable[[int], int], source: str, example: str
) -> dict[int, dict[int, str]]:
    """Group -> {number: name}, both ascending, of the names whose stem has the form."""
    found: dict[int, str] = {}
    for name in names:
        match = form.fullmatch(_stem(PurePosixPath(name)))
        if match:
            number = int(match[match.lastindex or 0])
            if found.setdefault(number, name) != name:
                raise InputError(f"{source}: {name!r} and {found[number]!r} have the same number")
    if not found:
        raise InputError(f"{source}: expected names such as {example}, got none")
    groups: dict[int, dict[int, str]] = {}
    for number in sorted(found):
        groups.setdefault(group_of(number), {})[number] = found[number]
    return groups


def _read(path: Path, truth_of: Callable[[list[str], str], Truth]) -> Truth:
    """The ground truth in names relative to a folder of images, or in the lines of a text file."""
    if path.is_dir():
        root = path.absolute()
        return truth_of([listing.path.relative_to(root).as_posix() for listing in list_images(path)], str(path))
    lines: dict[str, int] = {}
    names: list[str] = []
    for line, text in read_lines(path):
        if len(names) >= MOST:
            raise InputError(f"{path}, line {line}: more than {MOST:,} names")
        lines.setdefault(checked_name(text, f"{path}, line {line}"), line)
        names.append(text)
    truth = truth_of(names, str(path))
    return replace(truth, place_of=lambda name: f"{path.name}, line {lines[name]}" if name in lines else "")


def _stem(path: PurePosixPath) -> str:
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _plain(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else name
