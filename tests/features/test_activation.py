"""Class-weighted descriptors: the golden toy, the rules for classes, the door."""

import numpy as np
import pytest
import torch

from resight.errors import InputError
from resight.features.activation import cam, class_maps, class_vectors, head_logits, top_classes
from resight.features.crossweight import channel_weight
from resight.features.maps import unit


@pytest.fixture
def toy():
    """K = 4, H = 3, W = 5, C = 3: the map X, the source A of the CAMs, the head's weight."""
    k, h, w = np.meshgrid(np.arange(4), np.arange(3), np.arange(5), indexing="ij")
    x = np.maximum(0, (7 * k + 5 * h + 3 * w) % 11 - 4)
    a = (3 * k + 4 * h + 2 * w) % 7
    c, k = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
    weight = ((5 * k + 3 * c) % 7 - 3) / 3
    return torch.tensor(x[None]).float(), torch.tensor(a[None]).float(), torch.tensor(weight).float()


def test_golden_toy(toy):
    maps, source, weight = toy
    share = (maps != 0).float().mean((2, 3))
    np.testing.assert_allclose(share[0], [0.533333, 0.6, 0.466667, 0.6], atol=1e-6)
    np.testing.assert_allclose(channel_weight(maps)[0], [1.417066, 1.299283, 1.550597, 1.299283], atol=1e-6)
    vectors = class_vectors(maps, class_maps(source, weight, torch.arange(3)))
    expected = [
        [0.417800, 0.287305, 0, 0.861916],
        [0.585521, 0.121297, 0.603164, 0.527869],
        [0.697924, 0.053326, 0.572768, 0.426610],
    ]
    np.testing.assert_allclose(vectors[0], expected, atol=1e-6)
    np.testing.assert_allclose(unit(vectors.sum(1))[0], [0.609545, 0.165506, 0.421329, 0.650803], atol=1e-6)


def test_class_without_positive_evidence_is_zero(toy):
    maps, _, _ = toy
    weight = torch.tensor([[1.0, 0, 0, 0], [-1.0, -1, -1, -1], [0, 0, 0, 0]])
    cams = class_maps(maps, weight, torch.tensor([1, 0, 2]))
    assert not cams[0, 0].any() and not cams[0, 2].any()
    assert cams[0, 1].max() == 1 and cams.min() == 0
    vectors = class_vectors(maps, cams)
    assert not vectors[0, 0].any() and not vectors[0, 2].any()
    torch.testing.assert_close(cam(maps, weight, torch.tensor([1, 0, 2])), vectors[:, 1])


def test_own_classes_are_those_with_the_highest_logits(toy):
    maps, source, weight = toy
    both = torch.cat([maps, source])
    own = cam(both, weight, count=2)
    for i in range(2):
        top = sorted(range(3), key=lambda c: -float(both[i].mean((1, 2)) @ weight[c]))[:2]
        torch.testing.assert_close(own[i : i + 1], cam(both[i : i + 1], weight, torch.tensor([top])))
    logits = torch.tensor([[0.0, 1, 2], [2, 1, 0]])
    torch.testing.assert_close(
        cam(both, weight, count=1, logits=logits), cam(both, weight, torch.tensor([[2], [0]])), atol=1e-6, rtol=0
    )


def test_order_of_classes_does_not_matter_and_count_is_capped(toy):
    maps, _, weight = toy
    torch.testing.assert_close(cam(maps, weight, torch.tensor([2, 0, 1])), cam(maps, weight, torch.arange(3)))
    torch.testing.assert_close(cam(maps, weight, count=64), cam(maps, weight, torch.arange(3)))


def test_ties_go_to_the_lower_class():
    assert top_classes(torch.zeros(2, 100), 5).tolist() == [[0, 1, 2, 3, 4]] * 2
    assert top_classes(torch.tensor([[1.0, 2.0]]), 9).tolist() == [[1, 0]]


def test_mean_of_the_evidence_is_the_logit(toy):
    maps, _, weight = toy
    evidence = torch.einsum("ck,bkhw->bchw", weight, maps)
    torch.testing.assert_close(head_logits(maps, weight), evidence.mean((2, 3)))


def test_head_of_another_dtype(toy):
    maps, _, weight = toy
    torch.testing.assert_close(cam(maps, weight.double()), cam(maps, weight))
    assert cam(maps.double(), weight).dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": torch.tensor([0, 3])}, r"in 0\.\.2, got 0\.\.3"),
        ({"classes": torch.tensor([-1])}, r"in 0\.\.2, got -1"),
        ({"classes": torch.tensor([0.5])}, "whole numbers, got torch.float32"),
        ({"classes": torch.tensor([[0], [1]])}, r"B = 1 and n >= 1, got shape \(2, 1\)"),
        ({"classes": torch.empty(1, 0, dtype=torch.long)}, r"n >= 1, got shape \(1, 0\)"),
        ({"count": 0}, "count of cam must be at least 1, got 0"),
        ({"logits": torch.zeros(3)}, r"logits must be \(B, C\), got shape \(3,\)"),
        ({"head_weight": torch.zeros(3, 5)}, r"K = 4 as the feature map, got shape \(3, 5\)"),
        ({"head_weight": torch.zeros(3, 4, 1, 1)}, r"got shape \(3, 4, 1, 1\)"),
    ],
)
def test_door(toy, options, message):
    maps, _, weight = toy
    with pytest.raises(InputError, match=message):
        cam(maps, **{"head_weight": weight, **options})


def test_maps_and_cams_must_agree(toy):
    maps, _, _ = toy
    with pytest.raises(InputError, match=r"must agree in B, H, W, got \(1, 4, 3, 5\) and \(1, 2, 3, 4\)"):
        class_vectors(maps, torch.ones(1, 2, 3, 4))
