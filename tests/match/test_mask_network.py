"""The two-encoder U-Net against a naive one, timm's own pyramids, and what it refuses."""

import pytest
import torch
from torch.nn import functional as F

from resight.errors import InputError
from resight.match.mask_network import (
    COMBINES,
    STRIDES,
    check_facts,
    make_mask_network,
    rebuild_mask_network,
)
from resight.models.backbone import Backbone

pytestmark = pytest.mark.usefixtures("one_thread")
S = 64


def make(combine="mult", backbone="test_resnet", **given):
    return make_mask_network(backbone, "random", combine=combine, **{"size": S, "width": 32, **given})


def pictures(count, seed=0, side=S):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.manual_seed(seed))


def mean_over_query(maps, queries):
    """The mean over cells, each as heavy as the share of its pixels that are not black."""
    found = torch.zeros(*maps.shape[:2], 1, 1)
    cell = S // maps.shape[-1]
    for number, query in enumerate(queries):
        whole = 0.0
        for row in range(maps.shape[-2]):
            for column in range(maps.shape[-1]):
                part = query[:, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
                heavy = float((part.sum(0) > 0).float().mean()) + 1e-4
                found[number, :, 0, 0] += heavy * maps[number, :, row, column]
                whole += heavy
        found[number] /= whole
    return found


def naive(network, images, queries):
    """U-Net in ten lines: each level joined, then from the coarsest up, twice the size, with the level beside it."""
    weights = {
        "mult": lambda level, f, g: f * g,
        "add": lambda level, f, g: f + g,
        "concat": lambda level, f, g: F.conv2d(
            torch.cat([f, g], 1), network.joins[level].weight, network.joins[level].bias, padding=1
        ),
    }
    if network.combine == "pooled":
        weights["pooled"] = lambda level, f, g: f * mean_over_query(g, queries)
    pairs = zip(network.image(images), network.query(queries), strict=True)
    joined = [weights[network.combine](level, f, g) for level, (f, g) in enumerate(pairs)]
    found = joined[-1]
    for place, block in enumerate(network.decoder.blocks):
        skip = joined[-2 - place] if place < len(joined) - 1 else None
        found = F.interpolate(found, scale_factor=2, mode="nearest")
        found = found if skip is None else torch.cat([found, skip], 1)
        for conv in (block.conv1, block.conv2):
            layers = list(conv)
            found = F.conv2d(found, layers[0].weight, layers[0].bias, padding=1)
            norm = layers[1]
            found = F.relu(F.batch_norm(found, norm.running_mean, norm.running_var, norm.weight, norm.bias))
    return F.conv2d(found, network.last.weight, network.last.bias, padding=1)


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("backbone", ["test_resnet", "mobilenetv3_small_050"])
def test_a_naive_forward(combine, backbone):
    network = make(combine, backbone)
    images, queries = pictures(3), pictures(3, 1)
    queries[:, :, :9] = queries[1, :, :, 40:] = 0  # black around
    network.train()
    with torch.no_grad():
        network(pictures(4, 2), pictures(4, 3))  # statistics that are not 0 and 1
        network.eval()
        found = network(images, queries)
        torch.testing.assert_close(found, naive(network, images, queries), rtol=1e-4, atol=1e-4)
    assert found.shape == (3, 1, S, S) and found.dtype == torch.float32


@pytest.mark.oracle
@pytest.mark.parametrize("backbone", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_the_pyramid_is_timms(backbone):
    import timm

    pyramid = make(backbone=backbone).image.eval()
    peer = timm.create_model(backbone, features_only=True).eval()
    names = {name.replace(".", "_"): value for name, value in pyramid.model.state_dict().items()}
    peer.load_state_dict({name: names[name.replace(".", "_")] for name in peer.state_dict()})  # flattened there
    pixels = pictures(2)
    with torch.no_grad():
        expected = {S // one.shape[-1]: one for one in peer(pyramid.preprocessing.normalise(pixels))}
        found = dict(zip(STRIDES, pyramid(pixels), strict=True))
    for stride, one in found.items():
        if stride in expected:
            torch.testing.assert_close(one, expected[stride])
        else:  # ConvNeXt begins at stride 4
            assert one.shape == (2, 0, S // stride, S // stride)


def test_a_level_that_a_backbone_lacks_is_passed_over():
    for combine in COMBINES:
        network = make(combine, "test_convnext")
        assert network.image.channels[0] == 0 and network(pictures(2), pictures(2)).shape == (2, 1, S, S)


def test_both_encoders_begin_with_the_packaged_weights():
    network = make_mask_network("tf_efficientnet_lite0", "package", size=S, width=16)
    known = Backbone(fold=False, device="cpu")
    expected = known.model.state_dict()
    for pyramid in (network.image, network.query):
        own = pyramid.model.state_dict()
        assert len(own) > 200 and all(torch.equal(value, expected[name]) for name, value in own.items())
        assert pyramid.preprocessing == known.preprocessing
    assert network.record()["hash"] == known.hash
    first = next(iter(network.image.parameters()))
    assert first.data_ptr() != next(iter(network.query.parameters())).data_ptr()  # two of a kind, not one twice


@pytest.mark.parametrize("combine", COMBINES)
def test_a_query_prepared_once_serves_any_number_of_images(combine):
    network = make(combine).eval()
    images, query = pictures(3), pictures(1, 1)
    with torch.no_grad():
        whole = network(images, query.expand(3, -1, -1, -1))
        torch.testing.assert_close(network.decide(images, network.encode(query)), whole)


def test_pooled_does_not_see_where_the_query_lies():
    """Moved by the coarsest stride, far from the edges, the query has the same mean."""
    network = make("pooled", size=256).eval()
    queries = torch.zeros(2, 3, 256, 256, dtype=torch.uint8)
    queries[0, :, 96:112, 96:112] = queries[1, :, 128:144, 128:144] = pictures(1, side=16)[0]
    with torch.no_grad():
        one, other = zip(*(level for level in network.encode(queries)[:3]), strict=True)
    for first, second in zip(one, other, strict=True):
        torch.testing.assert_close(first, second, rtol=0.02, atol=2e-3)
    assert torch.isfinite(network.encode(torch.zeros_like(queries))[0]).all()


def test_every_weight_learns():
    network = make("concat").train()
    network(pictures(4), pictures(4, 1)).square().mean().backward()
    assert [name for name, one in network.named_parameters() if one.grad is None] == []
    joins = [one for name, one in network.named_parameters() if name.startswith("joins.")]
    assert len(joins) == 2 * len(STRIDES) and all(one.grad.abs().sum() > 0 for one in joins)


def test_rebuilt_of_its_record_with_its_weights():
    one = make("concat", width=48)
    other = rebuild_mask_network(one.record())
    assert other.state_dict().keys() == one.state_dict().keys()
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(one.eval()(pictures(2), pictures(2, 1)), other.eval()(pictures(2), pictures(2, 1)))


def test_the_seed_decides_and_other_random_numbers_go_on():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    one, same, other = (make(seed=seed).decoder.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["blocks.0.conv1.0.weight"], other["blocks.0.conv1.0.weight"])


def test_any_size_that_the_backbone_takes():
    assert make(size=80)(pictures(2, side=80), pictures(2, side=80)).shape == (2, 1, 80, 80)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"combine": "mul"}, "unknown combine 'mul', did you mean 'mult'"),
        ({"backbone": "tset_resnet"}, "unknown backbone 'tset_resnet', did you mean"),
        ({"backbone": "test_vit"}, "test_vit has maps at strides 16 of 2, 4, 8, 16, 32, and a U-Net needs a pyramid"),
        ({"backbone": "swin_tiny_patch4_window7_224"}, "cannot take images of 64 x 64 pixels"),
    ],
)
def test_door(given, message):
    with pytest.raises(InputError, match=message):
        make(**given)


@pytest.mark.parametrize(
    "change",
    [
        {"combine": "other"}, {"size": 10**9}, {"size": True}, {"width": 1}, {"preprocessing": None},
        {"preprocessing": {"mean": [0]}}, {"size": "64"},
    ],
)  # fmt: skip
def test_a_record_is_checked(change):
    facts = make().record()
    assert check_facts(facts) == facts
    with pytest.raises(InputError, match="the record of the mask network is damaged"):
        check_facts({**facts, **change})
    with pytest.raises(InputError, match="damaged"):
        check_facts({name: value for name, value in facts.items() if name not in change})


def test_segmentation_models_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "segmentation_models_pytorch.decoders.unet.decoder", None)
    with pytest.raises(InputError, match=r"pip install 'resight\[locate\]'"):
        make()
