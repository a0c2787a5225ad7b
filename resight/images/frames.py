"""The frames of a video file or a camera, one after the other: only one is in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError
from resight.images.places import is_folder
from resight.images.video import WHOLE, decoder_limits, open_video, plain_words, promised_seconds, upright_frame

if TYPE_CHECKING:
    import av
    import av.container

Timed = tuple[float, NDArray[np.uint8]]
RATES = (1.0, 1000.0)  # frames a second that are believed
TRIES = 5  # a camera may miss a frame now and then
LAST_CAMERA = 99


class Frames(Iterator[Timed]):
    """(seconds, image) of each frame: since the first one, and (H, W, 3) uint8 RGB, upright.

    name:     the video's path, or "camera 0"
    rate:     frames a second as the source says; None if it does not
    expected: how many frames there will be as the header says, which need not hold; 0: not known

    Closed at its end, after an error, by close(), or by leaving it as a context.
    """

    def __init__(self, name: str, rate: float | None, expected: int, stream: Iterator[Timed], held: ExitStack) -> None:
        self.name = name
        self.rate = rate if rate is not None and RATES[0] <= rate <= RATES[1] else None
        self.expected = expected
        self._stream = stream
        self._held = held

    def __next__(self) -> Timed:
        try:
            return next(self._stream)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the file or the camera back; there are no frames after that."""
        self._stream = iter(())
        self._held.close()

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def frames(source: str | os.PathLike[str] | int) -> Frames:
    """The frames of a video, from its first to its last, or of a camera, without end.

    source: the path of a video, or the number of a camera, from 0

    Raises ImageError if there is no such file or camera, it is no video, or it has no frames; while going through the
    frames, where one is damaged or the video ends before the time that its header promises. InputError if PyAV, which
    reads videos, is missing, or for what is neither a path nor a camera's number.
    """
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return _camera(int(source))
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"expected the path of a video or the number of a camera, got {type(source).__name__}")
    path = Path(os.path.expanduser(source))
    if is_folder(path):
        raise ImageError(str(path), "expected a video, got a folder")
    held = ExitStack()
    try:
        container = held.enter_context(open_video(path))
        stream = _decoded(path, container)
        first = next(stream)  # a video without frames is told at once
        rate = container.streams.video[0].average_rate
        return Frames(str(path), float(rate) if rate else None, _expected(container), _chain(first, stream), held)
    except BaseException:
        held.close()
        raise


def _expected(container: av.container.InputContainer) -> int:
    """Frames by the header, or by its seconds; 0 if it has neither."""
    stream = container.streams.video[0]
    seconds = (container.duration or 0) / 1e6
    return int(stream.frames or (round(seconds * float(stream.average_rate)) if stream.average_rate else 0))


def _chain(first: Timed, rest: Iterator[Timed]) -> Iterator[Timed]:
    yield first
    del first
    yield from rest


def _decoded(path: Path, container: av.container.InputContainer) -> Iterator[Timed]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    stream.codec_context.options = decoder_limits()  # those given on opening are for probing only
    decoded, rate = container.decode(stream), float(stream.average_rate or 25)
    number, start, end = 0, 0.0, 0.0
    while (found := _next(decoded, path, f"frame {number + 1}")) is not None:
        at, pixels = found
        start = at if not number and at is not None else start
        seconds = number / rate if at is None else at - start
        end = max(end, seconds + 1 / rate)
        number += 1
        yield seconds, pixels
    if not number:
        raise ImageError(str(path), "the video has no frames")
    promised = promised_seconds(container)
    if end < WHOLE * promised:
        raise ImageError(str(path), f"frame {number + 1} cannot be read: the video is cut short, at {end:.1f} of "
                         f"{promised:.1f} seconds (an interrupted copy?)")  # fmt: skip


def _next(decoded: Iterator[av.VideoFrame], path: Path, where: str) -> tuple[float | None, NDArray[np.uint8]] | None:
    """Time and pixels of the next frame; None if there is none."""
    try:
        frame = next(decoded, None)
        if frame is None:
            return None
        if frame.is_corrupt:
            raise ImageError(str(path), f"{where} is damaged")
        return frame.time, upright_frame(frame, path)
    except ImageError:
        raise
    except Exception as error:  # FFmpeg's errors are of many types.
        raise ImageError(str(path), f"{where} cannot be read: {plain_words(error)}") from error


def _camera(number: int) -> Frames:
    if not 0 <= number <= LAST_CAMERA:
        raise InputError(f"cameras are numbered from 0 to {LAST_CAMERA}, got {number}")
    import cv2

    name, held = f"camera {number}", ExitStack()
    with _silent():
        camera = cv2.VideoCapture(number)
    held.callback(camera.release)
    try:
        if not camera.isOpened():
            raise ImageError(name, "there is none of this number, or another program has it, or you may not use it")
        with _silent():
            camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # pictures of now; not every system listens
            rate = float(camera.get(cv2.CAP_PROP_FPS))
        stream = _seen(camera, name)
        return Frames(name, rate, 0, _chain(next(stream), stream), held)
    except BaseException:
        held.close()
        raise


def _seen(camera: Any, name: str) -> Iterator[Timed]:
    import cv2

    start: float | None = None
    missed = 0
    while missed < TRIES:
        with _silent():
            there, pixels = camera.read()
        if not there or pixels is None:
            missed += 1
            continue
        missed = 0
        start = time.monotonic() if start is None else start
        yield time.monotonic() - start, np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    raise ImageError(name, "it gives no pictures" if start is None else "it gives no more pictures (unplugged?)")


@contextmanager
def _silent() -> Iterator[None]:
    """OpenCV writes nothing to the error output meanwhile: it tells each of its drivers that fails."""
    import cv2

    logging = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
