"""resight: describe, find, match, classify and explain images. Names load on first use, so importing it is cheap."""

import lazy_loader

from resight._version import __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*__all__, "__version__"]
