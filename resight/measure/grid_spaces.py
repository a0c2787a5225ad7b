"""The embedding spaces of a grid: their images described, and the cells that search in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from resight._version import __version__
from resight.errors import InputError, WorkError
from resight.features.encoder import Encoder
from resight.features.whitening import LIMIT, Whitening
from resight.images.lines import read_bytes_of
from resight.measure.evaluation import evaluate_truth
from resight.measure.grid_config import Cell, Grid
from resight.measure.grid_inputs import Inputs, collection_truth, digest, truth_key
from resight.measure.grid_rows import Row, finished_run
from resight.measure.grid_together import describe_together, is_behind
from resight.measure.runs import Run, run_files
from resight.measure.watching import Watch
from resight.search import Collection
from resight.search.fitting import fit_whitening

Kind = tuple[str, int]  # a descriptor, and the dimensions of its whitened parts
TOGETHER = 16  # spaces described in one pass: their vectors are held for the images of one commit
OTHERS = "-whitening"


def compute_rows(
    grid: Grid, inputs: Inputs, *, save: Callable[[Path, str | bytes], None], watch: Watch
) -> Iterator[Row]:
    """The rows of a grid in its order, finished ones from the disk; arguments and errors as of `run_grid`."""
    spaces = Spaces(grid, inputs, save=save, watch=watch)
    groups = [
        (kind, list(cells))
        for kind, cells in groupby(grid.cells, lambda cell: (cell.descriptor, cell.part_whitening))
    ]  # fmt: skip
    for start in range(0, len(groups), TOGETHER):
        part = groups[start : start + TOGETHER]
        spaces.describe([kind for kind, _ in part])
        for kind, group in part:
            try:
                space = Space(spaces, kind)
            except (InputError, WorkError) as error:
                yield from (Row(cell, reason=str(error)) for cell in group)
                continue
            with space:
                for cell in group:
                    yield space.row(cell)


class Spaces:
    """Encoders that share a grid's network, and the collections of what they make of its images."""

    def __init__(self, grid: Grid, inputs: Inputs, *, save: Callable[[Path, str | bytes], None], watch: Watch) -> None:
        self.grid, self.inputs, self.save, self.watch = grid, inputs, save, watch
        self.features, self.cells = Path(grid.out) / "features", Path(grid.out) / "cells"
        self.network = Encoder.from_config(grid.encoder).backbone  # a wrong name or damaged weights concern every cell
        self._encoders: dict[Kind, Encoder] = {}
        self._check_dims()

    def describe(self, kinds: Sequence[Kind]) -> None:
        """Describe the images in all these spaces with one pass of the network for each image.

        What cannot be done in one pass is left for `collection`, which does it or says why it cannot be.
        """
        plain = [self.encoder((descriptor, 0)) for descriptor in dict.fromkeys(name for name, _ in kinds)]
        if any(self.grid.whitening) or any(parts for _, parts in kinds):
            self._together(plain, OTHERS)
        made = []
        for kind in kinds:
            try:
                made.append(self.encoder(kind))
            except (InputError, WorkError):
                continue  # its space will say so
        if any(self.grid.whitening):
            self._together([encoder for encoder in made if encoder.part_whitening is not None], OTHERS)
        self._together(made, "")

    def _check_dims(self) -> None:
        """Refuse what is longer than the vectors before any image is described."""
        for cell in self.grid.cells:
            wanted = cell.part_whitening or cell.dim
            try:
                most = self.encoder((cell.descriptor, 0)).dim if wanted else 0
            except (InputError, WorkError):
                continue  # its space will say so
            if wanted > most:
                raise InputError(f"whitening to {wanted:,} dimensions is not possible for {cell.descriptor}, whose "
                                 f"vectors have {most:,} with this network: take at most as many")  # fmt: skip

    def encoder(self, kind: Kind) -> Encoder:
        """The encoder of a space; the whitening of its parts is fitted now, or was in an earlier run."""
        if kind not in self._encoders:
            descriptor, parts = kind
            config = replace(self.grid.encoder, descriptor=descriptor)
            whitening = self._part_whitening(self.encoder((descriptor, 0)), parts) if parts else None
            self._encoders[kind] = Encoder.from_config(config, whitening, backbone=self.network)
        return self._encoders[kind]

    def collection(self, encoder: Encoder, suffix: str) -> Collection:
        """The collection of exactly these images, described as far as they can be read."""
        paths, sources = self._images(suffix)
        with ExitStack() as opened:
            photos = opened.enter_context(self._open(encoder, suffix))
            what = f"indexing {'whitening images' if suffix else 'images'}, {encoder.descriptor}"
            with self.watch(what, len(paths), "images") as progress:
                photos.add(list(sources), progress=progress)
            wanted = set(paths)
            gone = [item.path for item in photos.items() if item.path not in wanted]
            if gone:
                photos.remove(gone)
            opened.pop_all()
        return photos

    def _images(self, suffix: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The images, and the sources that they come from."""
        if suffix:
            return self.inputs.whitening, self.grid.whiten_from
        return self.inputs.images, self.grid.images

    def _open(self, encoder: Encoder, suffix: str) -> Collection:
        folder = self.features / f"{encoder.key}{suffix}.resight"
        return Collection.open(folder, encoder) if Collection.exists(folder) else Collection.create(folder, encoder)

    def _together(self, encoders: Sequence[Encoder], suffix: str) -> None:
        paths, sources = self._images(suffix)
        with ExitStack() as opened:
            behind = []
            for encoder in encoders:
                try:
                    photos = opened.enter_context(self._open(encoder, suffix))
                except (InputError, WorkError):
                    continue  # its space will say so
                if is_behind(photos, paths):
                    behind.append(photos)
            if len(behind) < 2:
                return
            what = f"indexing {'whitening images' if suffix else 'images'}, {len(behind)} descriptors at once"
            try:
                with self.watch(what, len(paths), "images") as progress:
                    describe_together(behind, sources, progress)
            except (InputError, WorkError):
                return  # each space will meet it by itself, and say so

    def _part_whitening(self, plain: Encoder, dim: int) -> Whitening:
        from resight.features.part_whitening import fit_part_whitening

        with self.collection(plain, OTHERS) as other:
            paths = [item.path for item in other.items(status="ok")]
            file = self.features / f"parts-{digest([plain.key, dim, _content(other)])}.npz"
            whitening = _read_whitening(file)
            if whitening is None:
                with self.watch(f"fitting parts of {plain.descriptor}", len(paths), "images") as progress:
                    whitening = fit_part_whitening(plain, paths, dim, fitted_on=str(other.path), progress=progress)
                self.save(file, whitening.to_bytes())
        return whitening


class Space:
    """The collections of one embedding space, and the cells that search in it."""

    def __init__(self, spaces: Spaces, kind: Kind) -> None:
        self.spaces, self.grid = spaces, spaces.grid
        self._whitenings: dict[Cell, Whitening] = {}
        with ExitStack() as opened:
            encoder = spaces.encoder(kind)
            self.other: Collection | None = None
            if any(self.grid.whitening):
                self.other = opened.enter_context(spaces.collection(encoder, OTHERS))
            self.photos = opened.enter_context(spaces.collection(encoder, ""))
            self.truth = collection_truth(self.grid, spaces.inputs, self.photos)
            self._truth, self._images = truth_key(self.truth), _content(self.photos)
            self.unread = sum(1 for _ in self.photos.items(status="failed"))
            self._opened = opened.pop_all()

    def __enter__(self) -> Space:
        return self

    def __exit__(self, *_: object) -> None:
        with self._opened:
            if self.photos.whitening is not None:
                self.photos.set_whitening(None)  # for whoever opens the collection to search in it

    def row(self, cell: Cell) -> Row:
        """The cell from the disk, or done now and written at once."""
        key = self._key(cell)
        row = Row(cell, key, dim=cell.dim or self.photos.dim, unread=self.unread)
        folder = self.spaces.cells / key
        run = finished_run(folder, self.grid.ks)
        if run is not None:
            return replace(row, run=replace(run, name=str(cell)), reused=True)
        try:
            run = self._evaluate(cell)
        except (InputError, WorkError) as error:
            return replace(row, reason=str(error))
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in run_files(run).items():
            self.spaces.save(folder / name, text)
        return replace(row, run=run)

    def _key(self, cell: Cell) -> str:
        grid = self.grid
        return digest({
            "version": __version__, "space": self.photos.space, "then": cell.then, "images": self._images,
            "whitening": self._fitted_on(cell), "truth": self._truth, "crop": grid.crop,
            "queries": self.spaces.inputs.asked, "ks": grid.ks, "allow_leak": grid.allow_leak,
            "allow_missing": grid.allow_missing, **({"budget": grid.budget} if grid.budget and cell.then else {}),
        })  # fmt: skip

    def _fitted_on(self, cell: Cell) -> list[object] | None:
        if not cell.dim or self.other is None:
            return None
        return [cell.whitening, _content(self.other, labels=cell.how == "learned")]

    def _evaluate(self, cell: Cell) -> Run:
        grid = self.grid
        self.photos.set_whitening(self._whitening(cell))

        def watch(verb: str, count: int, unit: str) -> AbstractContextManager[Callable[[int, int], None]]:
            return self.spaces.watch(f"{verb}, {cell}", count, unit)

        found = evaluate_truth(
            self.photos, self.truth, crop=grid.crop, then=cell.then, queries=grid.queries, ks=grid.ks,
            budget=grid.budget if cell.then else None,
            allow_missing=grid.allow_missing, allow_leak=grid.allow_leak, watch=watch,
        )  # fmt: skip
        return replace(found.run, name=str(cell))

    def _whitening(self, cell: Cell) -> Whitening | None:
        """As `Collection.whiten` fits it on another collection, once for all chains of steps."""
        if not cell.dim or self.other is None:
            return None
        plain = replace(cell, then=())
        if plain not in self._whitenings:
            fitted_on = str(self.other.path)
            self._whitenings[plain] = fit_whitening(self.other.store, cell.dim, how=cell.how, fitted_on=fitted_on)
        return self._whitenings[plain]


def _content(photos: Collection, labels: bool = False) -> str:
    """16 hex digits that name its images by path and bytes, and by their labels if these count."""
    return digest(sorted(
        [item.path, item.sha256, *([item.label or ""] if labels else ())] for item in photos.items(status="ok")
    ))  # fmt: skip


def _read_whitening(file: Path) -> Whitening | None:
    """The whitening in a file; None if there is none, it is damaged, or lacks a record of the images: fitted again."""
    if not file.is_file():
        return None
    try:
        whitening = Whitening.from_bytes(read_bytes_of(file, LIMIT))
    except (InputError, WorkError):
        return None
    return None if whitening.seen is None else whitening
