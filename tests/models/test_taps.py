"""Layers by name: listed with their shapes, heard on either side, by each thread for itself."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch

from resight.errors import InputError
from resight.models import Backbone
from resight.models.taps import Tap, Taps, list_layers

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def resnet():
    return Backbone("resnet18", weights="random", device="cpu", fold=False)


def images(seed, count=2, side=64):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), np.uint8))


def test_layers_are_listed_in_the_order_of_the_image_with_shapes():
    layers = {layer.name: layer for layer in list_layers(resnet(), 64)}
    names = list(layers)
    assert names.index("conv1") < names.index("layer1.0.conv1") < names.index("layer4") < names.index("fc")
    assert (layers["conv1"].kind, layers["conv1"].takes, layers["conv1"].gives) == ("Conv2d", (3, 64, 64), (64, 32, 32))
    assert layers["layer4"].gives == (512, 2, 2)
    assert layers["fc"].parameters == 512 * 1000 + 1000


def test_what_is_heard_is_what_the_modules_say():
    backbone, pixels = resnet(), images(0)
    taps = [Tap("layer2"), Tap("layer3.0.conv1", "in"), Tap("fc", "in"), Tap("fc")]
    heard = Taps(backbone, taps)(pixels)
    model, x = backbone.model, backbone.normalise(pixels)
    with torch.inference_mode():
        second = model.layer2(model.layer1(model.maxpool(model.act1(model.bn1(model.conv1(x))))))
        logits = model(x)
    torch.testing.assert_close(heard[Tap("layer2")], second)
    torch.testing.assert_close(heard[Tap("layer3.0.conv1", "in")], second)
    torch.testing.assert_close(heard[Tap("fc")], logits)
    torch.testing.assert_close(model.fc(heard[Tap("fc", "in")]), logits)


def test_an_activation_in_place_behind_a_layer_changes_nothing():
    backbone, pixels = resnet(), images(1)
    heard = Taps(backbone, [Tap("bn1"), Tap("act1", "in")])(pixels)
    assert backbone.model.act1.inplace
    assert (heard[Tap("bn1")] < 0).any()
    torch.testing.assert_close(heard[Tap("act1", "in")], heard[Tap("bn1")])


def test_threads_hear_their_own_images():
    taps = Taps(resnet(), [Tap("global_pool")])
    alone = [taps(images(seed))[Tap("global_pool")] for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: taps(images(seed))[Tap("global_pool")], range(8)))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)


def test_nothing_is_kept_outside_of_listening():
    taps = Taps(resnet(), [Tap("layer1")])
    with taps.listening() as heard:
        pass
    resnet().logits(resnet().normalise(images(2)))
    assert heard == {}


def test_transformers_can_be_tapped_where_graph_tracing_fails():
    backbone = Backbone("vit_tiny_patch16_224", weights="random", device="cpu", fold=False)
    heard = Taps(backbone, [Tap("blocks.3"), Tap("blocks.5.attn")])(images(3, 1, 224))
    assert heard[Tap("blocks.3")].shape == (1, 197, 192)
    assert heard[Tap("blocks.5.attn")].shape == (1, 197, 192)


def test_doors():
    with pytest.raises(InputError, match=r"unknown layer of resnet18 'layer33'.*did you mean 'layer3'"):
        Taps(resnet(), [Tap("layer33")])
    with pytest.raises(InputError, match="unknown side of a layer 'output'"):
        Tap("layer3", "output")
    vit = Backbone("vit_tiny_patch16_224", weights="random", device="cpu", fold=False)
    with pytest.raises(InputError, match="cannot take a 100x100"):
        list_layers(vit, 100)
    with pytest.raises(InputError, match="no image passes layer unused"):
        unused = torch.nn.Linear(1, 1)
        vit.model.add_module("unused", unused)
        Taps(vit, [Tap("unused")])(images(0, 1, 224))
