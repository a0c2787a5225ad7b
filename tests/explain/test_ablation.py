"""Ablation-CAM against the definition written out; the short way agrees with the long one, or is not taken."""

import pytest
import timm
import torch
from explain_samples import bent, found, frames_subject, maps, pixels, pooled_linear, subject, to_unit
from network_samples import network, photos
from torch import nn

from resight.explain.ablation import by_rest, by_whole
from resight.explain.layers import find_layers
from resight.explain.listening import undisturbed
from resight.explain.methods import METHODS
from resight.explain.subject import Subject, module_subject
from resight.explain.work import Batch

pytestmark = pytest.mark.usefixtures("one_thread")


def both(who, images, place=0, layer=None, branch=""):
    """Scores without each channel, the short way and the long one."""
    batch, layers = Batch(who, images), find_layers(who, layer)
    with undisturbed(who.module), torch.no_grad():
        logits = batch.logits()[place]
        sizes = []
        name = layers[branch]
        handle = who.module.get_submodule(name).register_forward_hook(lambda *given: sizes.append(given[2].shape))
        batch.logits()
        handle.remove()
        count = sizes[0][1] if len(sizes[0]) == 4 and sizes[0][2] == sizes[0][3] else sizes[0][-1]
        tried = torch.arange(count)
        short = by_rest(batch, place, logits, branch, layers, tried, 4 * sizes[0].numel())
        return short, by_whole(batch, place, branch, layers, tried)


@pytest.mark.parametrize("layer", [1, 3])
@pytest.mark.parametrize("target", [0, 1, 2])
def test_it_is_the_definition(layer, target):
    module, images = bent(channels=5), pixels(2)
    got = maps("ablation", subject(module), images, target, str(layer))
    with torch.no_grad():
        activations = module[: layer + 1](to_unit(images))
        for image in range(2):
            y = float(module[layer + 1 :](activations[image : image + 1])[0, target])
            expected = torch.zeros(activations.shape[2:], dtype=torch.float64)
            for k in range(activations.shape[1]):
                left = activations[image : image + 1].clone()
                left[:, k] = 0
                lost = y - float(module[layer + 1 :](left)[0, target])
                expected += lost / abs(y) * activations[image, k]
            assert torch.allclose(got[image], expected, rtol=1e-9, atol=1e-12)


def test_a_negative_score_does_not_turn_the_map():
    module, images = pooled_linear(), pixels(1)
    who = subject(module)
    with torch.no_grad():
        weight, mean = module[4].weight, module[:4](to_unit(images))[0]
        for target in range(4):
            y = float(module(to_unit(images))[0, target])
            expected = torch.einsum("khw,k->hw", module[:2](to_unit(images))[0], weight[target] * mean) / abs(y)
            assert torch.allclose(maps("ablation", who, images, target, "1")[0], expected)
        module[4].bias[1] -= module(to_unit(images))[0, 1]  # a score of nothing: the loss itself
        expected = torch.einsum("khw,k->hw", module[:2](to_unit(images))[0], weight[1] * mean)
        assert float(module(to_unit(images))[0, 1].abs()) < 1e-12
        module[4].weight[1], module[4].bias[1] = 0, 0
        assert maps("ablation", who, images, 1, "1").abs().max() == 0


NETWORKS = {
    "test_resnet": ({}, "layer2"),
    "vit_tiny_patch16_224": ({"img_size": 64, "embed_dim": 32, "depth": 2, "num_heads": 2}, "blocks.0"),
    "swin_tiny_patch4_window7_224": (
        {"img_size": 64, "window_size": 2, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)}, "layers.0",
    ),
    "convnext_atto": ({"dims": (8, 16, 24, 32), "depths": (1, 1, 1, 1)}, "stages.1"),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_short_way_is_the_long_one(name):
    given, layer = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(name, num_classes=4, **given).eval()
    who = module_subject(module, lambda x: x.float() / 127.5 - 1, 64, name=name)
    images = photos(2)
    for where in (None, layer):
        short, long = both(who, images, 1, where)
        assert short is not None and short.shape == long.shape
        assert float(long.std(0).max()) > 0
        assert torch.allclose(short, long, atol=1e-5)


class Joined(nn.Module):
    """What comes before the layer is joined with what comes after it: the layer's output cannot be many alone."""

    def __init__(self, trick):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.head, self.trick = nn.Linear(8 if trick == "joined" else 4, 3), trick

    def forward(self, x):
        a = self.first(x).relu()
        b = self.second(a)
        if self.trick == "joined":
            return self.head(torch.cat([a, b.relu()], 1).mean((2, 3)))
        if self.trick == "size kept":
            return self.head(b.relu().reshape(len(x), -1, 6, 6)[:, :4].mean((2, 3)))
        if self.trick == "over the batch":
            return self.head(b.relu().mean((2, 3))) + (b.mean() if len(b) != len(x) else 0)
        return self.head((a + b.relu()).mean((2, 3)))  # a sum is broadcast


