"""Counts and picks the frames of a video by PyAV, which is an extra."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError
from resight.images.gate import MAX_PIXELS, check_pixels
from resight.images.signatures import image_kind, seems

if TYPE_CHECKING:
    import av
    import av.container

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg"})
MAX_FRAMES = 100_000
# The containers of those suffixes. Others, such as playlists, may name further files or hosts to open.
_FORMATS = "avi,mov,matroska,webm,mpeg,mpegvideo,mpegts"
# A video that ends before this share of the time that its header promises was cut short.
WHOLE = 0.9

Made = TypeVar("Made")


@dataclass(frozen=True)
class _Facts:
    """frames: packets with content; promised and found: seconds by the header (0: it does not say) and by them."""

    frames: int
    promised: float
    found: float


def count_frames(path: Path) -> int:
    """How many frames a video has, from its packets: nothing is decoded.

    Codecs with hidden frames (VP8 by some encoders) have a few less than that.
    Raises ImageError if it is no video, has none or too many, or was cut short; InputError if PyAV is missing.
    """
    with open_video(path) as container:
        facts = _facts(path, container)
    if not facts.frames:
        raise ImageError(str(path), "the video has no frames")
    if facts.found < WHOLE * facts.promised:
        raise ImageError(
            str(path),
            f"frame {facts.frames + 1} cannot be read: the video is cut short, at {facts.found:.1f} of "
            f"{facts.promised:.1f} seconds (an interrupted copy?)",
        )
    return facts.frames


def pick_frames(
    path: Path, places_of: Callable[[int], Sequence[int]], change: Callable[[NDArray[np.uint8]], Made]
) -> list[Made]:
    """What `change` makes of the wanted frames, decoded one after the other from the first.

    places_of: number of frames -> the wanted places, ascending
    change:    is called with (H, W, 3) uint8 RGB, turned upright by the video's metadata

    Raises ImageError as count_frames does, and if a wanted frame, or one before it, is damaged.
    """
    count = count_frames(path)
    found, decoded = _decode(path, places_of(count), count, change)
    if len(found) == len(places_of(count)):
        return found
    if decoded < WHOLE * count:
        raise ImageError(str(path), f"frame {decoded + 1} of {count} cannot be read: nothing more can be decoded")
    return _decode(path, places_of(decoded), decoded, change)[0]  # some were hidden frames


def _decode(
    path: Path, places: Sequence[int], count: int, change: Callable[[NDArray[np.uint8]], Made]
) -> tuple[list[Made], int]:
    """What was made of the wanted places, and how many frames were decoded, up to the last wanted one."""
    wanted = set(places)
    found: list[Made] = []
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # readers run side by side already
        stream.codec_context.options = decoder_limits()  # those given on opening are for probing only
        frames = container.decode(stream)
        last = max(places)
        for place in range(last + 1):
            pixels, ended = _next(frames, place in wanted, path, f"frame {place + 1} of {count}")
            if ended:
                return found, place
            if pixels is not None:
                found.append(change(pixels))
    return found, last + 1


def _next(
    frames: Iterator[av.VideoFrame], wanted: bool, path: Path, where: str
) -> tuple[NDArray[np.uint8] | None, bool]:
    """The next frame's pixels if they are wanted, and whether there was no next frame."""
    try:
        frame = next(frames, None)
        if frame is None or not wanted:
            return None, frame is None
        if frame.is_corrupt:
            raise ImageError(str(path), f"{where} is damaged")
        return upright_frame(frame, path), False
    except ImageError:
        raise
    except Exception as error:  # FFmpeg's errors are of many types.
        raise ImageError(str(path), f"{where} cannot be read: {plain_words(error)}") from error


def upright_frame(frame: av.VideoFrame, path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a decoded frame, turned as the video says. Raises ImageError if it has too many pixels."""
    check_pixels(frame.width * frame.height, str(path), MAX_PIXELS)
    pixels = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24"))
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _facts(path: Path, container: av.container.InputContainer) -> _Facts:
    stream, frames, end = container.streams.video[0], 0, 0.0
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                frames += 1
                if packet.pts is not None and packet.time_base is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if frames > MAX_FRAMES:
                    raise ImageError(
                        str(path), f"the video has more than {MAX_FRAMES:,} frames, which is the limit: cut it"
                    )
    except ImageError:
        raise
    except Exception as error:  # FFmpeg's errors are of many types.
        raise ImageError(str(path), f"frame {frames + 1} cannot be read: {plain_words(error)}") from error
    return _Facts(frames, promised_seconds(container), end)


def promised_seconds(container: av.container.InputContainer) -> float:
    """Seconds of video by the header; a container's own duration may be that of its sound."""
    stream = container.streams.video[0]
    if stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)
    if container.format.name.startswith("matroska") and container.duration and len(container.streams) == 1:
        return container.duration / 1e6
    return 0.0


@contextmanager
def open_video(path: Path) -> Iterator[av.container.InputContainer]:
    """A video, opened with bounds. Raises ImageError if it is none, InputError if PyAV is missing."""
    library = _av(path)
    with _file(path) as file, _container(library, path, file) as container:
        if not container.streams.video:
            raise ImageError(str(path), "no video in it, only sound, or it is damaged")
        # Typed as always there, but None where FFmpeg knows no decoder.
        shape: object = container.streams.video[0].codec_context
        if not isinstance(shape, library.VideoCodecContext):
            raise ImageError(str(path), "the video is of a codec that cannot be decoded here, or damaged: convert it")
        check_pixels(shape.width * shape.height, str(path), MAX_PIXELS)
        yield container


def _file(path: Path) -> BinaryIO:
    """The opened file: given a name, FFmpeg might take it for a protocol."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait
            raise ImageError(str(path), "expected a video, got a FIFO, socket or device")
        return path.open("rb")
    except OSError as error:
        raise ImageError(str(path), error.strerror or str(error)) from error


def _av(path: Path) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise InputError(f"reading the video {path} needs PyAV: pip install 'resight[video]'") from error
    return av


def _container(library: ModuleType, path: Path, file: BinaryIO) -> av.container.InputContainer:
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file", **decoder_limits()}
    head = b""
    try:
        head = file.read(4096)
        file.seek(0)
        opened = library.open(file, "r", options=options, metadata_errors="replace")
    except Exception as error:  # FFmpeg's errors are of many types.
        raise ImageError(str(path), _no_video(head, str(path), error)) from error
    return cast("av.container.InputContainer", opened)


def decoder_limits() -> dict[str, str]:
    """What a decoder is told so that it refuses frames of too many pixels."""
    return {"max_pixels": str(MAX_PIXELS)}


def _no_video(head: bytes, name: str, error: Exception) -> str:
    if not head:
        return "the file is empty"
    if kind := image_kind(head):
        return f"expected a video, got a {kind} image"
    found = seems(head, name)
    if "a video" in found:
        return f"damaged or incomplete video: {plain_words(error)}"
    return found.replace("an image", "a video")


def plain_words(error: Exception) -> str:
    """What FFmpeg says of an error, in one line."""
    told = " ".join(str(getattr(error, "strerror", None) or error).split())[:160] or type(error).__name__
    # All that FFmpeg says of a frame beyond the limit.
    return f"{told} (damaged, or more than {MAX_PIXELS:,} pixels?)" if "nvalid argument" in told else told
