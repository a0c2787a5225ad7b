"""Views: what the network saw, cropped, and aggregated with other classes or whitened parts."""

import numpy as np
import pytest
import torch
from samples import picture

from resight import Encoder
from resight.errors import InputError
from resight.features import Whitening, pca_whitening
from resight.features.descriptor import parse_descriptor
from resight.features.look import Look, box_cells, describe, parts, whiten_parts

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cam():
    return Encoder(descriptor="cam:count=8")


def toy(images=2, channels=6, height=5, width=7, classes=9):
    draw = torch.Generator().manual_seed(0)
    maps = torch.rand(images, channels, height, width, generator=draw)
    head = torch.randn(classes, channels, generator=draw)
    return Look(maps, maps, head, maps.mean((2, 3)) @ head.T)


def golden() -> Look:
    """The toy of Jimenez 2017 that the descriptors are checked with: maps X, and other maps A for the CAMs."""
    k, h, w = np.ogrid[:4, :3, :5]
    maps = np.maximum(0, (7 * k + 5 * h + 3 * w) % 11 - 4).astype(np.float32)
    source = ((3 * k + 4 * h + 2 * w) % 7).astype(np.float32)
    weight = ((5 * np.arange(4)[None] + 3 * np.arange(3)[:, None]) % 7 - 3).astype(np.float32) / 3
    return Look(torch.from_numpy(maps)[None], torch.from_numpy(source)[None], torch.from_numpy(weight))


def test_golden_toy():
    look, descriptor = golden(), parse_descriptor("cam:count=3")
    vectors = parts(look, descriptor, torch.arange(3))[0]
    expected = [
        [0.417800, 0.287305, 0, 0.861916],
        [0.585521, 0.121297, 0.603164, 0.527869],
        [0.697924, 0.053326, 0.572768, 0.426610],
    ]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    np.testing.assert_allclose(describe(look, descriptor)[0], [0.609545, 0.165506, 0.421329, 0.650803], atol=1e-6)


def test_a_crop_at_once_and_a_crop_of_the_arrays_agree():
    look, descriptor = toy(), parse_descriptor("cam:count=3")
    cut = look.crop((1, 0, 5, 4))
    alone = Look(look.maps[..., 0:4, 1:5], None, look.head, look.logits)
    torch.testing.assert_close(describe(cut, descriptor), describe(alone, descriptor))


def test_fixed_classes_are_the_same_for_every_image():
    look = toy()
    fixed = describe(look, parse_descriptor("cam:fixed=3+1"))
    torch.testing.assert_close(fixed, describe(look, parse_descriptor("cam"), classes=torch.tensor([3, 1])))
    own = describe(look[1], parse_descriptor("cam:fixed=3+1"))
    torch.testing.assert_close(own[0], fixed[1])


def test_whitened_parts_by_hand():
    """Each class vector is whitened and brought to length 1 before the sum; dead classes stay out of it."""
    look, descriptor = toy(images=1), parse_descriptor("cam:count=4")
    vectors = parts(look, descriptor)[0].numpy().astype(np.float64)
    whitening = Whitening(vectors.mean(0), np.random.default_rng(0).standard_normal((6, 3)))
    total = np.zeros(3)
    for vector in vectors:
        part = (vector - whitening.mean) @ whitening.projection
        total += part / np.linalg.norm(part)
    found = describe(look, descriptor, part_whitening=whitening)[0]
    np.testing.assert_allclose(found, total / np.linalg.norm(total), atol=1e-5)
    assert whiten_parts(torch.zeros(1, 6), whitening).abs().max() == 0


def test_rmac_with_whitened_regions(cam):
    """Tolias 2016: max per region, L2, PCA-whitening, L2, sum, L2."""
    regions = Encoder(descriptor="rmac:levels=2")
    images = [picture(seed) for seed in range(6)]
    sample = np.concatenate([parts(regions.view(i).look, regions.descriptor)[0] for i in images])
    whitening = pca_whitening(sample, 8)
    found = Encoder(descriptor="rmac:levels=2", part_whitening=whitening).encode(images[0])
    own = whitening.apply(parts(regions.view(images[0]).look, regions.descriptor)[0].numpy()).sum(0)
    assert found.shape == (8,)
    np.testing.assert_allclose(found, own / np.linalg.norm(own), atol=1e-4)


def test_part_whitening_is_its_own_space_and_only_for_sums_of_parts(cam):
    whitening = Whitening(np.zeros(1280), np.eye(1280)[:, :16])
    whitened = Encoder(descriptor="cam:count=8", part_whitening=whitening)
    assert whitened.key != cam.key
    assert whitened.dim == 16
    with pytest.raises(InputError, match=r"part whitening is for cam and rmac.*gem does not"):
        Encoder(descriptor="gem", part_whitening=whitening)


def test_a_view_describes_what_encode_describes(cam):
    image = picture(3, 90, 160)
    np.testing.assert_allclose(cam.describe(cam.view(image).look)[0], cam.encode(image), atol=1e-5)
    box = (20, 10, 110, 70)
    np.testing.assert_allclose(cam.describe(cam.view(image, box=box).look)[0], cam.encode(image, box=box), atol=1e-5)


def test_a_box_on_the_map_is_cut_out_of_the_map(cam):
    """The box is scaled to the resized image; classes come from the cut-out image."""
    image = picture(3, 100, 400)  # squashed to 224: a cell of the 7 x 7 map is 57 x 14 pixels
    look = cam.view(image, box=(100, 30, 300, 60), box_on="map").look
    whole = cam.view(image).look
    torch.testing.assert_close(look.maps, whole.maps[:, :, 2:5, 1:6])
    cropped = cam.view(image[30:60, 100:300]).look
    assert torch.equal(look.best_classes(8), cropped.best_classes(8))
    by_hand = describe(Look(look.maps, None, whole.head), cam.descriptor, classes=cropped.best_classes(8))[0]
    found = cam.encode(image, box=(100, 30, 300, 60), box_on="map")
    np.testing.assert_allclose(found, by_hand, atol=1e-5)


def test_the_whole_image_as_box_is_the_image(cam):
    image = picture(4, 70, 90)
    for place in ("pixels", "map"):
        np.testing.assert_allclose(cam.encode(image, box=(0, 0, 90, 70), box_on=place), cam.encode(image), atol=1e-5)


@pytest.mark.parametrize(
    ("box", "cells"),
    [
        ((0, 0, 224, 224), (0, 0, 7, 7)),
        ((32, 32, 64, 64), (1, 1, 2, 2)),
        ((31.9, 32, 64.1, 64), (0, 1, 3, 2)),
        ((223.5, 223.5, 224, 224), (6, 6, 7, 7)),
        ((-5, -5, 300, 300), (0, 0, 7, 7)),
    ],
)
def test_box_cells(box, cells):
    assert box_cells(np.array(box, float), (224, 224), (7, 7)) == cells


def test_doors(cam):
    with pytest.raises(InputError, match="unknown place of a box 'maps', did you mean 'map'"):
        cam.encode(picture(0), box=(0, 0, 5, 5), box_on="maps")
    with pytest.raises(InputError, match="one scale only"):
        Encoder(scales=(1, 0.5)).view(picture(0))
    with pytest.raises(InputError, match="overlaps the image"):
        cam.encode(picture(0, 20, 20), box=(30, 30, 40, 40), box_on="map")
    with pytest.raises(InputError, match="cam needs the weight"):
        Look(torch.ones(1, 3, 2, 2)).best_classes(2)
