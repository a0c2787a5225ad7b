"""Descriptors as sums over places: against the descriptors themselves, hand arithmetic and literal loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.explain.similarity import Terms, describe_places, fuse_places, whiten_places
from resight.features import Whitening, pca_whitening
from resight.features.crossweight import channel_weight, spatial_weight
from resight.features.descriptor import parse_descriptor
from resight.features.look import Look, describe
from resight.features.multiscale import fuse_scales
from resight.features.regions import rmac_regions

pytestmark = pytest.mark.usefixtures("one_thread")

DESCRIPTORS = ["spoc", "spoc:centre=true", "mac", "gem", "gem:p=1", "gem:p=7.5", "crow", "rmac",
               "rmac:levels=2,include_global=true", "cam:count=3", "cam:fixed=4+1"]  # fmt: skip


def toy(seed=0, channels=6, height=5, width=7, classes=9, dtype=torch.float64, relu=False):
    draw = torch.Generator().manual_seed(seed)
    maps = torch.rand(1, channels, height, width, generator=draw, dtype=dtype)
    if relu:
        maps = (maps - 0.4).clamp(min=0)
    head = torch.randn(classes, channels, generator=draw, dtype=dtype)
    return Look(maps, maps, head, maps.mean((2, 3)) @ head.T)


def whitening(dim=4, width=6, seed=3):
    sample = np.random.default_rng(seed).normal(size=(60, width)) + 0.3
    return pca_whitening(sample, dim)


def whitened(vector, how):
    """In float64, as `Whitening.apply` does in float32."""
    found = (vector - torch.tensor(how.mean).double()) @ torch.tensor(how.projection).double()
    return found / found.norm()


def total(terms: Terms, direction) -> float:
    maps, constant = terms.towards(direction)
    return sum(float(one.sum()) for one in maps) + constant


@pytest.mark.parametrize("text", DESCRIPTORS)
def test_places_sum_to_the_cosine_of_any_two_images(text):
    descriptor = parse_descriptor(text)
    x, y = toy(0, relu=True), toy(1, height=6, width=4, relu=True)
    first, second = describe_places(x, descriptor), describe_places(y, descriptor)
    expected = describe(x, descriptor)[0], describe(y, descriptor)[0]
    torch.testing.assert_close(first.vector, expected[0], rtol=0, atol=1e-12)
    cosine = float(expected[0] @ expected[1])
    assert total(first, second.vector) == pytest.approx(cosine, abs=1e-12)
    assert total(second, first.vector) == pytest.approx(cosine, abs=1e-12)
    assert not first.constant.any()


@pytest.mark.parametrize("text", DESCRIPTORS)
def test_whitening_leaves_a_constant_and_sums_with_it(text):
    descriptor, how = parse_descriptor(text), whitening()
    x, y = toy(0, relu=True), toy(1, relu=True)
    first, second = (whiten_places(describe_places(look, descriptor), how) for look in (x, y))
    expected = [whitened(describe(look, descriptor)[0], how) for look in (x, y)]
    maps, constant = first.towards(second.vector)
    assert constant != 0
    assert float(maps[0].sum()) + constant == pytest.approx(float(expected[0] @ expected[1]), abs=1e-12)
    assert total(second, first.vector) == pytest.approx(float(expected[0] @ expected[1]), abs=1e-12)
    # As the library computes it, in float32.
    close = how.apply(describe(x, descriptor).numpy())[0] @ how.apply(describe(y, descriptor).numpy())[0]
    assert total(first, second.vector) == pytest.approx(float(close), abs=1e-5)


@pytest.mark.parametrize("text", ["rmac", "rmac:include_global=true", "cam:count=5"])
def test_whitened_parts_sum_too(text):
    descriptor, own, after = parse_descriptor(text), whitening(5), whitening(3, 5, seed=4)
    look = toy(2, relu=True)
    expected = describe(look, descriptor, part_whitening=own)[0]
    found = describe_places(look, descriptor, part_whitening=own)
    torch.testing.assert_close(found.vector, expected, rtol=0, atol=1e-12)
    assert found.constant.norm() > 0
    torch.testing.assert_close(whiten_places(found, after).vector, whitened(expected, after), rtol=0, atol=1e-12)


def test_a_class_without_evidence_takes_no_part_in_whitening():
    look = toy(2, relu=True)
    head = torch.cat([look.head, -look.head.abs()[:1]])  # the last is against everything
    look = Look(look.maps, look.maps, head, look.logits)
    descriptor, own = parse_descriptor("cam"), whitening(5)
    classes = torch.tensor([2, 9, 1])
    expected = describe(look, descriptor, classes=classes, part_whitening=own)[0]
    found = describe_places(look, descriptor, classes=classes, part_whitening=own)
    torch.testing.assert_close(found.vector, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", ["spoc", "gem", "mac", "rmac", "cam:count=3"])
def test_several_scales_sum_over_the_places_of_all(text):
    descriptor = parse_descriptor(text)
    looks = [toy(5, height=6, width=8, relu=True), toy(6, height=4, width=5, relu=True), toy(7, height=2, width=3)]
    vectors = torch.stack([describe(look, descriptor) for look in looks])
    expected = fuse_scales(vectors, descriptor.power)[0]
    found = fuse_places([describe_places(look, descriptor) for look in looks], descriptor.power)
    assert [tuple(one.shape[1:]) for one in found.places] == [(6, 8), (4, 5), (2, 3)]
    torch.testing.assert_close(found.vector, expected, rtol=0, atol=1e-12)


def test_several_scales_of_whitened_parts():
    descriptor, own = parse_descriptor("rmac"), whitening(5)
    looks = [toy(5, relu=True), toy(6, relu=True)]
    vectors = torch.stack([describe(look, descriptor, part_whitening=own) for look in looks])
    found = fuse_places([describe_places(look, descriptor, part_whitening=own) for look in looks])
    torch.testing.assert_close(found.vector, fuse_scales(vectors)[0], rtol=0, atol=1e-12)


def test_spoc_by_hand():
    """x = (1 + 2, 4 + 0) / 5; towards (1, 0) the places count 1/5 and 2/5."""
    look = Look(torch.tensor([[[[1.0, 2.0]], [[4.0, 0.0]]]]))
    (found,), constant = describe_places(look, parse_descriptor("spoc")).towards(torch.tensor([1.0, 0.0]).double())
    np.testing.assert_allclose(found, [[0.2, 0.4]], atol=1e-15)
    assert constant == 0


def test_a_maximum_counts_where_it_is_and_equal_ones_share():
    """Channels (3 at the right; 4 at both ends) of length 5: towards (1, 1), 2/5 | 0 | 3/5 + 2/5."""
    look = Look(torch.tensor([[[[1.0, 0.0, 3.0]], [[4.0, 1.0, 4.0]]]]))
    (found,), _ = describe_places(look, parse_descriptor("mac")).towards(torch.ones(2).double())
    np.testing.assert_allclose(found, [[0.4, 0.0, 1.0]], atol=1e-15)


def test_gem_is_gradient_times_activation():
    """Also what is meant by first order: GeM is its own first-order sum, nothing is left over."""
    maps = toy(3).maps.requires_grad_()
    direction = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pooled = maps.pow(3).mean((2, 3)).pow(1 / 3)[0]
    (pooled @ direction / pooled.detach().norm()).backward()
    expected = (maps.grad * maps.detach()).sum(1)[0]
    (found,), _ = describe_places(Look(maps.detach()), parse_descriptor("gem")).towards(direction)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_crow_by_loops():
    look, direction = toy(4, relu=True), torch.arange(6, dtype=torch.float64)
    places, channels = spatial_weight(look.maps)[0], channel_weight(look.maps)[0]
    pooled = torch.zeros(6, dtype=torch.float64)
    expected = torch.zeros(5, 7, dtype=torch.float64)
    for i in range(5):
        for j in range(7):
            term = look.maps[0, :, i, j] * places[i, j] * channels
            pooled += term
            expected[i, j] = term @ direction
    (found,), _ = describe_places(look, parse_descriptor("crow")).towards(direction)
    torch.testing.assert_close(found, expected / pooled.norm(), rtol=0, atol=1e-12)


def test_rmac_by_loops():
    look, direction = toy(4), torch.linspace(-1, 1, 6, dtype=torch.float64)
    maps, whole = look.maps[0], torch.zeros(6, dtype=torch.float64)
    expected = torch.zeros(5, 7, dtype=torch.float64)
    for top, left, side in rmac_regions(5, 7, 3):
        cells = [(i, j) for i in range(top, top + side) for j in range(left, left + side)]
        best = [max(cells, key=lambda at, k=k: float(maps[k, at[0], at[1]])) for k in range(6)]
        region = torch.stack([maps[k, i, j] for k, (i, j) in enumerate(best)])
        whole += region / region.norm()
        for k, (i, j) in enumerate(best):
            expected[i, j] += region[k] / region.norm() * direction[k]
    (found,), _ = describe_places(look, parse_descriptor("rmac")).towards(direction)
    torch.testing.assert_close(found, expected / whole.norm(), rtol=0, atol=1e-12)


def test_cam_by_loops():
    look, direction = toy(4, relu=True), torch.linspace(-1, 1, 6, dtype=torch.float64)
    maps, rare, whole = look.maps[0], channel_weight(look.maps)[0], torch.zeros(6, dtype=torch.float64)
    expected = torch.zeros(5, 7, dtype=torch.float64)
    for c in (2, 0, 7):
        heat = sum(look.head[c, k] * maps[k] for k in range(6)).clamp(min=0)
        heat = heat / heat.max() if heat.max() > 0 else heat
        vector = torch.stack([rare[k] * (maps[k] * heat).sum() for k in range(6)])
        if vector.norm() > 0:
            whole += vector / vector.norm()
            expected += sum(direction[k] * rare[k] * maps[k] * heat for k in range(6)) / vector.norm()
    (found,), _ = describe_places(look, parse_descriptor("cam"), classes=torch.tensor([2, 0, 7])).towards(direction)
    torch.testing.assert_close(found, expected / whole.norm(), rtol=0, atol=1e-12)


def test_class_maps_of_another_stage():
    own, other = toy(4, relu=True), toy(8, channels=3, height=3, width=4)
    look = Look(own.maps, other.maps, other.head, other.logits)
    descriptor = parse_descriptor("cam:count=4")
    expected = describe(look, descriptor)[0]
    torch.testing.assert_close(describe_places(look, descriptor).vector, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("text", DESCRIPTORS)
def test_a_dead_map_has_no_places(text):
    look = toy(0)
    dead = Look(look.maps * 0, look.source * 0, look.head, look.logits)
    found = describe_places(dead, parse_descriptor(text))
    assert not found.vector.any()
    assert torch.isfinite(found.places[0]).all()


@given(st.integers(0, 10_000), st.sampled_from(DESCRIPTORS), st.integers(1, 6), st.integers(1, 6))
def test_any_maps_sum(seed, text, height, width):
    draw = np.random.default_rng(seed)
    maps = torch.from_numpy(draw.integers(0, 4, (1, 6, height, width)).astype(np.float32))  # many equal ones
    look = Look(maps, maps, torch.from_numpy(draw.normal(size=(9, 6)).astype(np.float32)))
    descriptor = parse_descriptor(text)
    exact = Look(maps.double(), maps.double(), look.head.double())
    expected = describe(exact, descriptor, classes=_classes(look, descriptor))[0]
    found = describe_places(look, descriptor)
    torch.testing.assert_close(found.vector, expected, rtol=0, atol=1e-10)
    if text != "cam:count=3":
        assert float(found.vector.norm()) == pytest.approx(float(expected.norm()), abs=1e-10)


def _classes(look, descriptor):
    return look.best_classes(3) if str(descriptor) == "cam:count=3" else None


def test_whitening_to_zero_stays_zero():
    look = toy(0)
    vector = describe(look, parse_descriptor("spoc"))[0].numpy()
    terms = describe_places(look, parse_descriptor("spoc"))
    how = Whitening(vector, np.zeros((6, 2), np.float32))
    assert not whiten_places(terms, how).vector.any()


def test_one_image_at_a_time():
    maps = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputError, match="one image at a time, got a look at 2"):
        describe_places(Look(maps), parse_descriptor("spoc"))
