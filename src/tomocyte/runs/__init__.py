"""Jobs over many inputs: run, simulate, convert, samples, export of corrections, the report.

``run`` works on many inputs, ``publish`` writes what belongs to all of them, ``report`` the page.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
