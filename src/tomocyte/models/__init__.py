"""Models: trained weights as packages that can be checked, never executed.

A package is a folder of three files: ``card.json`` (what the model is, sealed), ``weights.safetensors`` and
``selftest.safetensors`` (an input and the probabilities it must give). Here live the card, saving and loading, the
question whether a model fits a volume, the library of installed models, and export. To ship a model, put its folder
into ``weights/<name>/``; to learn a new way of exporting, add it to ``export.py``. Names are imported when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
