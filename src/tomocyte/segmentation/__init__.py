"""Segmentation: array in, array out.

``classical`` needs no training, ``prediction`` applies a network to a frame, ``cells`` separates touching cells;
``smoothing`` and ``splitting`` serve all three. To make a function public, name it in the stub beside this file; names
are imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
