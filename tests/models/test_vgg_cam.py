"""VGG-16-CAM: its chain of convolutions by hand, its stages, its head, and weights that fit or say why not."""

import subprocess
import sys

import pytest
import timm
import torch
from torch.nn import functional

from resight.errors import InputError
from resight.models import Backbone, Preprocessing
from resight.models.backbone import build
from resight.models.folding import fold_batch_norm
from resight.models.vgg_cam import CONV5_1, VGG16, VggCam, register

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"blocks": ((4, 5), (6,), (7, 8)), "cam_channels": 9, "num_classes": 3}


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(**options):
    register()
    torch.manual_seed(0)
    return timm.create_model("vgg16_cam", **{**SMALL, **options}).eval().requires_grad_(False)


def by_hand(model, x):
    """Every map after a ReLU, and the logits: Zhou 2016, section 3."""
    maps, state = [], model.state_dict()
    names = [key.removesuffix(".weight") for key in state if key.startswith("features") and key.endswith("weight")]
    done = iter(names)
    for number, block in enumerate(SMALL["blocks"]):
        x = functional.max_pool2d(x, 2) if number else x
        for _ in block:
            name = next(done)
            x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1).clamp(min=0)
            maps.append(x)
    x = functional.conv2d(x, state["conv.weight"], state["conv.bias"], padding=1).clamp(min=0)
    return [*maps, x], x.mean((2, 3)) @ state["classifier.weight"].T + state["classifier.bias"]


def test_maps_and_logits_by_hand():
    model, x = small(), noise(2, 3, 12, 20)
    model.classifier.bias.copy_(torch.tensor([1.0, -2.0, 3.0]))
    maps, logits = by_hand(model, x)
    assert [tuple(m.shape[1:]) for m in maps] == [(4, 12, 20), (5, 12, 20), (6, 6, 10), (7, 3, 5), (8, 3, 5), (9, 3, 5)]
    torch.testing.assert_close(model(x), logits)
    torch.testing.assert_close(model.forward_features(x), maps[-1])
    torch.testing.assert_close(model.forward_head(maps[-1], pre_logits=True), maps[-1].mean((2, 3)))
    end, found = model.forward_intermediates(x)
    torch.testing.assert_close([*found, end], [*maps, maps[-1]])


@pytest.mark.parametrize("indices", [[0], [3, 1], [-1], [5], 2, [-2, 0]])
@pytest.mark.parametrize("stop_early", [False, True])
def test_stages_are_the_convolutions_in_order(indices, stop_early):
    model, x = small(), noise(1, 3, 12, 20)
    maps, _ = by_hand(model, x)
    wanted = range(6 - indices, 6) if isinstance(indices, int) else sorted(i % 6 for i in indices)
    found = model.forward_intermediates(x, indices=indices, stop_early=stop_early, intermediates_only=True)
    torch.testing.assert_close(found, [maps[i] for i in wanted])


def test_stopping_early_leaves_the_rest_out():
    model = small()
    model.conv.weight = None  # would fail if it were reached
    found = model.forward_intermediates(noise(1, 3, 8, 8), indices=[4], stop_early=True, intermediates_only=True)
    assert found[0].shape == (1, 8, 2, 2)


def test_the_stages_of_vgg16_cam():
    model = VggCam(num_classes=5)
    assert [info["num_chs"] for info in model.feature_info] == [*sum(VGG16, ()), 1024]
    assert [info["reduction"] for info in model.feature_info] == [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16, 16, 16]
    assert model.feature_info[CONV5_1]["module"] == "features.25"  # torchvision's relu5_1


def test_the_backbone():
    backbone = Backbone("vgg16_cam", weights="random", device="cpu")
    assert backbone.preprocessing == Preprocessing(
        (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), "bilinear", 0.875, 224
    )
    pixels = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 48)
    inputs = backbone.normalise(pixels)
    torch.testing.assert_close(inputs[0, :, 0, 0], torch.tensor([76.32, -16.779, -53.939]), atol=1e-4, rtol=0)
    maps, source = backbone.look(inputs, stage=CONV5_1, source=True)
    assert maps.shape == (1, 512, 2, 3) and source.shape == (1, 1024, 2, 3)
    assert backbone.head_weight.shape == (1000, 1024) and backbone.head_bias.shape == (1000,)


@pytest.mark.oracle
def test_the_trunk_is_torchvisions():
    import torchvision

    torch.manual_seed(1)
    theirs = torchvision.models.vgg16(weights=None).features.eval()
    ours = VggCam(num_classes=2).eval()
    ours.features.load_state_dict(theirs.state_dict())
    x = noise(1, 3, 64, 48)
    with torch.inference_mode():
        _, found = ours.forward_intermediates(x, indices=[CONV5_1, 12])
        torch.testing.assert_close(found[0], theirs[:26](x))
        torch.testing.assert_close(found[1], theirs[:30](x))


