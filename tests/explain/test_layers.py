"""The layer that is taken unless told: the last whose places decide; and layers by name."""

import threading

import pytest
import timm
import torch
from explain_samples import bent, frames_subject, pixels, subject
from network_samples import network
from torch import nn

from resight.errors import InputError
from resight.explain.layers import find_layers, layout_at, shown_layer
from resight.explain.listening import undisturbed
from resight.explain.subject import Subject, module_subject
from resight.explain.work import Batch, hear

pytestmark = pytest.mark.usefixtures("one_thread")


def timm_subject(name, size=64, **given):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model(name, num_classes=4, **given).eval()
    return module_subject(module, lambda x: x.float() / 127.5 - 1, size, name=name)


TOKENS = {"img_size": 64, "embed_dim": 32, "depth": 2, "num_heads": 2}
NETWORKS = {
    "test_resnet": ({}, "layer4", (96, 2, 2)),
    "vit_tiny_patch16_224": (TOKENS, "blocks.1.norm1", (32, 4, 4)),  # the class token is read after it
    "deit_tiny_distilled_patch16_224": (TOKENS, "blocks.1.norm1", (32, 4, 4)),  # two tokens before the grid
    "vit_base_patch16_siglip_224": (TOKENS, "norm", (32, 4, 4)),  # pooled by attention
    "vit_relpos_small_patch16_224": (TOKENS, "norm", (32, 4, 4)),  # pooled by the mean
    "swin_tiny_patch4_window7_224": (
        {"img_size": 64, "window_size": 2, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)}, "norm", (32, 8, 8),
    ),
    "convnext_atto": ({"dims": (8, 16, 24, 32), "depths": (1, 1, 1, 1)}, "norm_pre", (32, 2, 2)),
    "densenet121": ({"growth_rate": 4, "block_config": (1, 1, 2, 2)}, "features", None),
    "mobilenetv3_small_050": ({}, "blocks", None),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layer_that_is_taken(name):
    given, layer, shape = NETWORKS[name]
    who = timm_subject(name, **given)
    assert find_layers(who) == {"": layer}
    assert find_layers(who) is find_layers(who)
    with undisturbed(who.module):
        logits, activations, layers, _ = hear(Batch(who, pixels(2, 64)), None, leaves=False)
    assert logits.shape == (2, 4) and layers == {"": layer}
    assert shape is None or activations[""].shape == (2, *shape)


def test_attention_that_is_not_fused_is_no_place():
    """Written out, attention gives (B, heads, N, N), which looks like maps."""
    who = timm_subject("vit_tiny_patch16_224", **TOKENS)
    for block in who.module.blocks:
        block.attn.fused_attn = False
    assert find_layers(who) == {"": "blocks.1.norm1"}


def test_vgg_reads_places_through_linear_layers():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 8),
        nn.ReLU(), nn.Linear(8, 3),
    )  # fmt: skip
    assert find_layers(subject(module.double())) == {"": "3"}


def test_finding_them_changes_nothing():
    module = bent().train()
    module[0].eval()
    for number, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(number == 1)
    before = [one.training for one in module.modules()], torch.get_rng_state().tolist()
    for around in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        who = Subject("net", module, ("a", "b", "c", "d"), 12, lambda net, x: net(x.double()), lambda x: x, lambda x: x)
        with around():
            assert find_layers(who) == {"": "3"}
    assert ([one.training for one in module.modules()], torch.get_rng_state().tolist()) == before
    assert [one.requires_grad for one in module.parameters()] == [False, True, *[False] * 4]
    assert all(one.grad is None for one in module.parameters())
    assert not any(one._forward_hooks for one in module.modules())


def test_several_threads_find_the_same():
    for _ in range(5):
        module, made = bent(), []

        def look(module=module, made=made):
            made.append(find_layers(subject(module)))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert made == [{"": "3"}] * 4


def test_by_name():
    assert find_layers(subject(), "1") == {"": "1"}
    who = timm_subject("test_resnet")
    assert find_layers(who, "layer2.0.conv1") == {"": "layer2.0.conv1"}
    with pytest.raises(InputError, match=r"unknown layer of test_resnet 'layr4', did you mean 'layer4'"):
        find_layers(who, "layr4")
    with pytest.raises(InputError, match="unknown layer of net ''"):
        find_layers(subject(), "")


def test_a_layer_without_places():
    who = timm_subject("test_resnet")
    expected = r"layer global_pool of test_resnet gives \(96,\), which has no places: take one .*, such as layer4"
    with pytest.raises(InputError, match=expected):
        layout_at(who, "", "global_pool", torch.zeros(2, 96))
    with undisturbed(who.module), pytest.raises(InputError, match=r"layer fc .* has no places: .* layer4$"):
        hear(Batch(who, pixels(1, 64)), "fc", leaves=True)


def test_a_layer_in_every_branch():
    made = network(input="fusion", sift="vlfeat:step=4")
    plain = module_subject(made, lambda given: given, 64, name="fusion")
    roots = {name: f"branches.{name}.model." for name in made.branches}
    who = Subject("fusion", made, plain.classes, 64, plain.run, plain.fit, plain.frame, roots)
    assert find_layers(who) == {name: f"branches.{name}.model.layer4" for name in ("rgb", "sift")}
    assert find_layers(who, "layer3") == {name: f"branches.{name}.model.layer3" for name in ("rgb", "sift")}
    assert shown_layer(who, "sift", "branches.sift.model.layer3") == "layer3"
    assert shown_layer(who, "", "") == ""  # of a method without layers
    with pytest.raises(InputError, match="'layer9', did you mean 'layer"):
        find_layers(who, "layer9")


def test_windows_are_no_map_of_the_image():
    given = NETWORKS["swin_tiny_patch4_window7_224"][0]
    who = timm_subject("swin_tiny_patch4_window7_224", **given)
    with undisturbed(who.module), pytest.raises(InputError, match="does not give one map for each image"):
        hear(Batch(who, pixels(2, 64)), "layers.0.blocks.0.attn", leaves=True)


def test_of_sequences():
    assert find_layers(frames_subject()) == {"": "relu"}
    assert find_layers(frames_subject(one_by_one=True)) == {"": "relu"}


def test_a_network_without_places():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 4)).double()
    with pytest.raises(InputError, match="no layer with places that decide its scores"):
        find_layers(subject(flat))


def test_a_head_of_zeros():
    module = bent()
    nn.init.zeros_(module[6].weight)
    with pytest.raises(InputError, match=r"all gradients are zero: are the weights of its head zero, as before train"):
        find_layers(subject(module))


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_torchscript():
    who = subject(torch.jit.trace(bent(), pixels(1).double()))
    for layer in (None, "1"):
        with pytest.raises(InputError, match="net is a TorchScript module, whose layers cannot be listened to"):
            find_layers(who, layer)
