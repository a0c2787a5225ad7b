"""A grid's cells: the scores of `evaluate_truth`, kept, resumed, and done again when something changed."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from samples import picture

from resight import Collection, Encoder, EncoderConfig, InputError
from resight.features.part_whitening import fit_part_whitening
from resight.measure import grid_spaces
from resight.measure.collections import labelled_truth
from resight.measure.evaluation import evaluate_truth
from resight.measure.grid import run_grid
from resight.measure.grid_config import Grid
from resight.measure.grid_inputs import read_inputs
from resight.models import Backbone
from resight.show import write_atomic

SMALL = EncoderConfig("test_resnet", weights="random", size=64)  # a network of timm's own tests


@pytest.fixture
def others(tmp_path):
    """A folder of ten pictures that are not among `photos`."""
    (tmp_path / "others").mkdir()
    for number in range(100, 110):
        Image.fromarray(picture(number)).save(tmp_path / "others" / f"{number}.png")
    return tmp_path / "others"


@pytest.fixture
def grid(tmp_path, photos, others):
    """Two descriptors, plain and whitened to 3."""
    return Grid(
        (str(photos),), ("spoc", "cam:count=4"), whiten_from=(str(others),), whitening=(0, 3), ks=(1, 3),
        encoder=SMALL, out=str(tmp_path / "out"),
    )  # fmt: skip


@pytest.fixture
def encoded(monkeypatch):
    """The images that were described so far; without the black one that tells the length of an encoder's vectors."""
    seen, forward = [], Encoder.encode_fitted

    def counted(self, images):
        seen.extend(image for image in images if image.any())
        return forward(self, images)

    monkeypatch.setattr(Encoder, "encode_fitted", counted)
    return seen


def rows_of(grid, **more):
    return list(run_grid(grid, read_inputs(grid), save=write_atomic, **more))


def by_hand(tmp_path, photos, others, descriptor, whitening, then, parts=0):
    """The run of one cell, made with the functions for one collection."""
    config = replace(SMALL, descriptor=descriptor)
    part_whitening = None
    if parts:
        plain = sorted(str(path) for path in others.iterdir())
        part_whitening = fit_part_whitening(Encoder.from_config(config), plain, parts)
    name = f"{descriptor.partition(':')[0]}-{whitening}-{len(then)}-{parts}"
    with (
        Collection.create(tmp_path / f"{name}.resight", Encoder.from_config(config, part_whitening)) as made,
        Collection.create(tmp_path / f"{name}-w.resight", Encoder.from_config(config, part_whitening)) as other,
    ):
        made.add(photos)
        if whitening:
            other.add(others)
            made.whiten(whitening, fitted_on=other)
        return evaluate_truth(made, labelled_truth(list(made.items()), "folder"), then=then, ks=(1, 3)).run


def same(run, other):
    assert [q.name for q in run.queries] == [q.name for q in other.queries]
    for mine, theirs in zip(run.queries, other.queries):
        assert mine.ap == pytest.approx(theirs.ap) and mine.ap_trapezoid == pytest.approx(theirs.ap_trapezoid)
        assert [s.path for s in mine.shown] == [s.path for s in theirs.shown]
        assert np.allclose([s.score for s in mine.shown], [s.score for s in theirs.shown], atol=1e-5)
    mine, theirs = run.scores["settings"]["all"], other.scores["settings"]["all"]
    assert {**mine, **mine["precision"], "precision": 0, "mp": 0, "recall": 0} == pytest.approx(
        {**theirs, **theirs["precision"], "precision": 0, "mp": 0, "recall": 0}
    )


def test_every_cell_is_what_evaluating_it_by_hand_gives(grid, tmp_path, photos, others):
    grid = replace(grid, then=((), ("alpha-qe:k=3",), ("cam-regions:top=4", "aqe:k=2")))
    rows = rows_of(grid)
    assert [row.cell for row in rows] == list(grid.cells) and len(rows) == 12
    for row in rows:
        cell = row.cell
        same(row.run, by_hand(tmp_path, photos, others, cell.descriptor, cell.whitening, cell.then))
        assert row.dim == (cell.whitening or 96) and row.run.name == str(cell)
        whitening = row.run.protocol["whitening"]
        assert whitening.startswith("3 dimensions") if cell.whitening else whitening == "none"
        assert row.run.protocol["leak"] is False


