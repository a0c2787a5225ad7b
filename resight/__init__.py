"""resight: describe, find, match, classify and explain images. Names load on first use, so importing it is cheap."""

from typing import Any

import lazy_loader

from resight._version import __version__ as __version__

_load, _, _names = lazy_loader.attach_stub(__name__, __file__)
PACKAGES = ("explain", "match")  # which can be called as the functions they are named after
__all__ = [*_names, *PACKAGES]


def __getattr__(name: str) -> Any:
    if name not in PACKAGES:
        return _load(name)
    import importlib

    return importlib.import_module(f"resight.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
