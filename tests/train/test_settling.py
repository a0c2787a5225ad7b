"""Running statistics become those of the images, by hand; nothing else changes."""

from __future__ import annotations

import torch
from torch import nn

from resight.train.settling import IMAGES, settle


def small():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))


def images(count, seed):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 5 + 2


def test_statistics_are_those_of_the_images():
    model, batches = small().eval(), [images(8, 0), images(8, 1)]
    model[1].running_mean.fill_(99.0)
    assert settle(model, batches) == 16
    maps = [model[0](batch).transpose(0, 1).flatten(1) for batch in batches]
    mean = torch.stack([one.mean(1) for one in maps]).mean(0)
    variance = torch.stack([one.var(1) for one in maps]).mean(0)
    torch.testing.assert_close(model[1].running_mean, mean.detach())
    torch.testing.assert_close(model[1].running_var, variance.detach())


def test_nothing_else_changes():
    for mode in (True, False):
        model = small().train(mode)
        before = {name: value.clone() for name, value in model.named_parameters()}
        torch.manual_seed(5)
        settle(model, [images(4, 0)])
        drawn = torch.rand(1)
        torch.manual_seed(5)
        assert torch.equal(drawn, torch.rand(1))  # no random number was used
        assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
        assert all(value.grad is None for value in model.parameters())
        assert model.training is mode and model[3].training is mode and model[1].momentum == 0.1


def test_it_stops_when_it_has_seen_enough():
    def endless():
        while True:
            yield images(IMAGES // 2 + 1, 0)

    assert settle(small(), endless()) == 2 * (IMAGES // 2 + 1)


def test_without_batch_normalisation_nothing_is_looked_at():
    def none():
        raise AssertionError("an image was asked for")
        yield

    assert settle(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), none()) == 0
