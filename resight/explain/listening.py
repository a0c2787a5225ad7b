"""What a layer says during a pass, and the gradient of a score with respect to it; the network stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Swap = Callable[[str, Tensor], Tensor]


class _Before:
    """How a network was before the first of those who use it now came."""

    def __init__(self, module: nn.Module) -> None:
        self.users = 0
        self.modes = [(one, one.training) for one in module.modules()]
        # Those made within torch.inference_mode can neither be changed nor have gradients.
        own = [one for one in module.parameters() if not one.is_inference()]
        self.parameters = [(one, one.requires_grad, one.grad) for one in own]
        self.numbers = torch.get_rng_state()

    def restore(self) -> None:
        """Make it so again."""
        for one, mode in self.modes:
            one.training = mode
        for parameter, needed, grad in self.parameters:
            parameter.requires_grad_(needed)
            parameter.grad = grad
        torch.set_rng_state(self.numbers)


# Threads may explain one network at once: the first notes how it was, the last puts it back, whoever that is.
_LOCK = threading.Lock()
_IN_USE: WeakKeyDictionary[nn.Module, _Before] = WeakKeyDictionary()


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients of parameters, gradients of activations allowed; all of it as before afterwards.

    Mode of every module, requires_grad and grad of every parameter, torch's random numbers on the CPU. Works inside
    torch.no_grad and torch.inference_mode too, and in several threads at once.
    """
    with torch.inference_mode(False), torch.enable_grad():
        with _LOCK:
            before = _IN_USE.setdefault(module, _Before(module))
            before.users += 1
        try:
            module.eval()
            for parameter, _, _ in before.parameters:
                parameter.requires_grad_(False)
            yield
        finally:
            with _LOCK:
                before.users -= 1
                if not before.users:
                    del _IN_USE[module]
                    before.restore()


class Heard:
    """What layers said: `calls[name]` holds an output for each call, in order."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Tensor]] = {}


@contextmanager
def listening(layers: Mapping[str, nn.Module], *, leaves: bool = False, swap: Swap | None = None) -> Iterator[Heard]:
    """Keep what the layers give during the passes of this thread inside; other threads are not heard.

    layers: {name: module}
    leaves: the outputs become leaves that gradients can be taken of; nothing before them is in the graph
    swap:   what the rest of the network is given instead, of the name and the output
    """
    owner, heard = threading.get_ident(), Heard()

    def attach(name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, __: Any, gives: Any) -> Any:
            if threading.get_ident() != owner:
                return None
            tensor = first_tensor(gives)
            if tensor is None:
                return None
            kept = tensor.detach()
            if leaves:
                kept = (kept.clone() if kept.is_inference() else kept).requires_grad_()
            heard.calls.setdefault(name, []).append(kept)
            if swap is not None:
                return like(gives, swap(name, kept))
            # A copy: an activation in place may follow, which would change what was heard.
            heard.calls[name][-1] = kept if leaves else kept.clone()
            return like(gives, kept.clone()) if leaves else None

        return module.register_forward_hook(hook)

    handles = [attach(name, module) for name, module in layers.items()]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(value: Any) -> Tensor | None:
    """The first floating-point tensor of what a module gives."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    if isinstance(value, (tuple, list)) and value:
        return first_tensor(value[0])
    return None


def like(gives: Any, tensor: Tensor) -> Any:
    """What a module gives with its first tensor exchanged."""
    if isinstance(gives, (tuple, list)):
        parts = [like(gives[0], tensor), *gives[1:]]
        return type(gives)(*parts) if hasattr(gives, "_fields") else type(gives)(parts)
    return tensor
