"""What each step learns from: the triplets of an epoch, each image once, kept vectors that cannot be stale."""

import types

import numpy as np
import pytest
import torch

from resight.train.embed_mining import BalancedOrder, Mining, TripletOrder, batch_shape, count_steps
from resight.train.embed_network import make_embed_network
from resight.train.embed_options import make_embed_options

pytestmark = pytest.mark.usefixtures("one_thread")
ALONE = types.SimpleNamespace(global_rank=0, world_size=1)
LABELS = np.repeat(np.arange(4), 6)


def made(tmp_path, **given):
    options = make_embed_options(
        backbone="test_resnet", weights="random", size=32, keep=30, per_pair=4, batch=8, **given
    )
    network = make_embed_network(options)
    dice = torch.Generator().manual_seed(0)
    stored = {100 + place: torch.randint(0, 256, (3, 32, 32), generator=dice, dtype=torch.uint8) for place in range(24)}
    places = np.array(sorted(stored), np.int64)
    return Mining(network, options, stored, False, places, LABELS, np.arange(24), 0.1, "data", tmp_path)


def test_every_triplet_of_the_epoch_once(tmp_path):
    mining = made(tmp_path)
    order = TripletOrder(mining, count_steps(mining.options, LABELS), ALONE)
    keys = list(order)
    assert len(keys) == len(order) == 4
    found = []
    for epoch, places, triplets in keys:
        assert epoch == 0 and len(set(places)) == len(places) == len(np.unique(triplets))
        found += [tuple(places[one] - 100 for one in row) for row in triplets]
    assert sorted(found) == sorted(map(tuple, mining.of_epoch(0).triplets.tolist()))
    labels = LABELS[np.array(found)]
    assert (labels[:, 0] == labels[:, 1]).all() and (labels[:, 0] != labels[:, 2]).all()


def test_parts_of_several_processes_make_the_batch(tmp_path):
    mining = made(tmp_path)
    whole = list(TripletOrder(mining, 4, ALONE))
    parts = []
    for rank in range(2):
        strategy = types.SimpleNamespace(broadcast=lambda mined: mining.of_epoch(0))
        trainer = types.SimpleNamespace(global_rank=rank, world_size=2, strategy=strategy)
        parts.append(list(TripletOrder(mining, 4, trainer)))
    for step in range(4):

        def of(key):
            return [tuple(key[1][one] for one in row) for row in key[2]]

        assert sorted(of(parts[0][step]) + of(parts[1][step])) == sorted(of(whole[step]))


def test_mined_anew_when_it_is_time(tmp_path):
    mining = made(tmp_path, remine=2)
    first = mining.of_epoch(0)
    assert mining.row["epoch"] == 1
    assert mining.of_epoch(1) is first and mining.row is None
    kept = mining.state()
    again = made(tmp_path, remine=2)
    again.load(kept)
    assert np.array_equal(again.of_epoch(1).triplets, first.triplets)
    assert not np.array_equal(mining.of_epoch(2).triplets, first.triplets) and mining.row["epoch"] == 3


def test_kept_vectors_are_those_of_the_weights(tmp_path, monkeypatch):
    mining, calls = made(tmp_path), []
    real = Mining._describe
    monkeypatch.setattr(Mining, "_describe", lambda self: calls.append(1) or real(self))
    expected = mining.current()
    with torch.no_grad():
        pixels = torch.stack([mining.stored[int(place)] for place in mining.places])
        assert np.abs(mining.network(pixels).numpy() - expected).max() < 1e-5
    assert made(tmp_path).current() == pytest.approx(expected) and len(calls) == 1
    (file,) = (tmp_path / "features").iterdir()
    other = made(tmp_path)
    other.digest = "other data"
    other.current()
    assert len(calls) == 2 and not file.exists()
    (file,) = (tmp_path / "features").iterdir()
    file.write_bytes(file.read_bytes()[:-5])  # not whole
    other = made(tmp_path)
    other.digest = "other data"
    assert other.current() == pytest.approx(expected) and len(calls) == 3
    with torch.no_grad():
        mining.network.projection.mean += 0.1
    assert np.abs(mining.current() - expected).max() > 1e-3 and len(calls) == 4


def test_balanced_batches(tmp_path):
    options = make_embed_options(miner="batch-hard", batch=8, per_class=2)
    places = np.arange(24) + 100
    order = BalancedOrder(places, LABELS, options, count_steps(options, LABELS), ALONE)
    for epoch in (0, 1):
        order.set_epoch(epoch)
        keys = list(order)
        assert len(keys) == len(order) and {place for _, some in keys for place in some} == set(places.tolist())
        for _, some in keys:
            assert np.unique(LABELS[np.array(some) - 100], return_counts=True)[1].tolist() == [2] * 4


@pytest.mark.parametrize(("given", "expected"), [
    ({"keep": 10, "batch": 4}, 3),  # 10 kept of 4 * 3 * 70
    ({"per_pair": 1, "batch": 4}, 3),  # 12 drawn
    ({"miner": "hardest", "keep": 20, "negatives": 2, "batch": 4}, 5),  # 10 queries, 2 negatives each
    ({"miner": "hardest", "keep": 1000, "negatives": 5, "batch": 10}, 8),  # 24 queries, 3 other classes
    ({"miner": "batch-hard", "batch": 8, "per_class": 2}, 3),
])  # fmt: skip
def test_steps_of_an_epoch(given, expected):
    assert count_steps(make_embed_options(**given), LABELS) == expected


@pytest.mark.parametrize(("classes", "expected"), [(8, (32, 4)), (20, (32, 4)), (6, (30, 5)), (2, (32, 16))])
def test_too_few_classes_to_fill_a_batch_give_more_images_each(classes, expected):
    options = make_embed_options(miner="batch-hard", batch=32, per_class=4)
    labels = np.repeat(np.arange(classes), 20)
    assert batch_shape(options, classes) == expected
    order = BalancedOrder(np.arange(len(labels)), labels, options, count_steps(options, labels), ALONE)
    for _, places in order:
        assert len(np.unique(labels[list(places)])) == expected[0] // expected[1]
        assert len(places) <= expected[0]
