"""Every pooling against a naive loop, and what all of them promise: length 1, zeros stay zeros, batch equals single."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.errors import InputError
from resight.features.pooling import POOLINGS, centre_prior, gem, mac, spoc
from resight.features.regions import rmac_regions

CLASSES = 7


def feature_maps(shape, seed=0):
    """Like the output of a ReLU: about half zeros, a dead channel and a dead place in each image."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(shape, generator=generator).relu()
    if shape[1] > 2:
        maps[:, 1] = 0
    if min(shape[2:]) > 1:
        maps[:, :, 0, 0] = 0
    return maps


def head(channels, seed=1):
    return torch.randn(CLASSES, channels, generator=torch.Generator().manual_seed(seed))


def pool(name, maps, **options):
    return POOLINGS[name](maps, head(maps.shape[1]), **options) if name == "cam" else POOLINGS[name](maps, **options)


def length_one(vector):
    norm = math.sqrt(sum(v * v for v in vector))
    return [v / norm for v in vector] if norm > 0 else list(vector)


def naive_channel_weight(maps):
    shares = [np.count_nonzero(channel) / channel.size for channel in maps]
    return [math.log(sum(shares) / share) if share > 0 else 0.0 for share in shares]


def naive_mac(maps):
    return [channel.max() for channel in maps]


def naive_spoc(maps, centre=False):
    _, height, width = maps.shape
    sigma = min(height, width) / 2 / 3
    total = [0.0] * len(maps)
    for k in range(len(maps)):
        for i in range(height):
            for j in range(width):
                distance = (i + 0.5 - height / 2) ** 2 + (j + 0.5 - width / 2) ** 2
                total[k] += maps[k, i, j] * (math.exp(-distance / (2 * sigma**2)) if centre else 1)
    return total


def naive_gem(maps, p=3.0, eps=1e-6):
    if maps.max() <= eps:
        return [0.0] * len(maps)
    return [(sum(max(v, eps) ** p for v in channel.flat) / channel.size) ** (1 / p) for channel in maps]


def naive_crow(maps):
    places = [[maps[:, i, j].sum() for j in range(maps.shape[2])] for i in range(maps.shape[1])]
    norm = math.sqrt(sum(v * v for row in places for v in row))
    total = [0.0] * len(maps)
    for k, weight in enumerate(naive_channel_weight(maps)):
        for i in range(maps.shape[1]):
            for j in range(maps.shape[2]):
                total[k] += weight * maps[k, i, j] * (math.sqrt(places[i][j] / norm) if norm > 0 else 0)
    return total


def naive_rmac(maps, levels=3, include_global=False):
    regions = [maps[:, y : y + side, x : x + side] for y, x, side in rmac_regions(*maps.shape[1:], levels)]
    total = np.zeros(len(maps))
    for region in regions + ([maps] if include_global else []):
        total += length_one([channel.max() for channel in region])
    return total


def naive_cam(maps, count=64):
    weight = head(len(maps)).double().numpy()
    logits = weight @ maps.mean((1, 2))
    total = np.zeros(len(maps))
    for c in sorted(range(CLASSES), key=lambda c: -logits[c])[:count]:
        activation = np.zeros(maps.shape[1:])
        for k in range(len(maps)):
            activation += maps[k] * weight[c, k]
        activation = np.maximum(activation, 0)
        if activation.max() > 0:
            activation /= activation.max()
        f = [cw * (maps[k] * activation).sum() for k, cw in enumerate(naive_channel_weight(maps))]
        total += length_one(f)
    return total


NAIVE = {
    "mac": naive_mac,
    "spoc": naive_spoc,
    "gem": naive_gem,
    "crow": naive_crow,
    "rmac": naive_rmac,
    "cam": naive_cam,
}
SHAPES = [(1, 6, 1, 1), (2, 6, 4, 4), (3, 9, 5, 8), (2, 5, 7, 3), (2, 4, 1, 6)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in POOLINGS]
    + [
        ("spoc", {"centre": True}),
        ("gem", {"p": 1.0}),
        ("gem", {"p": 4.7}),
        ("rmac", {"levels": 5, "include_global": True}),
        ("cam", {"count": 3}),
    ],
)
def test_equals_naive_loop(name, options, shape):
    maps = feature_maps(shape)
    expected = [length_one(NAIVE[name](image, **options)) for image in maps.double().numpy()]
    np.testing.assert_allclose(pool(name, maps, **options), expected, atol=2e-6)


