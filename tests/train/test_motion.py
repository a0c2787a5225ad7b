"""Motion against hand-made shifts, a naive loop, and the camera of examples/motion_clips.py."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from resight.errors import InputError
from resight.train import motion as room
from resight.train.augment import circle_mask
from resight.train.motion import CHANNELS, GRIDS, REACH, REGIONS, correlate, edges, grey, motion, peaks, scale

pytestmark = pytest.mark.usefixtures("one_thread")
SIDE = 96  # of the pictures here


def texture(side, seed=0, cell=4):
    """(3, side, side) uint8 of smooth blotches, about `cell` pixels large."""
    noise = torch.rand(1, 3, side // cell, side // cell, generator=torch.Generator().manual_seed(seed))
    return (functional.interpolate(noise, size=(side, side), mode="bicubic")[0].clamp(0, 1) * 255).to(torch.uint8)


def shifted(right, down, count=4, side=SIDE, seed=0, cell=4):
    """(1, count, 3, side, side): a window on a larger texture, of which the content goes right and down by so many
    pixels a frame."""
    margin = count * max(abs(right), abs(down))
    large = texture(side + 2 * margin + 2 * cell, seed, cell)
    starts = [(margin - down * t, margin - right * t) for t in range(count)]
    return torch.stack([large[:, y : y + side, x : x + side] for y, x in starts])[None]


def regions(found):
    """(..., 54) -> (..., grid, row, column, 3)."""
    return found.unflatten(-1, (len(GRIDS), REGIONS, REGIONS, 3))


def pixels(found, side=SIDE):
    """x and y of (..., 54) in pixels of images of that side: (..., grid, 3, 3, 2)."""
    cells = torch.tensor([side / grid for grid in GRIDS])
    return regions(found)[..., :2] * REACH * cells.view(-1, 1, 1, 1)


def naive(one, other, row, column, down, right):
    """`correlate` of one region under one displacement, by its definition."""
    side = one.shape[-1]
    cells = side // REGIONS
    home = [(y, x) for y in range(row * cells, (row + 1) * cells) for x in range(column * cells, (column + 1) * cells)]
    total = held = whole = 0.0
    for way, here, there in ((1, one, other), (-1, other, one)):
        for y, x in home:
            own = float(here[:, y, x] @ here[:, y, x])
            whole += own
            to_y, to_x = y + way * down, x + way * right
            if 0 <= to_y < side and 0 <= to_x < side:
                total += float(here[:, y, x] @ there[:, to_y, to_x])
                held += own
    return total / held if held >= room.OVERLAP * whole else -1.0


def test_the_correlation_against_naive_loops():
    one, other = functional.normalize(torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1)), dim=1)
    one[:, :3, 6:] = 0
    found = correlate(one[None], other[None])[0]
    assert found.shape == (3, 3, 9, 9)
    for row, column, down, right in [
        (0, 0, 0, 0),
        (1, 1, 1, -2),
        (0, 2, -4, 4),
        (2, 0, 4, 4),
        (2, 2, 3, 0),
        (0, 1, -4, 1),
    ]:
        expected = naive(one, other, row, column, down, right)
        assert float(found[row, column, down + REACH, right + REACH]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("down, right", [(0, 0), (0, 1), (1, 0), (-1, 0), (0, -1), (2, -3), (4, 4)])
def test_a_shifted_map_has_its_peak_at_the_shift(down, right):
    large = functional.normalize(torch.randn(1, 6, 27 + 8, 27 + 8, generator=torch.Generator().manual_seed(2)), dim=1)
    one = large[..., 4:-4, 4:-4]
    other = large[..., 4 - down : 31 - down, 4 - right : 31 - right]
    found = correlate(one, other)[0]
    assert (found.flatten(-2).argmax(-1) == (down + REACH) * 9 + right + REACH).all()
    assert peaks(found)[..., 2].allclose(torch.ones(3, 3), atol=1e-5)
    assert (peaks(found)[..., 0] * REACH - right).abs().max() <= 0.5


def test_the_peak_between_cells_by_hand():
    """A parabola 1 - 0.1 (x - 1.3)^2 - 0.1 (y + 0.4)^2 in cells has its peak where it has it."""
    place = torch.arange(-REACH, REACH + 1).float()
    bowl = 2 - 0.02 * (place[None, :] - 1.3) ** 2 - 0.02 * (place[:, None] + 0.4) ** 2
    x, y, value = peaks(bowl)
    assert (float(x) * REACH, float(y) * REACH) == pytest.approx((1.3, -0.4), abs=1e-3)
    assert float(value) == pytest.approx(float(bowl.max()), abs=1e-5)


def test_where_there_is_nothing_nothing_moves():
    assert peaks(torch.zeros(3, 3, 9, 9)).abs().max() < 1e-4
    for tone in ([0, 0, 0], [90, 90, 90], [201, 17, 255]):
        flat = torch.tensor(tone, dtype=torch.uint8).view(3, 1, 1).expand(1, 3, 3, SIDE, SIDE)
        assert motion(flat, torch.tensor([3])).abs().max() < 1e-4


@pytest.mark.parametrize("right, down", [(3, 0), (0, -4), (6, 5)])
def test_what_is_cut_out_moves_with_the_rest(right, down):
    """Black corners, as of an all-sky lens, stand still: their regions may say less, but nothing else."""
    frames = circle_mask(shifted(right, down, side=224, cell=10))
    found = pixels(motion(frames, torch.tensor([4])), 224)[0, :, 0]
    truth = torch.tensor([right, down]).float()
    assert (found[:, 1, 1] - truth).norm(dim=-1).max() < 1
    assert (found - truth).norm(dim=-1).max() < 0.8 * truth.norm()


def test_a_standing_picture_stands_exactly():
    frames = texture(SIDE).expand(1, 4, -1, -1, -1)
    found = regions(motion(frames, torch.tensor([4])))
    assert found[..., :2].abs().max() < 1e-4
    assert found[..., 2].min() > 0.95


@pytest.mark.parametrize("right, down", [(3, 0), (-3, 0), (0, 3), (0, -3), (1, 0), (0, -1), (5, 4)])
def test_pixels_that_move_are_followed(right, down):
    """Whole cells and parts of one (a cell of the fine grid has 3.6 pixels here), in every region."""
    found = pixels(motion(shifted(right, down), torch.tensor([4])))[0]
    truth = torch.tensor([right, down]).float()
    assert (found[:, 0] - truth).norm(dim=-1).max() < 1.2
    assert (found[:, 0].mean((0, 1, 2)) - truth).norm() < 0.35


@pytest.mark.parametrize("right", [20, -20])
def test_fast_motion_is_followed_on_the_coarse_grid(right):
    """A fifth of the side from frame to frame is out of the fine grid's reach."""
    found = motion(shifted(right, 0), torch.tensor([4]))
    middle = pixels(found)[0, :, 1, 1, 1]
    assert (middle - torch.tensor([right, 0.0])).norm(dim=-1).max() < 3


