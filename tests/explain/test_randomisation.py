"""Weights drawn anew: in a copy, from the output on, and what maps make of it."""

from __future__ import annotations

from dataclasses import replace

import explain_samples
import numpy as np
import pytest
import torch
from samples import picture
from torch import nn

from resight.errors import InputError
from resight.explain.explaining import explain
from resight.explain.methods import METHODS
from resight.explain.randomisation import cascade, copied, randomised, weighted_layers
from resight.explain.stability import rank_correlation
from resight.explain.subject import module_subject, open_subject
from resight.explain.work import Batch

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGE = picture(4, 12, 12)


def weights(subject):
    return {name: one.detach().clone() for name, one in subject.module.named_parameters()}


def logits(subject, image=IMAGE):
    with torch.no_grad():
        return subject.forward(torch.tensor(image).permute(2, 0, 1)[None])


def test_layers_are_named_from_the_output_on():
    assert weighted_layers(explain_samples.subject()) == ("6", "2", "0")


def test_layers_go_by_the_order_they_run_in_and_those_that_do_not_run_come_last():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.head, self.conv = nn.Linear(2, 2), nn.Linear(4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, pixels):
            return self.head(self.conv(pixels).mean((2, 3)))

    subject = module_subject(Turned(), lambda pixels: pixels.float(), 12)
    assert weighted_layers(subject) == ("head", "conv", "unused")


def test_only_the_copy_changes_and_only_where_asked():
    subject = explain_samples.subject()
    before, scores = weights(subject), logits(subject)
    head = randomised(subject, 1)
    changed = {name for name, one in weights(head).items() if not torch.equal(one, before[name])}
    assert changed == {"6.weight", "6.bias"}
    every = randomised(subject)
    assert all(not torch.equal(one, before[name]) for name, one in weights(every).items())
    assert not torch.equal(logits(every), scores) and not torch.equal(logits(head), scores)
    assert all(torch.equal(one, before[name]) for name, one in weights(subject).items())
    assert torch.equal(logits(subject), scores)


def test_draws_go_by_the_seed_and_keep_mean_and_deviation():
    wide = module_subject(nn.Sequential(nn.Flatten(), nn.Linear(432, 50)), lambda pixels: pixels.float() / 255, 12)
    with torch.no_grad():
        wide.module[1].weight.mul_(3).add_(0.7)
    first, again, other = (randomised(wide, None, seed).module[1].weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    given = wide.module[1].weight
    assert first.mean().item() == pytest.approx(given.mean().item(), rel=0.01)
    assert first.std().item() == pytest.approx(given.std().item(), rel=0.02)


def test_random_numbers_modes_and_gradients_stay():
    subject = explain_samples.subject()
    subject.module.train()
    state = torch.random.get_rng_state()
    randomised(subject)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert subject.module.training and all(one.requires_grad for one in subject.module.parameters())


@pytest.mark.parametrize("fold", [True, False])
def test_a_backbone_is_copied_with_its_linear_head(fold):
    from resight.models.backbone import Backbone

    backbone = Backbone("test_resnet", weights="random", device="cpu", fold=fold)
    subject = open_subject(backbone)
    pixels = torch.randint(0, 256, (1, 3, subject.size, subject.size), dtype=torch.uint8)
    other, head = randomised(subject, 1), backbone.head_weight.clone()
    totals, biases = [], []
    for one in (subject, other):
        result = METHODS["cam"](Batch(one, pixels), lambda logits: [0], None)
        totals.append(float(result.maps[0].by_branch[""].sum()))
        biases.append(float(one.module.get_classifier().bias.detach()[0]))
        assert totals[-1] == pytest.approx(float(one.forward(pixels).detach()[0, 0]) - biases[-1], abs=1e-4)
    assert abs(totals[0] - totals[1]) > 1e-3
    assert torch.equal(backbone.head_weight, head)


def test_sequences_are_copied_too():
    clips = explain_samples.frames_subject()
    before = weights(clips)
    other = randomised(clips)
    assert all(torch.equal(one, before[name]) for name, one in weights(clips).items())
    assert all(not torch.equal(one, before[name]) for name, one in weights(other).items())


def test_what_runs_the_network_is_given_the_copy():
    subject = explain_samples.subject()
    twice = replace(subject, run=lambda module, pixels: 2 * subject.run(module, pixels))
    before = logits(twice)
    other = randomised(twice)
    assert torch.equal(logits(other), 2 * logits(replace(subject, module=other.module)))
    assert torch.equal(logits(twice), before) and not torch.equal(logits(other), before)


def test_what_cannot_be_copied_is_an_error_in_a_line():
    import threading

    module = explain_samples.pooled_linear()
    module.lock = threading.Lock()
    with pytest.raises(InputError, match="net cannot be copied to draw its weights anew: cannot pickle"):
        copied(explain_samples.subject(module))


def test_a_map_without_classes_does_not_see_the_head():
    found = cascade(IMAGE, explain_samples.subject(), "eigen", stages=3, layer="1")
    assert found.layers == (1, 2, 3) and found.names == ("6", "2", "0")
    assert found.correlations[:2] == pytest.approx([1, 1])  # only the first convolution comes before layer 1
    assert found.correlations[2] < 0.999


def test_a_cascade_is_the_maps_of_the_copies_compared():
    subject = explain_samples.subject()
    found = cascade(IMAGE, subject, "gradcam", 1, stages=2, seed=3, layer="1")
    true = explain(IMAGE, subject, "gradcam", 1, layer="1").map
    for layers, correlation in zip((1, None), found.correlations, strict=True):
        other = explain(IMAGE, randomised(subject, layers, 3), "gradcam", 1, layer="1").map
        assert correlation == rank_correlation(true, other)
    assert np.abs(found.correlations).max() < 0.999


def test_bad_numbers_are_errors():
    with pytest.raises(InputError, match="stages must be at least 2"):
        cascade(IMAGE, explain_samples.subject(), stages=1)
    with pytest.raises(InputError, match="at least 1, got 0"):
        randomised(explain_samples.subject(), 0)
