import numpy as np
import pytest
import torch
from PIL import Image
from training_samples import class_folders, clip_folders

from resight.errors import WorkError
from resight.train.augment import augmentation
from resight.train.data import (
    Batches,
    Decoded,
    Order,
    as_is,
    balance_weights,
    draw_seed,
    make_loader,
    read_stock,
    together,
    unwrap,
)
from resight.train.inputs import Fitting

FITTING = Fitting(32)


@pytest.fixture
def paths(tmp_path):
    """Place -> file of nine small pictures."""
    root = class_folders(tmp_path / "data", each=3)
    return dict(enumerate(sorted(root.rglob("*.png"))))


def dealt(order):
    return [places for _, places in order]


def test_each_image_once_an_epoch_in_batches_of_nearly_one_size():
    batches = dealt(Order(range(33), 32, seed=0))
    assert sorted(sum(batches, ())) == list(range(33))
    assert [len(places) for places in batches] == [17, 16]  # a batch of 1 would break batch normalisation


def test_the_order_depends_on_seed_and_epoch_alone():
    one, other, third = Order(range(20), 6, seed=3), Order(range(20), 6, seed=3), Order(range(20), 6, seed=4)
    dealt(one)  # an epoch that the other has not seen
    for order in (one, other, third):
        order.set_epoch(5)
    assert dealt(one) == dealt(other) != dealt(third)
    first = dealt(one)
    one.set_epoch(6)
    assert dealt(one) != first
    assert dealt(Order([4, 2, 9], 2)) == [(4, 2), (9,)]  # validation: as given


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_processes_share_every_batch(world):
    shares = [dealt(Order(range(12), 5, seed=1, rank=rank, world=world)) for rank in range(world)]
    whole = dealt(Order(range(12), 5, seed=1))
    for number, places in enumerate(whole):
        parts = [share[number] for share in shares]
        assert all(parts)
        assert set(sum(parts, ())) == set(places)
        if world <= len(places):
            assert sum(parts, ()) == places


def test_the_sampler_draws_each_class_alike():
    weights = [0.1] * 10 + [1.0]
    order = Order(range(11), 4, seed=0, weights=weights)
    drawn = []
    for epoch in range(300):
        order.set_epoch(epoch)
        drawn += sum(dealt(order), ())
    share = np.mean([place == 10 for place in drawn])
    assert share == pytest.approx(0.5, abs=0.03)  # 1 of 10 x 0.1 + 1
    assert len(drawn) == 300 * 11


def test_weights_of_classes_make_them_count_alike():
    labels = [0] * 5 + [1] * 3 + [2] * 2
    weights = balance_weights(labels, 3)
    totals = [weights[one] * labels.count(one) for one in range(3)]
    assert totals == pytest.approx([10 / 3] * 3)
    assert np.mean([weights[one] for one in labels]) == pytest.approx(1)


def test_neighbouring_seeds_differ():
    seeds = {draw_seed(seed, epoch, place) for seed in range(4) for epoch in range(10) for place in range(50)}
    assert len(seeds) == 4 * 10 * 50


def test_kept_and_decoded_pixels_are_the_same(paths):
    kept, decoded = read_stock(paths, FITTING), read_stock(paths, FITTING, limit=0)
    assert isinstance(kept.inputs, dict) and isinstance(decoded.inputs, Decoded)
    assert list(kept.inputs) == list(decoded.inputs) == list(paths)
    for place in paths:
        assert kept.inputs[place].shape == (3, 32, 32) and kept.inputs[place].dtype == torch.uint8
        assert torch.equal(kept.inputs[place], decoded.inputs[place])


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_unreadable_images_are_rows(paths, limit):
    paths[4].write_bytes(paths[4].read_bytes()[:60])
    paths[7].unlink()
    seen = []

    def watch(verb, total, unit):
        from contextlib import nullcontext

        seen.append((verb, total, unit))
        return nullcontext(lambda done, failed: seen.append((done, failed)))

    stock = read_stock(paths, FITTING, limit=limit, watch=watch)
    assert sorted(stock.skipped) == [4, 7] and stock.skipped[7] == "no such file"
    assert list(stock.inputs) == [0, 1, 2, 3, 5, 6, 8]
    assert seen[0] == ("reading" if limit else "checking", 9, "images") and seen[-1] == (9, 2)