# As a model of timm


def test_timm_knows_it_once_a_backbone_is_built_and_not_before():
    code = (
        "import sys, resight, resight.models\nassert 'timm' not in sys.modules\n"
        "import timm\nfrom resight.models.backbone import build\nassert not timm.is_model('vgg16_cam')\n"
        "build('test_resnet', 'random')\nassert timm.is_model('vgg16_cam')\nprint(timm.list_models('vgg16_c*'))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "['vgg16_cam']", done.stderr


def test_registering_again_does_no_harm(recwarn):
    register()
    register()
    assert len(recwarn) == 0 and timm.is_model("vgg16_cam")


def test_a_new_head():
    model = small()
    model.reset_classifier(11)
    assert model(noise(2, 3, 8, 8)).shape == (2, 11) and model.num_classes == 11
    model.reset_classifier(0)
    torch.testing.assert_close(model(noise(1, 3, 8, 8)), model.forward_features(noise(1, 3, 8, 8)).mean((2, 3)))
    model.reset_classifier(4, global_pool="")
    assert model.global_pool.is_identity()


def test_features_only():
    register()
    model = timm.create_model("vgg16_cam", features_only=True, out_indices=(1, 4), **SMALL).eval()
    assert model.feature_info.channels() == [5, 8] and model.feature_info.reduction() == [1, 4]
    assert [tuple(m.shape) for m in model(noise(1, 3, 8, 8))] == [(1, 5, 8, 8), (1, 8, 2, 2)]


def test_there_is_no_normalisation_to_fold():
    model = small()
    assert fold_batch_norm(model, 16) is model


def test_gradients_reach_every_parameter():
    model = small().requires_grad_(True).train()
    model(noise(2, 3, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in model.parameters())


def test_doors_of_the_network():
    with pytest.raises(InputError, match="NCHW, not 'NHWC'"):
        small().forward_intermediates(noise(1, 3, 8, 8), output_fmt="NHWC")
    with pytest.raises(InputError, match="no gradient checkpointing"):
        small().set_grad_checkpointing()
    small().set_grad_checkpointing(False)
    assert set(small().group_matcher()) == {"stem", "blocks"}


# Weights


def narrow(monkeypatch):
    """`build` makes the small network, so that files are small."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **o: create(name, **{**SMALL, **o}))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("classes", [3, 8])
def test_a_file_with_its_own_names(tmp_path, monkeypatch, suffix, classes):
    from safetensors.torch import save_file

    model, file = small(num_classes=classes), tmp_path / f"w.{suffix}"
    (torch.save if suffix == "pth" else save_file)(model.state_dict(), file)
    narrow(monkeypatch)
    built, preprocessing = build("vgg16_cam", str(file))
    x = noise(1, 3, 16, 16)
    assert torch.equal(built.eval()(x), model(x))
    assert preprocessing.std == (1 / 255,) * 3


@pytest.mark.parametrize("head", ["classifier.0", "head.fc"])
def test_plain_vgg16_is_not_enough(tmp_path, monkeypatch, head):
    """torchvision's and timm's files have the trunk's names but neither CAM layer nor its head."""
    state = {key: value for key, value in small().state_dict().items() if key.startswith("features")}
    torch.save({**state, f"{head}.weight": torch.zeros(4, 4)}, tmp_path / "vgg16.pth")
    narrow(monkeypatch)
    with pytest.raises(InputError) as caught:
        build("vgg16_cam", str(tmp_path / "vgg16.pth"))
    assert str(caught.value) == (
        f"weights {tmp_path / 'vgg16.pth'} do not fit the backbone: it holds VGG-16 without the CAM layer and head "
        "(conv.*, classifier.*); train these on labelled images, or give a file that has them"
    )


def test_any_other_misfit_names_the_keys(tmp_path, monkeypatch):
    state = small().state_dict()
    del state["features.2.bias"]
    torch.save(state, tmp_path / "w.pth")
    narrow(monkeypatch)
    with pytest.raises(InputError, match=r"1 missing \(first 'features.2.bias'\)$"):
        build("vgg16_cam", str(tmp_path / "w.pth"))


def test_no_weights_are_published():
    with pytest.raises(InputError, match="no package carries weights for 'vgg16_cam'"):
        Backbone("vgg16_cam")
    with pytest.raises(InputError, match="timm publishes no weights for 'vgg16_cam'"):
        Backbone("vgg16_cam", weights="hub")
