"""Movies: the frames and times that were given, even sizes, and a playable file whatever ends the work."""

from __future__ import annotations

import errno
import sys

import numpy as np
import pytest
from video_samples import grey, read_video

from resight.errors import InputError, WorkError
from resight.show import movie
from resight.show.movie import Movie

av = pytest.importorskip("av")


def facts(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.name, stream.codec_context.pix_fmt, stream.width, stream.height


def levels(path):
    return [round(float(image.mean()), 1) for _, image in read_video(path)]


@pytest.mark.parametrize(("codecs", "name"), [(movie.CODECS, "h264"), (("nothing", "mpeg4"), "mpeg4")])
@pytest.mark.parametrize("rate", [25, 2997 / 125, 1e6 / 66667, 30000 / 1001])
def test_what_was_given_comes_back(tmp_path, monkeypatch, codecs, name, rate):
    if name == "h264" and "libx264" not in av.codecs_available:
        pytest.skip("FFmpeg has no encoder for H.264 here")
    monkeypatch.setattr(movie, "CODECS", codecs)
    path = tmp_path / "m.mp4"
    with Movie(path, rate) as film:
        for number in range(8):
            film.add(grey(20 + 25 * number))
        assert not path.exists()
    assert film.frames == 8
    assert facts(path) == (name, "yuv420p", 48, 32)
    assert levels(path) == pytest.approx([20 + 25 * number for number in range(8)], abs=3)
    assert [seconds for seconds, _ in read_video(path)] == pytest.approx([n / rate for n in range(8)], abs=2e-3)
    assert [file.name for file in tmp_path.iterdir()] == ["m.mp4"]


def test_odd_sizes_and_frames_of_another_size(tmp_path):
    ramp = np.repeat(np.arange(31, dtype=np.uint8)[:, None, None] * 8, 47, 1).repeat(3, 2)
    with Movie(tmp_path / "m.mp4") as film:
        film.add(ramp)
        film.add(grey(100, 90, 20))
    (_, first), (_, second) = read_video(tmp_path / "m.mp4")
    assert first.shape == second.shape == (32, 48, 3)
    assert np.abs(first[:31, :47].astype(int) - ramp).mean() < 4
    assert abs(float(first[31].mean()) - 240) < 8 and abs(float(second.mean()) - 100) < 3


def test_frames_with_times_of_their_own(tmp_path):
    """On the grid of the rate, never backwards; a time that nobody would wait for counts as a minute."""
    with Movie(tmp_path / "m.mp4", 10) as film:
        for seconds in (5.0, 0.31, 0.5, 0.1, float("nan"), 1e18):
            film.add(grey(90), seconds)
    times = [seconds for seconds, _ in read_video(tmp_path / "m.mp4")]
    assert times == pytest.approx([0, 0.3, 0.5, 0.6, 0.7, 60.7])


@pytest.mark.parametrize("given", [None, 0, -3, float("nan"), float("inf"), 1e9, 1e-9])
def test_rates_that_are_none(tmp_path, given):
    with Movie(tmp_path / "m.mp4", given) as film:
        film.add(grey(10))
        film.add(grey(20))
    step = read_video(tmp_path / "m.mp4")[1][0]
    assert step == pytest.approx({1e9: 1 / 240, 1e-9: 1.0}.get(given, 1 / 25), abs=1e-3)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_what_was_done_can_be_played_after_an_interruption(tmp_path, kind):
    path = tmp_path / "m.mp4"
    with pytest.raises(kind), Movie(path) as film:
        for number in range(60):
            film.add(grey(4 * number))
        raise kind
    assert len(read_video(path)) == 60
    assert [file.name for file in tmp_path.iterdir()] == ["m.mp4"]


def test_without_frames_there_is_no_file(tmp_path):
    with Movie(tmp_path / "m.mp4"):
        pass
    words = r"expected a frame \(H, W, 3\) uint8 .* got float64 of shape \(4, 4, 3\)"
    with pytest.raises(InputError, match=words), Movie(tmp_path / "m.mp4") as film:
        film.add(np.zeros((4, 4, 3)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(4, 4), (0, 4, 3), (4, 4, 4), (8200, 2, 3)])
def test_what_is_no_frame(tmp_path, shape):
    with Movie(tmp_path / "m.mp4") as film, pytest.raises(InputError, match="expected a frame"):
        film.add(np.zeros(shape, np.uint8))


def test_a_disk_that_refuses(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WorkError, match=r"cannot write .*m\.mp4: the disk is full"), Movie(tmp_path / "m.mp4") as film:
        film.add(grey(10))
    assert list(tmp_path.iterdir()) == []
    words = r"cannot write .*m\.mp4: the folder does not exist"
    with pytest.raises(WorkError, match=words), Movie(tmp_path / "none" / "m.mp4") as film:
        film.add(grey(10))


def test_a_file_that_may_not_grow(tmp_path):
    """What the disk refuses in the middle of the work reaches the caller as such, and leaves nothing."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    random = np.random.default_rng(0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        words = r"cannot write .*m\.mp4: the file would be larger than the system allows"
        with pytest.raises(WorkError, match=words), Movie(tmp_path / "m.mp4") as film:
            for _ in range(100):
                film.add(random.integers(0, 256, (64, 64, 3), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_without_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"writing the video .*m\.mp4 needs PyAV: pip install 'resight\[video\]'"):
        Movie(tmp_path / "m.mp4")
