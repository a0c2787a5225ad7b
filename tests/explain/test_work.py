"""Batches, and what their items are asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from explain_samples import bent, frames_subject, pixels, subject
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from resight.errors import InputError, WorkError
from resight.explain.listening import undisturbed
from resight.explain.work import (
    AskEach,
    Batch,
    ask_all,
    asks_of,
    class_columns,
    hear,
    item_name,
    items_per_pass,
    probabilities,
)


def top(count):
    return lambda logits: logits.topk(count).indices.tolist()


def test_what_each_item_is_asked_for():
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, 3.0, 4.0]])
    assert ask_all(logits, top(2)) == ((1, 2), (0, 2))
    assert ask_all(logits, AskEach((top(1), lambda _: [2, 0]))) == ((1,), (2, 0))


@pytest.mark.parametrize("many", [1, 3])
def test_one_target_for_each_item(many):
    with pytest.raises(InputError, match=f"one target for each image, got {many} for 2"):
        ask_all(torch.zeros(2, 3), AskEach((top(1),) * many))
    with pytest.raises(InputError, match="use asks_of"):
        AskEach((top(1),))(torch.zeros(3))
    one = top(1)
    assert asks_of(one, 2) == (one, one)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=5))
def test_columns_read_back_are_the_lists(targets):
    columns = class_columns(targets)
    assert len(columns) == max(map(len, targets))
    for place, own in enumerate(targets):
        read = [int(column[place]) for column in columns]
        assert read[: len(own)] == own and set(read[len(own) :]) <= {own[-1]}


def test_counts_and_logits():
    who = subject()
    batch = Batch(who, pixels(3))
    assert len(batch) == 3 and batch.counts == [1, 1, 1]
    assert torch.equal(batch.logits(), who.forward(pixels(3)))
    clips = frames_subject()
    frames = torch.stack([pixels(3, 6), pixels(3, 6)])
    batch = Batch(clips, frames, torch.tensor([3, 1]))
    assert len(batch) == 2 and batch.counts == [3, 1]
    with torch.no_grad():
        logits = batch.logits()
        assert torch.allclose(logits[1], clips.forward(frames[1:, :1], torch.tensor([1]))[0])


def test_a_network_that_fails_says_so_in_a_line():
    with pytest.raises(WorkError, match=r"net failed on \(1, 3, 2, 2\): .+") as caught:
        Batch(subject(nn.Sequential(nn.Conv2d(3, 2, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()),
              pixels(1, 2)).logits()  # fmt: skip
    assert "\n" not in str(caught.value)


def test_a_network_made_in_inference_mode():
    with torch.inference_mode():
        module = bent()
    who = subject(nn.Sequential(nn.Conv2d(3, 3, 1).double(), module))
    with (
        undisturbed(who.module),
        pytest.raises(InputError, match=r"was made within torch.inference_mode.*make it outs"),
    ):
        logits, _, _, heard = hear(Batch(who, pixels(1)), "0", leaves=True)
        torch.autograd.grad(logits.sum(), heard.calls["0"])


@pytest.mark.parametrize("one_by_one", [False, True])
def test_frames_are_stacked_in_order(one_by_one):
    who = frames_subject(one_by_one)
    frames = torch.stack([pixels(3, 6), pixels(3, 6).flip(0)])
    with torch.no_grad():
        _, activations, _, _ = hear(Batch(who, frames, torch.tensor([3, 2])), "relu", leaves=False)
        module = who.module
        expected = module.relu(module.conv(torch.cat([frames[0], frames[1, :2]]).double() / 127.5 - 1))
    assert torch.allclose(activations[""], expected)


def test_passes_get_smaller_as_images_get_larger():
    small, large = subject(size=12), subject(size=448)
    assert items_per_pass(large) == 1 and items_per_pass(small) == 4 * 224**2 // 144
    assert items_per_pass(small, 10**6) == 1


def test_a_single_output_is_a_sigmoid():
    logits = torch.tensor([[2.0], [-1.0]])
    assert torch.equal(probabilities(logits), logits.sigmoid())
    two = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(probabilities(two)[:, :1], probabilities(two[:, :1] - two[:, 1:]))  # the same decision


def test_names_of_items():
    assert item_name(Path("a/b.png")) == item_name("a/b.png", 3) == "a/b.png"
    assert (item_name(np.zeros(1)), item_name(np.zeros(1), 2)) == ("the image", "image 2")
