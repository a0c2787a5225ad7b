"""Clips: which frames are taken, folders and videos of many kinds, and what is said about damaged ones."""

from __future__ import annotations

import io
import os
import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from samples import picture

from resight.errors import ImageError, InputError
from resight.images import clip_length, clips, map_clip, read_clip, read_image, video
from resight.images.clips import frame_files, spread

CODECS = [
    ("avi", "mpeg4"), ("avi", "mjpeg"), ("mp4", "libx264"), ("mov", "mpeg4"), ("m4v", "libx264"), ("mkv", "libx264"),
    ("webm", "libvpx-vp9"), ("mpg", "mpeg1video"),
]  # fmt: skip


def level(number: int) -> int:
    return 20 + 5 * number


def record(path: Path, codec: str, count: int = 40, size: tuple[int, int] = (48, 32), **options: str) -> Path:
    """A video whose frame number n is grey of level(n), its upper half noise, its top left corner white."""
    av = pytest.importorskip("av")
    kinds = {".mpg": "mpeg", ".m4v": "mp4", ".mkv": "matroska"}
    with av.open(str(path), "w", format=kinds.get(path.suffix), options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(count):
            pixels = np.full((size[1], size[0], 3), level(number), np.uint8)
            pixels[: size[1] // 2] = np.random.default_rng(number).integers(0, 256, (size[1] // 2, size[0], 3))
            pixels[: size[1] // 4, : size[0] // 4] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


def levels(frames: list[np.ndarray]) -> list[float]:
    return [float(frame[frame.shape[0] * 3 // 4 :].mean()) for frame in frames]


def plant(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(picture(number, 20 + number, 30)).save(folder / name)
    return folder


@given(st.integers(1, 200), st.integers(1, 200))
def test_spread_is_the_middle_of_equal_stretches(count, frames):
    found = spread(count, frames)
    if frames >= count:
        assert found == list(range(count))
    else:
        exact = [Fraction(2 * i + 1, 2) * count / frames - Fraction(1, 2) for i in range(frames)]
        assert found == [int(e + Fraction(1, 2)) for e in exact] and len(set(found)) == frames
        assert all(0 <= place < count for place in found)
        assert abs(found[0] - (count - 1 - found[-1])) <= 1  # as much is left out before as behind


def test_folders_are_read_in_natural_order(tmp_path):
    names = ["f10.png", "f2.png", "F1.png", "f02.png", "2.png", "f2b.png", "10.png"]
    folder = plant(tmp_path / "s", *names)
    (folder / "notes.txt").write_text("x")
    (folder / ".f3.png").write_bytes(b"hidden")
    plant(folder / "deeper", "f1.png")
    expected = ["2.png", "10.png", "F1.png", "f02.png", "f2.png", "f2b.png", "f10.png"]
    assert [file.name for file in frame_files(folder)] == expected and clip_length(folder) == 7
    everything = read_clip(folder)
    assert [frame.shape[0] for frame in everything] == [20 + names.index(name) for name in expected]
    assert all(np.array_equal(one, read_image(folder / name)) for one, name in zip(everything, expected))
    assert [frame.shape[0] for frame in read_clip(folder, 3)] == [20 + names.index(expected[n]) for n in (1, 3, 5)]
    assert map_clip(str(folder), 2, np.mean) == [np.mean(everything[n]) for n in spread(7, 2)]


def test_a_damaged_frame_is_named(tmp_path):
    folder = plant(tmp_path / "s", *(f"{n}.png" for n in range(8)))
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:60])
    with pytest.raises(ImageError, match=r"s/3\.png: damaged PNG image"):
        read_clip(folder)
    assert len(read_clip(folder, 2)) == 2  # frames 2 and 6


@pytest.mark.parametrize(("suffix", "codec"), CODECS)
def test_videos(tmp_path, suffix, codec):
    path = record(tmp_path / f"v.{suffix.upper()}" if suffix == "avi" else tmp_path / f"v.{suffix}", codec)
    assert clip_length(path) == 40
    frames = read_clip(path, 8)
    assert all(frame.shape == (32, 48, 3) and frame.dtype == np.uint8 and frame.flags.c_contiguous for frame in frames)
    assert np.abs(np.array(levels(frames)) - [level(n) for n in spread(40, 8)]).max() < 2.5
    assert np.abs(np.array(levels(read_clip(path, 99))) - [level(n) for n in range(40)]).max() < 2.5
    assert map_clip(path, 3, lambda frame: frame.shape) == [(32, 48, 3)] * 3


@pytest.mark.parametrize(("angle", "turns"), [(0, 0), (90, 3), (180, 2), (270, 1)])
def test_videos_are_turned_upright(tmp_path, angle, turns):
    """A phone's portrait video is stored lying, with a matrix in the track header that turns it."""
    data = bytearray(record(tmp_path / "v.mp4", "libx264", count=3).read_bytes())
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[angle]
    matrix = [cos * 65536, sin * 65536, 0, -sin * 65536, cos * 65536, 0, 0, 0, 1 << 30]
    at = data.index(b"tkhd") + 4 + 4 + 20 + 16
    assert struct.unpack(">9i", data[at : at + 36]) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *matrix)
    (tmp_path / "turned.mp4").write_bytes(data)
    plain, turned = read_clip(tmp_path / "v.mp4")[1], read_clip(tmp_path / "turned.mp4")[1]
    assert np.array_equal(turned, np.rot90(plain, turns)) and turned.flags.c_contiguous
    cv2 = pytest.importorskip("cv2")
    peer = cv2.VideoCapture(str(tmp_path / "turned.mp4")).read()[1]
    if peer is not None:
        assert np.abs(peer.mean(2) - read_clip(tmp_path / "turned.mp4")[0].mean(2)).max() < 8


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "count", "shape"), [("tree.avi", 68, (240, 320, 3)), ("Megamind.avi", 270, (528, 720, 3))]
)
def test_real_videos_against_opencv(real_images, name, count, shape):
    pytest.importorskip("av")
    import cv2

    path = real_images("opencv-samples") / name
    assert clip_length(path) == count
    capture, theirs = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        theirs.append(read[1][..., ::-1])
    if len(theirs) != count:
        pytest.skip(f"this OpenCV gives {len(theirs)} frames of {count}")
    for place, frame in zip(spread(count, 5), read_clip(path, 5)):
        assert frame.shape == shape and np.abs(frame.astype(int) - theirs[place]).mean() < 1.5


@pytest.mark.parametrize(
    ("suffix", "codec", "words"),
    [
        ("avi", "mpeg4", r"frame \d+ cannot be read: the video is cut short, at \d\.\d of 1\.6 seconds"),
        ("avi", "mjpeg", r"frame \d+ cannot be read: the video is cut short"),
        ("mkv", "libx264", r"frame \d+ cannot be read: the video is cut short, at \d\.\d of 1\.6 seconds"),
        ("webm", "libvpx-vp9", r"frame \d+ cannot be read: the video is cut short"),
        ("mp4", "libx264", "damaged or incomplete video: Invalid data found"),
        ("mov", "mpeg4", "damaged or incomplete video: Invalid data found"),
    ],
)
def test_videos_that_are_cut_short(tmp_path, suffix, codec, words):
    path = record(tmp_path / f"v.{suffix}", codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    for read in (read_clip, clip_length):
        with pytest.raises(ImageError, match=rf"v\.{suffix}: {words}"):
            read(path)


def test_a_streamable_video_that_is_cut_short(tmp_path):
    path = record(tmp_path / "v.mp4", "libx264", movflags="faststart")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    path.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    with pytest.raises(ImageError, match=r"frame \d+ cannot be read: the video is cut short|frame \d+ of"):
        read_clip(path)


def test_noise_in_a_video_is_found_or_decoded_around(tmp_path):
    """Whatever the noise hits, there is a clip of the frames asked for or an error in one line that names the file."""
    random, told = np.random.default_rng(0), 0
    for suffix, codec in CODECS:
        data = record(tmp_path / f"v.{suffix}", codec, count=20).read_bytes()
        for trial in range(12):
            noisy = bytearray(data)
            at = int(random.integers(0, len(data)))
            noisy[at : at + 60] = random.bytes(len(noisy[at : at + 60]))
            path = tmp_path / f"{trial}.{suffix}"
            path.write_bytes(noisy)
            try:
                found = read_clip(path, 5)
                assert len(found) == 5 and all(frame.ndim == 3 for frame in found)
            except ImageError as error:
                told += 1
                assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 400
    assert told > 10


def test_what_is_no_video(tmp_path):
    pytest.importorskip("av")
    files = {
        "text.mp4": (b"hello, world", "not a video: it begins like plain text, 'hello, world'"),
        "empty.avi": (b"", "the file is empty"),
        "zeros.mkv": (bytes(5000), "not a video: it begins with zeros only"),
        "page.webm": (b"<!DOCTYPE html><p>404", "not a video: it begins like an HTML page"),
        "list.mp4": (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video: it begins like plain text"),
        "hls.mp4": (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "not a video: it begins like plain text"),
        "noise.avi": (np.random.default_rng(0).bytes(9000), "not a video of a known format"),
        "header.avi": (b"RIFF\0\0\0\0AVI LIST", "damaged or incomplete video"),
    }  # fmt: skip
    for name, (content, words) in files.items():
        (tmp_path / name).write_bytes(content)
        for read in (read_clip, clip_length):
            with pytest.raises(ImageError, match=rf"{name}: ({words})"):
                read(tmp_path / name)
    image = tmp_path / "picture.avi"
    Image.fromarray(picture(1)).save(image, "PNG")
    with pytest.raises(ImageError, match=r"picture\.avi: expected a video, got a PNG image"):
        read_clip(image)


@pytest.mark.parametrize("hidden", [1, 3])
def test_frames_that_the_packets_promise_and_decoding_does_not_give(tmp_path, monkeypatch, hidden):
    """Some encoders hide frames in packets of their own: the clip is spread over those that are shown."""
    path = record(tmp_path / "v.avi", "mjpeg", count=30)
    monkeypatch.setattr(video, "count_frames", lambda path: 30 + hidden)
    for frames in (60, 29, 7):
        assert np.abs(np.array(levels(read_clip(path, frames))) - [level(n) for n in spread(30, frames)]).max() < 6
    monkeypatch.setattr(video, "count_frames", lambda path: 40)
    with pytest.raises(ImageError, match=r"v\.avi: frame 31 of 40 cannot be read: nothing more can be decoded"):
        read_clip(path, 60)


def test_sound_only(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "s.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(ImageError, match=r"s\.mkv: no video in it, only sound, or it is damaged"):
        read_clip(tmp_path / "s.mkv")


def test_sound_longer_than_the_picture_is_no_damage(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        pictures, sound = container.add_stream("mpeg4", rate=25), container.add_stream("pcm_s16le", rate=8000)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        for number in range(10):
            shade = np.full((32, 32, 3), level(number), np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(shade, "rgb24")))
        container.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
    assert clip_length(tmp_path / "v.mkv") == len(read_clip(tmp_path / "v.mkv", 99)) == 10


def test_bounds(tmp_path, monkeypatch):
    path = record(tmp_path / "v.avi", "mjpeg", count=6)
    monkeypatch.setattr(video, "MAX_FRAMES", 5)
    with pytest.raises(ImageError, match=r"v\.avi: the video has more than 5 frames, which is the limit: cut it"):
        clip_length(path)
    monkeypatch.undo()
    monkeypatch.setattr(clips, "MAX_CLIP_PIXELS", 48 * 32 * 3)
    assert len(read_clip(path, 3)) == 3 and len(map_clip(path, 6, lambda frame: frame)) == 6
    with pytest.raises(ImageError, match="more than 4,608 pixels together: take fewer"):
        read_clip(path, 4)
    monkeypatch.undo()
    monkeypatch.setattr(video, "MAX_PIXELS", 48 * 32 - 1)
    for name in ("v.avi", "v.mkv"):
        path = path if name == "v.avi" else record(tmp_path / name, "libx264", count=6)
        with pytest.raises(
            ImageError, match=rf"{name}: .*(1,536 pixels and the limit is 1,535|more than 1,535 pixels\?)"
        ):
            read_clip(path)
        with monkeypatch.context() as unchecked:  # the decoder refuses by itself, before it takes memory
            unchecked.setattr(video, "check_pixels", lambda *_: None)
            with pytest.raises(ImageError, match=r"frame 1 of 6 cannot be read: .* more than 1,535 pixels\?"):
                read_clip(path)
    monkeypatch.undo()
    folder = plant(tmp_path / "s", "1.png", "2.png", "3.png")
    monkeypatch.setattr(clips, "MAX_FRAMES", 2)
    with pytest.raises(ImageError, match="the folder holds 3 images and the limit is 2 frames"):
        read_clip(folder)


def test_a_video_that_claims_to_be_huge(tmp_path):
    data = bytearray(record(tmp_path / "v.avi", "mjpeg", count=6).read_bytes())
    at = data.index(b"strf") + 8  # a BITMAPINFOHEADER: its width and height
    data[at + 4 : at + 12] = struct.pack("<ii", 60_000, 60_000)
    # And every JPEG in it says so too.
    sof = data.find(b"\xff\xc0")
    while sof >= 0:
        data[sof + 5 : sof + 9] = struct.pack(">HH", 60_000, 60_000)
        sof = data.find(b"\xff\xc0", sof + 1)
    (tmp_path / "v.avi").write_bytes(data)
    with pytest.raises(ImageError, match=r"v\.avi: "):
        read_clip(tmp_path / "v.avi")


def test_what_the_change_raises_is_not_taken_for_damage(tmp_path):
    path = record(tmp_path / "v.avi", "mjpeg", count=3)
    for kind in (ZeroDivisionError, OSError, KeyError):

        def fail(frame, kind=kind):
            raise kind("mine")

        with pytest.raises(kind, match="mine"):
            map_clip(path, 3, fail)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "no such folder or file"),
        ("none.mp4", "no such folder or file"),
        ("empty", "the folder holds no images"),
        ("a.png", r"expected a folder of frames or a video \(\.avi .*\), got an image"),
        ("a.txt", r"expected a folder of frames or a video \(\.avi .*\), got a file"),
        ("pipe.mp4", "expected a video, got a FIFO, socket or device"),
        ("a\0b", "no such folder or file|not a file name"),
    ],
)
def test_wrong_paths(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").touch()
    (tmp_path / "a.txt").touch()
    plant(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.mp4")
    for read in (read_clip, clip_length):
        with pytest.raises(ImageError, match=words):
            read(tmp_path / name)


def test_wrong_arguments(tmp_path):
    folder = plant(tmp_path / "s", "1.png")
    for frames in (0, -1, 2.0, "3", True):
        with pytest.raises(InputError, match="expected frames as a whole number from 1, got"):
            read_clip(folder, frames)
    with pytest.raises(InputError, match="expected the path of a folder of frames or a video, got BytesIO"):
        read_clip(io.BytesIO())


def test_without_pyav(tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"v\.mp4 needs PyAV: pip install 'resight\[video\]'"):
        read_clip(tmp_path / "v.mp4")
    assert len(read_clip(plant(tmp_path / "s", "1.png"))) == 1
