"""Maps, logits and head of many kinds of network, laid out right; and the accuracy that only right pixels give."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import timm
import torch

from resight.errors import InputError, WorkError
from resight.images import fit, read_image
from resight.models import PACKAGED, Backbone, Preprocessing
from resight.models.backbone import PRECISIONS, build, choose_device

LITE0 = "tf_efficientnet_lite0"
POOLED = ["resnet18", "resnet50", "densenet121", LITE0, "vgg16_cam"]

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def random_backbone(name):
    return Backbone(name, weights="random", device="cpu")


def with_model(name, **options):
    """A backbone around a timm model made with options that `Backbone` does not offer."""
    backbone = Backbone("test_resnet", weights="random", device="cpu")
    torch.manual_seed(0)
    backbone.name, backbone.model = name, timm.create_model(name, **options).eval().requires_grad_(False)
    return backbone


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Layout


def test_maps_of_a_convolutional_network_are_its_features():
    backbone, inputs = random_backbone("resnet18"), noise(2, 3, 96, 64)
    found = backbone.maps(inputs)
    assert found.shape == (2, 512, 3, 2)
    assert torch.equal(found, backbone.model.forward_features(inputs))


def test_maps_of_swin_have_their_channels_moved():
    backbone = with_model("swin_tiny_patch4_window7_224", embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    inputs = noise(1, 3, 224, 224)
    theirs, found = backbone.model.forward_features(inputs), backbone.maps(inputs)
    assert theirs.shape == (1, 7, 7, 192) and found.shape == (1, 192, 7, 7)
    for row, column in [(0, 0), (2, 5), (6, 1)]:
        assert torch.equal(found[0, :, row, column], theirs[0, row, column])


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("vit_tiny_patch16_224", 1), ("deit_tiny_patch16_224", 1), ("deit_tiny_distilled_patch16_224", 2)],
)
def test_tokens_lie_on_their_grid(name, prefix):
    """Token prefix + row * 14 + column is the patch of that row and column."""
    backbone, inputs = with_model(name, depth=2), noise(1, 3, 224, 224)
    tokens, found = backbone.model.forward_features(inputs), backbone.maps(inputs)
    assert tokens.shape == (1, prefix + 196, 192) and found.shape == (1, 192, 14, 14)
    for row, column in [(0, 0), (0, 13), (3, 7), (13, 2)]:
        assert torch.equal(found[0, :, row, column], tokens[0, prefix + row * 14 + column])


@pytest.mark.parametrize(
    ("name", "options", "height", "width", "side"),
    [
        ("vit_tiny_patch16_224", {"dynamic_img_size": True, "depth": 1}, 96, 224, 16),
        ("vit_tiny_patch16_224", {"dynamic_img_size": True, "depth": 1}, 48, 16, 16),
        ("deit_tiny_distilled_patch16_224", {"dynamic_img_size": True, "depth": 1}, 224, 32, 16),
        ("xcit_nano_12_p8_224", {"depth": 1}, 64, 160, 8),
    ],
)
def test_tokens_of_an_image_that_is_not_square(name, options, height, width, side):
    backbone, inputs = with_model(name, **options), noise(1, 3, height, width)
    model, found = backbone.model, backbone.maps(inputs)
    tokens = model.forward_features(inputs)[:, model.num_prefix_tokens :]
    assert found.shape == (1, tokens.shape[2], height // side, width // side)
    for row in range(height // side):
        for column in range(width // side):
            assert torch.equal(found[0, :, row, column], tokens[0, row * (width // side) + column])


def test_a_change_in_one_patch_shows_first_in_its_place():
    """The oracle that knows nothing of tokens: without attention, only the changed patch's place changes."""
    backbone = with_model("vit_tiny_patch16_224", depth=0, dynamic_img_size=True)
    first = noise(1, 3, 64, 96)
    second = first.clone()
    second[:, :, 32:48, 80:96] += 1  # row 2, column 5
    changed = (backbone.maps(first) - backbone.maps(second)).abs().amax(1)[0] > 0
    assert changed.nonzero().tolist() == [[2, 5]]


