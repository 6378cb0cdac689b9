"""The road of one input: read, planned, taken through stages, measured, written.

``planning`` decides everything and ``plan`` holds it, ``frames`` reads, ``stage`` says what a stage is and ``stages``
holds them, ``analysis`` walks the frames through them, ``item`` is one input from file to staged results. Names are
imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
