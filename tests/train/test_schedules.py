import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resight.errors import InputError
from resight.train.options import TrainOptions
from resight.train.schedules import rate_factor


def factors(steps, **given):
    options = TrainOptions(**given)
    return [rate_factor(step, steps, options) for step in range(steps * options.epochs)]


def test_cosine_by_hand():
    found = factors(4, schedule="cosine", warmup=0.0, epochs=2)
    assert found == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])


def test_cosine_as_torch_has_it():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 30)
    for expected in factors(10, schedule="cosine", warmup=0.0, epochs=3):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(expected, abs=1e-9)
        optimiser.step()
        schedule.step()


def test_warm_up_grows_in_equal_parts_and_never_stands_still():
    found = factors(10, schedule="constant", warmup=0.5, epochs=2)
    assert found[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert factors(1, schedule="constant", warmup=0.5, epochs=2) == [1.0, 1.0]  # half a step is none


def test_steps_by_hand():
    found = factors(2, schedule="step", decay_every=2, decay=0.1, warmup=0.0, epochs=5)
    assert found == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 2)


@given(
    st.sampled_from(["cosine", "step", "constant"]), st.integers(1, 9), st.integers(1, 6), st.floats(0, 20),
)  # fmt: skip
def test_every_factor_is_above_nothing_and_at_most_one(schedule, steps, epochs, warmup):
    found = factors(steps, schedule=schedule, epochs=epochs, warmup=warmup)
    assert all(0 < factor <= 1 for factor in found)
    peak = found.index(max(found))
    assert found[: peak + 1] == sorted(found[: peak + 1]) and found[peak:] == sorted(found[peak:], reverse=True)


def test_door():
    with pytest.raises(InputError, match="not known yet"):
        rate_factor(0, 5, TrainOptions())