def test_whitened_parts_are_a_space_of_their_own(grid, tmp_path, photos, others, encoded):
    grid = replace(grid, descriptors=("rmac",), part_whitening=(0, 5))
    rows = rows_of(grid)
    assert [(row.cell.part_whitening, row.dim) for row in rows] == [(0, 96), (0, 3), (5, 5), (5, 3)]
    for row in rows:
        cell = row.cell
        same(row.run, by_hand(tmp_path, photos, others, "rmac", cell.whitening, (), cell.part_whitening))
    encoded.clear()
    assert all(row.reused for row in rows_of(grid)) and len(encoded) == 0
    damaged = next((tmp_path / "out" / "features").glob("parts-*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:-50])
    assert all(row.reused for row in rows_of(grid))  # fitted again, on the same images: the same


def test_a_learned_whitening_is_collection_whitens(grid, tmp_path, photos, others):
    """Labels are the folders of `whiten_from`; the scores are those of `Collection.whiten(how="learned")`."""
    for number, path in enumerate(sorted(others.iterdir())):
        (others / "xy"[number % 2]).mkdir(exist_ok=True)
        path.rename(others / "xy"[number % 2] / path.name)
    rows = rows_of(replace(grid, descriptors=("spoc",), whitening=(0, 3, "learned: 3")))
    config = replace(SMALL, descriptor="spoc")
    with (
        Collection.create(tmp_path / "l.resight", Encoder.from_config(config)) as made,
        Collection.create(tmp_path / "l-w.resight", Encoder.from_config(config)) as other,
    ):
        made.add(photos)
        other.add(others)
        made.whiten(3, how="learned", fitted_on=other)
        expected = evaluate_truth(made, labelled_truth(list(made.items()), "folder"), ks=(1, 3))
    same(rows[2].run, expected.run)
    assert str(rows[2].cell) == "spoc, whitened to 3 (learned)" and rows[2].dim == 3
    assert len({row.key for row in rows}) == 3
    assert len({row.run.protocol["whitening_key"] for row in rows}) == 3
    (others / "z").mkdir()
    for path in list((others / "x").iterdir())[:2]:  # other labels, the same bytes
        path.rename(others / "z" / path.name)
    again = rows_of(replace(grid, descriptors=("spoc",), whitening=(0, 3, "learned:3")))
    assert again[2].key != rows[2].key and not again[2].reused


def test_queries_are_named_as_evaluate_names_them(grid):
    names = {query.name for query in rows_of(replace(grid, descriptors=("spoc",)))[0].run.queries}
    assert names == {f"a/{i}.jpg" for i in range(6)} | {f"b/{i}.png" for i in range(6, 12)}


def receipts(tmp_path):
    return list((tmp_path / "out" / "features").glob("finished-*.json"))


def test_a_receipt_holds_as_long_as_nothing_has_changed(grid, tmp_path, photos, others, monkeypatch):
    """Without the network, while every file is as it was; whatever changes, and what is damaged, is looked at again."""
    first = rows_of(grid)
    (file,) = receipts(tmp_path)
    asked = []
    monkeypatch.setattr(grid_spaces, "compute_rows", lambda *_, **__: iter(asked.append(1) or first))
    again = rows_of(grid)
    assert asked == [] and [(r.key, r.dim, r.unread) for r in again] == [(r.key, r.dim, r.unread) for r in first]
    assert [row.run.name for row in again] == [str(cell) for cell in grid.cells]
    for changed in (
        replace(grid, ks=(1,)), replace(grid, then=((), ("aqe:k=2",))), replace(grid, crop="map"),
        replace(grid, labels="stored"), replace(grid, encoder=replace(SMALL, size=96)),
        replace(grid, encoder=replace(SMALL, weights="hub")),
    ):  # fmt: skip
        rows_of(changed)
    assert len(asked) == 6
    run = tmp_path / "out" / "cells" / first[1].key / "run.json"
    text = run.read_text()
    for damage in ("{", None):
        run.write_text(damage) if damage else run.unlink()
        rows_of(grid)
    run.write_text(text)
    assert len(asked) == 8
    kept = file.read_text()
    for damage in ("", "{}", "[]", kept.replace(first[0].key, "../../etc/passwd"), kept[:-3], "[" * 100_000):
        file.write_text(damage)
        rows_of(grid)
    assert len(asked) == 14
    file.write_text(kept)
    rows_of(grid)
    assert len(asked) == 14
    for path in (photos / "a" / "1.jpg", others / "101.png"):
        Image.fromarray(picture(55)).save(path)
        rows_of(grid)
    assert len(asked) == 16


def test_a_grid_with_a_cell_that_failed_has_no_receipt(grid, tmp_path):
    (tmp_path / "others" / "100.png").write_bytes(b"no image")
    rows_of(replace(grid, descriptors=("spoc",), whitening=(0, 9)))
    assert receipts(tmp_path) == []


def test_a_second_run_computes_nothing(grid, tmp_path, encoded):
    first = rows_of(grid)
    assert len(encoded) == 12 + 10  # two descriptors, in one pass
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").rglob("*.*")}
    assert len(files) == 2 * len(first)
    encoded.clear()
    watched = []

    def watch(verb, total, unit):
        watched.append(verb)
        return contextlib.nullcontext(lambda done, failed: None)

    again = rows_of(grid, watch=watch)
    assert len(encoded) == 0 and watched == []
    assert all(row.reused for row in again) and [r.key for r in again] == [r.key for r in first]
    assert {path: path.stat().st_mtime_ns for path in files} == files
    for one, two in zip(first, again):
        same(one.run, two.run)


def test_more_lengths_of_whitening_describe_nothing_again(grid, encoded):
    rows_of(grid)
    encoded.clear()
    rows = rows_of(replace(grid, whitening=(0, 2, 3, 4)))
    assert len(encoded) == 0 and [row.reused for row in rows] == [True, False, True, False] * 2


@pytest.mark.parametrize("where", ["indexing images, 2 descriptors", "searching, cam:count=4, whitened"])
def test_an_interrupted_run_goes_on(grid, encoded, where):
    def watch(verb, total, unit):
        def progress(done, failed):
            if verb.startswith(where):
                raise KeyboardInterrupt

        return contextlib.nullcontext(progress)

    finished = []
    with pytest.raises(KeyboardInterrupt):
        finished.extend(run_grid(grid, read_inputs(grid), save=write_atomic, watch=watch))
    rows = rows_of(grid)
    assert [row.reused for row in rows] == ([False] * 4 if "index" in where else [True] * 3 + [False])
    assert len(encoded) == 12 + 10  # the interrupt comes when what it tells of is safe
    assert [row.reused for row in rows_of(grid)] == [True] * 4


def test_changed_and_vanished_images_are_noticed(grid, tmp_path, photos, others, encoded):
    rows_of(grid)
    encoded.clear()
    Image.fromarray(picture(77)).save(photos / "a" / "0.jpg")
    rows = rows_of(grid)
    assert len(encoded) == 1 and not any(row.reused for row in rows)  # one image, by two descriptors at once
    same(rows[1].run, by_hand(tmp_path, photos, others, "spoc", 3, ()))
    (photos / "b" / "7.png").unlink()
    rows = rows_of(grid)
    assert not any(row.reused for row in rows) and len(rows[0].run.queries) == 11
    encoded.clear()
    Image.fromarray(picture(78)).save(others / "100.png")  # concerns the whitened cells only
    assert [row.reused for row in rows_of(grid)] == [True, False] * 2 and len(encoded) == 1


def test_whatever_decides_a_cell_makes_another(grid):
    rows_of(grid)
    assert not any(row.reused for row in rows_of(replace(grid, ks=(1,))))
    assert not any(row.reused for row in rows_of(replace(grid, encoder=replace(SMALL, size=96))))
    assert all(row.reused for row in rows_of(grid))


def test_a_damaged_cell_is_done_again(grid, tmp_path):
    first = rows_of(grid)
    cells = tmp_path / "out" / "cells"
    (cells / first[0].key / "run.json").write_text("{")
    scores = (cells / first[1].key / "run.json").read_text()
    (cells / first[1].key / "run.json").write_text(scores.replace('"map_trapezoid"', '"map_trap"', 1))
    (cells / first[2].key / "run.json").unlink()
    assert [row.reused for row in rows_of(grid)] == [False, False, False, True]


def test_what_cannot_be_done_is_a_row_and_stops_nothing(grid, others):
    (others / "100.png").write_bytes(b"no image")
    grid = replace(grid, encoder=replace(SMALL, backbone="test_vit"), whitening=(0, 3, 9))
    rows = rows_of(grid)
    assert [row.run is not None for row in rows] == [True, True, False, False, False, False]
    assert rows[2].reason.startswith("whitening to 9 dimensions needs at least 10 vectors, got 9")
    assert all(row.reason.startswith("cam needs the weight (C, K) of a linear head") for row in rows[3:])


@pytest.mark.parametrize("more", [{"whitening": (0, 600)}, {"part_whitening": (0, 600), "descriptors": ("rmac",)}])
def test_what_is_longer_than_the_vectors_is_refused_first(grid, tmp_path, others, more):
    for number in range(601):  # so that there are images enough
        (others / f"{number:03d}.jpg").write_bytes(b"never read")
    with pytest.raises(InputError, match=r"whitening to 600 dimensions is not possible for .*, whose vectors have 96"):
        rows_of(replace(grid, **more))
    assert not (tmp_path / "out").exists()


def test_a_budget_is_in_the_protocol_and_the_key(grid):
    grid = replace(grid, descriptors=("spoc",), whitening=(0,), then=((), ("aqe:k=2",)))
    plain, timed = rows_of(grid), rows_of(replace(grid, budget=60.0))
    assert [row.run.protocol["budget"] for row in timed] == [None, 60.0]
    assert plain[0].key == timed[0].key and plain[1].key != timed[1].key
    assert [row.run.protocol["leak"] for row in timed] == [False, False]


def test_images_that_cannot_be_read_are_counted(grid, photos):
    (photos / "a" / "broken.png").write_bytes(b"\x89PNG and nothing more")
    rows = rows_of(grid)
    assert {row.unread for row in rows} == {1} and {len(row.run.queries) for row in rows} == {12}


def test_an_allowed_leak_is_said(grid, photos):
    grid = replace(grid, whiten_from=(str(photos),), allow_leak=True, descriptors=("spoc",))
    assert [row.run.protocol["leak"] for row in rows_of(grid)] == [False, True]


def test_the_network_is_loaded_once(grid, monkeypatch):
    loaded, make = [], Backbone.__init__

    def counted(self, *names, **options):
        loaded.append(names)
        make(self, *names, **options)

    monkeypatch.setattr(Backbone, "__init__", counted)
    assert len(rows_of(grid)) == 4 and len(loaded) == 1


def test_an_unknown_network_ends_it_at_once(grid):
    with pytest.raises(ValueError, match="test_resnett"):
        rows_of(replace(grid, encoder=replace(SMALL, backbone="test_resnett")))


def test_the_collections_are_left_as_they_were(grid, tmp_path):
    rows_of(grid)
    for folder in (tmp_path / "out" / "features").glob("*.resight"):
        with Collection.open(folder) as photos:
            assert photos.whitening is None and len(photos) == (10 if "-whitening" in folder.name else 12)