def test_backwards_is_the_opposite():
    frames = shifted(3, -2)
    ahead, back = (regions(motion(one, torch.tensor([4]))) for one in (frames, frames.flip(1)))
    assert torch.allclose(ahead[:, 1:, ..., :2], -back[:, 1:, ..., :2].flip(1), atol=1e-4)
    assert torch.allclose(ahead[:, 1:, ..., 2], back[:, 1:, ..., 2].flip(1), atol=1e-4)


def test_the_mirror_image_moves_the_other_way():
    frames = shifted(3, 1)
    found, mirrored = (regions(motion(one, torch.tensor([4]))) for one in (frames, frames.flip(-1)))
    sign = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(mirrored.flip(4), found * sign, atol=1e-3)


def test_brightness_and_contrast_do_not_count():
    frames = shifted(3, -2)
    dim = (frames.float() * 0.5 + 30).to(torch.uint8)
    one, other = (regions(motion(each, torch.tensor([4]))) for each in (frames, dim))
    assert (one - other).abs().max() < 0.05


def test_edges_by_hand():
    """A ramp that gets brighter to the right has edges to the right only."""
    ramp = torch.linspace(0, 1, 81).expand(1, 81, 81)
    right, left, down, up = edges(ramp, 27)[0]
    assert right[1:-1, 1:-1].min() > 0.95
    assert left.abs().max() == down.abs().max() == up.abs().max() == 0


