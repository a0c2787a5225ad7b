"""A folder of explained images: pictures in the modes that were asked for, the maps themselves, and a manifest."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resight.errors import WorkError, advice
from resight.show.files import write_atomic
from resight.show.folders import check_free
from resight.show.heat import HeatStyle, draw_heat, peak
from resight.show.heat_journal import FORMAT, HeatJournal, begun, files_of
from resight.show.heat_sheet import HeatSheet, heat_sheet
from resight.show.saving import save_picture
from resight.show.text import visible

if TYPE_CHECKING:
    from resight.explain.heat import Heat

MANIFEST, SHEET = "manifest.json", "sheet.png"
OTHERS = ("sheet", "pair", "matches")  # names of pictures that are not of one map
LONGEST = 80  # bytes of an image's, a class's or a part's name within a file's name


class HeatFolder:
    """Writes explained images one by one into a folder; what is written stays, whatever comes after.

    Of one mode pictures lie in the folder itself, of several in a folder for each. Maps (.npy, float32, as the network
    made them) and manifest.json lie beside them, and sheet.png if it was asked for. The manifest is written at the end,
    also after an error or an interruption, and then says `"complete": false`; until then manifest.jsonl has a line for
    each image.

    folder:   must not exist yet, or be empty, or with `settings` be one that was not finished
    about:    what the manifest says first: model, method ...
    settings: what decides the results, beside the style. With the same a folder that was not finished goes on: `done`
              images, in the order in which they were added, are in it already. None: only a new folder

    Raises InputError if something else is there already, WorkError if the disk refuses.
    """

    def __init__(
        self, folder: Path, style: HeatStyle | None = None, about: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.style = style or HeatStyle()
        self._about = dict(about or {})
        check_open(folder) if settings is not None else check_free(folder)
        self._subfolders = {mode: mode if len(self.style.modes) > 1 else "" for mode in self.style.modes}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._journal = HeatJournal(folder, None if settings is None else {**settings, **asdict(self.style)})
            (folder / MANIFEST).unlink(missing_ok=True)  # of an interruption; it would be out of date from now on
            for name in self._subfolders.values():
                (folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise WorkError(f"cannot write {visible(str(folder))}: {advice(error)}") from error
        rows = self._journal.rows
        self.done = len(rows)
        self._images: list[dict[str, Any]] = [row["image"] for row in rows if "image" in row]
        self._skipped: list[dict[str, str]] = [row["skipped"] for row in rows if "skipped" in row]
        names = [name for row in rows for name in files_of(row)]
        self.pictures = sum(name.endswith(".png") for name in names)
        self._taken = {*OTHERS, *(Path(name).stem.casefold() for name in names)}

    def __enter__(self) -> HeatFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if self._images or self._skipped or kind is None:
                text = json.dumps(self.manifest(complete=kind is None), indent=1)
                write_atomic(self.folder / MANIFEST, text + "\n")
                if kind is None:
                    self._journal.remove()
            else:
                self._journal.remove()
                self._remove_empty()
        finally:
            self._journal.close()

    @property
    def skipped(self) -> int:
        """How many images could not be read."""
        return len(self._skipped)

    def manifest(self, complete: bool = True) -> dict[str, Any]:
        """What manifest.json says."""
        style = self.style
        return {
            "format": FORMAT, **self._about, "modes": list(style.modes), "scale": style.scale, "signed": style.signed,
            "colors": style.colors, "complete": complete, "images": self._images, "skipped": self._skipped,
        }  # fmt: skip

    def add(
        self, path: str | os.PathLike[str], heats: Sequence[Heat], image: NDArray[np.uint8],
        top: Sequence[Mapping[str, Any]] = (), more: Sequence[Mapping[str, Any]] = (),
        frames: Sequence[Mapping[str, Any]] = (),
    ) -> None:  # fmt: skip
        """Pictures and maps of one image.

        path:   what it is called
        heats:  one for each class
        image:  (H, W, 3) uint8, or of a sequence its frames (T, S, S, 3)
        top:    the most probable classes, for the manifest
        more:   what else the manifest says of each heat
        frames: the same of each frame of a sequence, if it is known: its "file", or its "place" in a video
        """
        stem = Path(path).stem if Path(path).suffix else Path(path).name
        pixels = self._reduced(image)
        shown = [list(_drawn(heat, pixels)) for heat in heats]
        whole = peak((one for parts in shown for one, _ in parts), self.style.signed)
        rows = []
        for place, (heat, parts) in enumerate(zip(heats, shown, strict=True)):
            largest = whole if self.style.scale == "image" else peak((one for one, _ in parts), self.style.signed)
            words = [stem, class_name(heat) if heat.target >= 0 else Path(heat.label).stem]  # of a pair the other
            made = [self._write(file_name(*words, one.part), one, pixels, largest) for one, pixels in parts]
            if image.ndim == 4:
                made = [{**one, **_frame(order % len(image), len(image), frames)} for order, one in enumerate(made)]
            rows.append({**_row(heat, made), **(more[place] if more else {})})
        found = {"path": str(path), "size": list(image.shape[-3:-1]), "top": list(top), "maps": rows}
        self._journal.write({"image": found})
        self._images.append(found)

    def skip(self, path: str | os.PathLike[str], reason: str) -> None:
        """An image that could not be read, for the manifest."""
        row = {"path": str(path), "reason": reason}
        self._journal.write({"skipped": row})
        self._skipped.append(row)

    def write_sheet(self, pixels_of: Callable[[str], NDArray[np.uint8]]) -> HeatSheet | None:
        """Write sheet.png, as `heat_sheet` draws it of the images so far; None if there are none.

        pixels_of: as of `heat_sheet`, by the path that an image was added under

        Raises WorkError if the disk refuses.
        """
        if not self._images:
            return None
        title = " of ".join(str(self._about[word]) for word in ("method", "model") if word in self._about)
        made = heat_sheet(self._images, self.folder, pixels_of, self.style, title)
        save_picture(made.picture, self.folder / SHEET)
        self._about["sheet"] = SHEET
        return made

    def _write(self, name: str, heat: Heat, image: NDArray[np.uint8], largest: float) -> dict[str, Any]:
        """The map and pictures of one heat; what the manifest says of it."""
        style, pictures = self.style, {}
        name = self._free(name)
        write_atomic(self.folder / f"{name}.npy", _npy(heat.map))
        for mode, folder in self._subfolders.items():
            picture = draw_heat(heat, image, mode, largest=largest, signed=style.signed, colors=style.colors)
            place = Path(folder) / f"{name}.png"
            write_atomic(self.folder / place, _png(picture))
            pictures[mode] = place.as_posix()
            self.pictures += 1
        # What is drawn brightest compares maps of several grids; in units of this one's cells it is so many times less.
        values = {"maximum": float(heat.map.max()), "brightest": largest / heat.map.size}
        return {**_about(heat), **values, "map": f"{name}.npy", "pictures": pictures}

    def _reduced(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from resight.images.resize import fit

        longest = self.style.longest
        if not longest or max(image.shape[-3:-1]) <= longest:
            return image
        return (
            np.stack([fit(one, longest, "longest") for one in image])
            if image.ndim == 4
            else fit(image, longest, "longest")
        )

    def _free(self, name: str) -> str:
        """The name, or with a number behind it that no other image has: capitals do not count."""
        number, found = 1, name
        while found.casefold() in self._taken:
            number += 1
            found = f"{name}-{number}"
        self._taken.add(found.casefold())
        return found

    def _remove_empty(self) -> None:
        for place in (*(self.folder / name for name in self._subfolders.values() if name), self.folder):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()


def check_open(folder: Path) -> None:
    """Nothing if explanations can be written here: the folder is free, or was begun and not finished.

    Raises InputError otherwise.
    """
    if not begun(folder):
        check_free(folder)


def class_name(heat: Heat) -> str:
    """A class as it is printed, "3_cirrus"; of what is no class, as the other image of a pair, its name alone."""
    return f"{heat.target}_{heat.label}" if heat.target >= 0 else heat.label


def file_name(*words: str) -> str:
    """Words as a file's name without a suffix: letters, digits, points and hyphens, joined by _; empty ones left out.

    >>> file_name("../my cat", "281_tabby", "")
    'my-cat_281_tabby'
    """
    return "_".join(name for name in map(_plain, words) if name) or "image"


def _plain(word: str) -> str:
    normal = unicodedata.normalize("NFC", word)
    kept = "".join(char if char.isalnum() or char in "._" else "-" for char in normal)
    while "--" in kept:
        kept = kept.replace("--", "-")
    return kept.strip(".-_").encode()[:LONGEST].decode("utf-8", "ignore")


def _drawn(heat: Heat, image: NDArray[np.uint8]) -> Iterator[tuple[Heat, NDArray[np.uint8]]]:
    """What is drawn of a heat and on what: itself and its branches; of a sequence a map for each frame."""
    if image.ndim == 3:
        yield from ((one, image) for one in (heat, *heat.parts))
        return
    for place, one in enumerate(heat.parts or (heat,)):
        yield one, image[place % len(image)]


def _row(heat: Heat, made: list[dict[str, Any]]) -> dict[str, Any]:
    if not heat.parts:
        return made[0]
    own = made[0] if len(made) > len(heat.parts) else _about(heat)
    return {**own, "parts": made[-len(heat.parts) :]}


def _about(heat: Heat) -> dict[str, Any]:
    """What the heat says of itself; the sum of a map by LIME is of pixels that share a superpixel, and says nothing."""
    about = heat.about()
    if heat.method.partition(":")[0] == "lime":
        about.pop("total", None)
    return about


def _frame(place: int, count: int, known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which frame of those that were taken, from 1, and what else is known of it."""
    return {"frame": place + 1, "frames": count, **(known[place] if len(known) == count else {})}


def _npy(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _png(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    # Level 3 writes three times as fast as the default and is a tenth larger.
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