@pytest.mark.parametrize("name", ["pit_ti_224", "pit_ti_distilled_224", "efficientvim_m1"])
def test_where_the_end_is_no_map_the_last_stage_is_taken(name):
    """PiT's forward_features is the class token alone: it must not pass for a map of 1 x 1."""
    backbone = random_backbone(name)
    side = backbone.preprocessing.size
    found = backbone.maps(noise(1, 3, side, side))
    assert min(found.shape[2:]) > 1
    assert torch.equal(found, backbone.maps(noise(1, 3, side, side), stage=-1))


@pytest.mark.parametrize("name", ["resnet18", LITE0, "vit_tiny_patch16_224", "convnext_atto"])
def test_stages_are_timms_intermediates(name):
    backbone, inputs = random_backbone(name), noise(1, 3, 224, 224)
    theirs = backbone.model.forward_intermediates(inputs, intermediates_only=True, output_fmt="NCHW")
    for stage in (0, 2, len(theirs) - 1, -1, -3):
        assert torch.equal(backbone.maps(inputs, stage=stage), theirs[stage])


def test_stages_of_resnet_by_hand():
    backbone, inputs = random_backbone("resnet18"), noise(1, 3, 64, 64)
    model = backbone.model
    x = model.act1(model.bn1(model.conv1(inputs)))
    assert torch.equal(backbone.maps(inputs, stage=0), x)
    x = model.layer2(model.layer1(model.maxpool(x)))
    torch.testing.assert_close(backbone.maps(inputs, stage=2), x)


@pytest.mark.parametrize("stage", [5, -6, 99])
def test_a_stage_that_is_not_there(stage):
    with pytest.raises(InputError, match=rf"^resnet18 cannot give stage {stage} of a 64x32 \(H x W\) input: "):
        random_backbone("resnet18").maps(noise(1, 3, 64, 32), stage=stage)


def test_a_size_that_the_network_does_not_take():
    with pytest.raises(InputError, match=r"cannot take a 64x64 \(H x W\) input: .*224"):
        random_backbone("vit_tiny_patch16_224").maps(noise(1, 3, 64, 64))


