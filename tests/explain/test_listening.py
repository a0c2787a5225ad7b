"""A network is as it was after it was listened to, whatever happened, and several may listen at once."""

import threading
from typing import NamedTuple

import pytest
import torch
from explain_samples import bent, to_unit
from explain_samples import pixels as photos
from torch import nn

from resight.explain.listening import first_tensor, like, listening, undisturbed


def awkward() -> nn.Module:
    """Modes, requires_grad and gradients that are not all alike."""
    module = nn.Sequential(bent(), nn.Dropout(), nn.BatchNorm1d(4)).double()
    module.train()
    module[2].eval()
    for number, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(number % 2 == 0)
        if number % 3 == 0:
            parameter.grad = torch.full_like(parameter, 7)
    return module


def state(module: nn.Module) -> list:
    return [
        [one.training for one in module.modules()], [one.requires_grad for one in module.parameters()],
        [id(one.grad) for one in module.parameters()], [len(one._forward_hooks) for one in module.modules()],
        [one.tolist() for one in (*module.parameters(), *module.buffers())], torch.get_rng_state().tolist(),
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
    ]  # fmt: skip


def disturb(module: nn.Module) -> None:
    """A pass with random numbers, and a backward pass to the parameters."""
    assert not any(one.training for one in module.modules())
    assert not any(one.requires_grad for one in module.parameters())
    torch.rand(3)
    next(module.parameters()).requires_grad_(True)
    module(to_unit(photos())).sum().backward()


def test_all_is_as_before():
    module = awkward()
    before = state(module)
    with undisturbed(module):
        disturb(module)
    assert state(module) == before


def test_all_is_as_before_after_an_error():
    module = awkward()
    before = state(module)
    with pytest.raises(KeyboardInterrupt), undisturbed(module), listening({"0.1": module[0][1]}, leaves=True):
        disturb(module)
        raise KeyboardInterrupt
    assert state(module) == before


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_within_no_grad_and_inference_mode(around):
    module = awkward()
    with around():
        before = state(module)
        with undisturbed(module), listening({"0.1": module[0][1]}, leaves=True) as heard:
            score = module(to_unit(photos()))[:, 0].sum()
            (gradient,) = torch.autograd.grad(score, heard.calls["0.1"])
        assert float(gradient.abs().sum()) > 0
        assert state(module) == before


@pytest.mark.parametrize("first_out", ["first in", "last in"])
def test_two_at_once_leave_the_network_as_the_first_found_it(first_out):
    module = awkward()
    before = state(module)
    first, second = undisturbed(module), undisturbed(module)
    first.__enter__()
    second.__enter__()
    one, other = (first, second) if first_out == "first in" else (second, first)
    one.__exit__(None, None, None)
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    other.__exit__(None, None, None)
    assert state(module) == before


def test_only_the_own_threads_passes_are_heard():
    module, inside = bent(), threading.Event()

    def other() -> None:
        with torch.no_grad():
            module(to_unit(photos(5)))
        inside.set()

    with torch.no_grad(), listening({"1": module[1]}, swap=lambda name, output: output * 0) as heard:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert inside.is_set() and heard.calls == {}
        module(to_unit(photos(2)))
    assert [len(one) for one in heard.calls["1"]] == [2]


def test_what_was_heard_is_not_changed_by_an_activation_in_place():
    module, inputs = bent(), to_unit(photos())
    for leaves in (False, True):
        with undisturbed(module), listening({"0": module[0]}, leaves=leaves) as heard:
            module(inputs)
        assert torch.equal(heard.calls["0"][0], module[0](inputs))
        assert bool((heard.calls["0"][0] < 0).any())


def test_leaves_have_the_gradient_of_finite_differences():
    module, inputs = bent(), to_unit(photos(1))
    with undisturbed(module), listening({"1": module[1]}, leaves=True) as heard:
        (gradient,) = torch.autograd.grad(module(inputs)[0, 2], heard.calls["1"])
    step = torch.zeros_like(gradient)
    step[0, 1, 3, 2] = 1e-6
    with torch.no_grad():
        moved = module[2:](heard.calls["1"][0] + step) - module[2:](heard.calls["1"][0])
    assert float(moved[0, 2]) == pytest.approx(1e-6 * float(gradient[0, 1, 3, 2]), rel=1e-4)


def test_the_rest_of_the_network_gets_the_swap():
    module = bent()
    inputs = to_unit(photos(1))
    with torch.no_grad():
        whole = module[:2](inputs)
        with listening({"1": module[1]}, swap=lambda name, output: torch.cat([output, 2 * output])) as heard:
            scores = module(inputs)
        assert torch.allclose(scores, module[2:](torch.cat([whole, 2 * whole])))
        assert torch.equal(heard.calls["1"][0], whole)


class Pair(NamedTuple):
    one: torch.Tensor
    other: str


def test_the_first_tensor_is_found_and_exchanged():
    two = torch.ones(2)
    assert first_tensor((two, "x")) is two and first_tensor([[two], 1]) is two
    assert first_tensor(torch.ones(1, dtype=torch.int64)) is None and first_tensor({"a": two}) is None
    assert like((1, "x"), two) == (two, "x") and like([[1, 3], 2], two) == [[two, 3], 2]
    assert like(Pair(two, "x"), two) == Pair(two, "x") and isinstance(like(Pair(two, "x"), two), Pair)
