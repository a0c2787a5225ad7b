"""Score-CAM against the algorithm written out."""

import pytest
import torch
from explain_samples import bent, found, frames_subject, maps, pixels, subject, to_unit
from network_samples import network, photos
from torch import nn
from torch.nn.functional import interpolate

from resight.explain.listening import undisturbed
from resight.explain.methods import METHODS
from resight.explain.score import masked, stretched
from resight.explain.subject import Subject, module_subject
from resight.explain.work import Batch
from resight.models.preprocessing import Preprocessing

pytestmark = pytest.mark.usefixtures("one_thread")


def written_out(module, image, layer, target, zero=0.0):
    """Wang 2020, algorithm 1, for one image (3, S, S); masked in pixels, which are whole grey levels."""
    with torch.no_grad():
        activations = module[: layer + 1](to_unit(image[None]))[0]
        blank = torch.full_like(image, 0, dtype=torch.float64) + zero
        baseline = module(to_unit(blank[None]))[0, target]
        scores, kept = [], []
        for k, channel in enumerate(activations):
            up = interpolate(channel[None, None], image.shape[1:], mode="bilinear", align_corners=False)[0]
            if float(up.max()) == float(up.min()):
                continue
            mask = (up - up.min()) / (up.max() - up.min())
            hidden = (blank + (image - blank) * mask).round()
            scores.append(module(to_unit(hidden[None]))[0, target] - baseline)
            kept.append(k)
        weights = torch.stack(scores).softmax(0)
        return sum(weight * activations[k] for weight, k in zip(weights, kept))


@pytest.mark.parametrize("layer", [1, 3])
def test_it_is_the_algorithm(layer):
    module, images = bent(channels=5), pixels(2)
    for target in (0, 2):
        got = maps("score", subject(module), images, target, str(layer))
        for image, own in zip(images, got):
            # Masks are computed in single precision: a grey level may round the other way.
            assert torch.allclose(own, written_out(module, image, layer, target), atol=2e-4)
            assert float(own.std()) > 1e-2


def test_the_scores_decide_and_not_the_activations():
    """Two channels see one half each; only what the left half holds counts, so the channel of the left half wins."""

    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.see = nn.Identity()

        def forward(self, x):
            left = torch.zeros(len(x), 1, 12, 12, dtype=torch.float64)
            left[..., :6] = 1
            self.see(torch.cat([left, left.flip(3)], 1))
            bright = x.mean(1)[:, :, :6].sum((1, 2))
            return torch.stack([bright, -bright], 1)

    who = module_subject(Halves(), lambda given: given.double() / 255, 12, classes=["bright", "dark"], name="halves")
    image = torch.full((1, 3, 12, 12), 255, dtype=torch.uint8)
    bright, dark = (maps("score", who, image, target, "see")[0] for target in (0, 1))
    assert torch.allclose(bright[:, :6], torch.ones_like(bright[:, :6])) and float(bright[:, 6:].max()) < 1e-12
    assert torch.allclose(dark, bright.flip(1))


def test_a_channel_without_places_to_show_weighs_nothing():
    module = bent()
    module[0].weight.data[1] = 0
    module[0].bias.data[1] = 100.0  # the same everywhere: its weight would show in the map
    module[2].weight.data[:, 1] = 0
    got = maps("score", subject(module), pixels(1), 0, "1")[0]
    assert torch.allclose(got, written_out(module, pixels(1)[0], 1, 0), atol=2e-4) and float(got.max()) < 50
    module[0].weight.data[:] = 0
    assert maps("score", subject(module), pixels(1), 0, "1").abs().max() == 0


def test_fewer_channels():
    module, images = bent(channels=6), pixels(2)
    who = subject(module)
    all_of_them = maps("score", who, images, 1, "1")
    assert torch.equal(maps("score", who, images, 1, "1", channels=99), all_of_them)
    one = maps("score", who, images, 1, "1", channels=1)
    activations = module[:2](to_unit(images)).detach()
    for image in range(2):
        strongest = activations[image].mean((1, 2)).argmax()
        assert torch.allclose(one[image], activations[image, strongest])  # a softmax of one is 1


