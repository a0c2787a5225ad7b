"""Which channels are tried, sums of channels, copies of an item."""

import pytest
import torch
from explain_samples import frames_subject, pixels, subject

from resight.explain.channels import chosen_channels, single, weighted_maps
from resight.explain.work import Batch


@pytest.mark.parametrize(("most", "expected"), [(0, [0, 1, 2, 3]), (9, [0, 1, 2, 3]), (1, [2]), (3, [0, 2, 3])])
def test_those_of_the_highest_mean(most, expected):
    means = torch.tensor([1.0, -5.0, 7.0, 0.0])
    activations = means.view(1, 4, 1, 1) + torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    assert chosen_channels(activations, most).tolist() == expected


def test_sums_are_loops():
    dice = torch.Generator().manual_seed(0)
    activations = torch.randn(3, 2, 2, 2, generator=dice)  # of sequences of 2 and 1 frames
    weights = [torch.randn(3, 2, generator=dice), torch.randn(1, 2, generator=dice)]
    batch = Batch(frames_subject(), torch.zeros(2, 2, 3, 6, 6), torch.tensor([2, 1]))
    found = weighted_maps(batch, {"": activations}, {"": weights})
    assert len(found) == 3
    for place, maps in enumerate(found):
        for row, item in enumerate([0, 0, 1]):
            weight = weights[item][min(place, len(weights[item]) - 1)]
            expected = weight[0] * activations[row, 0] + weight[1] * activations[row, 1]
            assert torch.allclose(maps.by_branch[""][row], expected, atol=1e-6)


def test_copies_of_one_item():
    images = pixels(3)
    assert torch.equal(single(Batch(subject(), images), 1, 2).pixels, images[[1, 1]])
    frames = torch.stack([pixels(3, 6), pixels(3, 6).flip(0)])
    one = single(Batch(frames_subject(), frames, torch.tensor([3, 2])), 1, 4)
    assert torch.equal(one.pixels, frames[1:, :2].expand(4, 2, 3, 6, 6)) and one.lengths.tolist() == [2] * 4
