"""Statistics of samples: intervals by the bootstrap, agreement of paired measurements.

Arrays in, numbers out. To add a statistic, write a file here and name its function in the stub beside this file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
