"""What can be explained: runs, networks by name, Backbones, modules."""

import numpy as np
import pytest
import torch
from explain_samples import bent, to_unit
from made_runs import colour_images, make_run
from network_samples import photos
from samples import picture
from torch import nn

from resight.errors import ImageError, InputError
from resight.explain.subject import backbone_subject, class_names, module_subject, open_subject
from resight.images.resize import fit
from resight.models.backbone import Backbone
from resight.models.preprocessing import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread")
OWN = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "bilinear", 0.9, 32)


@pytest.fixture(scope="module")
def backbone():
    return Backbone("test_resnet", weights="random", device="cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("subject")
    return make_run(place / "run", colour_images(place / "data"))


def test_a_backbone(backbone):
    who = open_subject(backbone)
    images = photos(2, who.size)
    with torch.no_grad():
        assert torch.equal(who.forward(images), backbone.logits(backbone.normalise(images)))
    assert (who.name, who.size, who.module) == ("test_resnet", backbone.preprocessing.size, backbone.model)
    assert who.classes[281] == "n02123045 tabby" and len(who.classes) == 1000
    image = picture(0, 90, 70)
    own = backbone.preprocessing
    assert np.array_equal(who.fit(image).permute(1, 2, 0), fit(image, own.size, "crop", own.interpolation, own.crop))


def test_by_name_and_as_itself():
    who = open_subject("test_resnet", weights="random", device="cpu")
    assert who.name == "test_resnet" and open_subject(who) is who
    assert any(isinstance(one, nn.BatchNorm2d) for one in who.module.modules())  # layers as timm has them


def test_a_run_and_its_folder(run):
    who, again = open_subject(run), open_subject(str(run.folder), device="cpu")
    assert who.classes == ("blue", "green", "red") == again.classes and who.size == 64
    images = photos(2)
    with torch.no_grad():
        assert torch.equal(who.forward(images), again.forward(images))
        assert torch.equal(who.forward(images), run.network(images))
    assert who.roots == {"": "branches.rgb.model."} and not who.frames
    maps, bias = who.linear(who.module, images)
    assert torch.allclose(maps[""][0].mean((2, 3)) @ maps[""][1].T + bias, who.forward(images), atol=1e-4)


@pytest.mark.parametrize("what", [3, None, nn.Linear(2, 2)])
def test_what_cannot_be_explained(what):
    with pytest.raises(InputError, match=r"expected a run, its folder, the name of a timm network, .* got "):
        open_subject(what)


def test_a_folder_without_a_run_and_an_unknown_name(tmp_path):
    with pytest.raises(InputError, match="run"):
        open_subject(tmp_path)
    with pytest.raises(
        InputError, match="no run folder 'resnet81', and no timm network of this name, did you mean 'resnet18'"
    ):
        open_subject("resnet81")


def test_a_backbone_without_classes(backbone):
    headless = Backbone("test_resnet", weights="random", device="cpu")
    headless.model.reset_classifier(0)
    with pytest.raises(InputError, match="test_resnet has no classes to explain: train a classifier"):
        backbone_subject(headless)


def test_a_module_is_left_in_its_modes():
    module = bent().train()
    module[2].eval()
    modes = [one.training for one in module.modules()]
    who = module_subject(module, to_unit, 12)
    assert [one.training for one in module.modules()] == modes
    assert who.classes == ("0", "1", "2", "3") and who.name == "the network"

    def broken(pixels):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        module_subject(module, broken, 12)
    assert [one.training for one in module.modules()] == modes


def test_a_module_with_a_preprocessing():
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    who = module_subject(module, OWN, 24, classes=["x", "y"], mode="crop", name="small")
    images = photos(1, 24)
    assert torch.equal(who.forward(images), module(OWN.normalise(images)))
    image = picture(1, 50, 90)
    assert np.array_equal(who.fit(image).permute(1, 2, 0), fit(image, 24, "crop", "bilinear", 0.9))
    with pytest.raises(ImageError):
        who.fit("no such file.png")


def test_the_colour_that_is_0_to_the_network(backbone, run):
    """A flat image of it is 0 after preprocessing, but for rounding to whole grey levels."""
    assert module_subject(bent(), to_unit, 12).zero == (0, 0, 0)
    assert module_subject(nn.Sequential(nn.Flatten(), nn.Linear(432, 2)), OWN, 12).zero == pytest.approx(
        (127.5, 102, 76.5)
    )
    for who, ready in (
        (open_subject(backbone), backbone.normalise),
        (open_subject(run), run.network.branches.rgb.entry),
    ):
        flat = torch.tensor(who.zero).round().byte().view(1, 3, 1, 1).expand(1, 3, 4, 4)
        assert float(ready(flat).abs().max()) < 0.5 / 255 / 0.2


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (33, 33)])
def test_the_frame_says_where_the_square_lies(backbone, shape):
    """A pixel drawn in the image appears where the frame says."""
    who = open_subject(backbone)
    image = np.zeros((*shape, 3), np.uint8)
    y, x = shape[0] // 2 - 3, shape[1] // 2 + 4
    image[y, x] = 255
    square = who.fit(image).float().sum(0)
    v, u = np.unravel_index(int(square.argmax()), square.shape)
    x1, y1, x2, y2 = who.frame(shape).to_fitted((x, y, x + 1, y + 1))
    assert y1 - 1 <= v <= y2 and x1 - 1 <= u <= x2


