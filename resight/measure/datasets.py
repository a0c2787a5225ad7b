"""The image sets of the protocols: what they are, where they come from, and whether a folder holds one. Nothing is
fetched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from resight.errors import InputError, unknown
from resight.images.listing import list_images
from resight.images.truth import PROTOCOLS, Truth, read_truth
from resight.measure.grid_inputs import truth_key
from resight.measure.names import name_index

VGG = "photographs of Flickr users; for research, under Flickr's terms and VGG's terms of access; not ours to pass on"
VGG_FILES = (
    "images: oxbuild_images-v1.tgz and the like; VGG replaced the images of 2007 by copies with blurred faces "
    "(-v1 archives, 2022), older links to oxbuild_images.tgz, paris_1.tgz and paris_2.tgz are dead"
)
INRIA = "copyright INRIA, as is and without warranty; for research, citing the paper"


@dataclass(frozen=True)
class Dataset:
    """One image set: what it is, how many images and queries, what may be done with it, where it lies.

    images:  of the published set, 0 where it is the user's own
    queries: of the ground truth, 0 for mere distractors
    files:   what must be in the folder
    where:   web addresses, for people
    notes:   what one must know before comparing numbers
    content: checksum of what the published ground truth says (`truth_key`), "" where it is not known for certain
    """

    name: str
    title: str
    images: int
    queries: int
    licence: str
    files: tuple[str, ...]
    where: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    content: str = ""


@dataclass(frozen=True)
class Check:
    """What a folder holds of an image set.

    images:   image files found below the folder
    truth:    where the ground truth was found, "" if it was not
    missing:  images that the ground truth names and the folder lacks
    extra:    images beyond those of the published set
    problems: one sentence for each thing that is wrong; none if the set is complete
    """

    name: str
    images: int
    truth: str
    missing: tuple[str, ...]
    extra: int
    problems: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether an evaluation of the published protocol can be run on the folder."""
        return not self.problems

    def __repr__(self) -> str:
        verdict = "complete" if self.complete else f"{len(self.problems)} problems"
        return f"<Check {self.name}: {self.images:,} images, {len(self.missing):,} missing, {verdict}>"


def check_dataset(name: str, folder: str | os.PathLike[str]) -> Check:
    """Whether a folder holds an image set: its images and its ground truth, wherever they lie below it.

    No image is opened. Images beyond the published number are no problem, but said.
    Raises InputError if the name is unknown or there is no such folder; WorkError if it may not be read.
    """
    if name not in DATASETS:
        raise unknown("image set", name, DATASETS)
    dataset, root = DATASETS[name], Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: expected the folder that holds {name}, got none")
    paths = [str(listing.path) for listing in list_images(root)]
    extra = max(0, len(paths) - dataset.images) if dataset.images else 0
    problems = []
    if not paths:
        problems.append(f"no images: expected {dataset.files[0]}")
    elif len(paths) < dataset.images:
        problems.append(f"{dataset.images - len(paths):,} images too few: expected {dataset.images:,}")
    if name not in PROTOCOLS:
        return Check(name, len(paths), "", (), extra, tuple(problems))
    place = _find_truth(name, root)
    if place is None:
        problems.append(f"no ground truth: expected {dataset.files[-1]}")
        return Check(name, len(paths), "", (), extra, tuple(problems))
    try:
        truth = read_truth(name, place)
        missing, wrong = _compare(truth, paths, dataset)
    except InputError as error:
        missing, wrong = (), [str(error)]
    return Check(name, len(paths), str(place), missing, extra, (*problems, *wrong))


def _compare(truth: Truth, paths: list[str], dataset: Dataset) -> tuple[tuple[str, ...], list[str]]:
    wrong = []
    if dataset.queries and len(truth.queries) != dataset.queries:
        wrong.append(f"{len(truth.queries):,} queries in the ground truth: expected {dataset.queries:,}")
    elif dataset.content and truth_key(truth) != dataset.content:
        wrong.append(
            f"the ground truth is not the published one: its checksum is {truth_key(truth)}, not {dataset.content}"
        )
    if not paths:
        return truth.names(), wrong
    try:
        index = name_index(truth, paths, allow_missing=True)
    except InputError as error:
        return (), [*wrong, str(error)]
    missing = [*index.missing]
    if truth.own == "absent":
        missing += [query.image for query in truth.queries if query.image not in index.rows]
    if missing:
        wrong.append(f"{len(missing):,} images of the ground truth are missing, such as {', '.join(missing[:3])}")
    return tuple(missing), wrong


def _find_truth(name: str, root: Path) -> Path | None:
    """The folder or file that the reader of a protocol takes, at the root or below it."""
    if name in ("holidays", "ukbench", "copydays"):
        return root
    for folder, folders, files in os.walk(root):
        folders.sort()
        if name in ("oxford5k", "paris6k"):
            if any(file.endswith("_query.txt") for file in files):
                return Path(folder)
        elif _truth_file(name) in files:
            return Path(folder) / _truth_file(name)
    return None


