"""The embedding network: the same vectors as an encoder's, and which of its weights learn."""

import numpy as np
import pytest
import timm
import torch

from resight.errors import InputError
from resight.features import Encoder
from resight.features.whitening import Whitening, pca_whitening
from resight.train.embed_network import Projection, last_block, make_embed_network, rebuild_embed_network
from resight.train.embed_options import make_embed_options

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = {"backbone": "test_resnet", "weights": "random", "size": 32, "device": "cpu"}


def pixels(count=5):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8)


def as_batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("pool", ["mac", "spoc", "gem:p=4", "rmac", "crow", "cam:count=3"])
def test_features_are_those_of_the_encoder(pool):
    """Alone, in a batch, in training mode and in evaluation mode."""
    network, images = make_embed_network(make_embed_options(**TINY, pool=pool)), pixels()
    expected = Encoder(**TINY, descriptor=pool).encode_many(list(images))
    with torch.no_grad():
        for mode in (True, False):
            network.train(mode)
            assert np.abs(network.features(as_batch(images)).numpy() - expected).max() < 2e-5
            alone = [network.features(as_batch(one[None])).numpy()[0] for one in images]
            assert np.abs(np.stack(alone) - expected).max() < 2e-5
    assert not network.train().backbone.training


def test_the_projection_is_a_whitening():
    """Its weight may be any number of times that of the fit: no vector changes."""
    vectors = np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32) * [1, 2, 3, 4, 5, 60]
    for fitted in (pca_whitening(vectors, 4), Whitening(np.zeros(6), np.eye(6)[:, :3])):
        layer = Projection(6, fitted.projection.shape[1])
        layer.take(fitted)
        found = layer(torch.from_numpy(vectors.astype(np.float32)))
        assert np.abs(found.detach().numpy() - fitted.apply(vectors)).max() < 1e-5
        assert float(layer.weight.detach().square().sum()) == pytest.approx(layer.weight.shape[1], rel=1e-5)
        again = Whitening(layer.mean.detach().numpy(), layer.weight.detach().numpy())
        assert np.abs(again.apply(vectors) - fitted.apply(vectors)).max() < 1e-5


def learning(network):
    return {name for name, one in network.named_parameters() if one.requires_grad}


def test_which_weights_learn():
    head, last, all_ = (make_embed_network(make_embed_options(**TINY, tune=tune)) for tune in ("head", "last", "all"))
    projection = {"projection.mean", "projection.weight"}
    assert learning(head) == projection and head.frozen
    blocks = {name.split(".")[1] for name in learning(last) - projection}
    assert blocks == {"layer4"} and learning(last) < learning(all_)
    assert learning(all_) == {name for name, _ in all_.named_parameters() if not name.startswith("backbone.fc.")}


@pytest.mark.parametrize(("name", "expected"), [
    ("vgg16", {"features.24", "features.26", "features.28"}),
    ("resnet18", {"layer4.0", "layer4.1"}),
    ("tf_efficientnet_lite0", {"blocks.5", "blocks.6", "conv_head.weight", "bn2.weight", "bn2.bias"}),
    ("test_vit", {"blocks.5", "norm.weight", "norm.bias"}),
])  # fmt: skip
def test_last_blocks(name, expected):
    """conv5 of VGG-16, layer4 of a ResNet, an EfficientNet's last resolution, a transformer's last."""
    model = timm.create_model(name)
    unused = ("head", "fc", "classifier", "pre_logits", "fc_norm")
    used = {one for one, _ in model.named_parameters() if not one.startswith(unused)}
    found = last_block(model, used)
    assert {
        one if one.count(".") < 2 and one in expected else ".".join(one.split(".")[:2]) for one in found
    } == expected


def test_stages_that_are_not_known():
    with pytest.raises(InputError, match="neither is its last block: tune head, or all"):
        last_block(torch.nn.Linear(3, 3), {"weight"})


def test_rebuilt_of_its_record():
    made = make_embed_network(make_embed_options(**TINY, pool="rmac"))
    made.take(Whitening(np.full(made.width, 0.1), np.eye(made.width)[:, :7]))
    again = rebuild_embed_network(made.record(), "last")
    again.load_state_dict(made.state_dict())
    with torch.no_grad():
        assert torch.equal(again(as_batch(pixels())), made(as_batch(pixels())))
    assert again.record() == made.record() and made.record()["dim"] == 7
    for damaged in ({}, {**made.record(), "preprocessing": None}, {**made.record(), "classes": "many"}):
        with pytest.raises(InputError, match="the record of the network is damaged"):
            rebuild_embed_network(damaged, "last")
