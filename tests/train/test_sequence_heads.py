"""Heads over time against naive loops and torch's own recurrent network; what fills up a batch does not count."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from resight.train.options import HEADS as NAMES
from resight.train.sequence_heads import (
    DILATIONS,
    HEADS,
    KERNELS,
    Block,
    Gru,
    Streams,
    average,
    mean_and_maximum,
    reverse,
)

pytestmark = pytest.mark.usefixtures("one_thread")
FEATURES, MOTION, CLASSES = 10, 6, 4
LENGTHS = torch.tensor([9, 4, 1])


def head(name, motion=MOTION):
    torch.manual_seed(7)
    return HEADS[name](FEATURES, motion, CLASSES, 0.3).eval()


def clips(count=3, frames=9, width=FEATURES + MOTION, seed=0):
    return torch.randn(count, frames, width, generator=torch.Generator().manual_seed(seed))


def test_the_options_know_the_same_heads():
    assert tuple(HEADS) == NAMES


@pytest.mark.parametrize("motion", [0, MOTION])
@pytest.mark.parametrize("name", HEADS)
def test_a_sequence_has_the_same_logits_alone_and_in_a_batch(name, motion):
    made, frames = head(name, motion), clips(width=FEATURES + motion)
    filled = frames.clone()
    filled[1, 4:], filled[2, 1:] = 0, 1e3  # whatever it is filled up with
    together = made(filled, LENGTHS)
    assert together.shape == (3, CLASSES)
    for index, length in enumerate(LENGTHS.tolist()):
        alone = made(frames[index : index + 1, :length], torch.tensor([length]))
        assert torch.allclose(together[index], alone[0], atol=1e-5)
    longer = torch.cat([filled, torch.full_like(filled[:, :5], -50.0)], 1)
    assert torch.allclose(made(longer, LENGTHS), together, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_all_of_a_head_learns(name):
    made = head(name).train()
    made(clips(), LENGTHS).logsumexp(1).sum().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in made.parameters())


@pytest.mark.parametrize("name, ordered", [("average", False), ("pool", False), ("tcn", True), ("gru", True)])
def test_which_heads_know_the_order_of_frames(name, ordered):
    made, frames = head(name), clips()
    lengths = torch.tensor([9, 9, 9])
    apart = (made(frames, lengths) - made(frames.flip(1), lengths)).abs().max()
    assert (apart > 1e-3) if ordered else (apart < 1e-5)


@pytest.mark.parametrize("motion", [0, MOTION])
@pytest.mark.parametrize("name", HEADS)
def test_pooled_is_what_the_last_layer_sees(name, motion):
    made, frames = head(name, motion), clips(width=FEATURES + motion)
    found, logits = made.pooled(frames, LENGTHS), made(frames, LENGTHS)
    assert len(found) == 3
    for clip, length, row, expected in zip(frames, LENGTHS.tolist(), found, logits, strict=True):
        alone = made.pooled(clip[None, :length], torch.tensor([length]))[0]
        assert torch.allclose(row, alone, atol=1e-5)
        if name == "average":
            assert torch.allclose(row, clip[:length, :FEATURES].mean(0), atol=1e-6)
        else:
            assert torch.allclose(made.last(row), expected, atol=1e-5)


def test_the_average_by_hand():
    """One frame sure of class 0, one undecided: 3/4 and 1/4."""
    logits = torch.tensor([[[100.0, 0.0], [5.0, 5.0], [0.0, 100.0]]])
    assert average(logits, torch.tensor([2])).exp()[0].tolist() == pytest.approx([0.75, 0.25])


def test_the_average_against_naive_loops():
    made, frames = head("average"), clips()
    found = made(frames, LENGTHS).softmax(1)
    for clip, length, row in zip(frames, LENGTHS.tolist(), found, strict=True):
        each = [made.last(clip[t, :FEATURES]).softmax(0).detach().numpy() for t in range(length)]
        assert row.tolist() == pytest.approx(np.mean(each, 0).tolist(), abs=1e-6)


def test_the_average_knows_no_motion():
    made, frames = head("average"), clips()
    other = frames.clone()
    other[..., FEATURES:] += 1
    assert torch.equal(made(frames, LENGTHS), made(other, LENGTHS))


def test_mean_and_maximum_by_hand():
    frames = torch.tensor([[[1.0, -5.0], [3.0, -1.0], [9.0, 9.0]]])
    assert mean_and_maximum(frames, torch.tensor([2])).tolist() == [[2.0, -3.0, 3.0, -1.0]]


def test_the_pool_against_naive_loops():
    made, frames = head("pool"), clips()
    found = made(frames, LENGTHS)
    for clip, length, row in zip(frames, LENGTHS.tolist(), found, strict=True):
        normed = [made.streams(clip[t]) for t in range(length)]
        mean = sum(normed) / length
        most = torch.stack([max(one[k] for one in normed) for k in range(FEATURES + MOTION)])
        assert torch.allclose(row, made.last(torch.cat([mean, most])), atol=1e-5)


def test_streams_by_hand():
    """Features -1, 1, -1, 1 are normalised already; motion of 0.25 and -0.01 becomes 4 x 0.5 and 4 x -0.1."""
    frame = torch.tensor([-1.0, 1.0, -1.0, 1.0, 0.25, -0.01, 0.0])
    found = Streams(4, 3)(frame).tolist()
    assert found == pytest.approx([*(value * 4**-0.25 for value in (-1, 1, -1, 1)), 2.0, -0.4, 0.0], abs=1e-4)
    assert Streams(4, 0)(frame[:4]).tolist() == pytest.approx([-1, 1, -1, 1], abs=1e-4)


def test_streams_have_slopes_everywhere():
    frame = torch.zeros(7, requires_grad=True)
    Streams(4, 3)(frame).sum().backward()
    assert torch.isfinite(frame.grad).all()


@pytest.mark.parametrize("dilation", DILATIONS)
def test_a_block_of_the_tcn_against_naive_loops(dilation):
    torch.manual_seed(1)
    block = Block(dilation, 0.0).eval()
    frames = torch.randn(1, 8, block.norm.normalized_shape[0])
    found = block(frames)
    for t in (0, 3, 7):
        parts = []
        for kernel, scale in zip(KERNELS, block.scales, strict=True):
            value = scale.bias.clone()
            for k in range(kernel):
                place = t + dilation * (k - kernel // 2)
                if 0 <= place < 8:
                    value = value + scale.weight[:, :, k] @ frames[0, place]
            parts.append(value)
        expected = frames[0, t] + functional.gelu(block.norm(torch.cat(parts)))
        assert torch.allclose(found[0, t], expected, atol=1e-5)


def test_the_gru_against_torchs_on_packed_sequences():
    made, frames = head("gru"), clips()
    assert isinstance(made, Gru)
    width = made.forwards.hidden_size
    peer = nn.GRU(width, width, batch_first=True, bidirectional=True)
    state = dict(made.forwards.state_dict())
    state |= {f"{key}_reverse": value for key, value in made.backwards.state_dict().items()}
    peer.load_state_dict(state)
    packed = nn.utils.rnn.pack_padded_sequence(made.entry(frames), LENGTHS, batch_first=True, enforce_sorted=False)
    both, _ = nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)
    assert torch.allclose(made(frames, LENGTHS), made.last(mean_and_maximum(both, LENGTHS)), atol=1e-5)


def test_reversing_by_hand():
    frames = torch.tensor([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 0.0, 0.0]])[..., None]
    found = reverse(frames, torch.tensor([3, 1]))
    assert found[..., 0].tolist() == [[3, 2, 1, 0], [4, 0, 0, 0]]
    assert torch.equal(reverse(found, torch.tensor([3, 1])), frames)
