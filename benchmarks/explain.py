"""What explanations cost, in forward passes of the same network, beside other packages: one call, one table.

python benchmarks/explain.py [--backbone resnet18] [--images 4] [--rounds 9] [--once 1] [--photos FOLDER] [--count 4]
                             [--superpixels 50] [--peer-samples 1000]

Claims: CAM of 64 classes costs at most 1.1 passes, Grad-CAM of one class at most 1.2 (pytorch-grad-cam 2.9);
Ablation-CAM what lies behind the layer, not a pass for each channel; LIME at most 0.6 of the lime package's time.

Medians of processor time of one thread, every contestant in turn in each round. pytorch-grad-cam, torchcam, captum and
lime take part where they are installed (grad-cam, torchcam, captum, lime). All get the same pixels, uint8, and
normalise them; pytorch-grad-cam also scales its maps to the image, which is little. --once: rounds of what takes
hundreds of passes, on one image.

LIME: the packaged classifier on photographs (default: four that come with scikit-image), slic superpixels of ours given
to both (the lime package never hides the last one of scikit-image's own, which count from 1); in turn for each
photograph ours with as many samples as it takes by default, and the lime package with its 1,000. Below the table how
far their explanations agree, and how far two of ours do, of 1,000 samples and other draws.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import machine
from numpy.typing import NDArray

from resight.explain.layers import find_layers
from resight.explain.lime import lime
from resight.explain.listening import undisturbed
from resight.explain.methods import find_method
from resight.explain.stability import rank_correlation
from resight.explain.subject import Subject, backbone_subject, open_subject
from resight.explain.work import Batch
from resight.images.read import read_image
from resight.models.backbone import Backbone

Actions = dict[str, Callable[[], object]]
Numbers = NDArray[Any]
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")  # of scikit-image


def medians(actions: Actions, rounds: int) -> dict[str, float]:
    """Median milliseconds of processor time of each action, in turn; after a warm-up if there are several rounds."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + (rounds > 1)):
        for name, action in actions.items():
            start = time.process_time()
            with contextlib.redirect_stderr(io.StringIO()):  # progress bars
                action()
            if turn or rounds == 1:
                times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def forward(subject: Subject, pixels: torch.Tensor) -> Callable[[], object]:
    """One pass."""

    def run() -> object:
        with torch.no_grad():
            return subject.forward(pixels)

    return run


def ours(subject: Subject, pixels: torch.Tensor, method: str, classes: int) -> Callable[[], object]:
    """One of our methods, for so many classes of every image."""
    run_method = find_method(method)[1]

    def run() -> object:
        with undisturbed(subject.module):
            found = run_method(Batch(subject, pixels), lambda logits: range(classes), None)
            return [one.cpu().numpy() for maps in found.maps for one in maps.by_branch.values()]

    return run


def peers(backbone: Backbone, layer: str, pixels: torch.Tensor) -> Actions:
    """Grad-CAM of one class by those of the peers that are installed."""
    model = copy.deepcopy(backbone.model).requires_grad_()  # as networks come: without, two of the three fail
    target, found = model.get_submodule(layer), Actions()
    with contextlib.suppress(ImportError):
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        cam = GradCAM(model, [target])
        found["Grad-CAM, 1 class: pytorch-grad-cam"] = lambda: cam(
            backbone.normalise(pixels), [ClassifierOutputTarget(0)] * len(pixels)
        )
    with contextlib.suppress(ImportError):
        from torchcam.methods import GradCAM as TorchCam

        def torchcam() -> object:
            with TorchCam(model, layer) as extractor:
                return extractor(0, model(backbone.normalise(pixels)), normalized=False)

        found["Grad-CAM, 1 class: torchcam"] = torchcam
    with contextlib.suppress(ImportError):
        from captum.attr import LayerGradCam

        captum = LayerGradCam(model, target)
        found["Grad-CAM, 1 class: captum"] = lambda: captum.attribute(backbone.normalise(pixels), target=0)
    return found


def slow_peers(backbone: Backbone, layer: str, pixels: torch.Tensor) -> Actions:
    """pytorch-grad-cam's methods without gradients, as they come: batches of 32 and 16."""
    try:
        from pytorch_grad_cam import AblationCAM, ScoreCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError:
        return {}
    found = Actions()
    for name, kind in (("Ablation-CAM", AblationCAM), ("Score-CAM", ScoreCAM)):

        def run(kind: Callable[..., Callable[..., object]] = kind) -> object:
            cam = kind(backbone.model, [backbone.model.get_submodule(layer)])
            return cam(backbone.normalise(pixels), [ClassifierOutputTarget(0)] * len(pixels))

        found[f"{name}: pytorch-grad-cam"] = run
    return found