def test_class_names():
    assert class_names(3) == ("0", "1", "2")
    names = class_names(1000)
    assert names[0] == "n01440764 tench" and len(set(names)) == 1000


def test_prefix_tokens():
    assert backbone_subject(Backbone("test_vit", weights="random", device="cpu")).prefix_tokens("") == 1
    assert module_subject(bent(), to_unit, 12).prefix_tokens("") == 0


def test_there_are_as_many_names_as_outputs():
    module = bent(classes=7).train()
    with pytest.raises(InputError, match=r"2 names for 7 outputs of net: give one name for each output, or none"):
        module_subject(module, to_unit, 12, classes=["a", "b"], name="net")
    assert all(one.training for one in module.modules())
    assert len(module_subject(module, to_unit, 12, classes=list("abcdefg")).classes) == 7


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Conv2d(3, 2, 1).double(), r"to give \(B, C\) logits, got shape \(1, 2, 12, 12\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).double(), r"net failed on a black image of \(1, 3, 12, 12\)"),
    ],
)
def test_what_gives_no_logits(module, words):
    with pytest.raises(InputError, match=words):
        module_subject(module, to_unit, 12, classes=["a", "b"], name="net")


def test_a_network_by_name_may_see_the_whole_of_a_wide_image(backbone):
    image = picture(2, 60, 100)
    own = backbone.preprocessing
    whole = open_subject("test_resnet", weights="random", device="cpu", fit="squash")
    assert np.array_equal(whole.fit(image).permute(1, 2, 0), fit(image, own.size, "squash", own.interpolation))
    assert whole.covered((60, 100)) == (0, 0, 100, 60)
    usual, crop = open_subject(backbone), open_subject(backbone, fit="crop")
    x1, _, x2, _ = usual.covered((60, 100))
    assert usual.covered((60, 100)) == crop.covered((60, 100)) and x2 - x1 < 60 and (x1 + x2) / 2 == pytest.approx(50)
    assert torch.equal(usual.fit(image), crop.fit(image))


def test_a_fit_that_cannot_be(backbone, run):
    for model in (run, str(run.folder), open_subject(backbone)):
        with pytest.raises(InputError, match="fit is chosen for networks given by name; a run or Subject has its own"):
            open_subject(model, fit="squash")
    for model in (backbone, "test_resnet"):
        with pytest.raises(InputError, match="unknown fit 'longest'"):
            open_subject(model, weights="random", fit="longest")
    with pytest.raises(InputError, match="unknown fit 'squeeze'"):
        module_subject(bent(), to_unit, 12, mode="squeeze")


@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_what_is_covered_has_no_rounding(mode):
    who = module_subject(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), to_unit, 224, mode=mode)
    sides = range(20, 500, 13)
    for high in sides:
        for wide in sides:
            x1, y1, x2, y2 = who.covered((high, wide))
            assert 0 <= x1 < x2 <= wide and 0 <= y1 < y2 <= high
            assert mode == "crop" or (x1, y1, x2, y2) == (0, 0, wide, high)
