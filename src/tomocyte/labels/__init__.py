"""Label images: connected components, extents, numbering, parents, cleaning, resampling, stacks.

Arrays in, arrays out: unsigned integers with 0 = background. To add an operation, write a file here and name its public
function in the stub beside this file; names are imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
