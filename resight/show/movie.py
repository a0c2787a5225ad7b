"""An mp4 written frame by frame, playable whatever ends the work."""

from __future__ import annotations

import contextlib
import io
import math
import os
import secrets
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import InputError, WorkError, advice
from resight.show.text import visible

CODECS = ("libx264", "libopenh264", "mpeg4")  # what plays everywhere first
RATE, RATES = 25.0, (1.0, 240.0)
FINEST = 1001  # of the denominator of a rate: mpeg4 takes 16 bits, television's rates are over 1001
LONGEST_PAUSE = 60.0  # seconds between two frames; more is taken for damage
LARGEST = 8192  # pixels of a side


class Movie:
    """Writes an mp4 (H.264 if FFmpeg has an encoder for it here, else MPEG-4 part 2) from frames in their order.

    path: of the file, which is replaced
    rate: frames a second of the source; frames with a time of their own are put on its grid

    The file is written under another name and renamed at the end, also when an error or Ctrl-C ends the work: what was
    done can be played. Without a frame there is no file. A context; use it with `with`.
    Raises InputError if PyAV is missing or a frame is no (H, W, 3) uint8, WorkError if the disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str], rate: float | None = None) -> None:
        self.path = Path(path)
        self.frames = 0
        wanted = RATE if rate is None or not math.isfinite(rate) or rate <= 0 else rate
        self._rate = Fraction(min(max(wanted, RATES[0]), RATES[1])).limit_denominator(FINEST)
        self._size: tuple[int, int] | None = None
        self._at = -1  # of the last frame, in steps of the rate
        self._library = _av(self.path)
        self._temporary = self.path.parent / f".resight-{secrets.token_hex(6)}.tmp"
        self._file: _File | None = None
        self._container: Any = None
        self._stream: Any = None

    def add(self, image: NDArray[np.uint8], seconds: float | None = None) -> None:
        """One more frame.

        image:   (H, W, 3) uint8 RGB; an odd last row or column is repeated, as H.264 takes even sizes; a frame of
                 another size than the first is scaled to it
        seconds: when it is shown, since the first; None: one step of the rate after the one before
        """
        shape = image.shape
        if image.dtype != np.uint8 or image.ndim != 3 or shape[2] != 3 or 0 in shape or max(shape[:2]) > LARGEST:
            raise InputError(f"expected a frame (H, W, 3) uint8 of at most {LARGEST} pixels a side, got {image.dtype} "
                             f"of shape {shape}")  # fmt: skip
        self._at = self._place(seconds)
        try:
            if self._size is None:
                self._begin((shape[0], shape[1]))
            frame = self._library.VideoFrame.from_ndarray(_even(_sized(image, self._size)), format="rgb24")
            frame.pts, frame.time_base = self._at, 1 / self._rate
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except Exception as error:  # FFmpeg's errors are of many types.
            raise self._refused(error) from error
        self.frames += 1

    def __enter__(self) -> Movie:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self._file is not None and self.frames:
                self._finish()
        finally:
            self._give_up()

    def _place(self, seconds: float | None) -> int:
        if seconds is None or not math.isfinite(seconds):
            return self._at + 1
        most = self._at + round(LONGEST_PAUSE * self._rate)
        return max(self._at + 1, min(round(seconds * self._rate), most)) if self.frames else 0

    def _begin(self, size: tuple[int, int]) -> None:
        height, width = size
        self._file = _File(self._temporary, "xb")
        self._container = self._library.open(self._file, "w", format="mp4")
        name = next((codec for codec in CODECS if codec in self._library.codecs_available), CODECS[-1])
        options = {"preset": "veryfast", "crf": "20"} if name == "libx264" else {}
        self._stream = self._container.add_stream(name, rate=self._rate, options=options)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = 1 / self._rate
        if not options:
            self._stream.bit_rate = max(1_000_000, round(0.2 * width * height * self._rate))
        self._size = size

    def _finish(self) -> None:
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
            self._temporary.replace(self.path)
        except Exception as error:  # FFmpeg's errors are of many types.
            raise self._refused(error) from error

    def _give_up(self) -> None:
        """Nothing is left of what was not renamed."""
        if self._file is None:
            return
        with contextlib.suppress(Exception):  # whatever FFmpeg has to say of a file that is thrown away
            self._container.close()
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()
        self._file = None

    def _refused(self, error: Exception) -> WorkError:
        found = self._file.refused if self._file is not None and self._file.refused is not None else error
        why = advice(found) if isinstance(found, OSError) else " ".join(str(found).split())[:160]
        return WorkError(f"cannot write {visible(str(self.path))}: {why or type(error).__name__}")


class _File(io.FileIO):
    """A file that remembers why the system refused: FFmpeg, through which it is written, tells only that it did."""

    refused: OSError | None = None

    def write(self, data: Any) -> int:
        """All of the bytes; how many they are."""
        rest = memoryview(data).cast("B")
        try:
            while rest:  # near the end of a disk only a part may be taken, and no error is raised
                rest = rest[super().write(rest) :]
            return len(data)
        except OSError as error:
            self.refused = error
            raise


def _av(path: Path) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise InputError(f"writing the video {path} needs PyAV: pip install 'resight[video]'") from error
    return av


def _sized(image: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    if size is None or image.shape[:2] == size:
        return image
    import cv2

    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)
