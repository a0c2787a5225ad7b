"""Dense SIFT. Names load on first use: numba and torch are imported when something is computed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
