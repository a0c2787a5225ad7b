"""A grid of retrieval experiments in one run: what was done before is kept, so that it can be interrupted at any time.

    OUT/features/SPACE.resight             the evaluated images, one collection per embedding space
    OUT/features/SPACE-whitening.resight   the images that whitenings are fitted on
    OUT/features/parts-KEY.npz             whitenings of parts
    OUT/cells/KEY/                         a finished cell: run.json and per_query.csv, see `runs`

A space's name comes from the weights and all else that decides a vector, a cell's key from all that decides its scores:
the space, how it is whitened, the steps, the ground truth, and the bytes of all images. So nothing stale is ever used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from resight._version import __version__
from resight.errors import InputError, WorkError
from resight.features.config import EncoderConfig
from resight.features.encoder import Encoder
from resight.features.whitening import LIMIT, Whitening
from resight.images.lines import read_bytes_of
from resight.measure.checking import is_number
from resight.measure.evaluation import evaluate_truth
from resight.measure.grid_config import Cell, Grid
from resight.measure.grid_inputs import Inputs, collection_truth, digest, truth_key
from resight.measure.runs import Run, load_run, run_files
from resight.models import Backbone
from resight.search import Collection
from resight.search.fitting import fit_whitening

Watch = Callable[[str, int, str], AbstractContextManager[Callable[[int, int], None]]]
Save = Callable[[Path, "str | bytes"], None]


@dataclass(frozen=True)
class Row:
    """What came of a cell.

    cell    the experiment
    key     its folder's name below OUT/cells; "" if it never came so far
    run     its scores; None if it could not be done, and `reason` says why
    dim     length of the vectors that were searched
    reused  it was there already
    unread  images that could not be read and took no part
    """

    cell: Cell
    key: str = ""
    run: Run | None = None
    reason: str = ""
    dim: int = 0
    reused: bool = False
    unread: int = 0


def unwatched(verb: str, total: int, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A `Watch` that shows nothing."""
    return nullcontext(lambda done, failed: None)


def run_grid(grid: Grid, inputs: Inputs, *, save: Save, watch: Watch = unwatched) -> Iterator[Row]:
    """The rows of a grid, one by one as they are finished, in its order.

    inputs: from `read_inputs`
    save:   writes a file as a whole or not at all
    watch:  called as watch(verb, total, unit) for each long part; gives a context with a callback (done, failed)

    A cell that cannot be done gives a row with the reason, and the others go on. Raises InputError or WorkError at once
    if the network cannot be made, WorkError if a result cannot be written.
    """
    network = Encoder.from_config(grid.encoder).backbone  # a wrong name or damaged weights concern every cell
    for (descriptor, parts), cells in groupby(grid.cells, lambda cell: (cell.descriptor, cell.part_whitening)):
        group = list(cells)
        try:
            space = _Space(grid, inputs, network, descriptor, parts, save=save, watch=watch)
        except (InputError, WorkError) as error:
            yield from (Row(cell, reason=str(error)) for cell in group)
            continue
        with space:
            for cell in group:
                yield space.row(cell)


