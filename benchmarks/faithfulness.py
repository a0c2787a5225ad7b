"""Are maps better than chance, on photographs, with the packaged classifier?

    python benchmarks/faithfulness.py --images FOLDER [--methods gradcam,eigen] [--measures deletion,insertion]
                                      [--count 100] [--steps 14] [--cascades 10] [--coco FOLDER] [--out DIR]

Prints the report of `resight.explain.report`: deletion, insertion, drop, road and weight randomisation of each method
beside a random map, a centred Gaussian and the whole image, with 95 % intervals over the images; the whole cascade of
randomised layers on some of them; and with --coco (a folder with images/ and instances.json) the pointing game. With
14 steps a method or baseline costs 37 forward passes of an image, so 100 images and 5 rows are about 18,000 passes.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from _common import machine

from resight.explain.explaining import explain
from resight.explain.pointing import pointing_accuracy
from resight.explain.randomisation import cascade
from resight.explain.report import explain_report
from resight.explain.subject import open_subject
from resight.images.coco import read_instances
from resight.images.read import read_image

# Categories of COCO and the WordNet numbers of ImageNet's classes that are the same thing.
COCO = {
    "airplane": "n02690373 n04552348", "bus": "n04146614 n04487081 n03769881", "train": "n02917067 n03393912",
    "motorcycle": "n03791053 n03785016", "bicycle": "n03792782 n02835271", "traffic light": "n06874185",
    "bench": "n03891251", "cat": "n02123045 n02123159 n02123394 n02123597 n02124075", "zebra": "n02391049",
    "elephant": "n02504013 n02504458", "bear": "n02132136 n02133161 n02134084 n02134418", "horse": "n02389026",
    "sheep": "n02412080", "cow": "n02403003", "umbrella": "n04507155", "backpack": "n02769748", "tie": "n04591157",
    "skis": "n04228054", "sports ball": "n02802426 n04254680 n04409515 n04540053", "bottle": "n02823428 n04557648",
    "wine glass": "n03443371", "cup": "n07930864 n03063599", "bowl": "n04263257 n03775546",
    "banana": "n07753592", "orange": "n07747607", "broccoli": "n07714990", "hot dog": "n07697537",
    "pizza": "n07873807", "couch": "n04344873", "potted plant": "n03991062", "dining table": "n03201208",
    "toilet": "n04447861", "tv": "n04404412 n03782006", "laptop": "n03642806 n03832673", "mouse": "n03793489",
    "remote": "n04074963", "keyboard": "n03085013", "cell phone": "n02992529", "microwave": "n03761084",
    "toaster": "n04442312", "refrigerator": "n04070727", "clock": "n02708093 n04548280", "vase": "n04522168",
    "teddy bear": "n04399382", "stop sign": "n06794110", "parking meter": "n03891332", "truck": "n04467665 n03417042",
    "boat": "n02951358 n04273569 n02981792 n04612504", "car": "n04285008 n02814533 n03100240 n02930766 n03594945",
}  # fmt: skip


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--methods", default="gradcam")
    parser.add_argument("--measures", help="names with commas; default: all")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--coco", type=Path)
    parser.add_argument("--cascades", type=int, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    files = sorted(path for path in given.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    files = [files[place] for place in np.linspace(0, len(files) - 1, min(given.count, len(files))).round().astype(int)]
    methods = given.methods.split(",")
    print(machine())
    subject = open_subject(given.model)
    start = time.perf_counter()
    measures = given.measures.split(",") if given.measures else None
    report = explain_report(files, subject, methods, measures=measures, steps=given.steps)
    print(f"{len(report)} images in {time.perf_counter() - start:.0f} s\n\n{report.text()}")
    if given.out:
        report.save(given.out)
    if given.cascades:
        print_cascades(files, subject, methods[0], given.cascades)
    if given.coco:
        print_pointing(given.coco, subject, methods)


def print_cascades(files: list[Path], subject: object, method: str, count: int) -> None:
    """The rank correlation of maps with those of networks with ever more layers drawn anew."""
    found = [cascade(path, subject, method) for path in files[:: max(1, len(files) // count)][:count]]
    print(f"cascade of {method}, mean rank correlation over {len(found)} images (0 is no likeness)")
    values = np.array([one.correlations for one in found])
    for layers, name, column in zip(found[0].layers, found[0].names, values.T, strict=True):
        print(f"  {layers:>4} layers, down to {name:<24} {np.nanmean(column):+.3f}  sd {np.nanstd(column):.3f}")


def print_pointing(folder: Path, subject: object, methods: list[str]) -> None:
    """The pointing game on COCO's boxes, for its categories that are classes of ImageNet."""
    images, classes, boxes, labels = coco_cases(folder, subject)
    report = explain_report(images, subject, methods, targets=classes, boxes=boxes, measures=["pointing"])
    print(f"\npointing game, {len(images)} pairs of an image and a category, {len(set(labels))} categories")
    for row in report.rows:
        mean = report.mean(row, "pointing")
        own = pointing_accuracy(report.each(row, "pointing"), labels)
        low, high = mean.interval
        print(f"  {row:<12} over pairs {mean.value:.3f} ({low:.3f} to {high:.3f})   over categories {own:.3f}")


def coco_cases(folder: Path, subject: object) -> tuple[list[Path], list[str], list[np.ndarray], list[str]]:
    """Pairs of an image and a category: paths, the most probable class of each category, boxes, categories."""
    found: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for one in read_instances(folder / "instances.json"):
        found[one.image, one.label].append(one.box)
    paths, classes, boxes, labels = [], [], [], []
    for (image, name), own in sorted(found.items()):
        path = folder / "images" / image
        if name in COCO and path.is_file():
            heats = [explain(read_image(path), subject, "gradcam", one) for one in COCO[name].split()]
            best = max(heats, key=lambda heat: heat.score)
            paths.append(path)
            classes.append(best.label)
            boxes.append(np.array(own))
            labels.append(name)
    return paths, classes, boxes, labels


if __name__ == "__main__":
    main()
