"""Which layer a map is made at: by name, or the last one whose places still decide the score."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from resight.errors import InputError, unknown
from resight.explain.layout import Layout, layout_of
from resight.explain.listening import first_tensor, like, undisturbed
from resight.explain.subject import Subject

FRAMES = 2  # of the sequence that a network is tried with
FARTHEST = 200  # modules from the end that are tried


def find_layers(subject: Subject, layer: str | None = None) -> dict[str, str]:
    """{branch: full name of its module}.

    layer: a module's name within the network, e.g. "layer3" or "blocks.5"; None: the last layer with places that the
           score depends on, such as the last convolution, or the last attention's input if only a class token is read

    Raises InputError for a name that a network does not have, with the closest match.
    """
    _refuse_scripts(subject)
    if layer is None:
        if "layers" not in subject.known:
            subject.known["layers"] = _last_layers(subject)
        found: dict[str, str] = subject.known["layers"]
        return found
    modules = dict(subject.module.named_modules())
    chosen = {}
    for branch, root in subject.roots.items():
        own = [name.removeprefix(root) for name in modules if name.startswith(root) and name != root.rstrip(".")]
        if layer not in own:
            raise unknown(f"layer of {subject.name}", layer, own)
        chosen[branch] = root + layer
    return chosen


def _refuse_scripts(subject: Subject) -> None:
    if any(isinstance(one, torch.jit.ScriptModule) for one in subject.module.modules()):
        raise InputError(
            f"{subject.name} is a TorchScript module, whose layers cannot be listened to: give the module that it was "
            "made from, or use lime, which looks at no layer"
        )


def shown_layer(subject: Subject, branch: str, name: str) -> str:
    """A layer's name as its users know it."""
    return name.removeprefix(subject.roots.get(branch, ""))


def layout_at(subject: Subject, branch: str, name: str, output: Tensor) -> Layout:
    """How a layer's output lies on the image. Raises InputError if it has no places."""
    found = layout_of(output, subject.prefix_tokens(branch))
    if found is None:
        raise InputError(
            f"layer {shown_layer(subject, branch, name)} of {subject.name} gives {tuple(output.shape[1:])}, which has "
            f"no places: take one before the pooling, such as {shown_layer(subject, branch, _default(subject, branch))}"
        )
    return found


def _default(subject: Subject, branch: str) -> str:
    return find_layers(subject)[branch]


def _last_layers(subject: Subject) -> dict[str, str]:
    pixels = torch.randint(0, 256, (1, 3, subject.size, subject.size), generator=torch.Generator().manual_seed(0))
    given: tuple[Tensor, ...] = (pixels.byte().to(subject.device),)
    if subject.frames:
        given = (given[0][:, None].expand(-1, FRAMES, -1, -1, -1), torch.tensor([FRAMES]))
    found = {}
    for branch, root in subject.roots.items():
        with undisturbed(subject.module), _outputs(subject.module, root) as outputs:
            score = subject.forward(*given).sum()
            name = _deciding(subject, branch, outputs, score)
        if name is None:
            raise InputError(_undecided(subject, branch, outputs))
        found[branch] = name
    return found


def _undecided(subject: Subject, branch: str, outputs: Mapping[str, Tensor]) -> str:
    if any(layout_of(one, subject.prefix_tokens(branch)) is not None for one in outputs.values()):
        return (
            f"no place in any layer of {subject.name} changes its scores, all gradients are zero: are the weights of "
            "its head zero, as before training?"
        )
    return f"{subject.name} has no layer with places that decide its scores: nothing to map"


def _deciding(subject: Subject, branch: str, outputs: Mapping[str, Tensor], score: Tensor) -> str | None:
    """The last layer of a branch whose places, class tokens apart, have a gradient."""
    prefix = subject.prefix_tokens(branch)
    named = [(name, output) for name, output in outputs.items() if output.requires_grad][-FARTHEST:]
    if not named:
        return None
    gradients = torch.autograd.grad(score, [output for _, output in named], allow_unused=True)
    root: Any = subject.module.get_submodule(subject.roots[branch].rstrip("."))
    width = int(getattr(root, "num_features", 0))
    for (name, output), gradient in reversed(list(zip(named, gradients, strict=True))):
        layout = layout_of(output, prefix)
        if layout is None or gradient is None:
            continue
        maps = layout.maps(gradient)
        # Within attention tokens are threefold, split into heads or set against each other: only whole ones are places.
        if layout.kind == "tokens" and width and maps.shape[1] != width:
            continue
        if layout.kind == "maps" and hasattr(_parent(subject.module, name), "num_heads"):
            continue
        if len(output) > (FRAMES if subject.frames else 1):  # windows
            continue
        if bool(maps.abs().amax() > 0):
            return name
    return None


def _parent(module: nn.Module, name: str) -> nn.Module:
    return module.get_submodule(name.rpartition(".")[0])


@contextmanager
def _outputs(module: nn.Module, root: str) -> Iterator[dict[str, Tensor]]:
    """{name: last output} of a branch's modules in the order in which they finish, all in one graph."""
    owner, found = threading.get_ident(), dict[str, Tensor]()

    def attach(name: str, one: nn.Module) -> Any:
        def hook(_: nn.Module, __: Any, gives: Any) -> Any:
            if threading.get_ident() != owner:
                return None
            tensor = first_tensor(gives)
            found.pop(name, None)
            if tensor is None:
                return None
            if tensor.requires_grad:
                found[name] = tensor
                return None
            # The graph begins here, without the parameters, which other threads may be using. A copy goes on: what is
            # done in place may not be done to a leaf.
            found[name] = tensor.detach().requires_grad_()
            return like(gives, found[name].clone())

        return one.register_forward_hook(hook)

    named = [(name, one) for name, one in module.named_modules() if name.startswith(root) and name != root.rstrip(".")]
    handles = [attach(name, one) for name, one in named if name]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