class _Space:
    """The collections of one embedding space, and the cells that search in it."""

    def __init__(
        self, grid: Grid, inputs: Inputs, network: Backbone, descriptor: str, parts: int, *, save: Save, watch: Watch
    ) -> None:
        self.grid, self.inputs, self.network, self.save, self.watch = grid, inputs, network, save, watch
        self.features, self.cells = Path(grid.out) / "features", Path(grid.out) / "cells"
        self._whitenings: dict[int, Whitening] = {}
        with ExitStack() as opened:
            encoder = self._encoder(replace(grid.encoder, descriptor=descriptor))
            self.other: Collection | None = None
            if parts:
                encoder = self._with_parts(encoder, parts)
            if any(grid.whitening):
                self.other = opened.enter_context(self._collection(encoder, "-whitening", inputs.whitening))
            self.photos = opened.enter_context(self._collection(encoder, "", inputs.images))
            self.truth = collection_truth(grid, inputs, self.photos)
            self._truth, self._images = truth_key(self.truth), _content(self.photos)
            self._fitted_on = _content(self.other) if self.other is not None else ""
            self.unread = sum(1 for _ in self.photos.items(status="failed"))
            self._opened = opened.pop_all()

    def __enter__(self) -> _Space:
        return self

    def __exit__(self, *_: object) -> None:
        with self._opened:
            if self.photos.whitening is not None:
                self.photos.set_whitening(None)  # for whoever opens the collection to search in it

    def row(self, cell: Cell) -> Row:
        """The cell from the disk, or done now and written at once."""
        key = self._key(cell)
        row = Row(cell, key, dim=cell.whitening or self.photos.dim, unread=self.unread)
        run = self._done(key)
        if run is not None:
            return replace(row, run=replace(run, name=str(cell)), reused=True)
        try:
            run = self._evaluate(cell)
        except (InputError, WorkError) as error:
            return replace(row, reason=str(error))
        folder = self.cells / key
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in run_files(run).items():
            self.save(folder / name, text)
        return replace(row, run=run)

    def _key(self, cell: Cell) -> str:
        grid = self.grid
        return digest({
            "version": __version__, "space": self.photos.space, "then": cell.then, "images": self._images,
            "whitening": [cell.whitening, self._fitted_on] if cell.whitening else None, "truth": self._truth,
            "crop": grid.crop, "queries": self.inputs.asked, "ks": grid.ks, "allow_leak": grid.allow_leak,
            "allow_missing": grid.allow_missing,
        })  # fmt: skip

    def _done(self, key: str) -> Run | None:
        """The cell's run if a whole one is there; what is damaged is done again."""
        if not (self.cells / key / "run.json").is_file():
            return None
        try:
            run = load_run(self.cells / key)
        except InputError:
            return None
        return run if _has_scores(run, self.grid.ks) else None

    def _evaluate(self, cell: Cell) -> Run:
        grid = self.grid
        self.photos.set_whitening(self._whitening(cell.whitening))
        with self.watch(f"searching, {cell}", len(self.truth.queries), "queries") as progress:
            found = evaluate_truth(
                self.photos, self.truth, crop=grid.crop, then=cell.then, queries=grid.queries, ks=grid.ks,
                allow_missing=grid.allow_missing, allow_leak=grid.allow_leak, progress=progress,
            )  # fmt: skip
        return replace(found.run, name=str(cell))

    def _whitening(self, dim: int) -> Whitening | None:
        """As `Collection.whiten` fits it on another collection, once for all chains of steps."""
        if not dim or self.other is None:
            return None
        if dim not in self._whitenings:
            fitted_on = str(self.other.path)
            self._whitenings[dim] = fit_whitening(self.other.store, dim, how="pca", fitted_on=fitted_on)
        return self._whitenings[dim]

    def _with_parts(self, plain: Encoder, dim: int) -> Encoder:
        """The encoder with its parts whitened, fitted now or in an earlier run."""
        with self._collection(plain, "-whitening", self.inputs.whitening) as other:
            paths = [item.path for item in other.items(status="ok")]
            file = self.features / f"parts-{digest([plain.key, dim, _content(other)])}.npz"
            whitening = _read_whitening(file)
            if whitening is None:
                from resight.features.part_whitening import fit_part_whitening

                with self.watch(f"fitting parts of {plain.descriptor}", len(paths), "images") as progress:
                    whitening = fit_part_whitening(plain, paths, dim, fitted_on=str(other.path), progress=progress)
                self.save(file, whitening.to_bytes())
        return self._encoder(plain.config, whitening)

    def _encoder(self, config: EncoderConfig, part_whitening: Whitening | None = None) -> Encoder:
        """An encoder with the network that is loaded already: all of a grid have the same one."""
        encoder = Encoder.from_config(config, part_whitening)
        encoder._backbone = self.network
        return encoder

    def _collection(self, encoder: Encoder, suffix: str, paths: Sequence[str]) -> Collection:
        """The collection of exactly these images, described as far as they can be read."""
        folder = self.features / f"{encoder.key}{suffix}.resight"
        photos = Collection.open(folder, encoder) if Collection.exists(folder) else Collection.create(folder, encoder)
        with ExitStack() as opened:
            opened.enter_context(photos)
            what = f"indexing {'whitening images' if suffix else 'images'}, {encoder.descriptor}"
            sources = self.grid.whiten_from if suffix else self.grid.images
            with self.watch(what, len(paths), "images") as progress:
                photos.add(list(sources), progress=progress)
            wanted = set(paths)
            gone = [item.path for item in photos.items() if item.path not in wanted]
            if gone:
                photos.remove(gone)
            opened.pop_all()
        return photos


def _content(photos: Collection) -> str:
    """16 hex digits that name its images by path and bytes."""
    return digest(sorted([item.path, item.sha256] for item in photos.items(status="ok")))


def _read_whitening(file: Path) -> Whitening | None:
    """The whitening in a file; None if there is none or it is damaged, and so is fitted again."""
    if not file.is_file():
        return None
    try:
        return Whitening.from_bytes(read_bytes_of(file, LIMIT))
    except (InputError, WorkError):
        return None


def _has_scores(run: Run, ks: Sequence[int]) -> bool:
    """Whether its scores are of the form that `ProtocolScores.as_dict` gives, for these depths."""
    settings = run.scores.get("settings")
    if not isinstance(settings, dict) or tuple(settings) != run.settings:
        return False
    return all(isinstance(one, dict) and _is_setting(one, ks) for one in settings.values())


def _is_setting(one: dict[str, Any], ks: Sequence[int]) -> bool:
    depths = [one.get(name) for name in ("mp", "precision")]
    if not all(isinstance(at, dict) and {str(k) for k in ks} <= set(at) for at in depths):
        return False
    values = [one.get("map", ""), one.get("map_trapezoid", ""), *(v for at in depths if at for v in at.values())]
    return all(value is None or is_number(value) for value in values)
