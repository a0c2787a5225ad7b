import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resight.train.locate_judging import dice_loss, mask_ious


def logits(probabilities):
    return torch.logit(torch.tensor(probabilities, dtype=torch.float64)).float()


def test_the_loss_by_hand():
    p, m = logits([[[[0.9, 0.2], [0.5, 0.6]]]]), torch.tensor([[[[True, False], [True, False]]]])
    # TP 0.9 + 0.5, FP 0.2 + 0.6, FN 0.1 + 0.5
    assert float(dice_loss(p, m)) == pytest.approx(1 - (2 * 1.4 + 1) / (2 * 1.4 + 0.6 + 0.8 + 1), abs=1e-6)


def test_samples_count_together():
    """One sample with everything right and one with nothing: not the mean of 0 and almost 1."""
    p = torch.full((2, 1, 4, 4), 50.0)
    m = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    m[0] = True
    assert float(dice_loss(p, m)) == pytest.approx(1 - (2 * 16 + 1) / (2 * 16 + 16 + 1))


def test_nothing_to_mark():
    m = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    assert float(dice_loss(torch.full(m.shape, -90.0), m)) == 0
    assert float(dice_loss(torch.full(m.shape, 90.0), m)) == pytest.approx(1 - 1 / 10)


def test_half_precision_is_added_up_in_float32():
    p = torch.zeros(2, 1, 512, 512, dtype=torch.bfloat16)
    m = torch.ones(2, 1, 512, 512, dtype=torch.bool)
    assert float(dice_loss(p, m)) == pytest.approx(1 - 2 / 3, abs=1e-4)  # TP half of all, FN the other half


@given(st.integers(0, 2**31 - 1))
def test_ious_are_those_of_sets(seed):
    dice = np.random.default_rng(seed)
    p, m = dice.random((3, 1, 5, 4)), dice.random((3, 1, 5, 4)) < dice.random()
    found = mask_ious(logits(p), torch.from_numpy(m))
    for one, probability, mask in zip(found, p, m, strict=True):
        marked, wanted = set(np.flatnonzero(probability >= 0.5)), set(np.flatnonzero(mask))
        expected = len(marked & wanted) / len(marked | wanted) if marked | wanted else 1.0
        assert float(one) == pytest.approx(expected)


def test_an_empty_mask_for_a_negative_counts_one_and_a_speck_none():
    m = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    p = torch.full((2, 1, 8, 8), -9.0)
    p[1, 0, 3, 3] = 9.0
    assert mask_ious(p, m).tolist() == [1.0, 0.0]