@pytest.mark.parametrize("trick", ["joined", "size kept", "over the batch", "added"])
def test_where_the_rest_cannot_be_many_the_whole_runs(trick):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Joined(trick).double()
    who, images = subject(module), pixels(2)
    short, long = both(who, images, 0, "second")
    assert (short is None) == (trick != "added")
    assert short is None or torch.allclose(short, long)
    got = maps("ablation", who, images, 1, "second")
    with torch.no_grad():
        y = module(to_unit(images))[0, 1]
        b = module.second(module.first(to_unit(images)).relu())[0]
    expected = torch.einsum("khw,k->hw", b, (y - long[:, 1]) / y.abs())
    assert torch.allclose(got[0], expected, atol=1e-9)


def test_a_middle_layer_of_densenet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model("densenet121", num_classes=3, growth_rate=4, block_config=(1, 1, 2, 2)).eval()
    who = module_subject(module, lambda x: x.float() / 127.5 - 1, 64)
    layer = "features.denseblock4.denselayer1"
    short, long = both(who, photos(1), 0, layer)
    assert short is None
    assert maps("ablation", who, photos(1), 0, layer).abs().max() > 0 and float(long.std(0).max()) > 0


def test_costs(monkeypatch):
    """The image goes in alone; behind the layer all channels and the untouched output are one batch."""
    module, before, behind = bent(channels=5), [], []
    who = subject(module)
    module[0].register_forward_hook(lambda *given: before.append(len(given[2])))
    module[2].register_forward_hook(lambda *given: behind.append(len(given[2])))
    found("ablation", who, pixels(1), [0, 1, 2], "1")
    assert (before, behind) == ([1, 1], [1, 6])
    before.clear(), behind.clear()
    monkeypatch.setattr("resight.explain.ablation.BYTES", 2 * 5 * 6 * 6 * 8)
    found("ablation", who, pixels(1), [0], "1")
    assert (before, behind) == ([1] * 4, [1, 3, 3, 2])


def test_fewer_channels():
    module, images = bent(channels=6), pixels(1)
    who = subject(module)
    assert torch.equal(maps("ablation", who, images, 1, "1", channels=6), maps("ablation", who, images, 1, "1"))
    activations = module[:2](to_unit(images)).detach()[0]
    strongest = int(activations.mean((1, 2)).argmax())
    one = maps("ablation", who, images, 1, "1", channels=1)[0]
    short, _ = both(who, images, 0, "1")
    y = who.forward(images)[0, 1].detach()
    assert torch.allclose(one, (y - short[strongest, 1]) / y.abs() * activations[strongest])


def test_of_a_fusion_network():
    made = network(classes=3, input="fusion", sift="vlfeat:step=4")
    nn.init.normal_(made.head.weight)
    plain = module_subject(made, lambda given: given, 64)
    roots = {name: f"branches.{name}.model." for name in made.branches}
    who = Subject("fusion", made, plain.classes, 64, plain.run, plain.fit, plain.frame, roots)
    images = photos(1)
    with torch.no_grad():
        features = made.features(images)[0]
        for branch, part in made.parts().items():
            short, long = both(who, images, 0, None, branch)
            logits = made(images)[0]
            # The head is linear in the mean of the last map: without a channel its share is gone.
            expected = logits - made.head.weight[:, part].T * features[part][:, None]
            assert torch.allclose(long, expected, atol=1e-4) and torch.allclose(short, expected, atol=1e-4)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_of_a_sequence_a_channel_goes_from_all_frames(one_by_one):
    who = frames_subject(one_by_one)
    frames, lengths = torch.stack([pixels(3, 6), pixels(3, 6).flip(0)]), torch.tensor([3, 2])
    with undisturbed(who.module):
        got = METHODS["ablation"](Batch(who, frames, lengths), lambda _: [1], "relu").maps[0].by_branch[""]
    module, at = who.module, 0
    for clip, n in zip(frames, lengths.tolist()):
        with torch.no_grad():
            activations = module.relu(module.conv(to_unit(clip[:n])))
            y = module.head(activations.mean((0, 2, 3)))[1]
            lost = module.head.weight[1] * activations.mean((0, 2, 3))
        assert torch.allclose(got[at : at + n], torch.einsum("tkhw,k->thw", activations, lost / y.abs()), atol=1e-9)
        at += n
