"""Made truth: cells as continuous shapes, what a microscope shows of them, and data sets of both.

Inside: ``cells`` (shapes, motion, truth), ``physics`` (image formation and noise), and on top of both data sets
(``dataset``, ``benchmark``) and their comparison with a real volume (``beside``). The public names are in the stub
next to this file; they are imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
