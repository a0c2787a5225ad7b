"""Augmentation: what stays, what moves by how much, and the authors' list against torchvision's own classes."""

from __future__ import annotations

import pickle
import random
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import picture

from resight.errors import InputError
from resight.train import augment
from resight.train.augment import AUGMENTATIONS, augmentation, circle_mask

pytestmark = pytest.mark.usefixtures("one_thread")
S = 48


def image(seed: int = 0, size: int = S) -> torch.Tensor:
    return torch.from_numpy(picture(seed, size, size).copy()).permute(2, 0, 1).contiguous()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_seed_decides_and_the_input_stays(name):
    change, pixels = augmentation(name, S), image()
    before, state = pixels.clone(), torch.get_rng_state()
    first = [change(pixels, seed) for seed in range(12)]
    random.random(), torch.rand(3), np.random.rand()  # noqa: NPY002
    assert all(torch.equal(change(pixels, seed), one) for seed, one in enumerate(first))
    assert torch.equal(pixels, before)
    for one in first:
        assert one.shape == pixels.shape and one.dtype == torch.uint8 and one.is_contiguous()
        assert one.data_ptr() != pixels.data_ptr()
    distinct = len({bytes(one.numpy()) for one in first})
    assert distinct == {"none": 1, "flip": 2}.get(name, 12)
    torch.set_rng_state(state)
    change(pixels, 5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_frames_of_a_clip_change_alike_and_copies_agree(name):
    change = augmentation(name, S)
    clip = torch.stack([image(1), image(2), image(1)])
    for seed in range(8):
        found = change(clip, seed)
        assert torch.equal(found[0], found[2])
        assert (found[1].int() - change(image(2), seed).int()).abs().max() <= 1
    assert torch.equal(pickle.loads(pickle.dumps(change))(clip, 3), change(clip, 3))


def test_threads_do_not_disturb_one_another():
    change, found = augmentation("deepsky", S), {}
    alone = [change(image(seed), seed) for seed in range(24)]

    def work(first: int) -> None:
        found.update({seed: change(image(seed), seed) for seed in range(first, 24, 4)})

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[seed], one) for seed, one in enumerate(alone))


def test_flip_is_the_mirror_image_half_of_the_time():
    pixels = image()
    found = [augmentation("flip", S)(pixels, seed) for seed in range(400)]
    mirrored = [torch.equal(one, pixels.flip(-1)) for one in found]
    assert all(was or torch.equal(one, pixels) for was, one in zip(mirrored, found))
    assert 160 < sum(mirrored) < 240  # 4 standard deviations


def disc(size: int, radius: float) -> torch.Tensor:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    smooth = 50 + np.clip(radius - np.hypot(y, x), 0, 1) * 60
    return torch.from_numpy(np.repeat(smooth[None], 3, 0).astype(np.uint8))


def test_standard_keeps_the_mean_apparent_size_and_place():
    size, pixels = 96, disc(96, 20)
    change, (y, x) = augmentation("standard", size), np.mgrid[:96, :96] + 0.5
    widths, centres = [], []
    for seed in range(300):
        found = change(pixels, seed)[0].numpy().astype(float)
        found = (found - found.min()) / (found.max() - found.min())  # whatever the brightness and contrast
        widths.append(np.sqrt(found.sum() / np.pi) / 19.5)  # where the slope is half way
        centres.append(((x * found).sum() / found.sum(), (y * found).sum() / found.sum()))
    assert abs(np.mean(widths) - 1) < 0.02 and 0.79 < min(widths) < 0.82 and 1.18 < max(widths) < 1.21
    # A shift of 10 % of 96, of the input: seen at up to 1.2 times its size.
    away = np.abs(np.array(centres) - 48)
    assert np.abs(np.mean(centres, 0) - 48).max() < 1.2 and 9 < away.max() < 9.6 * 1.2 * 1.2


@pytest.mark.oracle
@pytest.mark.parametrize(
    "matrix", [[[0.9, 0.2, 0.1], [-0.2, 0.9, -0.3]], [[-1.0, 0, 0], [0, 1.0, 0]], [[1.5, 0, 0.2], [0, 1.5, 0]]]
)
def test_the_affine_reflects_as_opencv_does(matrix):
    import cv2

    # From -1..1 to pixels: p = S (u + 1) / 2 - 1 / 2.
    half = S / 2
    to_unit = np.array([[1 / half, 0, 0.5 / half - 1], [0, 1 / half, 0.5 / half - 1], [0, 0, 1]])
    pixels = np.linalg.inv(to_unit) @ np.array([*matrix, [0, 0, 1]]) @ to_unit
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(
        picture(4, S, S).astype(np.float32), pixels[:2], (S, S), flags=flags, borderMode=cv2.BORDER_REFLECT
    )
    found = augment._affine(image(4), matrix).permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 4 and np.abs(found - expected).mean() < 0.5  # OpenCV rounds places to 1/32


def test_standard_without_its_amounts_is_the_image_or_its_mirror(monkeypatch):
    for name in ("SCALE", "SHIFT", "TURN", "COLOUR"):
        monkeypatch.setattr(augment, name, 0.0)
    pixels = image()
    found = [augmentation("standard", S)(pixels, seed) for seed in range(60)]
    mirrored = [torch.equal(one, pixels.flip(-1)) for one in found]
    assert 15 < sum(mirrored) < 45 and all(was or torch.equal(one, pixels) for was, one in zip(mirrored, found))


