"""Beside the peers: captum and torchcam as programs, the formulas of pytorch-grad-cam written out."""

import numpy as np
import pytest
import timm
import torch
from explain_samples import bent, maps, pixels, subject, to_unit
from samples import picture

from resight.explain.explaining import explain_each
from resight.explain.subject import module_subject

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.oracle]


def small(name="test_resnet", **given):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=7, **given).double().eval()


NETWORKS = {
    "bent": (bent, to_unit, 12, ["1", "3"]),
    "resnet": (lambda: small(zero_init_last=False), to_unit, 64, ["layer4", "layer2", "layer3.0.conv1"]),
    "convnext": (
        lambda: small("convnext_atto", dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)), to_unit, 64,
        ["stages.3", "stages.1"],
    ),
}  # fmt: skip
CASES = [(name, layer) for name, (_, _, _, layers) in NETWORKS.items() for layer in layers]


@pytest.fixture(scope="module")
def networks():
    return {name: (make(), ready, size) for name, (make, ready, size, _) in NETWORKS.items()}


@pytest.mark.parametrize(("name", "layer"), CASES)
def test_gradcam_is_captums(networks, name, layer):
    attr = pytest.importorskip("captum.attr")
    module, ready, size = networks[name]
    images, who = pixels(3, size), module_subject(module, ready, size)
    for target in (0, 3):
        peer = attr.LayerGradCam(module, module.get_submodule(layer)).attribute(ready(images), target=target).detach()
        got = maps("gradcam", who, images, target, layer)
        assert float(got.abs().max()) > 1e-5
        assert torch.allclose(got, peer[:, 0], rtol=1e-9, atol=1e-9 * float(peer.abs().max()))


@pytest.mark.parametrize("method", ["gradcam", "xgrad", "layercam"])
@pytest.mark.parametrize(("name", "layer"), CASES)
def test_torchcam(networks, name, layer, method):
    peers = pytest.importorskip("torchcam.methods")
    peer = {"gradcam": peers.GradCAM, "xgrad": peers.XGradCAM, "layercam": peers.LayerCAM}[method]
    module, ready, size = networks[name]
    images, who = pixels(3, size), module_subject(module, ready, size)
    with peer(module, layer) as extractor:
        scores = module(ready(images).requires_grad_())
        (expected,) = extractor([2, 0, 1], scores, normalized=False)
    for place, target in enumerate((2, 0, 1)):
        got = maps(method, who, images, target, layer)[place].clamp(min=0)  # torchcam keeps what is above 0
        # Its XGrad-CAM adds 1e-8 to a channel's sum.
        assert torch.allclose(got, expected[place], rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


def activations_and_gradients(module, layer, inputs, target):
    """As numpy arrays, by a full backward pass as pytorch-grad-cam takes them."""
    kept = []
    handle = module.get_submodule(layer).register_forward_hook(lambda _, __, gives: kept.append(gives))
    inputs = inputs.clone().requires_grad_()
    score = module(inputs)[:, target].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    return kept[0].detach().numpy(), gradient.numpy()


@pytest.mark.parametrize("method", ["gradcam", "xgrad", "layercam", "hires", "eigen"])
@pytest.mark.parametrize(("name", "layer"), CASES)
def test_the_formulas_of_pytorch_grad_cam(networks, name, layer, method):
    module, ready, size = networks[name]
    images, who = pixels(2, size), module_subject(module, ready, size)
    a, g = activations_and_gradients(module, layer, ready(images), 1)
    got = maps(method, who, images, 1, layer).numpy()
    if method == "eigen":
        for own, one in zip(got, a):
            rows = one.reshape(len(one), -1).T  # not centred, as in the paper's eq. 4; pytorch-grad-cam centres
            expected = (rows @ np.linalg.svd(rows)[2][0]).reshape(own.shape)
            assert np.allclose(np.abs(own), np.abs(expected), atol=1e-9 * np.abs(expected).max())
        return
    total = a.sum((2, 3), keepdims=True)
    expected = {
        "gradcam": (g.mean((2, 3), keepdims=True) * a).sum(1),
        "xgrad": ((g * a / (total + (total == 0))).sum((2, 3), keepdims=True) * a).sum(1),
        "layercam": (np.maximum(g, 0) * a).sum(1),
        "hires": (g * a).sum(1),
    }[method]
    if method == "xgrad":
        assert (total[np.abs(a).sum((2, 3), keepdims=True) > 0] != 0).all()
    assert np.allclose(got, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_what_pytorch_grad_cam_does_not_notice():
    """Four images and one target: there three maps of zeros, here four maps."""
    images = [picture(n) for n in range(4)]
    found = list(explain_each(images, subject(), classes=2, batch=4))
    assert all(np.abs(one.heats[0].map).max() > 1e-6 for one in found)
