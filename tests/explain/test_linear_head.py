"""CAM of any module: found where the scores are linear in the mean of a map, and said why where they are not."""

import copy

import pytest
import timm
import torch
from explain_samples import bent, found, frames_subject, pixels, pooled_linear, seeded, subject, to_unit
from network_samples import photos
from torch import nn

from resight.errors import InputError
from resight.explain.explaining import explain
from resight.explain.linear_head import find_linear
from resight.explain.listening import undisturbed
from resight.explain.randomisation import randomised
from resight.explain.subject import backbone_subject, module_subject
from resight.explain.work import Batch
from resight.models.backbone import Backbone

pytestmark = pytest.mark.usefixtures("one_thread")


def conv_head() -> nn.Module:
    """A head that is a 1 x 1 convolution of the mean, and dropout before it."""
    return seeded(nn.Sequential(
        nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Conv2d(5, 4, 1),
        nn.Flatten(),
    ))  # fmt: skip


@pytest.mark.parametrize("module", [pooled_linear(), bent(), conv_head()], ids=["linear", "bent", "conv"])
def test_of_a_module_cam_is_the_loop_in_its_own_precision(module):
    images, classes = pixels(2), [3, 0]
    made = found("cam", subject(module), images, classes)
    with torch.no_grad():
        pool = next(place for place, one in enumerate(module) if isinstance(one, nn.AdaptiveAvgPool2d))
        maps, logits = module[:pool](to_unit(images)), module(to_unit(images))
    head = next(one for one in reversed(module) if hasattr(one, "weight"))
    weight = head.weight.detach().flatten(1)
    assert torch.allclose(made.logits, logits)
    for place, c in enumerate(classes):
        got = made.maps[place].by_branch[""]
        assert got.dtype == torch.float64
        expected = torch.stack([
            sum(weight[c, k] * one[k] for k in range(maps.shape[1])) / one[0].numel() for one in maps
        ])  # fmt: skip
        assert torch.allclose(got, expected)
        assert torch.allclose(got.sum((1, 2)), logits[:, c] - head.bias[c].detach())


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_of_a_timm_network_it_is_that_of_its_backbone(name):
    backbone = Backbone(name, weights="random", device="cpu", fold=False)
    own = backbone.preprocessing
    images = photos(2, own.size)
    given = module_subject(copy.deepcopy(backbone.model), own, own.size)
    mine, theirs = found("cam", given, images, [7, 1]), found("cam", backbone_subject(backbone), images, [7, 1])
    for one, other in zip(mine.maps, theirs.maps, strict=True):
        assert torch.allclose(one.by_branch[""], other.by_branch[""], atol=1e-6)
    assert mine.maps[0].by_branch[""].dtype == torch.float32


def test_of_tokens_and_of_channels_that_come_last():
    """Transformers that pool by the mean."""
    sizes = {"img_size": 64, "embed_dim": 16}
    for name, more in (
        ("vit_tiny_patch16_224", {"depth": 1, "num_heads": 2, "global_pool": "avg", "fc_norm": False}),
        ("swin_tiny_patch4_window7_224", {"window_size": 2, "depths": (1, 1), "num_heads": (2, 2)}),
    ):
        module = timm.create_model(name, num_classes=4, **sizes, **more).eval()
        who = module_subject(module, lambda x: x.float() / 127.5 - 1, 64)
        made = found("cam", who, photos(2), [2])
        total = made.maps[0].by_branch[""].sum((1, 2))
        with torch.no_grad():
            logits = module(photos(2).float() / 127.5 - 1)
        assert torch.allclose(total, logits[:, 2] - module.get_classifier().bias[2].detach(), atol=1e-5)


class Scaled(nn.Module):
    """What its network gives, times a number."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.net, self.times = pooled_linear(), times

    def forward(self, x):
        return self.net(x) * self.times


FLAT = seeded(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
LARGEST = seeded(nn.Sequential(
    nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(5, 4)
))  # fmt: skip
DEEP = seeded(nn.Sequential(
    nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 5), nn.ReLU(),
    nn.Linear(5, 4),
))  # fmt: skip


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (FLAT, "cam needs a linear layer that gives the scores of net, and it has none: use gradcam"),
        (Scaled(2), "gives the scores of net, and its last, net.4, does not: use gradcam"),
        (LARGEST, "4 of net takes something else than the mean over the places of 1: use gradcam"),
        (DEEP, "6 of net takes something else than the mean over the places of 1: use gradcam"),
    ],
)
def test_it_is_said_which_of_the_two_fails(module, words):
    with pytest.raises(InputError, match=words):
        found("cam", subject(module.double()), pixels(), [0])


def test_sequences_are_refused():
    with pytest.raises(InputError, match="clips takes sequences: use gradcam"):
        find_linear(Batch(frames_subject(), pixels(1, 6)[None], torch.tensor([1])))


def test_one_image_that_is_far_off_is_seen_beside_one_of_larger_values():
    """Each image is compared at its own scale."""

    class Offset(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 5, 1), nn.Linear(5, 4)

        def forward(self, x):
            mean = self.conv(x).mean((2, 3))
            return self.fc(torch.where(mean.abs().amax(1, keepdim=True) < 1, mean + 5e-4, mean))

    module = seeded(Offset())
    images = torch.stack([torch.full((3, 12, 12), 130), torch.full((3, 12, 12), 255)]).byte()
    who = module_subject(module, lambda x: (x.double() - 127) * 10, 12, name="net")
    module.conv.bias.data.zero_()
    module.conv.weight.data *= 0.01 / module.conv.weight.data.abs().max()
    with pytest.raises(InputError, match="takes something else than the mean"):
        found("cam", who, images, [0])


def test_nothing_is_left_in_the_network_and_a_drawn_copy_is_its_own():
    module = bent()
    who, image = subject(module), pixels(1)[0].permute(1, 2, 0).numpy()
    before = explain(image, who, "cam", 0)
    other = explain(image, randomised(who), "cam", 0)
    assert not any(one._forward_hooks for one in module.modules())
    assert (explain(image, who, "cam", 0).map == before.map).all() and not (other.map == before.map).all()
    with undisturbed(module), torch.no_grad():
        assert find_linear(Batch(who, pixels(1)))[0][""][1].shape == (4, 6)