@pytest.mark.parametrize("name", POOLINGS)
def test_batch_equals_single_in_any_layout(name):
    maps = feature_maps((4, 16, 5, 7))
    single = torch.cat([pool(name, image[None]) for image in maps])
    torch.testing.assert_close(pool(name, maps), single, atol=1e-6, rtol=0)
    layouts = [maps.to(memory_format=torch.channels_last), maps.transpose(2, 3).contiguous().transpose(2, 3)]
    for other in [*layouts, feature_maps((4, 16, 5, 7)).repeat_interleave(2, 0)[::2]]:
        torch.testing.assert_close(pool(name, other), single, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", POOLINGS)
def test_rows_have_length_one_and_zero_maps_stay_zero(name):
    maps = feature_maps((3, 8, 4, 4))
    maps[1] = 0
    vectors = pool(name, maps)
    torch.testing.assert_close(vectors.norm(dim=1), torch.tensor([1.0, 0.0, 1.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(vectors[2], pool(name, maps[2:])[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(name, dtype):
    maps = feature_maps((2, 8, 6, 6)).to(dtype)
    vectors = pool(name, maps)
    assert vectors.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(vectors.float(), pool(name, maps.float()), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", POOLINGS)
def test_autocast_does_not_lower_the_precision(name):
    maps = feature_maps((2, 32, 6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        vectors = pool(name, maps)
    torch.testing.assert_close(vectors, pool(name, maps), atol=1e-6, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", POOLINGS)
def test_cuda_equals_cpu(name):
    maps = feature_maps((3, 16, 7, 9))
    vectors = pool(name, maps.cuda())
    assert vectors.is_cuda
    torch.testing.assert_close(vectors.cpu(), pool(name, maps), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", POOLINGS)
def test_range_of_values_does_not_matter(name):
    maps = feature_maps((2, 8, 4, 5))
    for factor in (1e-30, 1e30) if name != "gem" else (1e5, 1e30):
        torch.testing.assert_close(pool(name, maps * factor), pool(name, maps), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", POOLINGS)
def test_signed_maps_and_empty_batch(name):
    signed = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(3))
    assert torch.isfinite(pool(name, signed)).all()
    assert torch.isfinite(pool(name, -signed.abs())).all()
    assert pool(name, torch.empty(0, 8, 4, 4)).shape == (0, 8)


@pytest.mark.parametrize("name", POOLINGS)
def test_gradients_are_finite_and_reach_the_map(name):
    maps = feature_maps((2, 8, 4, 4))
    maps[1] = 0
    maps.requires_grad_()
    pool(name, maps)[:, 0].sum().backward()
    assert torch.isfinite(maps.grad).all()
    assert maps.grad[0].abs().sum() > 0


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.ones(8, 4, 4), r"must be \(B, K, H, W\).*got shape \(8, 4, 4\)"),
        (torch.ones(2, 8, 0, 4), r"K, H, W of at least 1, got shape \(2, 8, 0, 4\)"),
        (torch.ones(2, 8, 4, 4, dtype=torch.uint8), r"floating point, got torch.uint8"),
    ],
)
def test_door(name, maps, message):
    with pytest.raises(InputError, match=message):
        POOLINGS[name](maps, head(8)) if name == "cam" else POOLINGS[name](maps)


def test_gem_by_hand():
    maps = torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]], dtype=torch.float64)
    expected = np.array([((1 + 27) / 2) ** (1 / 3), 2.0])
    np.testing.assert_allclose(gem(maps)[0], expected / np.linalg.norm(expected), atol=1e-12)


def test_gem_is_spoc_at_one_and_nears_mac():
    maps = feature_maps((2, 8, 5, 5)) + 0.1
    torch.testing.assert_close(gem(maps, p=1.0), spoc(maps), atol=1e-6, rtol=0)
    torch.testing.assert_close(gem(maps, p=2000.0), mac(maps), atol=2e-3, rtol=0)


def test_gem_learns_p():
    maps = feature_maps((2, 4, 3, 3)).double() + 0.2
    p = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, x: gem(x, p), (p, maps.requires_grad_()))
    assert torch.equal(gem(maps, p), gem(maps, 3.0))


@pytest.mark.parametrize("p", [0, -1.0, float("nan"), float("inf")])
def test_gem_refuses_p(p):
    with pytest.raises(InputError, match="p of gem must be above 0"):
        gem(torch.ones(1, 2, 3, 3), p=p)


def test_gem_refuses_eps():
    with pytest.raises(InputError, match="eps of gem must be above 0, got 0"):
        gem(torch.ones(1, 2, 3, 3), eps=0)


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(0, 1000), st.sampled_from(["mac", "spoc", "gem", "crow", "cam"])
)
@settings(max_examples=40, deadline=None)
def test_order_of_places_does_not_matter(height, width, seed, name):
    """True of every pooling without regions or a centre."""
    maps = feature_maps((2, 5, height, width), seed)
    order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
    shuffled = maps.flatten(2)[:, :, order].view_as(maps)
    torch.testing.assert_close(pool(name, shuffled), pool(name, maps), atol=2e-6, rtol=0)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000), st.sampled_from(["mac", "gem", "crow", "cam"]))
@settings(max_examples=40, deadline=None)
def test_mirror_image_has_the_same_descriptor(height, width, seed, name):
    maps = feature_maps((1, 5, height, width), seed)
    torch.testing.assert_close(pool(name, maps.flip(3)), pool(name, maps), atol=2e-6, rtol=0)
    torch.testing.assert_close(spoc(maps.flip(2), centre=True), spoc(maps, centre=True), atol=2e-6, rtol=0)


def test_centre_prior_by_hand():
    """3 x 3: sigma = 1/2, a step away is exp(-1 / (2 / 4)) = exp(-2)."""
    step = math.exp(-2)
    np.testing.assert_allclose(
        centre_prior(3, 3), [[step**2, step, step**2], [step, 1, step], [step**2, step, step**2]]
    )