def test_training_images_are_augmented_by_seed_epoch_and_place_alone(paths):
    stock = read_stock(paths, FITTING)
    labels = dict.fromkeys(paths, 0)
    look = together(augmentation("standard", 32), circle=False)
    batches = Batches(stock.inputs, labels, look, seed=1)
    one = batches[2, (0, 5)].inputs
    assert torch.equal(batches[2, (5, 0)].inputs.flip(0), one)  # whatever the batch it comes in
    assert not torch.equal(batches[3, (0, 5)].inputs, one)
    assert not torch.equal(Batches(stock.inputs, labels, look, seed=2)[2, (0, 5)].inputs, one)


def test_validation_is_not_augmented_and_what_is_stored_does_not_change(paths):
    stock = read_stock(paths, FITTING)
    before = {place: pixels.clone() for place, pixels in stock.inputs.items()}
    labels = dict.fromkeys(paths, 0)
    train = Batches(stock.inputs, labels, together(augmentation("deepsky", 32), circle=True), seed=0)
    val = Batches(stock.inputs, labels, as_is, seed=0)
    for epoch in range(3):
        keys = tuple(paths)
        assert not torch.equal(train[epoch, keys].inputs, torch.stack(list(before.values())))
        assert torch.equal(val[epoch, keys].inputs, torch.stack(list(before.values())))
    for place in paths:
        assert torch.equal(stock.inputs[place], before[place])


def test_workers_do_not_change_the_batches(paths):
    stock = read_stock(paths, FITTING, limit=0)
    batches = Batches(stock.inputs, {place: place % 3 for place in paths}, together(augmentation("flip", 32), False), 7)
    found = []
    for workers in (0, 2):
        order = Order(tuple(paths), 4, seed=7)
        epochs = []
        loader = make_loader(batches, order, workers)
        for epoch in range(2):
            order.set_epoch(epoch)
            epochs += [(batch.inputs, batch.labels) for batch in loader]
        found.append(epochs)
    assert len(found[0]) == 6
    for (inputs, labels), (others, other_labels) in zip(*found, strict=True):
        assert torch.equal(inputs, others) and torch.equal(labels, other_labels)


def test_starting_a_loader_uses_no_random_numbers(paths):
    stock = read_stock(paths, FITTING)
    loader = make_loader(Batches(stock.inputs, dict.fromkeys(paths, 0), as_is, 0), Order(tuple(paths), 4), 0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(loader)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_vanishes_is_one_line(paths, workers):
    stock = read_stock(paths, FITTING, limit=0)
    paths[0].unlink()
    batches = Batches(stock.inputs, dict.fromkeys(paths, 0), as_is, 0)
    (batch,) = make_loader(batches, Order([0, 1], 2), workers)
    assert isinstance(batch, WorkError)
    with pytest.raises(WorkError, match=r"0\.png: no such file; it could be read before.*--resume"):
        unwrap(batch)


def test_sequences_of_unequal_length_are_padded(tmp_path):
    root = clip_folders(tmp_path / "clips", each=3)
    clips = dict(enumerate(sorted((root / "blue").iterdir())))
    stock = read_stock(clips, Fitting(32, frames=4))
    assert [len(stock.inputs[place]) for place in clips] == [2, 3, 4]  # of 2, 3 and 5 frames
    batch = Batches(stock.inputs, {0: 1, 1: 0, 2: 1}, as_is, 0)[0, (0, 2)]
    assert batch.inputs.shape == (2, 4, 3, 32, 32) and batch.lengths.tolist() == [2, 4]
    assert torch.equal(batch.inputs[0, :2], stock.inputs[0]) and not batch.inputs[0, 2:].any()
    assert batch.labels.tolist() == [1, 1]


def test_a_frame_that_cannot_be_read_is_a_row_that_names_it(tmp_path):
    root = clip_folders(tmp_path / "clips", each=3)
    clips = dict(enumerate(sorted((root / "blue").iterdir())))
    (clips[1] / "1.png").write_bytes(b"nothing")
    stock = read_stock(clips, Fitting(32, frames=4))
    assert list(stock.inputs) == [0, 2] and list(stock.skipped) == [1]
    assert "1.png" in stock.skipped[1] or "frame 2" in stock.skipped[1]


def test_all_frames_of_a_sequence_are_augmented_alike(tmp_path):
    (tmp_path / "clip").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for frame in range(3):
        Image.fromarray(noise).save(tmp_path / "clip" / f"{frame}.png")
    clip = Fitting(32, frames=3)(tmp_path / "clip")
    seen = together(augmentation("standard", 32), circle=False)(clip, 11)
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], clip[0])


def test_outside_the_circle_stays_black(paths):
    look = together(augmentation("standard", 32), circle=True)
    seen = look(Fitting(32, circle=True)(paths[0]), 3)
    assert not seen[:, 0, 0].any() and not seen[:, -1, -1].any() and seen[:, 16, 16].any()
