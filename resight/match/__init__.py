"""Finds a template in a scene: local features, correlation, a mask network; where it is, or that it is absent.

The package is called as the function `match` within it: `resight.match("logo.png", "street.jpg")` gives a Match. Names
load on first use.
"""

import sys
from types import ModuleType
from typing import Any

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Callable(ModuleType):
    """A package and the function it is named after under one name: importing either would else hide the other."""

    def __call__(self, *given: Any, **options: Any) -> Any:
        from resight.match.finding import match

        return match(*given, **options)


sys.modules[__name__].__class__ = _Callable
