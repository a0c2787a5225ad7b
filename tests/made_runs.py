"""Finished training runs for tests, made in a moment: a tiny network whose last layer is fitted in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

COLOURS = {"blue": 2, "green": 1, "red": 0}


def colour_images(root, images=6, side=40, classes=("blue", "green", "red"), part=None, seed=0):
    """Class folders of noise in which one colour is stronger; every image is another."""
    random = np.random.default_rng(seed)
    for name in classes:
        folder = root / part / name if part else root / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(images):
            pixels = random.integers(0, 130, (side, side + 8, 3))
            pixels[..., COLOURS[name]] += 100
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


def make_run(folder, data, **options):
    """The folder of a finished run on `data`, as `train_classifier` leaves it, without training."""
    from resight.images.examples import read_examples
    from resight.train.inputs import make_fitting, pad_clips
    from resight.train.networks import native_size
    from resight.train.options import TrainOptions, resolved
    from resight.train.run_files import FORMAT, MODEL, SPLIT, write_model, write_options, write_record
    from resight.train.runs import Run, make_run_network
    from resight.train.splits import split_examples, write_split

    chosen = {"backbone": "test_resnet", "weights": "random", "size": 64, "device": "cpu", **options}
    known = TrainOptions(**chosen)
    known = resolved(known, native_size(known))
    examples = read_examples(data, sequences=known.sequences)
    split = split_examples(examples, validation=known.validation, test=known.test, seed=known.seed)
    network = make_run_network(known, len(examples.classes)).eval()
    fitting = make_fitting(known, network.record())
    items = [examples.items[place] for place in split.train]
    inputs = [fitting(item.path) for item in items]
    if not known.sequences:
        with torch.inference_mode():
            rows = network.features(torch.stack(inputs)).double().numpy()
        labels = np.array([examples.classes.index(item.label) for item in items])
        weight, bias = discriminant(rows, labels, len(examples.classes))
        with torch.no_grad():
            network.head.weight.copy_(torch.from_numpy(weight))
            network.head.bias.copy_(torch.from_numpy(bias))
    else:
        network(*pad_clips(inputs[:2]))
    place = Path(folder)
    place.mkdir(parents=True)
    write_options(place, known)
    write_split(split, examples, place / SPLIT)
    digest = write_model(place / MODEL, network.state_dict())
    write_record(place, {
        "format": FORMAT, "task": "classify", "state": "finished", "versions": {}, "options": known.as_dict(),
        "classes": list(examples.classes),
        "data": {"source": examples.source, "digest": examples.digest, "images": len(examples), "notes": []},
        "split": {"train": len(split.train), "val": len(split.val), "test": len(split.test), "skipped": 0},
        "network": network.record(), "best": {"epoch": 1}, "model": {"file": MODEL, "sha256": digest},
    })  # fmt: skip
    return Run.open(place, "cpu")


def discriminant(rows, labels, classes, ridge=1e-2):
    """Weights (C, K) and bias (C,) of ridge regression on the classes, for a softmax that is neither flat nor 0/1."""
    middle, spread = rows.mean(0), rows.std(0) + 1e-9
    scaled = (rows - middle) / spread
    targets = np.eye(classes)[labels] - 1 / classes
    found = np.linalg.solve(scaled.T @ scaled + ridge * len(rows) * np.eye(rows.shape[1]), scaled.T @ targets)
    weight = 4 * found.T / spread
    return weight, -weight @ middle
