"""The formulas, each against its paper's equation as loops, and what they have in common where they must."""

import math

import pytest
import torch
from explain_samples import bent, maps, pixels, pooled_linear, subject, to_unit

from resight.explain.gradients import GRADIENT_MAPS, gradcam_pp, xgradcam

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loops(name, a, g):
    """One image, (K, h, w) lists of activations and gradients, by the papers' equations."""
    channels, high, wide = len(a), len(a[0]), len(a[0][0])
    places = [(i, j) for i in range(high) for j in range(wide)]
    found = [[0.0] * wide for _ in range(high)]
    for k in range(channels):
        total = sum(a[k][i][j] for i, j in places)
        mean = sum(g[k][i][j] for i, j in places) / len(places)
        share = sum(g[k][i][j] * a[k][i][j] for i, j in places) / total
        for i, j in places:
            weight = {"gradcam": mean, "xgrad": share, "layercam": max(g[k][i][j], 0), "hires": g[k][i][j]}[name]
            found[i][j] += weight * a[k][i][j]
    return found


@pytest.mark.parametrize("name", ["gradcam", "xgrad", "layercam", "hires"])
def test_naive_loops(name):
    a, g = drawn(2, 3, 4, 5), drawn(2, 3, 4, 5, seed=1)
    got = GRADIENT_MAPS[name](a, g)
    expected = [loops(name, one, other) for one, other in zip(a.tolist(), g.tolist())]
    assert torch.allclose(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-12)


def literal_gradcam_pp(tail, activations, target):
    """Chattopadhay 2018, eq. 10, 11, 19, of Y = exp(S): every derivative by autograd, every sum a loop."""
    a = activations.clone().requires_grad_()
    channels, high, wide = a.shape[1:]
    found = torch.zeros(high, wide, dtype=torch.float64)
    y = tail(a)[0, target].exp()
    (first,) = torch.autograd.grad(y, a, create_graph=True)
    for k in range(channels):
        total, weight = a[0, k].sum().item(), 0.0
        for i in range(high):
            for j in range(wide):
                (row,) = torch.autograd.grad(first[0, k, i, j], a, create_graph=True)
                second = row[0, k, i, j]
                third = torch.autograd.grad(second, a, retain_graph=True)[0][0, k, i, j].item()
                below = 2 * second.item() + total * third
                alpha = second.item() / below if below else 0.0
                weight += alpha * max(first[0, k, i, j].item(), 0.0)
        found += weight * a[0, k].detach()
    return found / math.exp(tail(a)[0, target].item())


@pytest.mark.parametrize("target", [0, 1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_gradcam_pp_is_the_papers_equation(target, seed):
    module = bent(seed=seed)
    # The sums must leave 2 + S g above 0, as the paper's derivation needs: scores of a moderate slope.
    module[6].weight.data *= 0.3
    who, images = subject(module), pixels(1)
    activations = module[:2](to_unit(images)).detach()
    expected = literal_gradcam_pp(module[2:], activations, target)
    assert float(expected.abs().max()) > 1e-4
    assert torch.allclose(maps("gradcam++", who, images, target, "1")[0], expected, rtol=1e-9, atol=1e-12)


def test_gradcam_pp_by_hand():
    # One channel 1, 3 with S = 4, gradients 0.5 and -2: alpha = 1 / (2 + 4 * 0.5) = 1/4, weight 1/4 * 0.5 = 1/8.
    a, g = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.5, -2.0]]]])
    assert gradcam_pp(a, g).tolist() == [[[0.125, 0.375]]]


def test_gradcam_pp_has_no_smallest_gradient():
    # alpha tends to 1/2 as gradients shrink; a constant in the quotient would make it 0 or the map empty.
    a, g = drawn(1, 3, 4, 4).abs(), drawn(1, 3, 4, 4, seed=1)
    small = gradcam_pp(a, g * 1e-12) / 1e-12
    assert torch.allclose(small, (a * (g.clamp(min=0) / 2).sum((2, 3), keepdim=True)).sum(1), rtol=1e-9)


def test_gradcam_pp_where_its_derivation_does_not_hold():
    a, g = torch.tensor([[[[-9.0, 1.0]]]]), torch.tensor([[[[0.25, 0.125]]]])  # 2 + S g is 0 and 1
    assert gradcam_pp(a, g).tolist() == [[[-9 * 0.125, 0.125]]]


def test_xgrad_of_a_channel_that_sums_to_nothing():
    a, g = torch.tensor([[[[1.0, -1.0]]]]), torch.tensor([[[[3.0, 1.0]]]])
    assert xgradcam(a, g).tolist() == [[[2.0, -2.0]]]


@pytest.mark.parametrize("name", GRADIENT_MAPS)
def test_on_pooling_and_a_linear_layer_all_are_one(name):
    """Grad-CAM = HiRes = XGrad = CAM / (H W), in float64."""
    module, images = pooled_linear(), pixels(2)
    who = subject(module)
    with torch.no_grad():
        a = module[:2](to_unit(images))
    places = a.shape[2] * a.shape[3]
    for target in range(4):
        w = module[4].weight[target].detach()
        cam = (a * w[:, None, None]).sum(1)
        gradient = (w / places)[None, :, None, None].expand_as(a)
        expected = {
            "gradcam": cam / places, "hires": cam / places, "xgrad": cam / places,
            "layercam": (a * w.clamp(min=0)[:, None, None]).sum(1) / places, "gradcam++": gradcam_pp(a, gradient),
        }[name]  # fmt: skip
        got = maps(name, who, images, target, "1")
        assert torch.allclose(got, expected, rtol=1e-12, atol=1e-15)
        if name in ("gradcam", "hires", "xgrad"):
            logits = module(to_unit(images)).detach()[:, target] - module[4].bias[target].detach()
            assert torch.allclose(got.sum((1, 2)), logits, rtol=1e-12)
