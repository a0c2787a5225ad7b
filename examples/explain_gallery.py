"""The pictures of docs/explain.md: every method on photographs that come with scikit-image.

    python examples/explain_gallery.py [--out docs/figures]      two to five minutes on a CPU

chelsea (Stefan van der Walt) and coffee (Rachel Michetti) are CC0, rocket (SpaceX) is in the public domain.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from resight.explain import Heat, Subject, explain_each, explain_pair
from resight.explain.lime import lime
from resight.explain.subject import open_subject
from resight.features.encoder import Encoder
from resight.images.resize import crop_box, resize
from resight.show import Picture, save_picture, sheet
from resight.show.heat import MODES, draw_heat, peak

MODEL = "tf_efficientnet_lite0"
METHODS = ("cam", "gradcam", "gradcam++", "xgrad", "layercam", "hires", "eigen", "score:channels=64", "ablation")
SIDE = 200  # pixels of a panel
QUALITY = 82
Photo = NDArray[np.uint8]


def seen(heat: Heat, image: Photo, mode: str = "overlay", **options) -> Photo:
    """A picture of the part of the image that the network saw."""
    box = heat.box
    own = replace(heat, size=(round(box[3] - box[1]), round(box[2] - box[0])), parts=())
    own = replace(own, box=(0.0, 0.0, float(own.size[1]), float(own.size[0])))
    return draw_heat(own, crop_box(image, box), mode, **options)


def only(stream):
    """The one result of a stream."""
    (found,) = stream
    return found


def methods_of(subject: Subject, image: Photo, name: str) -> list[Picture]:
    """The image and its map by every method, of one class."""
    panels = []
    for method in METHODS:
        found = only(explain_each([image], subject, method, name))
        panels.append(Picture(seen(found.heats[0], image), method.partition(":")[0]))
    whole = lime(image, subject, name)
    panels.append(Picture(seen(whole.heat, image), "lime"))
    return [Picture(crop_box(image, whole.heat.box), name), *panels]


def modes_of(subject: Subject, image: Photo, name: str) -> list[Picture]:
    """The four modes, and the map with its sign."""
    heat = only(explain_each([image], subject, "gradcam", name)).heats[0]
    panels = [Picture(_rgb(seen(heat, image, mode)), mode) for mode in MODES]
    signed = Picture(seen(heat, image, signed=True), "overlay, signed")
    return [Picture(crop_box(image, heat.box), name), *panels, signed]


def classes_of(subject: Subject, above: Photo, below: Photo, names: tuple[str, str]) -> list[Picture]:
    """One picture made of two, and what in it speaks for the class of either: on one scale, from one pass."""
    halves = [
        resize(crop_box(one, (0, 40, one.shape[1], 40 + one.shape[1] // 2)), (224, 448)) for one in (above, below)
    ]
    image = np.concatenate(halves)
    heats = only(explain_each([image], subject, "cam", list(names))).heats
    top = peak(heats)
    panels = [
        Picture(seen(heat, image, largest=top), f"{heat.label.partition(' ')[2]}, {heat.score:.1f}") for heat in heats
    ]
    return [Picture(crop_box(image, heats[0].box), "image"), *panels]


def lime_of(subject: Subject, image: Photo, name: str) -> list[Picture]:
    """What LIME says: all superpixels, signed; and the five that speak most for the class alone."""
    whole = lime(image, subject, name)
    few = lime(image, subject, name, features=5, positive_only=True)
    facts = whole.about()
    note = f"{facts['superpixels']} superpixels, {facts['samples']} samples, stability {facts['stability']:.2f}"
    print(f"lime of {name}: {note}")
    return [
        Picture(whole.square, name), Picture(seen(whole.heat, image, signed=True), "signed"),
        Picture(seen(whole.heat, image), "what speaks for it"), Picture(few.cut_out(), "the best five"),
    ]  # fmt: skip


def pair_of(image: Photo) -> Image.Image:
    """An image and a part of it, turned and darker: where each is like the other."""
    turned = Image.fromarray(image).rotate(12, Image.Resampling.BICUBIC).crop((150, 60, 500, 360))
    other = np.asarray(turned.point(lambda value: round(value * 0.8)))
    pair = explain_pair(image, other, Encoder(MODEL, descriptor="spoc"))
    print(f"pair: score {pair.score:.4f}, sums {pair.heats[0].total:.4f} and {pair.heats[1].total:.4f}")
    return pair.sheet(side=480)


def _rgb(picture: Photo) -> Photo:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "figures")
    parser.add_argument("--only", nargs="*", help="names of pictures; default: all")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    subject = open_subject(MODEL)
    chelsea, coffee, rocket = data.chelsea(), data.coffee(), data.rocket()
    pages = {
        "modes": (6, lambda: modes_of(subject, coffee, "espresso")),
        "classes": (3, lambda: classes_of(subject, chelsea, coffee, ("Egyptian cat", "espresso"))),
        "lime": (4, lambda: lime_of(subject, chelsea, "tiger cat")),
        "methods_cat": (6, lambda: methods_of(subject, chelsea, "tiger cat")),
        "methods_rocket": (6, lambda: methods_of(subject, rocket, "missile")),
        "pair": (0, lambda: pair_of(coffee)),
    }
    for name in given.only or pages:
        columns, make = pages[name]
        made, file = make(), given.out / f"explain_{name}.jpg"
        save_picture(sheet(made, columns=columns, side=SIDE) if columns else made, file, quality=QUALITY)
        print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