def _truth_file(name: str) -> str:
    return "pairs.csv" if name == "pairs" else f"gnd_{name}.pkl"


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/"
_PARIS = "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/"
_REVISITOP = "http://cmp.felk.cvut.cz/revisitop/"
_JEGOU = ("https://thoth.inrialpes.fr/~jegou/data.php", "https://lear.inrialpes.fr/people/jegou/data.php")
_INRIA_NOTE = (
    "the address under lear.inrialpes.fr is the older one; the archives behind both have been unreachable at times"
)

_ALL = (
    Dataset(
        "oxford5k",
        "Oxford Buildings (Philbin 2007): 11 landmarks, 5 queries with a box each; old protocol",
        5063,
        55,
        VGG,
        (
            "5,063 images all_souls_000000.jpg ...",
            "the ground truth's text files (all_souls_1_query.txt ...), 220 of them",
        ),
        (_OXFORD,),
        (
            VGG_FILES,
            "the web page counts 5,062 images, papers 5,063",
            "the query's own image stays in the database and counts; use roxford5k for new work",
        ),
        "926e576b2906efba",
    ),
    Dataset(
        "paris6k",
        "Paris (Philbin 2008): 11 landmarks, 5 queries with a box each; old protocol",
        6392,
        55,
        VGG,
        (
            "6,392 images paris_defense_000000.jpg ...",
            "the ground truth's text files (defense_1_query.txt ...), 220 of them",
        ),
        (_PARIS,),
        (
            VGG_FILES,
            "of 6,412 images 20 are damaged and usually left out, which makes 6,392",
            "whitening for oxford5k is usually fitted here, and the other way round",
        ),
    ),
    Dataset(
        "roxford5k",
        "Revisited Oxford (Radenovic 2018): 70 queries with a box, settings E, M and H",
        4993 + 70,
        70,
        VGG,
        ("the 5,063 images of oxford5k: 4,993 are searched, 70 are queries", "gnd_roxford5k.pkl"),
        (_REVISITOP, f"{_REVISITOP}data/datasets/roxford5k/gnd_roxford5k.pkl", _OXFORD),
        (VGG_FILES, "the .pkl is read as plain data: nothing in it is run", "queries are cropped before resizing"),
    ),
    Dataset(
        "rparis6k",
        "Revisited Paris (Radenovic 2018): 70 queries with a box, settings E, M and H",
        6322 + 70,
        70,
        VGG,
        ("the 6,392 images of paris6k: 6,322 are searched, 70 are queries", "gnd_rparis6k.pkl"),
        (_REVISITOP, f"{_REVISITOP}data/datasets/rparis6k/gnd_rparis6k.pkl", _PARIS),
        (VGG_FILES, "the .pkl is read as plain data: nothing in it is run", "queries are cropped before resizing"),
    ),
    Dataset(
        "oxford100k",
        "Flickr100k distractors (Philbin 2007): with oxford5k 105k, with paris6k 106k images",
        100_071,
        0,
        VGG,
        ("100,071 images",),
        ("https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/flickr100k.html",),
        ("papers count 100,071 images; VGG has withdrawn and re-issued its Flickr images: the link may be dead",),
    ),
    Dataset(
        "revisitop1m",
        "R1M distractors (Radenovic 2018), for roxford5k and rparis6k",
        1_001_001,
        0,
        "photographs from YFCC100M, under the licences that their owners chose",
        ("1,001,001 images, in 100 archives",),
        (_REVISITOP, "http://ptak.felk.cvut.cz/revisitop/revisitop1m/"),
    ),
    Dataset(
        "holidays",
        "INRIA Holidays (Jegou 2008): 500 groups, the first image of each is the query",
        1491,
        500,
        INRIA,
        ("1,491 images 100000.jpg ...; the names are the ground truth",),
        _JEGOU,
        (_INRIA_NOTE, "some authors rotate the images upright by hand, which raises the score: say which you used"),
    ),
    Dataset(
        "ukbench",
        "UKBench (Nister 2006): 2,550 objects, four images each; N-S score, 4 at best",
        10_200,
        10_200,
        "no licence stated; for research, citing the paper",
        ("10,200 images ukbench00000.jpg ...; the names are the ground truth",),
        ("http://vis.uky.edu/~stewe/ukbench/",),
        (
            "the archive has some 2 GB; the page has been unreachable at times",
            "a first edition with errors was replaced",
        ),
    ),
    Dataset(
        "copydays",
        "INRIA Copydays (Douze 2009): 157 originals and copies by strong attacks, JPEG and crops",
        157 + 229 + 157 * 18,
        229 + 157 * 18,
        INRIA,
        ("folders original, strong, jpeg/3 ... jpeg/75, crops/10 ... crops/80; the names are the ground truth",),
        _JEGOU,
        (_INRIA_NOTE, "papers report mAP on the 229 strong copies, mostly with distractors: say which"),
    ),
    Dataset(
        "pairs",
        "your own pairs: a CSV file with columns query and positive",
        0,
        0,
        "yours",
        ("your images", "pairs.csv: columns query, positive; optional kind (positive, junk), x1, y1, x2, y2"),
    ),
)
DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in _ALL}