def test_standard_changes_colours_within_its_bounds():
    """Levels 60 and 140 in stripes: their mean is the brightness, their distance the contrast times that."""
    grey = torch.full((3, S, S), 60, dtype=torch.uint8)
    grey[:, :, : S // 2] = 140
    colour = torch.tensor([130, 90, 70], dtype=torch.uint8)[:, None, None].expand(3, S, S)
    brightness, contrast, saturation = [], [], []
    for seed in range(300):
        found = augmentation("standard", S)(grey, seed).float()
        low, high = found.min(), found.max()
        found = augmentation("standard", S)(colour, seed).float()[:, 0, 0]
        brightness.append(float(found @ torch.tensor([0.299, 0.587, 0.114])) / 99.68)
        contrast.append(float(high - low) / 80 / brightness[-1])
        saturation.append(float(found[0] - found[2]) / 60 / brightness[-1] / contrast[-1])
    for factors in (brightness, contrast, saturation):
        assert 0.78 < min(factors) < 0.84 and 1.16 < max(factors) < 1.22 and abs(np.mean(factors) - 1) < 0.03


@pytest.mark.oracle
def test_deepsky_is_the_authors_list():
    """Mean and spread of many outputs, pixel by pixel, against torchvision's classes with the authors' arguments."""
    from torchvision.transforms import v2

    jitter = v2.ColorJitter(0.2, 0.2, 0.2, 0.05)
    peer = v2.Compose([
        v2.RandomApply([jitter], p=0.1), v2.RandomAffine(5, shear=5), v2.RandomRotation(90),
        v2.RandomAdjustSharpness(sharpness_factor=2), v2.RandomEqualize(), v2.RandomAutocontrast(),
        v2.GaussianBlur(kernel_size=(3, 5), sigma=(0.1, 2)), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(),
    ])  # fmt: skip
    pixels, count = image(3) // 2 + 30, 600
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = torch.stack([peer(pixels) for _ in range(count)]).float()
    ours = torch.stack([augmentation("deepsky", S)(pixels, seed) for seed in range(count)]).float()
    error = theirs.std(0) * (2 / count) ** 0.5
    away = ((ours.mean(0) - theirs.mean(0)) / error.clamp(min=0.1)).abs()
    assert away.mean() < 1.6 and away.max() < 6
    assert (ours.std(0) - theirs.std(0)).abs().mean() < 0.1 * theirs.std()


def test_jitter_is_rare(monkeypatch):
    seen = []
    monkeypatch.setattr(augment, "_jitter", lambda images, draw: seen.append(1) or images)
    for seed in range(300):
        augmentation("deepsky", 32)(image(0, 32), seed)
    assert 12 < len(seen) < 50


def test_deepsky_draws_what_the_authors_drew(monkeypatch):
    """Arguments that hardly show in the mean of many outputs."""
    seen: dict[str, list] = {"affine": [], "rotate": [], "gaussian_blur": [], "adjust_sharpness": []}
    for name, calls in seen.items():
        monkeypatch.setattr(augment.F, name, lambda images, *args, calls=calls: calls.append(args) or images)
    orders = []
    for name in ("brightness", "contrast", "saturation", "hue"):
        monkeypatch.setattr(
            augment.F, f"adjust_{name}", lambda images, amount, name=name: orders.append((name, amount)) or images
        )
    for seed in range(900):
        augmentation("deepsky", 32)(image(0, 32), seed)
    angles, shears = ([call[0] for call in seen["affine"]], [call[3] for call in seen["affine"]])
    assert all(call[1:3] == ([0, 0], 1.0) for call in seen["affine"]) and all(y == 0 for _, y in shears)
    sigmas = [sigma for (kernel, (sigma, _)) in seen["gaussian_blur"] if kernel == [3, 5]]
    assert (
        len(sigmas) == 900 and set(seen["adjust_sharpness"]) == {(2.0,)} and 400 < len(seen["adjust_sharpness"]) < 500
    )
    amounts = {name: [amount for which, amount in orders if which == name] for name in ("contrast", "hue")}
    for found, least, most in (
        (angles, -5, 5), ([x for x, _ in shears], -5, 5), ([angle for (angle,) in seen["rotate"]], -90, 90),
        (sigmas, 0.1, 2), (amounts["contrast"], 0.8, 1.2), (amounts["hue"], -0.05, 0.05),
    ):  # fmt: skip
        room = 0.1 * (most - least)
        assert least <= min(found) < least + room and most - room < max(found) <= most
    assert len({tuple(name for name, _ in orders[i : i + 4]) for i in range(0, len(orders), 4)}) > 12


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30))
def test_circle_mask_pixel_by_pixel(height, width):
    found = circle_mask(torch.full((2, 3, height, width), 255, dtype=torch.uint8))
    for y in range(height):
        for x in range(width):
            inside = (x + 0.5 - width / 2) ** 2 + (y + 0.5 - height / 2) ** 2 <= (min(height, width) / 2) ** 2
            assert (found[:, :, y, x] == 255 * inside).all()


def test_circle_mask_leaves_its_input_and_its_type():
    for pixels in (image(), image().float()):
        before = pixels.clone()
        found = circle_mask(pixels)
        assert torch.equal(pixels, before) and found.dtype == pixels.dtype and not torch.equal(found, pixels)
        assert torch.equal(circle_mask(found), found)


def test_doors():
    with pytest.raises(InputError, match="unknown augmentation 'standart', did you mean 'standard'"):
        augmentation("standart", S)
    change = augmentation("flip", S)
    for wrong in (image().float(), image(size=S + 1), image()[:1], torch.zeros(S, S, dtype=torch.uint8)):
        with pytest.raises(
            InputError, match=r"expected uint8 images \(\.\.\., 3, 48, 48\), got torch\.(uint8|float32) of"
        ):
            change(wrong, 0)
    with pytest.raises(InputError, match=r"expected images \(\.\.\., 3, H, W\), got shape \(1, 4, 4\)"):
        circle_mask(torch.zeros(1, 4, 4))