def test_a_failure_inside_the_network_is_one_line(monkeypatch):
    backbone = with_model("test_resnet")

    def fail(inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore\nlines")

    monkeypatch.setattr(backbone.model, "forward_features", fail)
    with pytest.raises(WorkError) as caught:
        backbone.maps(noise(1, 3, 32, 32))
    assert str(caught.value).endswith("input: CUDA out of memory. Tried to allocate 2 GiB")


# Logits and head


@pytest.mark.parametrize("name", ["resnet18", LITE0, "vit_tiny_patch16_224"])
def test_logits_are_timms_own(name):
    torch.manual_seed(0)
    peer = timm.create_model(name).eval()
    backbone = random_backbone(name)
    peer.load_state_dict(build(name, "random")[0].state_dict())
    inputs = noise(2, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.logits(inputs), peer(inputs), atol=1e-5, rtol=1e-5)


def test_head_weight_times_pooled_maps_is_the_logits():
    backbone, inputs = Backbone(LITE0, device="cpu"), noise(2, 3, 224, 224)
    with torch.inference_mode():
        by_hand = backbone.maps(inputs).mean((2, 3)) @ backbone.head_weight.T + backbone.head_bias
        torch.testing.assert_close(by_hand, backbone.logits(inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", POOLED)
def test_the_last_map_is_what_the_head_pools(name):
    """DenseNet's is the one after its last normalisation and ReLU: no value of it is negative."""
    backbone, inputs = random_backbone(name), noise(2, 3, 96, 64)
    with torch.inference_mode():
        found = backbone.maps(inputs)
        by_hand = found.mean((2, 3)) @ backbone.head_weight.T + backbone.head_bias
        torch.testing.assert_close(by_hand, backbone.logits(inputs), atol=1e-4, rtol=1e-4)
    assert backbone.head_bias.shape == (1000,) and backbone.head_weight.shape == (1000, found.shape[1])
    assert name == LITE0 or float(found.min()) >= 0


@pytest.mark.parametrize(("name", "stage"), [(LITE0, 3), ("resnet18", 2), ("resnet18", -1), ("densenet121", 2),
                                             ("densenet121", 4), ("vgg16_cam", 10)])  # fmt: skip
def test_one_look_gives_what_two_passes_give(name, stage):
    backbone, inputs = random_backbone(name), noise(2, 3, 96, 64)
    with torch.inference_mode():
        maps, source = backbone.look(inputs, stage=stage, source=True)
        torch.testing.assert_close(maps, backbone.maps(inputs, stage=stage), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(source, backbone.maps(inputs), atol=1e-5, rtol=1e-5)


def test_one_look_is_one_pass(monkeypatch):
    backbone, passes = with_model("test_resnet"), []
    backbone.model.register_forward_pre_hook(lambda *_: passes.append("whole"))
    backbone.model.conv1.register_forward_pre_hook(lambda *_: passes.append("stem"))
    backbone.look(noise(1, 3, 64, 64), stage=1, source=True)
    assert passes == ["stem"]


def test_without_a_stage_both_maps_are_the_same():
    maps, source = random_backbone("resnet18").look(noise(1, 3, 64, 64), source=True)
    assert maps is source


@pytest.mark.parametrize(("name", "options"), [("vit_tiny_patch16_224", {"depth": 1}), ("mobilenetv3_small_050", {})])
@pytest.mark.parametrize("stage", [None, 0])
def test_no_source_without_a_linear_head_on_the_pooled_map(name, options, stage):
    backbone, inputs = with_model(name, **options), noise(1, 3, 224, 224)
    maps, source = backbone.look(inputs, stage=stage, source=True)
    assert source is None and torch.equal(maps, backbone.maps(inputs, stage=stage))
    assert random_backbone("resnet18").look(noise(1, 3, 64, 64), stage=0)[1] is None  # not asked for


def test_a_look_at_a_stage_that_is_not_there():
    with pytest.raises(InputError, match=r"^resnet18 cannot give stage 7 of"):
        random_backbone("resnet18").look(noise(1, 3, 64, 32), stage=7, source=True)


def test_densenet161_is_2208_wide():
    backbone = random_backbone("densenet161")
    assert backbone.maps(noise(1, 3, 64, 64)).shape == (1, 2208, 2, 2)
    assert backbone.head_weight.shape == (1000, 2208) and backbone.head_bias.shape == (1000,)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("test_resnet", {"num_classes": 0}),  # no head
        ("deit_tiny_distilled_patch16_224", {"depth": 1}),  # two heads
        ("vit_tiny_patch16_224", {"depth": 1}),  # a head on the class token
        ("efficientformer_l1", {}),  # two heads
        ("mobilenetv3_small_050", {}),  # a hidden layer between pooling and head
        ("convnext_atto", {}),  # a normalisation between pooling and head
    ],
)
def test_no_head_weight_without_a_linear_head_on_the_pooled_map(name, options):
    backbone = with_model(name, **options)
    assert backbone.head_weight is None and backbone.head_bias is None


def test_a_head_of_1x1_convolution_is_a_linear_head():
    backbone = with_model("test_resnet")
    head = torch.nn.Conv2d(backbone.model.num_features, 9, 1)
    backbone.model.get_classifier = lambda: head
    assert torch.equal(backbone.head_weight, head.weight[:, :, 0, 0])
    assert torch.equal(backbone.head_bias, head.bias)


def test_a_head_without_bias_has_biases_of_zero():
    backbone = with_model("test_resnet")
    head = torch.nn.Linear(backbone.model.num_features, 9, bias=False)
    backbone.model.get_classifier = lambda: head
    assert torch.equal(backbone.head_bias, torch.zeros(9))


# Precision and memory


def test_bfloat16():
    backbone = Backbone(LITE0, device="cpu", precision="bfloat16")
    pixels = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    inputs = backbone.normalise(pixels)
    assert inputs.dtype == backbone.maps(inputs).dtype == torch.bfloat16
    assert backbone.logits(inputs).dtype == backbone.head_weight.dtype == torch.float32
    assert backbone.hash == Backbone(LITE0, device="cpu").hash


def test_the_network_is_frozen_and_in_evaluation_mode():
    backbone = random_backbone("resnet18")
    assert not backbone.model.training
    assert not any(p.requires_grad for p in backbone.model.parameters())
    inputs = noise(1, 3, 64, 64)
    assert torch.equal(backbone.maps(inputs), backbone.maps(inputs))


def test_it_prints_in_one_line():
    assert re.fullmatch(
        r"Backbone\('resnet18', weights='random', hash=[0-9a-f]{16}, device=cpu\)", repr(random_backbone("resnet18"))
    )


# Doors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "tf_efficientnet_lite"}, "unknown backbone 'tf_efficientnet_lite', did you mean 'tf_efficientnet_"),
        ({"name": "resnet5O"}, r"did you mean .*'resnet50'"),
        ({"name": ""}, "unknown backbone ''"),
        ({"name": "resnet18.bogus"}, r"unknown backbone 'resnet18.bogus', did you mean .*resnet18.a1_in1k"),
        ({"name": "resnet18.a1_in2k", "weights": "hub"}, "did you mean 'resnet18.a1_in1k'"),
        ({"name": "test_resnet.", "weights": "hub"}, "unknown backbone 'test_resnet.', did you mean 'test_resnet.r160"),
        ({"precision": "bfloat"}, "unknown precision 'bfloat', did you mean 'bfloat16'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"device": "gpu"}, r"device 'gpu' is not available here \(known are auto, cpu, cuda, mps\)"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not available here"),
        ({"device": "meta"}, "device 'meta' is not available here"),
    ],
)
def test_door(options, message):
    with pytest.raises(InputError, match=message) as caught:
        Backbone(**{"name": "test_resnet", "weights": "random", **options})
    assert "\n" not in str(caught.value)


