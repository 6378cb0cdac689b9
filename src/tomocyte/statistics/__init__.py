"""Statistics of samples and of experiments: intervals, agreement, conditions compared with the replicate as the unit.

Arrays and tables in, numbers and sentences out: ``design`` says which input is which replicate of which condition,
``comparing`` compares conditions, ``methods`` two methods on the same objects. To add a statistic, write a file here
and name its function in the stub beside this file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
