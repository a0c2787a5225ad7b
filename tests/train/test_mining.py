import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resight.errors import InputError, WorkError
from resight.train import mining
from resight.train.mining import MINERS, mine_hardest, mine_ranked, spread, triplet_losses


def units(count, width=6, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def loss_of(vectors, triplet, margin):
    query, positive, negative = (vectors[place].astype(np.float64) for place in triplet)
    return max(0.0, margin + ((query - positive) ** 2).sum() - ((query - negative) ** 2).sum())


def sound(mined, vectors, labels, margin, same=None):
    """What holds for whatever a miner finds."""
    labels = np.asarray(labels)
    query, positive, negative = mined.triplets.T
    assert mined.triplets.dtype == np.int64 and mined.triplets.shape == (len(mined.losses), 3)
    assert (query != positive).all()
    assert (labels[query] == labels[positive]).all() and (labels[query] != labels[negative]).all()
    assert (np.diff(mined.losses) <= 0).all()
    wanted = [loss_of(vectors, triplet, margin) for triplet in mined.triplets]
    np.testing.assert_allclose(mined.losses, wanted, atol=1e-5)
    assert len(set(map(tuple, mined.triplets.tolist()))) == len(mined.triplets)
    assert len(mined.triplets) <= mined.drawn and mined.nonzero <= mined.drawn
    if same is not None:
        same = np.asarray(same)
        assert (same[query] != same[positive]).all()
        assert (same[negative] != same[query]).all() and (same[negative] != same[positive]).all()


labelled = st.lists(st.integers(0, 3), min_size=3, max_size=14)


@given(labelled, st.integers(1, 8), st.integers(1, 30), st.integers(0, 5))
def test_ranked_is_sound_and_the_same_again(labels, per_pair, keep, seed):
    sizes = np.bincount(labels)
    assume((sizes > 0).sum() > 1 and sizes.max() > 1)
    vectors, labels = units(len(labels), seed=seed), np.array(labels)
    first, again = (
        mine_ranked(vectors, labels, per_pair=per_pair, keep=keep, margin=0.5, seed=seed, epoch=2) for _ in range(2)
    )
    sound(first, vectors, labels, 0.5)
    assert len(first.triplets) <= keep
    assert first.drawn == (sizes > 1).sum() * ((sizes > 0).sum() - 1) * per_pair
    np.testing.assert_array_equal(first.triplets, again.triplets)
    np.testing.assert_array_equal(first.losses, again.losses)


def test_ranked_finds_every_triplet_hardest_first():
    """With enough draws all that there are, in the order of a naive loop."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    vectors = units(6)
    every = [
        (q, p, n) for q, p, n in itertools.product(range(6), repeat=3) if q != p and labels[q] == labels[p] != labels[n]
    ]
    hardest = sorted(every, key=lambda triplet: -loss_of(vectors, triplet, 4.0))
    mined = mine_ranked(vectors, labels, per_pair=2000, keep=1000, margin=4.0, seed=0, epoch=0)
    assert [tuple(triplet) for triplet in mined.triplets.tolist()] == hardest
    some = mine_ranked(vectors, labels, per_pair=2000, keep=7, margin=4.0, seed=0, epoch=0)
    assert [tuple(triplet) for triplet in some.triplets.tolist()] == hardest[:7]
    assert some.drawn == mined.drawn == 2 * 2 * 2000  # class 2 has one image: no query


def test_ranked_draws_evenly():
    """Every query, positive and negative of a pair of classes is as likely as any other."""
    labels = np.repeat([0, 1, 2], [4, 3, 2])
    vectors, counts = units(9), np.zeros((9, 9, 9))
    places = np.split(np.arange(9), [4, 7])
    dice = np.random.default_rng(0)
    triplets = mining._draw(places[0], places[1:], 12_000, dice)
    np.add.at(counts, tuple(triplets.T), 1)
    for others in places[1:]:
        wanted = 12_000 / (4 * 3 * len(others))
        pairs = [counts[q, p][others] for q in range(4) for p in range(4) if p != q]
        np.testing.assert_allclose(pairs, wanted, rtol=0.2)
    assert counts.sum() == 24_000 == sum(np.sum(pair) for pair in counts[:4, :4])
    assert mine_ranked(vectors, labels, seed=0, epoch=0).drawn == 3 * 2 * 70


def test_the_predecessors_number_of_draws():
    """14 classes: 14 * 13 ordered pairs, 70 each."""
    labels = np.repeat(np.arange(14), 10)
    mined = mine_ranked(units(140), labels, margin=8.0, seed=1, epoch=0)
    assert (mined.drawn, mined.nonzero, mined.share) == (12_740, 12_740, 1.0)
    assert len(mined.triplets) == 1600


def test_another_epoch_or_seed_draws_others():
    labels = np.repeat(np.arange(4), 8)
    vectors = units(32)
    draws = [mine_ranked(vectors, labels, per_pair=3, seed=s, epoch=e).triplets for s, e in ((0, 0), (0, 1), (1, 0))]
    assert not np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


def test_the_share_with_a_loss_is_of_all_that_were_drawn():
    """Two far classes of equal images: no triplet has a loss; labels mixed up: those with p unlike q have."""
    vectors = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)
    good = mine_ranked(vectors, np.repeat([0, 1], 4), seed=0, epoch=0)
    assert good.nonzero == 0 and good.share == 0 and good.drawn == 140
    bad = mine_ranked(vectors, np.tile([0, 1], 4), keep=5, seed=0, epoch=0)
    assert 0 < bad.nonzero < 140 and len(bad.triplets) == 5 and bad.losses[0] == pytest.approx(2.1)


@given(labelled, st.integers(1, 9), st.integers(1, 4), st.integers(0, 5))
def test_hardest_is_sound_and_takes_one_image_of_a_class(labels, queries, negatives, seed):
    sizes = np.bincount(labels)
    assume((sizes > 0).sum() > 1 and sizes.max() > 1)
    vectors, labels = units(len(labels), seed=seed), np.array(labels)
    mined = mine_hardest(vectors, labels, queries=queries, negatives=negatives, seed=seed, epoch=1)
    sound(mined, vectors, labels, 0.1)
    asked = {query for query, _, _ in mined.triplets.tolist()}
    assert len(asked) == min(queries, sizes[sizes > 1].sum())
    for query in asked:
        own = mined.triplets[mined.triplets[:, 0] == query]
        assert len(set(own[:, 1].tolist())) == 1
        assert len(own) == min(negatives, (sizes > 0).sum() - 1) == len(set(labels[own[:, 2]].tolist()))


@pytest.mark.oracle
@pytest.mark.parametrize("block", [1, 60, 10_000_000])
def test_hardest_is_cirtorchs_loop(block, monkeypatch):
    """As create_epoch_tuples: down the ranking, what is of another cluster than query and those taken, until enough."""
    monkeypatch.setattr(mining, "BLOCK", block)
    labels = np.repeat(np.arange(6), [5, 4, 3, 3, 2, 1])[np.random.default_rng(3).permutation(18)]
    vectors = units(18)
    mined = mine_hardest(vectors, labels, queries=12, negatives=3, seed=4, epoch=0)
    assert len(mined.triplets) == 36
    for query in {query for query, _, _ in mined.triplets.tolist()}:
        wanted, clusters = [], [labels[query]]
        for place in np.argsort(-(vectors @ vectors[query])):
            if labels[place] not in clusters and len(wanted) < 3:
                wanted.append(place)
                clusters.append(labels[place])
        assert set(mined.triplets[mined.triplets[:, 0] == query][:, 2].tolist()) == set(wanted)


def test_hardest_asks_for_others_each_epoch():
    labels, vectors = np.repeat(np.arange(4), 10), units(40)
    asked = [
        {q for q, _, _ in mine_hardest(vectors, labels, queries=12, seed=0, epoch=epoch).triplets.tolist()}
        for epoch in range(20)
    ]
    assert len(set(map(frozenset, asked))) == 20
    assert set.union(*asked) == set(range(40))  # one is left out of 20 draws once in a thousand


def test_ranked_does_not_depend_on_the_block(monkeypatch):
    labels, vectors = np.repeat(np.arange(4), 5), units(20)
    whole = mine_ranked(vectors, labels, per_pair=20, keep=50, seed=0, epoch=0)
    monkeypatch.setattr(mining, "BLOCK", 30)
    parts = mine_ranked(vectors, labels, per_pair=20, keep=50, seed=0, epoch=0)
    np.testing.assert_array_equal(whole.triplets, parts.triplets)
    np.testing.assert_array_equal(whole.losses, parts.losses)
    assert spread(vectors) == pytest.approx(1.4, abs=0.1)


@given(labelled, st.data())
def test_images_with_the_same_content_are_never_each_others_negative(labels, data):
    same = data.draw(st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels)))
    distinct = [len({s for s, own in zip(same, labels) if own == label}) for label in set(labels)]
    assume(len(distinct) > 1 and max(distinct) > 1)
    labels, same = np.array(labels), np.array(same)
    vectors = units(10)[same]
    ranked = mine_ranked(vectors, labels, per_pair=5, seed=0, epoch=0, same=same)
    sound(ranked, vectors, labels, 0.1, same)
    sound(mine_hardest(vectors, labels, queries=9, seed=0, epoch=0, same=same), vectors, labels, 0.1, same)


def test_a_class_that_is_a_copy_gives_no_negative():
    vectors = units(4)[[0, 1, 0, 1, 2, 3]]
    labels, same = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 2, 3])
    for mined in (
        mine_ranked(vectors, labels, seed=0, epoch=0, same=same),
        mine_hardest(vectors, labels, queries=6, seed=0, epoch=0, same=same),
    ):
        pairs = {(int(labels[q]), int(labels[n])) for q, _, n in mined.triplets.tolist()}
        assert pairs == {(0, 2), (1, 2), (2, 0), (2, 1)}
    assert mine_ranked(vectors, labels, seed=0, epoch=0, same=same).drawn == 4 * 70


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 9))
def test_spread_is_the_root_of_the_mean_squared_distance(count, width, seed):
    vectors = units(count, width, seed)
    pairs = [((a.astype(np.float64) - b) ** 2).sum() for a, b in itertools.combinations(vectors, 2)]
    assert spread(vectors) == pytest.approx(np.sqrt(np.mean(pairs)), abs=1e-6)
    mean = vectors.mean(0, dtype=np.float64)
    closed = 2 * (1 - mean @ mean) * count / (count - 1)
    assert spread(vectors) ** 2 == pytest.approx(closed, abs=1e-5)


def test_spread_is_exact_where_everything_is_one():
    assert spread(np.repeat(units(1), 9, axis=0)) == 0
    near = np.array([[1, 1e-6], [1, -1e-6]])  # 1 - |mean|^2 would be 0 or worse in float32
    assert spread(near.astype(np.float32)) == pytest.approx(2e-6, rel=1e-5)
    with pytest.raises(InputError, match=r"at least 2 vectors \(N, D\), got shape \(1, 6\)"):
        spread(units(1))


def test_triplet_losses_by_hand():
    vectors = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    found = triplet_losses(vectors, np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2]]), 0.5)
    assert found.tolist() == [0.0, 3.5, 0.0] and found.dtype == np.float32
    assert triplet_losses(vectors, np.empty((0, 3), np.int64), 0.5).shape == (0,)


def test_the_miners_say_where_they_look():
    assert MINERS == {"ranked": "offline", "hardest": "offline", "batch-hard": "in-batch", "semi-hard": "in-batch"}
    assert repr(mine_ranked(units(4), np.array([0, 0, 1, 1]), margin=9.0, seed=0, epoch=0, keep=3)) == (
        "<Mined 3 of 140 triplets, 140 with a loss>"
    )


def test_doors():
    vectors, labels = units(6), np.array([0, 0, 0, 1, 1, 1])
    for mine in (mine_ranked, lambda *given, **more: mine_hardest(*given, queries=3, **more)):
        with pytest.raises(InputError, match="images of at least 2 classes, got 1: give a folder"):
            mine(vectors, np.zeros(6, int), seed=0, epoch=0)
        with pytest.raises(InputError, match="a class with at least 2 different images, the 6 classes have one each"):
            mine(vectors, np.arange(6), seed=0, epoch=0)
        with pytest.raises(InputError, match="a class with at least 2 different images"):
            mine(vectors, labels, seed=0, epoch=0, same=labels)
        with pytest.raises(InputError, match=r"labels must be whole numbers \(6,\).* got int64 of shape \(5,\)"):
            mine(vectors, labels[:5], seed=0, epoch=0)
        with pytest.raises(InputError, match="same must be whole numbers"):
            mine(vectors, labels, seed=0, epoch=0, same=labels * 0.5)
        with pytest.raises(InputError, match=r"vectors must be floats \(N, D\)"):
            mine(labels, labels, seed=0, epoch=0)
        with pytest.raises(WorkError, match="NaN or infinity: lower the learning rate"):
            mine(vectors * np.nan, labels, seed=0, epoch=0)
    with pytest.raises(InputError, match="per_pair must be 1 to 10,000 and keep at least 1, got 0 and 5"):
        mine_ranked(vectors, labels, per_pair=0, keep=5, seed=0, epoch=0)
    with pytest.raises(InputError, match="queries and negatives must be at least 1, got 3 and 0"):
        mine_hardest(vectors, labels, queries=3, negatives=0, seed=0, epoch=0)
    many = np.repeat(np.arange(1500), 2)
    with pytest.raises(InputError, match=r"70 triplets for each of 2,248,500 pairs .* take at most 44 a pair"):
        mine_ranked(units(3000, 2), many, seed=0, epoch=0)
