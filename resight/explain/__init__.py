"""Explains what a classifier or a descriptor saw: class activation maps, LIME, similarity, and how good they are.

The package is called as the function `explain` within it: `resight.explain("cat.jpg")` gives a Heat. Names load on
first use: importing this package does not import torch.
"""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Callable(ModuleType):
    """A package and the function it is named after under one name: importing either would else hide the other."""

    def __call__(self, *given: Any, **options: Any) -> Any:
        from resight.explain.explaining import explain

        return explain(*given, **options)


sys.modules[__name__].__class__ = _Callable
