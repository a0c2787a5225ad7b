"""Claims, in forward passes of the same network on the same images: CAM of 64 classes costs at most 1.1, Grad-CAM of
one class at most 1.2 (pytorch-grad-cam 2.9); Ablation-CAM what lies behind the layer, not a pass for each channel.

python benchmarks/explain.py [--backbone resnet18] [--images 4] [--rounds 9] [--once 1]

Medians of processor time of one thread, every contestant in turn in each round. pytorch-grad-cam, torchcam and captum
take part where they are installed (grad-cam, torchcam, captum). All get the same pixels, uint8, and normalise them;
pytorch-grad-cam also scales its maps to the image, which is little. --once: rounds of what takes hundreds of passes,
on one image.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import statistics
import time
from collections.abc import Callable

import torch
from _common import machine

from resight.explain.layers import find_layers
from resight.explain.listening import undisturbed
from resight.explain.methods import find_method
from resight.explain.subject import Subject, backbone_subject
from resight.explain.work import Batch
from resight.models.backbone import Backbone

Actions = dict[str, Callable[[], object]]


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
    asked = parser.parse_args()
    torch.set_num_threads(1)
    backbone = Backbone(asked.backbone, weights=asked.weights, device="cpu", fold=False)
    subject = backbone_subject(backbone)
    layer = find_layers(subject)[""]
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(
        0, 256, (asked.images, 3, subject.size, subject.size), dtype=torch.uint8, generator=generator
    )
    print(f"{machine()}; one thread")
    print(f"{asked.backbone} at {layer}, {subject.size} pixels, {asked.images} images, {asked.rounds} rounds")
    print(f"{'':42s} {'ms':>10s} {'passes':>8s}")
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
