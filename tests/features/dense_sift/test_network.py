"""The layer gives what the function gives, for one image or many, and leaves its input alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import picture

from resight.errors import InputError
from resight.features.dense_sift import DenseSift, dense_sift, dense_sift_frames

pytestmark = pytest.mark.usefixtures("one_thread")

CASES = [
    {}, {"step": 3, "cell": 6}, {"window": "gaussian", "step": 2}, {"layout": "opencv", "step": 4},
    {"window": "gaussian", "cell": 5, "orientations": 6, "border": "keep", "step": 3}, {"orientations": 12, "step": 2},
    {"border": "keep", "step": 2}, {"grey": "green", "step": 4}, {"scales": (4, 6, 8, 10), "smooth": True, "step": 5},
    {"window_size": 1.5, "step": 5}, {"preset": "siftflow"}, {"preset": "siftflow", "border": "cut", "step": 3},
    {"preset": "deepsky", "step": 2}, {"preset": "siftflow", "grey": "luma", "step": 3},
]  # fmt: skip


def batch(images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_function_gives_the_same(options):
    images = [picture(seed, 43, 52) for seed in range(3)]
    layer = DenseSift(**options)
    found = layer(batch(images))
    assert found.dtype == torch.float32 and found.shape[1] == layer.channels
    assert found.shape[2:] == layer.frames((43, 52)).shape == dense_sift_frames((43, 52), **options).shape
    for image, one in zip(images, found):
        np.testing.assert_allclose(one.permute(1, 2, 0), dense_sift(image, **options), atol=1e-5)
    torch.testing.assert_close(layer(batch(images[1:2]))[0], found[1], atol=1e-6, rtol=0)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20), st.sampled_from(CASES), st.booleans())
def test_any_size_of_noise(seed, height, width, options, floating):
    options = {**options, "border": "keep"}
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    image = image.astype(np.float32) / 255 if floating and not options.get("preset") else image
    found = DenseSift(**options)(batch([image]))[0].permute(1, 2, 0)
    np.testing.assert_allclose(found, dense_sift(image, **options), atol=1e-5)


def test_grey_images_and_floating_ones():
    image = picture(3, 30, 40)[:, :, :1]
    layer = DenseSift(step=2)
    expected = dense_sift(image, 2)
    np.testing.assert_allclose(layer(batch([image]))[0].permute(1, 2, 0), expected, atol=1e-5)
    np.testing.assert_allclose(layer(batch([image]).double() / 255)[0].permute(1, 2, 0), expected, atol=1e-5)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_half_precision_is_close(options):
    images = batch([picture(5, 43, 52)])
    half = DenseSift(half=True, **options)(images)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), DenseSift(**options)(images), atol=1e-3, rtol=0)


def test_flat_images_give_zeros_in_half_precision_too():
    images = torch.full((2, 3, 20, 20), 200, dtype=torch.uint8)
    assert not DenseSift()(images).any() and not DenseSift(half=True)(images).any()


def test_inside_a_network():
    images = batch([picture(1, 40, 40), picture(2, 40, 40)])
    before = images.clone()
    sift = DenseSift(step=4)
    model = torch.nn.Sequential(sift, torch.nn.Conv2d(sift.channels, 3, 1))
    model(images).sum().backward()
    assert torch.equal(images, before) and model[1].weight.grad.abs().sum() > 0
    assert not list(sift.parameters()) and not list(sift.buffers())
    assert "step=4" in repr(sift)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_gpu_gives_the_same(options):
    image = picture(6, 43, 52)
    found = DenseSift(**options)(batch([image]).cuda())[0].permute(1, 2, 0).cpu()
    np.testing.assert_allclose(found, dense_sift(image, **options), atol=1e-5)


def test_doors():
    with pytest.raises(InputError, match="unknown window 'round'"):
        DenseSift(window="round")
    with pytest.raises(InputError, match="half=True"):
        DenseSift(dtype="uint8")
    layer = DenseSift()
    for images, message in (
        (torch.zeros(3, 20, 20), r"images must be \(B, 3, H, W\)"),
        (torch.zeros(1, 2, 20, 20), r"got \(1, 2, 20, 20\)"),
        (torch.zeros(1, 1, 20, 20, dtype=torch.int64), "got torch.int64"),
        (torch.zeros(1, 1, 20, 12), "has no room"),
    ):
        with pytest.raises(InputError, match=message):
            layer(images)