def test_auto_is_the_best_device_there_is(monkeypatch):
    assert choose_device("cpu").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"


def test_precisions():
    assert dict(PRECISIONS) == {"float32": torch.float32, "bfloat16": torch.bfloat16}


def test_hub_takes_the_preprocessing_of_its_weights(monkeypatch):
    monkeypatch.setattr("resight.models.hub._answers", lambda: True)
    model = timm.create_model("test_resnet")
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: model)
    backbone = Backbone("test_resnet", weights="hub", device="cpu")
    assert backbone.preprocessing == Preprocessing.of_timm(model.pretrained_cfg)


# The accuracy that only right pixels give


@pytest.mark.oracle
@pytest.mark.slow
def test_top1_needs_the_right_preprocessing(real_images):
    """A photo of each of 300 ImageNet classes: 85.7 % by (pixel - 127) / 128, 77.0 % by ImageNet's mean and std."""
    from timm.data import ImageNetInfo

    files = sorted(real_images("imagenet-sample").glob("*.jpg"))
    classes = {wordnet: i for i, wordnet in enumerate(ImageNetInfo().label_names())}
    truth = np.array([classes[file.name.split("_")[0]] for file in files])
    backbone = Backbone(LITE0, device="cpu")
    right, wrong = PACKAGED[LITE0].preprocessing, Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "", 1, 1)

    @torch.inference_mode()
    def classify(part):
        crops = [fit(read_image(file), 224, "crop", "bicubic", 0.875) for file in part]
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
        return [backbone.logits(way.normalise(pixels)).argmax(1) for way in (right, wrong)]

    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = list(pool.map(classify, [files[start : start + 4] for start in range(0, len(files), 4)]))
    hits = {way: torch.cat([both[i] for both in found]).numpy() for i, way in enumerate((right, wrong))}
    top1 = {way: float(np.mean(guess == truth)) for way, guess in hits.items()}
    assert len(files) == 300
    assert top1[right] >= 0.85, top1
    assert top1[wrong] <= top1[right] - 0.04, top1
