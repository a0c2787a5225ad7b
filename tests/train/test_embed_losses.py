import importlib
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from resight.errors import InputError
from resight.train import embed_losses
from resight.train.embed_losses import contrastive_loss, loss_names, make_loss, triplet_loss

pytestmark = pytest.mark.usefixtures("one_thread")
NEEDED = {"RankedListLoss": ":margin=0.5,Tn=1"}  # options without a default


def batch(count=12, width=6, seed=0, each=3):
    made = torch.randn((count, width), generator=torch.Generator().manual_seed(seed))
    return normalize(made, dim=1), torch.arange(count) // each


def triplets_of(labels, count=20, seed=0):
    dice, labels = np.random.default_rng(seed), labels.tolist()
    every = [
        (q, p, n)
        for q in range(len(labels))
        for p in range(len(labels))
        for n in range(len(labels))
        if q != p and labels[q] == labels[p] != labels[n]
    ]
    return torch.tensor([every[i] for i in dice.permutation(len(every))[:count].tolist()])


def package():
    return pytest.importorskip("pytorch_metric_learning.losses")


@given(st.integers(0, 50), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from(["mean", "sum"]))
def test_triplet_loss_is_the_naive_loop(seed, margin, reduction):
    vectors, labels = batch(seed=seed)
    triplets = triplets_of(labels, seed=seed)
    losses = []
    for q, p, n in triplets.tolist():
        query, positive, negative = (vectors[place].double().numpy() for place in (q, p, n))
        losses.append(max(0, margin + ((query - positive) ** 2).sum() - ((query - negative) ** 2).sum()))
    wanted = sum(losses) / (len(losses) if reduction == "mean" else 1)
    assert triplet_loss(vectors, triplets, margin, reduction).item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_triplet_loss_and_its_gradient_are_pytorch_metric_learnings(reduction):
    losses = package()
    distances = importlib.import_module("pytorch_metric_learning.distances")
    reducers = importlib.import_module("pytorch_metric_learning.reducers")
    reducer = reducers.MeanReducer() if reduction == "mean" else reducers.SumReducer()
    square = distances.LpDistance(normalize_embeddings=False, power=2)
    peer = losses.TripletMarginLoss(margin=0.1, distance=square, reducer=reducer)
    vectors, labels = batch()
    triplets = triplets_of(labels)
    ours, theirs = (vectors.clone().requires_grad_() for _ in range(2))
    loss = triplet_loss(ours, triplets, 0.1, reduction)
    other = peer(theirs, labels, tuple(triplets.T))
    loss.backward()
    other.backward()
    assert loss.item() == pytest.approx(other.item(), rel=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_contrastive_loss_of_a_tuple_is_cirtorchs():
    """One query, its positive and five negatives: six terms, though as triplets the positive stands in five."""
    vectors, _ = batch(7)
    loss = 0.5 * float(((vectors[0] - vectors[1]) ** 2).sum())
    for place in range(2, 7):
        loss += 0.5 * max(0.0, 1.2 - float((vectors[0] - vectors[place]).norm())) ** 2
    triplets = torch.tensor([[0, 1, n] for n in range(2, 7)])
    assert contrastive_loss(vectors, triplets, 1.2, "sum").item() == pytest.approx(loss, rel=1e-5)
    assert contrastive_loss(vectors, triplets, 1.2).item() == pytest.approx(loss / 6, rel=1e-5)
    pairs = torch.tensor([[0, 1]]), torch.tensor([[0, n] for n in range(2, 7)])
    assert contrastive_loss(vectors, pairs, 1.2, "sum").item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.oracle
def test_contrastive_loss_is_half_of_pytorch_metric_learnings():
    losses = package()
    distances = importlib.import_module("pytorch_metric_learning.distances")
    reducers = importlib.import_module("pytorch_metric_learning.reducers")
    plain = distances.LpDistance(normalize_embeddings=False)
    vectors, labels = batch()
    near, far = torch.tensor([[0, 1], [3, 5]]), torch.tensor([[0, 4], [7, 2], [8, 1]])
    mat = plain(vectors)
    wanted = 0.5 * (mat[0, 1] ** 2 + mat[3, 5] ** 2)
    wanted += 0.5 * sum(max(0, 1.3 - mat[a, b]) ** 2 for a, b in far.tolist())
    assert contrastive_loss(vectors, (near, far), 1.3, "sum").item() == pytest.approx(wanted.item(), rel=1e-5)
    peer = losses.ContrastiveLoss(pos_margin=0, neg_margin=1.3, distance=plain, reducer=reducers.SumReducer())
    linear = peer(vectors, labels, (near[:, 0], near[:, 1], far[:, 0], far[:, 1]))
    wanted = mat[0, 1] + mat[3, 5] + sum(max(0, 1.3 - mat[a, b]) for a, b in far.tolist())
    assert linear.item() == pytest.approx(wanted.item(), rel=1e-5)  # theirs is linear: hinge without the square


def test_equal_vectors_have_a_finite_gradient():
    vectors = torch.ones(3, 2, requires_grad=True)
    contrastive_loss(vectors, torch.tensor([[0, 1, 2]])).backward()
    assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("text", ["triplet", "contrastive", "TripletMarginLoss", "proxy-anchor"])
def test_no_triplets_are_a_loss_of_0_with_a_gradient_of_0(text):
    if "-" in text or "Loss" in text:
        package()
    vectors = batch()[0].requires_grad_()
    loss = make_loss(text, classes=4, dim=6)(vectors, batch()[1], torch.empty((0, 3), dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and vectors.grad.abs().sum() == 0


def test_own_losses_by_text():
    vectors, labels = batch()
    triplets = triplets_of(labels)
    for text, wanted in (
        ("triplet", triplet_loss(vectors, triplets)),
        ("Triplet: margin=.3, reduction=sum", triplet_loss(vectors, triplets, 0.3, "sum")),
        ("contrastive", contrastive_loss(vectors, triplets)),
        ("contrastive:margin=1.1", contrastive_loss(vectors, triplets, 1.1)),
    ):
        loss = make_loss(text)
        assert loss(vectors, labels, triplets).item() == wanted.item()
        assert loss.uses_triplets and loss.needs_triplets and not list(loss.parameters())
    with pytest.raises(InputError, match="the loss triplet is computed from triplets: choose a miner"):
        make_loss("triplet")(vectors, labels, None)


@pytest.mark.oracle
@pytest.mark.parametrize("text", ["multi-similarity:alpha=3,beta=40", "MultiSimilarityLoss: beta=40, alpha=3"])
def test_a_loss_of_the_package_by_both_forms_of_its_name(text):
    losses = package()
    vectors, labels = batch()
    triplets = triplets_of(labels)
    peer, ours = losses.MultiSimilarityLoss(alpha=3, beta=40), make_loss(text)
    assert ours(vectors, labels, None).item() == peer(vectors, labels).item()
    assert ours(vectors, labels, triplets).item() == peer(vectors, labels, tuple(triplets.T)).item()
    assert ours(vectors, labels, triplets).item() != ours(vectors, labels, None).item()
    assert ours.name == "MultiSimilarityLoss" and ours.uses_triplets and not ours.needs_triplets


def test_contrastive_of_the_package_by_its_class():
    losses = package()
    assert type(make_loss("ContrastiveLoss:pos_margin=0").loss) is losses.ContrastiveLoss
    assert type(make_loss("contrastive-loss").loss) is losses.ContrastiveLoss
    assert make_loss("contrastive").name == "contrastive"


def test_every_loss_of_the_package_computes_trains_and_is_saved():
    """Two steps each, with triplets and without; a loss that is given its state goes on alike."""
    package()
    vectors, labels = batch(16, 6, each=4)
    triplets = triplets_of(labels, 30)
    for name in embed_losses._classes():
        text = name + NEEDED.get(name, "")
        torch.manual_seed(0)
        loss = make_loss(text, classes=4, dim=6)
        if not loss.uses_triplets:
            with pytest.raises(ValueError, match="indices_tuple is not supported"):
                loss.loss(vectors, labels, tuple(triplets.T))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of indexing, in the histogram loss
            for given_ in (triplets, None):
                moved = vectors.clone().requires_grad_()
                made = loss(moved, labels, given_)
                made.backward()
                assert made.shape == () and torch.isfinite(made) and moved.grad.abs().sum() > 0, name
            assert all(weights.grad is not None for weights in loss.parameters()), name
            torch.manual_seed(1)
            again = make_loss(text, classes=4, dim=6)
            again.load_state_dict(loss.state_dict())
            assert again(vectors, labels, triplets).item() == loss(vectors, labels, triplets).item(), name


@pytest.mark.oracle
@pytest.mark.parametrize("text", ["proxy-anchor:alpha=16", "arcface", "sub-center-arc-face", "CosFaceLoss", "p2s-grad"])
def test_losses_with_weights_of_their_own_train_them(text):
    package()
    loss = make_loss(text, classes=4, dim=6)
    assert sum(weights.numel() for weights in loss.parameters()) in (24, 72)
    vectors, labels = batch()
    optimiser = torch.optim.SGD(loss.parameters(), 0.01)
    first = loss(vectors, labels, None)
    first.backward()
    optimiser.step()
    assert loss(vectors, labels, None).item() < first.item()


def test_a_learned_margin_is_a_weight():
    package()
    assert [weights.tolist() for weights in make_loss("margin:learn_beta=true,beta=1").parameters()] == [[1.0]]
    assert list(make_loss("margin").parameters()) == []


def test_names():
    assert loss_names()[:2] == ["triplet", "contrastive"]
    package()
    names = loss_names()
    assert {"multi-similarity", "nt-xent", "proxy-anchor", "circle"} <= set(names)
    assert len(names) == len(set(names))
    assert not {"cross-batch-memory", "manifold", "vic-reg", "self-supervised"} & set(names)
    for name in names:
        made = embed_losses.OWN.get(name) or embed_losses._class_of(name)
        assert made


def test_without_the_package(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

    monkeypatch.setattr(embed_losses.importlib, "import_module", missing)
    with pytest.raises(
        InputError, match=r"needs pytorch-metric-learning: pip install 'resight\[embed\]', or take trip"
    ):
        make_loss("multi-similarity")
    assert loss_names() == ["triplet", "contrastive"]
    assert make_loss("triplet").name == "triplet"


@pytest.mark.parametrize(
    "text, message",
    [
        ("triplt", "unknown loss 'triplt', did you mean 'triplet'"),
        ("cross-batch-memory", "unknown loss 'cross-batch-memory'"),
        ("", "unknown loss ''"),
        ("multi-similarity:alfa=2", "unknown option of MultiSimilarityLoss 'alfa', did you mean 'alpha'"),
        ("multi-similarity:distance=cosine", "unknown option of MultiSimilarityLoss 'distance'"),
        ("multi-similarity:alpha=x", "alpha of MultiSimilarityLoss must be a number, got 'x'"),
        ("multi-similarity:alpha=nan", "alpha of MultiSimilarityLoss must be a number within a million of 0"),
        ("multi-similarity:alpha=1,alpha=2", "option alpha of MultiSimilarityLoss is given more than once"),
        ("multi-similarity:alpha", "expected option=value after 'MultiSimilarityLoss:', got 'alpha'"),
        ("n-pairs:x=1", "NPairsLoss takes no options"),
        ("triplet-margin:swap=1", "swap of TripletMarginLoss must be true or false, got '1'"),
        ("arc-face:num_classes=3", "num_classes of ArcFaceLoss is known from the training data"),
        ("arc-face", "ArcFaceLoss has weights of its own: give make_loss classes and dim"),
        ("ranked-list", "RankedListLoss needs margin and Tn: write ranked-list:margin=...,Tn=..."),
        ("pnp:variant=X", "PNPLoss cannot be made: variant=X"),
        ("dynamic-soft-margin:num_bins=1.5", "DynamicSoftMarginLoss cannot be made"),
    ],
)
def test_doors_of_the_package(text, message):
    package()
    with pytest.raises(InputError) as caught:
        make_loss(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_doors():
    vectors, labels = batch()
    with pytest.raises(InputError, match="margin of triplet must be a number from 0 to 100, got -1"):
        make_loss("triplet:margin=-1")
    with pytest.raises(InputError, match="reduction of triplet must be mean or sum, got 'max'"):
        make_loss("triplet:reduction=max")
    with pytest.raises(InputError, match="unknown option of contrastive 'margn', did you mean 'margin'"):
        make_loss("contrastive:margn=1")
    with pytest.raises(InputError, match="unknown reduction 'max'"):
        triplet_loss(vectors, triplets_of(labels), reduction="max")
    with pytest.raises(InputError, match=r"whole numbers \(T, 3\), got shapes \(12, 6\) and torch.int64 \(1, 2\)"):
        triplet_loss(vectors, torch.tensor([[0, 1]]))
    with pytest.raises(InputError, match=r"whole numbers \(T, 3\), .* torch.float32"):
        contrastive_loss(vectors, torch.zeros(1, 3))
