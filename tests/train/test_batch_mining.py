from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.train import batch_mining
from resight.train.batch_mining import balanced_batches, batch_hard, semi_hard

pytestmark = pytest.mark.usefixtures("one_thread")


def embedded(labels, seed=0, width=5):
    made = torch.randn((len(labels), width), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(made, dim=1), torch.tensor(labels, dtype=torch.int64)


def squared(vectors):
    points = vectors.double().numpy()
    return np.array([[((a - b) ** 2).sum() for b in points] for a in points])


def naive_hard(vectors, labels, same):
    distances, found = squared(vectors), []
    for query in range(len(labels)):
        fit = [place for place in range(len(labels)) if place != query and same[place] != same[query]]
        near = [(distances[query, place], place) for place in fit if labels[place] == labels[query]]
        far = [(distances[query, place], place) for place in fit if labels[place] != labels[query]]
        if near and far:
            found.append([query, max(near)[1], min(far)[1]])
    return found


def naive_semi_hard(vectors, labels, margin, same):
    distances, found = squared(vectors), []
    for query in range(len(labels)):
        fit = [place for place in range(len(labels)) if place != query and same[place] != same[query]]
        far = [(distances[query, place], place) for place in fit if labels[place] != labels[query]]
        for positive in (place for place in fit if labels[place] == labels[query] and far):
            beyond = [pair for pair in far if pair[0] > distances[query, positive]]
            if not beyond:
                found.append([query, positive, max(far)[1]])
            elif min(beyond)[0] < distances[query, positive] + margin:
                found.append([query, positive, min(beyond)[1]])
    return found


batches = st.lists(st.integers(0, 3), min_size=1, max_size=12)


@given(batches, st.integers(0, 20))
def test_batch_hard_is_the_naive_loop(labels, seed):
    vectors, classes = embedded(labels, seed)
    found = batch_hard(vectors, classes)
    assert found.tolist() == naive_hard(vectors, labels, range(len(labels)))
    assert found.dtype == torch.int64 and found.shape[1:] == (3,)


@given(batches, st.integers(0, 20), st.sampled_from([0.05, 0.5, 3.0]), st.sampled_from([1, 30, 10_000_000]))
def test_semi_hard_is_the_naive_loop(labels, seed, margin, block):
    vectors, classes = embedded(labels, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_mining, "BLOCK", block)
        found = semi_hard(vectors, classes, margin)
    assert found.tolist() == naive_semi_hard(vectors, labels, margin, range(len(labels)))
    assert found.dtype == torch.int64 and found.shape[1:] == (3,)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=12))
def test_images_with_the_same_content_are_neither_positive_nor_negative(drawn):
    labels, same = zip(*drawn)
    vectors, classes = embedded(labels)
    ids = torch.tensor(same)
    assert batch_hard(vectors, classes, ids).tolist() == naive_hard(vectors, labels, same)
    assert semi_hard(vectors, classes, 0.5, ids).tolist() == naive_semi_hard(vectors, labels, 0.5, same)


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(5))
def test_batch_hard_is_pytorch_metric_learnings(seed):
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    vectors, classes = embedded([*range(6)] * 4 + [6], seed)
    peer = torch.stack(miners.BatchHardMiner()(vectors, classes), 1)
    assert sorted(peer.tolist()) == batch_hard(vectors, classes).tolist()


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(5))
def test_semi_hard_takes_the_nearest_of_pytorch_metric_learnings(seed):
    """That library returns all semi-hard negatives of a pair; beyond them only pairs whose negatives are all nearer."""
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    vectors, classes = embedded([*range(5)] * 4, seed)
    square = distances.LpDistance(normalize_embeddings=False, power=2)
    miner = miners.TripletMarginMiner(margin=0.3, type_of_triplets="semihard", distance=square)
    apart, nearest = squared(vectors), {}
    for query, positive, negative in torch.stack(miner(vectors, classes), 1).tolist():
        best = nearest.setdefault((query, positive), negative)
        if apart[query, negative] < apart[query, best]:
            nearest[query, positive] = negative
    found = {(q, p): n for q, p, n in semi_hard(vectors, classes, 0.3).tolist()}
    assert nearest and {pair: found[pair] for pair in nearest} == nearest
    for query, positive in set(found) - set(nearest):
        others = [place for place in range(20) if classes[place] != classes[query]]
        assert apart[query, others].max() <= apart[query, positive]
        assert found[query, positive] == others[apart[query, others].argmax()]


