"""The example that makes clips: its camera moves as it says, and single frames tell nothing."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resight.errors import InputError
from resight.train.motion import GRIDS, REACH, motion

pytestmark = pytest.mark.usefixtures("one_thread")
FILE = Path(__file__).parents[2] / "examples" / "motion_clips.py"
OPPOSITES = [
    ("pan_left", "pan_right"),
    ("pan_up", "pan_down"),
    ("zoom_in", "zoom_out"),
    ("rotate_left", "rotate_right"),
]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("motion_clips", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photo(seed=0, height=160, width=200):
    """(height, width, 3) uint8 of blotches of several sizes."""
    dice = np.random.default_rng(seed)
    small = [dice.integers(0, 256, (height // cell, width // cell, 3), np.uint8) for cell in (4, 10, 25)]
    layers = [np.asarray(Image.fromarray(one).resize((width, height), 3), float) for one in small]
    return np.clip(np.mean(layers, 0), 0, 255).astype(np.uint8)


def flow(clip):
    """(T - 1, 3, 3, 2) right and down, in shares of the side, by region."""
    frames = torch.from_numpy(clip).permute(0, 3, 1, 2)[None].contiguous()
    found = motion(frames, torch.tensor([len(clip)]))[0, 1:].reshape(len(clip) - 1, 2, 3, 3, 3)
    return found[:, 0, ..., :2].numpy() * REACH / GRIDS[0]


@pytest.mark.parametrize("one, other", OPPOSITES)
def test_a_motion_is_its_opposite_backwards(example, one, other):
    clips = [example.make_clip(photo(), name, 6, 48, np.random.default_rng(5)) for name in (one, other)]
    assert clips[0].shape == (6, 48, 48, 3) and clips[0].dtype == np.uint8
    assert np.array_equal(clips[0], clips[1][::-1])
    assert not np.array_equal(clips[0], clips[1])


def test_the_camera_moves_as_the_name_says(example):
    """What is seen goes the other way: left where the camera pans right, apart where it zooms in."""
    for seed in range(3):
        seen = {
            name: flow(example.make_clip(photo(seed), name, 12, 96, np.random.default_rng(seed))).mean(0)
            for name in example.MOTIONS
        }
        x, y = ({name: one[..., axis] for name, one in seen.items()} for axis in (0, 1))
        assert (x["pan_right"] < 0).all() and (x["pan_left"] > 0).all()
        assert (y["pan_down"] < 0).all() and (y["pan_up"] > 0).all()
        apart = {name: (x[name][:, 2] - x[name][:, 0]).mean() + (y[name][2] - y[name][0]).mean() for name in seen}
        assert apart["zoom_in"] > 0 > apart["zoom_out"]
        # The camera turns anticlockwise, what it sees clockwise: to the right above, to the left below.
        turn = {name: (x[name][0] - x[name][2]).mean() + (y[name][:, 2] - y[name][:, 0]).mean() for name in seen}
        assert turn["rotate_left"] > 0 > turn["rotate_right"]


def test_views_by_hand(example):
    """In the middle of its courses the camera is upright, and sees the middle of a square photograph."""
    ramp = np.zeros((100, 100, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(100), np.arange(100)[:, None]
    seen = example.view(ramp, 40, 0.0, 0.5, 0.5, 0.0, 0.5).astype(int)
    assert np.array_equal(seen[:, 0, 1], np.arange(30, 70)) and np.array_equal(seen[0, :, 0], np.arange(30, 70))
    corner = example.view(ramp, 40, 0.0, 0.0, 1.0, 0.0, 0.5).astype(int)
    reach = 40 / 2**0.5
    assert abs(corner[..., 0].mean() - (reach - 0.5)) < 0.6 and abs(corner[..., 1].mean() - (99.5 - reach)) < 0.6


def test_no_view_leaves_the_photograph(example, monkeypatch):
    """The corners of every frame, taken back to the photograph, lie in it."""
    corners = np.array([[-0.5, -0.5, 1], [23.5, -0.5, 1], [-0.5, 23.5, 1], [23.5, 23.5, 1]]).T
    found = []

    def warp(image, matrix, size, **options):
        found.append((matrix @ corners + 0.5).T / np.array([image.shape[1], image.shape[0]]))
        return np.zeros((*size, 3), np.uint8)

    monkeypatch.setattr(example.cv2, "warpAffine", warp)
    for name in example.MOTIONS:
        for seed in range(10):
            shape = (60, 80, 3) if seed % 2 else (90, 60, 3)
            example.make_clip(np.zeros(shape, np.uint8), name, 5, 24, np.random.default_rng(seed))
    assert -1e-6 < np.min(found) < 0.15 and 0.85 < np.max(found) < 1 + 1e-6


def test_a_single_frame_tells_nothing(example, monkeypatch):
    """All eight motions show a place of the camera with the same chance: means and deviations of each coordinate."""
    shown = {name: [] for name in example.MOTIONS}
    dice = np.random.default_rng(0)
    for name, found in shown.items():
        with monkeypatch.context() as patch:
            patch.setattr(
                example, "view", lambda photo, size, margin, *place, own=found: own.append(place) or np.zeros((1, 1, 3))
            )
            for _ in range(400):
                example.make_clip(np.zeros((8, 8, 3), np.uint8), name, 5, 4, dice)
    places = {name: np.array(found) for name, found in shown.items()}
    mean, deviation = (np.array([how(one, 0) for one in places.values()]) for how in (np.mean, np.std))
    assert np.abs(mean - 0.5).max() < 0.05
    assert np.ptp(deviation, 0).max() < 0.05


def test_clips_on_disk(example, tmp_path, monkeypatch, capsys):
    (tmp_path / "photos" / "a").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(photo(number)).save(tmp_path / "photos" / "a" / f"{number} é.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "photos" / "small.png")
    given = [str(FILE), str(tmp_path / "photos"), str(tmp_path / "out"), "--size", "32", "--clips", "4"]
    monkeypatch.setattr(sys, "argv", [*given, "--frames", "4", "6", "--test", "0.5"])
    example.main()
    told = capsys.readouterr().out
    assert "12 clips of 3 photographs" in told and "small.png is only 20 x 20" in told
    with open(tmp_path / "out" / "clips.csv", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 12 and {row["split"] for row in rows} == {"train", "test"}
    for group in {row["group"] for row in rows}:
        assert len({row["split"] for row in rows if row["group"] == group}) == 1
    for row in rows:
        frames = sorted((tmp_path / "out" / row["path"]).iterdir())
        assert 4 <= len(frames) <= 6 and frames[0].name == "00.jpg"
        assert row["path"].startswith(f"{row['label']}/")
    with pytest.raises(SystemExit, match="2"):
        example.main()
    assert "out" in capsys.readouterr().err


def test_videos_on_disk(example, tmp_path):
    av = pytest.importorskip("av")
    Image.fromarray(photo()).save(tmp_path / "one.png")
    file = example.write_clips(tmp_path, tmp_path / "out", clips=1, size=64, frames=(7, 7), video=True)
    with open(file, encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    assert row["path"].endswith(".mp4")
    with av.open(str(tmp_path / "out" / row["path"])) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    expected = example.make_clip(photo(), row["label"], 7, 64, _dice(row["label"], example))
    assert len(frames) == 7 and np.abs(np.stack(frames).astype(int) - expected).mean() < 12


def _dice(label, example):
    """The random numbers as `write_clips` has them when it makes its first clip."""
    dice = np.random.default_rng(0)
    dice.permutation(1)
    dice.integers(7, 8)
    return dice


def test_doors(example, tmp_path):
    with pytest.raises(InputError, match="expected a motion of pan_left"):
        example.make_clip(photo(), "pan", 4, 32, np.random.default_rng(0))
    with pytest.raises(InputError, match="at least 2 frames"):
        example.make_clip(photo(), "pan_up", 1, 32, np.random.default_rng(0))
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="no photograph"):
        example.write_clips(tmp_path, tmp_path / "out")
