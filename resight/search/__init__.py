"""The collection of images, how it is stored, rankings, and steps after a search. Names load on first use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
