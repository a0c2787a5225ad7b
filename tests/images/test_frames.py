"""Frames of videos and cameras: their times, pixels and ends, and what is said where there are none."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from video_samples import grey, read_video, write_video

from resight.errors import ImageError, InputError
from resight.images import video
from resight.images.frames import frames


def film(path, count=10, **options):
    return write_video(path, (grey(20 + 10 * number % 220) for number in range(count)), **options)


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "mpeg4"), ("v.mp4", "libx264"), ("v.mkv", "mjpeg")])
@pytest.mark.parametrize("rate", [25, 10])
def test_every_frame_at_its_time(tmp_path, name, codec, rate):
    path = film(tmp_path / name, codec=codec, rate=rate)
    with frames(path) as source:
        assert (source.name, source.rate, source.expected) == (str(path), pytest.approx(rate), 10)
        found = list(source)
    # matroska keeps milliseconds
    assert [seconds for seconds, _ in found] == pytest.approx([number / rate for number in range(10)], abs=1e-3)
    for number, (_, image) in enumerate(found):
        assert image.shape == (32, 48, 3) and image.dtype == np.uint8
        assert abs(float(image.mean()) - (20 + 10 * number)) < 4
    assert all((image == own).all() for (_, image), (_, own) in zip(found, read_video(path), strict=True))


def test_times_begin_with_the_first_frame(tmp_path):
    path = film(tmp_path / "v.mpg", codec="mpeg1video")  # begins at half a second
    assert read_video(path)[0][0] > 0.1
    assert [seconds for seconds, _ in frames(str(path))][:2] == pytest.approx([0, 0.04])


def test_upright(tmp_path):
    path = film(tmp_path / "v.mp4", codec="libx264")
    upright = next(frames(path))[1]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix of the track: here a quarter turn
    turned = b"".join(value.to_bytes(4, "big", signed=True) for value in (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
    data[at : at + 36] = turned
    path.write_bytes(data)
    assert next(frames(path))[1].shape == (upright.shape[1], upright.shape[0], 3)


def test_only_as_much_is_decoded_as_is_asked_for(tmp_path, monkeypatch):
    path = film(tmp_path / "v.avi", count=200, codec="mjpeg")
    seen = []
    own = video.upright_frame
    monkeypatch.setattr("resight.images.frames.upright_frame", lambda *given: seen.append(1) or own(*given))
    source = frames(path)
    for _ in range(5):
        next(source)
    source.close()
    assert len(seen) == 5
    with pytest.raises(StopIteration):
        next(source)


def test_a_video_cut_short_gives_what_it_has_and_says_so(tmp_path):
    path = film(tmp_path / "v.avi", count=50, codec="mjpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = []
    with pytest.raises(ImageError, match=r"v\.avi: frame \d+ (is damaged|cannot be read: .*)"):
        found.extend(frames(path))
    assert 15 < len(found) < 30


def test_a_video_that_ends_before_its_time(tmp_path, monkeypatch):
    path = film(tmp_path / "v.avi")
    monkeypatch.setattr("resight.images.frames.promised_seconds", lambda container: 0.44)
    assert len(list(frames(path))) == 10  # a frame more or less is no damage
    monkeypatch.setattr("resight.images.frames.promised_seconds", lambda container: 2.0)
    source = frames(path)
    assert len([next(source) for _ in range(10)]) == 10
    with pytest.raises(ImageError, match=r"frame 11 cannot be read: the video is cut short, at 0\.4 of 2\.0 seconds"):
        next(source)


def test_what_has_no_frames(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.start_encoding()
    with pytest.raises(ImageError, match=r"v\.mkv: (the video has no frames|.*damaged)"):
        frames(tmp_path / "v.mkv")


def test_what_is_no_video(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "text.mp4").write_text("hello, world")
    for given, words in [
        (tmp_path / "text.mp4", "text.mp4: not a video: it begins like plain text"),
        (tmp_path / "none.avi", "none.avi: No such file or directory"),
        (tmp_path, "expected a video, got a folder"),
    ]:
        with pytest.raises(ImageError, match=words):
            frames(given)
    for wrong in (None, True, 1.5, b"v.avi"):
        with pytest.raises(InputError, match="expected the path of a video or the number of a camera, got"):
            frames(wrong)


def test_without_pyav(tmp_path, monkeypatch):
    path = film(tmp_path / "v.avi")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"needs PyAV: pip install 'resight\[video\]'"):
        frames(path)


class Camera:
    """As cv2.VideoCapture: some pictures, blue in OpenCV's order, then none."""

    def __init__(self, count=3, opened=True):
        self.left, self.opened, self.released = count, opened, 0

    def isOpened(self):
        return self.opened

    def set(self, name, value):
        return True

    def get(self, name):
        return 30.0

    def read(self):
        self.left -= 1
        return (self.left >= 0), (np.full((8, 12, 3), (255, 0, 0), np.uint8) if self.left >= 0 else None)

    def release(self):
        self.released += 1


def test_a_camera(monkeypatch):
    import cv2

    camera = Camera()
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    before = cv2.utils.logging.getLogLevel()
    source = frames(0)
    assert (source.name, source.rate, source.expected) == ("camera 0", 30.0, 0)
    found = []
    with pytest.raises(ImageError, match=r"camera 0: it gives no more pictures \(unplugged\?\)"):
        found.extend(source)
    assert len(found) == 3 and camera.released == 1
    assert found[0][1].tolist() == np.full((8, 12, 3), (0, 0, 255)).tolist()
    times = [seconds for seconds, _ in found]
    assert times[0] < 0.5 and times == sorted(times)
    assert cv2.utils.logging.getLogLevel() == before


def test_cameras_that_are_not_there(monkeypatch, capfd):
    import cv2

    with pytest.raises(ImageError, match="camera 99: there is none of this number, or another program has it"):
        frames(99)
    assert capfd.readouterr().err == ""  # OpenCV's drivers would each complain
    for wrong in (-1, 100):
        with pytest.raises(InputError, match=f"cameras are numbered from 0 to 99, got {wrong}"):
            frames(wrong)
    camera = Camera(0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    with pytest.raises(ImageError, match="camera 0: it gives no pictures"):
        frames(0)
    assert camera.released == 1
