"""CAM against loops, its sums; EigenCAM against numpy; where there is no gradient to take."""

import numpy as np
import pytest
import timm
import torch
from explain_samples import bent, found, maps, pixels, subject, to_unit
from network_samples import network, photos
from torch import nn

from resight.errors import InputError
from resight.explain.activation_maps import first_component
from resight.explain.listening import undisturbed
from resight.explain.methods import METHODS
from resight.explain.subject import Subject, backbone_subject, module_subject
from resight.explain.work import Batch
from resight.models.backbone import Backbone

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def backbone():
    return Backbone("test_resnet", weights="random", device="cpu", fold=False)


def test_cam_is_the_loop_and_sums_to_the_score_less_its_bias(backbone):
    nn.init.normal_(backbone.model.fc.bias)
    images, classes = photos(2, backbone.preprocessing.size), [3, 17, 999]
    made = found("cam", backbone_subject(backbone), images, classes)
    with torch.no_grad():
        last = backbone.model.forward_features(backbone.normalise(images))
        logits = backbone.model(backbone.normalise(images))
    weight, bias = backbone.model.fc.weight, backbone.model.fc.bias
    high, wide = last.shape[2:]
    assert torch.allclose(made.logits, logits, atol=1e-5)
    for place, c in enumerate(classes):
        got = made.maps[place].by_branch[""]
        for image in range(2):
            for i in range(high):
                for j in range(wide):
                    value = sum(float(weight[c, k]) * float(last[image, k, i, j]) for k in range(last.shape[1]))
                    assert float(got[image, i, j]) == pytest.approx(value / (high * wide), abs=1e-5)
            assert float(got[image].sum()) == pytest.approx(float(logits[image, c] - bias[c]), abs=1e-4)


def test_cam_is_gradcam_of_the_last_map(backbone):
    images = photos(2, backbone.preprocessing.size)
    who = backbone_subject(backbone)
    assert torch.allclose(maps("cam", who, images, 7), maps("gradcam", who, images, 7), atol=1e-5)
    assert torch.allclose(maps("cam", who, images, 7), maps("hires", who, images, 7, "layer4"), atol=1e-5)


@pytest.mark.parametrize("method", ["cam", "gradcam", "hires", "xgrad"])
def test_of_a_fusion_network_the_maps_sum_to_the_score_less_its_bias(method):
    made = network(classes=5, input="fusion", sift="vlfeat:step=4")
    nn.init.normal_(made.head.weight)
    nn.init.normal_(made.head.bias)
    roots = {name: f"branches.{name}.model." for name in made.branches}
    plain = module_subject(made, lambda given: given, 64)

    def linear(own, given):
        weight, parts = own.head.weight.detach(), own.parts()
        return {name: (one, weight[:, parts[name]]) for name, one in own.maps(given).items()}, own.head.bias.detach()

    who = Subject(plain.name, made, plain.classes, 64, plain.run, plain.fit, plain.frame, roots, linear)
    images = photos(2)
    result = found(method, who, images, [4, 0])
    assert list(result.maps[0].by_branch) == ["rgb", "sift"]
    for place, c in enumerate([4, 0]):
        total = sum(one.sum((1, 2)) for one in result.maps[place].by_branch.values())
        assert torch.allclose(total, made(images).detach()[:, c] - made.head.bias[c].detach(), atol=1e-4)


def test_cam_needs_a_mean_and_a_linear_layer():
    who = backbone_subject(Backbone("test_vit", weights="random", device="cpu", fold=False))  # reads its class token
    with pytest.raises(
        InputError, match=r"head of test_vit takes something else than the mean over .* blocks\.5\.norm1"
    ):
        found("cam", who, photos(1, who.size), [0])
    with pytest.raises(InputError, match="no layer can be chosen: use gradcam"):
        found("cam", who, photos(1, who.size), [0], "blocks.1")


def test_eigen_is_the_first_right_singular_vector_of_numpy():
    activations = torch.randn(3, 5, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = first_component(activations)
    for one, own in zip(activations.numpy(), got.numpy()):
        rows = one.reshape(5, 16).T
        axis = np.linalg.svd(rows)[2][0]
        expected = (rows @ axis).reshape(4, 4)
        assert np.allclose(np.abs(own), np.abs(expected))
        assert (own.reshape(16) * rows.sum(1)).sum() >= 0
    assert torch.allclose(first_component(-activations), -got)


def test_eigen_of_one_pattern_is_that_pattern():
    pattern = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    activations = torch.stack([pattern * 3, pattern * 4])[None]
    assert torch.allclose(first_component(activations)[0], 5 * pattern, atol=1e-5)


def test_eigen_goes_through_the_network_and_asks_for_no_class():
    module, images = bent(), pixels(2)
    got = found("eigen", subject(module), images, [1, 2], "1")
    with torch.no_grad():
        assert torch.allclose(got.maps[0].by_branch[""], first_component(module[:2](to_unit(images))))
    assert got.maps[0] is got.maps[1] and got.targets == ((1, 2), (1, 2))


def test_a_layer_behind_which_a_class_token_alone_is_read():
    who = backbone_subject(Backbone("test_vit", weights="random", device="cpu", fold=False))
    with pytest.raises(InputError, match=r"no gradient at the places of layer blocks.5 .*: take layer blocks.5.norm1"):
        found("gradcam", who, photos(1, who.size), [0], "blocks.5")


def test_a_layer_that_the_score_does_not_depend_on():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.other = bent(), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            self.other(x)
            return self.main(x)

    who = subject(Aside().double())
    with pytest.raises(InputError, match=r"no gradient at the places of layer other .*take layer main.3"):
        found("gradcam", who, pixels(), [0], "other")


def test_a_layer_that_no_image_passes():
    module = bent()
    module.spare = nn.Conv2d(3, 2, 3)
    module.forward = lambda x: nn.Sequential.forward(module[:7], x)
    with pytest.raises(InputError, match="no image passes layer spare of net"):
        found("gradcam", subject(module), pixels(), [0], "spare")


def test_a_network_used_twice_counts_its_last_pass():
    """A layer within a module that is called two times: its last output, and its gradient."""
    module = timm.create_model("test_resnet", num_classes=3).eval()

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = module

        def forward(self, x):
            return 0 * self.net(x.flip(0)) + self.net(x)

    images = photos(2, 64)
    once = module_subject(module, lambda x: x.float() / 255, 64)
    twice = module_subject(Twice(), lambda x: x.float() / 255, 64)
    assert torch.allclose(maps("gradcam", once, images, 1), maps("gradcam", twice, images, 1, "net.layer4"), atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "xgrad", "layercam", "hires", "eigen", "score", "ablation"])
def test_classes_asked_together_are_those_asked_alone(method):
    who, images = subject(), pixels(3)
    asks = {0: [2, 0], 1: [3], 2: [1, 2]}  # by the image's place: lists of unequal length
    order = iter(range(99))
    with undisturbed(who.module):
        together = METHODS[method](Batch(who, images), lambda logits: asks[next(order) % 3], "1")
    assert together.targets == ((2, 0), (3,), (1, 2))
    assert len(together.maps) == 2
    for image, classes in asks.items():
        for place, target in enumerate(classes):
            alone = maps(method, who, images[image : image + 1], target, "1")[0]
            assert torch.allclose(together.maps[place].by_branch[""][image], alone, atol=1e-9)