def test_semi_hard_by_hand():
    """On a line: 0 and 2 are of one class, negatives at 3 and at .5."""
    line, classes = torch.tensor([[0.0], [2.0], [3.0], [0.5]]), torch.tensor([0, 0, 1, 2])
    # From 0: 3 lies beyond 2, 9 < 4 + 6. From 2: both are nearer than 0, of them .5 is the farther.
    assert semi_hard(line, classes, 6.0).tolist() == [[0, 1, 2], [1, 0, 3]]
    assert semi_hard(line, classes, 5.0).tolist() == [[1, 0, 3]]  # 9 < 4 + 5 does not hold: its loss is 0


def test_a_negative_as_far_as_the_positive_is_not_beyond_it():
    line, classes = torch.tensor([[0.0], [1.0], [-1.0], [1.5]]), torch.tensor([0, 0, 1, 1])
    assert [0, 1, 3] in semi_hard(line, classes, 5.0).tolist()


def test_a_batch_without_triplets_gives_none():
    for labels in ([0, 0, 0], [0, 1, 2], [0], []):
        vectors, classes = embedded(labels)
        assert batch_hard(vectors, classes).shape == semi_hard(vectors, classes, 0.1).shape == (0, 3)


def test_no_gradient_flows_and_half_precision_is_compared_in_single():
    vectors, classes = embedded([0, 0, 1, 1])
    half = vectors.half().requires_grad_()
    assert not batch_hard(half, classes).requires_grad
    assert torch.equal(batch_hard(half, classes), batch_hard(half.detach().float(), classes))


@given(st.lists(st.integers(1, 23), min_size=2, max_size=8), st.integers(2, 5), st.integers(2, 4), st.integers(0, 5))
def test_balanced_batches(sizes, per_class, classes, seed):
    assume(classes <= len(sizes))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    made = balanced_batches(labels, classes * per_class, per_class, seed, 3)
    for batch in made:
        counts = Counter(labels[batch].tolist())
        assert len(counts) == classes and set(counts.values()) == {per_class}
        for label in counts:
            own = [place for place in batch if labels[place] == label]
            assert len(set(own)) == min(per_class, sizes[label])
    assert {place for batch in made for place in batch} == set(range(len(labels)))
    groups = [-(-size // per_class) for size in sizes]
    assert len(made) == max(-(-sum(groups) // classes), max(groups))  # no more batches than needed
    assert made == balanced_batches(labels, classes * per_class, per_class, seed, 3)


def test_classes_of_one_size_come_once_each():
    labels = np.repeat(np.arange(10), 8)
    made = balanced_batches(labels, 20, 4, 0, 0)
    assert len(made) == 4 and Counter(place for batch in made for place in batch) == dict.fromkeys(range(80), 1)
    others = [balanced_batches(labels, 20, 4, seed, epoch) for seed, epoch in ((0, 1), (1, 0))]
    assert made not in others
    assert {frozenset(labels[batch].tolist()) for batch in made} != {
        frozenset(labels[batch].tolist()) for batch in others[0]
    }


def test_doors():
    labels = np.repeat(np.arange(5), 4)
    with pytest.raises(InputError, match="batch 33 and 4 per class: take a batch of 32"):
        balanced_batches(labels, 33, 4, 0, 0)
    with pytest.raises(InputError, match="at least 2 images each, got batch 8 and 1 per class: take a batch of 8"):
        balanced_batches(labels, 8, 1, 0, 0)
    with pytest.raises(InputError, match="batch 4 and 4 per class: take a batch of 8"):
        balanced_batches(labels, 4, 4, 0, 0)
    with pytest.raises(InputError, match="needs 8 classes, got 5: take a batch of 20, or more classes"):
        balanced_batches(labels, 32, 4, 0, 0)
    with pytest.raises(InputError, match="needs 2 classes, got 1: take more classes"):
        balanced_batches(labels * 0, 8, 4, 0, 0)
    with pytest.raises(InputError, match=r"expected embeddings \(B, d\) and labels \(B,\), got \(3, 2\) and \(2,\)"):
        batch_hard(torch.zeros(3, 2), torch.zeros(2))
