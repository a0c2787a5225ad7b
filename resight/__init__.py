"""resight: describe, find, match, classify and explain images. Names load on first use, so importing it is cheap."""

from typing import Any

import lazy_loader

from resight._version import __version__ as __version__

_load, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_names, "explain"]


def __getattr__(name: str) -> Any:
    if name != "explain":
        return _load(name)
    import importlib

    return importlib.import_module("resight.explain")  # the package, which can be called


def __dir__() -> list[str]:
    return sorted(__all__)