def test_the_number_of_passes_does_not_depend_on_the_number_of_classes(monkeypatch):
    module, seen = bent(channels=5), []
    who = subject(module)
    module.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    live = [int((one.flatten(1).amax(1) > 0).sum()) for one in module[:2](to_unit(pixels(2)))]
    assert min(live) > 2
    found("score", who, pixels(2), [0, 1, 2, 3], "1")
    assert seen == [2, *live]
    monkeypatch.setattr("resight.explain.work.CPU_PIXELS", 2 * 12 * 12)
    seen.clear()
    found("score", who, pixels(1), [0], "1", channels=3)
    assert seen == [1, 2, 1]


def test_masks():
    maps_ = torch.tensor([[[[1.0, 3.0]], [[2.0, 5.0]]]])  # one channel on two frames, at one scale
    large = stretched(maps_, 2)
    assert large.shape == (1, 2, 2, 2)
    assert torch.allclose(large[0], torch.tensor([[[0.0, 0.5]] * 2, [[0.25, 1.0]] * 2]))
    given = torch.tensor([10, 20, 255], dtype=torch.uint8).view(3, 1, 1)
    assert masked(given, torch.ones(1, 1, 1), (9.3, 1.2, 200.0)).flatten().tolist() == [10, 20, 255]
    assert masked(given, torch.zeros(1, 1, 1), (9.3, 1.6, 200.0)).flatten().tolist() == [9, 2, 200]


def test_what_is_hidden_is_0_to_the_network():
    own = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "bilinear", 0.9, 12)
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.see = nn.Identity()

        def forward(self, x):
            seen.append(x)
            return self.see(x.abs()).mean((2, 3))

    module = Spy()
    who = module_subject(module, own, 12, classes=["a", "b", "c"])
    seen.clear()  # its outputs were counted
    found("score", who, pixels(1), [0], "see")
    image, masks = seen[0], stretched(seen[0].abs().transpose(0, 1), 12)
    assert torch.allclose(seen[1], image * masks, atol=0.5 / 255 / 0.2 + 1e-5)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_of_a_sequence_every_frame_behind_its_own_mask(one_by_one):
    who = frames_subject(one_by_one)
    frames, lengths = torch.stack([pixels(3, 6), pixels(3, 6).flip(0)]), torch.tensor([3, 2])
    with undisturbed(who.module):
        got = METHODS["score"](Batch(who, frames, lengths), lambda _: [1], "relu").maps[0].by_branch[""]
    module, at = who.module, 0
    for clip, n in zip(frames, lengths.tolist()):
        with torch.no_grad():
            activations = module.relu(module.conv(to_unit(clip[:n])))
            scores, live = [], [k for k in range(4) if activations[:, k].max() > 0]
            for k in live:
                own = activations[:, k : k + 1].float()  # (n, 1, 6, 6): as large as the frames
                mask = (own - own.min()) / (own.max() - own.min())
                hidden = (clip[:n] * mask).round().byte()
                scores.append(module(hidden[None], torch.tensor([n]))[0, 1])
            weights = torch.stack(scores).softmax(0)
        assert torch.allclose(got[at : at + n], torch.einsum("tkhw,k->thw", activations[:, live], weights), atol=1e-3)
        at += n


def test_of_a_fusion_network_each_branch_has_its_own():
    made = network(classes=3, input="fusion", sift="vlfeat:step=4")
    plain = module_subject(made, lambda given: given, 64)
    roots = {name: f"branches.{name}.model." for name in made.branches}
    who = Subject("fusion", made, plain.classes, 64, plain.run, plain.fit, plain.frame, roots)
    got = found("score", who, photos(1), [0], channels=3)
    assert got.layers == {name: f"branches.{name}.model.layer4" for name in ("rgb", "sift")}
    with torch.no_grad():
        for name, layer in got.layers.items():
            branch = made.branches[name]
            activations = branch.maps(photos(1))
            assert layer.startswith(f"branches.{name}.")
            weights = torch.linalg.lstsq(activations[0].flatten(1).T, got.maps[0].by_branch[name].flatten()[:, None])
            assert weights.residuals.numel() == 0 or float(weights.residuals.abs().max()) < 1e-6
            tried = activations[0].mean((1, 2)).topk(3).indices
            inside = torch.linalg.lstsq(activations[0, tried].flatten(1).T, got.maps[0].by_branch[name].flatten())
            rest = activations[0, tried].flatten(1).T @ inside.solution - got.maps[0].by_branch[name].flatten()
            assert float(rest.abs().max()) < 1e-4  # within the span of the three channels that were tried
