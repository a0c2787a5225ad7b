"""The whole classifier: late fusion, seeds, freezing, records, and what its weights' files may do."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from network_samples import SMALL, network, photos, rgb_network, sift_network
from torch import nn

from resight.errors import InputError, WorkError
from resight.models import PACKAGED
from resight.train.networks import make_network, native_size
from resight.train.options import make_options, resolved

pytestmark = pytest.mark.usefixtures("one_thread")

LITE = "tf_efficientnet_lite0"
PAIRS = {
    "rgb": {"backbone": "resnet18"},
    "rgb lite0": {"backbone": LITE},
    "sift full": {"input": "sift", "stem": "full", "sift": "deepsky:step=2"},
    "sift conv lite0": {"input": "sift", "stem": "conv", "sift": "vlfeat:step=1", "backbone": LITE},
    "fusion": {"input": "fusion", "backbone": "resnet18"},
    "fusion mixed": {"input": "fusion", "backbone": LITE, "sift_backbone": "resnet18", "sift": "siftflow:step=4"},
    "fusion regnet": {"input": "fusion", "sift_backbone": "regnetx_002", "stem": "full", "sift": "vlfeat:step=2"},
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_logit_is_the_sum_over_branches_of_the_mean_class_map(name):
    made, pixels = network(classes=5, **PAIRS[name]), photos()
    nn.init.normal_(made.head.bias)
    kept = pixels.clone()
    with torch.no_grad():
        maps, logits = made.maps(pixels), made(pixels)
        assert list(maps) == list(made.branches) == list(made.parts())
        for image in range(2):
            for c in range(5):
                total = made.head.bias[c].clone()
                for branch, part in made.parts().items():
                    weights = made.head.weight[c, part]
                    total += (weights[:, None, None] * maps[branch][image]).sum(0).mean()
                assert abs(total - logits[image, c]) < 1e-4
        assert torch.allclose(torch.cat([made(one[None]) for one in pixels]), logits, atol=1e-5)
        assert torch.equal(made.classify(made.features(pixels)), logits)
    assert torch.equal(pixels, kept)


@pytest.mark.parametrize("given", [
    *PAIRS.values(), {"backbone": "mobilenetv3_small_050"}, {"backbone": "vit_tiny_patch16_224", "input": "fusion"},
    {"backbone": "convnext_atto", "input": "fusion", "sift_backbone": "deit_tiny_distilled_patch16_224"},
])  # fmt: skip
def test_gradients_reach_every_parameter(given):
    made = network(**given).train()
    pixels = photos()
    kept = pixels.clone()
    nn.functional.cross_entropy(made(pixels), torch.tensor([0, 2])).backward()
    silent = [name for name, one in made.named_parameters() if one.grad is None or not torch.isfinite(one.grad).all()]
    assert silent == []
    firsts = [next(branch.model.parameters()) for branch in made.branches.values()]
    assert all(one.grad.abs().max() > 0 for one in firsts)
    assert torch.equal(pixels, kept)


def test_fusion_is_its_branches_side_by_side():
    both = network(input="fusion", seed=3)
    rgb, sift = network(seed=3), network(input="sift", seed=3)
    for name, alone in (("rgb", rgb), ("sift", sift)):
        expected = alone.branches[name].state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in both.branches[name].state_dict().items())
    with torch.no_grad():
        features = both.features(photos())
        for name, alone in (("rgb", rgb), ("sift", sift)):
            assert torch.equal(features[:, both.parts()[name]], alone.features(photos()))


def test_new_layers_depend_on_the_seed_and_on_nothing_else():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = network(input="fusion", seed=5).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = (network(input="fusion", seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(one[key], same[key]) for key in one)
    for key in ("head.weight", "branches.rgb.model.layer1.0.conv1.weight", "branches.sift.model.conv1.0.weight"):
        assert not torch.allclose(one[key], other[key], atol=1e-3)
    pair = [one[f"branches.{name}.model.layer1.0.conv1.weight"] for name in ("rgb", "sift")]
    assert not torch.allclose(*pair, atol=1e-3)


def test_frozen_branches_stay_as_they_are():
    made, free = network(tune="head", input="fusion"), network(input="fusion")
    expected = {key: value.clone() for key, value in made.state_dict().items() if key.startswith("branches")}
    for one in (made, free):
        one.train()
        optimiser = torch.optim.SGD([p for p in one.parameters() if p.requires_grad], 0.1, weight_decay=0.1)
        for _ in range(2):
            optimiser.zero_grad()
            nn.functional.cross_entropy(one(photos()), torch.tensor([0, 1])).backward()
            optimiser.step()
    assert {name for name, one in made.named_parameters() if one.requires_grad} == {"head.weight", "head.bias"}
    assert made.head.training and made.dropout.training and not made.branches["rgb"].model.bn1.training
    found = made.state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert made.train(False).training is False and not made.head.training
    moved = free.state_dict()["branches.rgb.model.bn1.running_mean"]
    assert not torch.equal(moved, expected["branches.rgb.model.bn1.running_mean"])


def test_dropout_is_before_the_head_and_in_training_only():
    made = rgb_network(dropout=0.5)
    features = torch.ones(1, 96)
    assert torch.equal(made.classify(features), made.classify(features))
    made.train()
    with torch.no_grad():
        torch.manual_seed(0)
        dropped = nn.functional.dropout(features, 0.5)
        torch.manual_seed(0)
        assert torch.allclose(made.classify(features), made.head(dropped))


def saved(folder, name: str = SMALL, classes: int = 1000, **changes) -> str:
    torch.manual_seed(3)
    state = timm.create_model(name, num_classes=classes).state_dict()
    state["bn1.running_mean"] = torch.ones(32)
    torch.save({**state, **changes}, folder / "w.pth")
    return str(folder / "w.pth")


@pytest.mark.parametrize("given", [{}, {"input": "fusion"}, {"input": "sift", "stem": "conv", "sift": "deepsky"}])
def test_a_record_builds_the_same_network_without_the_file(tmp_path, given):
    file = saved(tmp_path, classes=17)
    made = network(weights=file, classes=4, **given)
    record = json.loads(json.dumps(made.record()))
    (tmp_path / "w.pth").unlink()
    options = resolved(make_options(backbone=SMALL, weights=file, **given), 64)
    again = make_network(options, 4, record=record)
    assert again.record() == made.record()
    assert set(record) == set(made.branches)
    again.load_state_dict(made.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(photos()), made(photos()))


def test_a_record_keeps_the_preprocessing_of_the_weights():
    made = rgb_network(LITE, weights="package")
    facts = made.record()["rgb"]
    assert facts["preprocessing"] == {
        "mean": [127 / 255] * 3, "std": [128 / 255] * 3, "interpolation": "bicubic", "crop": 0.875, "size": 224,
    }  # fmt: skip
    assert (facts["backbone"], facts["weights"], facts["features"], facts["stem"]) == (LITE, "package", 1280, None)
    facts["preprocessing"]["mean"] = [0.1, 0.2, 0.3]
    options = resolved(make_options(backbone=LITE), 64)
    again = make_network(options, 3, record={"rgb": facts})
    assert again.branches["rgb"].preprocessing.mean == (0.1, 0.2, 0.3)
    assert again.branches["rgb"].entry.mean.flatten().tolist() == pytest.approx([25.5, 51, 76.5])


@pytest.mark.parametrize(("change", "message"), [
    ({"backbone": "resnet34"}, "the record's rgb branch is resnet34, the options ask for test_resnet"),
    ({"preprocessing": {"mean": [0, 0, 0]}}, "the record of the rgb branch is damaged"),
    ({"preprocessing": None}, "the record of the rgb branch is damaged"),
    ({"preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 0], "interpolation": "bicubic", "crop": 1, "size": 9}},
     "the record of the rgb branch is damaged"),
])  # fmt: skip
def test_a_record_of_something_else_is_refused(change, message):
    options = resolved(make_options(backbone=SMALL, weights="random"), 64)
    facts = {**rgb_network().record()["rgb"], **change}
    with pytest.raises(InputError, match=message):
        make_network(options, 3, record={"rgb": facts})
    with pytest.raises(InputError, match="the record is of branches sift, the options ask for rgb"):
        make_network(options, 3, record={"sift": facts})


def test_what_is_new_is_told(tmp_path):
    file = saved(tmp_path)
    assert rgb_network(weights=file).fresh == ("head",)
    assert rgb_network().fresh == ("rgb: all layers (random)", "head")
    mixed = network(input="fusion", weights=file, sift_weights="random")
    assert mixed.fresh == ("sift: all layers (random)", "head")
    patch = sift_network(SMALL, "patch", "deepsky:step=4", weights=file)
    assert patch.fresh == ("sift: first convolution (64 -> 16 channels)", "head")
    found = patch.branches["sift"].model.state_dict()
    given = torch.load(file, weights_only=True)
    assert {key for key in found if not torch.equal(found[key], given[key])} == {"conv1.0.weight"}


def test_load_false_asks_for_no_file():
    options = resolved(make_options(backbone=SMALL, weights="nowhere.pth"), 64)
    assert make_network(options, 3, load=False).fresh == ("rgb: all layers (random)", "head")
    lite = make_network(resolved(make_options(), 64), 3, load=False)
    assert lite.branches["rgb"].preprocessing == PACKAGED[LITE].preprocessing


@pytest.mark.parametrize(("prepare", "error", "message"), [
    (lambda folder: str(folder / "none.pth"), InputError, "weights file .*none.pth' does not exist"),
    (lambda folder: saved(folder, "test_nfnet"), InputError, "do not fit the backbone: .*missing"),
    (lambda folder: saved(folder, more=torch.zeros(1)), InputError, "1 unexpected .first 'more'"),
    (lambda folder: saved(folder, **{"bn1.weight": torch.zeros(3)}), InputError, "'bn1.weight': .3., expected .32."),
])  # fmt: skip
def test_weights_that_do_not_fit_are_never_replaced(tmp_path, prepare, error, message):
    file = prepare(tmp_path)
    for given in ({}, {"input": "sift"}, {"input": "fusion"}):
        with pytest.raises(error, match=message):
            network(weights=file, **given)


def test_truncated_weights_are_told(tmp_path):
    file = saved(tmp_path)
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:5000])
    with pytest.raises(WorkError, match=r"cannot read weights .*truncated"):
        network(weights=file, input="fusion", sift_backbone=SMALL)


@pytest.mark.parametrize(("given", "size"), [
    ({}, 224), ({"backbone": "tf_efficientnet_lite1"}, 240), ({"backbone": "vgg16_cam", "weights": "random"}, 224),
    ({"backbone": "swinv2_tiny_window8_256", "weights": "hub"}, 256), ({"backbone": "resnet18.a1_in1k"}, 224),
    ({"input": "fusion", "sift_backbone": "tf_efficientnet_lite1"}, 224),
    ({"input": "sift", "sift_backbone": "tf_efficientnet_lite1"}, 240),
])  # fmt: skip
def test_native_size(given, size):
    assert native_size(make_options(**given)) == size


def test_what_cannot_be_is_refused():
    options = resolved(make_options(backbone=SMALL, weights="random"), 64)
    with pytest.raises(InputError, match="at least 2 classes, got 1"):
        make_network(options, 1)
    with pytest.raises(InputError, match="the options have no size yet"):
        make_network(make_options(), 2)
    for given in ({"weights": "random"}, {"weights": "package"}, {"input": "sift", "weights": "random"}):
        wrong = make_options(backbone="resnet81", **given)
        with pytest.raises(InputError, match="unknown backbone 'resnet81', did you mean"):
            make_network(resolved(wrong, 64), 2)
        with pytest.raises(InputError, match="unknown backbone 'resnet81', did you mean"):
            native_size(wrong)
    with pytest.raises(InputError, match=r"unknown backbone 'resnet18.a1_in2k', did you mean 'resnet18.a1_in1k'"):
        native_size(make_options(backbone="resnet18.a1_in2k"))
    made = rgb_network()
    for wrong in (photos().float(), photos()[:, :1], photos()[0]):
        for ask in (made, made.features, made.maps):
            with pytest.raises(InputError, match=r"images must be \(B, 3, S, S\) uint8, got"):
                ask(wrong)