def photographs(folder: Path | None, count: int) -> list[Numbers]:
    """(H, W, 3) uint8 each: evenly from a folder, or scikit-image's."""
    if folder is None:
        from skimage import data

        return [getattr(data, name)() for name in PHOTOS[:count]]
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [read_image(path) for path in files[:: max(1, len(files) // count)][:count]]


def by_lime_package(subject: Subject, square: Numbers, segments: Numbers, target: int, samples: int) -> Numbers:
    """The lime package's coefficients of one class."""
    from lime import lime_image

    def score(images: Numbers) -> Numbers:
        with undisturbed(subject.module), torch.no_grad():
            return subject.forward(torch.from_numpy(images).permute(0, 3, 1, 2)).softmax(1).numpy()

    made = lime_image.LimeImageExplainer(random_state=0).explain_instance(
        square, score, labels=(target,), top_labels=None, num_samples=samples, segmentation_fn=lambda _: segments
    )
    known = dict(made.local_exp[target])
    return np.array([known[part] for part in range(len(known))])


def lime_of(subject: Subject, photo: Numbers, superpixels: int, peer_samples: int) -> dict[str, float]:
    """The figures of one photograph; without those of the lime package where it is not installed."""
    made: dict[str, Any] = {}

    def ours() -> None:
        made["ours"] = lime(photo, subject, "top:1", count=superpixels)

    def peer() -> None:
        own = made["ours"]
        made["peer"] = by_lime_package(subject, own.square, own.segments, own.targets[0], peer_samples)

    times = medians({"ours": ours}, 1)
    own = made["ours"]
    found = {"ours": times["ours"], "superpixels": own.coefficients.shape[1], "samples": own.samples,
             "stability": float(own.stability[0]), "r2": float(own.r2[0])}  # fmt: skip
    with contextlib.suppress(ImportError):
        found["peer"] = medians({"peer": peer}, 1)["peer"]
        found["agreement"] = rank_correlation(own.coefficients[0], made["peer"])
        found["ratio"] = found["ours"] / found["peer"]
    return found


def lime_rows(asked: argparse.Namespace) -> None:
    """Print LIME's part of the table, and how far its explanations agree."""
    subject = open_subject("tf_efficientnet_lite0", device="cpu")
    photos = photographs(asked.photos, asked.count)
    lime(photos[0], subject, samples=16)  # warm
    rows = [lime_of(subject, photo, asked.superpixels, asked.peer_samples) for photo in photos]
    every = {name: [row[name] for row in rows] for name in rows[-1]}
    middle = {name: statistics.median(values) for name, values in every.items()}
    print(f"{subject.name}, {subject.size} pixels, {len(photos)} photographs")
    times = medians({"a forward pass": forward(subject, subject.fit(photos[0])[None])}, 9)
    times[f"LIME, {middle['samples']:.0f} samples (default)"] = middle["ours"]
    if "peer" in middle:
        times[f"LIME, {asked.peer_samples:,} samples: lime"] = middle["peer"]
    report(times, "a forward pass")
    for name in ("ratio", "agreement", "stability", "r2", "samples", "superpixels"):
        if name in middle:
            print(f"  {name:<12} {middle[name]:.2f} ({min(every[name]):.2f} to {max(every[name]):.2f})")
    first, second = (
        lime(photos[0], subject, "top:1", count=asked.superpixels, samples=asked.peer_samples, seed=seed)
        for seed in (1, 2)
    )
    agreed = rank_correlation(first.coefficients[0], second.coefficients[0])
    print(f"  two of ours of {asked.peer_samples:,} samples, the first photograph: {agreed:.2f}")


def report(found: dict[str, float], base: str) -> None:
    """Print milliseconds, and passes."""
    for name, value in found.items():
        print(f"{name:42s} {value:10.1f} {value / found[base]:8.2f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--once", type=int, default=1)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=len(PHOTOS))
    parser.add_argument("--superpixels", type=int, default=50)
    parser.add_argument("--peer-samples", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}; one thread")
    print(f"{'':42s} {'ms':>10s} {'passes':>8s}")
    map_rows(asked)
    lime_rows(asked)


def map_rows(asked: argparse.Namespace) -> None:
    """Print the part of the table that is of activation maps."""
    backbone = Backbone(asked.backbone, weights=asked.weights, device="cpu", fold=False)
    subject = backbone_subject(backbone)
    layer = find_layers(subject)[""]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (asked.images, 3, subject.size, subject.size), dtype=torch.uint8, generator=generator
    )
    print(f"{asked.backbone} at {layer}, {subject.size} pixels, {asked.images} images, {asked.rounds} rounds")
    report(medians({
        "a forward pass": forward(subject, pixels),
        "CAM, 64 classes": ours(subject, pixels, "cam", 64),
        "Grad-CAM, 1 class": ours(subject, pixels, "gradcam", 1),
        **peers(backbone, layer, pixels),
        "Grad-CAM, 64 classes": ours(subject, pixels, "gradcam", 64),
        "EigenCAM": ours(subject, pixels, "eigen", 1),
    }, asked.rounds), "a forward pass")  # fmt: skip
    if not asked.once:
        return
    one = pixels[:1]
    print(f"one image, every channel, {asked.once} round(s)")
    times = medians({"a forward pass": forward(subject, one)}, 9)
    times |= medians({
        "Ablation-CAM": ours(subject, one, "ablation", 1),
        "Score-CAM": ours(subject, one, "score", 1),
        **slow_peers(backbone, layer, one),
    }, asked.once)  # fmt: skip
    report(times, "a forward pass")


if __name__ == "__main__":
    main()
