"""Training: from labelled images to weights that can be trusted.

``recipe`` holds every setting of a training, ``data`` reads and augments, ``batches`` puts samples together, ``loop``
changes the weights, ``checkpoint`` and ``run_folder`` save them, ``search`` searches architectures. To add a loss, an
augmentation, an optimiser or a kind of target, see the docstring of its module. Names are imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
