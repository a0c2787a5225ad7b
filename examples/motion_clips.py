"""Clips of which a single frame tells nothing: photographs seen by a camera that moves in one of eight ways.

    python examples/motion_clips.py PHOTOS OUT [--clips 8] [--size 128] [--frames 12 16] [--test 0.2] [--video]
    resight train classify OUT/clips.csv --sequences --head gru --tune head --out RUN

PHOTOS is a folder of photographs, with any folders below it; those too small for a view of 32 pixels are left out.
OUT/<motion>/<photograph>-<n> are folders of frames (JPEG) or, with --video, MP4 files; OUT/clips.csv lists them with
label, split and group. The group is the photograph, so that clips of one photograph are never in two parts.

A camera's place is four numbers: x, y, zoom, angle. Each runs along a course (random start, speed and sense); the
motion decides which of the four is seen to run, the others stand still at a random point of their own course. So a
frame taken alone has the same distribution in all eight motions, and a motion is its opposite played backwards.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from resight.errors import ImageError, InputError
from resight.images.listing import list_images
from resight.images.read import read_image
from resight.images.resize import resize

# Motion -> (which of x, y, zoom, angle runs, its sense). The camera moves: under pan_left the picture goes right.
MOTIONS = {
    "pan_left": ("x", -1), "pan_right": ("x", 1), "pan_up": ("y", -1), "pan_down": ("y", 1),
    "zoom_out": ("zoom", -1), "zoom_in": ("zoom", 1), "rotate_left": ("angle", -1), "rotate_right": ("angle", 1),
}  # fmt: skip
WIDEST, NARROWEST = 0.40, 0.22  # side of the view, as a share of the photograph's short side
TILT = 30.0  # degrees: the angle is from -TILT to TILT, clockwise
SLOWEST = 0.2  # a course covers at least this share of its range, and at most all of it


def make_clip(
    photo: NDArray[np.uint8], motion: str, frames: int, size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """What a camera sees of a photograph while it moves.

    photo:  (H, W, 3) uint8; its short side is scaled to size / WIDEST first, so that views are never scaled down
    motion: a key of MOTIONS; frames: how many, at least 2; size: side of the frames in pixels
    ->      (frames, size, size, 3) uint8; speed is constant

    A pan covers 20 to 100 % of the room that the view has along the short side, a zoom the same share of the factor
    WIDEST / NARROWEST, a rotation of 2 * TILT.
    """
    if motion not in MOTIONS or frames < 2:
        raise InputError(f"expected a motion of {', '.join(MOTIONS)} and at least 2 frames, got {motion!r}, {frames}")
    scale = size / WIDEST / min(photo.shape[:2])
    photo = resize(photo, (round(scale * photo.shape[0]), round(scale * photo.shape[1])))
    courses = {name: course(rng, frames) for name in ("x", "y", "zoom", "angle")}
    moving, sense = MOTIONS[motion]
    places = {
        name: one[::sense] if name == moving else np.full(frames, rng.choice(one)) for name, one in courses.items()
    }
    margin = rng.random()  # the long side has more room than a course of the short side's length
    return np.stack([view(photo, size, margin, *(places[name][t] for name in courses)) for t in range(frames)])


def course(rng: np.random.Generator, frames: int) -> NDArray[np.float64]:
    """(frames,) rising evenly within [0, 1]: random length, then random start."""
    length = rng.uniform(SLOWEST, 1)
    start = rng.uniform(0, 1 - length)
    return np.linspace(start, start + length, frames)


def view(
    photo: NDArray[np.uint8], size: int, margin: float, x: float, y: float, zoom: float, angle: float
) -> NDArray[np.uint8]:
    """(size, size, 3): the photograph from the place x, y, zoom, angle, each from 0 to 1."""
    height, width = photo.shape[:2]
    short = min(height, width)
    side = short * WIDEST * (NARROWEST / WIDEST) ** zoom
    reach = short * WIDEST * 0.5**0.5  # half the diagonal of the widest view, so that any angle stays inside
    room = short - 2 * reach
    centre = (
        reach + (width - short) * margin + room * x,
        reach + (height - short) * margin + room * y,
    )
    turn = np.deg2rad(TILT * (2 * angle - 1))
    axes = side / size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    # cv2 counts from the middle of the first pixel, `centre` from its corner.
    shift = np.array(centre) - 0.5 - axes @ np.full(2, (size - 1) / 2)
    warped = cv2.warpAffine(
        photo, np.column_stack([axes, shift]), (size, size), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(warped, np.uint8)


def write_folder(clip: NDArray[np.uint8], folder: Path) -> None:
    """One JPEG a frame: 00.jpg, 01.jpg ..."""
    from PIL import Image

    folder.mkdir(parents=True)
    for number, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"{number:02d}.jpg", quality=92)


def write_video(clip: NDArray[np.uint8], file: Path, rate: int = 12) -> None:
    """An MPEG-4 file; its side must be even."""
    import av

    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def photographs(paths: list[Path]) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Those that can be read and are large enough."""
    for path in paths:
        try:
            photo = read_image(path)
        except ImageError as error:
            print(f"left out: {error}")
            continue
        if min(photo.shape[:2]) * WIDEST < 32:
            print(f"left out: {path} is only {photo.shape[1]} x {photo.shape[0]}")
            continue
        yield path, photo