@pytest.mark.parametrize("height, width, side", [(224, 100, 27), (81, 81, 36), (64, 50, 81)])
def test_scaling_against_torch(height, width, side):
    maps = torch.rand(2, height, width, generator=torch.Generator().manual_seed(3))
    expected = functional.interpolate(maps[None], size=(side, side), mode="bilinear", antialias=True)[0]
    assert torch.allclose(scale(maps, side), expected, atol=1e-5)


def test_grey_is_pillows():
    from PIL import Image

    image = texture(81, seed=5)
    own = np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")) / 255
    assert np.abs(grey(image[None])[0].numpy() - own).max() < 1.01 / 255


def test_what_fills_up_has_no_influence():
    frames = torch.cat([shifted(2, 1, 5), shifted(-3, 0, 5, seed=3), shifted(1, 1, 5, seed=4)])
    lengths = torch.tensor([5, 3, 1])
    filled = frames.clone()
    filled[1, 3:], filled[2, 1:] = 0, 77
    found = motion(filled, lengths)
    assert found.shape == (3, 5, CHANNELS)
    for index, length in enumerate(lengths.tolist()):
        alone = motion(frames[index : index + 1, :length], torch.tensor([length]))
        assert torch.allclose(found[index, :length], alone[0], atol=1e-6)
        assert not found[index, length:].any()


def test_the_first_frame_has_the_motion_to_the_second():
    found = motion(shifted(2, 1), torch.tensor([4]))
    assert torch.equal(found[:, 0], found[:, 1])
    assert not torch.equal(found[:, 1], found[:, 2])


def test_the_input_stays_as_it_is_and_no_gradient_passes():
    frames = shifted(1, 1)
    before = frames.clone()
    found = motion(frames, torch.tensor([4]))
    assert torch.equal(frames, before)
    assert not found.requires_grad


@pytest.mark.parametrize(
    "shape, dtype", [((2, 4, 3, 8), torch.uint8), ((2, 4, 1, 8, 8), torch.uint8), ((1, 2, 3, 8, 8), torch.float32)]
)
def test_door(shape, dtype):
    with pytest.raises(InputError, match=r"frames must be \(B, T, 3, H, W\) uint8"):
        motion(torch.zeros(shape, dtype=dtype), torch.ones(shape[0]))


@pytest.mark.oracle
def test_a_real_video_against_opencvs_optical_flow(real_images):
    """A film, each second or third frame: where something moves, both say whereto."""
    import cv2

    from resight.images.clips import read_clip

    pytest.importorskip("av")
    video = real_images("opencv-samples") / "Megamind.avi"
    frames = np.stack([cv2.resize(one, (224, 224), interpolation=cv2.INTER_AREA) for one in read_clip(video, 100)])
    found = pixels(motion(torch.from_numpy(frames).permute(0, 3, 1, 2)[None], torch.tensor([len(frames)])), 224)[0, 1:]
    own, peer = found[:, 0].numpy(), np.zeros((len(frames) - 1, 3, 3, 2))
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    one = cv2.cvtColor(frames[0], cv2.COLOR_RGB2GRAY)
    for t, frame in enumerate(frames[1:]):
        other = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        flow = dis.calc(one, other, None)
        for row in range(3):
            for column in range(3):
                part = flow[224 * row // 3 : 224 * (row + 1) // 3, 224 * column // 3 : 224 * (column + 1) // 3]
                peer[t, row, column] = np.median(part.reshape(-1, 2), 0)
        one = other
    lengths = np.linalg.norm(peer, axis=-1)
    moving = (lengths > 1.5) & (lengths < 20)  # more is a cut of the film
    along = (own * peer).sum(-1) / (np.linalg.norm(own, axis=-1) * lengths + 1e-9)
    assert moving.mean() > 0.1
    assert (along[moving] > 0.5).mean() > 0.9 and np.median(along[moving]) > 0.95
    assert np.median(np.linalg.norm(own - peer, axis=-1)) < 0.5  # pixels of 224
