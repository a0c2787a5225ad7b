"""Fractal features by the gliding box. Names load on first use; numba and matplotlib when they are needed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