def write_clips(
    photos: Path, out: Path, *, clips: int = 8, size: int = 128, frames: tuple[int, int] = (12, 16),
    test: float = 0.2, seed: int = 0, video: bool = False, most: int | None = None,
) -> Path:  # fmt: skip
    """Clips of each photograph, every motion in turn, and the list of them.

    clips: per photograph; frames: least and most; test: share of photographs for testing; most: photographs taken
    ->     OUT/clips.csv with path, label, split, group
    """
    rng = np.random.default_rng(seed)
    paths = [one.path for one in list_images(photos)]
    paths = [paths[i] for i in rng.permutation(len(paths))[:most]]
    out.mkdir(parents=True)
    names, rows = list(MOTIONS), []
    for index, (path, photo) in enumerate(photographs(paths)):
        group = f"{index:04d}_{re.sub(r'[^A-Za-z0-9-]+', '_', path.stem)[:40]}"
        part = "test" if index < round(test * len(paths)) else "train"
        for number in range(clips):
            motion = names[(index * clips + number) % len(names)]
            clip = make_clip(photo, motion, int(rng.integers(frames[0], frames[1] + 1)), size, rng)
            place = f"{motion}/{group}-{number}{'.mp4' if video else ''}"
            (write_video if video else write_folder)(clip, out / place)
            rows.append((place, motion, part, group))
    if not rows:
        raise InputError(f"no photograph in {photos} that can be read and is large enough")
    with open(out / "clips.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split", "group"), *rows])
    return out / "clips.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=8, help="per photograph (8: each motion once)")
    parser.add_argument("--size", type=int, default=128, help="side of the frames in pixels (96 to 160 are enough)")
    parser.add_argument("--frames", type=int, nargs=2, default=(12, 16), help="least and most frames of a clip")
    parser.add_argument("--test", type=float, default=0.2, help="share of the photographs for the test part")
    parser.add_argument("--most", type=int, help="take so many photographs")
    parser.add_argument("--video", action="store_true", help="MP4 files instead of folders of frames")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    given["frames"] = tuple(given["frames"])
    try:
        file = write_clips(given.pop("photos"), given.pop("out"), **given)
    except (InputError, FileExistsError) as error:
        parser.exit(2, f"{error}\n")
    with open(file, encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    parts = {part: len({row["group"] for row in rows if row["split"] == part}) for part in ("train", "test")}
    print(f"{len(rows)} clips of {sum(parts.values())} photographs ({parts['test']} of them for testing): {file}")


if __name__ == "__main__":
    main()
