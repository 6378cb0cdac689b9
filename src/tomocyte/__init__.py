"""tomocyte: from raw 3-D and 4-D microscopy of cells to masks, single cells and numbers with units.

The public names stand in the stub beside this file; they are imported when first used, so that ``import tomocyte``
stays light.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
