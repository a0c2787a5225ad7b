"""timm's published weights: downloaded once, or one line that says why not; the libraries' own words stay unsaid."""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from resight.errors import InputError, WorkError
from resight.models.quiet import quiet

PATIENCE = 5.0  # seconds for the server's first word
ADVICE = (
    "give a weights file (--weights FILE), or take a backbone whose weights are a package, such as "
    "tf_efficientnet_lite0 (--weights package)"
)


def published(name: str) -> nn.Module:
    """The network with timm's weights, from the cache of earlier downloads or from the network.

    Raises InputError if timm publishes none, WorkError if they cannot be had.
    """
    import timm

    config: Any = timm.get_pretrained_cfg(name)
    if not config.has_weights:
        raise InputError(f"timm publishes no weights for {name!r}: {ADVICE}")
    with quiet(), _asked_once() as reached:
        try:
            model: nn.Module = timm.create_model(name, pretrained=True)
        except Exception as error:  # network, hub and file errors of several libraries
            if reached or not config.hf_hub_id:
                first = str(error).strip().split("\n")[0].removesuffix(".") or type(error).__name__
                reason = textwrap.shorten(first, 200, placeholder=" ...")
            else:
                reason = f"{_server()} does not answer, and they are not in the cache"
            raise WorkError(f"cannot download timm's weights for {name!r}: {reason}; {ADVICE}") from error
    return model


@contextmanager
def _asked_once() -> Iterator[bool]:
    """Whether the server of weights answers; if not, only the cache is looked into.

    huggingface_hub would ask twice six times, 46 seconds in all, for a file that may be in the cache.
    """
    from huggingface_hub import constants

    before: bool = constants.HF_HUB_OFFLINE
    reached = not before and _answers()
    constants.HF_HUB_OFFLINE = not reached
    try:
        yield reached
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers() -> bool:
    utils: Any = importlib.import_module("huggingface_hub.utils")  # has no annotation of this

    try:
        utils.get_session().head(_server(), timeout=PATIENCE)
    except Exception:  # of whichever of two http libraries it is made of
        return False
    return True


def _server() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)
