"""A model scored on labelled images: held-out sets, cross-validation, baselines, calibration; whole trainings.

``train_model`` trains by a recipe and finishes the model, ``crossval`` compares many trainings. Names are imported
when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
