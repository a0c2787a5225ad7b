"""Training of classifiers and mask networks. Names load on first use: neither torch nor Lightning is imported."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
